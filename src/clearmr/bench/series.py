"""Time to quality on a noisy cine: Deformed2Self by default and from nothing but the series, beside BM4D.

Frames in [0, 1] as the user names them (`--data FOLDER` of PNG, or a series of one slice), else the simulated cine;
mean PSNR over frames in dB, data range 1. As the authors demonstrate it, Gaussian noise of SD 15/255; three more levels
of Gaussian and Rician noise where the user asks for all of them.
"""

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from clearmr import baselines, road
from clearmr.bench import quality_data
from clearmr.bench.entrants import level, noise_like
from clearmr.bench.timing import Options
from clearmr.denoiser import Denoiser
from clearmr.scan import SnrImage

TITLE = "Whole series: mean PSNR over frames in dB, and seconds"
DEMO_SD = 15 / 255  # of the authors' own demonstration, whose result has 33.44 dB on its 10 frames
LEVELS = (0.05, 0.10, 0.15)
OWN, FROM_NOTHING, PEER = "clearmr", "clearmr scratch", "bm4d"

Task = tuple[str, str, Callable[[], SnrImage], Tensor]


def run(options: Options) -> dict[str, Any]:
    """A row for each series and noise: PSNR and seconds of all, and the margin over BM4D where it is installed.

    options.levels: Gaussian and Rician noise of 5, 10 and 15 % too. Raises InputError for data that cannot be read.
    """
    found = quality_data.collect(options.data, quality_data.Sizes()).series
    tasks = [task for name, clean in found for task in tasks_of(name, clean, levels=options.levels)]
    ready = entrants()
    steps = len(tasks) * len(ready)
    rows: list[dict[str, Any]] = []
    for data, noise, make, clean in tasks:
        noisy = make()
        row: dict[str, Any] = {"data": data, "noise": noise, "noisy": {"psnr": psnr(noisy.image, clean)}}
        for name, prepare in ready.items():
            row[name] = timed(prepare, noisy, clean)
            options.progress(len(rows) * len(ready) + len(row) - 3, steps)
        rows.append({**row, "margin": row[OWN]["psnr"] - row[PEER]["psnr"] if "psnr" in row[PEER] else None})
    return {"rows": rows}


def entrants() -> dict[str, Callable[[], Denoiser | None]]:
    """What makes each of those that are compared ready; None for a peer that is not installed."""
    own = functools.partial(road.denoiser, "deformed2self", is_complex=False)
    return {
        OWN: own,
        FROM_NOTHING: functools.partial(own, model="scratch"),
        PEER: lambda: None if baselines.absent(baselines.room(PEER).PACKAGE) else baselines.load(PEER),
    }


def timed(prepare: Callable[[], Denoiser | None], noisy: SnrImage, clean: Tensor) -> dict[str, Any]:
    """PSNR and seconds of one, from loading it to the last frame; "skipped" and why, where it is absent."""
    began = time.perf_counter()
    denoiser = prepare()
    if denoiser is None:
        return {"skipped": baselines.absent(baselines.room(PEER).PACKAGE)}
    result = denoiser(noisy).image
    return {"psnr": psnr(result, clean), "seconds": time.perf_counter() - began}


def tasks_of(name: str, clean: Tensor, *, levels: bool = False) -> Iterator[Task]:
    """Name of the data and of the noise, what makes the noisy series, and its truth (frame, z, y, x)."""
    yield name, "Gaussian 15/255", functools.partial(gaussian, clean, DEMO_SD), clean
    for kind, make in (("Gaussian", gaussian), ("Rician", rician)) if levels else ():
        for sd in LEVELS:
            yield name, f"{kind} {100 * sd:.0f} %", functools.partial(make, clean, sd), clean


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
