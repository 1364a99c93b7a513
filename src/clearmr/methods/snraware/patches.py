"""Patches that SNRAware learns from: cut from series as they are, or warped, re-contrasted, and given a phase.

The noise, not the anatomy, is to be learnt: a still slice becomes a moving series, a volume is cut along three
axes, and part of the patches are dead-leaves images. Patches of a prepared corpus that are not warped keep their
place in their frame, and with it their own g maps.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Complex, Float
from torch import Tensor

from clearmr.methods.snraware.config import DataConfig
from clearmr.methods.snraware.corpus import Maps, Series
from clearmr.methods.snraware.draws import chance, pick, uniform
from clearmr.methods.snraware.store import StoredSeries
from clearmr.methods.snraware.volumes import GIVEN, Volume, box

STEPS = (1, 1, 2, 4, 8)  # of depth between neighbours: thick slices share little
Window = tuple[slice, slice, slice]


@runtime_checkable
class Frames(Protocol):
    """Frames (n, y, x) in memory, a tensor, or in a file: only what a window names is read."""

    @property
    def shape(self) -> Sequence[int]: ...

    def __getitem__(self, window: Window, /) -> Tensor: ...


@dataclass(frozen=True)
class Patch:
    """clean (frame, y, x) complex64 at its native SNR, the noise SD in it, and its own g maps if it has any."""

    clean: Complex[Tensor, "frame y x"]
    native_sd: Float[Tensor, "#frame #y #x"]
    maps: Maps | None = None


class PatchSampler:
    """Draws patches from series and volumes: all randomness from the generator passed to `draw`.

    volumes and leaves: what the share `config.volumes` of the patches is cut from.
    """

    def __init__(
        self,
        data: Sequence[Series | StoredSeries],
        synthetic: Sequence[Series],
        config: DataConfig,
        *,
        volumes: Sequence[Volume] = (),
        leaves: Sequence[Volume] = (),
    ) -> None:
        self.data, self.synthetic, self.config = data, synthetic, config
        self.volumes, self.leaves = volumes, leaves

    def draw(self, n_frames: int, generator: torch.Generator) -> Patch:
        """One patch of n_frames frames: as it lies in a prepared corpus; or warped, at a random native SNR."""
        if (self.volumes or self.leaves) and chance(self.config.volumes, generator):
            return self._of_volume(n_frames, generator)
        synthetic = chance(self.config.synthetic, generator) or not self.data
        pool: Sequence[Series | StoredSeries] = self.synthetic if synthetic else self.data
        series = pool[pick(len(pool), generator)]
        if isinstance(series, Series):
            return self._varied(series.frames, series.native_sd, n_frames, generator)
        aligned = series.aligned(n_frames, self.config.patch[1:])
        if aligned and uniform(generator) >= self.config.warped:
            place = aligned[pick(len(aligned), generator)]
            return Patch(*series.cut_out(place, n_frames, self.config.patch[1:], generator))
        cuts = series.cuts()
        cut = cuts[pick(len(cuts), generator)]
        frames, noise_sd = series.along(cut, generator), series.noise_sd / series.peak
        most = 1 / max(noise_sd, 1e-6)  # louder than it was measured, a series is its own noise
        return self._varied(frames, noise_sd, n_frames, generator, scale=1 / series.peak, most=most)

    def _of_volume(self, n_frames: int, generator: torch.Generator) -> Patch:
        """A box of a volume, re-contrasted and with a smooth phase, at a random native SNR."""
        given = chance(GIVEN, generator) if self.volumes and self.leaves else bool(self.volumes)
        pool = self.volumes if given else self.leaves
        volume = pool[pick(len(pool), generator)]
        frames = _dressed(box(volume, n_frames, self.config.patch[1:], generator), generator)
        low, high = self.config.native_snr
        return Patch(frames * low * (high / low) ** uniform(generator), torch.zeros(1, 1, 1))

    def _varied(
        self,
        source: Frames,
        native_sd: float,
        n_frames: int,
        generator: torch.Generator,
        *,
        scale: float = 1.0,
        most: float = math.inf,
    ) -> Patch:
        """Warped, magnitudes also re-contrasted and with a smooth phase, scaled to a random native SNR up to `most`."""
        frames = _warped(source, n_frames, self.config.patch[1:], generator) * scale
        if not frames.is_complex():
            frames = _dressed(frames, generator)
        low, high = (min(snr, most) for snr in self.config.native_snr)
        snr = low * (high / low) ** uniform(generator)
        clean = frames * snr * _breathing_contrast(n_frames, generator)
        return Patch(clean, torch.full((1, 1, 1), native_sd * snr))


def _smooth_field(
    shape: Sequence[int], generator: torch.Generator, amplitude: float, *, nodes: int | None = None
) -> Tensor:
    nodes = nodes or 2 + pick(4, generator)
    coarse = torch.randn((1, 1, nodes, nodes), generator=generator) * amplitude * uniform(generator)
    return F.interpolate(coarse, size=tuple(shape), mode="bicubic", align_corners=True)[0, 0]


def _breathing_contrast(n_frames: int, generator: torch.Generator) -> Tensor:
    """A slow change of brightness over frames, in one patch of four: contrast arrives, magnetisation relaxes."""
    depth = uniform(generator, 0.0, 0.5) if chance(0.25, generator) else 0.0
    phase = uniform(generator, 0.0, 2.0 * math.pi)
    return (1 - depth * (0.5 + 0.5 * torch.sin(torch.arange(n_frames) * 0.5 + phase)))[:, None, None]


def _dressed(frames: Tensor, generator: torch.Generator) -> Tensor:
    """Magnitudes with another contrast and a smooth phase, in three patches of ten a rougher one."""
    phase = _smooth_field(frames.shape[-2:], generator, math.pi)
    if chance(0.3, generator):
        phase = phase + _smooth_field(frames.shape[-2:], generator, 1.5, nodes=6 + pick(7, generator))
    return _recontrast(frames, generator) * torch.polar(torch.ones(()), phase)


def _recontrast(frames: Tensor, generator: torch.Generator) -> Tensor:
    """Another monotone grey scale in half of the patches, an inverted one in a seventh."""
    choice = uniform(generator)
    if choice < 0.5:
        return frames.clamp(min=0) ** uniform(generator, 0.6, 1.7)
    if choice < 0.64:
        return torch.where(frames > 0.05, (1.05 - frames).clamp(min=0), frames.abs())
    return frames


def _warped(source: Frames, n_frames: int, shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """n_frames of a random place, turned and zoomed; a single frame moves, in time or depth neighbours follow."""
    n, *size = source.shape
    step = STEPS[pick(len(STEPS), generator)]
    along = n >= step * n_frames and chance(0.5, generator)
    reach = step * (n_frames - 1) if along else 0
    first = pick(n - reach, generator)
    grid = _grid(size, shape, generator)[None]
    if not along and n_frames > 1:
        grid = grid + _motion(n_frames, shape, generator)
    rows, columns = _span(grid[..., 1], size[0]), _span(grid[..., 0], size[1])
    picked = source[slice(first, first + reach + 1, step), rows, columns]
    return _sampled(picked, grid - torch.tensor([columns.start, rows.start]), n_frames)


def _span(positions: Tensor, size: int) -> slice:
    """The voxels of an axis that interpolation at `positions` looks at."""
    low = min(max(int(positions.min().floor()), 0), max(size - 2, 0))
    return slice(low, max(min(int(positions.max().ceil()) + 1, size), min(low + 2, size)))


def _sampled(picked: Tensor, grid: Tensor, n_frames: int) -> Tensor:
    """Linear interpolation of (1 or n, y, x) at voxel positions (1 or n, y, x, 2), (x, y) last; zero outside."""
    channels = torch.view_as_real(picked).movedim(-1, 1) if picked.is_complex() else picked[:, None]
    last = torch.tensor([max(n - 1, 1) for n in (picked.shape[-1], picked.shape[-2])])
    grid = (grid * 2 / last - 1).expand(n_frames, *grid.shape[1:])
    channels = channels.expand(n_frames, *channels.shape[1:])
    out = F.grid_sample(channels.float(), grid, mode="bilinear", align_corners=True)
    return torch.complex(out[:, 0], out[:, 1]) if picked.is_complex() else out[:, 0]


def _grid(source: Sequence[int], shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Sampling positions (y, x, 2) in voxels of the source, (x, y) last, round a random centre."""
    angle = uniform(generator, -math.pi, math.pi) if chance(0.5, generator) else 0.0
    zoom = uniform(generator, 0.6, 1.3)
    y = (torch.arange(shape[0]) - shape[0] / 2) * zoom
    x = (torch.arange(shape[1]) - shape[1] / 2) * zoom * (1 if chance(0.5, generator) else -1)
    u = x * math.cos(angle) + y[:, None] * math.sin(angle)
    v = y[:, None] * math.cos(angle) - x * math.sin(angle)
    half = torch.tensor([source[1] / 2, source[0] / 2])
    reach = torch.tensor([shape[1] / 2, shape[0] / 2]) * 0.8
    centre = (torch.rand(2, generator=generator) * 2 - 1) * (half - reach).clamp(min=0)
    return torch.stack([u, v], -1) + centre + half - 0.5


def _motion(n_frames: int, shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Displacements (frame, y, x, 2) in voxels: a beating smooth field plus a drift; in some patches none."""
    amplitude = uniform(generator, 0.0, 3.0) if chance(0.85, generator) else 0.0
    field = torch.stack([_smooth_field(shape, generator, amplitude) for _ in range(2)], -1)
    drift = torch.randn(2, generator=generator) * amplitude * 0.15
    time = torch.arange(n_frames, dtype=torch.float32)
    beat = torch.sin(time * uniform(generator, 0.15, 0.8) + uniform(generator, 0.0, 6.3))
    return beat[:, None, None, None] * field + time[:, None, None, None] * drift
