"""Magnitudes: their noise is Rician. What a Gaussian filter may take them for, once a pilot tells the signal."""

import functools

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from clearmr.evaluate import rician

STEPS = 6000  # of the tables, up to an SNR of HIGHEST


def as_gaussian(
    noisy: Float[Tensor, "*shape"], signal: Float[Tensor, "*shape"]
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """Magnitudes less their bias at the pilot's signal, and the variance there; all in units of the noise SD.

    Rice 1944: the mean of |A + n| less A falls from 1.25 at A = 0 to 0, its variance rises from 0.43 to 1.
    """
    excess, variance = (torch.from_numpy(table) for table in _tables())
    index = (signal.clamp(0, rician.HIGHEST) * (STEPS / rician.HIGHEST)).round().long()
    return noisy - excess[index], variance[index]


@functools.cache
def _tables() -> tuple[np.ndarray, np.ndarray]:
    snr = np.linspace(0, rician.HIGHEST, STEPS + 1)
    excess = np.asarray(rician.mean_magnitude(snr)) - snr
    return excess.astype(np.float32), rician.magnitude_variance(snr).astype(np.float32)
