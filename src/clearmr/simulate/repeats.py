"""Repeats of one volume as a scanner gives them: each moved a little, of a slightly other intensity, with its noise."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy import ndimage
from scipy.spatial.transform import Rotation
from torch import Tensor

from clearmr.errors import InputError
from clearmr.scan import SnrImage
from clearmr.simulate.image_noise import rician_noise

Mm = tuple[float, float, float]


@dataclass(frozen=True)
class Move:
    """What one repeat differs by: a shift in mm and turns in degrees, both (z, y, x), and a factor of intensity."""

    shift: Mm = (0.0, 0.0, 0.0)
    degrees: Mm = (0.0, 0.0, 0.0)
    gain: float = 1.0


def draw_moves(n: int, *, shift: float, degrees: float, gain: float, generator: torch.Generator) -> tuple[Move, ...]:
    """n moves round the reference: their mean is no move, their largest is `shift` mm and `degrees` from it.

    Directions are random, those of two repeats opposite. gain: how far the outermost intensities lie apart, as a
    fraction. Raises InputError for fewer than two repeats.
    """
    if n < 2:
        raise InputError("at least two repeats", str(n), "ask for 2 or more")
    moves, turns = (_spread(n, generator) * length for length in (shift, degrees))
    steps = (torch.arange(n) / (n - 1) - 0.5).tolist()
    return tuple(
        Move(tuple(m.tolist()), tuple(t.tolist()), 1.0 + gain * step)  # type: ignore[arg-type]
        for m, t, step in zip(moves, turns, steps, strict=True)
    )


def moved(clean: Float[Tensor, "frame z y x"], move: Move, *, spacing: Mm) -> Float[Tensor, "frame z y x"]:
    """Every volume turned about its middle, shifted, and scaled; splines of order 5, which blur next to nothing.

    Nothing below zero is left. Beyond the border the outermost voxels go on.
    """
    if move == Move():
        return clean.clone()
    if move.shift == move.degrees == (0.0, 0.0, 0.0):
        return clean * move.gain
    scale = np.diag(spacing)
    # Rotation counts axes (x, y, z); ours are the other way round.
    turn = Rotation.from_euler("zyx", move.degrees, degrees=True).as_matrix()[::-1, ::-1]
    matrix = np.linalg.inv(scale) @ turn @ scale
    middle = (np.asarray(clean.shape[1:]) - 1) / 2
    offset = middle - matrix @ middle - np.asarray(move.shift) / np.asarray(spacing)
    volumes = [
        ndimage.affine_transform(volume.double().numpy(), matrix, offset, order=5, mode="nearest") for volume in clean
    ]
    return move.gain * torch.from_numpy(np.stack(volumes)).to(clean.dtype).clamp(min=0)


def repeats(
    clean: Float[Tensor, "frame z y x"],
    moves: tuple[Move, ...],
    level: float,
    generator: torch.Generator,
    *,
    spacing: Mm = (1.0, 1.0, 1.0),
) -> tuple[SnrImage, ...]:
    """A magnitude of `clean` for each move, with Rician noise of its own; `level` as in `rician_noise`."""
    made = []
    for move in moves:
        image = rician_noise(moved(clean, move, spacing=spacing), level, generator, spacing=spacing)
        made.append(dataclasses.replace(image, meta={**image.meta, "move": dataclasses.asdict(move)}))
    return tuple(made)


def _spread(n: int, generator: torch.Generator) -> Tensor:
    """n vectors (z, y, x) whose mean is zero and whose longest has length 1."""
    drawn = torch.randn(n, 3, generator=generator, dtype=torch.float64)
    centred = drawn - drawn.mean(0)
    return centred / centred.norm(dim=1).max()
