"""MRD acquisition headers to Lines: what the flags say a readout is for."""

from collections.abc import Sequence

import ismrmrd
import numpy as np

from clearmr.errors import InputError
from clearmr.formats.lines import CALIBRATION, COUNTERS, IMAGING, LINE, NAVIGATOR, NOISE, SKIPPED, Lines

NOT_IMAGES = (
    ismrmrd.ACQ_IS_NAVIGATION_DATA,
    ismrmrd.ACQ_IS_PHASECORR_DATA,
    ismrmrd.ACQ_IS_HPFEEDBACK_DATA,
    ismrmrd.ACQ_IS_DUMMYSCAN_DATA,
    ismrmrd.ACQ_IS_RTFEEDBACK_DATA,
    ismrmrd.ACQ_IS_SURFACECOILCORRECTIONSCAN_DATA,
    ismrmrd.ACQ_IS_PHASE_STABILIZATION_REFERENCE,
    ismrmrd.ACQ_IS_PHASE_STABILIZATION,
)


def has(flags: np.ndarray, flag: int) -> np.ndarray:
    """Whether bit NUMBER `flag` (counted from 1, as ismrmrd's constants are) is set."""
    return (flags >> np.uint64(flag - 1)) & np.uint64(1) == 1


def roles(flags: np.ndarray, *, epi: bool) -> np.ndarray:
    """Role bits of each acquisition. Phase-correction lines are navigators in EPI only."""
    calibration = has(flags, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)
    both = has(flags, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING)
    role = np.full(flags.shape, IMAGING, dtype=np.uint8)
    role[calibration & ~both] = CALIBRATION
    role[both] = IMAGING | CALIBRATION
    for flag in NOT_IMAGES:
        role[has(flags, flag)] = SKIPPED
    if epi:
        # Siemens marks them as feedback too; those of calibration scans correct no image.
        role[has(flags, ismrmrd.ACQ_IS_PHASECORR_DATA) & ~calibration & ~both] = NAVIGATOR
    role[has(flags, ismrmrd.ACQ_IS_NOISE_MEASUREMENT)] = NOISE
    return role


def line_table(heads: np.ndarray, *, epi: bool) -> np.ndarray:
    """Acquisition headers (ismrmrd's dtype) to a table of dtype LINE."""
    table = np.zeros(len(heads), dtype=LINE)
    table["role"] = roles(heads["flags"].astype(np.uint64), epi=epi)
    table["k1"], table["k2"] = heads["idx"]["kspace_encode_step_1"], heads["idx"]["kspace_encode_step_2"]
    for name in COUNTERS:
        table[name] = heads["idx"][name]
    table["center"] = heads["center_sample"]
    table["reversed"] = has(heads["flags"].astype(np.uint64), ismrmrd.ACQ_IS_REVERSE)
    table["dwell_us"], table["space"] = heads["sample_time_us"], heads["encoding_space_ref"]
    for name in ("discard_pre", "discard_post", "position", "read_dir", "phase_dir", "slice_dir"):
        table[name] = heads[name]
    return table


def make_lines(heads: np.ndarray, data: Sequence[np.ndarray], *, epi: bool) -> Lines:
    """Headers and samples (coil, sample) complex64 to Lines; what is skipped keeps no samples."""
    return Lines(line_table(heads, epi=epi), tuple(data))


def shape_samples(heads: np.ndarray, data: Sequence[np.ndarray], first: int) -> list[np.ndarray]:
    """Flat float32 (real, imaginary, ...) of each acquisition to (coil, sample) complex64.

    Raises InputError where the length is not what the acquisition header says; `first` is the number of the first.
    """
    shaped = []
    for i, (head, values) in enumerate(zip(heads, data, strict=True)):
        coils, samples = int(head["active_channels"]), int(head["number_of_samples"])
        if values.size != 2 * coils * samples:
            found = f"acquisition {first + i} with {values.size // 2} samples instead of {coils} x {samples}"
            raise InputError("as many samples as the acquisition header says", found, "export the scan again")
        shaped.append(np.ascontiguousarray(values, dtype=np.float32).view(np.complex64).reshape(coils, samples))
    return shaped
