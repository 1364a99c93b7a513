"""A trained network learns from a few volumes at hand: blocks of them, some held out, the best epoch kept.

No word of any paper. Volumes are (C, z, y, x). What a network makes of whole volumes is joined from blocks again.
"""

import copy
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clearmr.train.blocks import (
    STRAIGHT,
    Box,
    FineTuning,
    Turn,
    blocks_of,
    no_tick,
    predicted,
    split_blocks,
    turned,
)

__all__ = ["Case", "FineTuning", "Tuned", "fine_tuned", "predicted"]

Fresh = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Case:
    """One volume to learn from: what the network is given, what it shall give, and where that counts, and how much."""

    inputs: Float[Tensor, "C z y x"]
    target: Float[Tensor, "C_out z y x"]
    weight: Float[Tensor, "z y x"]


@dataclass(frozen=True)
class Tuned:
    """The network of the best epoch, in eval mode; losses by epoch (validation: empty where nothing is held out)."""

    net: nn.Module
    train: tuple[float, ...]
    validation: tuple[float, ...]
    best: int
    late: bool = False


def as_they_are(inputs: Tensor, target: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A block as the case has it."""
    return inputs, target


def never_late() -> bool:
    """There is time enough."""
    return False


def fine_tuned(
    net: nn.Module,
    cases: Sequence[Case],
    config: FineTuning,
    *,
    seed: int,
    device: str = "cpu",
    bf16: bool = False,
    fresh: Fresh = as_they_are,
    tick: Callable[[], None] = no_tick,
    late: Callable[[], bool] = never_late,
) -> Tuned:
    """A copy of `net` that has learned from the cases by the weighted mean square, the best epoch on held-out blocks.

    fresh(inputs, target, generator) makes of a block (C, z, y, x) what is learned from, anew at each visit. Held-out
    blocks have generators of their own, the same at each epoch. `tick` after each step; `late` says that time is over:
    then the best so far is given, `net` itself at the worst. Raises InputError where no weight is positive.
    """
    return _Run(net, cases, config, seed, device, bf16, fresh, tick, late).run()


def weighted_error(out: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean square (B, C, z, y, x), weighted by (B, z, y, x); 0 where nothing has weight."""
    total = (weight[:, None] * (out - target).square()).sum()
    return total / (weight.sum() * target.shape[1]).clamp_min(1e-12)


class _Run:
    """The state of one tuning."""

    def __init__(
        self, net: nn.Module, cases: Sequence[Case], config: FineTuning, seed: int, device: str, bf16: bool,
        fresh: Fresh, tick: Callable[[], None], late: Callable[[], bool],
    ) -> None:  # fmt: skip
        self.cases, self.config, self.seed, self.device, self.bf16 = cases, config, seed, device, bf16
        self.fresh, self.tick, self.late = fresh, tick, late
        weight = torch.stack([case.weight for case in cases]).amax(0)
        self.learned, self.held = split_blocks(blocks_of(weight, config.block), config.validation, seed)
        self.net = copy.deepcopy(net).to(device).requires_grad_(True)
        self.mean = copy.deepcopy(self.net).requires_grad_(False).eval()
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=config.learning_rate)
        self.generator = torch.Generator().manual_seed(seed)
        self.done = 0

    def run(self) -> Tuned:
        train: list[float] = []
        validation: list[float] = []
        best, kept = 0, copy.deepcopy(self.mean)
        for epoch in range(1, self.config.epochs + 1):
            if self.late():
                break
            train.append(self._epoch())
            validation += [self._validated()] if self.held else []
            if not self.held or validation[-1] == min(validation) < min([math.inf, *validation[:-1]]):
                best, kept = epoch, copy.deepcopy(self.mean)
            if self.config.patience and epoch - best >= self.config.patience:
                break
        late = len(train) < self.config.epochs and self.late()
        return Tuned(kept.eval(), tuple(train), tuple(validation), best, late)

    def _epoch(self) -> float:
        losses: list[float] = []
        self.net.train()
        for chosen, turn in self._visits():
            if self.late() and losses:
                break
            blocks = [self._block(k, box, turn, self.generator) for k, box in chosen]
            inputs, target, weight = (torch.stack(parts).to(self.device) for parts in zip(*blocks, strict=True))
            loss = weighted_error(self._out(self.net, inputs), target, weight)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            self._average()
            losses.append(float(loss.detach()))
            self.tick()
        return sum(losses) / len(losses)

    def _visits(self) -> Iterator[tuple[list[tuple[int, Box]], Turn]]:
        """The blocks of an epoch in random order, `batch` at a time, and how each batch is turned."""
        every = [(k, box, mirror) for k in range(len(self.cases)) for box in self.learned for mirror in self._mirrors()]
        groups: dict[bool, list[tuple[int, Box]]] = {}
        steps, most = 0, self.config.steps or -(-len(every) // self.config.batch)
        while steps < most:
            for number in torch.randperm(len(every), generator=self.generator).tolist():
                k, box, mirror = every[number]
                groups.setdefault(mirror, []).append((k, box))
                if len(groups[mirror]) == self.config.batch and steps < most:
                    yield groups.pop(mirror), self._turn(mirror)
                    steps += 1
            if not self.config.steps:
                break
        for mirror, rest in groups.items() if not self.config.steps else ():
            yield rest, self._turn(mirror)

    def _mirrors(self) -> tuple[bool, ...]:
        return (False, True) if self.config.flips and not self.config.turns else (False,)

    def _turn(self, mirror: bool) -> Turn:
        if not self.config.turns:
            return ((0, 1, 2), (self.config.flip_axis,)) if mirror else STRAIGHT
        z, y, x = torch.randperm(3, generator=self.generator).tolist()
        tossed = torch.randint(2, (3,), generator=self.generator).tolist()
        return (z, y, x), tuple(axis for axis in range(3) if tossed[axis])

    def _block(self, k: int, box: Box, turn: Turn, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        case, cut = self.cases[k], (slice(None), *box)
        inputs, target = self.fresh(case.inputs[cut], case.target[cut], generator)
        return turned(inputs, turn), turned(target, turn), turned(case.weight[box][None], turn)[0]

    def _out(self, net: nn.Module, inputs: Tensor) -> Tensor:
        given = inputs.contiguous(memory_format=torch.channels_last_3d)
        with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.bf16):
            return net(given).float()

    def _average(self) -> None:
        """The running mean of the weights, which forgets faster at the beginning."""
        self.done += 1
        decay = min(self.config.average_decay, self.done / (self.done + 9))
        with torch.no_grad():
            for held, now in zip(self.mean.parameters(), self.net.parameters(), strict=True):
                held.lerp_(now, 1 - decay)
            for seen, new in zip(self.mean.buffers(), self.net.buffers(), strict=True):
                seen.copy_(new)

    def _validated(self) -> float:
        """Weighted mean square over all held-out blocks."""
        total, count = 0.0, 0.0
        with torch.inference_mode():
            for k, box in itertools.product(range(len(self.cases)), self.held):
                generator = torch.Generator().manual_seed(self.seed + 1 + k)
                parts = [part[None].to(self.device) for part in self._block(k, box, STRAIGHT, generator)]
                share = float(parts[2].sum())
                total += share * float(weighted_error(self._out(self.mean, parts[0]), parts[1], parts[2]))
                count += share
        return total / count if count else 0.0
