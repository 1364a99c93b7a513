"""One simulated scan: a scene, seen by coils, sampled, with receiver noise; and the truth it came from."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clearmr.axes import CoilMaps, CoilMatrix, Image
from clearmr.errors import InputError
from clearmr.fourier import crop_or_pad, to_kspace
from clearmr.scan import Encoding, FrameIndex, RawScan
from clearmr.simulate.coils import coil_maps
from clearmr.simulate.phantoms import Matrix, Scene, find_scene
from clearmr.simulate.receiver import Receiver, add_noise, noise_covariance, noise_scan
from clearmr.simulate.sampling import Calibration, Sampling, Side, acs_lines, kept, lattice

Mm = tuple[float, float, float]


@dataclass(frozen=True)
class Simulated:
    """A scan and what nobody knows of a real one.

    truth      (frame, z, y, x) complex64, noise-free, peak magnitude 1
    csm        (coil, z, y, x) complex64: the coil images are csm * truth in the receiver's unit (before noise)
    noise_cov  E[n n^H] of the imaging samples (coil, coil) complex128, the same unit
    noise_sd   root mean square over coils of the SD of each of the real and imaginary parts of an imaging sample
    snr        (frame, z, y, x): |truth| sqrt(2 csm^H noise_cov^-1 csm), the SNR of the best combination of all data
    """

    scan: RawScan
    truth: Image
    csm: CoilMaps
    noise_cov: CoilMatrix
    noise_sd: float
    snr: Image


def simulate(
    scene: str,
    *,
    matrix: Matrix | int | None = None,
    n_frames: int | None = None,
    n_coils: int = 8,
    acceleration: int | tuple[int, int] = 1,
    acs: int | tuple[int, int] = 24,
    caipi_shift: int = 0,
    calibration: Calibration = "embedded",
    partial_fourier: float = 1.0,
    side: Side = "low",
    partial_fourier_k2: float = 1.0,
    echo_fraction: float = 1.0,
    oversampling: int = 2,
    noise_sd: float | None = None,
    snr: float | None = None,
    receiver: Receiver | None = None,
    seed: int = 0,
) -> Simulated:
    """Scan one of `SCENES` ("phantom", "cine", "brain"): a RawScan in the receiver's unit, and its truth.

    matrix (z, y, x), or one number for y (proportions kept), n_frames: the scene's own if not given. noise_sd: SD
    of each of the real and imaginary parts of an imaging sample (root mean square over coils) against an image of
    peak 1 under an orthonormal FFT; the oversampled readout keeps it. `snr` sets it instead: the mean over the
    object of the fully sampled SNR (R-fold acceleration then costs sqrt(R) g of it).
    Default: snr 20. noise_sd 0 gives no noise and an all-zero noise scan. Other options: `Sampling`, `Receiver`.
    Raises InputError where the scene, the acceleration or a fraction cannot be.
    """
    found = find_scene(scene)
    matrix = _matrix(found, matrix)
    _check(matrix, n_coils, oversampling, noise_sd, snr)
    sampling = Sampling(
        acceleration=(acceleration, 1) if isinstance(acceleration, int) else acceleration,
        acs=(acs, acs) if isinstance(acs, int) else acs,
        caipi_shift=caipi_shift,
        calibration=calibration,
        partial_fourier=partial_fourier,
        side=side,
        partial_fourier_k2=partial_fourier_k2,
        echo_fraction=echo_fraction,
    )
    truth = found.draw(matrix, n_frames=n_frames or found.n_frames, seed=seed)
    relative = tuple(f / max(found.fov[1:]) for f in found.fov)
    extent = (0.0 if matrix[0] == 1 else relative[0], relative[1], relative[2])
    csm = coil_maps(matrix, n_coils=n_coils, extent=extent, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    unit_cov = noise_covariance(csm, noise_sd=1.0, generator=generator)
    unit_snr = ideal_snr(truth, csm, unit_cov)
    sd = noise_sd if noise_sd is not None else float(unit_snr[truth.abs() > 0.02].mean()) / (snr or 20.0)
    cov = unit_cov * sd**2
    scan = acquire(
        truth, csm, cov, found, sampling, receiver or Receiver(), oversampling=oversampling, generator=generator
    )
    return Simulated(scan, truth, csm, cov, sd, unit_snr / sd if sd else torch.full_like(unit_snr, torch.inf))


def _matrix(scene: Scene, asked: Matrix | int | None) -> Matrix:
    if isinstance(asked, int):
        return tuple(max(1, round(n * asked / scene.matrix[1])) if n > 1 else 1 for n in scene.matrix)  # type: ignore
    return asked or scene.matrix


def _check(matrix: Matrix, n_coils: int, oversampling: int, noise_sd: float | None, snr: float | None) -> None:
    if min(matrix) < 1 or min(matrix[1:]) < 16:
        raise InputError("a matrix (z, y, x) of at least 1 x 16 x 16", str(matrix), "choose a larger one")
    if n_coils < 1 or oversampling < 1:
        raise InputError("at least one coil and no undersampled readout", f"{n_coils}, {oversampling}", "use 8 and 2")
    if noise_sd is not None and snr is not None:
        raise InputError("either noise_sd or snr", "both", "give one of them")
    if (noise_sd is not None and noise_sd < 0) or (snr is not None and snr <= 0):
        raise InputError("noise_sd of 0 or more, snr over 0", f"{noise_sd}, {snr}", "choose another value")


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
    scene: Scene,
    sampling: Sampling,
    receiver: Receiver,
    *,
    oversampling: int,
    generator: torch.Generator,
) -> RawScan:
    """Measure `truth` (frame, z, y, x) with coils `csm` and noise covariance `cov`: k-space in the receiver's unit."""
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
        encoding=_encoding(matrix, scene.fov, oversampling, sampling),
        readout=readout,
        dwell_us=receiver.dwell_us,
        frames=tuple(FrameIndex(phase=f) for f in range(n_frames)),
        noise=noise,
        bandwidth_ratio=receiver.bandwidth_ratio,
        calibration=own,
        calibration_sampled=own_lines,
        coil_labels=tuple(f"C{c + 1}" for c in range(csm.shape[0])),
        affine=affine_of(matrix, scene.fov),
        meta={"vendor": "simulated", "protocol": f"simulated {scene.name}", "warnings": []},
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
