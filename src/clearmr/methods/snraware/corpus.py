"""What SNRAware learns from: clean series, warped, re-contrasted and given a phase, patch by patch.

The noise, not the anatomy, is to be learnt: a still slice becomes a moving series, a volume is cut along three
axes, and part of the patches are dead-leaves images, which show edges and textures of no anatomy at all.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Complex, Float, Inexact
from torch import Tensor

from clearmr.methods.snraware.config import DataConfig
from clearmr.scan import SnrImage

STEPS = (1, 1, 2, 4, 8)  # of depth between neighbours: thick slices share little
SYNTHETIC_SIZE = 192
SYNTHETIC_IMAGES = 128


@dataclass(frozen=True)
class Series:
    """frames (n, y, x), peak magnitude 1, neighbours in time or depth; native_sd: noise SD already in it, per peak."""

    frames: Inexact[Tensor, "n y x"]
    native_sd: float


def clean_series(image: SnrImage) -> list[Series]:
    """Cut one high-SNR image into series: a volume along its three axes, a moving 2D image along time.

    A 4-D series of volumes is averaged over its frames first. A large magnitude volume (no raw data) is averaged over
    2x2x2 blocks, which takes its own noise down by 2.8; its native noise is then taken as none.
    """
    frames = image.image
    if frames.shape[1] == 1:
        return [_series(frames[:, 0], image)]
    volume = frames.abs().mean(0) if not image.is_complex else frames.mean(0)
    if not image.is_complex and min(volume.shape) >= 64:
        volume = F.avg_pool3d(volume[None], 2)[0]
    cuts = [volume, volume.movedim(1, 0), volume.movedim(2, 0)] if min(volume.shape) >= 32 else [volume]
    return [_series(cut.contiguous(), image) for cut in cuts]


def _series(frames: Tensor, image: SnrImage) -> Series:
    peak = torch.quantile(frames.abs().flatten()[:: max(1, frames.numel() // 10**6)], 0.999)
    measured = image.noise_source == "measured"
    return Series(frames / peak, float(image.noise_sd.float().mean() / peak) if measured else 0.0)


def dead_leaves(size: int, generator: torch.Generator) -> Float[Tensor, "1 y x"]:
    """Occluding ellipses and bars of random grey, size, and texture (Lee, Mumford & Huang 2001), in [0, 1]."""

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    axis = torch.linspace(-1, 1, size)
    image = torch.full((size, size), uniform(0.0, 0.5))
    for _ in range(int(uniform(30.0, 200.0))):
        angle, radius = uniform(0.0, math.pi), math.exp(uniform(math.log(0.015), math.log(0.45)))
        y, x = axis[:, None] - uniform(-1.0, 1.0), axis - uniform(-1.0, 1.0)
        u, v = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
        power = 2.0 if uniform(0.0, 1.0) < 0.6 else 8.0
        distance = (u.abs() / radius) ** power + (v.abs() / (radius * uniform(0.15, 1.0))) ** power
        edge = torch.sigmoid((1 - distance) * radius * size * uniform(0.3, 1.0))
        texture = (
            uniform(0.0, 0.15) * torch.sin(u * uniform(5.0, 120.0) + uniform(0.0, 6.0))
            if uniform(0.0, 1.0) < 0.3
            else 0.0
        )
        image = image + edge * (uniform(0.0, 1.0) + texture - image)
    return image.clamp(0, 1)[None]


def synthetic_series(generator: torch.Generator, n: int = SYNTHETIC_IMAGES) -> list[Series]:
    """n dead-leaves images as series of one frame."""
    return [Series(dead_leaves(SYNTHETIC_SIZE, generator), 0.0) for _ in range(n)]


@dataclass(frozen=True)
class Patch:
    """clean (frame, y, x) complex64 at its native SNR, noise SD `native_sd` in it."""

    clean: Complex[Tensor, "frame y x"]
    native_sd: float


class PatchSampler:
    """Draws patches from series: all randomness from the generator passed to `draw`."""

    def __init__(self, data: Sequence[Series], synthetic: Sequence[Series], config: DataConfig) -> None:
        self.data, self.synthetic, self.config = data, synthetic, config

    def draw(self, n_frames: int, generator: torch.Generator) -> Patch:
        """One patch of n_frames frames: warped, re-contrasted, with a smooth phase, scaled to a random native SNR."""
        pool = self.synthetic if _uniform(generator) < self.config.synthetic or not self.data else self.data
        series = pool[int(torch.randint(len(pool), (), generator=generator))]
        frames = _warped(series.frames, n_frames, self.config.patch[1:], generator)
        if not frames.is_complex():
            frames = _recontrast(frames, generator)
            frames = frames * torch.polar(torch.ones(()), _smooth_field(frames.shape[-2:], generator, math.pi))
        low, high = self.config.native_snr
        snr = low * (high / low) ** _uniform(generator)
        return Patch(frames * snr * _breathing_contrast(n_frames, generator), series.native_sd * snr)


def _uniform(generator: torch.Generator, low: float = 0.0, high: float = 1.0) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def _smooth_field(shape: Sequence[int], generator: torch.Generator, amplitude: float) -> Tensor:
    nodes = 2 + int(torch.randint(4, (), generator=generator))
    coarse = torch.randn((1, 1, nodes, nodes), generator=generator) * amplitude * _uniform(generator)
    return F.interpolate(coarse, size=tuple(shape), mode="bicubic", align_corners=True)[0, 0]


def _breathing_contrast(n_frames: int, generator: torch.Generator) -> Tensor:
    """A slow change of brightness over frames, in one patch of four: contrast arrives, magnetisation relaxes."""
    depth = _uniform(generator, 0.0, 0.5) if _uniform(generator) < 0.25 else 0.0
    phase = _uniform(generator, 0.0, 2.0 * math.pi)
    return (1 - depth * (0.5 + 0.5 * torch.sin(torch.arange(n_frames) * 0.5 + phase)))[:, None, None]


def _recontrast(frames: Tensor, generator: torch.Generator) -> Tensor:
    """Another monotone grey scale in half of the patches, an inverted one in a seventh."""
    choice = _uniform(generator)
    if choice < 0.5:
        return frames.clamp(min=0) ** _uniform(generator, 0.6, 1.7)
    if choice < 0.64:
        return torch.where(frames > 0.05, (1.05 - frames).clamp(min=0), frames.abs())
    return frames


def _warped(frames: Tensor, n_frames: int, shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """n_frames of a random place, turned and zoomed; a single frame moves, in time or depth neighbours follow."""
    step = STEPS[int(torch.randint(len(STEPS), (), generator=generator))]
    along = len(frames) >= step * n_frames and _uniform(generator) < 0.5
    first = int(torch.randint(len(frames) - (step * (n_frames - 1) if along else 0), (), generator=generator))
    picked = frames[first : first + step * n_frames : step] if along else frames[first : first + 1]
    grid = _grid(frames.shape[-2:], shape, generator)[None]
    if not along and n_frames > 1:
        grid = grid + _motion(n_frames, shape, frames.shape[-2:], generator)
    channels = torch.view_as_real(picked).movedim(-1, 1) if picked.is_complex() else picked[:, None]
    grid = grid.expand(n_frames, *grid.shape[1:])
    channels = channels.expand(n_frames, *channels.shape[1:])
    out = F.grid_sample(channels.float(), grid, mode="bilinear", align_corners=True)
    return torch.complex(out[:, 0], out[:, 1]) if picked.is_complex() else out[:, 0]


def _grid(source: Sequence[int], shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Sampling positions (y, x, 2) in grid_sample's [-1, 1], (x, y) last, round a random centre."""
    angle = _uniform(generator, -math.pi, math.pi) if _uniform(generator) < 0.5 else 0.0
    zoom = _uniform(generator, 0.6, 1.3)
    y = (torch.arange(shape[0]) - shape[0] / 2) * zoom
    x = (torch.arange(shape[1]) - shape[1] / 2) * zoom * (1 if _uniform(generator) < 0.5 else -1)
    u = x * math.cos(angle) + y[:, None] * math.sin(angle)
    v = y[:, None] * math.cos(angle) - x * math.sin(angle)
    half = torch.tensor([source[1] / 2, source[0] / 2])
    reach = torch.tensor([shape[1] / 2, shape[0] / 2]) * 0.8
    centre = (torch.rand(2, generator=generator) * 2 - 1) * (half - reach).clamp(min=0)
    return (torch.stack([u, v], -1) + centre) / half


def _motion(n_frames: int, shape: Sequence[int], source: Sequence[int], generator: torch.Generator) -> Tensor:
    """Displacements (frame, y, x, 2): a beating smooth field plus a drift of some voxels; in some patches none."""
    amplitude = _uniform(generator, 0.0, 3.0) if _uniform(generator) < 0.85 else 0.0
    field = torch.stack([_smooth_field(shape, generator, amplitude) for _ in range(2)], -1)
    drift = torch.randn(2, generator=generator) * amplitude * 0.15
    time = torch.arange(n_frames, dtype=torch.float32)
    beat = torch.sin(time * _uniform(generator, 0.15, 0.8) + _uniform(generator, 0.0, 6.3))
    pixels = beat[:, None, None, None] * field + time[:, None, None, None] * drift
    return pixels * 2 / torch.tensor([source[1], source[0]], dtype=torch.float32)
