"""Batches in the order of the steps, made here or by workers ahead of time: the same either way."""

import hashlib
import signal
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

Batch = tuple[Tensor, Tensor]  # network input (B, C, T, H, W), target (B, C', T, H, W)


@runtime_checkable
class Samples(Protocol):
    """What a network learns from, as a map: nothing about an item depends on anything but (step, index).

    `samples(step, index)` gives item `index` of the step's global batch: input (n, C, T, H, W) and target
    (n, C', T, H, W), of one shape for all items of a step. batch: items per step and process.
    """

    @property
    def batch(self) -> int: ...

    def __call__(self, step: int, index: int) -> Batch: ...


def seed_of(*parts: int) -> int:
    """A seed for torch from whole numbers, such as (seed, step, index); other numbers give unrelated seeds."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def indices(samples: Samples, rank: int) -> range:
    """Which items of every global batch process `rank` takes."""
    return range(rank * samples.batch, (rank + 1) * samples.batch)


class _Steps(Dataset[Batch]):
    """Item k is this process's batch of step `first` + k."""

    def __init__(self, samples: Samples, first: int, last: int, rank: int) -> None:
        self.samples, self.first, self.last, self.rank = samples, first, last, rank

    def __len__(self) -> int:
        return self.last - self.first

    def __getitem__(self, k: int) -> Batch:
        made = [self.samples(self.first + k, index) for index in indices(self.samples, self.rank)]
        inputs, targets = zip(*made, strict=True)
        return torch.cat(inputs), torch.cat(targets)


def batches(samples: Samples, first: int, last: int, *, rank: int, workers: int, pin: bool) -> Iterator[Batch]:
    """This process's batches of steps first, first + 1 ... last - 1. workers 0: made here, when asked for."""
    steps = _Steps(samples, first, last, rank)
    return iter(
        DataLoader(
            steps,
            batch_size=None,
            num_workers=workers,
            collate_fn=_as_it_is,
            worker_init_fn=_deaf,
            pin_memory=pin,
            generator=torch.Generator().manual_seed(0),  # workers draw nothing from it; the global one stays as it is
        )
    )


def _as_it_is(batch: Any) -> Any:
    return batch


def _deaf(_worker: int) -> None:
    """Signals to the whole process group are for the main process, which finishes its step with the workers' help."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
