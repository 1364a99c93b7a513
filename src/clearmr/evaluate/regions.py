"""Regions of interest: SNR and CNR before and after a denoiser."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clearmr.errors import InputError
from clearmr.evaluate.pseudo_replica import ReplicaResult

MOST_LABELS = 64


@dataclass(frozen=True)
class RegionGain:
    """One region: mean signal and mean noise SD of its voxels, (before, after), in the image's unit."""

    name: str
    voxels: int
    signal: tuple[float, float]
    noise_sd: tuple[float, float]

    @property
    def snr(self) -> tuple[float, float]:
        """Mean signal over mean noise SD, (before, after); infinite without noise."""
        before, after = (_ratio(s, n) for s, n in zip(self.signal, self.noise_sd, strict=True))
        return before, after

    @property
    def gain(self) -> float:
        """SNR after over SNR before."""
        return _ratio(self.snr[1], self.snr[0])


@dataclass(frozen=True)
class ContrastGain:
    """Contrast-to-noise ratio of two regions, (before, after): 2 (S_a - S_b) / (n_a + n_b) of Xue et al. 2025."""

    a: str
    b: str
    cnr: tuple[float, float]

    @property
    def gain(self) -> float:
        """CNR after over CNR before."""
        return _ratio(self.cnr[1], self.cnr[0])


@dataclass(frozen=True)
class RegionGains:
    """All regions in their order, every pair of them, and how many pseudo-replicas measured the noise."""

    regions: tuple[RegionGain, ...]
    contrasts: tuple[ContrastGain, ...]
    replicas: int


def label_masks(labels: Tensor | np.ndarray, shape: Sequence[int], *, name: str) -> dict[str, Tensor]:
    """The regions of a label image: masks of `shape` (frame, z, y, x) by name.

    labels: whole numbers, 0 outside, broadcastable to shape. One value gives one region `name`; several give
    `name:value`. Raises InputError for an empty mask, another shape, or values that are no labels.
    """
    array = torch.as_tensor(labels)
    wanted = tuple(shape)
    if array.ndim != len(wanted) or not all(n in (1, m) for n, m in zip(array.shape, wanted, strict=True)):
        raise InputError(f"a region {name} of shape {wanted}", str(tuple(array.shape)), "draw it on this image")
    values = torch.unique(array.abs() if array.is_complex() else array)
    values = values[values != 0]
    if not len(values):
        raise InputError(f"a region {name} with voxels inside", "an empty mask", "draw it again")
    if len(values) > MOST_LABELS or bool((values != values.round()).any()) or bool((values < 0).any()):
        todo = "save whole numbers, 0 outside"
        raise InputError(f"a region {name} as a mask or labels", f"{len(values)} values that are no labels", todo)
    full = array.expand(wanted)
    if len(values) == 1:
        return {name: full == values[0]}
    return {f"{name}:{int(value)}": full == value for value in values}


def region_gains(result: ReplicaResult, regions: Mapping[str, Tensor]) -> RegionGains:
    """SNR per region and CNR per pair of regions, from replicas of shape (2, frame, z, y, x): before, after.

    regions: bool masks (frame, z, y, x). Signal: of complex images the part in phase with the denoised one, for the
    magnitude of a noisy mean is too high. Raises InputError for a mask that is empty or of another shape.
    """
    if len(result.mean) != 2:
        raise InputError("replicas of (before, after)", f"shape {tuple(result.mean.shape)}", "use `denoiser_replicas`")
    signal, noise = (result.mean * result.mean[1].sgn().conj()).real, result.noise_sd
    found = tuple(_gain(name, mask, signal, noise) for name, mask in regions.items())
    return RegionGains(found, tuple(_contrast(a, b) for a, b in itertools.combinations(found, 2)), result.replicas)


def _gain(name: str, mask: Tensor, signal: Tensor, noise: Tensor) -> RegionGain:
    if mask.shape != signal.shape[1:]:
        todo = "draw it on this image"
        raise InputError(f"a region {name} of shape {tuple(signal.shape[1:])}", str(tuple(mask.shape)), todo)
    if not bool(mask.any()):
        raise InputError(f"a region {name} with voxels inside", "an empty mask", "draw it again")
    means = [(float(values[0][mask].mean()), float(values[1][mask].mean())) for values in (signal, noise)]
    return RegionGain(name, int(mask.sum()), means[0], means[1])


def _contrast(a: RegionGain, b: RegionGain) -> ContrastGain:
    before, after = (cnr((a.signal[k], b.signal[k]), (a.noise_sd[k], b.noise_sd[k])) for k in (0, 1))
    return ContrastGain(a.name, b.name, (before, after))


def cnr(signal: tuple[float, float], noise_sd: tuple[float, float]) -> float:
    """2 (S_a - S_b) / (n_a + n_b), (a, b) in each (Xue et al. 2025, Generalization tests); infinite without noise.

    In the paper's Table 3 the CNR is to the last digit the difference of the two regions' SNRs, which is another
    figure wherever their noise differs.
    """
    return _ratio(2 * (signal[0] - signal[1]), noise_sd[0] + noise_sd[1])


def _ratio(a: float, b: float) -> float:
    return a / b if b else math.copysign(math.inf, a)
