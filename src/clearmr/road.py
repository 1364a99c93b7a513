"""The road in Python: load -> reconstruct -> denoise -> save. Each arrow of the design is one function here."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clearmr import evaluate, formats, recon
from clearmr.denoiser import Denoiser, Progress, no_progress
from clearmr.denoisers import denoiser
from clearmr.errors import InputError
from clearmr.scan import RawScan, SnrImage


def load(path: str | Path, *, noise_scan: str | Path | None = None) -> RawScan | SnrImage:
    """Read a raw scan or an image, told apart by content.

    An image whose noise level its file does not tell gets an estimated `noise_sd`, and says so.
    `noise_scan`: a raw file with the noise lines, where they are not in `path`. Raises InputError.
    """
    loaded = formats.load(Path(path), noise_scan=Path(noise_scan) if noise_scan else None)
    if isinstance(loaded, SnrImage) and loaded.noise_source == "unknown":
        return with_estimated_noise(loaded)
    return loaded


def reconstruct(scan: RawScan, **options: Any) -> SnrImage:
    """Raw k-space to an image in SNR units with gmap and noise_sd: `clearmr.recon.reconstruct`, same options."""
    return recon.reconstruct(scan, **options)


def fitting(image: SnrImage, denoiser: Denoiser) -> SnrImage:
    """The image as the denoiser takes it: of a raw scan's complex image the magnitude where the model knows only that.

    Its noise_sd stays, that of the real and imaginary parts (Rician); a warning says what was done. All other images
    are given back as they are: the denoiser refuses those that it cannot take.
    """
    only_magnitude = getattr(getattr(denoiser, "config", None), "image", None) == "magnitude"
    from_raw = any(step["name"] == "prewhiten" for step in steps(image))
    if not (image.is_complex and only_magnitude and from_raw):
        return image
    warning = "the model is for magnitudes: the phase of the raw scan's image is not kept"
    return dataclasses.replace(image, image=image.image.abs(), meta=_more(image, {"name": "magnitude"}, warning))


def denoise(image: SnrImage, method: str = "auto", **options: Any) -> SnrImage:
    """Denoise with `denoiser(method, **options)`; shape, dtype, spacing, affine and header are the input's.

    An image that was denoised before gets a warning among its own.
    """
    return denoiser(method, **{"is_complex": image.is_complex, **options})(with_caution(image))


def save(image: SnrImage, path: str | Path, *, keep_complex: bool = False, force: bool = False) -> list[Path]:
    """Write by the ending of `path` (.npz, .nii.gz, .h5); the paths written. Raises InputError."""
    return formats.save(image, Path(path), keep_complex=keep_complex, force=force)


def to_image(
    path: str | Path,
    *,
    noise_scan: str | Path | None = None,
    estimate_noise: bool = False,
    noise_sd: float | str | Path | None = None,
    gmap: str | Path | None = None,
    device: str = "cpu",
    progress: Progress = no_progress,
) -> SnrImage:
    """Whatever `path` holds, as an image of known (or estimated) noise: raw scans are reconstructed.

    noise_sd: SD of each of real and imaginary of an image, in its unit: a number (times the g map) or an image file.
    gmap: an image file with the g map. Raises InputError, also where these two are given with a raw scan.
    """
    loaded = formats.load(Path(path), noise_scan=Path(noise_scan) if noise_scan else None)
    if isinstance(loaded, RawScan):
        if noise_sd is not None or gmap is not None:
            todo = "leave --noise-sd and --gmap out: both come from the raw data"
            raise InputError("an image with --noise-sd or --gmap", f"raw data in {path}", todo)
        return reconstruct(loaded, estimate_noise=estimate_noise, device=device, progress=progress)
    if estimate_noise and noise_sd is not None:
        raise InputError("--noise-sd or --estimate-noise", "both", "choose one of them")
    image = loaded if gmap is None else with_gmap(loaded, _map(gmap, loaded, "g map"))
    if noise_sd is not None:
        return with_given_noise(image, _noise_level(noise_sd, image), source=str(noise_sd))
    return with_estimated_noise(image) if estimate_noise or image.noise_source == "unknown" else image


def with_estimated_noise(image: SnrImage) -> SnrImage:
    """The image with `noise_sd` estimated from itself (one number times its g map), the estimate's caveat a warning."""
    flat = dataclasses.replace(image, image=image.image / _positive(image.gmap))
    estimate = evaluate.estimate_noise_sd(flat)
    step = {"name": "estimate noise", "method": estimate.method, "noise_sd": estimate.sd, "note": estimate.note}
    warning = f"the noise level was estimated from the image itself ({estimate.sd:.4g}). {estimate.note}".strip()
    return dataclasses.replace(
        image, noise_sd=estimate.sd * image.gmap, noise_source="estimated", meta=_more(image, step, warning)
    )


def with_given_noise(image: SnrImage, noise_sd: Tensor, *, source: str) -> SnrImage:
    """The image with the user's noise SD of each of real and imaginary, (frame, z, y, x) broadcastable, in its unit."""
    step = {"name": "noise given", "source": source, "median_noise_sd": float(noise_sd.median())}
    return dataclasses.replace(image, noise_sd=noise_sd, noise_source="given", meta=_more(image, step))


def with_gmap(image: SnrImage, gmap: Tensor) -> SnrImage:
    """The image with another g map, (frame, z, y, x) broadcastable; known noise follows it."""
    step = {"name": "g map given", "median_gmap": float(gmap.median())}
    noise_sd = image.noise_sd / _positive(image.gmap) * gmap
    return dataclasses.replace(image, gmap=gmap, noise_sd=noise_sd, meta=_more(image, step))


def with_caution(image: SnrImage) -> SnrImage:
    """The image, with a warning where one of its steps was a denoiser: its noise_sd is the noise of before that."""
    before = [step.get("model") or step.get("method", "") for step in steps(image) if step["name"] == "denoise"]
    if not before:
        return image
    warning = f"the image was denoised before ({', '.join(map(str, before))}): its noise_sd is that of before that step"
    return dataclasses.replace(image, meta=_more(image, None, warning))


def steps(image: SnrImage) -> list[dict[str, Any]]:
    """What was done to an image, in order, each step with its "name"."""
    return [{**step, "name": str(step.get("name", "step"))} for step in image.meta.get("steps", [])]


def average(images: Sequence[SnrImage]) -> SnrImage:
    """The mean of repeats of one subject, its noise_sd reduced accordingly. Raises InputError where shapes differ."""
    first = images[0]
    for other in images[1:]:
        if other.image.shape != first.image.shape or other.is_complex != first.is_complex:
            found = f"{_kind(first)} and {_kind(other)}"
            raise InputError("repeats of one shape and kind", found, "give repeats of the same scan")
    if len(images) == 1:
        return first
    n = len(images)
    variance = _sum([image.noise_sd.square() for image in images]) / n**2
    warnings = dict.fromkeys(w for image in images[1:] for w in image.meta.get("warnings", []))
    new = [w for w in warnings if w not in first.meta.get("warnings", [])]
    worst = max((image.noise_source for image in images), key=("measured", "given", "estimated", "unknown").index)
    return dataclasses.replace(
        first,
        image=_sum([image.image for image in images]) / n,
        noise_sd=variance.sqrt(),
        gmap=_sum([image.gmap for image in images]) / n,
        noise_source=worst,
        meta=_more(first, {"name": "average repeats", "repeats": n}, *new),
    )


def _kind(image: SnrImage) -> str:
    return f"{'complex' if image.is_complex else 'magnitude'} {tuple(image.image.shape)}"


def _sum(parts: Sequence[Tensor]) -> Tensor:
    total, *rest = parts
    for part in rest:
        total = total + part
    return total


def _positive(gmap: Tensor) -> Tensor:
    """The g map where it says something; 1 where it is zero (outside the object)."""
    return torch.where(gmap > 0, gmap, torch.ones_like(gmap))


def _more(image: SnrImage, step: dict[str, Any] | None, *warnings: str) -> dict[str, Any]:
    done = [*image.meta.get("steps", []), *([step] if step else [])]
    return {**image.meta, "steps": done, "warnings": [*image.meta.get("warnings", []), *warnings]}


def _noise_level(given: float | str | Path, image: SnrImage) -> Tensor:
    """A number times the g map, or the map in a file. Raises InputError for anything else."""
    if not isinstance(given, int | float) and Path(given).exists():
        return _map(given, image, "noise map")
    try:
        value = float(given)  # type: ignore[arg-type]
    except ValueError:
        value = float("nan")
    if not 0 < value < float("inf"):
        todo = "give the SD of each of real and imaginary"
        raise InputError("--noise-sd as a positive number or an image file", str(given), todo)
    return value * image.gmap


def _map(path: str | Path, image: SnrImage, what: str) -> Tensor:
    """A map from an image file, broadcastable to the image. Raises InputError where it does not fit."""
    loaded = formats.load(Path(path))
    if not isinstance(loaded, SnrImage):
        raise InputError(f"an image as {what}", f"raw data in {path}", "give a NIfTI, npy or npz file")
    values, wanted = loaded.image, tuple(image.image.shape)
    if values.is_complex() or bool((values < 0).any()):
        raise InputError(f"a {what} of positive numbers", f"others in {path}", "give its magnitude")
    if not bool((values > 0).any()):
        raise InputError(f"a {what} with values over 0", f"only zeros in {path}", "check the file")
    if not all(n in (1, m) for n, m in zip(values.shape, wanted, strict=True)):
        found = f"{tuple(values.shape)} in {path}"
        raise InputError(f"a {what} of shape {wanted}, or 1 along an axis", found, "give one that fits")
    return values
