"""Scanning a scene or a given image: a RawScan with known truth, coils and noise."""

from dataclasses import dataclass
from typing import TypedDict, Unpack

import numpy as np
import torch
from jaxtyping import Inexact
from torch import Tensor

from clearmr.axes import CoilMaps, CoilMatrix, Image
from clearmr.errors import InputError
from clearmr.scan import RawScan
from clearmr.simulate.acquire import Matrix, Mm, acquire, ideal_snr
from clearmr.simulate.coils import coil_maps
from clearmr.simulate.phantoms import Scene, find_scene
from clearmr.simulate.receiver import Receiver, noise_covariance
from clearmr.simulate.sampling import Calibration, Sampling, Side
from clearmr.simulate.shapes import smooth_phase


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


class ScanOptions(TypedDict, total=False):
    """The options of `scan_of` that `simulate` shares; see there."""

    n_coils: int
    acceleration: int | tuple[int, int]
    acs: int | tuple[int, int]
    caipi_shift: int
    calibration: Calibration
    partial_fourier: float
    side: Side
    partial_fourier_k2: float
    echo_fraction: float
    oversampling: int
    noise_sd: float | None
    snr: float | None
    receiver: Receiver | None


def simulate(
    scene: str,
    *,
    matrix: Matrix | int | None = None,
    n_frames: int | None = None,
    variety: float = 0.0,
    contrast: str = "t1",
    seed: int = 0,
    **options: Unpack[ScanOptions],
) -> Simulated:
    """Scan one of `SCENES` ("phantom", "cine", "brain", "pincat"): a RawScan in the receiver's unit, and its truth.

    matrix (z, y, x), or one number for y (proportions kept), n_frames: the scene's own if not given. variety,
    contrast: of the brain (`brain`), which then differs from seed to seed as people do. Other options: `scan_of`.
    Raises InputError where the scene, the acceleration or a fraction cannot be.
    """
    found = find_scene(scene)
    matrix = _matrix(found, matrix)
    _check_matrix(matrix)
    if (variety or contrast != "t1") and not found.varies:
        raise InputError("a variety or a contrast of the brain", f"the scene {scene}", "leave them out")
    varied = {"variety": variety, "contrast": contrast} if found.varies else {}
    truth = found.draw(matrix, n_frames=n_frames or found.n_frames, seed=seed, **varied)
    return scan_of(truth, fov=found.fov, name=found.name, seed=seed, **options)


def scan_of(
    volume: Inexact[Tensor, "frame z y x"],
    *,
    fov: Mm,
    name: str = "volume",
    affine: np.ndarray | None = None,
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
    """Scan a given image (frame, z, y, x), taken as noise-free: a RawScan in the receiver's unit, and its truth.

    The image, in any unit, is scaled to a peak of 1; a real one gets a smooth phase drawn from `seed`. fov in mm
    (z, y, x): voxel size times voxels. affine: voxel (x, y, z) to RAS mm. noise_sd: SD of each of the real and
    imaginary parts of an imaging sample (root mean square over coils) against that peak under an orthonormal FFT; the
    oversampled readout keeps it. `snr` sets it instead: the mean over the object (voxels over 2 % of the peak) of the
    fully sampled SNR (R-fold acceleration then costs sqrt(R) g of it). Default: snr 20. noise_sd 0 gives no noise and
    an all-zero noise scan. Other options: `Sampling`, `Receiver`. Raises InputError for what cannot be.
    """
    truth = _clean(volume, seed)
    matrix: Matrix = (truth.shape[1], truth.shape[2], truth.shape[3])
    _check(matrix, fov, n_coils, oversampling, noise_sd, snr)
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
    csm = coil_maps(matrix, n_coils=n_coils, extent=_extent(matrix, fov), seed=seed)
    generator = torch.Generator().manual_seed(seed)
    unit_cov = noise_covariance(csm, noise_sd=1.0, generator=generator)
    unit_snr = ideal_snr(truth, csm, unit_cov)
    sd = noise_sd if noise_sd is not None else float(unit_snr[truth.abs() > 0.02].mean()) / (snr or 20.0)
    scan = acquire(
        truth,
        csm,
        unit_cov * sd**2,
        sampling,
        receiver or Receiver(),
        fov=fov,
        name=name,
        oversampling=oversampling,
        generator=generator,
        affine=affine,
    )
    snr_map = unit_snr / sd if sd else torch.full_like(unit_snr, torch.inf)
    return Simulated(scan, truth, csm, unit_cov * sd**2, sd, snr_map)


def _clean(volume: Tensor, seed: int) -> Image:
    """Complex64 of peak magnitude 1; a complex image of that peak stays bit by bit."""
    if not bool(torch.isfinite(torch.view_as_real(volume) if volume.is_complex() else volume).all()):
        raise InputError("an image of finite numbers", "NaN or infinite voxels", "replace them first")
    peak = volume.abs().max()
    if not peak > 0:
        raise InputError("an image with signal", "zeros", "choose another one")
    truth = volume if abs(float(peak) - 1) < 1e-5 and volume.is_complex() else volume / peak
    if truth.is_complex():
        return truth.to(torch.complex64)
    phase = smooth_phase(truth.shape[1:], torch.Generator().manual_seed(seed))
    return truth.to(torch.float32) * torch.polar(torch.ones_like(phase), phase)


def _extent(matrix: Matrix, fov: Mm) -> Mm:
    relative = tuple(f / max(fov[1:]) for f in fov)
    return (0.0 if matrix[0] == 1 else relative[0], relative[1], relative[2])


def _matrix(scene: Scene, asked: Matrix | int | None) -> Matrix:
    if isinstance(asked, int):
        return tuple(max(1, round(n * asked / scene.matrix[1])) if n > 1 else 1 for n in scene.matrix)  # type: ignore
    return asked or scene.matrix


def _check_matrix(matrix: Matrix) -> None:
    if min(matrix) < 1 or min(matrix[1:]) < 16:
        raise InputError("a matrix (z, y, x) of at least 1 x 16 x 16", str(matrix), "choose a larger one")


def _check(matrix: Matrix, fov: Mm, n_coils: int, oversampling: int, noise_sd: float | None, snr: float | None) -> None:
    _check_matrix(matrix)
    if not min(fov) > 0:
        raise InputError("a field of view over 0 mm", str(fov), "give voxel size times voxels, (z, y, x)")
    if n_coils < 1 or oversampling < 1:
        raise InputError("at least one coil and no undersampled readout", f"{n_coils}, {oversampling}", "use 8 and 2")
    if noise_sd is not None and snr is not None:
        raise InputError("either noise_sd or snr", "both", "give one of them")
    if (noise_sd is not None and noise_sd < 0) or (snr is not None and snr <= 0):
        raise InputError("noise_sd of 0 or more, snr over 0", f"{noise_sd}, {snr}", "choose another value")
