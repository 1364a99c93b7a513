"""What Deformed2Self's tables are made on: a PINCAT-like phantom, and a real cine that the user names."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from clearmr import formats
from clearmr.errors import InputError
from clearmr.formats import frames
from clearmr.scan import SnrImage
from clearmr.simulate import image_noise, pincat_series
from clearmr.train.stream import seed_of

Source = Literal["pincat", "cine"]
MOVING = 0.95  # quantile of the temporal SD above which a pixel of a cine moves
CLOSING = 5  # pixels that close a ring, of which less moves on one side
SMOOTHING = 2.0  # pixels, of that SD: a heart in one piece, its blood and wall together
KINDS = {"gaussian": "Gaussian", "rician": "Rician", "poisson": "Poisson"}


@dataclass(frozen=True)
class Noise:
    """kind: a model of `simulate.image_noise`; level: the SD as a fraction of the data range, or counts P."""

    kind: str
    level: float

    @property
    def name(self) -> str:
        """For names of runs: "gaussian-15", "poisson-20"."""
        return f"{self.kind}-{self.level:g}" if self.kind == "poisson" else f"{self.kind}-{100 * self.level:.0f}"

    @property
    def label(self) -> str:
        """For people."""
        said = f"P = {self.level:g}" if self.kind == "poisson" else f"{self.level:.0%}"
        return f"{KINDS[self.kind]} {said}"


@dataclass(frozen=True)
class Sizes:
    """matrix, frames: of the phantom; window: frames round the target that are used, 0 for all; crop: of the cine.

    crop: side in pixels, round the heart; 0 for whole frames. targets: of the cine, "first" and "middle".
    """

    matrix: tuple[int, int] = (128, 128)
    frames: int = 50
    window: int = 0
    crop: int = 0
    targets: tuple[str, ...] = ("first", "middle")


@dataclass(frozen=True)
class Series:
    """clean (frame, 1, y, x), 0 to 1; frames that are targets, and the moving heart in each of them, (y, x) bool."""

    clean: Tensor
    targets: tuple[int, ...]
    hearts: tuple[Tensor, ...]


@functools.lru_cache(maxsize=4)
def series(source: Source, sizes: Sizes, seed: int, paths: tuple[Path, ...]) -> Series:
    """The phantom of a seed, or the cine of the files. Raises InputError."""
    return phantom(sizes, seed) if source == "pincat" else cine(read_frames(paths), sizes)


def phantom(sizes: Sizes, seed: int) -> Series:
    """The middle frame is the target, and the phantom knows where its heart is."""
    made = pincat_series((1, *sizes.matrix), n_frames=sizes.frames, seed=seed)
    start, stop = _window(made.target, sizes.frames, sizes.window)
    return Series(made.frames[start:stop], (made.target - start,), (made.heart(made.target),))


def cine(frames: Tensor, sizes: Sizes) -> Series:
    """Of frames (frame, 1, y, x). Raises InputError where nothing moves."""
    heart = moving_heart(frames)
    y, x = (_cut(heart, axis, sizes.crop) for axis in (0, 1))
    clean, inside = frames[..., y, x], heart[y, x]
    named = {"first": 0, "middle": len(frames) // 2}
    targets = tuple(named[name] for name in sizes.targets)
    return Series(clean.contiguous(), targets, (inside,) * len(targets))


def moving_heart(frames: Tensor) -> Tensor:
    """(y, x) bool: where the smoothed SD over time is above its 95 % quantile, the largest piece, closed and filled."""
    spread = ndimage.gaussian_filter(frames[:, 0].std(0).numpy(), SMOOTHING)
    pieces, n = ndimage.label(spread > np.quantile(spread, MOVING))
    if not n or not float(spread.max()) > 0:
        raise InputError("frames of a moving heart", "frames that are all alike", "name a cine")
    largest = pieces == np.bincount(pieces.ravel())[1:].argmax() + 1
    return torch.from_numpy(ndimage.binary_fill_holes(ndimage.binary_closing(largest, iterations=CLOSING)))


def noisy(found: Series, noise: Noise, seed: int) -> SnrImage:
    """One draw of the noise on all frames; the same one for every method."""
    drawn = seed_of(seed, *noise.name.encode())
    return image_noise(noise.kind, found.clean, noise.level, torch.Generator().manual_seed(drawn))


def read_frames(paths: Sequence[Path]) -> Tensor:
    """A folder of PNG or one image of a series, as `formats.load` reads them; or PNG files.

    (frame, 1, y, x) float32, maximum 1. Raises InputError for anything else.
    """
    if len(paths) == 1 and paths[0].suffix.lower() != ".png":
        loaded = formats.load(paths[0])
        values = loaded.image.abs()[:, :1].float() if isinstance(loaded, SnrImage) else torch.zeros(0)
    elif wrong := [path for path in paths if path.suffix.lower() != ".png"]:
        raise InputError("one series, or its frames as PNG", f"{wrong[-1]} among others", "name a folder of PNG")
    else:
        values = frames.read(paths)
    if len(values) < 3 or not float(values.max()) > 0:
        raise InputError("at least three frames of a cine", f"{len(values)} in {paths[0]}", "name a folder of PNG")
    return values / values.max()


def _window(target: int, n_frames: int, window: int) -> tuple[int, int]:
    """First frame and the one after the last of `window` frames with the target in their middle."""
    n = min(window or n_frames, n_frames)
    start = min(max(target - n // 2, 0), n_frames - n)
    return start, start + n


def _cut(heart: Tensor, axis: int, crop: int) -> slice:
    """`crop` pixels of an axis, the heart in their middle."""
    n = heart.shape[axis]
    size = min(crop or n, n)
    start = min(max(int(torch.nonzero(heart)[:, axis].float().mean()) - size // 2, 0), n - size)
    return slice(start, start + size)
