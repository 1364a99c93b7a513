"""Settings of MR-self Noise2Noise, and what its network learns from: two images of one scan with independent noise."""

from dataclasses import dataclass, field
from typing import Literal

from clearmr.scan import SnrImage
from clearmr.train.settings import LoopConfig


@dataclass(frozen=True)
class HalfPair:
    """One scan as three images of equal expected signal, each (1, z, y, x) complex64 with its own noise_sd.

    first, second  from disjoint halves of the acquired lines, in SNR units: their noise is independent
    original       from all lines, in the halves' unit (its SNR image divided by the root of the lines' ratio, noise_sd
                   too): its noise is in common with both
    """

    first: SnrImage
    second: SnrImage
    original: SnrImage


@dataclass(frozen=True)
class SplitConfig:
    """How k-space is split: every `factor`-th lattice line along `axis`; the halves are interleaves 0 and factor / 2.

    caipi: whether the lines taken move by one from each ky line to the next, so that the halves alias along both axes:
    less noise and a third of the difference between the halves (the paper's do not; `axis` then makes no difference).
    kernel: GRAPPA source lines along k2 and k1, and samples along k0 (the paper: 3 x 2 x 2 as k0 x k1 x k2).
    """

    axis: Literal["kz", "ky"] = "kz"
    factor: int = 2
    caipi: bool = True
    kernel: tuple[int, int, int] = (4, 4, 3)

    @classmethod
    def paper(cls) -> "SplitConfig":
        """As published: even and odd kz lines, kernel 3 x 2 x 2."""
        return cls(caipi=False, kernel=(2, 2, 3))


@dataclass(frozen=True)
class NetConfig:
    """The 2.5D U-net: `slices` in, the centre one out.

    channels per resolution level. image: "magnitude" as published, or "complex" (real and imaginary channels).
    noise_map: whether the noise SD of each slice is an input; without bias the network then follows any noise level.
    scale: what a scan is divided by: its median "noise" SD, or its own robust "peak", which needs no noise_sd.
    """

    image: Literal["magnitude", "complex"] = "magnitude"
    slices: int = 7
    channels: tuple[int, ...] = (32, 64, 128, 256)
    bias: bool = False
    noise_map: bool = True
    scale: Literal["noise", "peak"] = "noise"


@dataclass(frozen=True)
class DataConfig:
    """How patches are cut. added_noise: up to so many times its own, added to the input, so that it is a range.

    orientations: "z" cuts slices along z alone, "all" along each axis in turn.
    """

    patch: int = 64
    batch: int = 16
    orientations: Literal["z", "all"] = "all"
    added_noise: float = 2.0


@dataclass(frozen=True)
class BlendConfig:
    """How alpha is found among 0, 0.1 ... 1 on the validation subjects, by PSNR against the second half.

    "halves": of the first half and what the network makes of it, so that all noise is independent of the label's.
    "original": of the original image, as equation 1 has it; the label's noise is in it, which raises alpha.
    """

    image: Literal["halves", "original"] = "halves"


@dataclass(frozen=True)
class SelfNoise2NoiseConfig:
    """Everything `fit` needs beside the pairs and the seed."""

    split: SplitConfig = field(default_factory=SplitConfig)
    net: NetConfig = field(default_factory=NetConfig)
    data: DataConfig = field(default_factory=DataConfig)
    blend: BlendConfig = field(default_factory=BlendConfig)
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=20000, bf16=True))
