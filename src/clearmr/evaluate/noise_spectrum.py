"""The noise's power spectrum along each axis: white, or what the known k-space filters made of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clearmr.errors import InputError
from clearmr.scan import SnrImage

Spectra = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class NoiseSpectrum:
    """Noise power along z, y and x, each (n,) with mean 1, zero frequency first (numpy's order); and who says so.

    known: False where the image itself shows that its noise is not white and nothing says what it is.
    """

    axes: Spectra
    known: bool
    source: str

    @property
    def repeats(self) -> float:
        """That many noise values count as one: the mean square of the spectrum (1 for white noise)."""
        return float(np.prod([np.mean(axis**2) for axis in self.axes]))

    @property
    def top(self) -> float:
        """The largest noise power of any frequency."""
        return float(np.prod([axis.max() for axis in self.axes]))

    @property
    def plane(self) -> np.ndarray:
        """Power over (y, x), mean 1."""
        return self.axes[1][:, None] * self.axes[2]

    def coloured(self, white: np.ndarray) -> np.ndarray:
        """White noise (..., z, y, x) given this spectrum."""
        if all(np.ptp(axis) == 0 for axis in self.axes):
            return white
        z, y, x = (np.sqrt(axis) for axis in self.axes)
        weights = z[:, None, None] * y[:, None] * x
        out = np.fft.ifftn(np.fft.fftn(white, axes=(-3, -2, -1)) * weights, axes=(-3, -2, -1))
        return out if np.iscomplexobj(white) else out.real


def noise_spectrum(image: SnrImage, filters: Sequence[np.ndarray | None] | None = None) -> NoiseSpectrum:
    """The spectrum of the noise of `image` (frame, z, y, x).

    filters: amplitude weights that k-space went through along z, y and x, k-space centre at n // 2, None for no
    filter; without any, what the reconstruction's steps say (band and Gaussian filter); else white, unless the noise
    level was estimated from a background that showed it to be correlated. Raises InputError for other lengths.
    """
    shape = tuple(image.image.shape[1:])
    if filters is not None:
        given = tuple(_of_weights(weights, n) for weights, n in zip(filters, shape, strict=True))
        return NoiseSpectrum((given[0], given[1], given[2]), True, "given filters")
    for step in reversed(image.meta.get("steps", [])):
        if step.get("name") == "phase encoding" and "band" in step:
            return _of_recon(step, shape)
        if step.get("name") == "estimate noise" and "correlated" in str(step.get("method")):
            return NoiseSpectrum(_white(shape), False, "correlated, by which filter is not known")
    return NoiseSpectrum(_white(shape), True, "taken as white")


def _white(shape: Sequence[int]) -> Spectra:
    z, y, x = (np.ones(n) for n in shape)
    return z, y, x


def _of_weights(weights: np.ndarray | None, n: int) -> np.ndarray:
    if weights is None:
        return np.ones(n)
    if len(weights) != n or not np.any(weights):
        raise InputError(f"{n} filter weights, some over 0", f"{len(weights)}", "give one per k-space line")
    power = np.fft.ifftshift(np.abs(np.asarray(weights, dtype=np.float64)) ** 2)
    return power / power.mean()


def _of_recon(step: dict, shape: Sequence[int]) -> NoiseSpectrum:
    """From "band", the least and greatest frequency per axis in cycles per voxel, and the Gaussian's strength."""
    strength = step.get("kspace_filter") or 0.0
    axes = []
    for n, band in zip(shape, step["band"], strict=True):
        frequency = np.fft.fftfreq(n)
        if n == 1 or band is None:
            axes.append(np.ones(n))
            continue
        low, high, half = band
        inside = (frequency > low - 0.5 / n) & (frequency < high + 0.5 / n)
        power = inside * np.exp(-((strength * frequency / half) ** 2))
        axes.append(power / power.mean() if power.any() else np.ones(n))
    return NoiseSpectrum((axes[0], axes[1], axes[2]), True, "the reconstruction's steps")


def share_of(kernel: np.ndarray, power: np.ndarray) -> float:
    """Variance that `kernel` leaves of noise of this spectrum and variance 1, along one axis."""
    n = len(power)
    taps = np.arange(len(kernel))
    waves = np.exp(-2j * math.pi * np.outer(np.fft.fftfreq(n), taps))
    return float(np.mean(np.abs(waves @ kernel) ** 2 * power))
