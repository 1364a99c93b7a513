"""Moments of Rician magnitudes (one coil, or a complex combination of coils), and back from moments to the noise SD."""

import functools

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import ive
from torch import Tensor

from clearmr.scan import SnrImage

HIGHEST = 60.0  # SNR from which Rice is Gauss
RAYLEIGH_MEAN = float(np.sqrt(np.pi / 2))  # mean of a magnitude without signal, in noise SDs
RAYLEIGH_RATIO = float(np.sqrt(np.pi / (4 - np.pi)))  # its mean over its SD: 1.913


def mean_magnitude(snr: np.ndarray | float) -> np.ndarray | float:
    """Mean of |A + n| over the SD of n's parts, at A / SD = snr (Rice 1944)."""
    half = np.asarray(snr, dtype=np.float64) ** 2 / 4
    return RAYLEIGH_MEAN * ((1 + 2 * half) * ive(0, half) + 2 * half * ive(1, half))


def magnitude_variance(snr: np.ndarray) -> np.ndarray:
    """Variance of |A + n| over that of n's parts, at A / SD = snr: from 0.43 up to 1."""
    # Far from the noise floor the difference of two large numbers loses its digits; its series does not.
    return np.where(snr < 30, 2 + snr**2 - mean_magnitude(snr) ** 2, 1 - 0.5 / np.maximum(snr, 1) ** 2)


def signal_of_mean(mean: np.ndarray) -> np.ndarray:
    """The signal A whose magnitude has this mean (Koay & Basser 2006), in units of the noise SD: 0 at the floor."""
    snr = np.linspace(0, HIGHEST, 6001)
    table = np.asarray(mean_magnitude(snr))
    return np.where(mean > table[-1], np.sqrt(np.maximum(mean**2 - 1, 0)), np.interp(mean, table, snr))


def as_gaussian(
    noisy: Float[Tensor, "*shape"], signal: Float[Tensor, "*shape"]
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """Magnitudes less their bias at the signal A that is guessed, and their variance; all in units of the noise SD.

    Rice 1944: the mean of |A + n| less A falls from 1.25 at A = 0 to 0, its variance rises from 0.43 to 1. What a
    filter for Gaussian noise may take magnitudes for, once a pilot tells the signal.
    """
    excess, variance = (torch.from_numpy(table) for table in _excess())
    index = (signal.clamp(0, HIGHEST) * ((len(excess) - 1) / HIGHEST)).round().long()
    return noisy - excess[index], variance[index]


@functools.cache
def _excess() -> tuple[np.ndarray, np.ndarray]:
    snr = np.linspace(0, HIGHEST, 6001)
    excess = np.asarray(mean_magnitude(snr)) - snr
    return excess.astype(np.float32), magnitude_variance(snr).astype(np.float32)


def is_rician(image: SnrImage) -> bool:
    """Real and nowhere negative: a magnitude. (Real images with Gaussian noise have negative voxels.)"""
    return not image.is_complex and not bool((image.image < 0).any())


def _table() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    snr = np.concatenate([np.linspace(0, 6, 1201), np.geomspace(6.01, 1e4, 400)])
    second = 2 + snr**2
    ratio = magnitude_variance(snr) / second
    gain = np.gradient(0.5 * np.log(1 / second), snr) / np.gradient(np.log(ratio), snr)
    return ratio[::-1], snr[::-1], gain[::-1]


_RATIO, _SNR, _GAIN = _table()


def noise_from_moments(variance: float, mean_square: float) -> tuple[float, float, float]:
    """(noise SD of each of real and imaginary, SNR, d ln SD / d ln variance) of magnitudes of one signal level.

    The inversion of Koay & Basser 2006 (J Magn Reson 179:317), but by the ratio variance / mean square: no
    iteration. A ratio over Rayleigh's (0.2146) is taken as no signal. Below an SNR of 1 the two cannot be told apart.
    """
    snr = float(np.interp(variance / mean_square, _RATIO, _SNR))
    gain = float(np.interp(snr, _SNR[::-1], _GAIN[::-1]))
    return float(np.sqrt(mean_square / (2 + snr**2))), snr, gain
