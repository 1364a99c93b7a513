"""clearmr and its peers on the same noisy images: who enters, and what a row of the table holds."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from clearmr import baselines, road
from clearmr.bench.timing import Options
from clearmr.errors import InputError
from clearmr.evaluate import evaluate
from clearmr.scan import SnrImage

OWN = "clearmr"


@dataclass(frozen=True)
class Problem:
    """A noisy image of known noise, its clean truth (frame, z, y, x), and where the two are compared."""

    noisy: SnrImage
    clean: Tensor
    inside: Tensor


@dataclass(frozen=True)
class Case:
    """One row to be: on what data, at which noise; `problem()` makes it when its turn comes."""

    data: str
    noise: str
    problem: Callable[[], Problem]


def row(case: Case, options: Options) -> dict[str, Any]:
    """PSNR in dB, SSIM and seconds of every entrant, the noisy image among them; margin over the best peer in dB."""
    given = case.problem()

    def own(image: SnrImage) -> SnrImage:
        return road.denoise(image, model=options.model)

    def judge(result: Tensor) -> dict[str, Any]:
        return judged(given, result)

    found = {"noisy": judge(given.noisy.image)}
    found[OWN] = entered(own, given.noisy, judge)
    found |= peers(given.noisy, judge)
    return {"data": case.data, "noise": case.noise, "entrants": found, **margin(found, "psnr")}


def peers(image: SnrImage, judge: Callable[[Tensor], dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What `judge` says of every baseline's result, or why it was skipped; those that learn first are left out."""
    found: dict[str, dict[str, Any]] = {}
    for name in baselines.filters():
        reason = baselines.absent(baselines.room(name).PACKAGE)
        found[name] = {"skipped": reason} if reason else entered(baselines.load(name), image, judge)
    return found


def entered(
    denoise: Callable[[SnrImage], SnrImage], image: SnrImage, judge: Callable[[Tensor], dict[str, Any]]
) -> dict[str, Any]:
    """Figures and seconds of one entrant; "skipped" with its own words where the image is none that it takes."""
    began = time.perf_counter()
    try:
        result = denoise(image).image
    except InputError as error:
        return {"skipped": str(error)}
    return {**judge(result), "seconds": time.perf_counter() - began}


def judged(given: Problem, result: Tensor) -> dict[str, Any]:
    """PSNR (of complex differences where both are complex; data range: the largest |clean| inside), SSIM, mean."""
    figures = evaluate(given.clean, result, given.inside)
    return {"psnr": figures["psnr"], "ssim": figures["ssim"], "mean signal": figures["mean_signal_ratio"]}


def margin(found: Mapping[str, Mapping[str, Any]], figure: str) -> dict[str, Any]:
    """The best peer by `figure` (dB), and how far above it clearmr lies; None where there is nothing to compare."""
    rivals = {name: value for name in baselines.filters() if (value := found[name].get(figure)) is not None}
    best = max(rivals, key=lambda name: rivals[name], default=None)
    own = found[OWN].get(figure)
    return {"best peer": best, "margin": None if best is None or own is None else own - rivals[best]}


def noise_like(image: Tensor, seed: int) -> Tensor:
    """Standard normal numbers of the image's shape, float32."""
    return torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))


def level(sd: float) -> Tensor:
    """One noise SD for the whole image, (1, 1, 1, 1)."""
    return torch.full((1, 1, 1, 1), sd)
