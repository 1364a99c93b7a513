"""Whole images in bounded memory: tiles that overlap, joined with weights that fade towards the seams."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from clearmr.errors import InputError

BYTES_PER_VOXEL = 1500.0  # peak of the network while it runs, per voxel of a tile (measured, float32, 32 channels)
OVERLAP = (8, 16, 16)
SMALLEST = (16, 48, 48)
ALIGNMENT = (1, 8, 8)  # multiples of the network's total strides: a tile on that grid sees what the whole image sees


@dataclass(frozen=True)
class Span:
    """One tile's range along one axis."""

    start: int
    stop: int


def tile_shape(shape: tuple[int, int, int], memory_bytes: float) -> tuple[int, int, int]:
    """The largest tile (T, H, W) that fits: the longest axis is halved until it does."""
    budget = memory_bytes / BYTES_PER_VOXEL
    tile = list(shape)
    while tile[0] * tile[1] * tile[2] > budget:
        order = sorted(range(3), key=lambda axis: tile[axis], reverse=True)
        axis = next((a for a in order if tile[a] > SMALLEST[a]), None)
        if axis is None:
            needed = tile[0] * tile[1] * tile[2] * BYTES_PER_VOXEL / 1e9
            raise InputError(f"at least {needed:.2f} GB of memory", f"{memory_bytes / 1e9:.2f} GB", "allow more")
        tile[axis] = max(SMALLEST[axis], -(-tile[axis] // 2))
    return tile[0], tile[1], tile[2]


def spans(length: int, tile: int, overlap: int, alignment: int = 1) -> list[Span]:
    """Ranges of at most `tile` that cover `length`, overlap by `overlap` or more, begin at multiples of `alignment`.

    Neighbours begin at least one `alignment` apart, also where the tile is too small for the overlap.
    """
    if tile >= length:
        return [Span(0, length)]
    steps = -(-(length - tile) // alignment)  # of the last tile, which may be the smallest
    stride = max(1, (tile - overlap) // alignment - (alignment > 1))
    n = -(-steps // stride)
    starts = [alignment * round(i * steps / n) for i in range(n + 1)]
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
    channels: Float[Tensor, "C T H W"],
    *,
    memory_bytes: float,
    report: Callable[[int, int], None],
) -> Float[Tensor, "C_out T H W"]:
    """function over tiles of `channels`; its result has the tile's T, H, W. One tile where the memory allows it."""
    shape = (channels.shape[1], channels.shape[2], channels.shape[3])
    tile = tile_shape(shape, memory_bytes)
    if tile == shape:
        out = function(channels)
        report(1, 1)
        return out
    ranges = [spans(*axis) for axis in zip(shape, tile, OVERLAP, ALIGNMENT, strict=True)]
    boxes = list(itertools.product(*ranges))
    total = weights = None
    for done, box in enumerate(boxes, 1):
        window = (slice(None), *(slice(s.start, s.stop) for s in box))
        part = function(channels[window])
        t, h, w = (fade(s, n, o) for s, n, o in zip(box, shape, OVERLAP, strict=True))
        weight = t[:, None, None] * h[:, None] * w
        if total is None or weights is None:
            total, weights = part.new_zeros((part.shape[0], *shape)), part.new_zeros(shape)
        total[window] += part * weight
        weights[window[1:]] += weight
        report(done, len(boxes))
    assert total is not None and weights is not None
    return total / weights
