"""Pseudo-replicas: the noise of anything that turns data into an image, by running it again on data with noise added.

Robson, Grant, Madhuranthakam, Lattanzi, Sodickson, McKenzie 2008 (MRM 60:895), in the SNR units of Kellman & McVeigh
2005. The original draws noise of the measured covariance, adds it to the measured data, reconstructs, and takes the
SD over replicas voxel by voxel.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from clearmr.axes import CoilMatrix
from clearmr.denoiser import Progress, no_progress
from clearmr.errors import InputError


@dataclass(frozen=True)
class ReplicaResult:
    """Over the replicas, voxel by voxel, in the shape of the function's output.

    mean      mean of the outputs, of the output's type
    noise_sd  complex output: SD of each of the real and imaginary parts, sqrt((var re + var im) / 2);
              real output (a magnitude): its SD
    snr       abs(mean) / noise_sd (infinite where noise_sd is 0)
    replicas  how many; the relative Monte-Carlo error of noise_sd is 1 / sqrt(4 N) (complex) or 1 / sqrt(2 N) (real)
    """

    mean: Tensor
    noise_sd: Tensor
    snr: Tensor
    replicas: int

    @property
    def relative_error(self) -> float:
        """Expected relative SD of a voxel's noise_sd (Gaussian noise)."""
        parts = 2 if self.mean.is_complex() else 1
        return (2 * parts * (self.replicas - 1)) ** -0.5


def pseudo_replica(
    function: Callable[[Tensor], Tensor],
    data: Tensor,
    *,
    draw: Callable[[torch.Generator], Tensor],
    replicas: int = 128,
    seed: int = 0,
    progress: Progress = no_progress,
) -> ReplicaResult:
    """Run `function` on `data` + `draw(generator)` `replicas` times; mean, noise SD and SNR of its output.

    function: data to output, both of any shape: a reconstruction, a denoiser, both. draw: one noise array of the shape
    and type of data, in its unit. One replica is in memory at a time (Welford 1962). Raises InputError for under 2.
    """
    if replicas < 2:
        raise InputError("at least 2 replicas", str(replicas), "use 64 or more")
    generator = torch.Generator().manual_seed(seed)
    mean: Tensor | None = None
    squares: Tensor | None = None
    for done in range(1, replicas + 1):
        output = function(data + draw(generator)).detach().to("cpu")
        wide = output.to(torch.complex128 if output.is_complex() else torch.float64)
        if mean is None or squares is None:
            mean, squares = torch.zeros_like(wide), torch.zeros_like(wide.real)
        before = wide - mean
        mean = mean + before / done
        squares = squares + (before * (wide - mean).conj()).real
        progress(done, replicas)
    assert mean is not None and squares is not None
    parts = 2 if mean.is_complex() else 1
    noise_sd = (squares.clamp(min=0) / (replicas - 1) / parts).sqrt()
    return ReplicaResult(_single(mean), _single(noise_sd), _single(mean.abs() / noise_sd), replicas)


def _single(wide: Tensor) -> Tensor:
    return wide.to(torch.complex64 if wide.is_complex() else torch.float32)


def receiver_noise(
    cov: CoilMatrix, shape: tuple[int, ...], generator: torch.Generator, *, sampled: Tensor | None = None
) -> Tensor:
    """Receiver noise (frame, coil, k2, k1, k0) complex64 with E[n n^H] = cov over coils, white along the other axes.

    cov: (coil, coil), E|n|^2 on its diagonal (unit noise, after prewhitening: twice the identity). `sampled`,
    broadcastable to `shape`: zero noise where nothing was measured. Raises InputError where coils do not agree.
    """
    if len(shape) != 5 or shape[1] != cov.shape[0]:
        raise InputError(f"(frame, {cov.shape[0]}, k2, k1, k0)", str(tuple(shape)), "give one covariance row per coil")
    frames, coils, *rest = shape
    white = torch.randn((coils, frames, *rest), generator=generator, dtype=torch.complex64)
    root = torch.linalg.cholesky(cov.to(torch.complex128)).to(torch.complex64)
    noise = torch.tensordot(root, white, dims=1).transpose(0, 1).contiguous()
    return noise if sampled is None else noise * sampled


def complex_noise(noise_sd: Tensor, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Image noise complex64 of `shape`: SD `noise_sd` (broadcastable to it) in each of the real and imaginary parts."""
    return torch.randn(shape, generator=generator, dtype=torch.complex64) * (2**0.5 * noise_sd)


def g_from_replicas(
    accelerated: Tensor, reference: Tensor, *, signal_loss: float = 1.0, floor: float = 1e-12
) -> Tensor:
    """g-factor map: noise SD `accelerated` over noise SD `reference` of the full sampling, per voxel.

    In the unit of `SnrImage` the sqrt(R) of the acceleration is in the signal, so signal_loss is 1; where both images
    show the same signal instead, give sqrt(R).
    """
    return accelerated / (reference.clamp(min=floor) * signal_loss)
