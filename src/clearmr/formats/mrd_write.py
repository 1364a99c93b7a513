"""A RawScan as MRD HDF5 that any ISMRMRD reader opens: sampled lines only, flags and header by the standard."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
import torch
from ismrmrd.hdf5 import acquisition_dtype

from clearmr.files import whole_file
from clearmr.formats.geometry import LPS_TO_RAS
from clearmr.formats.lines import COUNTERS
from clearmr.formats.mrd_xml import header_xml
from clearmr.scan import RawScan


@dataclass(frozen=True)
class _Line:
    """One acquisition to write: samples (coil, sample), its bit numbers, place and counters."""

    samples: np.ndarray
    flags: tuple[int, ...]
    center: int
    k1: int = 0
    k2: int = 0
    frame: int = 0
    dwell_us: float = 0.0


def _noise_lines(scan: RawScan) -> Iterator[_Line]:
    if scan.noise is None:
        return
    samples, width = scan.noise.samples.numpy(), scan.kspace.shape[-1]
    for start in range(0, samples.shape[1], width):
        part = samples[:, start : start + width]
        yield _Line(part, (ismrmrd.ACQ_IS_NOISE_MEASUREMENT,), part.shape[1] // 2, dwell_us=scan.noise.dwell_us)


def embedded_lines(scan: RawScan) -> torch.Tensor:
    """(slice, k2, k1): calibration lines that are the mean of the slice's imaging lines: no line of their own."""
    if scan.calibration is None or scan.calibration_sampled is None:
        return torch.zeros(len(scan.slices), *scan.sampled.shape[1:], dtype=torch.bool)
    masks = []
    for rank, number in enumerate(scan.slices):
        frames = _calibration_frames(scan, number)
        count = scan.sampled[frames].sum(0).clamp(min=1)
        mean = (scan.kspace[frames] * scan.sampled[frames][:, None, ..., None]).sum(0) / count[None, ..., None]
        away = (mean - scan.calibration[rank]).abs().amax((0, -1))
        near = away <= 1e-5 * scan.calibration[rank].abs().amax((0, -1))
        masks.append(near & scan.calibration_sampled[rank] & scan.sampled[frames].any(0))
    return torch.stack(masks)


def _calibration_frames(scan: RawScan, number: int) -> list[int]:
    """The frames of a slice whose lines calibrate: of the first contrast and set, as `assemble` takes them."""
    contrast, part = min(f.contrast for f in scan.frames), min(f.set for f in scan.frames)
    of_slice = [i for i, f in enumerate(scan.frames) if f.slice == number]
    return [i for i in of_slice if scan.frames[i].contrast == contrast and scan.frames[i].set == part]


def _calibration_lines(scan: RawScan, embedded: torch.Tensor) -> Iterator[_Line]:
    if scan.calibration is None or scan.calibration_sampled is None:
        return
    start, stop = (
        _extent(scan.calibration) if scan.readout[1] - scan.readout[0] < scan.kspace.shape[-1] else scan.readout
    )
    flags = (ismrmrd.ACQ_IS_PARALLEL_CALIBRATION,)
    for rank, number in enumerate(scan.slices):
        frame = next(iter(_calibration_frames(scan, number)), 0)
        for k2, k1 in (scan.calibration_sampled[rank] & ~embedded[rank]).nonzero().tolist():
            samples = scan.calibration[rank, :, k2, k1, start:stop].numpy()
            yield _Line(samples, flags, scan.kspace.shape[-1] // 2 - start, k1, k2, frame, scan.dwell_us)


def _extent(calibration: torch.Tensor) -> tuple[int, int]:
    """First and last sample of k0 that any calibration line holds."""
    there = (calibration != 0).any(0).any(0).any(0).any(0).nonzero().flatten()
    return (int(there[0]), int(there[-1]) + 1) if len(there) else (0, calibration.shape[-1])


def _oriented(samples: np.ndarray, center: int, reverse: bool) -> tuple[np.ndarray, int]:
    """Samples as acquired, and their centre: a reader flips reversed lines back."""
    if not reverse:
        return samples, center
    n = samples.shape[1]
    return samples[:, ::-1], n - 1 - center if n % 2 else n - center


def _imaging_lines(scan: RawScan, embedded: torch.Tensor) -> Iterator[_Line]:
    start, stop = scan.readout
    center = scan.kspace.shape[-1] // 2 - start
    for frame, index in enumerate(scan.frames):
        rank = scan.slices.index(index.slice)
        calibrates = frame in _calibration_frames(scan, index.slice)
        places = scan.sampled[frame].nonzero().tolist()
        for n, (k2, k1) in enumerate(places):
            back = scan.reversed_lines is not None and bool(scan.reversed_lines[frame, k2, k1])
            both = calibrates and bool(embedded[rank, k2, k1])
            samples, at = _oriented(scan.kspace[frame, :, k2, k1, start:stop].numpy(), center, back)
            flags = _edges(n, len(places)) + (ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING,) * both
            yield _Line(samples, flags + (ismrmrd.ACQ_IS_REVERSE,) * back, at, k1, k2, frame, scan.dwell_us)


def _edges(n: int, of: int) -> tuple[int, ...]:
    return (ismrmrd.ACQ_FIRST_IN_SLICE,) * (n == 0) + (ismrmrd.ACQ_LAST_IN_SLICE,) * (n == of - 1)


def _navigator_lines(scan: RawScan) -> Iterator[_Line]:
    if scan.navigators is None or scan.navigator_reversed is None:
        return
    frames = scan.meta.get("navigator_frames", [0] * len(scan.navigators))
    start, stop = scan.readout
    k2, k1 = scan.sampled.shape[1] // 2, scan.sampled.shape[2] // 2
    for line, back, frame in zip(scan.navigators.numpy(), scan.navigator_reversed.tolist(), frames, strict=True):
        samples, at = _oriented(line[:, start:stop], scan.kspace.shape[-1] // 2 - start, back)
        flags = (ismrmrd.ACQ_IS_PHASECORR_DATA,) + (ismrmrd.ACQ_IS_REVERSE,) * back
        yield _Line(samples, flags, at, k1, k2, frame, scan.dwell_us)


def directions(affine: np.ndarray, matrix: tuple[int, int, int], slices: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit directions (read, phase, slice) as rows, and the position of each slice's middle, both LPS."""
    axes = LPS_TO_RAS @ affine[:3, :3]
    nz, ny, nx = matrix
    middle = [[nx // 2, ny // 2, nz // 2 + rank, 1] for rank in range(slices)]
    positions = np.array(middle) @ affine.T[:, :3] @ LPS_TO_RAS
    return (axes / np.linalg.norm(axes, axis=0)).T, positions


def _fill_head(head: np.void, line: _Line, number: int, scan: RawScan) -> None:
    head["version"], head["scan_counter"] = 1, number
    head["flags"] = sum(1 << (flag - 1) for flag in line.flags)
    head["active_channels"] = head["available_channels"] = line.samples.shape[0]
    head["number_of_samples"], head["center_sample"] = line.samples.shape[1], line.center
    head["sample_time_us"] = line.dwell_us
    head["idx"]["kspace_encode_step_1"], head["idx"]["kspace_encode_step_2"] = line.k1, line.k2
    for name in COUNTERS:
        head["idx"][name] = getattr(scan.frames[line.frame], name)


def _fill_geometry(rows: np.ndarray, scan: RawScan) -> None:
    if scan.affine is None:
        return
    axes, positions = directions(scan.affine, scan.encoding.recon_matrix, max(scan.slices) + 1)
    for name, axis in zip(("read_dir", "phase_dir", "slice_dir"), axes, strict=True):
        rows["head"][name] = axis
    rows["head"]["position"] = positions[rows["head"]["idx"]["slice"]]


def acquisition_rows(scan: RawScan) -> np.ndarray:
    """The acquisition table: noise, then calibration, navigators and imaging lines."""
    embedded = embedded_lines(scan)
    parts = (_noise_lines(scan), _calibration_lines(scan, embedded), _navigator_lines(scan))
    lines = [line for part in (*parts, _imaging_lines(scan, embedded)) for line in part]
    rows = np.zeros(len(lines), dtype=acquisition_dtype)
    for number, line in enumerate(lines):
        _fill_head(rows["head"][number], line, number, scan)
        rows["data"][number] = np.ascontiguousarray(line.samples, dtype=np.complex64).view(np.float32).reshape(-1)
        rows["traj"][number] = np.zeros(0, dtype=np.float32)
    rows["head"]["flags"][-1] |= np.uint64(1 << (ismrmrd.ACQ_LAST_IN_MEASUREMENT - 1))
    _fill_geometry(rows, scan)
    return rows


def save_raw(scan: RawScan, path: str | Path, *, force: bool = False) -> Path:
    """Write a raw scan as MRD HDF5. Receiver's units; `formats.load` gives the same scan back.

    Averages are written as the one mean line they are; what noise they left is kept as a user parameter.
    Raises InputError where `path` exists and `force` is not set.
    """
    embedded = bool(embedded_lines(scan).any())
    with whole_file(path, force=force) as temporary, h5py.File(temporary, "w") as file:
        xml = file.create_dataset("dataset/xml", shape=(1,), dtype=h5py.special_dtype(vlen=bytes))
        xml[0] = header_xml(scan, embedded=embedded)
        rows = acquisition_rows(scan)
        file.create_dataset("dataset/data", data=rows, dtype=acquisition_dtype, maxshape=(None,), chunks=True)
    return Path(path)
