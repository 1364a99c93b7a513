"""Can this result be trusted? Checks of a denoised image without any reference, each with a verdict.

What they rest on is told in `standardised`; limits are its inequalities, sampling errors and stated shares, tuned to no
method. `tests/test_trust.py` and `clearmr bench trust` show which check catches which fault.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clearmr.denoiser import Denoiser, Progress, no_progress
from clearmr.errors import InputError
from clearmr.evaluate import trust_runs
from clearmr.evaluate.checks import Check, Verdict, not_run, sorted_checks, worst
from clearmr.evaluate.noise_spectrum import NoiseSpectrum, noise_spectrum
from clearmr.evaluate.standardised import standardised
from clearmr.evaluate.structure import residual_edges, residual_pattern, residual_places
from clearmr.evaluate.trust_noise import noise_checks
from clearmr.evaluate.trust_removed import NAME, TITLE, removed
from clearmr.evaluate.trust_signal import model_range, signal
from clearmr.scan import SnrImage


def trust(
    noisy: SnrImage,
    denoised: SnrImage,
    *,
    denoiser: Denoiser | None = None,
    card: Mapping[str, Any] | None = None,
    filters: Sequence[np.ndarray | None] | None = None,
    seed: int = 0,
    progress: Progress = no_progress,
) -> tuple[Check, ...]:
    """All checks of `denoised` against the `noisy` image that it was made of, worst first.

    denoiser: what made it; with it pure noise, lesions and the error left are tried on a crop (five runs), without it
    they are "not run". card: of its model, for the range it was trained on. filters: amplitude weights of k-space along
    z, y, x (see `noise_spectrum`). Raises InputError where shapes differ.
    """
    if noisy.image.shape != denoised.image.shape:
        expected, found = (str(tuple(i.image.shape)) for i in (noisy, denoised))
        raise InputError(f"a denoised image of shape {expected}", found, "give the result of denoising this image")
    spectrum = noise_spectrum(noisy, filters)
    checks = [*_of_images(noisy, denoised, spectrum), model_range(noisy, card or {})]
    if denoiser is None:
        why = "needs the denoiser: clearmr denoise --trust, or --report"
        checks += [not_run(name, title, why) for name, title in trust_runs.TITLES.items()]
    else:
        checks += trust_runs.runs(noisy, denoised, denoiser, spectrum, seed=seed, progress=progress)
    return sorted_checks(checks)


def _of_images(noisy: SnrImage, denoised: SnrImage, spectrum: NoiseSpectrum) -> tuple[Check, ...]:
    try:
        standard = standardised(noisy, denoised, spectrum)
    except InputError as error:
        return (not_run(NAME, TITLE, str(error)),)
    found = [removed(standard), residual_edges(standard), residual_pattern(standard), residual_places(standard)]
    return (*found, *noise_checks(standard), signal(standard))


def verdict_of(checks: Sequence[Check]) -> Verdict:
    """The worst verdict of all."""
    return worst([check.verdict for check in checks])
