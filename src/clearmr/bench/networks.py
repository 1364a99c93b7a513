"""HRnet-CNNT of Table 2's size on a complex 30x192x160 series: whole frames against patches as the authors cut them.

Weights are random: speed and memory do not depend on them. Whole: norm over channels, bf16, channels-last. Patchwise:
the paper's norm over (C, H, W), patches of 16x64x64 that overlap by (8, 16, 16), 64 in all; some are timed, the rest
is extrapolated from them, and the figures say so. Each measurement runs in a process of its own, for its peak memory.
Seconds of processor time stand beside those of the clock: they are what a busy machine leaves comparable.
"""

import math
import multiprocessing
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from clearmr.bench.timing import Options
from clearmr.methods.snraware.config import NetConfig
from clearmr.methods.snraware.model import build, table2

NAME = "hrnet-cnnt"
SHAPE = (30, 192, 160)
PATCH, OVERLAP = (16, 64, 64), (8, 16, 16)
TIMED_PATCHES = 2
TOLERANCE = 0.01  # relative error of a whole series in bf16: rounding is 2^-9, and one cell reads another's


@dataclass(frozen=True)
class Job:
    """One measurement. box: the T, H, W that are cut from the series, None for all of it. timed: repeats."""

    config: NetConfig
    bf16: bool
    threads: int
    box: tuple[slice, slice, slice] | None = None
    timed: int = 1


@dataclass(frozen=True)
class Measured:
    """seconds, cpu_seconds: mean of one pass. peak_gb: resident memory of the process. out: (2, T, H, W)."""

    seconds: float
    cpu_seconds: float
    peak_gb: float
    out: Tensor


def run(options: Options) -> dict[str, Any]:
    """Seconds and peak GB of each way, how many times faster the whole is, and how the results differ."""
    threads = options.threads or torch.get_num_threads()
    box = _inner_patch()
    whole, whole32 = (_apart(Job(table2(NAME, "pixel"), bf16, threads)) for bf16 in (True, False))
    authors, authors16 = (_apart(Job(table2(NAME), bf16, threads, box, TIMED_PATCHES)) for bf16 in (False, True))
    cut = _apart(Job(table2(NAME, "pixel"), False, threads, box))
    n = n_patches(SHAPE)
    error, image = _relative(whole.out, whole32.out), _series(SHAPE)[0, :2]
    return {
        "clearmr": {"way": "whole frames, bf16, channels-last", **_figures(whole)},
        "whole, float32": _figures(whole32),
        "patchwise, float32": _patchwise(authors, n),
        "patchwise, bf16": _patchwise(authors16, n),
        "times faster than patchwise float32": _faster(whole, authors, n),
        "times faster than patchwise bf16": _faster(whole, authors16, n),
        "relative error of bf16": {"found": error, "tolerance": TOLERANCE, "within": error < TOLERANCE},
        "relative error of bf16 in what the network changes": _relative(whole.out - image, whole32.out - image),
        "relative difference of a patch's middle from the whole, same network": _middle_difference(whole32, cut, box),
    }


def n_patches(shape: tuple[int, int, int]) -> int:
    """Patches that the authors' stride puts on a series, the last ones reaching over its end."""
    return math.prod(-(-n // (p - o)) for n, p, o in zip(shape, PATCH, OVERLAP, strict=True))


def _figures(one: Measured, n: int = 1) -> dict[str, Any]:
    return {"seconds": n * one.seconds, "cpu_seconds": n * one.cpu_seconds, "peak_gb": one.peak_gb}


def _patchwise(one: Measured, n: int) -> dict[str, Any]:
    said = f"{TIMED_PATCHES} of {n} patches timed, the rest extrapolated"
    return {**_figures(one, n), "seconds per patch": one.seconds, "note": said}


def _faster(whole: Measured, patch: Measured, n: int) -> dict[str, float]:
    return {"clock": n * patch.seconds / whole.seconds, "processor": n * patch.cpu_seconds / whole.cpu_seconds}


def _inner_patch() -> tuple[slice, slice, slice]:
    starts = [max(0, (n - p) // 2) // 8 * 8 for n, p in zip(SHAPE, PATCH, strict=True)]
    t, h, w = (slice(s, s + p) for s, p in zip(starts, PATCH, strict=True))
    return t, h, w


def _middle_difference(whole: Measured, cut: Measured, box: tuple[slice, slice, slice]) -> float:
    middle = (slice(None), *(slice(o // 2, p - o // 2) for p, o in zip(PATCH, OVERLAP, strict=True)))
    return _relative(cut.out[middle], whole.out[(slice(None), *box)][middle])


def _relative(value: Tensor, reference: Tensor) -> float:
    return float((value - reference).norm() / reference.norm())


def _apart(job: Job) -> Measured:
    """measure in a fresh process."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return _measured(pool.submit(_measure, job, SHAPE).result())


def _measured(found: tuple[float, float, float, Any]) -> Measured:
    seconds, cpu_seconds, peak_gb, out = found
    return Measured(seconds, cpu_seconds, peak_gb, torch.from_numpy(out))


def _measure(job: Job, shape: tuple[int, int, int]) -> tuple[float, float, float, Any]:
    torch.set_num_threads(job.threads)
    torch.manual_seed(0)
    layout = torch.channels_last_3d
    net = build(job.config).eval().to(memory_format=layout)  # type: ignore[call-overload]
    series = _series(shape)
    x = (series if job.box is None else series[(slice(None), slice(None), *job.box)]).contiguous(memory_format=layout)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=job.bf16):
        net(x[:, :, :2])  # kernels are made at the first call
        began, worked = time.perf_counter(), time.process_time()
        for _ in range(job.timed):
            out = net(x)
        seconds, cpu_seconds = ((time.perf_counter() - began) / job.timed, (time.process_time() - worked) / job.timed)
    return seconds, cpu_seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, out[0].numpy()


def _series(shape: tuple[int, int, int]) -> Tensor:
    """(1, 3, T, H, W): a smooth object of SNR 50 that beats, unit noise, and a map of ones."""
    t, y, x = (torch.linspace(-1, 1, n) for n in shape)
    radius = (y[:, None] ** 2 + x**2).sqrt() - 0.05 * torch.sin(6 * t)[:, None, None]
    signal = 50 * torch.sigmoid((0.6 - radius) * 40)
    noise = torch.randn((2, *shape), generator=torch.Generator().manual_seed(0))
    return torch.cat([signal[None] + noise[:1], 0.3 * signal[None] + noise[1:], torch.ones((1, *shape))])[None]
