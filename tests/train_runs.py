"""A small training for the tests of the loop; also a script, to be run in processes of its own."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clearmr.denoiser import Progress, no_progress
from clearmr.train import checkpoint, loop, losses, stream

CONFIG = loop.LoopConfig(
    steps=30, learning_rate=0.05, save_every=10, validate_every=10, average_decay=0.9, curvature_every=3
)


@dataclass(frozen=True)
class Items:
    """x and 3 x, from (step, index) alone."""

    batch: int = 2

    def __call__(self, step: int, index: int) -> loop.Batch:
        x = torch.randn(1, 2, 1, 4, 4, generator=torch.Generator().manual_seed(stream.seed_of(step, index)))
        return x, 3 * x


def small_net(dropout: float = 0.1) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(2, 4, 1), nn.PReLU(), nn.Dropout(dropout), nn.Conv3d(4, 2, 1))


def merit(net: nn.Module) -> float:
    x, y = Items()(10**6, 0)
    return -float(losses.charbonnier(net(x), y).detach())


def fit(
    run: Path,
    *,
    net: nn.Module | None = None,
    dropout: float = 0.1,
    batch: int = 2,
    loss: losses.Loss = losses.charbonnier,
    validate: Callable[[nn.Module], float] = merit,
    seed: int = 0,
    resume: bool = False,
    progress: Progress = no_progress,
    pictures: loop.Batch | None = None,
    **settings: Any,
) -> nn.Module:
    generator = torch.get_rng_state()
    net = net or small_net(dropout)
    torch.set_rng_state(generator)
    return loop.train(
        net, Items(batch), loss, validate, config=replace(CONFIG, **settings), run=run, seed=seed, resume=resume,
        progress=progress, pictures=pictures,
    )  # fmt: skip


def weights(run: Path) -> dict[str, Tensor]:
    """The model's weights in a run's last state."""
    state = checkpoint.load_tensors(run / checkpoint.STATE)
    return {name.removeprefix("model."): value for name, value in state.items() if name.startswith("model.")}


def main() -> int:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--batch", type=int, default=2)
    for setting in fields(CONFIG):
        parser.add_argument(f"--{setting.name}", type=type(getattr(CONFIG, setting.name)))
    given = {name: value for name, value in vars(parser.parse_args()).items() if value is not None}

    def say(done: int, total: int, **info: Any) -> None:
        if done == 5:
            sys.stderr.write(f"step {done}\n")
            sys.stderr.flush()

    try:
        fit(given.pop("run"), progress=say, **given)
    except loop.Interrupted as stopped:
        sys.stderr.write(f"{stopped}\n")
        return 128 + stopped.signal
    return 0


if __name__ == "__main__":
    sys.exit(main())
