"""From k-space lines to the voxels of the reconstructed image: one small matrix per axis.

Removal of oversampling, cropping, zero-filling to another matrix size, k-space filters, the asymmetric echo and ramp
sampling are all linear along one axis: here they are one matrix, whose rows give the noise exactly (`row_noise`).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from clearmr.scan import Encoding

BAND_EDGE = 1e-4  # of a cycle per voxel: rounding of fields of view must not lose the outermost line


@dataclass(frozen=True)
class Axis:
    """One axis: matrix sizes and fields of view (mm) of k-space and of the reconstructed image."""

    encoded: int
    recon: int
    encoded_fov: float
    recon_fov: float

    @property
    def step(self) -> float:
        """Cycles that one k-space line makes per voxel of the reconstructed image."""
        if self.encoded == 1 or not (self.encoded_fov > 0 and self.recon_fov > 0):
            return 1 / self.recon
        return self.recon_fov / (self.recon * self.encoded_fov)

    def frequency(self, lines: Tensor) -> Tensor:
        """Position of lines (index along k-space) relative to the centre n // 2; float64."""
        return lines.to(torch.float64) - self.encoded // 2

    def in_band(self, frequency: Tensor) -> Tensor:
        """Whether the reconstructed matrix can hold these frequencies (it may be coarser than k-space)."""
        cycles = frequency * self.step
        return (cycles >= -0.5 - BAND_EDGE) & (cycles < 0.5 - BAND_EDGE) if self.encoded > 1 else frequency == frequency

    def waves(self, frequency: Tensor, *, sign: int = 1) -> Tensor:
        """exp(sign 2 pi i k x) of every voxel x (row) and frequency k (column); complex128, no scale."""
        voxel = torch.arange(self.recon, dtype=torch.float64, device=frequency.device) - self.recon // 2
        angle = sign * 2 * math.pi * self.step * voxel[:, None] * frequency[None, :]
        return torch.polar(torch.ones_like(angle), angle)


def axes_of(encoding: Encoding) -> tuple[Axis, Axis, Axis]:
    """The axes (z, y, x) of a scan."""
    sizes = zip(encoding.encoded_matrix, encoding.recon_matrix, encoding.encoded_fov, encoding.recon_fov, strict=True)
    z, y, x = (Axis(*values) for values in sizes)
    return z, y, x


def gaussian(x: Tensor, strength: float | None) -> Tensor:
    """f(x) = exp(-s^2 x^2 / 2), x in [-1, 1] over k-space; ones where there is no filter."""
    return torch.ones_like(x) if strength is None else torch.exp(-(strength**2) * x**2 / 2)


def edge_taper(lines: Tensor, first: int, last: int, size: int, *, width: int, margin: int) -> Tensor:
    """Tapered Hanning w = 0.5 (1 - cos(2 pi k / (2 width + 1))), k = 1..width, on the cut edge; ones elsewhere.

    `first` and `last` are the outermost acquired of `size` lines. An edge is cut where more than `margin` lines more
    are missing there than on the other side; k-space that is short on both sides is only zero-filled.
    """
    weight = torch.ones(len(lines), dtype=torch.float64, device=lines.device)
    missing = first - (size - 1 - last)
    if width <= 0 or abs(missing) <= margin:
        return weight
    depth = (lines - first if missing > 0 else last - lines).to(torch.float64) + 1
    hanning = 0.5 * (1 - torch.cos(2 * math.pi * depth / (2 * width + 1)))
    return torch.where(depth <= width, hanning, weight)


def readout_matrix(axis: Axis, readout: tuple[int, int], *, kspace_filter: float | None, taper: int) -> Tensor:
    """Matrix (x, k0) from readout samples to the image's x: unit noise in, unit noise out; complex64."""
    lines = torch.arange(axis.encoded)
    frequency = axis.frequency(lines)
    weight = gaussian(frequency / (axis.encoded / 2), kspace_filter) * axis.in_band(frequency)
    margin = max(2, axis.encoded // 50)
    weight = weight * edge_taper(lines, readout[0], readout[1] - 1, axis.encoded, width=taper, margin=margin)
    weight[: readout[0]] = 0
    weight[readout[1] :] = 0
    return (axis.waves(frequency) * (weight / torch.linalg.vector_norm(weight))).to(torch.complex64)


def row_noise(matrix: Tensor) -> Tensor:
    """Noise SD (x,) that unit white noise in the samples has after `matrix` (x, k): sqrt(sum_k |A|^2)."""
    return torch.linalg.vector_norm(matrix, dim=1)


def read_out(lines: Tensor, backward: Tensor | None, matrices: Tensor) -> Tensor:
    """Lines (coil, ..., k0) to (coil, ..., x) by the matrices (2, x, k0) of forward and of `backward` (...) lines."""
    forward = lines @ matrices[0].T
    if backward is None or not bool(backward.any()):
        return forward
    return torch.where(backward.to(lines.device)[..., None], lines @ matrices[1].T, forward)
