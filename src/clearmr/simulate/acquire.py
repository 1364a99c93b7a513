"""Measuring an image: seen by coils, sampled, with receiver noise; and the SNR it could have."""

import numpy as np
import torch
from torch import Tensor

from clearmr.axes import CoilMaps, CoilMatrix, Image
from clearmr.fourier import crop_or_pad, to_kspace
from clearmr.scan import Encoding, FrameIndex, RawScan
from clearmr.simulate.receiver import Receiver, add_noise, noise_scan
from clearmr.simulate.sampling import Sampling, acs_lines, kept, lattice

Matrix = tuple[int, int, int]
Mm = tuple[float, float, float]


def ideal_snr(truth: Image, csm: CoilMaps, cov: CoilMatrix) -> Image:
    """SNR (signal over the SD of each of the real and imaginary parts) of the optimal combination of all data.

    Roemer et al. 1990: |rho| sqrt(c^H (C/2)^-1 c), (frame, z, y, x) float32.
    """
    maps = csm.to(torch.complex128).reshape(csm.shape[0], -1)
    power = 2 * (maps.conj() * torch.linalg.solve(cov, maps)).sum(0).real.clamp(min=0)
    return truth.abs() * power.sqrt().reshape(csm.shape[1:]).to(torch.float32)


def acquire(
    truth: Image,
    csm: CoilMaps,
    cov: CoilMatrix,
    sampling: Sampling,
    receiver: Receiver,
    *,
    fov: Mm,
    name: str,
    oversampling: int,
    generator: torch.Generator,
    affine: np.ndarray | None = None,
) -> RawScan:
    """Measure `truth` (frame, z, y, x) with coils `csm` and noise covariance `cov`: k-space in the receiver's unit.

    fov in mm (z, y, x); name: what was scanned; affine: voxel (x, y, z) to RAS mm, at the isocentre if not given.
    """
    n_frames, n_z, n_y, n_x = truth.shape
    full = to_kspace(crop_or_pad(truth[:, None] * csm, n_x * oversampling, -1), (-3, -2, -1))
    n_k0 = full.shape[-1]
    readout = kept(n_k0, sampling.echo_fraction, "low")
    read = torch.zeros(n_k0, dtype=torch.bool)
    read[readout[0] : readout[1]] = True
    sampled = lattice(n_frames, n_z, n_y, sampling)
    kspace = add_noise(full, sampled[:, None, :, :, None] & read, cov, generator)
    own, own_lines = _calibrate(full, kspace, sampled, read, cov, sampling, generator)
    matrix = (n_z, n_y, n_x)
    noise = noise_scan(cov, receiver, n_k0, generator)
    return RawScan(
        kspace=kspace,
        sampled=sampled,
        encoding=_encoding(matrix, fov, oversampling, sampling),
        readout=readout,
        dwell_us=receiver.dwell_us,
        frames=tuple(FrameIndex(phase=f) for f in range(n_frames)),
        noise=noise,
        bandwidth_ratio=receiver.bandwidth_ratio,
        calibration=own,
        calibration_sampled=own_lines,
        coil_labels=tuple(f"C{c + 1}" for c in range(csm.shape[0])),
        affine=affine_of(matrix, fov) if affine is None else affine,
        meta={"vendor": "simulated", "protocol": f"simulated {name}", "warnings": []},
    )


def _calibrate(
    full: Tensor,
    kspace: Tensor,
    sampled: Tensor,
    read: Tensor,
    cov: CoilMatrix,
    sampling: Sampling,
    generator: torch.Generator,
) -> tuple[Tensor | None, Tensor | None]:
    """Calibration lines (slice, coil, k2, k1, k0) of the first frame's contents, and which they are (slice, k2, k1)."""
    if sampling.calibration in ("interleaved", "none") or sampling.acceleration == (1, 1):
        return None, None
    lines = acs_lines(full.shape[2], full.shape[3], sampling)[None]
    own = add_noise(full[:1], lines[:, None, :, :, None] & read, cov, generator)
    if sampling.calibration == "embedded":
        both = (lines & sampled[:1])[:, None, :, :, None]
        own = torch.where(both, kspace[:1], own)
    return own, lines


def _encoding(matrix: Matrix, fov: Mm, oversampling: int, sampling: Sampling) -> Encoding:
    n_z, n_y, n_x = matrix
    return Encoding(
        encoded_matrix=(n_z, n_y, n_x * oversampling),
        encoded_fov=(fov[0], fov[1], fov[2] * oversampling),
        recon_matrix=matrix,
        recon_fov=fov,
        acceleration=sampling.acceleration,
        caipi_shift=sampling.caipi_shift,
    )


def affine_of(matrix: Matrix, fov: Mm) -> np.ndarray:
    """Voxel (x, y, z) to RAS mm of a scan at the isocentre: x runs to the left, y to the back, z to the head."""
    size = np.array([f / n for f, n in zip(fov, matrix, strict=True)])[::-1]
    centre = np.array([n // 2 for n in matrix])[::-1]
    signs = np.array([-1.0, -1.0, 1.0])
    affine = np.diag([*(signs * size), 1.0])
    affine[:3, 3] = -signs * size * centre
    return affine
