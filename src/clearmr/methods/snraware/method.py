"""SNRAware: fit a network to noise made on the fly; denoise images in SNR units with it (`inference.SnrAware`)."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clearmr.denoiser import Progress, no_progress
from clearmr.methods.snraware import corpus, pairs
from clearmr.methods.snraware.cards import bundled, default_model, load, save
from clearmr.methods.snraware.config import SnrAwareConfig
from clearmr.methods.snraware.inference import SnrAware
from clearmr.methods.snraware.model import SnrAwareNet, build
from clearmr.scan import SnrImage
from clearmr.train import loop, losses

__all__ = ["SnrAware", "SnrAwareNet", "build", "bundled", "default_model", "fit", "load", "save"]

VALIDATION_BATCHES = 12


def fit(
    cases: Sequence[SnrImage],
    validation: Sequence[SnrImage],
    config: SnrAwareConfig,
    seed: int,
    *,
    gmaps: Float[Tensor, "n y x"],
    run: Path,
    name: str = "snraware",
    resume: bool = False,
    device: str = "cpu",
    progress: Progress = no_progress,
) -> SnrAware:
    """Train on clean high-SNR cases with `gmaps` on offer (R = 2..8 and ones); the best on `validation` is kept.

    validation: images of other subjects (fixed noise draws, PSNR-like merit); dead leaves alone where it is empty.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    train_series = [s for case in cases for s in corpus.clean_series(case)]
    held_out = [s for case in validation for s in corpus.clean_series(case)]
    leaves = corpus.synthetic_series(generator) if config.data.synthetic or not held_out else []
    batches = pairs.Batches(corpus.PatchSampler(train_series, leaves, config.data), gmaps, config, seed)
    unseen = dataclasses.replace(config.data, synthetic=0.0)
    checks = pairs.Batches(corpus.PatchSampler(held_out, leaves, unseen), gmaps, config, seed + 1)
    fixed = [checks(k) for k in range(VALIDATION_BATCHES)]

    def merit(net: nn.Module) -> float:
        return float(torch.tensor([_gain(net, batch, device) for batch in fixed]).nanmean())

    loss = functools.partial(losses.charbonnier, epsilon=config.loss.epsilon)
    net = loop.train(
        build(config.net), batches, loss, merit,
        config=config.loop, run=run, resume=resume, device=device, progress=progress,
    )  # fmt: skip
    card = {"net": dataclasses.asdict(config.net), "told": config.noise.told}
    return SnrAware(net.eval(), name, card, device=device)


def _gain(net: nn.Module, batch: loop.Batch, device: str) -> float:
    """Mean PSNR gain of a batch in dB over the noisy input, at most 30; noise-free pairs left out (NaN if all are)."""
    inputs, target = batch
    with torch.inference_mode():
        out = net(inputs.to(device).contiguous(memory_format=torch.channels_last_3d)).cpu()
        error = (out - target).square().mean((1, 2, 3, 4))
    before = (inputs[:, :2] - target).square().mean((1, 2, 3, 4))
    noisy = before > 0
    return float((10 * torch.log10(before[noisy] / error[noisy])).clamp(max=30).mean())
