"""Files in and out. `FORMATS` says which; each tells by content whether a file is its own.

A format is a module with NAME, KIND (what it reads, in words), ENDINGS (what it writes), `sniff(path) -> bool`,
`load(path)`; raw formats also have `load_noise(path)`, image formats `save(image, path, keep_complex=, force=)`.
"""

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from clearmr.errors import InputError
from clearmr.formats import frames, mrd, nifti, npy, twix
from clearmr.formats.mrd_write import save_raw
from clearmr.formats.noise import with_noise
from clearmr.formats.provenance import hash_file
from clearmr.scan import RawScan, SnrImage

FORMATS: tuple[ModuleType, ...] = (mrd, nifti, npy, frames, twix)

__all__ = ["FORMATS", "load", "save", "save_raw"]


def _kinds() -> str:
    return "; ".join(f.KIND for f in FORMATS)


def _check_there(path: Path) -> None:
    """Raise InputError for a missing or empty file, and for a folder that no format knows."""
    if not path.exists():
        raise InputError("an existing file", f"no {path}", "check the name")
    if path.is_dir():
        if npy.sniff(path) or frames.sniff(path):
            return
        raise InputError(
            "a file",
            f"the folder {path}",
            f"name a file in it ({', '.join(npy.TRIO[:2])} or PNG frames may be a folder)",
        )
    if not path.is_file():
        raise InputError("a regular file", f"{path}, which is none", "give a file")
    if path.stat().st_size == 0:
        raise InputError("a file with data", f"the empty file {path}", "copy or export the file again")


def find_format(path: Path) -> ModuleType:
    """The format whose content `path` has. Raises InputError, with the first bytes, where none knows it."""
    _check_there(path)
    for known in FORMATS:
        if known.sniff(path):
            return known
    with path.open("rb") as file:
        start = file.read(8)
    found = f"{path.name} beginning with {start!r}"
    raise InputError(f"one of: {_kinds()}", found, "convert it to one of these")


def _hash(path: Path) -> str:
    if path.is_dir():
        return hash_file(path / npy.TRIO[0] if npy.sniff(path) else frames.files(path)[0])
    return hash_file(path)


def _with_origin(found: Any, path: Path, known: ModuleType) -> Any:
    """`found` with where it came from in its meta; what an earlier step wrote there stays as "steps" and the like."""
    warnings = list(found.meta.get("warnings", []))
    origin = {"path": path.name, "sha256": _hash(path), "format": known.NAME, "warnings": warnings}
    return replace(found, meta={**found.meta, **origin})


def _load_noise(scan: RawScan, path: Path) -> RawScan:
    known = find_format(path)
    if not hasattr(known, "load_noise"):
        raise InputError("a raw noise scan", f"{path.name}, which is {known.NAME}", "give MRD or twix with noise lines")
    noise, labels = known.load_noise(path)
    if noise is None:
        todo = "give the scan that holds them, or pass --estimate-noise"
        raise InputError("noise acquisitions in the noise scan", f"none in {path.name}", todo)
    return with_noise(scan, noise, labels, path.name)


def load(path: str | Path, *, noise_scan: str | Path | None = None) -> RawScan | SnrImage:
    """Read any file of FORMATS: raw k-space as RawScan (receiver's units), images as SnrImage.

    noise_scan: a second raw file whose noise readouts to use; coils are matched by their labels.
    Missing noise and an unknown dwell time are no errors here (`NoiseScan` is None, dwell_us is 0).
    Raises InputError, one line, for whatever is wrong with the file.
    """
    path = Path(path)
    known = find_format(path)
    found = _with_origin(known.load(path), path, known)
    if noise_scan is None:
        return found
    if not isinstance(found, RawScan):
        raise InputError("raw k-space with --noise-scan", f"images in {path.name}", "leave --noise-scan out")
    return _load_noise(found, Path(noise_scan))


def save(image: SnrImage, path: str | Path, *, keep_complex: bool = False, force: bool = False) -> list[Path]:
    """Write an image in the format that the ending of `path` names; the files written, the image first.

    keep_complex: write both parts where the format's habit is the magnitude (NIfTI, .npy); .npz and .h5 keep both.
    Raises InputError for an unknown ending, and where a file exists and `force` is not set.
    """
    path = Path(path)
    for known in FORMATS:
        if hasattr(known, "save") and path.name.lower().endswith(known.ENDINGS):
            return known.save(image, path, keep_complex=keep_complex, force=force)
    endings = ", ".join(e for f in FORMATS if hasattr(f, "save") for e in f.ENDINGS)
    raise InputError(f"an output ending in {endings}", path.name, "choose one of these endings")
