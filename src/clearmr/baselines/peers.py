"""What every baseline shares: noise made white and of unit SD before, frames or slices as a volume's last axis."""

import dataclasses
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clearmr.errors import InputError
from clearmr.scan import SnrImage

Filter = Callable[[np.ndarray], np.ndarray]  # (y, x, n) float32 of noise SD 1 -> the same, denoised


def absent(package: str) -> str:
    """Why a peer cannot be run: "bm4d is not installed"; empty where it can."""
    return "" if importlib.util.find_spec(package) else f"{package} is not installed"


def in_unit_noise(image: SnrImage, work: Filter) -> SnrImage:
    """Run `work` on volumes (y, x, n) whose noise SD is 1 everywhere: n counts frames of a series, else slices.

    No package here takes a noise map, so the image is divided by noise_sd (gmap included) before and multiplied
    after. Real and imaginary parts of complex images go one after the other. Raises InputError for a noise_sd of zero
    and for NaN or infinite voxels.
    """
    if not bool(torch.isfinite(image.image.abs()).all()):
        raise InputError("an image of finite numbers", "NaN or infinite voxels", "repair it first")
    noise_sd = image.noise_sd.float().expand(image.image.shape)
    if not bool((noise_sd > 0).any()):
        raise InputError("a positive noise_sd", "zero everywhere", "a noise-free image needs no denoising")
    safe = torch.where(noise_sd > 0, noise_sd, noise_sd[noise_sd > 0].median())
    white = _volumes(image.image / safe)
    parts = [white.real, white.imag] if white.is_complex() else [white]
    done = [torch.stack([_run(work, volume) for volume in part]) for part in parts]
    out = torch.complex(*done) if len(done) == 2 else done[0]
    result = _images(out, image.image.shape).to(safe.device) * safe
    return dataclasses.replace(image, image=result.to(image.image.dtype))


def at_least(volume: np.ndarray, size: int) -> np.ndarray:
    """The volume, axes shorter than `size` mirrored up to it.

    DIPY's classic non-local means reads beyond its memory where an axis is no longer than block plus patch radius:
    its results there differ from run to run (measured with 1.12).
    """
    return np.pad(volume, [(0, max(0, size - n)) for n in volume.shape], mode="symmetric")


def with_step(image: SnrImage, name: str, package: str, **settings: Any) -> SnrImage:
    """The image with the baseline among its steps, and the settings that it ran with."""
    step = {"name": "denoise", "method": name, "package": package, **settings}
    return dataclasses.replace(image, meta={**image.meta, "steps": [*image.meta.get("steps", []), step]})


def _volumes(image: Tensor) -> Tensor:
    """(volume, y, x, n): a series gives one volume per slice, along its frames; a single frame one, along z."""
    return image.permute(1, 2, 3, 0) if image.shape[0] > 1 else image.permute(0, 2, 3, 1)


def _images(volumes: Tensor, shape: torch.Size) -> Tensor:
    return volumes.permute(3, 0, 1, 2) if shape[0] > 1 else volumes.permute(0, 3, 1, 2)


def _run(work: Filter, volume: Tensor) -> Tensor:
    return torch.from_numpy(
        np.array(work(np.array(volume.cpu().numpy(), dtype=np.float32, order="C")), dtype=np.float32)
    )
