"""Is the image like those that a model was trained on? What its card says under "range" is looked at, nothing else."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from clearmr.scan import SnrImage

BRIGHTEST = 0.995  # quantile of the SNR that stands for the image's brightest parts
SAMPLE = 2 * 10**5
WORDS = {"snr": "an SNR of its brightest parts", "g": "a g-factor", "matrix": "a matrix size", "contrast": "a contrast"}
DARK, BRIGHT, OBJECT = 0.1, 0.9, 3.0  # quantiles of the SNR over OBJECT: their ratio is the contrast


def brightest_snr(image: SnrImage) -> float:
    """The 99.5 % quantile of |image| / noise_sd, where there is noise."""
    values, told = _sampled(image.image), _sampled(image.noise_sd.expand(image.image.shape))
    snr = (values.abs() / told)[told > 0].float()
    return float(torch.quantile(snr, BRIGHTEST)) if len(snr) else 0.0


def outside(image: SnrImage, card: Mapping[str, Any]) -> list[str]:
    """A warning for each of "snr", "g", "matrix" and "contrast" that the card's "range" (least, most) leaves out."""
    trained = card.get("range", {})
    warnings = []
    for key, (least, most) in ((key, measured(key, image)) for key in WORDS if key in trained):
        low, high = trained[key]
        if least < low or most > high:
            found = f"{least:.3g}" if least == most else f"{least:.3g} to {most:.3g}"
            name = card.get("name", "the model")
            warnings.append(
                f"{name} was trained on {WORDS[key]} of {low:g} to {high:g}, here it is {found}: check what was removed"
            )
    return warnings


def measured(key: str, image: SnrImage) -> tuple[float, float]:
    """(least, most) of "snr", "g", "matrix" or "contrast" of an image."""
    if key == "matrix":
        return float(min(image.image.shape[2:])), float(max(image.image.shape[2:]))
    if key == "contrast":
        contrast = _contrast(image)
        return contrast, contrast
    if key == "snr":
        snr = brightest_snr(image)
        return snr, snr
    g = _sampled(image.gmap).float()
    return float(torch.quantile(g, 1 - BRIGHTEST)), float(torch.quantile(g, BRIGHTEST))


def _contrast(image: SnrImage) -> float:
    """Bright over dark parts of the object; 1 where there is none."""
    values, told = _sampled(image.image), _sampled(image.noise_sd.expand(image.image.shape))
    inside = values.abs()[values.abs() > OBJECT * told].float()
    if not len(inside):
        return 1.0
    return float(torch.quantile(inside, BRIGHT) / torch.quantile(inside, DARK).clamp_min(1e-20))


def _sampled(values: Tensor) -> Tensor:
    """About SAMPLE of the values at the most, evenly picked: the same places for every tensor of one shape."""
    step = max(1, math.ceil((values.numel() / SAMPLE) ** (1 / 3)))
    return values[:, ::step, ::step, ::step].flatten()
