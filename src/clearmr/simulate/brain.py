"""A brain-like 3D volume, T1-weighted: folded cortex, white matter, ventricles, deep nuclei, skull and scalp.

Lengths are fractions of half the field of view; z runs to the head's top, y to the back, x to the side.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from clearmr.axes import Image
from clearmr.simulate.shapes import coverage, grid_3d, paint, smooth_phase, texture, uniform, with_phase

WHITE, GREY, DEEP, CSF, SKULL, MARROW, SCALP, SKIN = 0.80, 0.55, 0.64, 0.18, 0.06, 0.35, 0.95, 0.5

Radii = tuple[float, float, float]


@dataclass(frozen=True)
class Place:
    """Coordinates (z, y, x) of every voxel and the size of one."""

    z: Tensor
    y: Tensor
    x: Tensor
    width: float


def brain(matrix: tuple[int, int, int], *, n_frames: int = 1, seed: int = 0) -> Image:
    """A T1-weighted head (frame, z, y, x), complex64, peak magnitude 1; the same in every frame."""
    generator = torch.Generator().manual_seed(seed)
    z, y, x = grid_3d(matrix)
    place = Place(z, y, x, 2.0 / min(matrix[1:]))
    canvas = _head(place)
    canvas = _cerebrum(place, canvas, generator)
    canvas = _hindbrain(place, canvas)
    canvas = _deep(place, canvas)
    mottle = texture(matrix, 2.0, generator)
    bias = 1 + 0.1 * z - 0.06 * y + 0.08 * (x**2 + y**2)
    magnitude = (canvas * bias * (1 + 0.012 * mottle)).clamp(min=0)
    return with_phase(magnitude.expand(n_frames, *matrix), smooth_phase(matrix, generator))


def _ellipsoid(p: Place, centre: Radii, radii: Radii) -> Tensor:
    """Signed distance, positive inside, about true near the surface."""
    offsets = [(c - c0) for c, c0 in zip((p.z, p.y, p.x), centre, strict=True)]
    rho = torch.sqrt(sum(((d / r) ** 2 for d, r in zip(offsets, radii, strict=True)), torch.full_like(p.z, 1e-9)))
    slope = torch.sqrt(sum(((d / r**2) ** 2 for d, r in zip(offsets, radii, strict=True)), torch.full_like(p.z, 1e-9)))
    return (1 - rho) * rho / slope


def _head(p: Place) -> Tensor:
    """Skin, scalp fat, the skull's two tables with marrow between, and the fluid inside."""
    head = _ellipsoid(p, (-0.12, 0.0, 0.0), (0.98, 0.93, 0.86))
    neck = _ellipsoid(p, (-1.2, 0.1, 0.0), (1.0, 0.55, 0.5))
    outer = torch.maximum(head, neck)
    canvas = torch.zeros_like(p.z)
    for depth, value in ((0.0, SKIN), (0.015, SCALP), (0.06, SKULL), (0.075, MARROW), (0.095, SKULL), (0.12, CSF)):
        canvas = paint(canvas, coverage(outer - depth, p.width), value)
    skull_base = torch.minimum(outer - 0.07, -0.62 - 0.18 * p.y - p.z)
    return paint(canvas, coverage(skull_base, 0.06), 0.4)


def _folds(p: Place, generator: torch.Generator) -> Tensor:
    """A gyroid (a surface that folds everywhere) on coordinates that a smooth random field has bent; -1..1."""
    bend = [0.06 * texture(p.z.shape, min(p.z.shape) / 14, generator) for _ in range(3)]
    k = 25.0 + uniform(generator, -1.0, 1.0)
    a, b, c = (k * (axis + warp) for axis, warp in zip((p.z, p.y, p.x), bend, strict=True))
    wave = torch.sin(a) * torch.cos(b) + torch.sin(b) * torch.cos(c) + torch.sin(c) * torch.cos(a)
    return wave / 1.5


def _cerebrum(p: Place, canvas: Tensor, generator: torch.Generator) -> Tensor:
    """Grey ribbon between a sulcated outside and a folded inside; two hemispheres; callosal white matter between."""
    hull = _ellipsoid(p, (-0.02, -0.02, 0.0), (0.72, 0.78, 0.69))
    fold = _folds(p, generator)
    sulcus = 0.45 * (fold - 0.42).clamp(min=0)
    fissure = (p.x.abs() - 0.012).clamp(min=-1)
    pial = torch.minimum(hull - sulcus, torch.where(p.z > 0.12 + 0.2 * p.y**2, fissure, hull))
    base = p.z + 0.44 - 0.16 * torch.cos(5 * p.y) * (1 - p.x**2)
    pial = torch.minimum(pial, base - 0.5 * sulcus)
    white = torch.minimum(hull - 0.11 - 0.22 * (fold + 0.05), torch.where(p.z > 0.28, fissure - 0.06, hull))
    white = torch.maximum(white, hull - 0.34)
    white = torch.minimum(white, pial - 0.05)
    canvas = paint(canvas, coverage(pial, p.width), GREY)
    return paint(canvas, coverage(white, p.width), WHITE)


def _hindbrain(p: Place, canvas: Tensor) -> Tensor:
    """Brain stem and a leafed cerebellum below the back of the cerebrum."""
    cerebellum = _ellipsoid(p, (-0.56, 0.38, 0.0), (0.23, 0.28, 0.44))
    leaves = 0.5 + 0.5 * torch.sin(70 * torch.sqrt((p.z + 0.5) ** 2 + (p.y - 0.15) ** 2))
    canvas = paint(canvas, coverage(cerebellum, p.width), GREY * (0.85 + 0.25 * leaves))
    canvas = paint(canvas, coverage(cerebellum - 0.13, p.width), WHITE)
    canvas = paint(canvas, coverage(_ellipsoid(p, (-0.6, 0.05, 0.0), (0.42, 0.12, 0.12)), p.width), WHITE * 0.93)
    return paint(canvas, coverage(_ellipsoid(p, (-0.52, 0.19, 0.0), (0.08, 0.045, 0.05)), p.width), CSF)


def _deep(p: Place, canvas: Tensor) -> Tensor:
    """Corpus callosum, lateral and third ventricles, thalamus, caudate, putamen and pallidum, mirrored in x."""
    mirrored = Place(p.z, p.y, p.x.abs(), p.width)
    callosum = _ellipsoid(p, (0.15, 0.0, 0.0), (0.14, 0.36, 0.2))
    canvas = paint(canvas, coverage(callosum, p.width), WHITE)
    bent = Place(p.z + 0.9 * (p.y - 0.05) ** 2, p.y, (p.x.abs() - 0.25 * p.y.clamp(min=0)), p.width)
    parts: tuple[tuple[Place, Radii, Radii, float], ...] = (
        (bent, (0.07, 0.02, 0.14), (0.16, 0.34, 0.07), DEEP),
        (bent, (0.1, 0.0, 0.09), (0.1, 0.38, 0.065), CSF),
        (mirrored, (-0.08, 0.1, 0.12), (0.11, 0.15, 0.085), DEEP),
        (mirrored, (-0.08, -0.06, 0.31), (0.13, 0.2, 0.055), GREY * 1.05),
        (mirrored, (-0.08, -0.03, 0.24), (0.09, 0.12, 0.04), WHITE * 0.92),
        (p, (-0.1, 0.08, 0.0), (0.11, 0.15, 0.018), CSF),
    )
    for where, centre, radii, value in parts:
        canvas = paint(canvas, coverage(_ellipsoid(where, centre, radii), p.width), value)
    return canvas
