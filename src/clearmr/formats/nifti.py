"""NIfTI-1 and -2, one file, gzipped or not; noise SD, g map and provenance lie beside it."""

import gzip
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch

from clearmr.errors import InputError
from clearmr.files import refuse_existing, whole_file
from clearmr.formats.provenance import from_json, to_json
from clearmr.scan import NoiseSource, SnrImage

NAME = "NIfTI"
KIND = "NIfTI (.nii, .nii.gz)"
ENDINGS = (".nii", ".nii.gz")
GZIP = b"\x1f\x8b"
MAGICS = {348: (344, (b"n+1\0",)), 540: (4, (b"n+2\0",))}  # header size -> (offset, values) of the magic
BROKEN = (nibabel.filebasedimages.ImageFileError, nibabel.spatialimages.HeaderDataError)
DEFLATE_BEST = 1032  # deflate packs no better
MILLIMETRES = {"meter": 1000.0, "micron": 0.001}
FIELD = "ClearMR"  # of the JSON beside an image


def _start(path: Path, n: int) -> bytes:
    with path.open("rb") as file:
        if file.read(2) != GZIP:
            file.seek(0)
            return file.read(n)
    try:
        with gzip.open(path) as unpacked:
            return unpacked.read(n)
    except (OSError, EOFError, zlib.error):
        return b""


def _version(path: Path) -> int | None:
    """Header size of the NIfTI version, or None where it is none."""
    start = _start(path, 540)
    for size, (at, magics) in MAGICS.items():
        sizes = {struct.pack(order + "i", size) for order in "<>"}
        if start[:4] in sizes and start[at : at + 4] in magics:
            return size
    return None


def sniff(path: Path) -> bool:
    """Whether the file, unzipped if it is gzipped, begins with a NIfTI header."""
    return path.is_file() and _version(path) is not None


def stem(path: Path) -> str:
    """The name without .nii or .nii.gz."""
    return path.name.removesuffix(".gz").removesuffix(".nii")


def sidecar(path: Path, what: str) -> Path:
    """Where `noisesd` or `gmap` of an image lies."""
    return path.parent / f"{stem(path)}_{what}.nii.gz"


def _check_claim(image: Any, path: Path, *, zipped: bool) -> None:
    claimed = int(np.prod(image.shape, dtype=object)) * image.get_data_dtype().itemsize
    held = path.stat().st_size * (DEFLATE_BEST if zipped else 1)
    if claimed > held:
        found = f"{path.name} of {path.stat().st_size} bytes whose header claims {claimed}"
        raise InputError("a whole NIfTI file", found, "copy or export the file again")


@contextmanager
def _quiet() -> Iterator[None]:
    """nibabel logs every oddity of a header to stderr; what stops us is said in our own one line."""
    logger = nibabel.imageglobals.logger
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _read(path: Path) -> tuple[np.ndarray, Any]:
    """Voxels (x, y, z, t...) with slope and intercept applied, and nibabel's header."""
    kind = nibabel.Nifti2Image if _version(path) == 540 else nibabel.Nifti1Image
    try:
        with path.open("rb") as file, _quiet():
            zipped = file.read(2) == GZIP
            file.seek(0)
            image = kind.from_stream(gzip.GzipFile(fileobj=file) if zipped else file)
            if image.get_data_dtype().kind not in "biufc":
                todo = "export one number per voxel"
                raise InputError("a NIfTI of real or complex numbers", f"dtype {image.get_data_dtype()}", todo)
            _check_claim(image, path, zipped=zipped)
            return np.asanyarray(image.dataobj), image.header.copy()
    except InputError:
        raise
    except (OSError, EOFError, ValueError, zlib.error, MemoryError, OverflowError, *BROKEN) as error:
        raise InputError("a whole NIfTI file", f"{path.name} ({error})", "copy or export the file again") from error


def _frames(voxels: np.ndarray, name: str) -> torch.Tensor:
    """(x, y[, z[, t]]) to (frame, z, y, x), complex64 or float32. Raises InputError for more axes, NaN, nothing."""
    shape = voxels.shape
    while len(shape) > 4 and shape[-1] == 1:
        shape = shape[:-1]
    if not 2 <= len(shape) <= 4 or 0 in shape:
        raise InputError("2, 3 or 4 axes (x, y, z, frame)", f"{name} of shape {voxels.shape}", "split it into 4D files")
    four = voxels.reshape(shape + (1,) * (4 - len(shape)))
    dtype = np.complex64 if four.dtype.kind == "c" else np.float32
    image = np.ascontiguousarray(four.transpose(3, 2, 1, 0), dtype=dtype)
    if not np.isfinite(image).all():
        raise InputError("finite voxels", f"NaN or infinite voxels in {name}", "replace them (fslmaths -nan)")
    return torch.from_numpy(image)


def _units(header: Any) -> float:
    """Millimetres per unit of length; 1 where the code is none of NIfTI's."""
    try:
        return MILLIMETRES.get(header.get_xyzt_units()[0], 1.0)
    except KeyError:
        return 1.0


def _spacing(header: Any) -> tuple[float, float, float]:
    zooms = [float(z) * _units(header) for z in header.get_zooms()[:3]]
    zooms = [z if np.isfinite(z) and z > 0 else 1.0 for z in zooms + [1.0] * (3 - len(zooms))]
    return zooms[2], zooms[1], zooms[0]


def _affine(header: Any) -> np.ndarray:
    affine = header.get_best_affine().astype(float)
    affine[:3] *= _units(header)
    return affine


def _beside(path: Path, what: str, image: torch.Tensor) -> torch.Tensor | None:
    """The map beside an image, or None. Raises InputError where its shape does not fit."""
    there = sidecar(path, what)
    if not there.exists():
        return None
    if not sniff(there):
        raise InputError(f"a NIfTI in {there.name}", "another kind of file", "remove or correct it")
    voxels = _frames(_read(there)[0], there.name)
    if voxels.is_complex() or voxels.shape[1:] != image.shape[1:] or voxels.shape[0] not in (1, image.shape[0]):
        found = f"{there.name} of shape {tuple(voxels.shape)} beside {tuple(image.shape)}"
        raise InputError("a map of the image's shape", found, "remove or correct it")
    return voxels


def _provenance(path: Path) -> dict[str, Any]:
    """What we wrote of an image beside it; nothing where the JSON is another program's."""
    there = path.parent / f"{stem(path)}.json"
    if not there.exists():
        return {}
    try:
        text = there.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"readable text in {there.name}", f"{error}", "remove or correct it") from error
    said = from_json(text, there.name).get(FIELD, {})
    return said if isinstance(said, dict) else {}


def load(path: Path) -> SnrImage:
    """A NIfTI image in its own unit. Noise SD and g map are read from beside it; without, the noise is "unknown".

    Raises InputError for files that are cut short, 5 or more axes, colour voxels, NaN.
    """
    voxels, header = _read(path)
    image = _frames(voxels, path.name)
    noise_sd, gmap = (_beside(path, what, image) for what in ("noisesd", "gmap"))
    said = _provenance(path)
    ones = torch.ones((1, 1, 1, 1))
    source: NoiseSource = "unknown"
    if noise_sd is not None:
        source = said["noise_source"] if said.get("noise_source") in ("measured", "estimated") else "given"
    meta = said.get("meta", {})
    return SnrImage(
        image,
        ones if noise_sd is None else noise_sd,
        ones if gmap is None else gmap,
        source,
        _spacing(header),
        _affine(header),
        header,
        meta if isinstance(meta, dict) else {},
    )


def _fresh_header(image: SnrImage) -> tuple[Any, np.ndarray]:
    header = nibabel.Nifti1Header()
    header.set_xyzt_units("mm", "sec")
    affine = np.diag([*image.spacing[::-1], 1.0]) if image.affine is None else image.affine
    return header, affine


def _header(image: SnrImage) -> tuple[Any, np.ndarray | None]:
    """The header to write with, and the affine where it is not the header's own."""
    if not isinstance(image.header, nibabel.Nifti1Header):
        return _fresh_header(image)
    header = image.header.copy()
    same = image.affine is None or np.allclose(_affine(header), image.affine, atol=1e-4)
    return header, None if same else image.affine


def _wrap(values: torch.Tensor, image: SnrImage) -> Any:
    """A nibabel image of (frame, z, y, x), of as many axes as the file it came from had."""
    header, affine = _header(image)
    voxels = values.detach().cpu().numpy().transpose(3, 2, 1, 0)
    wanted = len(header.get_data_shape()) if isinstance(image.header, nibabel.Nifti1Header) else 3
    while voxels.ndim > max(2, wanted) and voxels.shape[-1] == 1:
        voxels = voxels[..., 0]
    voxels = voxels.astype(np.complex64 if voxels.dtype.kind == "c" else np.float32)
    header.set_data_dtype(voxels.dtype)
    header.set_slope_inter(1.0, 0.0)
    kind = nibabel.Nifti2Image if isinstance(header, nibabel.Nifti2Header) else nibabel.Nifti1Image
    wrapped = kind(voxels, affine, header)
    if not isinstance(image.header, nibabel.Nifti1Header) and image.affine is not None:
        wrapped.set_sform(affine, code=1)
        wrapped.set_qform(affine, code=1)
    return wrapped


def _maps(image: SnrImage) -> dict[str, torch.Tensor]:
    """What is written beside the image: maps of a frame's size at least."""
    maps = {"gmap": image.gmap}
    if image.noise_source != "unknown":
        maps["noisesd"] = image.noise_sd
    return {what: m.expand(m.shape[0], *image.image.shape[1:]) for what, m in maps.items()}


def save(image: SnrImage, path: Path, *, keep_complex: bool = False, force: bool = False) -> list[Path]:
    """Write NIfTI (magnitude unless `keep_complex`), its maps and its provenance (JSON) beside it; header kept.

    Raises InputError where any of the files exists and `force` is not set.
    """
    main = image.image if keep_complex or not image.is_complex else image.image.abs()
    files = {path: main} | {sidecar(path, what): values for what, values in _maps(image).items()}
    beside = path.parent / f"{stem(path)}.json"
    for target in (*files, beside):
        refuse_existing(target, force=force)
    for target, values in files.items():
        with whole_file(target, force=force) as temporary:
            nibabel.save(_wrap(values, image), temporary)
    said = {FIELD: {"noise_source": image.noise_source, "meta": dict(image.meta)}}
    with whole_file(beside, force=force) as temporary:
        temporary.write_text(to_json(said) + "\n", encoding="utf-8")
    return [*files, beside]
