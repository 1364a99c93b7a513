"""The road in Python: load -> reconstruct -> denoise -> save. Each arrow of the design is one function here."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from clearmr import evaluate, formats, methods, recon
from clearmr.denoiser import Denoiser, Progress, no_progress
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


def with_estimated_noise(image: SnrImage) -> SnrImage:
    """The image with `noise_sd` estimated from itself (one number), its method and caveat among the warnings."""
    estimate = evaluate.estimate_noise_sd(image)
    step = {"name": "estimate noise", "method": estimate.method, "noise_sd": estimate.sd}
    warning = f"The noise level was estimated from the image itself ({estimate.sd:.4g}). {estimate.note}".strip()
    return dataclasses.replace(
        image,
        noise_sd=torch.full((1, 1, 1, 1), estimate.sd),
        noise_source="estimated",
        meta=_more(image, step, warning),
    )


def with_given_noise(image: SnrImage, noise_sd: torch.Tensor, *, source: str) -> SnrImage:
    """The image with the user's noise SD of each of real and imaginary, (frame, z, y, x) broadcastable, in its unit."""
    step = {"name": "noise given", "source": source, "median noise_sd": float(noise_sd.median())}
    return dataclasses.replace(image, noise_sd=noise_sd, noise_source="given", meta=_more(image, step))


def _more(image: SnrImage, step: dict[str, Any], *warnings: str) -> dict[str, Any]:
    steps = [*image.meta.get("steps", []), step]
    return {**image.meta, "steps": steps, "warnings": [*image.meta.get("warnings", []), *warnings]}


def reconstruct(scan: RawScan, **options: Any) -> SnrImage:
    """Raw k-space to an image in SNR units with gmap and noise_sd: `clearmr.recon.reconstruct`, same options."""
    return recon.reconstruct(scan, **options)


def denoiser(
    method: str = "auto",
    *,
    model: str | Path | None = None,
    device: str = "cpu",
    memory_bytes: float = 2.0e9,
    progress: Progress = no_progress,
) -> Denoiser:
    """A ready denoiser: `auto` is the bundled SNRAware model. Raises InputError for an unknown method or model."""
    room = methods.room("snraware" if method == "auto" else method)
    return dataclasses.replace(room.load(model, device=device), memory_bytes=memory_bytes, progress=progress)


def denoise(image: SnrImage, method: str = "auto", **options: Any) -> SnrImage:
    """Denoise with `denoiser(method, **options)`; shape, dtype, spacing, affine and header are the input's."""
    return denoiser(method, **options)(image)


def save(image: SnrImage, path: str | Path, *, keep_complex: bool = False, force: bool = False) -> list[Path]:
    """Write by the ending of `path` (.npz, .nii.gz, .h5); the paths written. Raises InputError."""
    return formats.save(image, Path(path), keep_complex=keep_complex, force=force)


def to_image(
    path: str | Path,
    *,
    noise_scan: str | Path | None = None,
    estimate_noise: bool = False,
    device: str = "cpu",
    progress: Progress = no_progress,
) -> SnrImage:
    """Whatever `path` holds, as an image of known (or estimated) noise: raw scans are reconstructed."""
    loaded = load(path, noise_scan=noise_scan)
    if isinstance(loaded, RawScan):
        return reconstruct(loaded, estimate_noise=estimate_noise, device=device, progress=progress)
    return loaded


def average(images: Sequence[SnrImage]) -> SnrImage:
    """The mean of repeats of one subject, its noise_sd reduced accordingly. Raises InputError where shapes differ."""
    first = images[0]
    for other in images[1:]:
        if other.image.shape != first.image.shape or other.is_complex != first.is_complex:
            found = f"{tuple(first.image.shape)} and {tuple(other.image.shape)}"
            raise InputError("repeats of one shape and kind", found, "give repeats of the same scan")
    if len(images) == 1:
        return first
    variance = _sum(image.noise_sd.square() for image in images) / len(images) ** 2
    step = {"name": "average repeats", "repeats": len(images)}
    mean = _sum(image.image for image in images) / len(images)
    return dataclasses.replace(first, image=mean, noise_sd=variance.sqrt(), meta=_more(first, step))


def _sum(parts: Any) -> torch.Tensor:
    total, *rest = parts
    for part in rest:
        total = total + part
    return total
