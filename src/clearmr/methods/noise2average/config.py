"""Settings of Noise2Average. Defaults are those of the reference."""

from dataclasses import dataclass, field
from typing import Literal

from clearmr.train.fine_tuning import FineTuning
from clearmr.train.settings import LoopConfig


@dataclass(frozen=True)
class NetConfig:
    """Which network is fine-tuned.

    kind    "given", the network that the house ships, told of the noise; "munet" or "chain", those of the reference,
            which are trained before by `clearmr train noise2average` and predict a residual in normalised intensities
    width, pairs   of a MU-Net: channels, and pairs of convolutions on the way down
    widths         of a chain: channels of its convolutions; volumes: how many go in and out together
    """

    kind: Literal["given", "munet", "chain"] = "given"
    width: int = 64
    pairs: int = 5
    widths: tuple[int, ...] = (*(192,) * 8, 96, 48)
    volumes: int = 1


@dataclass(frozen=True)
class KnownNoiseConfig:
    """What is ours: the noise is known, and so is the motion that is left between the repeats (`known_noise.py`).

    first_views   of a repeat for the first estimate; each_views: of a repeat in a round
    views         of the average for a result
    half_way      whether repeats are moved to meet half way, by less than a voxel
    alpha         of recorruption: the smaller, the nearer its input is to the average, and the noisier its target
    share         of the collaborative filter in a result (`known_noise.filtered`); 0: none
    """

    first_views: int = 3
    each_views: int = 1
    views: int = 6
    half_way: bool = True
    alpha: float = 0.5
    share: float = 0.85


@dataclass(frozen=True)
class DataConfig:
    """What a network is trained on before: blocks of clean volumes with Rician noise, in % of their maximum."""

    block: tuple[int, int, int] = (64, 64, 64)
    batch: int = 1
    noise: tuple[float, float] = (1.0, 12.0)
    averaged: int = 2  # at the most: the input is the average of so many noisy volumes


@dataclass(frozen=True)
class Noise2AverageConfig:
    """scheme: "published", each repeat onto the average, then onto the average of the denoised; "known-noise": ours.

    rounds  each begins at the pretrained weights; the run stops where one is no better than the one before
    """

    scheme: Literal["published", "known-noise"] = "published"
    rounds: int = 2
    net: NetConfig = field(default_factory=NetConfig)
    tuning: FineTuning = field(default_factory=FineTuning)
    known: KnownNoiseConfig = field(default_factory=KnownNoiseConfig)
    data: DataConfig = field(default_factory=DataConfig)
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=20000, bf16=True))
