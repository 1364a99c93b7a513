"""The receiver: noise of known covariance in the data and in a noise scan, and the dwell times that tie the two."""

from dataclasses import dataclass

import torch
from torch import Tensor

from clearmr.axes import CoilMaps, CoilMatrix, NoiseSamples
from clearmr.scan import NoiseScan


@dataclass(frozen=True)
class Receiver:
    """dwell_us, noise_dwell_us: time per sample of the imaging and of the noise readouts, microseconds;
    bandwidth_ratio: relative receiver noise bandwidth; noise_readouts: how many lines of noise are taken.
    """

    dwell_us: float = 5.0
    noise_dwell_us: float = 10.0
    bandwidth_ratio: float = 0.793
    noise_readouts: int = 256


def noise_covariance(
    csm: CoilMaps, *, noise_sd: float, generator: torch.Generator, coupling: float = 0.6
) -> CoilMatrix:
    """Covariance C = E[n n^H] (coil, coil) of the imaging samples, complex128, Hermitian and positive definite.

    What the coils see of the object in common correlates their noise (Roemer et al. 1990: resistance matrix from the
    overlap of their fields): C is (1 - coupling) I + coupling * overlap, scaled by a preamplifier gain per coil
    (+-20 %) and so that the mean over coils of the SD of each of the real and imaginary parts squared is noise_sd^2.
    """
    fields = csm.reshape(csm.shape[0], -1).to(torch.complex128)
    overlap = fields @ fields.mH
    scale = overlap.diagonal().real.rsqrt()
    correlation = (scale[:, None] * overlap * scale).conj()
    n = csm.shape[0]
    gain = 1 + 0.2 * (2 * torch.rand(n, generator=generator, dtype=torch.float64) - 1)
    cov = (1 - coupling) * torch.eye(n, dtype=torch.complex128) + coupling * correlation
    cov = gain[:, None] * cov * gain
    return cov * (2 * noise_sd**2 * n / cov.diagonal().real.sum())


def draw_noise(cov: CoilMatrix, n_samples: int, generator: torch.Generator) -> NoiseSamples:
    """Circular complex Gaussian samples (coil, n_samples), complex64, with E[n n^H] = cov; zeros where cov is zero."""
    if not bool(cov.abs().max() > 0):
        return torch.zeros(cov.shape[0], n_samples, dtype=torch.complex64)
    # randn of a complex dtype has E|n|^2 = 1, which is what the covariance counts.
    white = torch.randn(cov.shape[0], n_samples, generator=generator, dtype=torch.complex64)
    return torch.linalg.cholesky(cov.to(torch.complex128)).to(torch.complex64) @ white


def add_noise(kspace: Tensor, measured: Tensor, cov: CoilMatrix, generator: torch.Generator) -> Tensor:
    """k-space (frame, coil, k2, k1, k0) plus noise of covariance `cov` where `measured` (broadcastable), else 0."""
    frames, n_coils, *rest = kspace.shape
    count = frames * rest[0] * rest[1] * rest[2]
    noise = draw_noise(cov, count, generator).reshape(n_coils, frames, *rest).transpose(0, 1)
    return (kspace + noise) * measured


def noise_scan(cov: CoilMatrix, receiver: Receiver, samples: int, generator: torch.Generator) -> NoiseScan:
    """Noise-only readouts of `samples` each, as the receiver would have digitised them at `noise_dwell_us`.

    White noise has a variance per sample that goes as bandwidth, 1 / dwell; the receiver's filter passes only
    `bandwidth_ratio` of the noise scan's. So C_noise = C * (T_acq / T_noise) * BW, which is what makes the prewhitener
    inv(chol(C_noise)) * sqrt(2 (T_acq / T_noise) BW) of Kellman & McVeigh 2005 give unit noise.
    """
    scale = receiver.dwell_us / receiver.noise_dwell_us * receiver.bandwidth_ratio
    taken = draw_noise(cov * scale, receiver.noise_readouts * samples, generator)
    return NoiseScan(samples=taken, dwell_us=receiver.noise_dwell_us)
