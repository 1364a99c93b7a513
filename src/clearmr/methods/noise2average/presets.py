"""Named settings: the reference's, and ours."""

from collections.abc import Callable

from clearmr.methods.noise2average.config import DataConfig, NetConfig, Noise2AverageConfig
from clearmr.train.fine_tuning import FineTuning
from clearmr.train.settings import LoopConfig

FADE = 16  # voxels that blocks of a prediction share: blocks that abut leave seams


def default() -> Noise2AverageConfig:
    """The noise known: a network of the house learns from the average's estimate, repeats meet half way."""
    tuning = FineTuning(
        block=(32, 32, 32), epochs=2, steps=60, learning_rate=2e-4, turns=True, average_decay=0.95, tile=(96, 96, 96),
        fade=8,
    )  # fmt: skip
    return Noise2AverageConfig(scheme="known-noise", tuning=tuning)


def published() -> Noise2AverageConfig:
    """The published rounds with the network that the house ships: blocks of 64^3, flips, 20 epochs at 5e-5."""
    return Noise2AverageConfig(tuning=FineTuning(tile=(96, 96, 96), fade=FADE))


def paper() -> Noise2AverageConfig:
    """As in the reference, for T1w: MU-Net, which `clearmr train noise2average --preset paper` trains before."""
    return Noise2AverageConfig(net=NetConfig("munet"), tuning=FineTuning(fade=FADE))


def paper_dwi(volumes: int = 17) -> Noise2AverageConfig:
    """As in the reference, for diffusion: ten convolutions, every volume a channel (--set net.volumes=N)."""
    return Noise2AverageConfig(net=NetConfig("chain", volumes=volumes), tuning=FineTuning(fade=FADE))


def small() -> Noise2AverageConfig:
    """A MU-Net of 24 channels and three pairs: hours on a laptop instead of days."""
    return Noise2AverageConfig(
        net=NetConfig("munet", width=24, pairs=3),
        tuning=FineTuning(block=(48, 48, 48), epochs=10, learning_rate=1e-4, fade=8),
        data=DataConfig(block=(32, 32, 32), batch=2),
        loop=LoopConfig(steps=6000, learning_rate=1e-3, bf16=True),
    )


def tiny() -> Noise2AverageConfig:
    """Seconds: to see that everything runs."""
    return Noise2AverageConfig(
        net=NetConfig("munet", width=4, pairs=2, widths=(6, 4)),
        tuning=FineTuning(block=(12, 12, 12), epochs=2, learning_rate=1e-3),
        data=DataConfig(block=(12, 12, 12)),
        loop=LoopConfig(steps=4, validate_every=2, save_every=2, log_every=2),
    )


PRESETS: dict[str, Callable[[], Noise2AverageConfig]] = {
    "default": default,
    "published": published,
    "paper": paper,
    "paper-dwi": paper_dwi,
    "small": small,
    "tiny": tiny,
}
TRAINED = ("paper", "paper-dwi", "small", "tiny")  # begin at weights that are trained before
