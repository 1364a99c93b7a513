"""What can be simulated without any data: the table of scenes, and the static phantom."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from clearmr.axes import Image
from clearmr.errors import InputError
from clearmr.simulate.brain import brain
from clearmr.simulate.cine import cine
from clearmr.simulate.pincat import FOV, pincat
from clearmr.simulate.shapes import coverage, ellipse, grid_2d, pool, smooth_phase, with_phase

Matrix = tuple[int, int, int]

# Toft's modification of Shepp & Logan 1974: (intensity added, y radius, x radius, y, x, angle in degrees)
_ELLIPSES = (
    (1.0, 0.92, 0.69, 0.0, 0.0, 0.0),
    (-0.8, 0.874, 0.6624, 0.0184, 0.0, 0.0),
    (-0.2, 0.31, 0.11, 0.0, 0.22, -18.0),
    (-0.2, 0.41, 0.16, 0.0, -0.22, 18.0),
    (0.1, 0.25, 0.21, -0.35, 0.0, 0.0),
    (0.1, 0.046, 0.046, -0.1, 0.0, 0.0),
    (0.1, 0.046, 0.046, 0.1, 0.0, 0.0),
    (0.1, 0.023, 0.046, 0.605, -0.08, 0.0),
    (0.1, 0.023, 0.023, 0.606, 0.0, 0.0),
    (0.1, 0.046, 0.023, 0.605, 0.06, 0.0),
)


def static_phantom(matrix: Matrix, *, n_frames: int = 1, seed: int = 0) -> Image:
    """A head-like slice that does not move (frame, 1, y, x), complex64, peak magnitude 1.

    Toft's high-contrast modification of the Shepp & Logan phantom (1974), at twice its inner contrast, with partial
    volume and a smooth random phase from `seed`. The same in every frame and slice.
    """
    y, x = grid_2d(matrix[1], matrix[2])
    width = 2.0 / y.shape[0]
    canvas = torch.zeros_like(y)
    for added, radius_y, radius_x, centre_y, centre_x, degrees in _ELLIPSES:
        distance = ellipse(y, x, (centre_y, centre_x), (radius_y, radius_x), angle=math.radians(degrees))
        canvas = canvas + coverage(distance, width) * added * (1.0 if abs(added) > 0.5 else 1.6)
    image = pool(canvas.clamp(min=0)).expand(n_frames, *matrix)
    return with_phase(image, smooth_phase(matrix, torch.Generator().manual_seed(seed)))


@dataclass(frozen=True)
class Scene:
    """One thing to scan. `draw(matrix, n_frames=, seed=)` gives its image (frame, z, y, x); FOV in mm (z, y, x).

    varies: `draw` takes `variety=` and `contrast=`.
    """

    name: str
    draw: Callable[..., Tensor]
    matrix: Matrix
    n_frames: int
    fov: tuple[float, float, float]
    about: str
    varies: bool = False


SCENES = (
    Scene(
        "phantom", static_phantom, (1, 256, 256), 1, (5.0, 256.0, 256.0), "a Shepp-Logan-like slice that stands still"
    ),
    Scene("cine", cine, (1, 128, 128), 12, (8.0, 340.0, 340.0), "a beating heart in short axis, one cycle"),
    Scene("brain", brain, (48, 96, 96), 1, (168.0, 224.0, 192.0), "a brain-like 3D volume", varies=True),
    Scene("pincat", pincat, (1, 128, 128), 50, FOV, "cardiac perfusion under free breathing, PINCAT-like"),
)


def find_scene(name: str) -> Scene:
    """The scene of that name. Raises InputError where there is none."""
    for scene in SCENES:
        if scene.name == name:
            return scene
    raise InputError(f"a scene out of {', '.join(s.name for s in SCENES)}", repr(name), "choose one of them")
