"""Blocks of volumes (C, z, y, x): where they lie, how they are turned, and how predictions are joined from them."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clearmr.errors import InputError

Box = tuple[slice, slice, slice]
Turn = tuple[tuple[int, int, int], tuple[int, ...]]  # the order of the axes (z, y, x), then which of them are mirrored
STRAIGHT: Turn = ((0, 1, 2), ())
ORDERS: tuple[tuple[int, int, int], ...] = ((0, 1, 2), (1, 0, 2), (2, 0, 1))  # each axis comes first once
MULTIPLE = 8  # of a block's side, which networks that halve their image compute fastest
MIRRORS: tuple[tuple[int, ...], ...] = ((), (2,), (1,), (0,), (1, 2), (0, 2), (0, 1), (0, 1, 2))


def no_tick() -> None:
    """Says nothing."""


@dataclass(frozen=True)
class FineTuning:
    """How a network is tuned, and how it is asked.

    block          of (z, y, x) voxels; a smaller volume is one block
    epochs         over all blocks; steps: so many to an epoch, the blocks again and again; 0: every block once
    learning_rate  of Adam; batch: blocks to a step
    validation     share of the blocks that is held out, the same places of all cases; at least one of two or more
    flips          learn from the blocks mirrored along `flip_axis` too, and average what is predicted of both
    turns          learn from blocks turned and mirrored any way, and average `views` of a prediction; flips are in it
    patience       epochs without a better validation loss until it stops; 0: all epochs
    average_decay  of a running mean of the weights, which is judged and kept in their place; 0: the weights themselves
    tile, fade     of a prediction: its blocks (zeros: `block`), and voxels over which overlapping ones fade
    """

    block: tuple[int, int, int] = (64, 64, 64)
    epochs: int = 20
    steps: int = 0
    learning_rate: float = 5e-5
    batch: int = 1
    validation: float = 0.2
    flips: bool = True
    flip_axis: int = 2
    turns: bool = False
    views: int = 2
    patience: int = 0
    average_decay: float = 0.0
    tile: tuple[int, int, int] = (0, 0, 0)
    fade: int = 0


def predicted(
    net: nn.Module,
    inputs: Float[Tensor, "C z y x"],
    config: FineTuning,
    *,
    device: str = "cpu",
    bf16: bool = False,
    residual: bool = False,
    tick: Callable[[], None] = no_tick,
) -> Float[Tensor, "C_out z y x"]:
    """What the network makes of a volume: blocks that cover it, averaged where they overlap, and over its views.

    residual: the network tells what to add to its first channels. `tick` after each view.
    """
    total, views = torch.zeros(()), views_of(config)
    with torch.inference_mode():
        for turn in views:
            total = total + turned_back(_joined(net, turned(inputs, turn), config, device, bf16), turn)
            tick()
    mean = total / len(views)
    return (inputs[: len(mean)] + mean if residual else mean).clone()


def views_of(config: FineTuning) -> list[Turn]:
    """How a volume is looked at for a prediction: as it is, mirrored, or with another axis first."""
    if config.turns:
        every = [(order, mirror) for mirror in MIRRORS for order in ORDERS]
        return list(every[: max(1, config.views)])
    return [STRAIGHT, ((0, 1, 2), (config.flip_axis,))] if config.flips else [STRAIGHT]


def turned(values: Tensor, turn: Turn) -> Tensor:
    """(C, z, y, x) with its axes in another order, then some of them mirrored."""
    order, mirrored = turn
    out = values.permute(0, *(axis + 1 for axis in order))
    return out.flip([axis + 1 for axis in mirrored]) if mirrored else out


def turned_back(values: Tensor, turn: Turn) -> Tensor:
    """What undoes `turned`."""
    order, mirrored = turn
    out = values.flip([axis + 1 for axis in mirrored]) if mirrored else values
    return out.permute(0, *(order.index(axis) + 1 for axis in range(3)))


def blocks_of(weight: Float[Tensor, "z y x"], block: tuple[int, int, int]) -> list[Box]:
    """Blocks that evenly cover the box round what has weight, grown where that is smaller than a block.

    Raises InputError where nothing has.
    """
    if not bool((weight > 0).any()):
        raise InputError("a mask with voxels inside", "an empty one", "give another mask")
    ranges = []
    for axis, size in enumerate(block):
        inside = (weight > 0).movedim(axis, 0).flatten(1).any(1).nonzero().flatten()
        ranges.append(_spans(int(inside[0]), int(inside[-1]) + 1, size, weight.shape[axis]))
    return [(z, y, x) for z, y, x in itertools.product(*ranges)]


def split_blocks(boxes: Sequence[Box], share: float, seed: int) -> tuple[list[Box], list[Box]]:
    """Blocks to learn from, and `share` of them that are held out: at least one of two or more, unless share is 0."""
    if share <= 0 or len(boxes) < 2:
        return list(boxes), []
    order = torch.randperm(len(boxes), generator=torch.Generator().manual_seed(seed)).tolist()
    n = min(max(1, round(share * len(boxes))), len(boxes) - 1)
    held = set(order[:n])
    return [b for k, b in enumerate(boxes) if k not in held], [b for k, b in enumerate(boxes) if k in held]


def _spans(start: int, stop: int, size: int, length: int) -> list[slice]:
    """Ranges of `size` that evenly cover start ... stop, grown into 0 ... length where that is shorter."""
    size = min(size, length)
    if stop - start < size:
        start = min(max(0, (start + stop - size) // 2), length - size)
        stop = start + size
    n = -(-(stop - start) // size)
    starts = [start + round(k * (stop - start - size) / max(1, n - 1)) for k in range(n)]
    return [slice(s, s + size) for s in starts]


def _joined(net: nn.Module, inputs: Tensor, config: FineTuning, device: str, bf16: bool) -> Tensor:
    """One view of the whole volume, block by block."""
    shape, size = tuple(inputs.shape[1:]), config.tile if any(config.tile) else config.block
    total, weights = torch.zeros(()), torch.zeros(shape)
    for box in _covering(shape, size, config.fade):
        part = _asked(net, inputs[(slice(None), *box)], device, bf16)
        weight = _faded(box, shape, config.fade)
        total = part.new_zeros(len(part), *shape) if total.ndim == 0 else total
        total[(slice(None), *box)] += weight * part
        weights[box] += weight
    return total / weights


def _covering(shape: tuple[int, ...], size: tuple[int, int, int], fade: int) -> list[Box]:
    """Blocks that cover a volume with `fade` voxels or more in common, where more than one is needed."""
    ranges = []
    for length, side in zip(shape, size, strict=True):
        side = min(side, length)
        n = 1 if side == length else -(-(length - fade) // max(1, side - fade))
        if fade:
            even = -(-(length + (n - 1) * fade) // n)  # no larger than they need to be
            side = min(side, -(-even // MULTIPLE) * MULTIPLE)
        starts = [round(k * (length - side) / max(1, n - 1)) for k in range(n)]
        ranges.append([slice(s, s + side) for s in starts])
    return [(z, y, x) for z, y, x in itertools.product(*ranges)]


def _faded(box: Box, shape: tuple[int, ...], fade: int) -> Tensor:
    """1, falling towards borders of a block that are none of the volume."""
    sides = []
    for part, length in zip(box, shape, strict=True):
        place = torch.arange(part.start, part.stop, dtype=torch.float32)
        weight = torch.ones_like(place)
        if fade and part.start > 0:
            weight = torch.minimum(weight, (place - part.start + 1) / (fade + 1))
        if fade and part.stop < length:
            weight = torch.minimum(weight, (part.stop - place) / (fade + 1))
        sides.append(weight)
    return sides[0][:, None, None] * sides[1][:, None] * sides[2]


def _asked(net: nn.Module, block: Tensor, device: str, bf16: bool) -> Tensor:
    given = block[None].to(device).contiguous(memory_format=torch.channels_last_3d)
    with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=bf16):
        return net(given)[0].float().cpu()
