"""Which k-space lines make the image: the regular lattice of a parallel-imaging scan."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from clearmr.errors import InputError
from clearmr.scan import RawScan

LEAST_COVERAGE = 0.5  # of the lattice points between the outermost lines: elliptical corners may be missing


@dataclass(frozen=True)
class Lattice:
    """Every r1-th k1 line and r2-th k2 line; k2 moves by `shift` lines per acquired k1 step (CAIPIRINHA)."""

    r1: int = 1
    r2: int = 1
    shift: int = 0

    @property
    def acceleration(self) -> int:
        return self.r1 * self.r2

    def offsets(self, shape: tuple[int, int]) -> Tensor:
        """Number (k2, k1) of the one of r1 * r2 interleaved lattices that each line lies on."""
        k2, k1 = torch.meshgrid(torch.arange(shape[0]), torch.arange(shape[1]), indexing="ij")
        first = k1 % self.r1
        return first * self.r2 + (k2 - self.shift * ((k1 - first) // self.r1)) % self.r2

    def thinned(self, axis: Literal["kz", "ky"], factor: int, *, caipi: bool = False) -> "Lattice":
        """Every `factor`-th of its lines along kz (k2) or ky (k1); `factor` such lattices make up this one.

        `caipi`: the lines taken move by one from each k1 line to the next; both axes then give the same lattice.
        """
        if axis == "kz" or caipi:
            return Lattice(self.r1, factor * self.r2, self.shift + (self.r2 if caipi else 0))
        return Lattice(factor * self.r1, self.r2, factor * self.shift % self.r2)


def lattice_lines(sampled: Tensor, lattice: Lattice) -> Tensor:
    """The acquired lines (k2, k1) that lie on the best-filled of the interleaved lattices: those of the image.

    Calibration lines off the lattice are left out, so that the noise of what remains is uniform.
    """
    return sampled & lattice_points(sampled, lattice)


def lattice_points(sampled: Tensor, lattice: Lattice) -> Tensor:
    """All points (k2, k1) of the best-filled of the interleaved lattices, acquired or not."""
    offsets = lattice.offsets((sampled.shape[0], sampled.shape[1])).to(sampled.device)
    filled = torch.bincount(offsets[sampled], minlength=lattice.acceleration)
    return offsets == int(filled.argmax())


def interleave_points(sampled: Tensor, lattice: Lattice, thinner: Lattice, number: int) -> Tensor:
    """Points (k2, k1) of the lattice's `number`-th interleave on a `thinner` lattice; 0 is the one of lowest lines."""
    points = lattice_points(sampled, lattice)
    offsets = thinner.offsets((sampled.shape[0], sampled.shape[1])).to(sampled.device)
    return points & (offsets == torch.unique(offsets[points])[number])


def find_lattice(scan: RawScan) -> tuple[Lattice, tuple[str, ...]]:
    """The scan's lattice and warnings: the header's acceleration, checked against the lines that were acquired.

    Raises InputError where the lines lie on no regular lattice.
    """
    sampled = scan.sampled[0]
    header = Lattice(*scan.encoding.acceleration, scan.encoding.caipi_shift)
    trusted = header.acceleration > 1 and not _full(sampled)
    found = header if trusted else Lattice(_step(sampled.any(0)), _step(sampled.any(1)))
    _refuse_irregular(sampled, found)
    if found == header:
        return found, ()
    lines = f"R = {found.r1} x {found.r2}"
    return found, (f"the header says R = {header.r1} x {header.r2}, the acquired lines say {lines}: {lines} was taken",)


def extent(mask: Tensor) -> tuple[int, int]:
    """First and last True of a vector. Raises InputError where there is none."""
    index = torch.nonzero(mask).flatten()
    if len(index) == 0:
        raise InputError("acquired k-space lines in every frame", "a frame without any", "check the file")
    return int(index[0]), int(index[-1])


def _full(sampled: Tensor) -> bool:
    first1, last1 = extent(sampled.any(0))
    first2, last2 = extent(sampled.any(1))
    return bool(sampled[first2 : last2 + 1, first1 : last1 + 1].float().mean() > 0.9)


def _step(lines: Tensor) -> int:
    """The largest gap between neighbouring lines: embedded calibration lines do not hide it."""
    index = torch.nonzero(lines).flatten()
    return int(torch.diff(index).max()) if len(index) > 1 else 1


def _refuse_irregular(sampled: Tensor, lattice: Lattice) -> None:
    lines = lattice_lines(sampled, lattice)
    (first1, last1), (first2, last2) = extent(lines.any(0)), extent(lines.any(1))
    expected = (last1 - first1 + 1) * (last2 - first2 + 1) / lattice.acceleration
    if float(lines.sum()) < LEAST_COVERAGE * expected:
        found = f"{int(sampled.sum())} lines that fill {float(lines.sum()) / expected:.0%} of it"
        raise InputError(
            f"lines on a regular lattice of R = {lattice.r1} x {lattice.r2}", found, "no reconstruction yet"
        )
