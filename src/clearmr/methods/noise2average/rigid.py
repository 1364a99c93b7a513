"""Small rigid motions: volumes moved by them with white noise kept white, and the motion measured between repeats.

A motion is six numbers: a shift in mm along (z, y, x) and a rotation vector in degrees about (z, y, x), about a
volume's centre. The volume moved by it holds at r what lay at R r + t before.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from scipy.ndimage import gaussian_filter
from torch import Tensor

Mm = tuple[float, float, float]
MARGIN = 8  # voxels mirrored at each border, where the Fourier transform would join opposite sides
SMOOTH = 1.0  # voxels (SD): the noise that is left would look like motion
AT_MOST = 2**21  # voxels that a measurement looks at


@dataclass(frozen=True)
class Motion:
    """shift in mm and rotation in degrees, along and about (z, y, x)."""

    shift: Mm = (0.0, 0.0, 0.0)
    rotation: Mm = (0.0, 0.0, 0.0)

    @property
    def distance(self) -> float:
        """Length of the shift in mm."""
        return math.hypot(*self.shift)

    @property
    def angle(self) -> float:
        """Of the rotation, in degrees."""
        return math.hypot(*self.rotation)

    def plus(self, other: "Motion", factor: float = 1.0) -> "Motion":
        """The sum of two small motions, the second times a factor."""
        a, b = self.vector(), other.vector()
        return _motion([x + factor * y for x, y in zip(a, b, strict=True)])

    def vector(self) -> list[float]:
        return [*self.shift, *self.rotation]


def _motion(values: Sequence[float]) -> Motion:
    z, y, x, a, b, c = (float(v) for v in values)
    return Motion((z, y, x), (a, b, c))


def moved(volume: Float[Tensor, "z y x"], motion: Motion, *, spacing: Mm = (1.0, 1.0, 1.0)) -> Float[Tensor, "z y x"]:
    """The volume moved by shears along its axes, each a multiplication of phases (Cox & Jesmanowicz 1999).

    Every shear is unitary: white noise stays white and of the same SD. Borders are mirrored.
    """
    if not any(motion.vector()):
        return volume
    margins = [min(MARGIN, n - 1) for n in volume.shape]
    # Odd lengths have no Nyquist frequency, half of which a shift would lose.
    pads = [
        m
        for margin, n in zip(reversed(margins), reversed(volume.shape), strict=True)
        for m in (margin, margin - (n + 1) % 2)
    ]
    centre = [m + (n - 1) / 2 for m, n in zip(margins, volume.shape, strict=True)]
    out = F.pad(volume[None, None].double(), pads, mode="reflect")[0, 0]
    for axis, angle in enumerate(motion.rotation):
        out = _rotated(out, axis, math.radians(angle), spacing, centre) if angle else out
    for axis, shift in enumerate(motion.shift):
        out = _sheared(out, axis, shift / spacing[axis]) if shift else out
    inside = tuple(slice(m, m + n) for m, n in zip(margins, volume.shape, strict=True))
    return out[inside].to(volume.dtype)


def measured(
    volumes: Sequence[Float[Tensor, "z y x"]],
    mask: Float[Tensor, "z y x"],
    *,
    spacing: Mm = (1.0, 1.0, 1.0),
    levels: Sequence[tuple[float, int]] = ((4.0, 3), (2.0, 2), (SMOOTH, 1)),
    turns: int = 3,
) -> tuple[Motion, ...]:
    """How each of several volumes of one subject is to be moved to meet the others half way; their sum is no motion.

    Least squares by Gauss and Newton inside the mask, brightness fitted along (gain and offset), from coarse to fine.
    levels: SD of the blur in voxels, and every how manieth voxel is looked at; the blur keeps noise from counting.
    Along an axis of few voxels every one is, and the blur is less in proportion.
    """
    motions = [Motion() for _ in volumes]
    for blur, step in levels:
        steps = [step if n >= 8 * step else 1 for n in volumes[0].shape]
        coarse = tuple(slice(None, None, k) for k in steps)
        blurs = [blur * k / step for k in steps]
        smooth = [torch.from_numpy(gaussian_filter(v.double().numpy(), blurs)[coarse].copy()) for v in volumes]
        z, y, x = (s * k for s, k in zip(spacing, steps, strict=True))
        for _ in range(turns):
            motions = _nearer(smooth, motions, mask[coarse], (z, y, x))
    return tuple(motions)


def _nearer(volumes: Sequence[Tensor], motions: Sequence[Motion], mask: Tensor, spacing: Mm) -> list[Motion]:
    """The motions after one more step of each volume towards the mean of all as they lie now."""
    here = [_even(moved(v, m, spacing=spacing), mask) for v, m in zip(volumes, motions, strict=True)]
    mean = torch.stack(here).mean(0)
    found = [m.plus(_step(v, mean, mask, spacing)) for m, v in zip(motions, here, strict=True)]
    centre = _motion(np.mean([m.vector() for m in found], 0).tolist())
    return [m.plus(centre, -1.0) for m in found]


def _even(volume: Tensor, mask: Tensor) -> Tensor:
    """Mean 0 and SD 1 inside the mask."""
    values = volume[mask > 0]
    return (volume - values.mean()) / values.std().clamp_min(1e-12)


def _step(volume: Tensor, mean: Tensor, mask: Tensor, spacing: Mm) -> Motion:
    """The small motion of `volume` that brings it nearest to `mean`."""
    gradient = torch.gradient(volume)
    slopes = [g / s for g, s in zip(gradient, spacing, strict=True)]
    z, y, x = (p.double() for p in _places(volume.shape, spacing))
    degree = math.pi / 180
    turns = [
        degree * (slopes[2] * y - slopes[1] * x),
        degree * (slopes[0] * x - slopes[2] * z),
        degree * (slopes[1] * z - slopes[0] * y),
    ]
    inside = mask > 0
    columns = [*slopes, *turns, volume, torch.ones_like(volume)]
    stride = max(1, int(inside.sum()) // AT_MOST)
    matrix = torch.stack([c[inside][::stride] for c in columns], 1)
    right = (mean - volume)[inside][::stride]
    gram = matrix.T @ matrix
    gram = gram + 1e-9 * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    return _motion(torch.linalg.solve(gram, matrix.T @ right)[:6].tolist())


def _places(shape: Sequence[int], spacing: Mm) -> tuple[Tensor, ...]:
    """mm from the centre along each axis."""
    axes = [(torch.arange(n, dtype=torch.float64) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True)]
    return torch.meshgrid(*axes, indexing="ij")


def _rotated(volume: Tensor, axis: int, angle: float, spacing: Mm, centre: Sequence[float]) -> Tensor:
    """About one axis, by three shears (Unser, Thevenaz & Yaroslavsky 1995)."""
    first, second = [a for a in range(3) if a != axis]
    sign = -1.0 if axis == 1 else 1.0
    ratio = spacing[second] / spacing[first]
    half, whole = -sign * math.tan(angle / 2) * ratio, sign * math.sin(angle) / ratio
    for along, by, slope in ((first, second, half), (second, first, whole), (first, second, half)):
        places = torch.arange(volume.shape[by], dtype=volume.dtype) - centre[by]
        shape = [1, 1, 1]
        shape[by] = len(places)
        volume = _sheared(volume, along, slope * places.view(shape))
    return volume


def _sheared(volume: Tensor, along: int, distance: Tensor | float) -> Tensor:
    """The value at n comes from n + distance, in voxels along an axis, along which the distance does not vary."""
    n = volume.shape[along]
    frequency = torch.fft.rfftfreq(n, dtype=volume.dtype)
    shape = [1, 1, 1]
    shape[along] = len(frequency)
    phase = 2 * math.pi * frequency.view(shape) * distance
    spectrum = torch.fft.rfft(volume, dim=along)
    return torch.fft.irfft(torch.polar(torch.ones_like(phase), phase) * spectrum, n=n, dim=along)
