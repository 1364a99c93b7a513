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
from clearmr.errors import InputError
from clearmr.scan import SnrImage

NEAREST = 8  # repeats that make the reference
ALIKE = 0.05  # of the mean signal
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
    """The middle repeat, and the mean of the nearest of its kind, so that little drift or other contrast comes in.

    noise_sd: from the differences of neighbours, robustly (median), times the g map. Raises InputError for fewer
    than two of a kind.
    """
    start = max((image.image.shape[1] - sizes.volume) // 2, 0)
    values, gmap = (_slices(tensor, start, sizes.volume) for tensor in (image.image, image.gmap))
    middle = len(values) // 2
    rest = _of_a_kind(values.abs().mean((1, 2, 3)), middle)
    if not rest:
        raise InputError(f"repeats of one contrast in {name}", "volumes of different mean signal", "name another file")
    one = values[middle : middle + 1]
    inside = foreground(one)
    flat = values[sorted([middle, *rest])] / gmap.clamp_min(1e-6)
    sd = _difference_sd(flat, inside) * gmap[:1]
    single = dataclasses.replace(image, image=one, noise_sd=sd, gmap=gmap[:1], noise_source="estimated")
    others = values[rest].mean(0, keepdim=True)
    noise = f"repeat {middle + 1} of {len(values)}"
    return Repeat(name, noise, single, others, sd / math.sqrt(len(rest)), inside)


def _of_a_kind(means: Tensor, middle: int) -> list[int]:
    """The nearest `NEAREST` repeats whose mean signal is within 5 % of the middle one's."""
    like = [k for k in range(len(means)) if k != middle and abs(float(means[k] / means[middle]) - 1) < ALIKE]
    return sorted(like, key=lambda k: abs(k - middle))[:NEAREST]


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
