"""Where in the k-space array a readout goes: the centre lies at n // 2 of each axis."""

from dataclasses import dataclass, replace

import numpy as np

from clearmr.errors import InputError
from clearmr.formats.checks import check_counters
from clearmr.formats.lines import IMAGING, Lines, Space


@dataclass(frozen=True)
class Placed:
    """Per line: its place in the encoded matrix, and its samples: `start` in k0 after `trimmed` (coil, sample)."""

    k1: np.ndarray
    k2: np.ndarray
    start: np.ndarray
    trimmed: tuple[np.ndarray, ...]

    @property
    def stop(self) -> np.ndarray:
        return self.start + np.array([s.shape[1] for s in self.trimmed], dtype=np.int64)


def place_counter(counter: np.ndarray, size: int, center: int | None, name: str) -> tuple[np.ndarray, list[str]]:
    """Index in an axis of `size`, so that counter `center` goes to size // 2. Second: warnings."""
    check_counters(counter, size, name)
    placed = counter + size // 2 - (size // 2 if center is None else center)
    if not len(placed) or (placed.min() >= 0 and placed.max() < size):
        return placed, []
    # A centre of 0 in a fully sampled scan is a common fault of converters.
    text = (
        f"the header puts the centre of {name} at {center} of {size}, which the lines do not fit; taken as {size // 2}"
    )
    return counter, [text]


def _trim(samples: np.ndarray, pre: int, post: int, reverse: bool) -> np.ndarray:
    kept = samples[:, pre : samples.shape[1] - post]
    return kept[:, ::-1] if reverse else kept


def _centers(lines: Lines) -> np.ndarray:
    """Centre sample of each line after trimming and flipping. A flip keeps an even line's centre at n // 2."""
    table = lines.table
    n = np.array([s.shape[1] for s in lines.samples], dtype=np.int64)
    center = np.where((table["center"] <= 0) | (table["center"] >= n), n // 2, table["center"])
    kept = n - table["discard_pre"] - table["discard_post"]
    if (kept <= 0).any():
        found = f"acquisition {int(np.argmin(kept))} discards all of its samples"
        raise InputError("readouts with samples left", found, "correct discard_pre and discard_post")
    center = center - table["discard_pre"]
    mirrored = np.where(n % 2, kept - 1 - center, kept - center)
    return np.where(table["reversed"], mirrored, center)


def fit_readout(space: Space, lines: Lines, used: np.ndarray) -> tuple[Space, list[str]]:
    """Set the encoded readout to the number of samples where they are more (or EPI: other) than the header says.

    The k-space extent (matrix / FOV) of the header is kept, so the field of view grows with the samples.
    """
    longest = max(lines.samples[i].shape[1] for i in used)
    nx = space.encoded_matrix[2]
    if longest == nx or (longest < nx and space.trajectory != "epi"):
        return space, []
    fov = space.encoded_fov[2] * longest / nx
    wider = replace(
        space,
        encoded_matrix=(*space.encoded_matrix[:2], longest),
        encoded_fov=(*space.encoded_fov[:2], fov),
    )
    text = (
        f"the header encodes {nx} readout samples, the lines have {longest}; taken as a field of view of {fov:.1f} mm"
    )
    return wider, [] if space.trajectory == "epi" else [text]


def place_lines(lines: Lines, spaces: tuple[Space, ...], target: Space) -> tuple[Placed, list[str]]:
    """Place every line in the encoded matrix of `target`; `spaces` give each line's own centre counters.

    Raises InputError where counters or samples lie outside the encoded matrix.
    """
    k1 = np.zeros(len(lines), dtype=np.int64)
    k2 = np.zeros(len(lines), dtype=np.int64)
    warnings: list[str] = []
    for number in np.unique(lines.table["space"]):
        here = lines.table["space"] == number
        own = spaces[number] if number < len(spaces) else target
        for index, name, axis in ((k2, "k2", 0), (k1, "k1", 1)):
            # A smaller matrix of the same field of view lies round the same centre.
            size, wide = own.encoded_matrix[axis], target.encoded_matrix[axis]
            placed, more = place_counter(lines.table[name][here], size, own.center[axis], name)
            index[here] = placed + wide // 2 - size // 2
            warnings += more
    check_counters(k1, target.encoded_matrix[1], "k1")
    check_counters(k2, target.encoded_matrix[0], "k2")
    table = lines.table
    trimmed = tuple(
        _trim(s, int(r["discard_pre"]), int(r["discard_post"]), bool(r["reversed"]))
        for s, r in zip(lines.samples, table, strict=True)
    )
    start = target.encoded_matrix[2] // 2 - _centers(lines)
    return _inside(Placed(k1, k2, start, trimmed), target.encoded_matrix[2], table["role"]), warnings


def _inside(placed: Placed, nx: int, role: np.ndarray) -> Placed:
    """Cut what reaches over the readout axis by a sample or two; raise InputError where more does."""
    start, trimmed = placed.start.copy(), list(placed.trimmed)
    for i, samples in enumerate(trimmed):
        before, after = max(0, -int(start[i])), max(0, int(start[i]) + samples.shape[1] - nx)
        if not before and not after:
            continue
        if max(before, after) > max(2, nx // 16) and role[i] & IMAGING:
            found = f"acquisition {i} with {samples.shape[1]} samples, centred so that {max(before, after)} lie outside"
            raise InputError(f"readouts inside the encoded {nx} samples", found, "correct center_sample or the matrix")
        trimmed[i] = samples[:, before : samples.shape[1] - after]
        start[i] += before
    return Placed(placed.k1, placed.k2, start, tuple(trimmed))
