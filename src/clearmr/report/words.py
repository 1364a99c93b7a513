"""What the report says in words: numbers, the verdict, where the noise level came from."""

import math
from typing import Any

import numpy as np

from clearmr.report.results import Results

NOISE_WORDS = {
    "measured": "Measured with the scanner's own noise samples.",
    "given": "Given by the user.",
    "estimated": "Estimated from the image itself; no noise was measured.",
    "unknown": "Not known.",
}
NOISE_CAUTION = {
    "estimated": "The noise level is an ESTIMATE. Everything below in units of the noise is only as good as it is.",
    "unknown": "The noise level is NOT KNOWN. Nothing below in units of the noise can be relied on.",
}
_DOUBT = {"estimated": " – judged by an estimated noise level", "unknown": " – but the noise level is not known"}
_MORE, _LESS, _OFF, _TAILS = 1.05, 0.8, 0.05, 0.5


def number(value: Any) -> str:
    """`value` with four digits at most; a dash where it is missing or not finite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "–" if value is None else str(value)
    if isinstance(value, int):
        return str(value)
    return f"{value:.4g}" if math.isfinite(value) else "–"


def finite(value: Any) -> float | None:
    """`value` as float, or None where it is no finite number."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None


def verdict(results: Results) -> str:
    """One sentence: what became of the SNR, and whether what was removed looks like noise."""
    sentence = "; ".join(part for part in (_snr_words(results), _removed_words(results)) if part)
    doubt = _DOUBT.get(results.noise_source, "") if sentence else ""
    return (sentence[:1].upper() + sentence[1:] or "No statistics were recorded") + doubt + "."


def needs_care(results: Results) -> bool:
    """Whether anything asks for a second look: a warning, an uncertain noise level, odd statistics, a trust check."""
    sd, mean, tails = (finite(results.statistics.get(key)) for key in ("sd", "mean", "kurtosis"))
    odd = (sd or 0) > _MORE or abs(mean or 0) > _OFF or abs(tails or 0) > _TAILS
    doubted = results.trust_verdict in ("fail", "caution")
    return bool(results.warnings) or results.noise_source in NOISE_CAUTION or odd or doubted


def _snr_words(results: Results) -> str:
    before, after = finite(results.snr.get("before")), finite(results.snr.get("after"))
    if before and after:
        change = "rises" if after > before else "falls"
        return f"SNR {change} from {before:.3g} to {after:.3g} ({after / before:.2g} times)"
    return f"SNR before denoising is {before:.3g}, after it was not measured" if before else ""


def _removed_words(results: Results) -> str:
    sd = finite(results.statistics.get("sd"))
    if sd is None:
        return ""
    said = f"what was removed has {sd:.2f} times the SD of the noise"
    if sd > _MORE:
        return f"{said}, more than noise alone: look for anatomy in the difference"
    oddities = _oddities(results)
    if oddities:
        why = "" if np.iscomplexobj(results.noisy) else ", as of magnitude noise at low SNR or of lost anatomy"
        return f"{said}, but {' and '.join(oddities)}{why}: look at the difference"
    return f"{said} and looks like noise" + (", a part of which stayed" if sd < _LESS else "")


def _oddities(results: Results) -> list[str]:
    mean, tails = (finite(results.statistics.get(key)) for key in ("mean", "kurtosis"))
    said = []
    if abs(mean or 0) > _OFF:
        said.append(f"its mean is {mean:+.2f} SD instead of 0")
    if abs(tails or 0) > _TAILS:
        said.append(f"its tails are not Gaussian (excess kurtosis {tails:+.2g})")
    return said
