"""Image-domain unmixing coefficients and g-factor maps from a GRAPPA kernel and coil maps."""

import torch
from torch import Tensor

from clearmr.axes import CoilMaps, Volume
from clearmr.recon.grappa import GrappaKernel
from clearmr.recon.grid import Axis
from clearmr.recon.maps import coil_norm

COLUMNS = 8  # x positions worked on at once: their coefficients stay in the cache


def unmixing(kernel: GrappaKernel, csm: CoilMaps, *, axes: tuple[Axis, Axis, Axis] | None = None) -> CoilMaps:
    """u = (csm^H W) / R (coil, z, y, x), without unit: image = sum_c u_c aliased_c, the aliased images of unit noise.

    W is the Fourier transform of the kernel (Breuer et al., MRM 2009), a small matrix product along each axis as it has
    few taps. `axes` (z, y, x) say how far apart the kernel's taps lie; by default csm covers the encoded matrix.
    """
    axes = axes or tuple(Axis(n, n, 1.0, 1.0) for n in csm.shape[1:])  # type: ignore[assignment]
    assert axes is not None
    weights = kernel.weights.to(csm)
    taps_z, taps_y, taps_x = (_tap_waves(axis, n).to(csm) for axis, n in zip(axes, weights.shape[2:], strict=True))
    along_x = torch.einsum("oizyk,xk->zxoyi", weights, taps_x)  # (d2, x, coil_out, d1, coil_in)
    maps = csm.conj().permute(1, 3, 2, 0).contiguous()  # (z, x, y, coil_out)
    scale = 1 / (kernel.acceleration[0] * kernel.acceleration[1])
    planes = [_plane(maps[z], _mixed(along_x, taps_z[z] * scale), taps_y) for z in range(csm.shape[1])]
    return torch.stack(planes, dim=1)


def _tap_waves(axis: Axis, taps: int) -> Tensor:
    """exp(-2 pi i d x) of every voxel and tap d: the image of a k-space moved by d lines."""
    return axis.waves(torch.arange(taps, dtype=torch.float64) - taps // 2, sign=-1)


def _mixed(along_x: Tensor, weights: Tensor) -> Tensor:
    """Sum over the k2 taps at one z: (x, coil_out, d1, coil_in)."""
    return along_x[0] * weights[0] if len(weights) == 1 else torch.tensordot(weights, along_x, dims=1)


def _plane(maps: Tensor, kernel: Tensor, taps_y: Tensor) -> Tensor:
    """Coefficients (coil, y, x) of one z: maps (x, y, coil_out), kernel (x, coil_out, d1, coil_in), waves (y, d1)."""
    n_x, n_y, n_coils = maps.shape
    result = torch.empty((n_x, n_y, n_coils), dtype=maps.dtype, device=maps.device)
    for first in range(0, n_x, COLUMNS):
        chunk = slice(first, first + COLUMNS)
        left = (maps[chunk][..., None] * taps_y[None, :, None, :]).flatten(2)  # (x, y, coil_out * d1)
        torch.bmm(left, kernel[chunk].flatten(1, 2), out=result[chunk])
    return result.permute(2, 1, 0)


def gmap(unmixing_coefficients: CoilMaps) -> Volume:
    """g-factor map (z, y, x) = sqrt(sum_c |u_c|^2): the noise SD after unmixing unit noise; 1 where R = 1."""
    return coil_norm(unmixing_coefficients)
