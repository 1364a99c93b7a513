"""A brain-like 3D volume: folded cortex, white matter, ventricles, deep nuclei, skull and scalp.

Lengths are fractions of half the field of view; z runs to the head's top, y to the back, x to the side.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from clearmr.axes import Image
from clearmr.simulate.anatomy import Anatomy, Tissues, draw_anatomy, find_contrast, tissues_of
from clearmr.simulate.shapes import coverage, grid_3d, paint, smooth_phase, texture, uniform, with_phase
from clearmr.simulate.vessels import vessels

Radii = tuple[float, float, float]


@dataclass(frozen=True)
class Place:
    """Coordinates (z, y, x) of every voxel and the size of one."""

    z: Tensor
    y: Tensor
    x: Tensor
    width: float


def brain(
    matrix: tuple[int, int, int], *, n_frames: int = 1, seed: int = 0, variety: float = 0.0, contrast: str = "t1"
) -> Image:
    """A head (frame, z, y, x), complex64, peak magnitude 1; the same in every frame.

    A seed changes folds and texture; with `variety` (0 to 1.5; 1: as people differ) also size and shape of head, brain
    and ventricles, the cortex, intensities and shading. contrast: "t1", "t2" or "black-blood". Raises InputError.
    """
    generator = torch.Generator().manual_seed(seed)
    anatomy = draw_anatomy(variety, seed)
    tissues = tissues_of(find_contrast(contrast), anatomy)
    place = _place(matrix, anatomy, seed)
    canvas = _tissue(place, tissues, anatomy, generator)
    mottle = texture(matrix, 2.0, generator)
    along_z, along_y, outward = anatomy.shading
    bias = 1 + along_z * place.z + along_y * place.y + outward * (place.x**2 + place.y**2)
    magnitude = (canvas * bias * (1 + 0.012 * mottle)).clamp(min=0)
    return with_phase(magnitude.expand(n_frames, *matrix), smooth_phase(matrix, generator))


def brain_tissues(matrix: tuple[int, int, int], *, seed: int = 0, variety: float = 0.0) -> Tensor:
    """Fractions 0..1 of t.csf, grey and white matter in every voxel of `brain` of that seed: (3, z, y, x) float32."""
    anatomy = draw_anatomy(variety, seed)
    place = _place(matrix, anatomy, seed)
    nothing = Tissues(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    alone = (replace(nothing, csf=1.0), replace(nothing, grey=1.0, deep=1.0), replace(nothing, white=1.0))
    parts = [_tissue(place, one, anatomy, torch.Generator().manual_seed(seed)) for one in alone]
    return torch.stack(parts).clamp(0, 1)


def _place(matrix: tuple[int, int, int], anatomy: Anatomy, seed: int) -> Place:
    """Coordinates in which this person's head is the common one."""
    z, y, x = (axis / size for axis, size in zip(grid_3d(matrix), anatomy.head, strict=True))
    if anatomy.bend:
        generator = torch.Generator().manual_seed(seed + 1)
        bends = [anatomy.bend * texture(matrix, min(matrix) / 5, generator) for _ in range(3)]
        z, y, x = (axis + bend for axis, bend in zip((z, y, x), bends, strict=True))
    return Place(z, y, x, 2.0 / min(matrix[1:]))


def _tissue(place: Place, tissues: Tissues, anatomy: Anatomy, generator: torch.Generator) -> Tensor:
    """Intensity (z, y, x) of the tissue alone, without shading and texture; linear in the intensities."""
    canvas = _head(place, tissues)
    canvas = _cerebrum(place, canvas, tissues, anatomy, generator)
    canvas = _hindbrain(place, canvas, tissues)
    canvas = _deep(place, canvas, tissues, anatomy)
    return vessels(place.z, place.y, place.x, canvas, *tissues.vessels) if tissues.vessels else canvas


def _ellipsoid(p: Place, centre: Radii, radii: Radii) -> Tensor:
    """Signed distance, positive inside, about true near the surface."""
    offsets = [(c - c0) for c, c0 in zip((p.z, p.y, p.x), centre, strict=True)]
    rho = torch.sqrt(sum(((d / r) ** 2 for d, r in zip(offsets, radii, strict=True)), torch.full_like(p.z, 1e-9)))
    slope = torch.sqrt(sum(((d / r**2) ** 2 for d, r in zip(offsets, radii, strict=True)), torch.full_like(p.z, 1e-9)))
    return (1 - rho) * rho / slope


def _head(p: Place, t: Tissues) -> Tensor:
    """Skin, scalp fat, the skull's two tables with marrow between, and the fluid inside."""
    head = _ellipsoid(p, (-0.12, 0.0, 0.0), (0.98, 0.93, 0.86))
    neck = _ellipsoid(p, (-1.2, 0.1, 0.0), (1.0, 0.55, 0.5))
    outer = torch.maximum(head, neck)
    canvas = torch.zeros_like(p.z)
    layers = ((0.0, t.skin), (0.015, t.scalp), (0.06, t.skull), (0.075, t.marrow), (0.095, t.skull), (0.12, t.csf))
    for depth, value in layers:
        canvas = paint(canvas, coverage(outer - depth, p.width), value)
    skull_base = torch.minimum(outer - 0.07, -0.62 - 0.18 * p.y - p.z)
    return paint(canvas, coverage(skull_base, 0.06), t.base)


def _folds(p: Place, anatomy: Anatomy, generator: torch.Generator) -> Tensor:
    """A gyroid (a surface that folds everywhere) on coordinates that a smooth random field has bent; -1..1."""
    bend = [0.06 * texture(p.z.shape, min(p.z.shape) / 14, generator) for _ in range(3)]
    k = 25.0 + anatomy.folds + uniform(generator, -1.0, 1.0)
    a, b, c = (k * (axis + warp) for axis, warp in zip((p.z, p.y, p.x), bend, strict=True))
    wave = torch.sin(a) * torch.cos(b) + torch.sin(b) * torch.cos(c) + torch.sin(c) * torch.cos(a)
    return wave / 1.5


def _cerebrum(p: Place, canvas: Tensor, t: Tissues, anatomy: Anatomy, generator: torch.Generator) -> Tensor:
    """Grey ribbon between a sulcated outside and a folded inside; two hemispheres; callosal white matter between."""
    size = anatomy.brain
    hull = _ellipsoid(p, (-0.02, -0.02, 0.0), (0.72 * size, 0.78 * size, 0.69 * size))
    fold = _folds(p, anatomy, generator)
    sulcus = 0.45 * (fold - 0.42 - anatomy.sulci).clamp(min=0)
    fissure = (p.x.abs() - 0.012).clamp(min=-1)
    pial = torch.minimum(hull - sulcus, torch.where(p.z > 0.12 + 0.2 * p.y**2, fissure, hull))
    base = p.z + 0.44 - 0.16 * torch.cos(5 * p.y) * (1 - p.x**2)
    pial = torch.minimum(pial, base - 0.5 * sulcus)
    white = torch.minimum(
        hull - 0.11 - anatomy.cortex - 0.22 * (fold + 0.05), torch.where(p.z > 0.28, fissure - 0.06, hull)
    )
    white = torch.maximum(white, hull - 0.34)
    white = torch.minimum(white, pial - 0.05 - anatomy.cortex)
    canvas = paint(canvas, coverage(pial, p.width), t.grey)
    return paint(canvas, coverage(white, p.width), t.white)


def _hindbrain(p: Place, canvas: Tensor, t: Tissues) -> Tensor:
    """Brain stem and a leafed cerebellum below the back of the cerebrum."""
    cerebellum = _ellipsoid(p, (-0.56, 0.38, 0.0), (0.23, 0.28, 0.44))
    leaves = 0.5 + 0.5 * torch.sin(70 * torch.sqrt((p.z + 0.5) ** 2 + (p.y - 0.15) ** 2))
    canvas = paint(canvas, coverage(cerebellum, p.width), t.grey * (0.85 + 0.25 * leaves))
    canvas = paint(canvas, coverage(cerebellum - 0.13, p.width), t.white)
    canvas = paint(canvas, coverage(_ellipsoid(p, (-0.6, 0.05, 0.0), (0.42, 0.12, 0.12)), p.width), t.white * 0.93)
    return paint(canvas, coverage(_ellipsoid(p, (-0.52, 0.19, 0.0), (0.08, 0.045, 0.05)), p.width), t.csf)


def _deep(p: Place, canvas: Tensor, t: Tissues, anatomy: Anatomy) -> Tensor:
    """Corpus callosum, lateral and third ventricles, thalamus, caudate, putamen and pallidum, mirrored in x."""
    wide = anatomy.ventricles
    mirrored = Place(p.z, p.y, p.x.abs(), p.width)
    callosum = _ellipsoid(p, (0.15, 0.0, 0.0), (0.14, 0.36, 0.2))
    canvas = paint(canvas, coverage(callosum, p.width), t.white)
    bent = Place(p.z + 0.9 * (p.y - 0.05) ** 2, p.y, (p.x.abs() - 0.25 * p.y.clamp(min=0)), p.width)
    parts: tuple[tuple[Place, Radii, Radii, float], ...] = (
        (bent, (0.07, 0.02, 0.14), (0.16, 0.34, 0.07), t.deep),
        (bent, (0.1, 0.0, 0.09), (0.1 * wide, 0.38 * wide**0.3, 0.065 * wide), t.csf),
        (mirrored, (-0.08, 0.1, 0.12), (0.11, 0.15, 0.085), t.deep),
        (mirrored, (-0.08, -0.06, 0.31), (0.13, 0.2, 0.055), t.grey * 1.05),
        (mirrored, (-0.08, -0.03, 0.24), (0.09, 0.12, 0.04), t.white * 0.92),
        (p, (-0.1, 0.08, 0.0), (0.11, 0.15, 0.018 * wide), t.csf),
    )
    for where, centre, radii, value in parts:
        canvas = paint(canvas, coverage(_ellipsoid(where, centre, radii), p.width), value)
    return canvas
