"""Pairs on disk: an HDF5 file for each frame of a raw scan, made once, read by the window.

    NAME_KEY_FRAME.h5     KEY: 16 digits of `key_of`, which tells the scan's bytes and how they were split
      first, second, original     groups, as in `HalfPair`
        image             (1, z, y, x) complex64 (or float32)
        noise_sd, gmap    (1, 1 or z, 1 or y, 1 or x) float32; gmap is a link to noise_sd where both are equal
        attributes        noise_source, meta (JSON text)
      attributes          format, version, key (whole), frame, frames (of the scan), spacing (z, y, x) mm, affine where
                          known, provenance (JSON text)

Arrays lie in cubes of CHUNK voxels, not compressed: a patch costs about as many bytes in any orientation.
"""

import contextlib
import functools
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from clearmr.errors import InputError
from clearmr.files import whole_file
from clearmr.formats.provenance import hash_file
from clearmr.methods.mr_self_noise2noise.config import HalfPair, SplitConfig
from clearmr.scan import SnrImage

try:
    import fcntl
except ImportError:  # Windows: two processes may then make one pair twice, each whole
    fcntl = None  # type: ignore[assignment]

FORMAT = "clearmr-pairs"
VERSION = 1  # to be raised whenever `pairs.split` makes other numbers: pairs on disk are then made anew
CHUNK = (16, 32, 32)
OPEN_FILES = 64
IMAGES = ("first", "second", "original")


def key_of(path: Path, config: SplitConfig, **how: Any) -> str:
    """SHA-256 over the file's bytes, the settings of the split, `how` (whatever else the pair depends on) and VERSION.

    The bytes, not name, size and time: pairs then follow a scan that was moved, copied or touched, and never outlive
    one that was replaced. Reading a gigabyte takes a second or two, splitting it minutes.
    """
    told = {"version": VERSION, "split": asdict(config), "scan": hash_file(path), **how}
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True)
class StoredArray:
    """An array in a file: `array[window]` reads no more than the window, a slice or number for each axis."""

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype

    def __getitem__(self, window: Any) -> Tensor:
        return torch.from_numpy(np.asarray(_opened(self.path, os.getpid())[self.name][window]))

    def is_complex(self) -> bool:
        return self.dtype.is_complex


@dataclass(frozen=True)
class StoredImage:
    """An `SnrImage` whose arrays stay on disk; `whole()` reads it."""

    image: StoredArray
    noise_sd: StoredArray
    gmap: StoredArray
    noise_source: Any
    spacing: tuple[float, float, float]
    affine: np.ndarray | None
    meta: Mapping[str, Any]

    @property
    def is_complex(self) -> bool:
        return self.image.is_complex()

    def whole(self) -> SnrImage:
        image, noise_sd, gmap = (array[...] for array in (self.image, self.noise_sd, self.gmap))
        return SnrImage(
            image, noise_sd, gmap, self.noise_source, spacing=self.spacing, affine=self.affine, meta=self.meta
        )


@dataclass(frozen=True)
class StoredPair:
    """A `HalfPair` whose arrays stay on disk; `whole()` reads it. key, frame: which it is."""

    path: Path
    key: str
    frame: int
    first: StoredImage
    second: StoredImage
    original: StoredImage

    def whole(self) -> HalfPair:
        return HalfPair(self.first.whole(), self.second.whole(), self.original.whole())


@functools.lru_cache(maxsize=OPEN_FILES)
def _opened(path: Path, process: int) -> h5py.File:
    """A file that is kept open; `process` because handles do not live through a fork."""
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise InputError("a whole file of pairs", f"{path} ({error})", "delete it and start again") from error


def write(
    pairs: Sequence[HalfPair], cache: Path, key: str, *, name: str, provenance: Mapping[str, Any]
) -> list[StoredPair]:
    """Write the frames of one scan, each file whole or not at all, the folder made where it is missing."""
    cache.mkdir(parents=True, exist_ok=True)
    for frame in reversed(range(len(pairs))):  # the first frame, which says how many there are, last
        path = _path(cache, key, frame, name)
        with whole_file(path, force=True) as temporary, h5py.File(temporary, "w") as file:
            file.attrs.update(format=FORMAT, version=VERSION, key=key, frame=frame, frames=len(pairs))
            file.attrs["provenance"] = _text(provenance)
            _write_pair(pairs[frame], file)
    found = stored(cache, key)
    if found is None:
        raise OSError(f"the pairs just written to {cache} cannot be read")
    return found


def _path(cache: Path, key: str, frame: int, name: str) -> Path:
    return cache / f"{re.sub(r'[^A-Za-z0-9._-]', '_', name)[:80]}_{key[:16]}_{frame}.h5"


def _write_pair(pair: HalfPair, file: h5py.File) -> None:
    file.attrs["spacing"] = pair.original.spacing
    if pair.original.affine is not None:
        file.attrs["affine"] = pair.original.affine
    for name in IMAGES:
        image: SnrImage = getattr(pair, name)
        group = file.create_group(name)
        group.attrs.update(noise_source=image.noise_source, meta=_text(image.meta))
        _write_array(group, "image", image.image)
        _write_array(group, "noise_sd", image.noise_sd.float())
        if torch.equal(image.gmap.float(), image.noise_sd.float()):
            group["gmap"] = group["noise_sd"]
        else:
            _write_array(group, "gmap", image.gmap.float())


def _write_array(group: h5py.Group, name: str, values: Tensor) -> None:
    sizes = (min(n, chunk) for n, chunk in zip(values.shape, (1, *CHUNK), strict=True))
    group.create_dataset(name, data=values.detach().cpu().contiguous().numpy(), chunks=tuple(sizes))


def _text(value: Mapping[str, Any]) -> str:
    return json.dumps(dict(value), default=str, ensure_ascii=False)


def stored(cache: Path, key: str) -> list[StoredPair] | None:
    """The pairs of one key, frame by frame, no image read; None where one is missing, broken or of another version."""
    try:
        found = {pair.frame: (pair, frames) for pair, frames in map(_open_pair, cache.glob(f"*_{key[:16]}_*.h5"))}
    except (OSError, KeyError, ValueError, TypeError):
        return None
    if 0 not in found or set(found) != set(range(found[0][1])) or any(pair.key != key for pair, _ in found.values()):
        return None
    return [found[frame][0] for frame in sorted(found)]


def _open_pair(path: Path) -> tuple[StoredPair, int]:
    """A file's pair, and how many frames its scan has. Raises OSError, KeyError, ValueError, TypeError if broken."""
    with h5py.File(path, "r") as file:
        attributes = dict(file.attrs)
        if (attributes["format"], attributes["version"]) != (FORMAT, VERSION):
            raise ValueError(f"{path} holds other things than pairs of version {VERSION}")
        first, second, original = (_open_image(path, file[name], attributes) for name in IMAGES)
    pair = StoredPair(path, str(attributes["key"]), int(attributes["frame"]), first, second, original)
    return pair, int(attributes["frames"])


def _open_image(path: Path, group: h5py.Group, attributes: Mapping[str, Any]) -> StoredImage:
    z, y, x = (float(size) for size in attributes["spacing"])
    return StoredImage(
        image=_array(path, group, "image"),
        noise_sd=_array(path, group, "noise_sd"),
        gmap=_array(path, group, "gmap"),
        noise_source=str(group.attrs["noise_source"]),
        spacing=(z, y, x),
        affine=attributes.get("affine"),
        meta=json.loads(group.attrs["meta"]),
    )


def _array(path: Path, group: h5py.Group, name: str) -> StoredArray:
    found = group[name]
    kind = torch.complex64 if found.dtype.kind == "c" else torch.float32
    return StoredArray(path, f"{group.name}/{name}".lstrip("/"), tuple(found.shape), kind)


@contextlib.contextmanager
def one_at_a_time(cache: Path) -> Iterator[None]:
    """Processes of one machine that share a cache make pairs in turn: the second finds what the first has made.

    The lock lies in the machine's temporary folder, so that a cache in which nothing was made is not begun.
    """
    if fcntl is None:
        yield
        return
    name = hashlib.sha256(str(cache.resolve()).encode()).hexdigest()[:16]
    with (Path(tempfile.gettempdir()) / f"clearmr-pairs-{os.getuid()}-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
