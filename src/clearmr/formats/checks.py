"""What is refused before anything large is allocated."""

from collections.abc import Sequence

import numpy as np

from clearmr.errors import InputError
from clearmr.formats.lines import Lines

AMPLIFICATION = 64  # k-space may be this many times larger than the samples in the file: R = 8 x 8
SLACK_BYTES = 64 * 2**20


def check_memory(claimed_bytes: int, held_bytes: int, claim: str) -> None:
    """Raise InputError where a header claims far more memory than the file can fill."""
    if claimed_bytes > AMPLIFICATION * held_bytes + SLACK_BYTES:
        raise InputError(
            f"a header that fits the data ({held_bytes / 2**20:.1f} MiB in the file)",
            f"{claim}, which needs {claimed_bytes / 2**20:.0f} MiB",
            "the header is wrong or the file is cut short; check its matrix sizes and counters",
        )


def check_channels(lines: Lines, used: Sequence[int] | np.ndarray) -> int:
    """The one number of channels of the lines in use; raise InputError where they differ or are none."""
    counts = {lines.samples[i].shape[0] for i in used}
    if len(counts) != 1 or 0 in counts:
        todo = "write one number of active channels for all imaging and calibration lines"
        raise InputError("acquisitions of one channel count", f"channel counts {sorted(counts)}", todo)
    return counts.pop()


def check_samples(lines: Lines, used: np.ndarray, imaging: np.ndarray) -> None:
    """Raise InputError for NaN or infinite samples (naming the acquisition) and for all-zero imaging lines."""
    with np.errstate(over="ignore", invalid="ignore"):
        # A sum is not finite when any part is not; its overflow alone is settled by the second look.
        suspects = [i for i in used if not np.isfinite(lines.samples[i].sum())]
    for i in suspects:
        if not np.isfinite(lines.samples[i]).all():
            todo = "export the scan again, or leave that acquisition out"
            raise InputError("finite samples", f"NaN or infinite samples in acquisition {i}", todo)
    if not any(lines.samples[i].any() for i in imaging):
        raise InputError("k-space with signal", "all-zero k-space", "export the scan again")


def check_counters(index: np.ndarray, size: int, name: str) -> None:
    """Raise InputError where a placed line lies outside the encoded matrix."""
    outside = (index < 0) | (index >= size)
    if outside.any():
        found = f"{name} {int(index[outside][0])} of {size} in {int(outside.sum())} acquisitions"
        raise InputError("counters inside the encoded matrix", found, "correct the encoded matrix or the counters")
