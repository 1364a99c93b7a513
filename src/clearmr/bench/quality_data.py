"""The images of the quality table: what the user names, told apart by shape, else simulated."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from clearmr import formats, road
from clearmr.scan import RawScan, SnrImage
from clearmr.simulate import simulate

FOREGROUND = 0.1  # of the maximum
SEED = 11


@dataclass(frozen=True)
class Sizes:
    """How much of an image is judged: for the time it takes. Volumes and planes are cut at the foreground's middle."""

    volume: int = 96  # of each axis of a named volume
    brain: int = 64  # of each axis of the simulated one
    frame: int = 224  # y and x of a named series
    plane: int = 144  # of the simulated one
    frames: int = 10
    accelerated: tuple[int, int] = (96, 12)  # (y and x, frames) of the R = 4 series
    draws: int = 3  # of noise, for lesions


@dataclass(frozen=True)
class Data:
    """Named or simulated images by what they are for; magnitudes (frame, z, y, x) of maximum 1."""

    volumes: tuple[tuple[str, Tensor], ...]
    series: tuple[tuple[str, Tensor], ...]
    repeats: tuple[tuple[str, SnrImage], ...]


def collect(paths: tuple[Path, ...], sizes: Sizes) -> Data:
    """Volumes, series and repeats among `paths`; the simulated brain and cine for a kind that is not among them.

    One volume is taken as clean. A folder of PNG (one per frame, by name) or a one-slice series is a clean cine.
    Several volumes, or the repetitions of a raw scan, are repeats of one subject. Raises InputError.
    """
    volumes, series, repeats = [], [], []
    for path in paths:
        name = path.name or str(path)
        image = _image(path)
        frames, slices = image.image.shape[:2]
        if image.is_complex or (frames > 1 and slices > 1):
            repeats.append((name, image))
        elif frames > 1:
            series.append((name, series_crop(image.image, sizes)))
        else:
            volumes.append((name, volume_crop(image.image, sizes.volume)))
    volumes = volumes or [("simulated brain", simulated_brain(sizes))]
    series = series or [("simulated cine", simulated_cine(sizes))]
    return Data(tuple(volumes), tuple(series), tuple(repeats))


def simulated_brain(sizes: Sizes) -> Tensor:
    """The head of `simulate`, its middle, at 1.5 times the matrix of the crop."""
    n = round(1.5 * sizes.brain)
    return volume_crop(simulate("brain", matrix=(n, n, n), n_coils=2, seed=SEED).truth.abs(), sizes.brain)


def simulated_cine(sizes: Sizes) -> Tensor:
    """The heart of `simulate`."""
    matrix = (1, sizes.plane, sizes.plane)
    return _unit(simulate("cine", matrix=matrix, n_frames=sizes.frames, n_coils=2, seed=SEED).truth.abs())


def volume_crop(volume: Tensor, size: int) -> Tensor:
    """(1, z, y, x) of at most `size` each, round the middle of the foreground, maximum 1."""
    return _unit(_crop(volume.float(), (1, 2, 3), size))


def series_crop(series: Tensor, sizes: Sizes) -> Tensor:
    """(frame, 1, y, x), at most `sizes.frames` frames and `sizes.frame` in the plane, maximum 1."""
    return _unit(_crop(series.float()[: sizes.frames], (2, 3), sizes.frame))


def foreground(image: Tensor) -> Tensor:
    """Voxels above 10 % of the maximum."""
    return image.abs() > FOREGROUND * image.abs().max()


def _unit(image: Tensor) -> Tensor:
    return image / image.abs().max()


def _crop(image: Tensor, axes: tuple[int, ...], size: int) -> Tensor:
    for axis, (low, high) in zip(axes, _box(image, axes), strict=True):
        n = image.shape[axis]
        start = min(max((low + high + 1 - size) // 2, 0), max(n - size, 0))
        image = image.narrow(axis, start, min(size, n))
    return image


def _box(image: Tensor, axes: tuple[int, ...]) -> list[tuple[int, int]]:
    """First and last index of the foreground along each axis."""
    inside = foreground(image)
    found = []
    for axis in axes:
        others = [other for other in range(image.ndim) if other != axis]
        where = torch.nonzero(inside.sum(dim=others))[:, 0]
        found.append((int(where[0]), int(where[-1])))
    return found


def _image(path: Path) -> SnrImage:
    """A file as an image; raw data without noise lines get their noise estimated, for it is only shown."""
    loaded = formats.load(path)
    if isinstance(loaded, RawScan):
        return road.reconstruct(loaded, estimate_noise=loaded.noise is None)
    return loaded
