"""What a raw-data reader hands over: readouts in the order of acquisition, and what the header says of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from clearmr.scan import Trapezoid

# What a readout is for; a line can be for imaging and calibration both.
SKIPPED, IMAGING, CALIBRATION, NAVIGATOR, NOISE = 0, 1, 2, 4, 8

COUNTERS = ("slice", "contrast", "phase", "repetition", "set")

LINE = np.dtype(
    [
        ("role", "u1"),
        ("k1", "i4"),
        ("k2", "i4"),
        *((name, "i4") for name in COUNTERS),
        ("center", "i4"),  # sample at the k-space centre, counted from the first of all samples
        ("discard_pre", "i4"),
        ("discard_post", "i4"),
        ("reversed", "?"),
        ("dwell_us", "f4"),
        ("space", "i4"),  # which encoding of the header
        ("position", "f4", (3,)),
        ("read_dir", "f4", (3,)),
        ("phase_dir", "f4", (3,)),
        ("slice_dir", "f4", (3,)),
    ]
)


@dataclass(frozen=True)
class Lines:
    """Readouts as acquired: `table` (line,) of dtype LINE, and each one's samples (coil, sample) complex64."""

    table: np.ndarray
    samples: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def n_bytes(self) -> int:
        return sum(s.nbytes for s in self.samples)

    def having(self, role: int) -> np.ndarray:
        """Indices of the lines that have any bit of `role`."""
        return np.flatnonzero(self.table["role"] & role)


@dataclass(frozen=True)
class Space:
    """One encoding of a header. Matrices and fields of view are (z, y, x), FOV in mm.

    center is the counter of the k-space centre of (k2, k1), None where the header does not say;
    acceleration is what the header claims for (k1, k2).
    """

    encoded_matrix: tuple[int, int, int]
    encoded_fov: tuple[float, float, float]
    recon_matrix: tuple[int, int, int]
    recon_fov: tuple[float, float, float]
    center: tuple[int | None, int | None] = (None, None)
    acceleration: tuple[int, int] = (1, 1)
    calibration_mode: str = ""
    trajectory: str = "cartesian"
    ramp: Trapezoid | None = None


@dataclass(frozen=True)
class ScanHeader:
    """What a header says of a whole scan; `average_noise` is the noise SD left by averaging before it was written."""

    spaces: tuple[Space, ...]
    coil_labels: tuple[str, ...] = ()
    bandwidth_ratio: float | None = None
    average_noise: float = 1.0
    meta: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
