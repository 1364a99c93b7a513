"""A prepared corpus on disk: a folder of HDF5 files, one series each, and `index.json`. Read window by window.

    index.json            {"format": "clearmr-corpus", "version": 1, "series": [...], "provenance": {...}}: of each
                          series its file, subject, shape, accelerations, peak, noise_sd; so that a corpus of any
                          size opens at once
    0000_NAME.h5
      image               (frame, z, y, x) complex64 in SNR units: noise of SD noise_sd in each of real and imaginary
      noise_sd            (1 or frame, 1 or z, 1 or y, 1 or x) float32, expected SD of the noise that is in the image
      gmap                (1, 1 or z, y, x) float32, native g
      gmaps               (R, 1 or z, y, x) float32, g maps to shape added noise with, for R = attribute `accelerations`
      attributes          format, version, subject, spacing (z, y, x) mm, accelerations, noise_source, simulated
                          (what was: "phase", "gmaps"), peak (99.9 % quantile of the magnitude), meta and provenance
                          (JSON text)

Arrays are contiguous and not compressed, so that a window costs no more than its bytes.
"""

import functools
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from jaxtyping import Complex, Float, Inexact
from torch import Tensor

from clearmr.errors import InputError
from clearmr.methods.snraware.corpus import Series, clean_series
from clearmr.methods.snraware.gmaps import GMAP_MAX
from clearmr.scan import SnrImage

FORMAT, VERSION, INDEX = "clearmr-corpus", 1, "index.json"
OPEN_FILES = 64
LEAST_DEPTH = 32  # slices of a volume that is worth cutting across
TIME, DEPTH, ROWS, COLUMNS = range(4)  # axes of the image that a series of patches may follow
Window = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Entry:
    """One series to write; units, shapes and names as in the module's docstring."""

    image: Complex[Tensor, "frame z y x"]
    noise_sd: Float[Tensor, "#frame #z #y #x"]
    gmap: Float[Tensor, "1 #z y x"]
    gmaps: Float[Tensor, "r #z y x"]
    accelerations: tuple[int, ...]
    subject: str
    spacing: tuple[float, float, float]
    noise_source: str
    simulated: tuple[str, ...]
    meta: Mapping[str, Any]

    @property
    def peak(self) -> float:
        magnitude = self.image.abs().flatten()
        return float(torch.quantile(magnitude[:: max(1, magnitude.numel() // 10**6)], 0.999))


def write_series(entry: Entry, path: Path, *, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Write one series; its line of the index."""
    peak = entry.peak
    with h5py.File(path, "w") as file:
        for name in ("image", "noise_sd", "gmap", "gmaps"):
            file.create_dataset(name, data=getattr(entry, name).contiguous().numpy())
        file.attrs.update(
            format=FORMAT, version=VERSION, subject=entry.subject, spacing=entry.spacing, peak=peak,
            accelerations=np.array(entry.accelerations, dtype=int), noise_source=entry.noise_source,
            simulated=",".join(entry.simulated), meta=_text(entry.meta), provenance=_text(provenance),
        )  # fmt: skip
    return {
        "file": path.name,
        "subject": entry.subject,
        "shape": list(entry.image.shape),
        "accelerations": list(entry.accelerations),
        "peak": peak,
        "noise_sd": float(entry.noise_sd.median()),
    }


def write_index(folder: Path, series: Sequence[Mapping[str, Any]], *, provenance: Mapping[str, Any]) -> None:
    """Write index.json of a folder of series."""
    index = {"format": FORMAT, "version": VERSION, "series": list(series), "provenance": dict(provenance)}
    (folder / INDEX).write_text(_text(index) + "\n", encoding="utf-8")


def _text(value: Mapping[str, Any]) -> str:
    return json.dumps(dict(value), indent=1, default=str, ensure_ascii=False)


def is_corpus(path: Path) -> bool:
    """Whether `path` is the folder of a corpus."""
    return (path / INDEX).is_file()


def open_corpus(folder: Path) -> list["StoredSeries"]:
    """The series of a corpus; no image is read. Raises InputError where its index is none, or a file is missing."""
    todo = "prepare it again with clearmr train prepare"
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        if (index["format"], index["version"]) != (FORMAT, VERSION):
            found = f"{index['format']} {index['version']} in {folder}"
            raise InputError(f"a corpus of version {VERSION}", found, todo)
        series = [_stored(folder, line) for line in index["series"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"the index of a corpus in {folder / INDEX}", repr(error), todo) from error
    missing = [s.path.name for s in series if not s.path.is_file()]
    if missing:
        raise InputError(f"the series of the index of {folder}", f"no {missing[0]} ({len(missing)} missing)", todo)
    return series


def series_of(case: "SnrImage | StoredSeries") -> list["Series | StoredSeries"]:
    """The series of one case to train on: an image cut into series in memory, or a series of a corpus as it is."""
    return [case] if isinstance(case, StoredSeries) else [*clean_series(case)]


def _stored(folder: Path, line: Mapping[str, Any]) -> "StoredSeries":
    frame, z, y, x = (int(n) for n in line["shape"])
    accelerations = tuple(int(r) for r in line["accelerations"])
    peak, noise_sd = float(line["peak"]), float(line["noise_sd"])
    return StoredSeries(folder / line["file"], (frame, z, y, x), accelerations, line["subject"], peak, noise_sd)


@functools.lru_cache(maxsize=OPEN_FILES)
def _opened(path: Path, process: int) -> dict[str, h5py.Dataset]:
    """The arrays of a file that is kept open; `process` because handles do not live through a fork."""
    try:
        file = h5py.File(path, "r")
        return {name: file[name] for name in ("image", "noise_sd", "gmaps")}
    except (OSError, KeyError) as error:
        raise InputError("a whole HDF5 series", f"{path} ({error})", "prepare the corpus again") from error


def _array(path: Path, name: str) -> h5py.Dataset:
    return _opened(path, os.getpid())[name]


@dataclass(frozen=True)
class StoredSeries:
    """One series of a corpus: what its index says, and windows of its arrays. noise_sd: median over voxels."""

    path: Path
    shape: tuple[int, int, int, int]
    accelerations: tuple[int, ...]
    subject: str
    peak: float
    noise_sd: float

    def aligned(self, n_frames: int, window: Sequence[int]) -> list[int]:
        """The axes, TIME or DEPTH, along which there are n_frames frames of at least `window` (y, x)."""
        if self.shape[2] < window[0] or self.shape[3] < window[1]:
            return []
        found = [axis for axis in (TIME, DEPTH) if self.shape[axis] >= n_frames]
        return found if n_frames > 1 else found[:1]

    def cuts(self) -> list[int]:
        """The axes along which the series may be cut into frames."""
        n_frames, *volume = self.shape
        across = [ROWS, COLUMNS] if min(volume) >= LEAST_DEPTH else []
        return [TIME] * (n_frames > 1) + [DEPTH] * (volume[0] > 1 or n_frames == 1) + across

    def cut_out(
        self, axis: int, n_frames: int, window: Sequence[int], generator: torch.Generator
    ) -> tuple[Tensor, Tensor, "OwnMaps | None"]:
        """A random window as it is: (frame, y, x) complex64, the noise SD in it, its own g maps (None: none known)."""
        lengths = (n_frames, 1) if axis == TIME else (1, n_frames)
        parts = zip(self.shape, (*lengths, *window), strict=True)
        place = [_random_slice(n, length, generator) for n, length in parts]
        image = torch.from_numpy(_array(self.path, "image")[tuple(place)])
        frames, noise_sd = (a.movedim(axis, 0).flatten(0, 1) for a in (image, self._broadcast("noise_sd", place)))
        start, size = (place[2].start, place[3].start), (window[0], window[1])
        return frames, noise_sd, OwnMaps(self, place[1], start, size) if self.accelerations else None

    def _broadcast(self, name: str, place: Sequence[slice]) -> Tensor:
        """A window of an array whose axes may have length 1."""
        array = _array(self.path, name)
        return torch.from_numpy(array[tuple(_within(n, s) for n, s in zip(array.shape, place, strict=True))])

    def along(self, axis: int, generator: torch.Generator) -> "StoredFrames":
        """Its frames along an axis, at a random slice of the time, or time of the volume."""
        other = 1 if axis == TIME else 0
        return StoredFrames(self, axis, int(torch.randint(self.shape[other], (), generator=generator)))


def _random_slice(n: int, length: int, generator: torch.Generator) -> slice:
    start = int(torch.randint(n - length + 1, (), generator=generator))
    return slice(start, start + length)


def _within(n: int, place: slice) -> slice:
    return slice(0, 1) if n == 1 else place


@dataclass(frozen=True)
class StoredFrames:
    """Frames (n, y, x) of a stored series along one axis of its image; `at`: its place on the axis left out."""

    series: StoredSeries
    axis: int
    at: int

    @property
    def shape(self) -> tuple[int, int, int]:
        frame, z, y, x = self.series.shape
        return ((frame, y, x), (z, y, x), (y, z, x), (x, z, y))[self.axis]

    def __getitem__(self, window: Window) -> Inexact[Tensor, "n y x"]:
        a, b, c = window
        fixed = slice(self.at, self.at + 1)
        place = ((a, fixed, b, c), (fixed, a, b, c), (fixed, b, a, c), (fixed, b, c, a))[self.axis]
        found = torch.from_numpy(_array(self.series.path, "image")[place])
        return found.squeeze(1 if self.axis == TIME else 0).movedim(max(self.axis - 1, 0), 0)


@dataclass(frozen=True)
class OwnMaps:
    """The g maps of a series for one of its windows: index 0 is all ones, then one for each acceleration."""

    series: StoredSeries
    slices: slice
    start: tuple[int, int]
    shape: tuple[int, int]

    @property
    def count(self) -> int:
        return 1 + len(self.series.accelerations)

    @property
    def frame(self) -> tuple[int, int]:
        return self.series.shape[2], self.series.shape[3]

    def read(self, index: int, *, whole: bool) -> Float[Tensor, "#frame y x"]:
        """The map of the window, or of its whole frames; at most `GMAP_MAX`."""
        if index == 0:
            return torch.ones((1, *(self.frame if whole else self.shape)))
        array = _array(self.series.path, "gmaps")
        (y, x), (height, width) = self.start, self.shape
        rows, columns = (slice(None), slice(None)) if whole else (slice(y, y + height), slice(x, x + width))
        found = array[index - 1, _within(array.shape[1], self.slices), rows, columns]
        return torch.from_numpy(found).clamp(max=GMAP_MAX)
