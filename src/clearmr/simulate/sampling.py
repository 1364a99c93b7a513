"""Which lines of k-space a scan measures. Everything counts lines; the centre of n lines is n // 2."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool
from torch import Tensor

from clearmr.axes import Sampled
from clearmr.errors import InputError

Calibration = Literal["embedded", "separate", "interleaved", "none"]
Side = Literal["low", "high"]


@dataclass(frozen=True)
class Sampling:
    """How k-space is sampled.

    acceleration     (R of k1, R of k2)
    acs              fully sampled lines round the centre (k1, k2); k2 is cut to what there is
    caipi_shift      k2 lines by which the lattice shifts per acquired k1 step
    calibration      "embedded": lines of the first frame; "separate": a scan of its own before; "interleaved": the
                     lattice moves from frame to frame (TGRAPPA), no lines of its own; "none"
    partial_fourier  fraction of k1 lines kept, 0.5 < f <= 1 (usually 5/8 to 1); `side` is the one left out
    partial_fourier_k2, echo_fraction   the same of k2, and of the readout (asymmetric echo: its start is left out)
    """

    acceleration: tuple[int, int] = (1, 1)
    acs: tuple[int, int] = (24, 24)
    caipi_shift: int = 0
    calibration: Calibration = "embedded"
    partial_fourier: float = 1.0
    side: Side = "low"
    partial_fourier_k2: float = 1.0
    echo_fraction: float = 1.0


def kept(n: int, fraction: float, side: Side) -> tuple[int, int]:
    """(start, stop) of the lines that partial Fourier of `fraction` keeps out of `n`; `side` is left out."""
    if not 0.5 < fraction <= 1:
        raise InputError("a partial-Fourier or echo fraction over 0.5, up to 1", str(fraction), "use for example 0.75")
    count = math.ceil(fraction * n - 1e-9)
    return (n - count, n) if side == "low" else (0, count)


def _window(n: int, start: int, stop: int) -> Bool[Tensor, "n"]:
    index = torch.arange(n)
    return (index >= start) & (index < stop)


def lattice(n_frames: int, n_k2: int, n_k1: int, sampling: Sampling) -> Sampled:
    """Lines measured for imaging (frame, k2, k1): every R-th through the centre, cut by partial Fourier.

    With "interleaved" calibration frame f is shifted by f lines, so that R1 R2 frames fill k-space (Breuer 2005).
    """
    r1, r2 = sampling.acceleration
    if min(r1, r2) < 1 or r1 > n_k1 or r2 > n_k2:
        raise InputError("acceleration of at least 1 and no more than the lines", f"{r1}x{r2}", "choose a smaller one")
    frame = torch.arange(n_frames)[:, None, None] if sampling.calibration == "interleaved" else torch.zeros(1, 1, 1)
    frame = frame.long()
    k1 = torch.arange(n_k1) - n_k1 // 2 - frame % r1
    k2 = torch.arange(n_k2)[:, None] - n_k2 // 2 - frame // r1 % r2
    shift = sampling.caipi_shift * torch.div(k1, r1, rounding_mode="floor")
    taken = (k1 % r1 == 0) & ((k2 - shift) % r2 == 0)
    window = _window(n_k2, *kept(n_k2, sampling.partial_fourier_k2, sampling.side))[:, None]
    window = window & _window(n_k1, *kept(n_k1, sampling.partial_fourier, sampling.side))
    return (taken & window).expand(n_frames, n_k2, n_k1).clone()


def acs_lines(n_k2: int, n_k1: int, sampling: Sampling) -> Bool[Tensor, "k2 k1"]:
    """Fully sampled lines round the centre, never beyond what partial Fourier keeps."""
    window = torch.ones(n_k2, n_k1, dtype=torch.bool)
    fractions = (sampling.partial_fourier_k2, sampling.partial_fourier)
    for dim, (n, fraction) in enumerate(zip((n_k2, n_k1), fractions, strict=True)):
        size = min(sampling.acs[1 - dim], n)
        first = n // 2 - size // 2
        lines = _window(n, first, first + size) & _window(n, *kept(n, fraction, sampling.side))
        window &= lines[:, None] if dim == 0 else lines
    return window
