"""Named settings. The paper's supplement (training details) is not public: what it leaves open is ours, and said."""

from collections.abc import Callable

from clearmr.methods.mr_self_noise2noise.config import (
    BlendConfig,
    DataConfig,
    NetConfig,
    SelfNoise2NoiseConfig,
    SplitConfig,
)
from clearmr.train.settings import LoopConfig


def tiny() -> SelfNoise2NoiseConfig:
    """Minutes on two CPU cores: three resolution levels, and a few thousand small steps."""
    return SelfNoise2NoiseConfig(
        net=NetConfig(channels=(32, 64, 128)),
        data=DataConfig(patch=48, batch=8),
        loop=LoopConfig(
            steps=2000, learning_rate=2e-3, average_decay=0.99, validate_every=200, save_every=200, bf16=True
        ),
    )


def small() -> SelfNoise2NoiseConfig:
    """The default: told of the noise, bias-free, noise added so that the network knows a range; all orientations."""
    return SelfNoise2NoiseConfig()


def paper() -> SelfNoise2NoiseConfig:
    """As published: magnitudes, 7 slices along z, not told of the noise, alpha by equation 1 on the original image.

    The paper's: split along kz, kernel 3 x 2 x 2 (k0, k1, k2), 2.5D U-net, N2N pairs, alpha's grid. Ours, since the
    text does not say: the U-net's widths (those of Ronneberger et al. 2015), the scale (each scan by its own peak),
    patches, loss, optimiser and length.
    """
    return SelfNoise2NoiseConfig(
        split=SplitConfig.paper(),
        net=NetConfig(channels=(64, 128, 256, 512, 1024), bias=True, noise_map=False, scale="peak"),
        data=DataConfig(patch=128, batch=16, orientations="z", added_noise=0.0),
        blend=BlendConfig("original"),
        loop=LoopConfig(steps=100_000, learning_rate=3e-4, bf16=True),
    )


PRESETS: dict[str, Callable[[], SelfNoise2NoiseConfig]] = {"tiny": tiny, "small": small, "paper": paper}
