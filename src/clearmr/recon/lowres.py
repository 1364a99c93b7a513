"""Calibration lines, once as k-space of the image's own field of view, once as smooth low-resolution coil images."""

import torch
from torch import Tensor

from clearmr.fourier import to_kspace
from clearmr.recon.grid import Axis


def acs_kspace(hybrid: Tensor) -> Tensor:
    """Readout oversampling removed: k-space (coil, k2, k1, k0) of calibration lines (coil, k2, k1, x)."""
    return to_kspace(hybrid, (-1,))


def low_resolution_images(
    hybrid: Tensor, first: tuple[int, int], axes: tuple[Axis, Axis, Axis], *, most: int
) -> Tensor:
    """Hann-windowed coil images (coil, z, y, x) on the image's grid from calibration lines (coil, k2, k1, x).

    `first` is where the block starts in k-space (k2, k1); at most `most` lines round the centre are used. The readout
    is windowed to the same resolution in mm.
    """
    waves_z, _ = _window(hybrid.shape[1], first[0], axes[0], most)
    waves_y, reach = _window(hybrid.shape[2], first[1], axes[1], most)
    smooth = hybrid @ _low_pass(axes, reach).to(hybrid).T
    images = torch.einsum("yk,czkx->czyx", waves_y.to(hybrid), smooth)
    return (
        torch.einsum("zk,ckyx->czyx", waves_z.to(hybrid), images)
        if axes[0].recon > 1 or hybrid.shape[1] > 1
        else images
    )


def _window(count: int, first: int, axis: Axis, most: int) -> tuple[Tensor, float]:
    """Waves (voxel, line) with a Hann window about the centre of k-space, and its half-width in lines."""
    frequency = axis.frequency(torch.arange(first, first + count))
    if count == 1:
        return axis.waves(frequency) * (axis.encoded or 1) ** -0.5, 1.0
    reach = min(float(frequency.abs().max()) + 1, most / 2)
    return axis.waves(frequency) * (hann(frequency / reach) * axis.in_band(frequency)) * axis.encoded**-0.5, reach


def hann(x: Tensor) -> Tensor:
    """0.5 (1 + cos(pi x)) for |x| < 1, zero outside."""
    return 0.5 * (1 + torch.cos(torch.pi * x)) * (x.abs() < 1)


def _low_pass(axes: tuple[Axis, Axis, Axis], reach: float) -> Tensor:
    """Matrix (x, x) that keeps readout frequencies up to `reach` k1 lines, in mm^-1, with a Hann window."""
    n = axes[2].recon
    ratio = axes[2].recon_fov / axes[1].encoded_fov if axes[1].encoded_fov > 0 else 1.0
    grid = Axis(n, n, 1.0, 1.0)
    frequency = grid.frequency(torch.arange(n))
    waves = grid.waves(frequency)
    return (waves * hann(frequency / max(reach * ratio, 2.0))) @ waves.mH / n
