"""From readouts as acquired to a RawScan: frames, averages, calibration, navigators, noise."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from clearmr.errors import InputError
from clearmr.formats.checks import check_channels, check_memory, check_samples
from clearmr.formats.geometry import affine_of, rank_slices
from clearmr.formats.lines import CALIBRATION, IMAGING, NAVIGATOR, NOISE, Lines, ScanHeader, Space
from clearmr.formats.noise import noise_of
from clearmr.formats.pattern import Lattice, find_pattern
from clearmr.formats.placement import Placed, fit_readout, place_lines
from clearmr.scan import Encoding, FrameIndex, RawScan


@dataclass(frozen=True)
class _Frames:
    """The frames of a scan and, per line, the frame it belongs to (-1: none, as for separate calibration)."""

    indices: tuple[FrameIndex, ...]
    of_line: np.ndarray


def _usable(lines: Lines, header: ScanHeader) -> tuple[Lines, int, list[str]]:
    """The lines to place, without those whose encoding cannot be laid on the imaging one; its number; warnings."""
    imaging = lines.having(IMAGING)
    if not len(imaging):
        counts = {name: len(lines.having(role)) for name, role in (("noise", NOISE), ("calibration", CALIBRATION))}
        found = f"{len(lines)} acquisitions, of them {counts['noise']} noise and {counts['calibration']} calibration"
        raise InputError("imaging acquisitions", found, "give a scan with images; a noise scan goes to --noise-scan")
    main = int(lines.table["space"][imaging].min())
    if main >= len(header.spaces):
        found = f"encoding_space_ref {main} with {len(header.spaces)} encodings in the header"
        raise InputError("a header with the encoding of the imaging lines", found, "correct the header")
    keep = np.zeros(len(lines), dtype=bool)
    warnings: list[str] = []
    for number in np.unique(lines.table["space"]):
        wanted = _on_same_grid(header.spaces, main, int(number))
        roles = IMAGING | CALIBRATION | NAVIGATOR if number == main else CALIBRATION
        here = (lines.table["space"] == number) & (lines.table["role"] & ~np.uint8(NOISE) != 0)
        keep |= here & (lines.table["role"] & roles != 0) & wanted
        left_out = int((here & ~keep).sum())
        if left_out:
            warnings.append(f"{left_out} acquisitions of encoding {number} were left out: not on the imaging grid")
    return _select(lines, keep, number_imaging=main), main, warnings


def _select(lines: Lines, keep: np.ndarray, *, number_imaging: int) -> Lines:
    """The kept lines; lines of another encoding serve calibration only."""
    table = lines.table[keep].copy()
    table["role"][table["space"] != number_imaging] &= CALIBRATION
    return Lines(table, tuple(s for s, k in zip(lines.samples, keep, strict=True) if k))


def _on_same_grid(spaces: tuple[Space, ...], main: int, number: int) -> bool:
    """Whether encoding `number` has the k-space spacing of encoding `main`: the same field of view."""
    if number >= len(spaces):
        return False
    return bool(np.allclose(spaces[main].encoded_fov, spaces[number].encoded_fov, rtol=1e-3))


def _frames(lines: Lines, ranks: dict[int, int]) -> _Frames:
    """Number the frames: contrast, phase, repetition, set in turn, and within each all slices."""
    order = ("contrast", "phase", "repetition", "set", "slice")
    keys = np.stack([lines.table[name] for name in order], axis=1).astype(np.int64)
    keys[:, -1] = [ranks.get(int(s), -1) for s in keys[:, -1]]
    imaging = lines.table["role"] & IMAGING != 0
    found, inverse = np.unique(keys[imaging], axis=0, return_inverse=True)
    of_line = np.full(len(lines), -1, dtype=np.int64)
    of_line[imaging] = inverse.reshape(-1)
    numbers = {tuple(k): i for i, k in enumerate(found.tolist())}
    for i in lines.having(NAVIGATOR):
        of_line[i] = numbers.get(tuple(keys[i].tolist()), -1)
    indices = tuple(FrameIndex(**dict(zip(order, map(int, k), strict=True))) for k in found)
    return _Frames(indices, of_line)


def _roles_by_pattern(lines: Lines, placed: Placed, frames: _Frames, space: Space) -> tuple[Lines, Lattice, list[str]]:
    """Take lines off the lattice out of imaging (they calibrate), and give the lattice most frames share."""
    role = lines.table["role"].copy()
    votes: dict[tuple[int, int, int], int] = {}
    warnings: set[str] = set()
    for frame in range(len(frames.indices)):
        here = np.flatnonzero((frames.of_line == frame) & (role & IMAGING != 0))
        k1, k2 = placed.k1[here], placed.k2[here]
        pattern = find_pattern(k1, k2, role[here] & CALIBRATION != 0, space.encoded_matrix[:2])
        if pattern.dense.any():
            role[here[pattern.dense]] |= CALIBRATION
            warnings.add("a dense centre that no flag names is taken as calibration lines")
        if not pattern.regular:
            warnings.add("the acquired lines lie on no regular lattice; missing lines stay empty")
        role[here[~pattern.lattice.contains(k1, k2)]] ^= IMAGING
        key = (pattern.lattice.r1, pattern.lattice.r2, pattern.lattice.shift)
        votes[key] = votes.get(key, 0) + 1
    best = max(votes, key=lambda key: votes[key])
    if len(votes) > 1:
        warnings.add(f"frames differ in acceleration: {sorted(votes)}; taken as {best}")
    if space.acceleration not in (best[:2], (best[0] * best[1], 1)):
        warnings.add(f"the header says acceleration {space.acceleration}, the acquired lines {best[:2]}, which is used")
    table = lines.table.copy()
    table["role"] = role
    return replace(lines, table=table), Lattice(*best), sorted(warnings)


def _accumulate(
    lines: Lines, placed: Placed, used: np.ndarray, target: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the lines `used` at each place of (target, coil, k2, k1, k0), and their number (target, k2, k1)."""
    kspace = np.zeros(shape, dtype=np.complex64)
    count = np.zeros((shape[0], *shape[2:4]), dtype=np.int32)
    stop = placed.stop
    for i in used:
        at = target[i], placed.k2[i], placed.k1[i]
        # += would read the array first; most lines come once.
        there = kspace[at[0], :, at[1], at[2], placed.start[i] : stop[i]]
        there[...] = there + placed.trimmed[i] if count[at] else placed.trimmed[i]
        count[at] += 1
    for at in zip(*np.nonzero(count > 1), strict=True):
        kspace[at[0], :, at[1], at[2]] /= count[at]
    return kspace, count


def _calibration(
    lines: Lines, placed: Placed, ranks: dict[int, int], shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Calibration lines (slice, coil, k2, k1, k0): means over phases and repetitions of the first contrast and set."""
    used = lines.having(CALIBRATION)
    for name in ("contrast", "set"):
        used = used[lines.table[name][used] == lines.table[name][used].min()] if len(used) else used
    target = np.array([ranks.get(int(s), -1) for s in lines.table["slice"]])
    used = used[target[used] >= 0]
    if not len(used):
        return None
    kspace, count = _accumulate(lines, placed, used, target, (len(ranks), *shape[1:]))
    return kspace, count > 0


def _fill_embedded(lines: Lines, placed: Placed, space: Space) -> Lines:
    """Where calibration is embedded but only the lines between carry a flag, flag the imaging lines among them."""
    used, imaging = lines.having(CALIBRATION), lines.having(IMAGING)
    if not len(used) or space.calibration_mode != "embedded":
        return lines
    inside = np.ones(len(imaging), dtype=bool)
    for index in (placed.k1, placed.k2):
        inside &= (index[imaging] >= index[used].min()) & (index[imaging] <= index[used].max())
    places = np.stack([lines.table["slice"], placed.k2, placed.k1], axis=1)
    known = set(map(tuple, places[used].tolist()))
    missing = [i for i in imaging[inside] if tuple(places[i].tolist()) not in known]
    table = lines.table.copy()
    table["role"][missing] |= CALIBRATION
    return replace(lines, table=table)


def _navigators(lines: Lines, placed: Placed, frames: _Frames, shape: tuple[int, ...]) -> dict[str, Any]:
    """The EPI fields of RawScan, and which frame each navigator belongs to."""
    used = lines.having(NAVIGATOR)
    used = used[frames.of_line[used] >= 0]
    if not len(used):
        return {}
    data = np.zeros((len(used), shape[1], shape[-1]), dtype=np.complex64)
    stop = placed.stop
    for n, i in enumerate(used):
        data[n, :, placed.start[i] : stop[i]] = placed.trimmed[i]
    return {
        "navigators": torch.from_numpy(data),
        "navigator_reversed": torch.from_numpy(lines.table["reversed"][used].copy()),
        "meta": {"navigator_frames": frames.of_line[used].tolist()},
    }


def _reversed(lines: Lines, placed: Placed, frames: _Frames, count: np.ndarray) -> torch.Tensor | None:
    used = lines.having(IMAGING)
    used = used[lines.table["reversed"][used]]
    if not len(used):
        return None
    mask = np.zeros(count.shape, dtype=bool)
    mask[frames.of_line[used], placed.k2[used], placed.k1[used]] = True
    return torch.from_numpy(mask)


def _shape(space: Space, n_frames: int, n_coils: int, n_slices: int, held: int) -> tuple[int, int, int, int, int]:
    """Shape of the k-space array, checked against the bytes the file holds before anyone allocates it."""
    shape = (n_frames, n_coils, *space.encoded_matrix)
    claimed = 8 * (n_frames + n_slices) * n_coils * int(np.prod([int(n) for n in space.encoded_matrix]))
    matrix = "x".join(str(n) for n in space.encoded_matrix[::-1])
    check_memory(claimed, held, f"a matrix of {matrix}, {n_coils} coils, {n_frames} frames")
    return shape


def _encoding(space: Space, lattice: Lattice) -> Encoding:
    return Encoding(
        space.encoded_matrix,
        space.encoded_fov,
        space.recon_matrix,
        space.recon_fov,
        (lattice.r1, lattice.r2),
        lattice.shift,
    )


def assemble(all_lines: Lines, header: ScanHeader) -> RawScan:
    """Make a RawScan of what a reader found. Receiver's units; samples are only moved, flipped and averaged.

    Raises InputError for: no imaging lines, differing channel counts, NaN or all-zero data, counters outside
    the encoded matrix, a matrix that the file cannot fill.
    """
    lines, main, warnings = _usable(all_lines, header)
    imaging = lines.having(IMAGING)
    n_coils = check_channels(lines, range(len(lines)))
    check_samples(all_lines, np.flatnonzero(all_lines.table["role"]), all_lines.having(IMAGING))
    noise = noise_of(all_lines, n_coils)
    space, more = fit_readout(header.spaces[main], lines, imaging)
    ranks, distance, ordering = rank_slices(lines.table[imaging])
    frames = _frames(lines, ranks)
    shape = _shape(space, len(frames.indices), n_coils, len(ranks), lines.n_bytes)
    spaces = (*header.spaces[:main], space, *header.spaces[main + 1 :])
    placed, misplaced = place_lines(lines, spaces, space)
    lines, lattice, uneven = _roles_by_pattern(lines, placed, frames, space)
    lines = _fill_embedded(lines, placed, space)
    imaging = lines.having(IMAGING)
    kspace, count = _accumulate(lines, placed, imaging, frames.of_line, shape)
    calibration = _calibration(lines, placed, ranks, shape)
    epi = _navigators(lines, placed, frames, shape)
    meta = {**header.meta, **epi.pop("meta", {}), "slice_counters": list(ranks)}
    meta["warnings"] = [*header.warnings, *warnings, *more, *ordering, *misplaced, *uneven]
    first = imaging[np.argmin([ranks[int(s)] for s in lines.table["slice"][imaging]])]
    return RawScan(
        kspace=torch.from_numpy(kspace),
        sampled=torch.from_numpy(count > 0),
        encoding=_encoding(space, lattice),
        readout=(int(placed.start[imaging].min()), int(placed.stop[imaging].max())),
        dwell_us=_dwell(lines.table["dwell_us"][imaging]),
        frames=frames.indices,
        noise=noise,
        bandwidth_ratio=header.bandwidth_ratio,
        average_noise=header.average_noise * float(np.sqrt((1.0 / count[count > 0]).mean())),
        calibration=torch.from_numpy(calibration[0]) if calibration else None,
        calibration_sampled=torch.from_numpy(calibration[1]) if calibration else None,
        coil_labels=header.coil_labels,
        reversed_lines=_reversed(lines, placed, frames, count),
        ramp=space.ramp,
        affine=affine_of(space, lines.table[first], distance),
        meta=meta,
        **epi,
    )


def _dwell(dwell_us: np.ndarray) -> float:
    """The dwell time most lines have; 0 where any imaging line does not tell."""
    values, counts = np.unique(dwell_us, return_counts=True)
    return float(values[np.argmax(counts)]) if (values > 0).all() else 0.0
