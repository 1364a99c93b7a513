"""SNRAware's Table 2 at a size that trains in seconds."""

import dataclasses

from clearmr.methods.snraware.config import LossConfig, NetConfig, NoiseConfig, SnrAwareConfig
from clearmr.reproduce import snraware_data, snraware_runs
from clearmr.train.settings import LoopConfig

SIZES = snraware_data.Sizes((1, 32, 32), (8, 32, 32), 4, 24, training=1, leaves=1, judged=1, subjects=1, arrays=1)


def micro(steps: int = 2) -> snraware_runs.Scale:
    """One network, two seeds, a few steps on patches of 2 x 16 x 16."""
    small = snraware_runs.tiny()
    base = SnrAwareConfig(
        noise=NoiseConfig(),
        net=NetConfig(channels=(4, 8), cells=1),
        data=dataclasses.replace(small.base.data, patch=(2, 16, 16), batch=1),
        loss=LossConfig(epsilon=1.0),
        loop=LoopConfig(steps=steps, learning_rate=1e-3, average_decay=0.5, save_every=1, validate_every=steps),
    )
    return snraware_runs.Scale(("unet-conv3d",), 2, base, SIZES)
