"""What a network is given and what it shall give: repeats in intensities of their own, and the target of a round.

A repeat is (frame, z, y, x); the frames of a diffusion series are its volumes. Intensities are normalised by the mean
and SD inside the mask, of each frame of each repeat (Noise2Average, reference code).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Series = Float[Tensor, "frame z y x"]


@dataclass(frozen=True)
class Scale:
    """Mean and SD of each frame inside the mask, (frame, 1, 1, 1), in the image's unit."""

    mean: Tensor
    sd: Tensor

    def normalised(self, values: Series) -> Series:
        """Mean 0, SD 1 in the mask, for the values that the scale is of."""
        return (values - self.mean) / self.sd

    def back(self, values: Series) -> Series:
        """Normalised values in the unit of the repeat that the scale is of."""
        return values * self.sd + self.mean


@dataclass(frozen=True)
class Repeat:
    """One repeat: values, and the noise SD of each of real and imaginary, in its unit."""

    values: Series
    noise_sd: Float[Tensor, "#frame #z #y #x"]


def scale_of(
    values: Series, mask: Float[Tensor, "z y x"], *, noise_variance: Float[Tensor, "#frame #z #y #x"] | None = None
) -> Scale:
    """The scale of a repeat. noise_variance: of the values, taken off their own: noise is no contrast."""
    inside = values[:, mask > 0]
    mean = inside.mean(1)
    variance = inside.var(1, unbiased=False)
    if noise_variance is not None:
        own = noise_variance.expand(values.shape)[:, mask > 0].mean(1)
        variance = torch.maximum(variance - own, 0.05 * variance)
    sd = variance.sqrt()
    sd = torch.where(sd > 0, sd, torch.ones_like(sd))
    return Scale(mean.view(-1, 1, 1, 1), sd.view(-1, 1, 1, 1))


def common_scale(scales: Sequence[Scale]) -> Scale:
    """The scale of an average: means of means and of SDs, as bright as a plain average of the repeats."""
    return Scale(torch.stack([s.mean for s in scales]).mean(0), torch.stack([s.sd for s in scales]).mean(0))


def averaged(values: Sequence[Series], scales: Sequence[Scale], weights: Sequence[Tensor] | None = None) -> Series:
    """The average of normalised repeats, normalised itself. weights: of each repeat, broadcastable; default equal."""
    parts = [scale.normalised(v) for v, scale in zip(values, scales, strict=True)]
    if weights is None:
        return torch.stack(parts).mean(0)
    total = torch.stack([w.expand(p.shape) for w, p in zip(weights, parts, strict=True)])
    return (torch.stack(parts) * total).sum(0) / total.sum(0)


def targets(
    originals: Sequence[Series], latest: Sequence[Series], scales: Sequence[Scale], latest_scales: Sequence[Scale]
) -> list[Series]:
    """What each ORIGINAL repeat is to become in this round, in its own unit: the average of the latest repeats.

    latest: the originals in round 1, the denoised repeats of round k - 1 in round k, each normalised by its own scale.
    The residual that the reference learns is this less the original repeat.
    """
    average = averaged(latest, latest_scales)
    return [scale.back(average) for _, scale in zip(originals, scales, strict=True)]
