"""Coil maps: unit-norm, smooth, from low-resolution coil images."""

import torch
from torch import Tensor

from clearmr.axes import CoilMaps
from clearmr.recon.config import CoilMapMethod

SMOOTHING = 5  # voxels of the smoothing box along each axis longer than one voxel
TINY = 1e-30


def estimate_csm(
    coil_images: CoilMaps, *, method: CoilMapMethod = "inati", smoothing: int = SMOOTHING, iterations: int = 5
) -> CoilMaps:
    """Coil maps (coil, z, y, x) with sum_c |map_c|^2 = 1, without unit, from coil images (coil, z, y, x), prewhitened.

    "inati": Inati, Hansen & Kellman, ISMRM 2013 p. 2672 (iterative). "walsh": Walsh et al., MRM 2000 (local
    eigenvectors). The phase is that of the coils relative to their smooth common phase, not to one coil's.
    """
    if coil_images.shape[0] == 1:
        return torch.ones_like(coil_images)
    if method == "walsh":
        return _walsh(coil_images, smoothing, iterations)
    return _inati(coil_images, smoothing, iterations)


def box_sum(image: Tensor, width: int) -> Tensor:
    """Sum over a centred box of `width` (odd) voxels along z, y and x where longer than one; zero outside."""
    for dim in (-3, -2, -1):
        image = _box_sum_along(image, width, dim) if image.shape[dim] > 1 else image
    return image


def _box_sum_along(array: Tensor, width: int, dim: int) -> Tensor:
    total = array.clone()
    n = array.shape[dim]
    for shift in range(1, min(width // 2, n - 1) + 1):
        total.narrow(dim, shift, n - shift).add_(array.narrow(dim, 0, n - shift))
        total.narrow(dim, 0, n - shift).add_(array.narrow(dim, shift, n - shift))
    return total


def _inati(images: Tensor, smoothing: int, iterations: int) -> Tensor:
    """Alternate: maps = the smoothed images times the conjugate combined image; combined = maps^H images.

    Coil after coil, so that each stays in the cache.
    """
    n_coils = images.shape[0]
    combined = (_direction(images.flatten(1).sum(1)).conj() @ images.flatten(1)).reshape(images.shape[1:])
    phase, maps = torch.ones_like(combined), images.clone()
    for _ in range(iterations):
        weight, power = combined.conj().resolve_conj(), torch.zeros_like(combined.real)
        for coil in range(n_coils):
            maps[coil] = box_sum(images[coil] * weight, smoothing)
            power += maps[coil].real ** 2 + maps[coil].imag ** 2
        maps *= (1 / power.sqrt().clamp_min(TINY)).to(maps)
        combined = torch.zeros_like(combined)
        for coil in range(n_coils):
            combined.addcmul_(maps[coil].conj(), images[coil])
        # The pair (maps, combined) is free up to a phase: fix it by the mean coil profile, so that it stays smooth.
        mean = _direction(maps.flatten(1) @ combined.flatten())
        phase = (mean.conj() @ maps.flatten(1)).reshape(combined.shape)
        phase = phase / phase.abs().clamp_min(TINY)
        combined = combined * phase
    return _filled(maps * phase.conj())


def _direction(vector: Tensor) -> Tensor:
    return vector / torch.linalg.vector_norm(vector).clamp_min(TINY)


def coil_norm(images: Tensor) -> Tensor:
    """Root of the sum over coils (first axis) of |image|^2; coil after coil, so that no copy of all is made."""
    total = torch.zeros_like(images[0].real)
    for image in images:
        total.addcmul_(image.real, image.real).addcmul_(image.imag, image.imag)
    return total.sqrt()


def _filled(maps: Tensor) -> Tensor:
    """Where the coil images were all zero there is no map: take equal weights, so that the norm stays one."""
    empty = coil_norm(maps) < 0.5
    if not bool(empty.any()):
        return maps
    return torch.where(empty, torch.full_like(maps, maps.shape[0] ** -0.5), maps)


def _walsh(images: Tensor, smoothing: int, iterations: int) -> Tensor:
    """The main eigenvector of each voxel's local coil covariance, by power iteration."""
    mean = _direction(images.sum(dim=(1, 2, 3)))
    maps = [_walsh_plane(images, z, smoothing, iterations, mean) for z in range(images.shape[1])]
    return _filled(torch.stack(maps, dim=1))


def _walsh_plane(images: Tensor, z: int, smoothing: int, iterations: int, mean: Tensor) -> Tensor:
    """Maps (coil, y, x) of one z: the covariance of all z at once would not fit."""
    low, high = max(0, z - smoothing // 2), z + smoothing // 2 + 1
    slab = images[:, low:high]
    covariance = torch.stack([(coil * slab.conj()).sum(1) for coil in slab])  # (c, c', y, x)
    covariance = box_sum(covariance, smoothing).flatten(2).permute(2, 0, 1)
    vector = mean.expand(covariance.shape[0], -1)[..., None]
    for _ in range(iterations):
        vector = covariance @ vector
        vector = vector / torch.linalg.vector_norm(vector, dim=1, keepdim=True).clamp_min(TINY)
    common = (mean.conj()[:, None] * vector).sum(1, keepdim=True)
    vector = vector * (common.conj() / common.abs().clamp_min(TINY))
    return vector[..., 0].T.reshape(images.shape[0], *images.shape[2:])
