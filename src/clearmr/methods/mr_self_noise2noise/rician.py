"""Is the training SNR high enough for magnitudes? Noise2Noise learns means, and a magnitude's mean is not the signal's.

The paper names the limit (Discussion: "the zero-mean noise assumption ... is not valid in severe SNR degradation");
here it is measured on the pairs themselves.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clearmr.evaluate.rician import mean_magnitude
from clearmr.methods.mr_self_noise2noise.config import HalfPair

Pair = TypeVar("Pair")
WINDOW = 5  # voxels: the mean of 125 products of both halves knows |signal|^2 to within 0.13 noise variances
FOREGROUND = 0.1  # of the 99th percentile of the signal
LOW_SNR = 2.0
TOLERATED = 0.02
LOOKED_AT = 8  # pairs


@dataclass(frozen=True)
class RicianBias:
    """Of the halves of a pair, in the foreground (signal over 10 % of its 99th percentile).

    snr    median of signal over noise SD
    low    fraction of voxels whose SNR is below 2
    bias   (mean magnitude - mean signal) / mean signal, by Rice's law at the measured SNR
    """

    snr: float
    low: float
    bias: float

    def warning(self) -> str | None:
        """A sentence where a network that learns from these magnitudes would learn a bias above 2 %."""
        if self.bias <= TOLERATED:
            return None
        return (
            f"the training halves are so noisy that their magnitudes are {100 * self.bias:.1f} % brighter than the "
            f"signal ({100 * self.low:.0f} % of the foreground below an SNR of {LOW_SNR:g}, median {self.snr:.1f}): a "
            "network trained on them keeps that bias; train with --set net.image=complex"
        )


def rician_bias(pair: HalfPair) -> RicianBias:
    """How much brighter than the signal the magnitudes of a pair's halves are. Any unit; complex halves.

    |signal|^2 is estimated without bias: the mean of Re(first conj(second)) in a box of 5 x 5 x 5 voxels, since the
    noise of the halves is independent.
    """
    product = (pair.first.image * pair.second.image.conj()).real
    shape = pair.first.image.shape
    sd = pair.first.noise_sd.float().expand(shape)
    snr = _boxed(product / sd.square().clamp_min(1e-20)).clamp_min(0).sqrt()
    signal = torch.where(sd > 0, snr * sd, torch.zeros(()))
    # Without signal the box's mean is 0 within sqrt(2 / 125) noise variances: twice that is no signal yet.
    inside = (signal > FOREGROUND * _percentile(signal)) & (snr > 0.5) & (sd > 0)
    if not bool(inside.any()):
        return RicianBias(0.0, 1.0, float("inf"))
    ratio, weight = snr[inside].double().numpy(), sd[inside].double().numpy()
    excess = mean_magnitude(ratio) - ratio
    bias = float(np.sum(weight * excess) / np.sum(weight * ratio))
    return RicianBias(float(np.median(ratio)), float(np.mean(ratio < LOW_SNR)), bias)


def some(pairs: Sequence[Pair]) -> list[Pair]:
    """At most 8 of them, spread evenly: what is read whole from disk to tell of all."""
    return list(pairs[:: -(-len(pairs) // LOOKED_AT)])


def mean_of(found: Iterable[RicianBias]) -> RicianBias:
    """The mean of each figure."""
    rows = [dataclasses.astuple(one) for one in found]
    snr, low, bias = np.mean(rows, axis=0)
    return RicianBias(float(snr), float(low), float(bias))


def _boxed(values: Tensor) -> Tensor:
    """Means over boxes, (1, z, y, x); an axis shorter than the box over all of it."""
    sizes = [min(WINDOW, n if n % 2 else n - 1) for n in values.shape[1:]]
    margins = [size // 2 for size in sizes]
    return F.avg_pool3d(values[None], sizes, stride=1, padding=margins, count_include_pad=False)[0]


def _percentile(values: Tensor) -> float:
    flat = values.flatten()
    flat = flat[:: max(1, len(flat) // 10**6)]
    return float(flat.kthvalue(max(1, round(0.99 * len(flat)))).values)
