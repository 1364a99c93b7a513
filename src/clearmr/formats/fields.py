"""Fields of motion between the frames of a series, as .npz or NIfTI. Written only: no command reads them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from jaxtyping import Float
from torch import Tensor

from clearmr.errors import InputError
from clearmr.files import refuse_existing, whole_file
from clearmr.formats import nifti
from clearmr.formats.provenance import to_json
from clearmr.scan import SnrImage

ENDINGS = (".npz", *nifti.ENDINGS)
UNIT = "pixels: [0] along y, [1] along x"
MEANING = "frame neighbours[t][n] at p + field shows what frame t shows at p"
AXES = {"npz": "slice, frame, neighbour, (y, x), y, x", "nifti": "x, y, slice, frame, (y, x), neighbour"}


def files_of(path: Path) -> list[Path]:
    """What `save` writes. Raises InputError for another ending."""
    name = path.name.lower()
    if not name.endswith(ENDINGS):
        raise InputError(f"fields in a file ending in {', '.join(ENDINGS)}", path.name, "choose one of these endings")
    return [path] if name.endswith(".npz") else [path, path.with_name(f"{nifti.stem(path)}.json")]


def save(
    fields: Float[Tensor, "z frame N 2 y x"],
    path: Path,
    *,
    neighbours: Sequence[Sequence[int]],
    image: SnrImage,
    meta: Mapping[str, Any],
    force: bool = False,
) -> list[Path]:
    """Fields in pixels (y, x) from the frames `neighbours` (frame, N) onto each frame; the files written.

    .npz: as they are given, and all else as `neighbours`, `axes`, `unit`, `meaning`, `spacing` (z, y, x in mm), `meta`
    (JSON). NIfTI: (x, y, slice, frame, 2, N), the image's geometry, all else in the JSON beside it.
    Raises InputError for another ending, and where a file exists and `force` is not set.
    """
    written = files_of(path)
    for target in written:
        refuse_existing(target, force=force)
    values = fields.detach().cpu().numpy().astype(np.float32)
    said: dict[str, Any] = {"neighbours": [list(near) for near in neighbours], "unit": UNIT, "meaning": MEANING}
    if len(written) == 1:
        plain: dict[str, Any] = {"axes": AXES["npz"], "spacing": np.array(image.spacing, float), "meta": to_json(meta)}
        with whole_file(path, force=force) as temporary:
            np.savez_compressed(temporary, fields=values, **said, **plain)
        return written
    with whole_file(path, force=force) as temporary:
        nibabel.save(_wrap(values.transpose(5, 4, 0, 1, 3, 2), image), temporary)
    with whole_file(written[1], force=force) as temporary:
        text = {nifti.FIELD: {**said, "axes": AXES["nifti"], "meta": dict(meta)}}
        temporary.write_text(to_json(text) + "\n", encoding="utf-8")
    return written


def _wrap(values: np.ndarray, image: SnrImage) -> nibabel.Nifti1Image:
    """Vectors on the fifth axis, as NIfTI has them; their unit is no length, so the intent is none of displacements."""
    affine = np.diag([*image.spacing[::-1], 1.0]) if image.affine is None else image.affine
    wrapped = nibabel.Nifti1Image(values, affine)
    wrapped.header.set_xyzt_units("mm")
    wrapped.header.set_intent("vector", name="pixels (y, x)")
    return wrapped
