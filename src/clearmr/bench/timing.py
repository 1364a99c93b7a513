"""Timing: the best of some runs, so that a busy machine does not decide."""

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

Result = TypeVar("Result")


def silent(done: int, total: int) -> None:
    """Says nothing. (The `denoiser` module would load torch, which `clearmr --help` must not.)"""


@dataclass(frozen=True)
class Options:
    """threads: CPU threads, 0 for all cores; model: of the denoise and quality entries, None for the default one.

    data: images that the quality and series entries judge, none for simulated ones; levels: whether the series entry
    takes all levels of noise; progress: called after each of their rows.
    """

    threads: int = 0
    model: str | None = None
    data: tuple[Path, ...] = ()
    levels: bool = False
    progress: Callable[..., None] = silent


def best_of(function: Callable[[], Result], *, runs: int) -> tuple[float, Result]:
    """Shortest wall time in seconds over `runs`, after one run to warm up; and the result."""
    result = function()
    seconds = []
    for _ in range(runs):
        began = time.perf_counter()
        result = function()
        seconds.append(time.perf_counter() - began)
    return min(seconds), result


def peak_gb() -> float:
    """The most memory that this process has held so far, in GB of 2^30 bytes (Linux counts in kB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def ratios(entry: dict[str, Any]) -> dict[str, float]:
    """How many times slower each peer was than clearmr."""
    own = entry["clearmr"]["seconds"]
    return {
        name: round(peer["seconds"] / own, 2) for name, peer in entry.items() if name != "clearmr" and "seconds" in peer
    }
