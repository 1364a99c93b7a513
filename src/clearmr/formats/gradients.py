"""b values and directions of diffusion-weighted volumes, as FSL and dcm2niix write them: NAME.bval and NAME.bvec."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from clearmr.errors import InputError
from clearmr.formats.nifti import stem

WEIGHTED = 50.0  # s/mm^2: from here on a volume has a direction
UNIT = 0.1  # by which a direction's length may differ from 1


@dataclass(frozen=True)
class Gradients:
    """bvals (volume,) in s/mm^2; bvecs (volume, 3) as in the file: along the image's axes, x mirrored as FSL has it."""

    bvals: Float[np.ndarray, " volume"]
    bvecs: Float[np.ndarray, "volume 3"]

    def part(self, index: np.ndarray) -> "Gradients":
        """Those of some of the volumes."""
        return Gradients(self.bvals[index], self.bvecs[index])


def read(image: Path, *, bvals: Path | None = None, bvecs: Path | None = None, volumes: int | None = None) -> Gradients:
    """The gradients of the image in a file: of `bvals` and `bvecs`, or of the files of its name beside it.

    Rows or columns, either way. Raises InputError where a file is missing or holds no numbers, where the two do not
    fit each other or the image's number of volumes, and for directions that are none.
    """
    value_path = bvals or image.parent / f"{stem(image)}.bval"
    vector_path = bvecs or image.parent / f"{stem(image)}.bvec"
    values = _numbers(value_path, "b values", "--bvals").flatten()
    vectors = _numbers(vector_path, "directions", "--bvecs")
    vectors = vectors.T if vectors.shape[0] == 3 and vectors.shape != (3, 3) else vectors
    if vectors.shape == (3, 3):
        vectors = vectors.T  # FSL's own form
    if vectors.shape != (len(values), 3):
        found = f"{len(values)} in {value_path.name} and {' x '.join(map(str, vectors.shape))} in {vector_path.name}"
        raise InputError("as many directions of three numbers as b values", found, "give the files of one acquisition")
    if volumes is not None and len(values) != volumes:
        found = f"{len(values)} in {value_path.name} and {volumes} volumes in {image.name}"
        raise InputError("a b value for each volume", found, "give the files of this acquisition")
    return _checked(values, vectors, value_path, vector_path)


def _checked(values: np.ndarray, vectors: np.ndarray, value_path: Path, vector_path: Path) -> Gradients:
    if not (np.isfinite(values).all() and (values >= 0).all()):
        raise InputError("b values of 0 or more", f"others in {value_path}", "check the file")
    length = np.linalg.norm(np.nan_to_num(vectors), axis=1)
    odd = (values > WEIGHTED) & (np.abs(length - 1) > UNIT)
    if odd.any():
        found = f"a length of {length[odd][0]:.3g} in volume {int(np.flatnonzero(odd)[0])} of {vector_path.name}"
        raise InputError("directions of length 1 where b is over 50", found, "check the file")
    return Gradients(values, np.nan_to_num(vectors))


def _numbers(path: Path, what: str, option: str) -> np.ndarray:
    if not path.is_file():
        raise InputError(f"a file with {what}", f"no {path}", f"name it with {option}")
    try:
        found = np.loadtxt(path, dtype=np.float64, ndmin=2)
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(f"{what} as rows of numbers", f"{path} ({error})", "give the file dcm2niix wrote") from error
    if not found.size:
        raise InputError(f"{what} as rows of numbers", f"none in {path}", "give the file dcm2niix wrote")
    return found
