"""Named settings: the bundled models' from scratch (their cards tell their own way), and Table 2's as the paper's."""

import functools
from collections.abc import Callable
from dataclasses import replace

from clearmr.methods.snraware.config import DataConfig, LossConfig, NetConfig, NoiseConfig, SnrAwareConfig
from clearmr.methods.snraware.model import TABLE2_ARCHITECTURES, table2
from clearmr.train.loop import LoopConfig


def tiny() -> SnrAwareConfig:
    """Two hours on one CPU core: half of the axes keep white noise, one pair in five is noise-free.

    The loss is nearly quadratic: it is the mean of what an image can be that keeps the mean signal, not the median.
    """
    return SnrAwareConfig(
        noise=NoiseConfig(gaussian_probability=0.5, clean_probability=0.2),
        data=DataConfig(batch=2),
        loss=LossConfig(epsilon=1.0),
        loop=LoopConfig(steps=16000, learning_rate=5e-4, bf16=True),
    )


def small() -> SnrAwareConfig:
    """`snraware-small`, from scratch: complex. More white noise than `tiny`; boxes of volumes, small lesions."""
    return SnrAwareConfig(
        noise=NoiseConfig(
            gaussian_probability=0.5, clean_probability=0.08, gmap_probability=0.5, white_probability=0.6
        ),
        data=DataConfig(
            patch=(12, 64, 64),
            batch=2,
            single_frame_probability=0.22,
            native_snr=(60.0, 1500.0),
            magnitude_probability=0.1,
            volumes=0.4,
            lesions=0.5,
        ),
        loss=LossConfig(epsilon=1.0),
        loop=LoopConfig(steps=20000, learning_rate=3e-4, warmup=0.02, bf16=True),
    )


def small_mag() -> SnrAwareConfig:
    """`snraware-small-mag`, from scratch: magnitudes (Rician, some with a zeroed background); real ones (Gaussian)."""
    like = small()
    return replace(
        like,
        noise=replace(like.noise, white_probability=0.7),
        net=NetConfig(image="magnitude"),
        data=replace(like.data, signed=0.3, volumes=0.5),
        loop=replace(like.loop, learning_rate=4e-4),
    )


def small_second() -> SnrAwareConfig:
    """The second network of `snraware-small`: `--after snraware-small`. Loss in units of the filtered image's error."""
    return _second(small(), gmap_probability=0.6)


def small_mag_second() -> SnrAwareConfig:
    """The second network of `snraware-small-mag`: more volumes."""
    config = _second(small_mag(), gmap_probability=0.4)
    return replace(
        config,
        data=replace(config.data, signed=0.15, zeroed_background=0.25),
        second=replace(config.second, volumes=0.5, scans=0.0),
    )


def _second(config: SnrAwareConfig, *, gmap_probability: float) -> SnrAwareConfig:
    return replace(
        config,
        noise=replace(config.noise, clean_probability=0.03, white_probability=0.7, gmap_probability=gmap_probability),
        net=replace(config.net, pilots=True),
        data=replace(config.data, synthetic=0.15, single_frame_probability=0.0),
        loss=LossConfig(epsilon=3.0),
        loop=replace(config.loop, steps=8000, learning_rate=2e-4, warmup=0.06),
    )


def paper(architecture: str) -> SnrAwareConfig:
    """A network of Table 2 with the paper's noise, 16x64x64 patches, losses (but one), optimiser and learning rate.

    The perceptual term is left out until `loss.perceptual` and `loss.vgg` (a file of VGG16 weights) are set. The
    number of steps is ours (80 epochs of the paper's corpus are not 80 of yours), the betas are Sophia's own.
    """
    return SnrAwareConfig(
        net=table2(architecture),
        data=DataConfig(
            patch=(16, 64, 64), single_frame_probability=0.0, magnitude_probability=0.0, synthetic=0.0, warped=0.0
        ),
        loss=LossConfig(perpendicular=1.0, gradient=1.0),
        loop=LoopConfig(steps=100_000, learning_rate=1e-5, optimizer="sophia", bf16=True),
    )


PRESETS: dict[str, Callable[[], SnrAwareConfig]] = {
    "tiny": tiny,
    "small": small,
    "small-mag": small_mag,
    "small-second": small_second,
    "small-mag-second": small_mag_second,
    **{name: functools.partial(paper, name) for name in TABLE2_ARCHITECTURES},
}
