"""AdamW and Sophia on one small denoising problem: equal steps, and equal seconds."""

import dataclasses
import importlib.util
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clearmr.bench.timing import Options
from clearmr.nets import ResidualConv3d, UNet
from clearmr.train import loop, losses
from clearmr.train.stream import seed_of

STEPS = 300
TRIED: dict[str, list[dict[str, float]]] = {
    "adamw": [{"learning_rate": rate} for rate in (1e-2, 3e-2, 1e-1)],
    "sophia": [{"learning_rate": rate, "gamma": gamma} for gamma in (0.05, 1.0) for rate in (1e-3, 3e-3, 1e-2)],
}
SIZE, DISCS, BATCH, HELD_OUT = 32, 12, 8, 64
SEED = 0


@dataclass(frozen=True)
class Discs:
    """Overlapping discs of random brightness and phase in white unit noise, told of it: (1, 3, 1, 32, 32) -> 2."""

    batch: int = BATCH

    def __call__(self, step: int, index: int) -> loop.Batch:
        generator = torch.Generator().manual_seed(seed_of(SEED, step, index))
        clean = discs(generator)
        noisy = clean + torch.randn(clean.shape, generator=generator)
        return torch.cat([noisy, torch.ones(1, SIZE, SIZE)])[None, :, None], clean[None, :, None]


def discs(generator: torch.Generator) -> Tensor:
    """(2, 32, 32): real and imaginary parts; brightness up to 10 times the noise."""
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    image = torch.zeros(2, SIZE, SIZE)
    for row, column, size, brightness, phase in torch.rand(DISCS, 5, generator=generator).tolist():
        inside = (y - row * SIZE) ** 2 + (x - column * SIZE) ** 2 < (2 + 8 * size) ** 2
        angle = torch.tensor(6.2832 * phase)
        image = torch.where(inside, 10 * brightness * torch.stack([angle.cos(), angle.sin()])[:, None, None], image)
    return image


def network() -> nn.Module:
    """The same weights at every call."""
    with torch.random.fork_rng([]):
        torch.manual_seed(SEED)
        return _Residual(UNet(3, 2, channels=(8, 16), cells=1, cell=ResidualConv3d))


class _Residual(nn.Module):
    def __init__(self, noise: nn.Module) -> None:
        super().__init__()
        self.noise = noise

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :2] - self.noise(x)


def run(options: Options) -> dict[str, Any]:
    """Mean squared error on held-out images, in noise variances, of each optimiser at each of its settings.

    "equal steps": the best of each; "equal seconds": Sophia's best once more, with as many steps as fit in the CPU
    seconds of AdamW's best.
    """
    if importlib.util.find_spec("lightning_fabric") is None:
        return {"skipped": "lightning-fabric is not installed: pip install 'clearmr[train]'"}
    train_once("adamw", TRIED["adamw"][0], 2)  # to warm up
    found = {
        name: [{**settings, **train_once(name, settings, STEPS)} for settings in tried] for name, tried in TRIED.items()
    }
    best = {name: min(entries, key=lambda entry: entry["error"]) for name, entries in found.items()}
    settings = {name: best["sophia"][name] for name in ("learning_rate", "gamma")}
    steps = max(1, round(STEPS * best["adamw"]["seconds"] / best["sophia"]["seconds"]))
    again = {**settings, "steps": steps, **train_once("sophia", settings, steps)}
    equal = {"equal steps": best, "equal seconds": {"adamw": best["adamw"], "sophia": again}}
    return {"steps": STEPS, **found, **equal}


def train_once(name: str, settings: dict[str, float], steps: int) -> dict[str, float]:
    """The lowest validation error, and the CPU seconds of the whole training (other work on the machine left out)."""
    held_out = [Discs()(-1, index) for index in range(HELD_OUT)]
    inputs, targets = (torch.cat(parts) for parts in zip(*held_out, strict=True))
    errors = []

    def merit(net: nn.Module) -> float:
        with torch.inference_mode():
            errors.append(float((net(inputs) - targets).square().mean()))
        return -errors[-1]

    config = dataclasses.replace(
        loop.LoopConfig(steps), optimizer=name, warmup=0.2, average_decay=0.98, validate_every=max(1, steps // 8),
        save_every=steps, **settings,  # type: ignore[arg-type]
    )  # fmt: skip
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        loop.train(network(), Discs(), losses.charbonnier, merit, config=config, run=Path(folder) / "run", seed=SEED)
    return {"error": round(min(errors), 5), "seconds": round(time.process_time() - began, 2)}
