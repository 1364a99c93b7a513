"""b values and directions beside an image, as FSL has them: NAME.bval, NAME.bvec."""

from pathlib import Path

import numpy as np

from clearmr.files import refuse_existing, whole_file
from clearmr.formats.nifti import stem


def beside(image: Path) -> tuple[Path, Path]:
    """Where the b values and directions of an image lie."""
    return image.parent / f"{stem(image)}.bval", image.parent / f"{stem(image)}.bvec"


def save_gradients(
    image: Path, bvals: np.ndarray, bvecs: np.ndarray, *, affine: np.ndarray | None = None, force: bool = False
) -> list[Path]:
    """Write b values (volume,) in s/mm^2 and directions (volume, 3), x y z along the image's own axes; the two paths.

    FSL's x is mirrored where the affine (None: the image's own axes) does not mirror. Raises InputError for files that
    exist.
    """
    mirrored = affine is None or np.linalg.det(np.asarray(affine)[:3, :3]) > 0
    vectors = np.asarray(bvecs, dtype=np.float64) * ([-1.0, 1.0, 1.0] if mirrored else [1.0, 1.0, 1.0])
    paths = beside(image)
    texts = (_line(np.asarray(bvals), ".10g") + "\n", "".join(_line(axis, ".8f") + "\n" for axis in vectors.T))
    for path in paths:
        refuse_existing(path, force=force)
    for path, text in zip(paths, texts, strict=True):
        with whole_file(path, force=force) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return list(paths)


def _line(values: np.ndarray, form: str) -> str:
    return " ".join(format(float(value) + 0.0, form) for value in values)
