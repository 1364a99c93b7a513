"""clearmr and its peers on the same noisy images: who enters, and what a row of the table holds."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from clearmr import baselines, road
from clearmr.bench.timing import Options
from clearmr.denoiser import Denoiser
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
    """One row to be: on what data, at which noise; `problem()` makes it when its turn comes.

    own: what clearmr is given where that is not `noisy` itself; its result is brought back by `back`.
    """

    data: str
    noise: str
    problem: Callable[[], Problem]
    own: Callable[[SnrImage], SnrImage] = lambda image: image
    back: Callable[[Tensor], Tensor] = lambda image: image


def row(case: Case, options: Options) -> dict[str, Any]:
    """PSNR in dB, SSIM and seconds of every entrant, the noisy image among them; margin over the best peer in dB."""
    given = case.problem()
    found: dict[str, dict[str, Any]] = {"noisy": judged(given, given.noisy.image)}
    image = case.own(given.noisy)
    began = time.perf_counter()
    own = case.back(road.denoise(image, model=options.model).image)
    found[OWN] = judged(given, own) | {"seconds": time.perf_counter() - began}
    for name in baselines.BASELINES:
        found[name] = _peer(name, given)
    return {"data": case.data, "noise": case.noise, "entrants": found, **margin(found)}


def _peer(name: str, given: Problem) -> dict[str, Any]:
    """A peer's figures, or why it was skipped."""
    found = baselines.room(name)
    if reason := baselines.absent(found.PACKAGE):
        return {"skipped": reason}
    denoiser: Denoiser = baselines.load(name)
    began = time.perf_counter()
    try:
        result = denoiser(given.noisy).image
    except InputError as error:
        return {"skipped": str(error)}
    return judged(given, result) | {"seconds": time.perf_counter() - began}


def judged(given: Problem, result: Tensor) -> dict[str, Any]:
    """PSNR (of complex differences where both are complex; data range: the largest |clean| inside), SSIM, mean."""
    figures = evaluate(given.clean, result, given.inside)
    return {"psnr": figures["psnr"], "ssim": figures["ssim"], "mean signal": figures["mean_signal_ratio"]}


def margin(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The best peer, and how far above it clearmr lies in dB."""
    peers = {name: found[name]["psnr"] for name in baselines.BASELINES if "psnr" in found.get(name, {})}
    if not peers:
        return {"best peer": None, "margin": None}
    best = max(peers, key=lambda name: peers[name])
    return {"best peer": best, "margin": found[OWN]["psnr"] - peers[best]}


def noise_like(image: Tensor, seed: int) -> Tensor:
    """Standard normal numbers of the image's shape, float32."""
    return torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))


def level(sd: float) -> Tensor:
    """One noise SD for the whole image, (1, 1, 1, 1)."""
    return torch.full((1, 1, 1, 1), sd)
