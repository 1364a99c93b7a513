"""Tiny simulated scans for the tests of the reconstruction: an ellipse phantom, smooth coils, known noise."""

import math

import torch
from torch import Tensor

from clearmr.fourier import to_kspace
from clearmr.scan import Encoding, FrameIndex, NoiseScan, RawScan
from laws import complex_noise

NOISE_DWELL, DWELL, BANDWIDTH = 5.0, 4.0, 0.8


def grid(*shape: int) -> tuple[Tensor, ...]:
    return torch.meshgrid(*[(torch.arange(n) - n // 2) / (n / 2) for n in shape], indexing="ij")


def phantom(n_z: int, n_y: int, n_x: int) -> Tensor:
    """Ellipses with a smooth phase, (z, y, x) complex64, one in the body; x is twice oversampled."""
    z, y, x = grid(n_z, n_y, n_x)
    z = z if n_z > 1 else z * 0
    x = 2 * x
    image = ((x / 0.75) ** 2 + (y / 0.85) ** 2 + (z / 0.8) ** 2 < 1).float()
    image += 0.6 * (((x - 0.25) / 0.25) ** 2 + ((y + 0.2) / 0.35) ** 2 < 1).float() * image
    image -= 0.7 * (((x + 0.3) / 0.15) ** 2 + ((y - 0.3) / 0.2) ** 2 < 1).float() * image
    return torch.polar(image, 0.8 * y - 0.5 * x + 0.3)


def coil_maps(n_coils: int, n_z: int, n_y: int, n_x: int) -> Tensor:
    """Smooth sensitivities (coil, z, y, x) of loops round the object, unit norm; x is twice oversampled."""
    z, y, x = grid(n_z, n_y, n_x)
    z = z if n_z > 1 else z * 0
    maps = []
    for coil in range(n_coils):
        angle, height = 2 * math.pi * coil / n_coils, (0.7 if coil % 2 else -0.7) * (n_z > 1)
        distance = (2 * x - 1.1 * math.cos(angle)) ** 2 + (y - 1.1 * math.sin(angle)) ** 2 + (z - height) ** 2
        maps.append(
            torch.polar((0.1 + distance) ** -1.5, angle + 0.6 * math.cos(angle) * y + 0.6 * math.sin(angle) * 2 * x)
        )
    stacked = torch.stack(maps)
    return stacked / torch.linalg.vector_norm(stacked, dim=0)


def coil_mixing(n_coils: int, *, seed: int = 7) -> Tensor:
    """A (coil, coil) with A A^H the covariance of the receivers' complex noise, far from diagonal."""
    mixing = torch.eye(n_coils) + 0.3 * complex_noise(n_coils, n_coils, seed=seed) / n_coils**0.5
    return mixing * torch.linspace(0.5, 1.5, n_coils)[:, None]


def receiver_noise(mixing: Tensor, *shape: int, seed: int) -> Tensor:
    """Noise (coil, *shape) of covariance mixing mixing^H."""
    white = complex_noise(mixing.shape[0], math.prod(shape), seed=seed) / 2**0.5
    return (mixing @ white).reshape(-1, *shape)


def simulate(
    *,
    matrix: tuple[int, int, int] = (1, 64, 48),
    acceleration: tuple[int, int] = (1, 1),
    caipi_shift: int = 0,
    n_coils: int = 8,
    n_frames: int = 1,
    acs: int = 24,
    partial_fourier: float = 1.0,
    recon_matrix: tuple[int, int, int] | None = None,
    signal: float = 100.0,
    shifting: bool = False,
) -> tuple[RawScan, Tensor]:
    """A noise-free scan (readout twice oversampled) with a noise scan, and the mixing of its receivers' noise.

    Signal in the receiver's units; add `receiver_noise(mixing, ...) * noise_level()` to k-space for a noisy one.
    """
    n2, n1, n0 = matrix[0], matrix[1], 2 * matrix[2]
    mixing = coil_mixing(n_coils)
    images = torch.einsum("cd,dzyx->czyx", mixing, signal * coil_maps(n_coils, n2, n1, n0) * phantom(n2, n1, n0))
    full = to_kspace(images, (1, 2, 3))
    k2, k1 = torch.meshgrid(torch.arange(n2), torch.arange(n1), indexing="ij")
    kspace, sampled = [], []
    for frame in range(n_frames):
        moved = k1 + (frame if shifting else 0)
        lines = moved % acceleration[0] == 0
        lines &= (k2 - caipi_shift * (moved // acceleration[0])) % acceleration[1] == 0
        lines &= k1 >= round((1 - partial_fourier) * n1)
        kspace.append(full * lines[None, :, :, None])
        sampled.append(lines)
    near = ((k1 - n1 // 2).abs() < acs / 2) & (((k2 - n2 // 2).abs() < acs / 2) | (n2 == 1))
    accelerated = acceleration != (1, 1) and not shifting
    scan = RawScan(
        kspace=torch.stack(kspace),
        sampled=torch.stack(sampled),
        encoding=Encoding(
            (n2, n1, n0),
            (4.0 * n2, 4.0 * n1, 4.0 * n0),
            recon_matrix or matrix,
            (4.0 * n2, 4.0 * n1, 2.0 * n0),
            acceleration,
            caipi_shift,
        ),
        readout=(0, n0),
        dwell_us=DWELL,
        frames=tuple(FrameIndex(phase=i) for i in range(n_frames)),
        noise=NoiseScan(receiver_noise(mixing, 40000, seed=1), NOISE_DWELL),
        bandwidth_ratio=BANDWIDTH,
        calibration=(full * near[None, :, :, None])[None] if accelerated else None,
        calibration_sampled=near[None] if accelerated else None,
    )
    return scan, mixing


def noise_level() -> float:
    """By how much imaging noise is stronger than the noise scan's: shorter dwell, narrower noise bandwidth."""
    return (NOISE_DWELL / DWELL / BANDWIDTH) ** 0.5
