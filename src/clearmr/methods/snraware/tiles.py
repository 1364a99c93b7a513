"""Whole images in bounded memory: tiles that overlap, joined with weights that fade towards the seams."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clearmr.errors import InputError

Shape = tuple[int, int, int]

OVERLAP = (8, 16, 16)
SMALLEST = (16, 48, 48)
AGAIN = 1.25  # tile after tile takes this much more than one alone, as freed memory comes back in pieces (measured)


@dataclass(frozen=True)
class Needs:
    """What a network asks of its tiles: one size of (H, W) or any, a grid to begin on in H and W, bytes per voxel.

    A tile that begins at a multiple of `alignment` (the network's total stride) sees what the whole image sees.
    bytes_per_voxel: peak of the network while it runs, per voxel of a tile.
    """

    tile: tuple[int, int] | None = None
    alignment: int = 8
    bytes_per_voxel: float = 1200.0


def needs(net: nn.Module) -> Needs:
    """What a built network says of itself in `tile`, `alignment` and `bytes_per_voxel`; cautious where it does not."""
    known = {name: getattr(net, name) for name in ("tile", "alignment", "bytes_per_voxel") if hasattr(net, name)}
    return Needs(**known)


@dataclass(frozen=True)
class Span:
    """One tile's range along one axis."""

    start: int
    stop: int


@dataclass(frozen=True)
class Plan:
    """How an image of `shape` (T, H, W) is cut into tiles of at most `tile`, in the order of `boxes`."""

    shape: Shape
    tile: Shape
    boxes: tuple[tuple[Span, Span, Span], ...]


def plan(shape: Shape, asked: Needs, memory_bytes: float) -> Plan:
    """The fewest tiles that fit in `memory_bytes`. Raises InputError where not even the smallest does."""
    step = 1 if asked.tile else asked.alignment
    alignment = (1, step, step)
    tile = _tile_shape(shape, asked, alignment, memory_bytes)
    ranges = [spans(*axis) for axis in zip(shape, tile, OVERLAP, alignment, strict=True)]
    t, h, w = ranges
    return Plan(shape, tile, tuple(itertools.product(t, h, w)))


def _tile_shape(shape: Shape, asked: Needs, alignment: tuple[int, ...], memory_bytes: float) -> Shape:
    """Cut the axis that is longest beside its smallest length into one more part, until a tile fits."""
    tile = [shape[0], *(asked.tile or shape[1:])]
    if math.prod(tile) * asked.bytes_per_voxel <= memory_bytes and tuple(tile) == shape:
        return shape
    free = (0,) if asked.tile else (0, 1, 2)
    parts = [1, 1, 1]
    while (needed := math.prod(tile) * asked.bytes_per_voxel * AGAIN) > memory_bytes:
        axis = max(free, key=lambda a: tile[a] / SMALLEST[a])
        if tile[axis] <= SMALLEST[axis]:
            found = f"{max(memory_bytes, 0) / 1e9:.2f} GB"
            raise InputError(f"at least {needed / 1e9:.2f} GB of memory for the network", found, "allow more: --memory")
        parts[axis] += 1
        even = -(-(shape[axis] + (parts[axis] - 1) * OVERLAP[axis]) // parts[axis])
        tile[axis] = max(SMALLEST[axis], -(-even // alignment[axis]) * alignment[axis])
    return tile[0], tile[1], tile[2]


def spans(length: int, tile: int, overlap: int, alignment: int = 1) -> list[Span]:
    """Ranges of at most `tile` that cover `length`, overlap by `overlap` or more, begin at multiples of `alignment`.

    Neighbours begin at least one `alignment` apart, also where the tile is too small for the overlap.
    """
    if tile >= length:
        return [Span(0, length)]
    steps = -(-(length - tile) // alignment)  # of the last tile, which may be the smallest
    n = -(-steps // max(1, (tile - overlap) // alignment))
    starts = [alignment * (i * steps // n) for i in range(n + 1)]
    return [Span(s, min(s + tile, length)) for s in starts]


def fade(span: Span, length: int, overlap: int) -> Float[Tensor, "n"]:
    """Weights of a tile along an axis: a ramp over the overlap on inner sides, 1 elsewhere."""
    position = torch.arange(span.stop - span.start, dtype=torch.float32) + 1
    weight = torch.ones_like(position)
    if span.start > 0:
        weight = torch.minimum(weight, position / (overlap + 1))
    if span.stop < length:
        weight = torch.minimum(weight, position.flip(0) / (overlap + 1))
    return weight


def apply(
    function: Callable[[Tensor], Tensor],
    cut: Callable[[tuple[slice, slice, slice]], Tensor],
    cuts: Plan,
    *,
    report: Callable[[], None],
) -> Float[Tensor, "B C_out T H W"]:
    """function over the tiles that `cut` gives, (B, C, t, h, w) each; its result has the tile's t, h, w.

    `report` is called after each tile. A single tile is passed on as it is.
    """
    total: Tensor | None = None
    weights = torch.zeros(cuts.shape if len(cuts.boxes) > 1 else (0, 0, 0))
    for box in cuts.boxes:
        window = (slice(box[0].start, box[0].stop), slice(box[1].start, box[1].stop), slice(box[2].start, box[2].stop))
        part = function(cut(window))
        report()
        if len(cuts.boxes) == 1:
            return part
        t, h, w = (fade(s, n, o) for s, n, o in zip(box, cuts.shape, OVERLAP, strict=True))
        weight = t[:, None, None] * h[:, None] * w
        total = part.new_zeros((*part.shape[:2], *cuts.shape)) if total is None else total
        total[(..., *window)] += part * weight
        weights[window] += weight
    assert total is not None
    return total.div_(weights)
