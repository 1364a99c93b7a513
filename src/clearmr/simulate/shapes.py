"""Drawing tissue: coordinates, soft-edged shapes (partial volume), textures, smooth phase. Lengths in [-1, 1]."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

SUPERSAMPLING = 2  # in-plane points per pixel and axis; each point has a soft edge besides


def grid_2d(n_y: int, n_x: int, *, supersampling: int = SUPERSAMPLING) -> tuple[Tensor, Tensor]:
    """Coordinates (y, x), each (n_y s, n_x s): -1 at the first edge of the field of view, 1 at the last."""
    y, x = (_axis(n * supersampling) for n in (n_y, n_x))
    return tuple(torch.meshgrid(y, x, indexing="ij"))  # type: ignore[return-value]


def grid_3d(matrix: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Coordinates (z, y, x), each of shape `matrix`, in [-1, 1]."""
    return tuple(torch.meshgrid(*(_axis(n) for n in matrix), indexing="ij"))  # type: ignore[return-value]


def _axis(n: int) -> Tensor:
    return (torch.arange(n, dtype=torch.float32) + 0.5) / n * 2 - 1


def pool(image: Tensor, *, supersampling: int = SUPERSAMPLING) -> Tensor:
    """Average supersampled (y s, x s) points into pixels (y, x): the partial volume of every pixel."""
    return torch.nn.functional.avg_pool2d(image[None, None], supersampling)[0, 0]


def ellipse(
    y: Tensor, x: Tensor, centre: tuple[float, float], radii: tuple[float, float], *, angle: float = 0.0
) -> Tensor:
    """Signed distance (positive inside, about true near the edge) to an ellipse; centre, radii (y, x); angle in rad."""
    dy, dx = y - centre[0], x - centre[1]
    c, s = math.cos(angle), math.sin(angle)
    u, v = c * dy - s * dx, s * dy + c * dx
    rho = torch.sqrt((u / radii[0]) ** 2 + (v / radii[1]) ** 2 + 1e-12)
    slope = torch.sqrt((u / radii[0] ** 2) ** 2 + (v / radii[1] ** 2) ** 2 + 1e-12) / rho
    return (1 - rho) / slope


def coverage(distance: Tensor, width: float) -> Tensor:
    """How much of a point of size `width` lies inside, 0..1, from its signed distance to the edge."""
    return (distance / width + 0.5).clamp(0, 1)


def paint(canvas: Tensor, cover: Tensor, value: float | Tensor) -> Tensor:
    """Lay a tissue of intensity `value` over `canvas` where `cover` is 1; mixes where it is between."""
    return canvas + cover * (value - canvas)


def texture(shape: Sequence[int], scale: float, generator: torch.Generator) -> Tensor:
    """A smooth random field of zero mean and unit SD; `scale` is its grain in points."""
    white = torch.randn(tuple(shape), generator=generator)
    frequencies = torch.meshgrid(*(torch.fft.fftfreq(n) for n in shape), indexing="ij")
    radius2 = torch.stack(frequencies).square().sum(0)
    smooth = torch.fft.ifftn(torch.fft.fftn(white) * torch.exp(-2 * (math.pi * scale) ** 2 * radius2)).real
    return (smooth - smooth.mean()) / smooth.std()


def warp(field: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Read `field` (rows, columns; spanning [-1, 1]) at the coordinates y, x, linearly, reflected beyond the edge."""
    grid = torch.stack((x, y), dim=-1)[None]
    return torch.nn.functional.grid_sample(field[None, None], grid, padding_mode="reflection", align_corners=False)[
        0, 0
    ]


def uniform(generator: torch.Generator, low: float, high: float) -> float:
    """One draw from the uniform distribution on [low, high)."""
    return low + (high - low) * float(torch.rand((), generator=generator))


def smooth_phase(matrix: Sequence[int], generator: torch.Generator, *, swing: float = 1.2) -> Tensor:
    """A background phase in radians, shape `matrix`: a random quadratic in the coordinates, about +-`swing`."""
    coords = grid_3d(matrix)
    phase = torch.full(tuple(matrix), uniform(generator, -math.pi, math.pi))
    for c in coords:
        phase = phase + swing * uniform(generator, -0.6, 0.6) * c
    for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (1, 2)):
        phase = phase + swing * uniform(generator, -0.5, 0.5) * coords[i] * coords[j]
    return phase


def with_phase(magnitude: Tensor, phase: Tensor) -> Tensor:
    """Complex image of peak magnitude 1."""
    return torch.polar(magnitude / magnitude.max(), phase.expand_as(magnitude))
