"""Magnitudes for denoisers that assume Gaussian noise: a variance-stabilising transform, its exact unbiased inverse.

Foi 2011 (ISBI, "Noise estimation and removal in MR imaging: the variance-stabilization approach"): stabilise, denoise
as Gaussian noise of SD 1, invert without bias. His transforms are optimised numerically; ours is the classical
f' = 1 / SD(E z): its SD stays within 0.89 .. 1.07 for every signal, and the inverse removes Rice's bias.
All in units of the noise SD.
"""

import functools

import numpy as np
from scipy.special import ive

from clearmr.evaluate import rician


@functools.cache
def _stabiliser() -> tuple[np.ndarray, np.ndarray]:
    """Magnitudes z and f(z): the integral of 1 / SD over the mean."""
    snr = np.linspace(0, rician.HIGHEST, 6001)
    mean = np.asarray(rician.mean_magnitude(snr))
    sd = np.sqrt(rician.magnitude_variance(snr))
    slope = 1 / sd
    value = np.concatenate([[0.0], np.cumsum(0.5 * (slope[1:] + slope[:-1]) * np.diff(mean))])
    below = np.array([0.0]), np.array([-mean[0] / sd[0]])  # straight on from the lowest mean down to 0
    return np.concatenate([below[0], mean]), np.concatenate([below[1], value])


def stabilise(magnitude: np.ndarray) -> np.ndarray:
    """Magnitudes in units of the noise SD to values whose noise has an SD of about 1 everywhere."""
    z, value = _stabiliser()
    return np.where(magnitude > z[-1], value[-1] + magnitude - z[-1], np.interp(magnitude, z, value))


@functools.cache
def _inverse() -> tuple[np.ndarray, np.ndarray]:
    """E f(z) for signals A, and A: what the mean of stabilised values tells of the signal."""
    signal = np.concatenate([np.linspace(0, 8, 161), np.linspace(8.25, rician.HIGHEST, 208)])
    z = np.linspace(0, rician.HIGHEST + 10, 7001)
    value = stabilise(z)
    weights = z * np.exp(-((z - signal[:, None]) ** 2) / 2) * ive(0, z * signal[:, None])
    return (weights @ value) / weights.sum(1), signal


def unstabilise(value: np.ndarray) -> np.ndarray:
    """Denoised values back to the signal A, in units of the noise SD: 0 where they lie at the noise floor."""
    mean, signal = _inverse()
    return np.where(value > mean[-1], signal[-1] + value - mean[-1], np.interp(value, mean, signal))
