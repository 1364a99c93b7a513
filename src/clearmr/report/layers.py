"""The layers of one denoising: noisy, denoised, reference, what was removed, g-factor, uncertainty."""

import numpy as np

from clearmr.report.pictures import BUDGET, Coding, Layer, Pictures, fit
from clearmr.report.results import Results
from clearmr.report.values import (
    RESIDUAL,
    difference,
    four_axes,
    gmap_scale,
    grey_scale,
    in_noise_units,
    map_scale,
    shown,
)


def make_pictures(results: Results, *, budget: int = BUDGET) -> Pictures:
    """The finest pictures of `results` whose sheets stay below `budget` bytes."""
    n_layers = 4 + (results.reference is not None) + (results.uncertainty is not None)
    return fit(
        lambda coding: layers(results, coding),
        results.noisy.shape,
        n_layers=n_layers,
        main="denoised",
        spacing=results.spacing,
        budget=budget,
    )


def layers(results: Results, coding: Coding) -> dict[str, Layer]:
    """The layers of the shown frames and slices, as values."""
    noisy, denoised = (shown(coding.pick(a)) for a in (results.noisy, results.denoised))
    gmap, noise_sd = (coding.pick(four_axes(a)) for a in (results.gmap, results.noise_sd))
    gmap = _whole_planes(gmap, noisy)
    removed = difference(coding.pick(results.noisy), coding.pick(results.denoised), noise_sd)
    grey = grey_scale(noisy, denoised)
    given = {"noisy": Layer(noisy, "grey", grey, "noisy"), "denoised": Layer(denoised, "grey", grey, "denoised")}
    if results.reference is not None:
        given["reference"] = Layer(shown(coding.pick(results.reference)), "grey", grey, "reference")
    given["difference"] = Layer(removed, "difference", RESIDUAL, "removed", "σ")
    given["gmap"] = Layer(gmap, "gmap", gmap_scale(gmap), "g-factor")
    if results.uncertainty is not None:
        left = in_noise_units(_whole_planes(coding.pick(four_axes(results.uncertainty)), noisy), noise_sd)
        given["uncertainty"] = Layer(left, "uncertainty", map_scale(left), "uncertainty", "σ")
    return given


def _whole_planes(values: np.ndarray, like: np.ndarray) -> np.ndarray:
    """`values` with its planes as large as those of `like`; frame and slice axes of length 1 stay."""
    return np.broadcast_to(values, values.shape[:2] + like.shape[2:])
