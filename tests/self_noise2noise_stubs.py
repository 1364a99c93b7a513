"""Pairs of halves with a known truth, and networks that are a formula."""

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from clearmr.methods.mr_self_noise2noise import method
from clearmr.methods.mr_self_noise2noise.config import (
    DataConfig,
    HalfPair,
    NetConfig,
    SelfNoise2NoiseConfig,
)
from clearmr.methods.mr_self_noise2noise.inference import SelfNoise2Noise
from clearmr.scan import SnrImage
from clearmr.simulate.brain import brain
from clearmr.train.settings import LoopConfig
from laws import complex_noise

ONE = torch.ones(1, 1, 1, 1)


def of(values: Tensor, noise_sd: Tensor | float = 1.0, **more: Any) -> SnrImage:
    sd = noise_sd if isinstance(noise_sd, Tensor) else noise_sd * ONE
    return SnrImage(values, sd, ONE, "measured", **more)


def pair_of(truth: Tensor, noise_sd: Tensor | float = 1.0, *, seed: int = 0, clean: bool = False) -> HalfPair:
    """Two halves of independent noise (or a half and the truth), and the original, which is their mean."""
    first, second = (truth + noise_sd * complex_noise(*truth.shape, seed=2 * seed + k) for k in (0, 1))
    label = of(truth, 0.0 * ONE) if clean else of(second, noise_sd)
    return HalfPair(of(first, noise_sd), label, of((first + second) / 2, noise_sd / 2**0.5))


def brain_pair(seed: int, *, matrix: tuple[int, int, int] = (24, 40, 36), peak: float = 25.0) -> HalfPair:
    return pair_of(peak * brain(matrix, seed=seed), seed=seed)


def settings(*, steps: int = 10, image: str = "magnitude", **data: Any) -> SelfNoise2NoiseConfig:
    net = NetConfig(image=image, channels=(8, 16))  # type: ignore[arg-type]
    loop = LoopConfig(steps, learning_rate=3e-3, average_decay=0.9, validate_every=5, save_every=4, log_every=5)
    return SelfNoise2NoiseConfig(net=net, data=DataConfig(**{"patch": 24, "batch": 2, **data}), loop=loop)


class Formula(nn.Module):
    """A network of no weights: a function of the centre slice of its image channels; what it was given is kept."""

    def __init__(self, function: Any, channels_out: int = 1) -> None:
        super().__init__()
        self.function, self.channels_out, self.given = function, channels_out, []

    def forward(self, x: Tensor) -> Tensor:
        self.given.append(x)
        return self.function(x[:, : self.channels_out, x.shape[2] // 2, None])


def stubbed(function: Any, *, image: str = "magnitude", card: Any = None, **options: Any) -> SelfNoise2Noise:
    """A denoiser round a formula, and the calls it got in `.net.given`."""
    net = NetConfig(image=image)  # type: ignore[arg-type]
    whole_card = {"net": dataclasses.asdict(net), "orientations": "all", **(card or {})}
    return SelfNoise2Noise(Formula(function, 2 if image == "complex" else 1), "stub", whole_card, **options)


__all__ = ["ONE", "brain_pair", "method", "of", "pair_of", "settings", "stubbed"]
