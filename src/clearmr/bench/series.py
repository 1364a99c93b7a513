"""Time to quality on a noisy cine: Deformed2Self from nothing but the series, and its default, beside BM4D.

Frames in [0, 1] as the user names them (`--data FOLDER` of PNG); mean PSNR over frames, data range 1.
"""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from clearmr import baselines, road
from clearmr.bench import quality_data
from clearmr.bench.entrants import level, noise_like
from clearmr.bench.timing import Options
from clearmr.denoiser import Denoiser
from clearmr.scan import SnrImage

DEMO_SD = 15 / 255  # of the authors' own demonstration, whose result has 33.44 dB on its 10 frames
LEVELS = (0.05, 0.10, 0.15)


def run(options: Options) -> dict[str, Any]:
    """Of every named series a row per noise: PSNR in dB and seconds of each; nothing where no series is named."""
    named = quality_data.collect(options.data, quality_data.Sizes()).series if options.data else ()
    if not named:
        return {"skipped": "name the frames of a cine: --data FOLDER"}
    before = torch.get_num_threads()
    torch.set_num_threads(options.threads or before)
    try:
        return {"rows": [row for name, series in named for row in rows(name, series)]}
    finally:
        torch.set_num_threads(before)


def rows(name: str, clean: Tensor) -> list[dict[str, Any]]:
    """The authors' demonstration, from scratch and by default; then three levels of two kinds of noise."""
    found = [{"data": name, "noise": "Gaussian 15/255", **judged(clean, gaussian(clean, DEMO_SD), with_scratch=True)}]
    for kind, make in (("Gaussian", gaussian), ("Rician", rician)):
        found += [{"data": name, "noise": f"{kind} {sd:.0%}", **judged(clean, make(clean, sd))} for sd in LEVELS]
    return found


def judged(clean: Tensor, noisy: SnrImage, *, with_scratch: bool = False) -> dict[str, Any]:
    """PSNR and seconds of clearmr (and from scratch), of BM4D where it is installed, and of the noisy series."""
    entrants: dict[str, Callable[[], Denoiser]] = {
        "clearmr": lambda: road.denoiser("deformed2self", is_complex=False),
    }
    if with_scratch:
        entrants["scratch"] = lambda: road.denoiser("deformed2self", model="scratch", is_complex=False)
    if not baselines.absent("bm4d"):
        entrants["bm4d"] = lambda: baselines.load("bm4d")
    found: dict[str, Any] = {"noisy": {"psnr": psnr(noisy.image, clean)}}
    for name, make in entrants.items():
        denoise, began = make(), time.perf_counter()
        result = denoise(noisy).image
        found[name] = {"psnr": psnr(result, clean), "seconds": time.perf_counter() - began}
    return found


def gaussian(clean: Tensor, sd: float) -> SnrImage:
    """A real series with Gaussian noise, which may be negative."""
    return _told(clean + sd * noise_like(clean, quality_data.SEED), sd)


def rician(clean: Tensor, sd: float) -> SnrImage:
    """The magnitude of the series with complex noise."""
    noise = [sd * noise_like(clean, quality_data.SEED + k) for k in range(2)]
    return _told(torch.hypot(clean + noise[0], noise[1]), sd)


def psnr(image: Tensor, clean: Tensor) -> float:
    """Mean over the frames (frame, z, y, x), in dB, data range 1."""
    error = (image - clean).square().mean((1, 2, 3)).clamp_min(1e-12)
    return float((-10 * torch.log10(error)).mean())


def _told(values: Tensor, sd: float) -> SnrImage:
    return SnrImage(values, level(sd), torch.ones(1, 1, 1, 1), "given")
