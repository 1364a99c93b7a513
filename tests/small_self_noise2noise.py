"""MR-self Noise2Noise's Table 2 at a size that trains in seconds."""

import dataclasses

from clearmr.methods.mr_self_noise2noise.config import DataConfig, NetConfig, SelfNoise2NoiseConfig
from clearmr.reproduce import mr_self_noise2noise_data as scans
from clearmr.reproduce import mr_self_noise2noise_runs as runs
from clearmr.train.settings import LoopConfig

SIZES = scans.Sizes((12, 32, 32), (12, 40, 40), 4, 16, 60.0, training=1, validation=1, judged=2)


def micro(steps: int = 2, nets: tuple[str, ...] = runs.NETS) -> runs.Scale:
    """A few steps of a network of two levels on patches of 16 x 16."""
    base = SelfNoise2NoiseConfig(
        net=NetConfig(channels=(4, 8), slices=3),
        data=DataConfig(patch=16, batch=2),
        loop=LoopConfig(steps=steps, learning_rate=1e-3, average_decay=0.5, save_every=1, validate_every=steps),
    )
    return runs.Scale(dataclasses.replace(SIZES), base, nets)
