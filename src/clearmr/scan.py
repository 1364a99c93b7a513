"""The two nouns of the project: `RawScan` (what a scanner measured) and `SnrImage` (an image of known noise)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Complex, Inexact
from torch import Tensor

from clearmr.axes import Image, KSpace, NoiseSamples, Sampled
from clearmr.errors import InputError

NoiseSource = Literal["measured", "given", "estimated", "unknown"]


@dataclass(frozen=True)
class FrameIndex:
    """Which image a frame is: MRD's counters, zero-based. Averages are averaged before, segments merged."""

    slice: int = 0
    contrast: int = 0
    phase: int = 0
    repetition: int = 0
    set: int = 0


@dataclass(frozen=True)
class Encoding:
    """Matrix sizes and fields of view, both `(z, y, x)`; FOV in mm. `encoded` is the k-space array's shape."""

    encoded_matrix: tuple[int, int, int]
    encoded_fov: tuple[float, float, float]
    recon_matrix: tuple[int, int, int]
    recon_fov: tuple[float, float, float]
    acceleration: tuple[int, int] = (1, 1)  # (R of k1, R of k2)
    caipi_shift: int = 0  # k2 lines by which the lattice shifts per acquired k1 step


@dataclass(frozen=True)
class Trapezoid:
    """Ramp sampling of one EPI readout: times in microseconds, from the start of the ramp up."""

    ramp_up: float
    flat_top: float
    ramp_down: float
    delay: float  # from the start of the ramp up to the first sample's start
    adc_duration: float


@dataclass(frozen=True)
class NoiseScan:
    """Noise-only samples in the receiver's units, and their dwell time in microseconds (0: unknown)."""

    samples: NoiseSamples
    dwell_us: float


@dataclass(frozen=True)
class RawScan:
    """One Cartesian multi-coil scan, in the receiver's arbitrary units, k-space centre at n // 2 of each axis.

    kspace       (frame, coil, k2, k1, k0) complex64, zero where nothing was acquired, readout oversampling kept;
                 averages are already averaged: `average_noise` is the noise SD that is left (1 for one average)
    sampled      (frame, k2, k1): lines acquired for imaging (calibration-only lines are not among them)
    readout      (start, stop): samples of k0 that were acquired (shorter than k0 for an asymmetric echo)
    calibration  (slice, coil, k2, k1, k0) or None: fully sampled lines round the centre, zero elsewhere,
                 embedded lines included; `calibration_sampled` (slice, k2, k1) says which
    noise        noise-only samples or None; dwell_us of the imaging samples (0: unknown)
    bandwidth_ratio  relative receiver noise bandwidth of the header or None
    frames       one FrameIndex per frame, slices innermost to outermost in any order
    reversed_lines, navigators, ramp   EPI: (frame, k2, k1) lines read backwards (already flipped);
                 (line, coil, k0) phase-correction lines (already flipped) with `navigator_reversed` (line,);
                 and the ramp, where samples are not equidistant in k0
    affine       4x4, voxel (x, y, z) of the RECONSTRUCTED image to RAS mm, or None
    meta         where it came from: JSON-able (path, sha256, vendor, protocol, warnings)
    """

    kspace: KSpace
    sampled: Sampled
    encoding: Encoding
    readout: tuple[int, int]
    dwell_us: float
    frames: tuple[FrameIndex, ...]
    noise: NoiseScan | None = None
    bandwidth_ratio: float | None = None
    average_noise: float = 1.0
    calibration: Complex[Tensor, "slice coil k2 k1 k0"] | None = None
    calibration_sampled: Bool[Tensor, "slice k2 k1"] | None = None
    coil_labels: tuple[str, ...] = ()
    reversed_lines: Sampled | None = None
    navigators: Complex[Tensor, "line coil k0"] | None = None
    navigator_reversed: Bool[Tensor, "line"] | None = None
    ramp: Trapezoid | None = None
    affine: np.ndarray | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_coils(self) -> int:
        return self.kspace.shape[1]

    @property
    def n_frames(self) -> int:
        return self.kspace.shape[0]

    @property
    def slices(self) -> tuple[int, ...]:
        """The slice numbers present, ascending."""
        return tuple(sorted({f.slice for f in self.frames}))


@dataclass(frozen=True)
class SnrImage:
    """An image whose noise is known. In SNR units where it came from raw data: abs(image) / gmap is the SNR.

    image        (frame, z, y, x) complex64, or float32 (magnitude). Slices of a 2D scan are z.
    noise_sd     expected noise SD of each of the real and imaginary parts per voxel, in the image's unit,
                 broadcastable to image (for a magnitude image: of the complex image it was made from)
    gmap         g-factor per voxel, broadcastable to image; ones where nothing was accelerated or known
    spacing      voxel size (z, y, x) in mm
    noise_source how noise_sd is known: "measured" (noise scan), "given" (by the user), "estimated" (from the image);
                 "unknown" only between reading an image file and `clearmr.load`, which estimates it
    affine       4x4, voxel (x, y, z) to RAS mm, or None
    header       the header of the file it came from (nibabel), kept for writing, or None
    meta         provenance: JSON-able; "steps" a list of dicts, "warnings" a list of sentences
    """

    image: Image
    noise_sd: Inexact[Tensor, "#frame #z #y #x"]
    gmap: Inexact[Tensor, "#frame #z #y #x"]
    noise_source: NoiseSource
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    affine: np.ndarray | None = None
    header: Any = None
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("noise_sd", "gmap"):
            shape = tuple(getattr(self, name).shape)
            if len(shape) != 4 or any(n not in (1, full) for n, full in zip(shape, self.image.shape, strict=True)):
                todo = f"give {name} as (frame, z, y, x) with 1 where it does not vary"
                raise InputError(f"{name} broadcastable to the image {tuple(self.image.shape)}", f"{shape}", todo)

    @property
    def is_complex(self) -> bool:
        return self.image.is_complex()
