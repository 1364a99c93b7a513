"""The three schemes on one slice: what each gives, its fields, and what is told of it."""

import dataclasses
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from clearmr.denoiser import Denoiser
from clearmr.evaluate.rician import is_rician, signal_of_mean
from clearmr.methods.deformed2self import motion, prior, training
from clearmr.methods.deformed2self.config import Deformed2SelfConfig
from clearmr.methods.deformed2self.training import Course
from clearmr.scan import SnrImage

# Of training, beside PyTorch itself: float32 activations of one pixel of one frame at the published width.
PROCESS_BYTES, BYTES_PER_PIXEL = 0.45e9, 4500.0
TRAINING_SHARE = 0.6  # of what time there is, the rest for the passes and filters


@dataclass(frozen=True)
class Found:
    """One slice: image (frame, 1, y, x), fields (frame, N, 2, y, x) or None, whether time ran out, and figures."""

    image: Tensor
    fields: Tensor | None
    late: bool
    figures: dict[str, Any] = field(default_factory=dict)


def ticks(config: Deformed2SelfConfig, n_frames: int, *, keep_fields: bool = False) -> int:
    """How often a slice of so many frames ticks, at the most."""
    if config.scheme == "prior":
        return prior.ticks(config.prior) + keep_fields
    once = config.train.steps + config.train.passes
    return (once * n_frames if config.scheme == "target" else once) + len(config.filters)


def run(
    image: SnrImage, config: Deformed2SelfConfig, course: Course, *, given: Denoiser | None, keep_fields: bool
) -> Found:
    """One slice over time, (frame, 1, y, x), by the scheme of `config`. given: the denoiser that "prior" begins at."""
    if config.scheme == "prior":
        assert given is not None
        return _from_prior(image, config, course, given, keep_fields)
    n = image.image.shape[0]
    models = [(k,) for k in range(n)] if config.scheme == "target" else [tuple(range(n))]
    series, unit = to_series(image)
    done = []
    for index, frames in enumerate(models):
        done.append(_one_model(series, frames, config, _share_of(course, index, len(models))))
    fields = torch.cat([found.fields for _, found in done])
    trained = [model for model, _ in done]
    late = any(model.stopped == "budget" for model in trained) or any(f.n < config.train.passes for _, f in done)
    figures = {
        "steps": [model.steps for model in trained],
        "stopped": sorted({model.stopped for model in trained}),
        "passes": min(found.n for _, found in done),
    }
    out = to_image(torch.cat([found.image for _, found in done]), image, unit, unbiased=config.unbiased)
    for patch in config.filters:
        if course.late:
            late = True
            break
        out = prior.refine(image, out, config.prior, patch=patch)
        course.tick()
    return Found(out, fields, late, figures)


def worse_than_noisy(found: Tensor, image: SnrImage) -> bool:
    """Whether what blind spots found (frame, 1, y, x) is so far from the noisy series that its error exceeds the noise.

    Its distance squared is the noise variance and its own error; of a Rician floor two variances are the floor's own.
    """
    noise = image.noise_sd.expand(image.image.shape).square().mean() * (2 if image.is_complex else 1)
    far = (found - image.image).abs().square().mean()
    return bool(far > (3 if is_rician(image) else 2) * noise)


def fitting(config: Deformed2SelfConfig, shape: tuple[int, int], memory_bytes: float) -> Deformed2SelfConfig:
    """The settings with a crop that training has memory for, where whole frames of (H, W) or its crop are too much."""
    asked = config.train
    side = BYTES_PER_PIXEL * config.net.width / 48 * (asked.others + 2) * asked.targets
    most = max(32, int((max(0.0, memory_bytes - PROCESS_BYTES) / side) ** 0.5) // 32 * 32)
    if min(asked.crop or max(shape), max(shape)) <= most:
        return config
    return dataclasses.replace(config, train=dataclasses.replace(asked, crop=most))


def _one_model(
    series: Tensor, frames: tuple[int, ...], config: Deformed2SelfConfig, course: Course
) -> tuple[training.Trained, training.Averaged]:
    """Train on targets `frames`, then average the passes; at least one step and one pass."""
    now = time.monotonic()
    until = min(course.deadline, now + TRAINING_SHARE * max(0.0, course.deadline - now))
    trained = training.train(series, frames, config, dataclasses.replace(course, deadline=until))
    found = training.passes(trained.net, series, frames, config.train, n=config.train.passes, course=course)
    return trained, found


def _share_of(course: Course, index: int, models: int) -> Course:
    """An equal share of the time that is left, for model `index` of `models`; each with a seed of its own."""
    now = time.monotonic()
    share = max(0.0, course.deadline - now) / (models - index)
    return dataclasses.replace(course, deadline=min(course.deadline, now + share), seed=course.seed + index)


def _from_prior(
    image: SnrImage, config: Deformed2SelfConfig, course: Course, given: Denoiser, keep_fields: bool
) -> Found:
    result = prior.denoise(image, given, config.prior, course)
    fields = None
    if keep_fields:
        series, _ = to_series(dataclasses.replace(image, image=result.image))
        wanted = motion.RegisterConfig(others=config.train.others)
        fields = motion.register(series, wanted, course)
        course.tick()
    figures = {"start": given.name, "views": result.views, "learned steps": result.steps, "filters": result.filters}
    return Found(result.image, fields, result.late, figures)


def to_series(image: SnrImage) -> tuple[Tensor, Tensor]:
    """(T, C, H, W), C = 1 or 2 (real, imaginary), as fractions of the series' peak; and the peak."""
    values = image.image
    peak = peak_of(values)
    parts = [values.real, values.imag] if values.is_complex() else [values]
    return torch.cat(parts, 1) / peak, peak


def peak_of(values: Tensor) -> Tensor:
    """The 99.9th percentile of the magnitudes, which a few bright voxels do not move; 1 where all are zero."""
    flat = values.abs().flatten()
    flat = flat[:: max(1, len(flat) // 10**6)]
    peak = flat.kthvalue(max(1, round(0.999 * len(flat)))).values
    return torch.where(peak > 0, peak, torch.ones_like(peak))


def to_image(series: Tensor, image: SnrImage, unit: Tensor, *, unbiased: bool) -> Tensor:
    """(T, C, H, W) back to (T, 1, H, W) of the image's unit and kind; Rice's bias taken out where asked for."""
    values = series * unit
    if image.is_complex:
        return torch.complex(values[:, :1], values[:, 1:])
    if not is_rician(image):
        return values
    noise_sd = image.noise_sd.float().expand(values.shape)
    safe = torch.where(noise_sd > 0, noise_sd, torch.ones_like(noise_sd))
    corrected = torch.from_numpy(signal_of_mean((values / safe).numpy())).to(values.dtype) * safe
    return torch.where(noise_sd > 0, corrected, values) if unbiased else values.clamp_min(0)
