"""Pseudo-replicas of a denoiser: the noise of an image before and after it, voxel by voxel.

Each replica is the data with as much noise added as is in them (the "fixed amount" of Xue et al. 2025); the denoiser is
told of sqrt(2) times the noise. Noise that was in the data before stays the same in all replicas.
"""

import dataclasses
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from clearmr.denoiser import Denoiser, Progress, no_progress
from clearmr.evaluate.pseudo_replica import ReplicaResult, complex_noise, pseudo_replica
from clearmr.evaluate.regions import RegionGains, region_gains
from clearmr.scan import SnrImage


def denoiser_gains(
    image: SnrImage,
    denoiser: Denoiser,
    regions: Mapping[str, Tensor],
    *,
    replicas: int = 64,
    seed: int = 0,
    progress: Progress = no_progress,
) -> RegionGains:
    """SNR and CNR of `regions` (bool masks (frame, z, y, x) by name) before and after `denoiser`. Raises InputError."""
    result = denoiser_replicas(image, denoiser, replicas=replicas, seed=seed, progress=progress)
    return region_gains(result, regions)


def denoiser_replicas(
    image: SnrImage, denoiser: Denoiser, *, replicas: int = 64, seed: int = 0, progress: Progress = no_progress
) -> ReplicaResult:
    """Replicas (2, frame, z, y, x) of an image, before and after: complex noise of its `noise_sd` is added.

    Of a magnitude image the magnitude is taken again after the noise was added.
    """

    def draw(generator: torch.Generator) -> Tensor:
        return complex_noise(image.noise_sd, tuple(image.image.shape), generator)

    def image_of(noisy: Tensor) -> SnrImage:
        return dataclasses.replace(image, image=noisy if image.is_complex else noisy.abs())

    data = image.image.to(torch.complex64)
    function = before_and_after(image_of, denoiser)
    return pseudo_replica(function, data, draw=draw, replicas=replicas, seed=seed, progress=progress)


def before_and_after(image_of: Callable[[Tensor], SnrImage], denoiser: Denoiser) -> Callable[[Tensor], Tensor]:
    """Data with noise added to (2, frame, z, y, x): the image, and the denoised one.

    image_of: the data as an image with the noise_sd that it had before noise was added.
    """

    def function(data: Tensor) -> Tensor:
        noisy = image_of(data)
        told = dataclasses.replace(noisy, noise_sd=noisy.noise_sd * 2**0.5)
        return torch.stack([noisy.image, denoiser(told).image])

    return function
