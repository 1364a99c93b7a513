"""The lattice that the acquired lines lie on: R of k1, R of k2 and the CAIPI shift, read off the lines themselves."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Lattice:
    """Points (k1, k2) = (offset1 + r1 m, offset2 + shift m + r2 n) for integers m, n."""

    r1: int = 1
    r2: int = 1
    shift: int = 0
    offset1: int = 0
    offset2: int = 0

    @property
    def acceleration(self) -> int:
        return self.r1 * self.r2

    def contains(self, k1: np.ndarray, k2: np.ndarray) -> np.ndarray:
        """Which of the points (k1, k2) lie on the lattice."""
        steps, rest = np.divmod(k1 - self.offset1, self.r1)
        return (rest == 0) & ((k2 - self.offset2 - self.shift * steps) % self.r2 == 0)


@dataclass(frozen=True)
class Pattern:
    """One frame's lattice; `dense` marks lines of a dense centre that no flag named; `regular`: few holes."""

    lattice: Lattice
    dense: np.ndarray
    regular: bool


def _gcd(values: np.ndarray) -> int:
    return int(np.gcd.reduce(values)) if len(values) else 1


def _column_starts(k1: np.ndarray, k2: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """k1 of each column of the pattern, its lowest k2, and all k2 distances inside columns."""
    order = np.lexsort((k2, k1))
    k1, k2 = k1[order], k2[order]
    same = np.diff(k1) == 0
    first = np.flatnonzero(np.concatenate([[True], ~same]))
    return k1[first], k2[first], np.diff(k2)[same]


def _shift(columns: np.ndarray, starts: np.ndarray, r1: int, r2: int) -> int | None:
    """The CAIPI shift that all columns agree on, or None."""
    steps = (columns - columns[0]) // r1
    for shift in range(r2):
        if ((starts - starts[0] - shift * steps) % r2 == 0).all():
            return shift
    return None


def lattice_of(k1: np.ndarray, k2: np.ndarray) -> Lattice:
    """The coarsest lattice that holds all points (k1, k2); R = 1 where there are too few to say."""
    columns, starts, gaps = _column_starts(k1, k2)
    r1 = max(1, _gcd(np.diff(columns)))
    r2 = max(1, _gcd(gaps))
    shift = _shift(columns, starts, r1, r2)
    if shift is None:
        r2, shift = max(1, _gcd(np.diff(np.unique(k2)))), 0
    return Lattice(r1, r2, shift, int(columns[0]), int(starts[0]))


def dense_centre(mask: np.ndarray) -> np.ndarray:
    """The box (k2, k1) round the centre that is wholly sampled, as a mask: grown a line at a time on each side."""
    box = np.zeros_like(mask)
    lo, hi = [n // 2 for n in mask.shape], [n // 2 + 1 for n in mask.shape]
    if not mask[lo[0], lo[1]]:
        return box
    grew = True
    while grew:
        grew = False
        for axis in (0, 1):
            for side, end in ((lo, -1), (hi, 1)):
                trial_lo, trial_hi = list(lo), list(hi)
                (trial_lo if end < 0 else trial_hi)[axis] += end
                inside = trial_lo[axis] >= 0 and trial_hi[axis] <= mask.shape[axis]
                if inside and mask[trial_lo[0] : trial_hi[0], trial_lo[1] : trial_hi[1]].all():
                    side[axis] += end
                    grew = True
    box[lo[0] : hi[0], lo[1] : hi[1]] = True
    return box


def _fill(lattice: Lattice, k1: np.ndarray, k2: np.ndarray) -> float:
    """Share of the lattice's points inside the bounding box that are there."""
    box = (int(np.ptp(k1)) + 1) * (int(np.ptp(k2)) + 1)
    return len(np.unique(k1 * (k2.max() + 1) + k2)) / max(1.0, box / lattice.acceleration)


def find_pattern(k1: np.ndarray, k2: np.ndarray, flagged: np.ndarray, shape: tuple[int, int]) -> Pattern:
    """The pattern of one frame's imaging lines (k1, k2), of which `flagged` also serve calibration.

    shape is the encoded (k2, k1). Calibration lines count only where they lie on the lattice of the others.
    """
    none = np.zeros(len(k1), dtype=bool)
    lattice = lattice_of(k1, k2)
    if lattice.acceleration > 1:
        return Pattern(lattice, none, _fill(lattice, k1, k2) > 0.6)
    if (~flagged).sum() >= 3:
        outer = lattice_of(k1[~flagged], k2[~flagged])
        if outer.acceleration > 1:
            return Pattern(outer, none, True)
    mask = np.zeros(shape, dtype=bool)
    mask[k2, k1] = True
    dense = dense_centre(mask)[k2, k1]
    if (~dense).sum() >= 4:
        outer = lattice_of(k1[~dense], k2[~dense])
        if outer.acceleration > 1 and outer.contains(k1, k2).sum() < 0.95 * len(k1):
            return Pattern(outer, dense, True)
    return Pattern(lattice, none, _fill(lattice, k1, k2) > 0.6)
