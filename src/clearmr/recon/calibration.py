"""What is measured once per scan and then applied to every frame: whitening, coil maps, unmixing, noise."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from clearmr.axes import CoilMatrix
from clearmr.errors import InputError
from clearmr.recon.acs import Acs, calibration_lines
from clearmr.recon.config import ReconConfig
from clearmr.recon.epi import GhostPhase, ghost_phase, ramp_matrix
from clearmr.recon.grappa import GrappaKernel, calibrate_grappa
from clearmr.recon.grid import Axis, axes_of, read_out, readout_matrix, row_noise
from clearmr.recon.lattice import Lattice, find_lattice
from clearmr.recon.lowres import acs_kspace, low_resolution_images
from clearmr.recon.maps import estimate_csm
from clearmr.recon.phase_encoding import LineWeights, line_weights
from clearmr.recon.unmix import gmap as gmap_of
from clearmr.recon.unmix import unmixing
from clearmr.recon.whitening import Whitening, whiten, whitening
from clearmr.scan import NoiseSource, RawScan


@dataclass(frozen=True)
class Calibration:
    """Everything a frame needs to become an image in SNR units. Fixed: `apply` is linear in k-space.

    prewhitening     (coil, coil); covariance (coil, coil) in the receiver's units squared
    csm              (slice, coil, z, y, x), unit norm; unmixing likewise: coefficients for the RECEIVER's coils, in
                     other words with prewhitening folded in
    gmap             (slice, z, y, x); noise_x (x,): noise SD that the readout leaves (ones but for ramp sampling)
    readout          (2, x, k0): matrices of forward and of backward lines
    acs              calibration lines (slice, coil, k2, k1, k0), prewhitened, oversampling removed
    scale            of the phase-encoding sum: unit noise for the reference frame's lines
    thinned_from     the scan's own lattice where `lattice` is a thinner one (see `thin`), else None
    """

    prewhitening: CoilMatrix
    covariance: CoilMatrix
    noise_source: NoiseSource
    csm: Complex[Tensor, "slice coil z y x"]
    unmixing: Complex[Tensor, "slice coil z y x"]
    gmap: Float[Tensor, "slice z y x"]
    noise_x: Float[Tensor, "x"]
    readout: Complex[Tensor, "2 x k0"]
    acs: tuple[Tensor, ...]
    scale: float
    power: float
    lattice: Lattice
    axes: tuple[Axis, Axis, Axis]
    slices: tuple[int, ...]
    config: ReconConfig
    steps: tuple[Mapping[str, Any], ...]
    warnings: tuple[str, ...]
    thinned_from: Lattice | None = None


def calibrate(
    scan: RawScan, *, config: ReconConfig | None = None, estimate_noise: bool = False, device: str = "cpu"
) -> Calibration:
    """Measure noise, coil maps and unmixing of a scan.

    Raises InputError where the noise cannot be known (see `whitening`), where k-space is all zero or not finite, where
    its lines are irregular, and where the calibration lines are missing or too few.
    """
    config = config or ReconConfig()
    check_kspace(scan)
    white = whitening(scan, estimate_noise=estimate_noise, bandwidth_ratio=config.bandwidth_ratio)
    lattice, lattice_warnings = find_lattice(scan)
    axes = axes_of(scan.encoding)
    readout, ghost = _readout(scan, axes[2], config)
    parts = [_slice(scan, number, white, lattice, axes, readout, config, device) for number in scan.slices]
    power = max(line_weights(mask, lattice, axes[:2], config).power for mask in _distinct(scan.sampled))
    steps = (white.step, *_steps(scan, lattice, axes, config, ghost, power), parts[0].step)
    return Calibration(
        prewhitening=white.matrix.to(device),
        covariance=white.covariance,
        noise_source=white.source,
        csm=stacked([part.csm for part in parts]),
        unmixing=stacked([part.unmixing for part in parts]),
        gmap=stacked([part.gmap for part in parts]),
        noise_x=row_noise(readout[0]).to(device),
        readout=readout.to(device),
        acs=tuple(part.acs for part in parts),
        scale=power**-0.5,
        power=power,
        lattice=lattice,
        axes=axes,
        slices=scan.slices,
        config=config,
        steps=steps,
        warnings=(*white.warnings, *lattice_warnings),
    )


def check_kspace(scan: RawScan) -> None:
    """Raise InputError where k-space holds NaN or infinity, or nothing but zeros."""
    energy = float(torch.linalg.vector_norm(torch.view_as_real(scan.kspace)))
    if not np.isfinite(energy):
        raise InputError("finite k-space samples", "NaN or infinity among them", "check the file")
    if energy == 0:
        raise InputError("a signal in k-space", "only zeros", "check that the file was written to its end")


def stacked(parts: list[Tensor]) -> Tensor:
    """`torch.stack`; of a single slice a view, as the coil maps of a volume are large."""
    return parts[0][None] if len(parts) == 1 else torch.stack(parts)


def _distinct(sampled: Tensor) -> list[Tensor]:
    return list(torch.unique(sampled, dim=0))


def _readout(scan: RawScan, axis: Axis, config: ReconConfig) -> tuple[Tensor, GhostPhase | None]:
    """Matrices (2, x, k0) of forward and backward lines, and the phase between them."""
    if scan.ramp is not None:
        forward = ramp_matrix(axis, scan.ramp, kspace_filter=config.kspace_filter)
    else:
        forward = readout_matrix(axis, scan.readout, kspace_filter=config.kspace_filter, taper=config.taper)
    ghost = ghost_phase(scan, forward)
    if ghost is None:
        return torch.stack([forward, forward]), None
    backward = forward * ghost.correction(axis.recon)[:, None].to(forward)
    return torch.stack([forward, backward]), ghost


@dataclass(frozen=True)
class _Slice:
    csm: Tensor
    unmixing: Tensor
    gmap: Tensor
    acs: Tensor
    step: dict[str, Any]


def _slice(
    scan: RawScan,
    number: int,
    white: Whitening,
    lattice: Lattice,
    axes: tuple[Axis, Axis, Axis],
    readout: Tensor,
    config: ReconConfig,
    device: str,
) -> _Slice:
    most = config.calibration_lines if lattice.acceleration > 1 else config.coil_map_lines
    lines = calibration_lines(scan, number, lattice, most=most)
    hybrid = read_out(whiten(white.matrix.to(device), lines.kspace.to(device)), lines.backward, readout.to(device))
    csm = _csm(lines, hybrid, axes, config)
    acs = acs_kspace(hybrid)
    kernel = calibrate_for(acs, lattice, config)
    folded, gmap = folded_unmixing(kernel, csm, axes, white.matrix.to(device))
    step = {
        "name": "calibrate",
        "calibration": lines.origin,
        "acs_lines": [acs.shape[1], acs.shape[2]],
        "kernel": [*kernel.lines, kernel.weights.shape[-1]],
        "coil_maps": config.coil_maps,
    }
    return _Slice(csm, folded, gmap, acs, step)


def folded_unmixing(
    kernel: GrappaKernel, csm: Tensor, axes: tuple[Axis, Axis, Axis], prewhitening: CoilMatrix
) -> tuple[Tensor, Tensor]:
    """Coefficients (coil, z, y, x) for the receiver's coils, prewhitening folded in, and their g map (z, y, x)."""
    white = unmixing(kernel, csm, axes=axes_for_unmixing(axes))
    return (prewhitening.T @ white.flatten(1)).reshape(white.shape), gmap_of(white)


def axes_for_unmixing(axes: tuple[Axis, Axis, Axis]) -> tuple[Axis, Axis, Axis]:
    """The kernel's taps are encoded lines along z and y, and lines of the image's own field of view along x."""
    n_x = axes[2].recon
    return axes[0], axes[1], Axis(n_x, n_x, 1.0, 1.0)


def _csm(lines: Acs, hybrid: Tensor, axes: tuple[Axis, Axis, Axis], config: ReconConfig) -> Tensor:
    images = low_resolution_images(hybrid, (lines.first_k2, lines.first_k1), axes, most=config.coil_map_lines)
    return estimate_csm(images, method=config.coil_maps)


def calibrate_for(acs: Tensor, lattice: Lattice, config: ReconConfig) -> GrappaKernel:
    """The GRAPPA kernel of calibration lines (coil, k2, k1, k0) for a lattice."""
    kernel = (1, *config.kernel) if acs.shape[1] == 1 else config.kernel_3d
    return calibrate_grappa(
        acs, (lattice.r1, lattice.r2), kernel=kernel, caipi_shift=lattice.shift, regularisation=config.regularisation
    )


def _steps(
    scan: RawScan,
    lattice: Lattice,
    axes: tuple[Axis, Axis, Axis],
    config: ReconConfig,
    ghost: GhostPhase | None,
    power: float,
) -> list[dict[str, Any]]:
    encoding = scan.encoding
    lines = line_weights(scan.sampled[0], lattice, axes[:2], config)
    steps: list[dict[str, Any]] = []
    if scan.ramp is not None:
        steps.append({"name": "ramp sampling", "method": "least squares"})
    if ghost is not None:
        steps.append({"name": "ghost phase", "constant_rad": ghost.constant, "slope_rad_per_voxel": ghost.slope})
    steps.append(
        {
            "name": "readout",
            "samples": [*scan.readout],
            "encoded": encoding.encoded_matrix[2],
            "crop": encoding.recon_fov[2] / encoding.encoded_fov[2] if encoding.encoded_fov[2] else 1.0,
        }
    )
    steps.append(
        {
            "name": "phase encoding",
            "acceleration": [lattice.r1, lattice.r2],
            "caipi_shift": lattice.shift,
            "lines": len(lines.k1),
            "fraction_acquired": len(lines.k1) * lattice.acceleration / scan.sampled[0].numel(),
            "taper": config.taper,
            "kspace_filter": config.kspace_filter,
            "encoded_matrix": [*encoding.encoded_matrix],
            "recon_matrix": [*encoding.recon_matrix],
            "scale": power**-0.5,
            "band": _bands(lines, scan.readout, axes),
        }
    )
    return steps


def _bands(lines: LineWeights, readout: tuple[int, int], axes: tuple[Axis, Axis, Axis]) -> list[list[float] | None]:
    """Along z, y, x: least and greatest frequency of the lines used, and of the k-space array, in cycles per voxel."""
    columns = torch.arange(*readout)
    found: list[list[float] | None] = []
    for axis, index in zip(axes, (lines.k2, lines.k1, columns), strict=True):
        cycles = axis.frequency(index[axis.in_band(axis.frequency(index))]) * axis.step
        known = axis.encoded > 1 and len(cycles) > 0
        found.append([float(cycles.min()), float(cycles.max()), axis.encoded / 2 * axis.step] if known else None)
    return found
