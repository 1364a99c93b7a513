"""Real repeats of one subject, no clean reference: one repeat denoised, judged against the mean of the others."""

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from clearmr import road
from clearmr.bench.entrants import OWN, entered, margin, noise_like, peers
from clearmr.bench.quality_data import SEED, Data, Sizes, foreground
from clearmr.bench.timing import Options
from clearmr.scan import SnrImage

SNR_ADDED = 5.0  # mean over the object, of a single complex image with noise added


@dataclass(frozen=True)
class Repeat:
    """One repeat, the mean of the others, the noise SD of that mean (all broadcastable), and the object."""

    data: str
    noise: str
    single: SnrImage
    others: Tensor
    others_sd: Tensor
    inside: Tensor


def repeats(data: Data, sizes: Sizes) -> Iterator[Repeat]:
    """The middle repeat of each series of volumes; a single complex image gets noise added."""
    for name, image in data.repeats:
        yield _added(name, image) if image.image.shape[0] == 1 else _middle(name, image, sizes)


def _middle(name: str, image: SnrImage, sizes: Sizes) -> Repeat:
    """noise_sd: from the differences of neighbouring repeats, robustly (median), times the g map."""
    start = max((image.image.shape[1] - sizes.volume) // 2, 0)
    cut = [_slices(tensor, start, sizes.volume) for tensor in (image.image, image.gmap)]
    values, gmap = cut
    n = len(values)
    inside = foreground(values.abs().mean(0, keepdim=True))
    sd = _difference_sd(values / gmap.clamp_min(1e-6), inside) * gmap
    rest = [k for k in range(n) if k != n // 2]
    single = dataclasses.replace(
        image, image=values[n // 2 : n // 2 + 1], noise_sd=sd[:1], gmap=gmap[:1], noise_source="estimated"
    )
    others = values[rest].mean(0, keepdim=True)
    return Repeat(name, f"repeat {n // 2 + 1} of {n}", single, others, sd[:1] / math.sqrt(n - 1), inside)


def _slices(tensor: Tensor, start: int, size: int) -> Tensor:
    return tensor if tensor.shape[1] == 1 else tensor.narrow(1, start, min(size, tensor.shape[1] - start))


def _difference_sd(values: Tensor, inside: Tensor) -> Tensor:
    """SD of each of real and imaginary, (1, 1, 1, 1): 1.4826 median |difference| / sqrt 2."""
    difference = (values[1:] - values[:-1])[inside.expand(len(values) - 1, *inside.shape[1:])]
    parts = torch.view_as_real(difference) if difference.is_complex() else difference
    return (1.4826 * parts.abs().median() / math.sqrt(2)).reshape(1, 1, 1, 1)


def _added(name: str, image: SnrImage) -> Repeat:
    """The image itself is the reference; its own noise is far below what is added, and counted as the reference's."""
    inside = foreground(image.image)
    sd = (image.image.abs() / image.gmap.clamp_min(1e-6))[inside].mean() / SNR_ADDED * image.gmap
    noise = torch.complex(noise_like(image.image, SEED), noise_like(image.image, SEED + 1))
    total = (sd.square() + image.noise_sd.square()).sqrt()
    single = dataclasses.replace(image, image=image.image + sd * noise, noise_sd=total, noise_source="given")
    return Repeat(name, f"noise added, SNR {SNR_ADDED:g}", single, image.image, image.noise_sd, inside)


def row(case: Repeat, options: Options) -> dict[str, Any]:
    """Per entrant the gain in dB over the noisy repeat, noise of the reference taken off both; margin to the best."""
    before = _error(case, case.single.image)

    def judge(result: Tensor) -> dict[str, Any]:
        return _gain(case, result, before)

    def own(image: SnrImage) -> SnrImage:
        return road.denoise(image, model=options.model)

    found = {OWN: entered(own, case.single, judge), **peers(case.single, judge)}
    return {"data": case.data, "noise": case.noise, "entrants": found, **margin(found, "gain")}


def _gain(case: Repeat, result: Tensor, before: float) -> dict[str, Any]:
    after = _error(case, result)
    mean = float(result.abs()[case.inside].mean() / case.others.abs()[case.inside].mean())
    gain = 10 * math.log10(before / after) if after > 0 and before > 0 else None
    return {"gain": gain, "mean signal": mean}


def _error(case: Repeat, image: Tensor) -> float:
    """Mean squared error over the object less the reference's own noise: E|a - r|^2 = E|a - s|^2 + SD^2 (independent).

    Can be too small or below zero where the reference's noise is most of it. Motion and drift between the repeats
    count as error of every entrant.
    """
    parts = 2 if image.is_complex() else 1
    square = (image - case.others).abs().square() - parts * case.others_sd.square()
    return float(square[case.inside].mean())
