"""Calibration lines: separate, embedded, or the mean of a series whose lattice moves (TGRAPPA)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from clearmr.errors import InputError
from clearmr.recon.lattice import Lattice
from clearmr.scan import RawScan


@dataclass(frozen=True)
class Acs:
    """Fully sampled lines (coil, k2, k1, k0) of one slice; first_k2 and first_k1 are where they lie in k-space.

    `backward` (k2, k1) are the EPI lines that were read backwards.
    """

    kspace: Tensor
    backward: Tensor
    first_k2: int
    first_k1: int
    origin: str  # "calibration lines" or "temporal mean"


def calibration_lines(scan: RawScan, slice_number: int, lattice: Lattice, *, most: int) -> Acs:
    """The block of calibration lines of one slice, at most `most` lines wide, in the receiver's units.

    Raises InputError where there are none.
    """
    if scan.calibration is not None and scan.calibration_sampled is not None and lattice.acceleration > 1:
        place = scan.slices.index(slice_number)
        kspace, mask, origin = scan.calibration[place], scan.calibration_sampled[place], "calibration lines"
        backward = torch.zeros_like(mask)
    else:
        numbers = _alike(scan, slice_number)
        kspace, mask, origin = *_temporal_mean(scan, numbers), "temporal mean"
        backward = torch.zeros_like(mask) if scan.reversed_lines is None else scan.reversed_lines[numbers].any(0)
    (low2, high2), (low1, high1) = _block(mask, most)
    return Acs(kspace[:, low2:high2, low1:high1], backward[low2:high2, low1:high1], low2, low1, origin)


def _alike(scan: RawScan, slice_number: int) -> list[int]:
    """The slice's frames of one contrast and set whose lines were read in the same directions."""
    numbers = [i for i, frame in enumerate(scan.frames) if frame.slice == slice_number]
    first, lines = scan.frames[numbers[0]], scan.reversed_lines
    numbers = [i for i in numbers if (scan.frames[i].contrast, scan.frames[i].set) == (first.contrast, first.set)]
    if lines is None:
        return numbers
    reference = numbers[0]
    shared = [scan.sampled[i] & scan.sampled[reference] for i in numbers]
    clash = [bool(((lines[i] != lines[reference]) & both).any()) for i, both in zip(numbers, shared, strict=True)]
    return [i for i, differs in zip(numbers, clash, strict=True) if not differs]


def _temporal_mean(scan: RawScan, numbers: list[int]) -> tuple[Tensor, Tensor]:
    """Mean k-space (coil, k2, k1, k0) of some frames, and the lines it holds."""
    total = torch.zeros_like(scan.kspace[0])
    for i in numbers:
        total += scan.kspace[i] * scan.sampled[i][None, :, :, None]
    count = scan.sampled[numbers].sum(0)
    return total / count.clamp_min(1)[None, :, :, None], count > 0


def _block(mask: Tensor, most: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """The full rectangle round the centre, as (low, high) of k2 and of k1; corners may be missing (elliptical)."""
    centre2, centre1 = mask.shape[0] // 2, mask.shape[1] // 2
    low1, high1 = _run(mask[centre2], most)
    low2, high2 = _run(mask[:, centre1], most)
    while not bool(mask[low2:high2, low1:high1].all()):
        low1, high1, low2, high2 = *_narrower(low1, high1), *_narrower(low2, high2)
    if high1 - low1 < 1 or high2 - low2 < 1:
        todo = "give a scan with calibration lines, or a series whose lines move from frame to frame"
        raise InputError("calibration lines round the centre of k-space", "none", todo)
    return (low2, high2), (low1, high1)


def _run(mask: Tensor, most: int) -> tuple[int, int]:
    """(low, high) of the run of True round the centre, cut to `most` lines about the centre."""
    centre = len(mask) // 2
    if not bool(mask[centre]):
        return centre, centre
    gaps = torch.nonzero(~mask).flatten()
    low = int(gaps[gaps < centre].max()) + 1 if bool((gaps < centre).any()) else 0
    high = int(gaps[gaps > centre].min()) if bool((gaps > centre).any()) else len(mask)
    return max(low, centre - most // 2), min(high, centre + (most + 1) // 2)


def _narrower(low: int, high: int) -> tuple[int, int]:
    return (low + 1, high - 1) if high - low > 2 else (low, high if high - low <= 1 else low + 1)
