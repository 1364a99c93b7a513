"""The road in Python: load -> reconstruct -> denoise -> save. Each arrow of the design is one function here."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from clearmr import baselines, evaluate, formats, methods, recon
from clearmr.baselines.ready import ready as ready_peer
from clearmr.denoiser import Denoiser, Progress, no_progress
from clearmr.errors import InputError
from clearmr.scan import RawScan, SnrImage

MEMORY = "3G"  # of a process that denoises, at its peak
_UNSAID = dict(model=None, along="auto", memory=MEMORY, batch=1, precision="auto", budget=None, fields=False)
UNITS = {"K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


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


def denoiser(
    method: str = "auto",
    *,
    model: str | Path | None = None,
    is_complex: bool = True,
    strength: float = 1.0,
    along: str = "auto",
    memory: str | float = MEMORY,
    batch: int = 1,
    precision: str = "auto",
    device: str = "cpu",
    seed: int = 0,
    budget_s: float | None = None,
    keep_fields: bool = False,
    progress: Progress = no_progress,
) -> Denoiser:
    """A ready denoiser: `auto` is the model's own method; without a model it is SNRAware, for complex or magnitude.

    method: a room of `methods`, or a peer of `baselines` (bm4d, nlm, ...), which takes strength, and, where it learns
    from the image itself, seed and device.
    strength: the result is original + strength (denoised - original), 0 to 1. along: what the network sees as
    neighbours, "time", "depth", "volume", "none" or "auto". memory: of a fresh process that denoises, at its peak, as
    bytes or "800M", "4G". batch: series or slices at once in the network. precision: "float32", "bf16" or "auto".
    budget_s, keep_fields: of a method that learns from the series itself: seconds until it gives back the best so far,
    and whether its `run` gives the fields of motion beside the image; its seed is `seed`.
    Raises InputError for a value that is none of these, an unknown method or model, a model of another method.
    """
    if method in baselines.BASELINES:
        given = {"model": model, "along": along, "memory": memory, "batch": batch, "precision": precision}
        given |= {"budget": budget_s, "fields": keep_fields}
        refused = [name for name, value in given.items() if value != _UNSAID[name]]
        return ready_peer(method, strength=strength, refused=refused, seed=seed, device=device, progress=progress)
    room = methods.room(_method_for(method, model))
    loaded = room.load(model, device=device, is_complex=is_complex, **_prior(room, device, is_complex))
    return dataclasses.replace(
        loaded,
        strength=strength,
        along=along,
        memory_bytes=bytes_of(memory),
        batch=batch,
        precision=precision,
        progress=progress,
        **_of_learning(loaded, seed=seed, budget_s=budget_s, keep_fields=keep_fields or None),
    )


def _of_learning(loaded: Denoiser, **asked: Any) -> dict[str, Any]:
    """What was asked for and methods that learn from the image itself have. Raises InputError where others have not."""
    known = {field.name for field in dataclasses.fields(loaded)}  # type: ignore[arg-type]
    for name, option in (("budget_s", "--budget"), ("keep_fields", "--fields")):
        if asked[name] is not None and name not in known:
            expected = f"--method deformed2self with {option}"
            raise InputError(expected, f"the model {loaded.name}, which takes none", f"leave {option} out")
    return {name: value for name, value in asked.items() if name in known and value is not None}


def _prior(room: ModuleType, device: str, is_complex: bool) -> dict[str, Denoiser]:
    """The first method's default model, for a room that begins at another denoiser."""
    if not getattr(room, "TAKES_PRIOR", False):
        return {}
    return {"prior": methods.room(methods.METHODS[0]).load(None, device=device, is_complex=is_complex)}


def _method_for(method: str, model: str | Path | None) -> str:
    """The name of a room. Raises InputError where the model is of another one than was asked for."""
    own = None if model is None else methods.of_model(model)
    if method == "auto":
        return own or methods.METHODS[0]
    methods.room(method)
    if own is not None and own != method.replace("-", "_"):
        found = f"one of {methods.dashed(own)} in {model}"
        raise InputError(f"a model of {methods.dashed(method)}", found, "leave --method out, or name another model")
    return method


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


def bytes_of(size: str | float) -> float:
    """A size in bytes, from a number or a text like 800M, 4G, 1.5GB, 2GiB. Raises InputError for anything else."""
    text = str(size).strip().upper()
    binary = text.endswith("IB")
    number = text.removesuffix("IB").removesuffix("B")
    unit = UNITS.get(number[-1:], 1.0)
    if binary:
        unit = 1024.0 ** round(math.log10(unit) / 3)
    try:
        value = float(number[:-1] if number[-1:] in UNITS else number) * unit
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise InputError("--memory as a size", str(size) or "nothing", "write for example 4G, 800M or bytes")
    return value


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
