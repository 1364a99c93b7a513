"""Image-domain unmixing coefficients and g-factor maps from a GRAPPA kernel and coil maps."""

import torch
from torch import Tensor

from clearmr.axes import CoilMaps, Volume
from clearmr.recon.grappa import GrappaKernel
from clearmr.recon.grid import Axis
from clearmr.recon.maps import coil_norm

COLUMNS = 8  # x positions worked on at once: their coefficients stay in the cache
PARTITIONS = 8  # z positions for which the kernel is read once: it is too large for the cache


def unmixing(kernel: GrappaKernel, csm: CoilMaps, *, axes: tuple[Axis, Axis, Axis] | None = None) -> CoilMaps:
    """u = (csm^H W) / R (coil, z, y, x), without unit: image = sum_c u_c aliased_c, the aliased images of unit noise.

    W is the Fourier transform of the kernel (Breuer et al., MRM 2009), a small matrix product along each axis as it has
    few taps. `axes` (z, y, x) say how far apart the kernel's taps lie; by default csm covers the encoded matrix.
    """
    axes = axes or tuple(Axis(n, n, 1.0, 1.0) for n in csm.shape[1:])  # type: ignore[assignment]
    assert axes is not None
    weights, offsets = _without_empty_taps(kernel.weights.to(csm) / (kernel.acceleration[0] * kernel.acceleration[1]))
    taps_z, taps_y, taps_x = (axis.waves(d, sign=-1).to(csm) for axis, d in zip(axes, offsets, strict=True))
    along_x = torch.einsum("oizyk,xk->zxoyi", weights, taps_x)  # (d2, x, coil_out, d1, coil_in)
    result = torch.empty_like(csm)
    for first in range(0, csm.shape[1], PARTITIONS):
        mixed = torch.tensordot(taps_z[first : first + PARTITIONS], along_x, dims=1)
        for z, kernel_at_z in enumerate(mixed, start=first):
            maps = csm[:, z].conj().permute(2, 1, 0).contiguous()  # (x, y, coil_out)
            result[:, z] = _plane(maps, kernel_at_z, taps_y).permute(2, 1, 0)
    return result


def _without_empty_taps(weights: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The kernel without taps at which it is all zero, and where along each axis the others lie, float64."""
    offsets = []
    for dim in (2, 3, 4):
        used = torch.nonzero(weights.movedim(dim, 0).flatten(1).any(1)).flatten()
        offsets.append((used - weights.shape[dim] // 2).to(torch.float64).cpu())
        weights = weights.index_select(dim, used)
    return weights, offsets


def _plane(maps: Tensor, kernel: Tensor, taps_y: Tensor) -> Tensor:
    """Coefficients (x, y, coil) of one z: maps (x, y, coil_out), kernel (x, coil_out, d1, coil_in), waves (y, d1)."""
    n_x, n_y, n_coils = maps.shape
    result = torch.empty((n_x, n_y, n_coils), dtype=maps.dtype, device=maps.device)
    for first in range(0, n_x, COLUMNS):
        chunk = slice(first, first + COLUMNS)
        left = (maps[chunk][..., None] * taps_y[None, :, None, :]).flatten(2)  # (x, y, coil_out * d1)
        torch.bmm(left, kernel[chunk].flatten(1, 2), out=result[chunk])
    return result


def gmap(unmixing_coefficients: CoilMaps) -> Volume:
    """g-factor map (z, y, x) = sqrt(sum_c |u_c|^2): the noise SD after unmixing unit noise; 1 where R = 1."""
    return coil_norm(unmixing_coefficients)
