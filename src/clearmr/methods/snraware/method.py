"""SNRAware: fit a network to noise made on the fly; denoise images in SNR units with it (`inference.SnrAware`)."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clearmr.denoiser import Progress, no_progress
from clearmr.errors import InputError
from clearmr.methods.snraware import cards, leaves, pairs, patches, store, volumes
from clearmr.methods.snraware import second as second_stage
from clearmr.methods.snraware.cards import bundled, default_model, load, save
from clearmr.methods.snraware.config import NetConfig, SnrAwareConfig
from clearmr.methods.snraware.inference import SnrAware
from clearmr.methods.snraware.model import SnrAwareNet, build
from clearmr.scan import SnrImage
from clearmr.train import loop, losses

__all__ = [
    "SnrAware", "SnrAwareNet", "build", "bundled", "default_model", "fit", "fit_second", "load", "refuse_apart", "save",
]  # fmt: skip

VALIDATION_BATCHES = 12
CASES, CASES_HELD_OUT = "cases", "cases-held-out"  # of a second network, in the run's folder


def fit(
    cases: Sequence[SnrImage | store.StoredSeries],
    validation: Sequence[SnrImage | store.StoredSeries],
    config: SnrAwareConfig,
    seed: int,
    *,
    gmaps: Float[Tensor, "n y x"],
    run: Path,
    start: str | Path | None = None,
    name: str = "snraware",
    resume: bool = False,
    device: str = "cpu",
    devices: int = 1,
    nodes: int = 1,
    progress: Progress = no_progress,
) -> SnrAware:
    """Train on clean high-SNR cases with `gmaps` on offer (R = 2..8 and ones); the best on `validation` is kept.

    cases: images, or series of a prepared corpus, which are read as they are needed and bring g maps of their own.
    validation: other subjects (fixed noise draws, PSNR-like merit); dead leaves alone where it is empty. `devices`
    processes on each of `nodes` machines (`loop.train`). start: a model of the same network, whose weights are the
    first. Raises Interrupted when asked to stop.
    """
    torch.manual_seed(seed)
    samples, checks = _samples(cases, validation, gmaps, config, seed)
    fixed = [checks.whole(k) for k in range(VALIDATION_BATCHES)]

    def merit(net: nn.Module) -> float:
        return float(torch.tensor([_gain(net, batch) for batch in fixed]).nanmean())

    net = loop.train(
        _first(config.net, start), samples, losses.combined(**dataclasses.asdict(config.loss)), merit,
        config=config.loop, run=run, seed=seed, resume=resume, device=device, devices=devices, nodes=nodes,
        progress=progress, pictures=fixed[0],
    )  # fmt: skip
    card = {"net": dataclasses.asdict(config.net), "told": config.noise.told}
    return SnrAware(net.eval(), name, card, device=device)


def fit_second(
    first: SnrAware,
    cases: Sequence[SnrImage | store.StoredSeries],
    validation: Sequence[SnrImage | store.StoredSeries],
    config: SnrAwareConfig,
    seed: int,
    *,
    gmaps: Float[Tensor, "n y x"],
    run: Path,
    resume: bool = False,
    device: str = "cpu",
    devices: int = 1,
    nodes: int = 1,
    progress: Progress = no_progress,
) -> SnrAware:
    """`first` with a second network, trained to mend what the filter makes of images that `first` denoised.

    One that `first` has already is trained further, on images filtered after it too.

    Arguments as of `fit`; without `validation` other draws of `cases` are validated on. Raises InputError where the two
    networks do not go together, Interrupted when asked to stop.
    """
    refuse_apart(first, config)
    torch.manual_seed(seed)
    settings = config.second
    made = second_stage.Cases(first, cases, gmaps, config, seed, run / CASES)
    held_out = second_stage.Cases(first, validation or cases, gmaps, config, seed + 1, run / CASES_HELD_OUT)
    samples = second_stage.Samples(made, config, seed, settings.cases)
    checks = second_stage.Samples(held_out, config, seed + 1, settings.held_out)
    fixed = [checks.whole(k) for k in range(VALIDATION_BATCHES)]

    def merit(net: nn.Module) -> float:
        return sum(second_stage.gain(net, batch) for batch in fixed) / len(fixed)

    net = loop.train(
        second_stage.begun(first), samples, losses.combined(**dataclasses.asdict(config.loss)), merit,
        config=config.loop, run=run, seed=seed, resume=resume, device=device, devices=devices, nodes=nodes,
        progress=progress,
    )  # fmt: skip
    return dataclasses.replace(first, second=net.eval(), device=device)


def refuse_apart(first: SnrAware, config: SnrAwareConfig) -> None:
    """Raises InputError unless a second network of these settings fits after `first`."""
    if config.net != cards.config_of_second(first.config):
        todo = "choose a preset of second networks, and a model of its channels and inputs"
        raise InputError(f"a second network after {first.name}, {first.config}", str(config.net), todo)
    if not config.net.noise_map or "gmap" in (config.noise.told, first.card.get("told")):
        raise InputError("models that are told the noise SD", "g or nothing", "train both with the scheme proposed")
    if min(config.second.size, config.second.side) < max(config.data.patch[1:]):
        found = f"second.size={config.second.size}, second.side={config.second.side}"
        raise InputError(f"cases that hold a patch of {config.data.patch[1:]}", found, "set them larger")


def _first(config: NetConfig, start: str | Path | None) -> nn.Module:
    """The network before its first step: weights at random, or those of a trained model. Raises InputError."""
    net = build(config)
    if start is not None:
        trained = load(start)
        if trained.config != config:
            todo = "begin with a model of the same architecture, channels and inputs"
            raise InputError(f"a model of {config}", f"{trained.config} in {start}", todo)
        net.load_state_dict(trained.net.state_dict())
    return net


def _samples(
    cases: Sequence[SnrImage | store.StoredSeries],
    validation: Sequence[SnrImage | store.StoredSeries],
    gmaps: Tensor,
    config: SnrAwareConfig,
    seed: int,
) -> tuple[pairs.Samples, pairs.Samples]:
    """What is trained on, and what is validated on: no dead leaves there unless there is nothing else."""
    train_series, held_out = ([s for case in given for s in store.series_of(case)] for given in (cases, validation))
    generator = torch.Generator().manual_seed(seed)
    synthetic = leaves.synthetic_series(generator) if config.data.synthetic or not held_out or not train_series else []
    boxed = config.data.volumes > 0
    given = [v for case in cases if boxed and isinstance(case, SnrImage) for v in volumes.clean_volumes(case)]
    leafy = volumes.leaf_volumes(generator) if boxed and config.data.synthetic else []
    sampler = patches.PatchSampler(train_series, synthetic, config.data, volumes=given, leaves=leafy)
    unseen = dataclasses.replace(config.data, synthetic=0.0, volumes=0.0)
    checks = pairs.Samples(patches.PatchSampler(held_out, synthetic, unseen), gmaps, config, seed + 1)
    return pairs.Samples(sampler, gmaps, config, seed), checks


def _gain(net: nn.Module, batch: loop.Batch) -> float:
    """Mean PSNR gain of a batch in dB over the noisy input, at most 30; noise-free pairs left out (NaN if all are)."""
    inputs, target = batch
    device = next(net.parameters()).device
    with torch.inference_mode():
        out = net(inputs.to(device).contiguous(memory_format=torch.channels_last_3d)).cpu()
        error = (out - target).square().mean((1, 2, 3, 4))
    before = (inputs[:, : target.shape[1]] - target).square().mean((1, 2, 3, 4))
    noisy = before > 0
    return float((10 * torch.log10(before[noisy] / error[noisy])).clamp(max=30).mean())
