"""The noise level of an image that comes without raw data.

Two looks, and the lower of them: anatomy only ever adds to either.
* Flat tissue: the voxels are sorted by signal level, in each level the flattest third is kept, and the variance of its
  highest frequencies is turned into the SD of the complex noise with the Rician bias taken out (Koay & Basser 2006).
  Levels with texture give too much; a mixture model finds the SD that the clean ones agree on. Needs no background.
* Background, where it has not been zeroed: a large region whose magnitudes have the mean-to-SD ratio of a Rayleigh
  distribution, 1.913 (Gudbjartsson & Patz 1995). Holds for noise that is correlated between neighbours too.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr

from clearmr.errors import InputError
from clearmr.evaluate.homogeneous import Flatness, Level, centre_block, flatness, levels, robust_variance
from clearmr.evaluate.rician import RAYLEIGH_MEAN, RAYLEIGH_RATIO, noise_from_moments
from clearmr.scan import SnrImage

_LEAST_SNR = 1.5  # below, signal and noise of a magnitude cannot be told apart by two moments
_SAME, _TOO_MUCH = 1.03, 1.08  # second over fourth differences: where the former lose trust, and all of it
_MANY_VOXELS = 200_000  # so many that the error of fourth differences does not count
_LEVEL_ERROR = 0.015  # of one level's SD, beside the statistical: what is left of bias
_TEXTURE = 0.1  # mean excess of ln SD in a level with texture
_TEXTURED_SHARES = (0.02, 0.2, 0.5)  # of the levels; the likeliest is taken
_OUTLIER = 0.05  # density per unit of ln SD
_MOST_DISTANCE = 0.015  # of a background's distribution from Rayleigh's
_STEEPEST = 5.0  # median squared gradient of a background, over that of white noise
_WHITE = 0.75  # of the variance: less in the highest frequencies means that the noise is not white

_CAVEAT = "One number for the whole image: noise that varies in space (parallel imaging) is not resolved."
_NOTES = {
    "flat tissue": "From the finest detail of flat regions, corrected for the Rician bias of magnitudes.",
    "flat regions, complex": "From the finest detail of flat regions of the real and imaginary parts.",
    "background": "From the image's noise-only background (Rayleigh).",
    "background, correlated noise": "From the image's noise-only background (Rayleigh): the finest detail holds "
    "less noise than it, as in interpolated or filtered images.",
    "low signal": "No region is bright enough to tell noise from signal: the commonest dark level is taken as noise.",
}


@dataclass(frozen=True)
class NoiseEstimate:
    """sd of each of the real and imaginary parts, in the image's unit; how it was found; a note for the user."""

    sd: float
    method: str
    note: str


def estimate_noise_sd(image: SnrImage) -> NoiseEstimate:
    """The noise SD of each of the real and imaginary channels of `image` (frame, z, y, x), complex or magnitude.

    Takes the noise as white, the same everywhere, and for magnitudes as Rician (one coil, or coils combined as
    complex images; a sum of squares of many coils has a higher floor). Frames and slices count as one series or
    volume; exact zeros are no data. Within 5 % for noise of 3 to 15 % of the maximum on T1w brains and cines
    (tests/test_evaluate_noise_level.py).
    Raises InputError for an image that is not finite or holds no 64 voxels away from zeros.
    """
    array = image.image.detach().cpu().numpy()
    if not np.isfinite(array).all():
        raise InputError("an image of finite numbers", "NaN or infinite voxels", "repair it, or give --noise-sd")
    block = centre_block(array)
    flat = flatness(block)
    if flat.smooth.size < 64:
        found = f"{flat.smooth.size} away from zeros in {tuple(block.shape)}"
        raise InputError("at least 64 voxels with signal", found, "give the noise level with --noise-sd")
    tissue = _from_tissue(block, flat)
    if np.iscomplexobj(block):
        return _told(tissue or 0.0, "flat regions, complex")
    return _of_magnitude(tissue, flat)


def _of_magnitude(tissue: float | None, flat: Flatness) -> NoiseEstimate:
    background = _from_background(flat)
    if background is None:
        if tissue is None:
            return _told(_common_dark_level(flat) / RAYLEIGH_MEAN, "low signal")
        return _told(tissue, "flat tissue")
    if not background.white:
        return _told(background.sd, "background, correlated noise")
    if tissue is None or tissue > background.sd:
        return _told(background.sd, "background")
    return _told(tissue, "flat tissue")


def _from_tissue(block: np.ndarray, flat: Flatness) -> float | None:
    """From flat regions of any brightness, looked at twice.

    Fourth differences are surer to leave texture out, second differences err less: the latter are trusted as far as
    they do not exceed the former; with many voxels the lower is taken. A single slice has few voxels:
    there half of each level is taken for the latter.
    """
    share = 0.33 if sum(n >= 2 for n in block.shape) > 2 else 0.5
    precise = _from_levels(levels(flat, share=share), flat)
    finer = flatness(block, fourth=True)
    sure = _from_levels(levels(finer), finer) if finer.smooth.size >= 64 else None
    if sure is None or precise is None or sure == 0:
        return precise if sure is None else sure
    if finer.smooth.size > _MANY_VOXELS:
        return min(precise, sure)
    trust = float(np.clip((_TOO_MUCH - precise / sure) / (_TOO_MUCH - _SAME), 0, 1))
    return trust * precise + (1 - trust) * sure


def _told(sd: float, method: str) -> NoiseEstimate:
    return NoiseEstimate(float(sd), method, f"{_NOTES[method]} {_CAVEAT}")


def _from_levels(found: list[Level], flat: Flatness) -> float | None:
    candidates = []
    for level in found:
        if flat.high.shape[0] == 2:
            candidates.append((float(np.sqrt(level.variance)), _error(level, flat, 0.5**1.5)))
        elif level.mean_square > 0:
            sd, snr, gain = noise_from_moments(level.variance, level.mean_square)
            if snr >= _LEAST_SNR:
                candidates.append((sd, _error(level, flat, gain)))
    return _agreeing(candidates) if candidates else None


def _error(level: Level, flat: Flatness, gain: float) -> float:
    """Relative standard error of an SD: of a variance of overlapping differences, times d ln SD / d ln variance."""
    return gain * float(np.sqrt(2 * flat.overlap / level.voxels))


def _agreeing(candidates: list[tuple[float, float]]) -> float:
    """The SD that explains best the (sd, relative error) of all levels, most of which may hold texture.

    Maximum likelihood of ln SD, each level being one of three: noise alone (a Gaussian about it, of its error); texture
    too, which adds an exponentially distributed excess; or an outlier, wherever it likes.
    """
    sds, errors = np.array([c for c in candidates if c[0] > 0] or [(1e-12, 1.0)]).T
    spread = np.hypot(errors, _LEVEL_ERROR)
    grid = np.linspace(np.log(sds.min()) - 0.1, np.log(sds.max()) + 0.1, 2001)
    excess = np.log(sds) - grid[:, None]
    clean = np.exp(-0.5 * (excess / spread) ** 2) / (spread * np.sqrt(2 * np.pi))
    exponent = 0.5 * (spread / _TEXTURE) ** 2 - excess / _TEXTURE + log_ndtr(excess / spread - spread / _TEXTURE)
    textured = np.exp(exponent) / _TEXTURE
    shares = [np.log((1 - f) * clean + f * textured + _OUTLIER).sum(axis=1) for f in _TEXTURED_SHARES]
    return float(np.exp(grid[np.argmax(np.max(shares, axis=0))]))


def _common_dark_level(flat: Flatness) -> float:
    """The smoothed magnitude that is most common in the darker half of the range: its half-sample mode."""
    values = np.sort(flat.smooth)
    values = values[values <= (values[0] + values[-1]) / 2]
    while values.size > 8:
        half = (values.size + 1) // 2
        start = int(np.argmin(values[half - 1 :] - values[: values.size - half + 1]))
        values = values[start : start + half]
    return float(values.mean())


@dataclass(frozen=True)
class _Background:
    """SD of the noise, and whether its highest frequencies hold their share of it."""

    sd: float
    white: bool


def _from_background(flat: Flatness) -> _Background | None:
    """The noise of a Rayleigh background, or None where there is none.

    Dark tissue can look Rayleigh by chance: its gradients are then far larger than those of noise, correlated or not.
    """
    mode = _common_dark_level(flat)
    near = (flat.smooth > 0.7 * mode) & (flat.smooth < 1.3 * mode)
    if near.mean() < 0.04 or near.sum() < 400:
        return None
    magnitude = flat.magnitude[near].astype(np.float64)
    mean, variance = float(magnitude.mean()), float(magnitude.var())
    if variance == 0 or abs(mean / np.sqrt(variance) / RAYLEIGH_RATIO - 1) > 0.06:
        return None
    slope = float(np.median(flat.gradient[near])) / (flat.noise_gradient * variance)
    if _distance(magnitude * RAYLEIGH_MEAN / mean) > _MOST_DISTANCE or slope > _STEEPEST:
        return None
    noise_sd = mean / RAYLEIGH_MEAN
    share = robust_variance(flat.high[:, near]) / (noise_sd * RAYLEIGH_MEAN / RAYLEIGH_RATIO) ** 2
    return _Background(noise_sd, share > _WHITE)


def _distance(magnitude: np.ndarray) -> float:
    """Largest distance between the distribution of the values and Rayleigh's of unit noise (Kolmogorov & Smirnov)."""
    values = np.sort(magnitude)
    return float(np.abs(-np.expm1(-(values**2) / 2) - (np.arange(values.size) + 0.5) / values.size).max())
