"""What the network learns from: windows of seven slices of one half, and the centre slice of the other half.

Drawn, then applied: a `Draw` says all that is random about a sample, and can be saved and replayed.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Inexact
from torch import Tensor

from clearmr.errors import InputError
from clearmr.methods.mr_self_noise2noise.config import HalfPair, SelfNoise2NoiseConfig
from clearmr.methods.mr_self_noise2noise.model import mirrored, to_channels, unit_of
from clearmr.train.stream import Batch, seed_of

# Which axis of (z, y, x) the slices are cut along, and the order of axes that puts it first; and back.
TURNS = (((0, 1, 2), (0, 1, 2)), ((1, 0, 2), (1, 0, 2)), ((2, 0, 1), (1, 2, 0)))


@runtime_checkable
class Array(Protocol):
    """A tensor, or an array on disk: `array[window]`, a number or slice per axis, reads no more than the window."""

    @property
    def shape(self) -> Any: ...

    def __getitem__(self, window: Any) -> Tensor: ...


@runtime_checkable
class Half(Protocol):
    """What is read of an `SnrImage`: (1, z, y, x), noise_sd broadcastable to it."""

    @property
    def image(self) -> Any: ...  # an Array

    @property
    def noise_sd(self) -> Any: ...  # an Array

    @property
    def is_complex(self) -> bool: ...


@runtime_checkable
class Pair(Protocol):
    """A `HalfPair`, or what stands for one on disk, whose `whole()` then gives it."""

    @property
    def first(self) -> Half: ...

    @property
    def second(self) -> Half: ...

    @property
    def original(self) -> Half: ...


def whole(pair: Pair) -> HalfPair:
    """The pair in memory."""
    return pair if isinstance(pair, HalfPair) else pair.whole()  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Draw:
    """All that is random about one sample.

    axis     of (z, y, x), along which the slices are cut; corner: centre slice, and first row and column
    flips    of slices, rows and columns
    phase    of a complex image, in radians; level: of the noise added to the input, in units of its own SD
    noise    the seed of that noise
    """

    subject: int
    swapped: bool
    axis: int
    corner: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    phase: float
    level: float
    noise: int


class Samples:
    """Samples of some pairs as `train.stream.Samples`: item (step, index) depends on the seed and nothing else.

    Raises InputError where a pair is not complex, or its first half has no noise. A pair whose second half has none
    (a clean target) is never swapped.
    """

    def __init__(self, pairs: Sequence[Pair], config: SelfNoise2NoiseConfig, seed: int) -> None:
        self.pairs, self.config, self.seed, self.batch = list(pairs), config, seed, config.data.batch
        _check(self.pairs, config)
        halves = [(pair.first, pair.second, pair.original) for pair in self.pairs]
        self.units = [_units(*images, config) for images in halves]

    def __call__(self, step: int, index: int) -> Batch:
        return self.apply(self.draw(step, index))

    def draw(self, step: int, index: int) -> Draw:
        """What sample `index` of step `step` is made of."""
        data, generator = self.config.data, torch.Generator().manual_seed(seed_of(self.seed, step, index))
        subject = _whole(generator, len(self.pairs))
        swapped = _whole(generator, 2) == 1 and self.units[subject][1] > 0
        axis = _whole(generator, 3) if data.orientations == "all" else 0
        sizes = _sizes(self.pairs[subject], axis)
        free = (sizes[0], *(max(1, n - data.patch + 1) for n in sizes[1:]))
        z, y, x = (_whole(generator, n) for n in free)
        flips = torch.rand(3, generator=generator) < 0.5
        phase, level = (torch.rand(2, generator=generator) * torch.tensor((2 * math.pi, data.added_noise))).tolist()
        noise = seed_of(self.seed, step, index, 1)
        a, b, c = (bool(flip) for flip in flips)
        return Draw(subject, swapped, axis, (z, y, x), (a, b, c), phase, level, noise)

    def apply(self, draw: Draw) -> Batch:
        """Input (1, C, S, patch, patch) and target (1, C', 1, patch, patch), in the unit of the input's scan."""
        pair, net = self.pairs[draw.subject], self.config.net
        given, label = (pair.second, pair.first) if draw.swapped else (pair.first, pair.second)
        unit = self.units[draw.subject][draw.swapped]
        at = _indices(draw, _sizes(pair, draw.axis), net.slices, self.config.data.patch)
        centre = (at[0][net.slices // 2, None], *at[1:])
        image, noise_sd = _with_noise(cut(given.image, at, draw.axis), cut(given.noise_sd, at, draw.axis), draw)
        target = cut(label.image, centre, draw.axis)
        if net.image == "complex":
            turn = torch.polar(torch.ones(()), torch.tensor(draw.phase))
            image, target = image * turn, target * turn
        silent = dataclasses.replace(net, noise_map=False)
        return (
            to_channels((image / unit)[None], (noise_sd / unit)[None], net=net),
            to_channels((target / unit)[None], target.real[None], net=silent),
        )


def cut(values: Array, at: Sequence[Tensor], axis: int) -> Inexact[Tensor, "s h w"]:
    """Voxels of (1, z, y, x) at the given indices of slices along `axis`, rows and columns; only their box is read."""
    there, back = TURNS[axis]
    in_order = [at[back[a]] for a in range(3)]
    found = [torch.zeros_like(i) if n == 1 else i for i, n in zip(in_order, values.shape[1:], strict=True)]
    box = values[(0, *(slice(int(i.min()), int(i.max()) + 1) for i in found))]
    for a, indices in enumerate(found):
        box = box.index_select(a, indices - indices.min())
    return box.permute(there)


def _indices(draw: Draw, sizes: Sequence[int], slices: int, patch: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of the slices, rows and columns of a sample; mirrored at the ends of the volume."""
    starts = (draw.corner[0] - slices // 2, *draw.corner[1:])
    made = (
        mirrored(torch.arange(length) + start, n)
        for start, length, n in zip(starts, (slices, patch, patch), sizes, strict=True)
    )
    s, h, w = (i.flip(0) if flip else i for i, flip in zip(made, draw.flips, strict=True))
    return s, h, w


def _with_noise(image: Tensor, noise_sd: Tensor, draw: Draw) -> tuple[Tensor, Float[Tensor, "s h w"]]:
    """Independent complex noise of `level` times its own SD added, and the SD that all of it has."""
    if draw.level == 0:
        return image, noise_sd
    generator = torch.Generator().manual_seed(draw.noise)
    noise = torch.complex(*torch.randn((2, *image.shape), generator=generator))
    return image + draw.level * noise_sd * noise, noise_sd * math.sqrt(1 + draw.level**2)


def _check(pairs: Sequence[Pair], config: SelfNoise2NoiseConfig) -> None:
    if not pairs:
        raise InputError("at least one pair of halves", "none", "give raw 3D scans to train on")
    if config.data.patch < 1 or config.data.batch < 1 or config.data.added_noise < 0:
        found = f"{config.data.patch}, {config.data.batch}, {config.data.added_noise:g}"
        raise InputError("data.patch and data.batch over 0, data.added_noise 0 or more", found, "set them so")
    for pair in pairs:
        if not pair.first.is_complex:
            raise InputError("complex halves to train on", "magnitudes", "make the pairs from raw data")
        if tuple(pair.first.image.shape) != tuple(pair.second.image.shape):
            found = f"{tuple(pair.first.image.shape)} and {tuple(pair.second.image.shape)}"
            raise InputError("two halves of one shape", found, "take both from one scan")


def _units(first: Half, second: Half, original: Half, config: SelfNoise2NoiseConfig) -> tuple[float, float]:
    """What a sample is divided by whose input is the first half, or the second; 0 where that cannot be the input."""
    own = dataclasses.replace(config.net, scale="noise")
    noise = [unit_of(torch.zeros(()), half.noise_sd[...], net=own) for half in (first, second)]
    if noise[0] == 0:
        raise InputError("noise in the first half of a pair", "noise_sd 0 everywhere", "put the clean image second")
    if config.net.scale == "peak":
        peak = unit_of(original.image[...], torch.zeros(()), net=config.net)
        return peak, peak if noise[1] > 0 else 0.0
    return noise[0], noise[1]


def _sizes(pair: Pair, axis: int) -> tuple[int, int, int]:
    shape = pair.first.image.shape[1:]
    z, y, x = (int(shape[a]) for a in TURNS[axis][0])
    return z, y, x


def _whole(generator: torch.Generator, n: int) -> int:
    return int(torch.randint(n, (), generator=generator))
