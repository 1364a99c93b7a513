"""The two sizes of MR-self Noise2Noise's Table 2."""

from clearmr.methods.mr_self_noise2noise.config import DataConfig, NetConfig, SelfNoise2NoiseConfig
from clearmr.reproduce.mr_self_noise2noise_data import Sizes
from clearmr.reproduce.mr_self_noise2noise_runs import Scale
from clearmr.train.settings import LoopConfig

# SNR at which the originals without added noise come to the paper's 41 dB, or a little less.
SNR = 60.0
# Added in training, in SDs of a half's: halves have half of the original's lines, so the originals with 3 SDs of their
# own more are just reached.
NOISE = 1.5


def tiny() -> Scale:
    """Heads of 48 x 96 x 96 voxels, a narrow network of three levels; four networks in a quarter of an hour."""
    sizes = Sizes((48, 96, 96), (48, 128, 128), 8, 24, SNR, training=4, validation=1, judged=5)
    loop = LoopConfig(steps=2500, learning_rate=2e-3, average_decay=0.99, bf16=True, save_every=250, validate_every=250)
    base = SelfNoise2NoiseConfig(
        net=NetConfig(channels=(32, 64, 128)), data=DataConfig(patch=48, batch=8, added_noise=NOISE), loop=loop
    )
    return Scale(sizes, base)


def full() -> Scale:
    """The paper's voxels of 0.7 mm, and its network; for a GPU."""
    sizes = Sizes((240, 320, 320), (240, 400, 400), 32, 24, SNR, training=24, validation=4, judged=19)
    loop = LoopConfig(steps=50000, learning_rate=1e-3, bf16=True, save_every=1000, validate_every=1000, workers=8)
    base = SelfNoise2NoiseConfig(data=DataConfig(patch=128, batch=32, added_noise=NOISE), loop=loop)
    return Scale(sizes, base)


SCALES = {"tiny": tiny, "full": full}
