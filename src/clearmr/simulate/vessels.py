"""Arteries at the base of the brain as tubes: a wall round a lumen. Lengths are fractions of half the field of view."""

import torch
from torch import Tensor

from clearmr.simulate.shapes import coverage, paint

Point = tuple[float, float, float]

# Carotids, middle cerebral arteries, basilar: from (z, y, |x|) to (z, y, |x|)
_COURSES: tuple[tuple[Point, Point], ...] = (
    ((-0.9, -0.12, 0.16), (-0.37, -0.2, 0.12)),
    ((-0.37, -0.2, 0.12), (-0.31, -0.16, 0.5)),
    ((-0.85, -0.1, 0.0), (-0.37, -0.12, 0.0)),
)
_LUMEN, _WALL = 0.02, 0.014


def vessels(z: Tensor, y: Tensor, x: Tensor, canvas: Tensor, wall: float, lumen: float) -> Tensor:
    """Lay the arteries over `canvas` (z, y, x), mirrored in x: intensities of the wall and of the blood."""
    width = 2.0 / min(canvas.shape[1:])
    distance = torch.stack([_from_line((z, y, x.abs()), *course) for course in _COURSES]).amin(0)
    canvas = paint(canvas, coverage(_LUMEN + _WALL - distance, width), wall)
    return paint(canvas, coverage(_LUMEN - distance, width), lumen)


def _from_line(at: tuple[Tensor, Tensor, Tensor], start: Point, stop: Point) -> Tensor:
    """Distance of every point to the straight line between two."""
    along = [b - a for a, b in zip(start, stop, strict=True)]
    offsets = [c - a for c, a in zip(at, start, strict=True)]
    place = sum((o * d for o, d in zip(offsets, along, strict=True)), torch.zeros_like(at[0]))
    place = (place / sum(d * d for d in along)).clamp(0, 1)
    return sum(((o - place * d) ** 2 for o, d in zip(offsets, along, strict=True)), torch.zeros_like(place)).sqrt()
