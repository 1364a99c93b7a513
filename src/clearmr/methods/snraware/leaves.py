"""Dead-leaves images: edges and textures of no anatomy at all."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from clearmr.methods.snraware.corpus import Series

SYNTHETIC_SIZE = 192
SYNTHETIC_IMAGES = 128


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
