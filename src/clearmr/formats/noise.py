"""Noise-only readouts: out of the scan itself or out of a second file, coils matched by label."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from clearmr.errors import InputError
from clearmr.formats.lines import NOISE, Lines
from clearmr.scan import NoiseScan, RawScan


def noise_of(lines: Lines, n_coils: int | None = None) -> NoiseScan | None:
    """All noise readouts of a scan, one after the other (coil, sample); None where there are none.

    Raises InputError where their channels differ from one another or from `n_coils`.
    """
    used = lines.having(NOISE)
    if not len(used):
        return None
    counts = {lines.samples[i].shape[0] for i in used}
    if len(counts) != 1 or (n_coils is not None and counts != {n_coils}):
        found = f"{'/'.join(map(str, sorted(counts)))} noise coils" + (f" and {n_coils} data coils" if n_coils else "")
        raise InputError("one coil count of noise and data", found, "give the noise scan of this very coil setup")
    dwell = lines.table["dwell_us"][used]
    values, times = np.unique(dwell, return_counts=True)
    chosen = used[dwell == values[np.argmax(times)]]
    samples = np.concatenate([lines.samples[i] for i in chosen], axis=1)
    return NoiseScan(torch.from_numpy(np.ascontiguousarray(samples)), float(values[np.argmax(times)]))


def _coil_order(wanted: Sequence[str], found: Sequence[str]) -> tuple[list[int] | None, list[str]]:
    """Where in `found` each label of `wanted` is; None and a warning where labels do not tell."""
    if len(set(wanted)) != len(wanted) or set(wanted) != set(found) or len(wanted) != len(found):
        alike = list(wanted) == list(found)
        text = "coil labels do not match the noise scan's coils to the data's; taken in the order they come"
        return None, [] if alike and wanted else [text]
    return [list(found).index(label) for label in wanted], []


def with_noise(scan: RawScan, noise: NoiseScan, labels: Sequence[str], source: str) -> RawScan:
    """`scan` with the noise of another file, its coils put in the order of the scan's by `labels`.

    Raises InputError where the numbers of coils differ. The scan's own noise lines, if any, are replaced.
    """
    if noise.samples.shape[0] != scan.n_coils:
        found = f"{noise.samples.shape[0]} noise coils in {source} and {scan.n_coils} data coils"
        raise InputError("one coil count of noise and data", found, "give the noise scan of this very coil setup")
    order, warnings = _coil_order(scan.coil_labels, labels)
    samples = noise.samples if order is None else noise.samples[order]
    meta = {**scan.meta, "noise_scan": source, "warnings": [*scan.meta.get("warnings", []), *warnings]}
    return replace(scan, noise=replace(noise, samples=samples), meta=meta)
