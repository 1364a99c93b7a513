"""The receivers' noise: its covariance between coils, and the matrix that makes it unit noise."""

import math

import torch
from torch import Tensor

from clearmr.axes import NOISE_VARIANCE_COMPLEX, CoilMatrix, NoiseSamples
from clearmr.errors import InputError

DEFAULT_BANDWIDTH_RATIO = 0.793  # Siemens receivers; what the field takes where the header is silent


def noise_covariance(samples: NoiseSamples) -> CoilMatrix:
    """C = sum n n^H / (N - 1) of `samples` (coil, sample), in the receiver's units squared; complex128.

    With fewer than two samples per coil C is singular or nearly so: it is then shrunk towards its diagonal.
    Raises InputError where there are fewer than two samples, where they are not finite, or where a coil is silent.
    """
    n_coils, n_samples = samples.shape
    if n_samples < 2:
        raise InputError("at least two noise samples per coil", f"{n_samples}", "give a longer noise scan")
    wide = samples.to(torch.complex128)
    covariance = wide @ wide.mH / (n_samples - 1)
    _refuse_bad_coils(covariance)
    if n_samples >= 2 * n_coils:
        return covariance
    return 0.5 * (covariance + torch.diag(torch.diagonal(covariance)))


def _refuse_bad_coils(covariance: Tensor) -> None:
    variance = torch.diagonal(covariance).real
    if not bool(torch.isfinite(variance).all()):
        raise InputError("finite noise samples", "NaN or infinity among them", "check the file")
    silent = torch.nonzero(variance <= 0).flatten().tolist()
    if silent:
        todo = "leave these coils out of the file, or give another noise scan"
        raise InputError("noise in every coil", f"only zeros in coil(s) {silent}", todo)


def prewhitener(covariance: CoilMatrix, *, scale: float = math.sqrt(NOISE_VARIANCE_COMPLEX)) -> CoilMatrix:
    """W = inv(chol(C)) * scale (coil, coil), complex64: W @ noise is unit noise where scale is `noise_scale(...)`.

    Raises InputError where C is not positive definite (two coils carry the same signal).
    """
    factor, failed = torch.linalg.cholesky_ex(covariance.to(torch.complex128))
    if int(failed):
        todo = "check that no coil is stored twice, or reconstruct with --estimate-noise"
        raise InputError("coils of independent noise", "a singular noise covariance", todo)
    eye = torch.eye(covariance.shape[0], dtype=torch.complex128, device=covariance.device)
    return (torch.linalg.solve_triangular(factor, eye, upper=False) * scale).to(torch.complex64)


def noise_scale(*, dwell_us: float, noise_dwell_us: float, bandwidth_ratio: float) -> float:
    """sqrt(2 T_acq / T_noise * BW): Kellman & McVeigh 2005. The 2 gives SD 1 in each of real and imaginary.

    T are the sample times in microseconds of the image and of the noise scan, BW the relative receiver noise bandwidth.
    """
    return math.sqrt(NOISE_VARIANCE_COMPLEX * dwell_us / noise_dwell_us * bandwidth_ratio)
