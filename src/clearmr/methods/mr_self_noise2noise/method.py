"""MR-self Noise2Noise: fit a network to pairs of halves; denoise 3D images with it (`inference.SelfNoise2Noise`)."""

import copy
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from clearmr.denoiser import Progress, no_progress
from clearmr.errors import InputError
from clearmr.methods.mr_self_noise2noise import blend, rician
from clearmr.methods.mr_self_noise2noise.cards import bundled, load, save
from clearmr.methods.mr_self_noise2noise.config import NetConfig, SelfNoise2NoiseConfig
from clearmr.methods.mr_self_noise2noise.inference import METHOD, SelfNoise2Noise, magnitude
from clearmr.methods.mr_self_noise2noise.model import build
from clearmr.methods.mr_self_noise2noise.rician import RicianBias, rician_bias
from clearmr.methods.mr_self_noise2noise.samples import Pair, Samples, whole
from clearmr.scan import SnrImage
from clearmr.train import launch, loop, losses

__all__ = ["RicianBias", "SelfNoise2Noise", "bundled", "fit", "load", "magnitude", "rician_bias", "save"]

VALIDATION_PATCHES = 96
AMPLE = 1e12  # bytes: whole validation volumes, on the machine that trains
# Charbonnier's epsilon, in the network's unit (SNR units): the loss is then within a few percent the mean square.
# It has to be: the mean square alone is least at the mean of what the label can be, which is all that the label's
# noise leaves to be learned (Lehtinen et al. 2018); a mean modulus is least at the median, which is darker than the
# mean where magnitudes are near the noise floor.
EPSILON = 1.0


def fit(
    cases: Sequence[Pair],
    validation: Sequence[Pair],
    config: SelfNoise2NoiseConfig,
    seed: int,
    *,
    run: Path,
    start: str | Path | None = None,
    name: str = "mr-self-noise2noise",
    resume: bool = False,
    device: str = "cpu",
    devices: int = 1,
    nodes: int = 1,
    progress: Progress = no_progress,
) -> SelfNoise2Noise:
    """Train on pairs of halves (or of a half and a clean image, whose noise_sd is 0); then look for alpha.

    cases, validation: `HalfPair`s of different subjects, or what stands for them on disk (`samples.Pair`). What is
    best on fixed patches of `validation` is kept, by the gain in PSNR against the second half; without validation
    pairs the training pairs are looked at, and the card says so. start: a model of the same network, whose weights
    are the first. `devices` processes on each of `nodes` machines. Raises InputError; Interrupted when asked to stop.
    """
    torch.manual_seed(seed)
    samples, judged = Samples(cases, config, seed), list(validation) or list(cases)
    fixed = _fixed(judged, config, seed)
    net = loop.train(
        _first(config.net, start), samples, losses.combined(epsilon=EPSILON), lambda net: gain(net, fixed),
        config=config.loop, run=run, seed=seed, resume=resume, device=device, devices=devices, nodes=nodes,
        progress=progress, pictures=None,
    )  # fmt: skip
    card = {"method": METHOD, "net": dataclasses.asdict(config.net), "orientations": config.data.orientations}
    made = SelfNoise2Noise(net.eval(), name, card, device=device, memory_bytes=AMPLE, batch=8)
    if not launch.first_process():
        return made
    found = _looked_at(made, cases, judged, config)
    warnings = [*found.pop("warnings"), *([] if validation else [NO_VALIDATION])]
    return dataclasses.replace(made, card={**card, **found, "warnings": warnings}, memory_bytes=3.0e9, batch=1)


NO_VALIDATION = "the model was validated, and its alpha found, on the scans it was trained on: there were no others"


def _looked_at(
    made: SelfNoise2Noise, cases: Sequence[Pair], judged: Sequence[Pair], config: SelfNoise2NoiseConfig
) -> dict[str, Any]:
    """What the card says of alpha and of the noise floor in the training pairs."""
    is_magnitude = config.net.image == "magnitude"
    kind: Callable[[SnrImage], SnrImage] = magnitude if is_magnitude else _as_it_is
    found = blend.search(made.output, map(whole, judged), image=config.blend.image, kind=kind)
    noisy = [case for case in rician.some(cases) if bool((case.second.noise_sd[...] > 0).any())]
    card: dict[str, Any] = {"alpha": found.alpha, "alpha_psnr": list(found.psnr), "alpha_image": config.blend.image}
    if not noisy:
        return {**card, "warnings": []}
    bias = rician.mean_of(rician_bias(whole(case)) for case in noisy)
    sentence = bias.warning() if is_magnitude else None
    return {**card, "rician": dataclasses.asdict(bias), "warnings": [sentence] if sentence else []}


def gain(net: nn.Module, batches: Sequence[loop.Batch]) -> float:
    """How much nearer to the targets than the centre slice of the input is, in dB, over all voxels of the batches.

    The targets' own noise is in both distances: it lowers the gain and leaves the order of networks as it is.
    """
    device, before, after = next(net.parameters()).device, 0.0, 0.0
    for inputs, target in batches:
        with torch.inference_mode():
            out = net(inputs.to(device)).float().cpu()
        centre = inputs[:, : target.shape[1], inputs.shape[2] // 2, None]
        before += float((centre - target).square().sum(dtype=torch.float64))
        after += float((out - target).square().sum(dtype=torch.float64))
    return float(10 * torch.log10(torch.tensor(before / max(after, 1e-30))))


def _fixed(pairs: Sequence[Pair], config: SelfNoise2NoiseConfig, seed: int) -> list[loop.Batch]:
    """Patches to validate on, the same in every run of a seed: no noise is added, nothing else is left out."""
    plain = dataclasses.replace(config, data=dataclasses.replace(config.data, added_noise=0.0))
    samples, batch = Samples(pairs, plain, seed + 1), config.data.batch
    made = [samples(0, index) for index in range(max(batch, VALIDATION_PATCHES))]
    inputs, targets = (torch.cat(part) for part in zip(*made, strict=True))
    return list(zip(inputs.split(batch), targets.split(batch), strict=True))


def _first(config: NetConfig, start: str | Path | None) -> nn.Module:
    """The network before its first step: weights at random, or those of a trained model. Raises InputError."""
    if start is None:
        return build(config)
    trained = load(start)
    if trained.config != config:
        todo = "begin with a model of the same architecture, channels and inputs"
        raise InputError(f"a model of {config}", f"{trained.config} in {start}", todo)
    return copy.deepcopy(trained.net).requires_grad_(True)


def _as_it_is(image: SnrImage) -> SnrImage:
    return image
