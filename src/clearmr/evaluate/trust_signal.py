"""Is the signal kept? Its mean in smooth areas, and whether the image is like those that the model learnt from."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter, uniform_filter

from clearmr.evaluate import ranges
from clearmr.evaluate.checks import Check, above, not_run
from clearmr.evaluate.rician import mean_magnitude
from clearmr.evaluate.standardised import Standardised
from clearmr.evaluate.trust_removed import ERRORS
from clearmr.scan import SnrImage

SIGNAL, RANGE = "signal", "range"
TITLES = {SIGNAL: "Mean signal in smooth areas", RANGE: "Images that the model was trained on"}
SIGNAL_SNR = 5.0  # what counts as signal
FLAT, REACH = 1.0, 5  # noise SDs that the result varies within so many pixels: smooth
FLAT_SHARE = 0.05  # of the signal, where that is more
BLOCK = 8
LEAST = 1000  # voxels of smooth areas
BIAS_CAUTION, BIAS_FAIL = 0.01, 0.03


def signal(standard: Standardised) -> Check:
    """(mean of the result - mean of the input) / mean of the input, over blocks of 8 x 8 in smooth areas.

    Complex means of a block have an eighth of the noise: no bias of magnitudes comes in. For magnitudes the result may
    be lower by Rice's bias, if the denoiser takes the noise floor away.
    """
    inside = standard.used & (standard.snr > SIGNAL_SNR)
    smooth = inside & _smooth(standard.snr)
    where, name = (smooth, "smooth areas") if smooth.sum() >= LEAST else (inside, "all signal")
    n = int(where.sum())
    if n < LEAST:
        return not_run(SIGNAL, TITLES[SIGNAL], f"only {n} voxels over {SIGNAL_SNR:g} noise SDs")
    before, after = (np.stack([_means(p, where) for p in parts]) for parts in (standard.before, standard.after))
    length = np.maximum(np.sqrt(np.square(before).sum(0)), 1e-9)
    total = float(length[where].sum())
    bias = float((((after - before) * before).sum(0) / length)[where].sum()) / total
    error = ERRORS * float(np.sqrt(standard.spectrum.top / n)) * n / total
    floor = _floor(standard, where)
    off = max(bias, -bias - floor, 0.0)
    verdict = above(off, BIAS_CAUTION + error, BIAS_FAIL + error)
    said = f"the mean signal of {name} changed by {100 * bias:+.2f} %"
    said += f" (noise floor of magnitudes: {-100 * floor:.2f} %)" if floor else ""
    figures = {"bias": bias, "voxels": n, "where": name, "floor": floor}
    limits = {"bias caution": BIAS_CAUTION + error, "bias fail": BIAS_FAIL + error}
    return Check(SIGNAL, TITLES[SIGNAL], verdict, said, figures, limits)


def _smooth(snr: np.ndarray) -> np.ndarray:
    window = (1, 1, REACH, REACH)
    high, low = maximum_filter(snr, window), minimum_filter(snr, window)
    return high - low < np.maximum(FLAT, FLAT_SHARE * snr)


def _means(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Of each voxel's surroundings, those inside `where` alone."""
    window = (1, 1, BLOCK, BLOCK)
    share = np.maximum(uniform_filter(where.astype(np.float32), window), 1e-6)
    return uniform_filter(np.where(where, values, 0).astype(np.float32), window) / share


def _floor(standard: Standardised, where: np.ndarray) -> float:
    """What Rice's law adds to the mean of magnitudes, relative; 0 for other images."""
    if standard.kind != "rician":
        return 0.0
    snr = standard.snr[where].astype(np.float64)
    return max(float(np.mean(np.asarray(mean_magnitude(snr)) - snr) / np.mean(snr)), 0.0)


def model_range(noisy: SnrImage, card: Mapping[str, Any]) -> Check:
    """SNR, g, matrix and contrast of the image against the "range" of the model's card."""
    trained = card.get("range", {})
    known = [key for key in ranges.WORDS if key in trained]
    if not known:
        return not_run(RANGE, TITLES[RANGE], "the denoiser has no card that says what it was trained on")
    outside = ranges.outside(noisy, card)
    found = {key: list(ranges.measured(key, noisy)) for key in known}
    said = "; ".join(outside) if outside else f"{', '.join(known)} as in training".replace("snr", "SNR")
    limits = {key: list(trained[key]) for key in known}
    return Check(RANGE, TITLES[RANGE], "caution" if outside else "pass", said, found, limits)
