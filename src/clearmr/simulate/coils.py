"""Receive coils: circular loops on a ring or a cage round the object, by the law of Biot and Savart. Unit-less."""

import math

import torch
from torch import Tensor

from clearmr.axes import CoilMaps
from clearmr.simulate.shapes import grid_3d

_SEGMENTS = 16


def coil_maps(
    matrix: tuple[int, int, int],
    *,
    n_coils: int,
    extent: tuple[float, float, float] | None = None,
    distance: float = 1.45,
    seed: int = 0,
) -> CoilMaps:
    """Sensitivities (coil, z, y, x) complex64; the largest root-sum-of-squares over coils is 1.

    `n_coils` loops lie on a ring round the z axis, on two or three rings where z has several partitions; Bx - i By of
    each (Roemer et al. 1990, eq. 16), static magnetic field along z. `extent`: half field of view (z, y, x) in units
    where the largest of y and x is 1; `distance`: ring radius in the same unit. `seed` jitters the places a little.
    """
    extent = extent or (0.0 if matrix[0] == 1 else 1.0, 1.0, 1.0)
    points = [e * c for e, c in zip(extent, grid_3d(matrix), strict=True)]
    generator = torch.Generator().manual_seed(seed)
    loops = _loops(n_coils, distance, extent[0], generator)
    maps = torch.stack([_loop_field(points, centre, normal, radius) for centre, normal, radius in loops])
    return (maps / maps.abs().square().sum(0).sqrt().max()).to(torch.complex64)


def _loops(
    n_coils: int, distance: float, half_z: float, generator: torch.Generator
) -> list[tuple[Tensor, Tensor, float]]:
    """(centre xyz, inward normal xyz, radius) of each loop."""
    n_rings = 1 if half_z < 0.3 or n_coils < 8 else 2 if n_coils < 24 else 3
    loops = []
    for coil in range(n_coils):
        ring, place = coil % n_rings, coil // n_rings
        on_ring = (n_coils - ring + n_rings - 1) // n_rings
        jitter = 0.04 * torch.randn(2, generator=generator)
        angle = 2 * math.pi * (place + 0.5 * (ring % 2)) / on_ring + float(jitter[0])
        height = half_z * ((ring + 0.5) / n_rings * 2 - 1) + 0.3 * float(jitter[1])
        normal = torch.tensor([-math.cos(angle), -math.sin(angle), 0.0])
        # Neighbours overlap by about a quarter of their diameter, as built to cut their coupling.
        radius = min(1.25 * math.pi * distance / max(on_ring, 3), 0.6 * distance)
        loops.append((torch.tensor([0.0, 0.0, height]) - distance * normal, normal, radius))
    return loops


def _loop_field(points: list[Tensor], centre: Tensor, normal: Tensor, radius: float) -> Tensor:
    """Bx - i By at the points (z, y, x) of a unit current in a circular loop, summed over straight segments."""
    z, y, x = points
    across = torch.stack((-normal[1], normal[0], torch.tensor(0.0)))
    up = torch.tensor([0.0, 0.0, 1.0])
    field_x, field_y = torch.zeros_like(x), torch.zeros_like(x)
    for i in range(_SEGMENTS):
        a = 2 * math.pi * i / _SEGMENTS
        place = centre + radius * (math.cos(a) * across + math.sin(a) * up)
        current = radius * (-math.sin(a) * across + math.cos(a) * up)
        rx, ry, rz = x - place[0], y - place[1], z - place[2]
        weight = (rx**2 + ry**2 + rz**2).clamp(min=0.01) ** -1.5
        field_x += weight * (current[1] * rz - current[2] * ry)
        field_y += weight * (current[2] * rx - current[0] * rz)
    return torch.complex(field_x, -field_y)
