"""Boxes of a volume, turned and scaled in three dimensions: neighbouring slices as a 3D scan has them.

Of given high-SNR volumes, and of dead-leaves volumes, which show edges and textures of no anatomy at all.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from scipy.ndimage import gaussian_filter
from torch import Tensor

from clearmr.methods.snraware.draws import chance, uniform
from clearmr.scan import SnrImage

SHALLOWEST = 16  # slices; fewer are a stack, not a volume
FINE = 1.2  # mm; volumes with smaller voxels are also blurred
BLURS = (0.45, 0.67)  # SD in mm: takes down the volume's own noise, and a 1 mm scan is no sharper
STEPS_OF_FINE, STEPS_OF_COARSE = (0.6, 1.5), (0.5, 1.0)  # from voxel to voxel of a box: mm; of the smallest spacing
THICK = 2.5  # slices up to so many times as far apart as voxels are, in three boxes of ten
LEAF_SIZE, LEAF_VOLUMES = 80, 48
GIVEN = 0.72  # of the boxes from given volumes, the others from dead leaves


@dataclass(frozen=True)
class Volume:
    """values (z, y, x), peak magnitude 1; spacing in mm (z, y, x)."""

    values: Float[Tensor, "z y x"]
    spacing: tuple[float, float, float]


def clean_volumes(image: SnrImage) -> list[Volume]:
    """The volumes of one high-SNR magnitude image, averaged over its frames; none of a stack or a complex image."""
    if image.is_complex or min(image.image.shape[1:]) < SHALLOWEST:
        return []
    mean = image.image.float().mean(0)
    z, y, x = image.spacing
    spacing = (float(z), float(y), float(x))
    values = mean / float(np.quantile(mean.numpy()[::2, ::2, ::2], 0.999))
    if min(spacing) >= FINE:
        return [Volume(values, spacing)]
    smooth = (gaussian_filter(values.numpy(), [blur / d for d in spacing]) for blur in BLURS)
    return [Volume(torch.from_numpy(v), spacing) for v in smooth]


def box(
    volume: Volume, n_slices: int, shape: tuple[int, int], generator: torch.Generator
) -> Float[Tensor, "slice y x"]:
    """A box at a random place: turned any way or along the axes, mirrored, finer or coarser, zero outside."""
    fine = min(volume.spacing) < FINE
    low, high = STEPS_OF_FINE if fine else STEPS_OF_COARSE
    step = uniform(generator, low, high) * (1.0 if fine else min(volume.spacing))
    thick = uniform(generator, 1.0, THICK) if chance(0.3, generator) else 1.0
    steps = (step * thick, step, step)
    axes = [
        (torch.arange(n) - n / 2) * d * (1 if chance(0.5, generator) else -1)
        for n, d in zip((n_slices, *shape), steps, strict=True)
    ]
    turned = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1) @ _rotation(generator).T
    positions = turned / torch.tensor(volume.spacing)
    half = torch.tensor([n / 2 for n in volume.values.shape])
    room = (half - 0.6 * positions.abs().flatten(0, 2).amax(0)).clamp(min=0)
    centre = (torch.rand(3, generator=generator) * 2 - 1) * room
    grid = ((positions + centre) / half).flip(-1)[None]
    return F.grid_sample(volume.values[None, None], grid, mode="bilinear", align_corners=True)[0, 0]


def leaf_volumes(generator: torch.Generator, n: int = LEAF_VOLUMES) -> list[Volume]:
    """n dead-leaves volumes of 1 mm voxels: occluding ellipsoids of random grey, size and texture, in [0, 1]."""
    return [Volume(_leaves(LEAF_SIZE, generator), (1.0, 1.0, 1.0)) for _ in range(n)]


def _leaves(size: int, generator: torch.Generator) -> Tensor:
    axis = torch.linspace(-1, 1, size)
    places = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1)
    volume = torch.full((size, size, size), uniform(generator, 0.0, 0.4))
    for _ in range(int(uniform(generator, 25.0, 70.0))):
        radius = math.exp(uniform(generator, math.log(0.06), math.log(0.6)))
        centre = torch.rand(3, generator=generator) * 2 - 1
        low, high = (((centre + side * 1.3 * radius + 1) / 2 * size).long() for side in (-1, 1))
        ends = zip(low.clamp(0, size - 1).tolist(), high.clamp(0, size - 1).tolist(), strict=True)
        around = tuple(slice(a, b + 1) for a, b in ends)
        flat = torch.tensor([1.0, uniform(generator, 0.2, 1.0), uniform(generator, 0.2, 1.0)])
        place = (places[around] - centre) @ _any_rotation(generator) / (radius * flat)
        sharpness = radius * size * uniform(generator, 0.24, 0.72)
        inside = torch.sigmoid((1 - torch.linalg.vector_norm(place, dim=-1)) * sharpness)
        grey = uniform(generator, 0.0, 1.0) + _texture(place[..., 0], generator)
        volume[around] += inside * (grey - volume[around])
    return volume.clamp(0, 1)


def _texture(along: Tensor, generator: torch.Generator) -> Tensor:
    """Stripes in three of ten leaves."""
    depth = uniform(generator, 0.0, 0.12) if chance(0.3, generator) else 0.0
    return depth * torch.sin(along * uniform(generator, 3.0, 40.0) + uniform(generator, 0.0, 6.0))


def _rotation(generator: torch.Generator) -> Tensor:
    """Any rotation, or one that only exchanges the axes."""
    if chance(0.5, generator):
        return _any_rotation(generator)
    return torch.eye(3)[torch.randperm(3, generator=generator)]


def _any_rotation(generator: torch.Generator) -> Tensor:
    return torch.linalg.qr(torch.randn(3, 3, generator=generator))[0]
