"""Trees of vessels that branch at random and thin out. Lengths are fractions of half the field of view."""

import math

import torch
from torch import Tensor

from clearmr.simulate.shapes import uniform

Tubes = tuple[tuple[float, float, float, float, float], ...]  # y, x of the start and of the end, radius


def grow(
    root: tuple[float, float], angle: float, length: float, radius: float, depth: int, generator: torch.Generator
) -> Tubes:
    """A tree from `root` towards `angle` (rad, 0 along x): 2^depth - 1 straight pieces, each dividing into two."""
    if not depth:
        return ()
    stop = (root[0] + length * math.sin(angle), root[1] + length * math.cos(angle))
    tubes: Tubes = ((*root, *stop, radius),)
    for side in (-1, 1):
        turned = angle + side * uniform(generator, 0.25, 0.75)
        shorter, thinner = length * uniform(generator, 0.62, 0.92), radius * uniform(generator, 0.6, 0.85)
        tubes += grow(stop, turned, shorter, thinner, depth - 1, generator)
    return tubes


def draw_tubes(tubes: Tubes, y: Tensor, x: Tensor) -> Tensor:
    """Signed distance to the nearest wall of the tubes at the points (y, x), positive inside."""
    nearest = torch.full_like(y, -torch.inf)
    for y0, x0, y1, x1, radius in tubes:
        along_y, along_x = y1 - y0, x1 - x0
        place = ((y - y0) * along_y + (x - x0) * along_x) / (along_y**2 + along_x**2)
        place = place.clamp(0, 1)
        distance = torch.hypot(y - y0 - place * along_y, x - x0 - place * along_x)
        nearest = torch.maximum(nearest, radius - distance)
    return nearest
