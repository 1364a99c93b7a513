"""The noise level of repeats where it was only estimated: what one image's finest detail does not show, two tell.

Ours. Noise that was interpolated or filtered (scanners do) has little power there, so its level is estimated too low;
the difference of two repeats holds all of it.
"""

import dataclasses
from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from scipy.ndimage import gaussian_filter
from torch import Tensor

from clearmr.methods.noise2average import pairs, rigid
from clearmr.methods.noise2average.alignment import ONE_CONTRAST, Apart
from clearmr.scan import SnrImage

MOST = 1.15  # found over told: less is as good as the estimate is
SNR = 3.0  # magnitudes below have less noise than they are told of
LEAST_VALUES = 1000
CONTRAST = 2.0  # voxels (SD): what differs more smoothly is contrast
MEDIAN_SQUARE = 0.4549  # of N(0, 1)


def raised(images: Sequence[SnrImage], mask: Float[Tensor, "z y x"], apart: Apart) -> list[SnrImage]:
    """Repeats (frame, z, y, x) with noise_sd as their differences have it, where it was estimated lower; it is said."""
    if any(image.noise_source != "estimated" for image in images) or min(apart.alike) < ONE_CONTRAST:
        return list(images)
    ratio = found_over_told(images, mask, apart.motions)
    return [_with_noise(image, ratio) for image in images] if ratio > MOST else list(images)


def found_over_told(images: Sequence[SnrImage], mask: Float[Tensor, "z y x"], motions: Sequence[rigid.Motion]) -> float:
    """SD of the differences of successive repeats over what noise_sd says of it; 1 where too few voxels tell."""
    still = rigid.Motion()
    back = [still, *(still.plus(motion, -1.0) for motion in motions)]
    squares = [_squares(*pair, mask) for pair in pairwise(_moved(i, m) for i, m in zip(images, back, strict=True))]
    values = torch.cat(squares)
    return float((values.median() / MEDIAN_SQUARE).sqrt()) if len(values) >= LEAST_VALUES else 1.0


def _moved(image: SnrImage, motion: rigid.Motion) -> pairs.Repeat:
    values = torch.stack([rigid.moved(frame, motion, spacing=image.spacing) for frame in image.image.float()])
    return pairs.Repeat(values, image.noise_sd.float().expand(values.shape))


def _squares(one: pairs.Repeat, other: pairs.Repeat, mask: Tensor) -> Tensor:
    """Squared differences over their variance, of the voxels in the mask that have signal."""
    both = (one, other)
    scales = [pairs.scale_of(r.values, mask) for r in both]
    first, second = (scale.normalised(r.values) for r, scale in zip(both, scales, strict=True))
    variance = sum(((r.noise_sd / scale.sd).square() for r, scale in zip(both, scales, strict=True)), torch.zeros(()))
    weight = (mask > 0).float()
    within = torch.from_numpy(gaussian_filter(weight.numpy(), CONTRAST)).clamp_min(1e-3)
    used = (mask > 0) & (one.values > SNR * one.noise_sd) & (other.values > SNR * other.noise_sd) & (variance > 0)
    difference = (first - second) * weight
    smooth = torch.from_numpy(gaussian_filter(difference.numpy(), (0, CONTRAST, CONTRAST, CONTRAST)))
    return ((difference - smooth / within).square() / variance)[used]


def _with_noise(image: SnrImage, ratio: float) -> SnrImage:
    noise_sd = image.noise_sd * ratio
    level = float(noise_sd.median())
    note = (
        f"Repeats differ by {ratio:.2f} times the noise that was estimated of one: it is not white, or not noise alone."
    )
    step = {
        "name": "estimate noise",
        "method": "difference of repeats, correlated noise",
        "noise_sd": level,
        "note": note,
    }
    meta = {**image.meta, "steps": [*image.meta.get("steps", []), step]}
    meta["warnings"] = [*image.meta.get("warnings", []), f"the noise level was raised to {level:.4g}. {note}"]
    return dataclasses.replace(image, noise_sd=noise_sd, meta=meta)
