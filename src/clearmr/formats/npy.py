"""numpy files: the plain exchange form (.npz), a single array (.npy), and SNRAware's trio in a folder."""

import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clearmr.errors import InputError
from clearmr.files import whole_file
from clearmr.formats.provenance import from_json, to_json
from clearmr.scan import SnrImage

NAME = "npy"
KIND = "numpy (.npz, .npy, or input_real.npy + input_imag.npy + gmap.npy)"
ENDINGS = (".npz", ".npy")
MAGIC = b"\x93NUMPY"
TRIO = ("input_real.npy", "input_imag.npy", "gmap.npy")
DAMAGE = (ValueError, OSError, EOFError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error)
SOURCES = ("measured", "given", "estimated", "unknown")


def sniff(path: Path) -> bool:
    """Whether it is a .npy file, a zip that holds .npy members, or a folder with SNRAware's trio."""
    if path.is_dir():
        return (path / TRIO[0]).is_file() and (path / TRIO[1]).is_file()
    with path.open("rb") as file:
        start = file.read(6)
    if start == MAGIC:
        return True
    if not start.startswith(b"PK\x03\x04"):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".npy") for name in archive.namelist())
    except DAMAGE:
        return True  # a cut-short archive: its reader says so


def _array(path: Path) -> np.ndarray:
    try:
        # A map first: a header that claims more than the file holds fails before memory is taken.
        found = np.load(path, allow_pickle=False, mmap_mode="r")
        return np.array(found)
    except (*DAMAGE, tokenize.TokenError) as error:
        raise InputError("a whole .npy array of numbers", f"{path.name} ({error})", "save it again") from error


def _inexact(values: np.ndarray, name: str) -> torch.Tensor:
    """complex64 or float32; InputError where the values are no numbers or not finite."""
    if values.dtype.kind not in "biufc":
        raise InputError(f"numbers in {name}", f"dtype {values.dtype}", "save it as float32 or complex64")
    if not np.isfinite(values).all():
        raise InputError(f"finite values in {name}", "NaN or infinite values", "mask or export it again")
    return torch.from_numpy(
        np.ascontiguousarray(values, dtype=np.complex64 if values.dtype.kind == "c" else np.float32)
    )


def frames_last(values: torch.Tensor, name: str) -> torch.Tensor:
    """[H, W] or [H, W, frame] to (frame, 1, H, W). Raises InputError for other shapes."""
    if values.ndim not in (2, 3) or 0 in values.shape:
        todo = "save [H, W] or [H, W, frames], or use .npz for (frame, z, y, x)"
        raise InputError(f"{name} as [H, W] or [H, W, frames]", f"shape {tuple(values.shape)}", todo)
    stacked = values[..., None] if values.ndim == 2 else values
    return stacked.permute(2, 0, 1)[:, None].contiguous()


def _trio(folder: Path) -> SnrImage:
    """SNRAware's files: an image in SNR units and its g map, which is its noise SD."""
    real, imaginary = (_inexact(_array(folder / name), name) for name in TRIO[:2])
    if real.shape != imaginary.shape or real.is_complex() or imaginary.is_complex():
        found = f"{tuple(real.shape)} and {tuple(imaginary.shape)}"
        raise InputError("real and imaginary parts of one shape", found, "save both from the same image")
    image = frames_last(torch.complex(real, imaginary), "input_real.npy")
    if not (folder / TRIO[2]).exists():
        ones = torch.ones((1, 1, 1, 1))
        return SnrImage(image, ones, ones, "given", meta={"warnings": ["no gmap.npy: the g-factor is taken as 1"]})
    gmap = _fitting(frames_last(_inexact(_array(folder / TRIO[2]), TRIO[2]), TRIO[2]), TRIO[2], image)
    return SnrImage(image, gmap, gmap, "given")


def _load_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(path) as zipped:
            claimed = sum(item.file_size for item in zipped.infolist())
        if claimed > 1032 * path.stat().st_size + 2**20:  # deflate cannot do better
            raise InputError("a .npz that fits its size", f"{claimed} bytes claimed", "save it again")
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except InputError:
        raise
    except ValueError as error:
        raise InputError("a .npz of plain arrays", f"{path.name} ({error})", "save without pickled objects") from error
    except (*DAMAGE, tokenize.TokenError) as error:
        raise InputError("a whole .npz", f"{path.name} ({error})", "save it again") from error


def _spacing(parts: dict[str, np.ndarray]) -> tuple[float, float, float]:
    values = np.asarray(parts.get("spacing", (1.0, 1.0, 1.0)), dtype=float).reshape(-1)
    if values.shape != (3,) or not (values > 0).all():
        raise InputError("spacing as three positive mm (z, y, x)", f"{values.tolist()}", "correct 'spacing'")
    return float(values[0]), float(values[1]), float(values[2])


def _from_parts(parts: dict[str, np.ndarray], name: str) -> SnrImage:
    if "image" not in parts:
        found = f"{name} with {', '.join(sorted(parts)[:8]) or 'nothing'}"
        raise InputError("'image' (frame, z, y, x) in the .npz", found, "save it under that name")
    image = _inexact(parts["image"], "image")
    if image.ndim != 4:
        raise InputError("image as (frame, z, y, x)", f"shape {tuple(image.shape)}", "add axes of length 1")
    maps = {key: _map(parts[key], key, image) for key in ("noise_sd", "gmap") if key in parts}
    ones = torch.ones((1, 1, 1, 1))
    meta = from_json(str(parts["meta"]), f"'meta' of {name}") if "meta" in parts else {}
    source = str(parts.get("noise_source", "given")) if "noise_sd" in maps else "unknown"
    affine = np.asarray(parts["affine"], dtype=float) if "affine" in parts else None
    if affine is not None and affine.shape != (4, 4):
        raise InputError("affine as 4 x 4", f"shape {affine.shape}", "correct 'affine' or leave it out")
    return SnrImage(
        image,
        maps.get("noise_sd", ones),
        maps.get("gmap", ones),
        source if source in SOURCES else "given",  # type: ignore[arg-type]
        _spacing(parts),
        affine,
        None,
        meta,
    )


def _map(values: np.ndarray, name: str, image: torch.Tensor) -> torch.Tensor:
    """A real map of four axes that broadcasts to `image`. Raises InputError."""
    found = _inexact(np.asarray(values), name)
    if found.is_complex():
        raise InputError(f"real {name}", f"dtype {values.dtype}", "save its magnitude")
    four = found.reshape((1,) * (4 - found.ndim) + tuple(found.shape)) if found.ndim < 4 else found
    return _fitting(four, name, image)


def _fitting(found: torch.Tensor, name: str, image: torch.Tensor) -> torch.Tensor:
    if found.ndim != 4 or any(n not in (1, m) for n, m in zip(found.shape, image.shape, strict=True)):
        shapes = f"{tuple(found.shape)} for an image {tuple(image.shape)}"
        raise InputError(f"{name} broadcastable to the image", shapes, "give it the image's shape, or 1 on an axis")
    return found


def load(path: Path) -> SnrImage:
    """A .npz exchange file, a .npy array, or SNRAware's trio (the folder or either part). Raises InputError."""
    if path.is_dir():
        return _trio(path)
    if path.name in TRIO[:2] and all((path.parent / name).exists() for name in TRIO[:2]):
        return _trio(path.parent)
    with path.open("rb") as file:
        single = file.read(6) == MAGIC
    if not single:
        return _from_parts(_load_npz(path), path.name)
    ones = torch.ones((1, 1, 1, 1))
    return SnrImage(frames_last(_inexact(_array(path), path.name), path.name), ones, ones, "unknown")


def _parts(image: SnrImage, *, keep_complex: bool) -> dict[str, Any]:
    main = image.image if keep_complex or not image.is_complex else image.image.abs()
    parts: dict[str, Any] = {
        "image": main.detach().cpu().numpy().astype(np.complex64 if main.is_complex() else np.float32),
        "noise_sd": image.noise_sd.detach().cpu().numpy().astype(np.float32),
        "gmap": image.gmap.detach().cpu().numpy().astype(np.float32),
        "spacing": np.array(image.spacing, dtype=float),
        "meta": np.array(to_json(image.meta)),
        "noise_source": np.array(image.noise_source),
    }
    return parts if image.affine is None else {**parts, "affine": image.affine}


def save(image: SnrImage, path: Path, *, keep_complex: bool = False, force: bool = False) -> list[Path]:
    """Write the exchange form (.npz; complex images stay complex), or a single [H, W, frames] array (.npy).

    .npy holds the magnitude unless `keep_complex`, and one slice only. Raises InputError.
    """
    if path.suffix.lower() == ".npz":
        with whole_file(path, force=force) as temporary:
            np.savez_compressed(temporary, **_parts(image, keep_complex=True))
        return [path]
    if image.image.shape[1] != 1:
        raise InputError("one slice for .npy", f"{image.image.shape[1]} slices", "save as .npz, .nii.gz or .h5")
    stacked = _parts(image, keep_complex=keep_complex)["image"][:, 0].transpose(1, 2, 0)
    with whole_file(path, force=force) as temporary:
        np.save(temporary, stacked)
    return [path]
