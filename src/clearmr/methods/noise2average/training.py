"""Training before: a supervised residual denoiser on high-SNR volumes of other subjects, noise made on the fly."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from clearmr.denoiser import Progress, no_progress
from clearmr.errors import InputError
from clearmr.methods.noise2average.config import DataConfig, NetConfig, Noise2AverageConfig
from clearmr.nets.volumes import ConvChain, MuNet
from clearmr.scan import SnrImage
from clearmr.train import loop
from clearmr.train.stream import Batch, seed_of

VALIDATION_BATCHES = 8
FOREGROUND = 0.1  # of the maximum: what a block is normalised by


def build(config: NetConfig) -> nn.Module:
    """The network of the settings, weights from torch's global generator. Raises InputError for the house's own."""
    if config.kind == "munet":
        return MuNet(width=config.width, pairs=config.pairs)
    if config.kind == "chain":
        return ConvChain(config.volumes, config.volumes, widths=config.widths)
    raise InputError("a preset with a network of its own", "one that begins at the shipped one", "take --preset paper")


@dataclasses.dataclass(frozen=True)
class Samples:
    """Blocks of clean volumes with Rician noise, averaged and normalised by mean and SD; target: the residual.

    volumes: (C, z, y, x) each, maximum 1. What is made depends on (seed, step, index) alone.
    """

    volumes: tuple[Tensor, ...]
    config: DataConfig
    seed: int

    @property
    def batch(self) -> int:
        return self.config.batch

    def __call__(self, step: int, index: int) -> Batch:
        generator = torch.Generator().manual_seed(seed_of(self.seed, step, index))
        volume = self.volumes[_below(len(self.volumes), generator)]
        sizes = [min(b, n) for b, n in zip(self.config.block, volume.shape[1:], strict=True)]
        starts = [_below(n - b + 1, generator) for b, n in zip(sizes, volume.shape[1:], strict=True)]
        box = tuple(slice(s, s + b) for s, b in zip(starts, sizes, strict=True))
        clean = volume[(slice(None), *box)]
        clean = clean.flip(3) if _below(2, generator) else clean
        low, high = self.config.noise
        level = (low + (high - low) * float(torch.rand((), generator=generator))) / 100
        return residual_pair(clean, level, 1 + _below(self.config.averaged, generator), generator)


def residual_pair(clean: Tensor, level: float, averaged: int, generator: torch.Generator) -> Batch:
    """(1, C, z, y, x): the average of noisy magnitudes, normalised where there is signal, and what to add to it."""
    noisy = torch.zeros_like(clean)
    for _ in range(averaged):
        real, imaginary = (level * torch.randn(clean.shape, generator=generator) for _ in range(2))
        noisy += torch.hypot(clean + real, imaginary) / averaged
    signal = noisy[clean > FOREGROUND] if bool((clean > FOREGROUND).any()) else noisy.flatten()
    mean, sd = signal.mean(), signal.std(unbiased=False).clamp_min(level)
    return ((noisy - mean) / sd)[None], ((clean - noisy) / sd)[None]


def fit(
    cases: Sequence[SnrImage],
    validation: Sequence[SnrImage],
    config: Noise2AverageConfig,
    seed: int,
    *,
    run: Path,
    resume: bool = False,
    device: str = "cpu",
    devices: int = 1,
    nodes: int = 1,
    progress: Progress = no_progress,
) -> nn.Module:
    """Train the network of `config` on clean volumes; the best on `validation` (of the cases, where none) is kept.

    Raises InputError for volumes it cannot take, Interrupted when asked to stop.
    """
    samples = Samples(_volumes(cases, config.net), config.data, seed)
    held = _volumes(validation, config.net) if validation else samples.volumes
    checks = Samples(held, config.data, seed + 1)
    fixed = [checks(k, 0) for k in range(VALIDATION_BATCHES)]
    torch.manual_seed(seed)

    def merit(net: nn.Module) -> float:
        return sum(_gain(net, *batch) for batch in fixed) / len(fixed)

    return loop.train(
        build(config.net), samples, _mean_square, merit, config=config.loop, run=run, seed=seed, resume=resume,
        device=device, devices=devices, nodes=nodes, progress=progress,
    )  # fmt: skip


def _mean_square(out: Tensor, target: Tensor) -> Tensor:
    return (out - target).square().mean()


def _gain(net: nn.Module, inputs: Tensor, target: Tensor) -> float:
    """PSNR gain in dB over the noisy input."""
    device = next(net.parameters()).device
    with torch.inference_mode():
        left = (net(inputs.to(device)).float().cpu() - target).square().mean()
    return float(10 * torch.log10(target.square().mean() / left.clamp_min(1e-12)))


def _volumes(cases: Sequence[SnrImage], config: NetConfig) -> tuple[Tensor, ...]:
    """(C, z, y, x), maximum 1: each frame alone, or `config.volumes` frames as channels."""
    found: list[Tensor] = []
    for case in cases:
        values = case.image.abs().float()
        if min(values.shape[1:]) < 8:
            said = f"{tuple(values.shape[1:])} voxels"
            raise InputError("volumes of at least 8 voxels along each axis", said, "leave that image out")
        values = values / values.max().clamp_min(1e-12)
        if config.kind != "chain":
            found += [frame[None] for frame in values]
            continue
        if len(values) != config.volumes:
            todo = f"pass --set net.volumes={len(values)}, or leave that series out"
            raise InputError(f"diffusion series of {config.volumes} volumes", f"one of {len(values)}", todo)
        found.append(values)
    if not found:
        raise InputError("clean volumes to train on", "none", "give NIfTI volumes with -d")
    return tuple(found)


def _below(n: int, generator: torch.Generator) -> int:
    return int(torch.randint(n, (), generator=generator))
