"""Magnitudes: their noise is Rician. What a Gaussian filter may take them for, once a pilot tells the signal."""

import functools

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from clearmr.evaluate.rician import mean_magnitude
from clearmr.scan import SnrImage

HIGHEST, STEPS = 60.0, 6000  # SNR up to which the tables go; beyond it Rice is Gauss


def is_rician(image: SnrImage) -> bool:
    """Real and nowhere negative: a magnitude. (Real images with Gaussian noise have negative voxels.)"""
    return not image.is_complex and not bool((image.image < 0).any())


def as_gaussian(
    noisy: Float[Tensor, "*shape"], signal: Float[Tensor, "*shape"]
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """Magnitudes less their bias at the pilot's signal, and the variance there; all in units of the noise SD.

    Rice 1944: the mean of |A + n| less A falls from 1.25 at A = 0 to 0, its variance rises from 0.43 to 1.
    """
    excess, variance = (torch.from_numpy(table) for table in _tables())
    index = (signal.clamp(0, HIGHEST) * (STEPS / HIGHEST)).round().long()
    return noisy - excess[index], variance[index]


def signal_of_mean(mean: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The signal A whose magnitude has this mean (Koay & Basser 2006), in units of the noise SD: 0 at the floor."""
    excess, _ = _tables()
    signal = np.linspace(0, HIGHEST, STEPS + 1)
    found = np.interp(mean.numpy(), signal + excess, signal)
    return torch.where(mean > HIGHEST, mean, torch.from_numpy(found).to(mean.dtype))


@functools.cache
def _tables() -> tuple[np.ndarray, np.ndarray]:
    snr = np.linspace(0, HIGHEST, STEPS + 1)
    mean = np.asarray(mean_magnitude(snr))
    # Far from the noise floor the difference of two large numbers loses its digits; its series does not.
    variance = np.where(snr < 30, 2 + snr**2 - mean**2, 1 - 0.5 / np.maximum(snr, 1) ** 2)
    return (mean - snr).astype(np.float32), variance.astype(np.float32)
