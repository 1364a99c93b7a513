"""What is said of one image of a comparison: against a reference where there is one, and without."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from clearmr import evaluate, road
from clearmr.cli import compare_run, results
from clearmr.denoiser import Denoiser, Progress, no_progress
from clearmr.errors import InputError
from clearmr.evaluate.trust import trust
from clearmr.scan import SnrImage

FIGURES = ("psnr", "ssim", "nrmse", "mean_signal_ratio", "data_range")
OF_CHECKS = {
    "edges": ("residual_edges", "edges"),
    "pure_noise": ("pure_noise", "left"),
    "lesion": ("lesion", "kept"),
    "error_left": ("error_left", "error"),
}
UNLIKE = 1.2  # times the signal, from which an image seems to be in another unit


def judged(
    given: compare_run.Given,
    noisy: SnrImage,
    image: SnrImage,
    *,
    denoiser: Denoiser | None = None,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Figures of `image`, made from `noisy`, by the keys of `compare_table`. Raises InputError where shapes differ."""
    same_shape(noisy, image, "noisy image")
    if noisy.is_complex and not image.is_complex:  # of another tool: judged as what it is
        noisy = dataclasses.replace(noisy, image=noisy.image.abs())
    found: dict[str, Any] = {"notes": []}
    if given.reference is not None:
        found |= against(given, noisy, image)
    removed = evaluate.removed_noise(noisy, image)
    found["removed_sd"] = removed["sd"]
    found["noise_left"] = removed["noise_left"]
    found["trust"] = _trust(noisy, image, denoiser, given.seed, progress)
    found |= _of_trust(found["trust"])
    return found


def against(given: compare_run.Given, noisy: SnrImage, image: SnrImage) -> dict[str, Any]:
    """PSNR, SSIM, NRMSE and the ratio of mean signals, in the mask where one is given."""
    assert given.reference is not None
    reference = compare_run.image_of(given.reference)
    same_shape(reference, image, "reference")
    figures = evaluate.evaluate(reference.image, image.image, mask=compare_run.mask_of(given))
    return {key: figures[key] for key in FIGURES}


def same_shape(wanted: SnrImage, image: SnrImage, what: str) -> None:
    """Raises InputError for images that cannot be compared voxel by voxel."""
    sizes = [tuple(one.image.shape) for one in (wanted, image)]
    if sizes[0] != sizes[1]:
        expected = f"an image of the {what}'s shape {sizes[0]} (frame, z, y, x)"
        raise InputError(expected, str(sizes[1]), "resample, crop or join the frames of one of them")


def unit_note(wanted: SnrImage, image: SnrImage, what: str) -> str:
    """A caution where `image` seems to be in another unit than `wanted`; empty where it does not.

    By least squares of magnitudes, where the noise of the background has no weight.
    """
    noisy, clean = (one.image.abs().double() for one in (wanted, image))
    shared = float((noisy * clean).sum())
    ratio = float(clean.square().sum()) / shared if shared > 0 else 1.0
    if 1 / UNLIKE < ratio < UNLIKE:
        return ""
    return f"{what} has about {ratio:.2g} times the signal of the input: is it in the same unit?"


def _trust(
    noisy: SnrImage, image: SnrImage, denoiser: Denoiser | None, seed: int, progress: Progress
) -> list[dict[str, Any]]:
    """Every check with its verdict, worst first. A method that learns for long is not run again for them."""
    again = None if denoiser is None or results.takes_long(denoiser) else denoiser
    card = getattr(denoiser, "card", {})
    checks = trust(noisy, image, denoiser=again, card=card, seed=seed, progress=progress)
    return [check.as_dict() for check in checks]


def _of_trust(checks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The worst verdict, and of some checks the figure that stands in the table."""
    found = {key: _figure(checks, *where) for key, where in OF_CHECKS.items()}
    return {"verdict": checks[0]["verdict"] if checks else None, **found}


def _figure(checks: Sequence[dict[str, Any]], name: str, figure: str) -> float | None:
    """A figure of the check of that name; None where it was not run."""
    return next((check["figures"].get(figure) for check in checks if check["name"] == name), None)


def noisy_row(given: compare_run.Given, noisy: SnrImage) -> dict[str, Any]:
    """Of the input itself: only what a reference says of it."""
    if given.reference is None:
        return {"notes": []}
    found = against(given, noisy, noisy)
    note = unit_note(noisy, compare_run.image_of(given.reference), "the reference")
    return {"notes": [note] if note else [], **found}


def fitted(noisy: SnrImage, image: SnrImage) -> SnrImage:
    """An image of another tool as if it were a result: with the noise level of what it was made from."""
    step = {"name": "denoise", "method": "another tool"}
    meta = {**noisy.meta, "steps": [*road.steps(noisy), step]}
    return dataclasses.replace(image, noise_sd=noisy.noise_sd, gmap=noisy.gmap, meta=meta)
