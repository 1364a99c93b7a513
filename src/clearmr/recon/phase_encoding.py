"""From a frame's acquired lines to aliased coil images along k1 and k2."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from clearmr.recon.config import ReconConfig
from clearmr.recon.grid import Axis, edge_taper, gaussian
from clearmr.recon.lattice import Lattice, extent, lattice_lines


@dataclass(frozen=True)
class LineWeights:
    """The acquired lines that make the image: their numbers k2 and k1 (line,) and weight along each axis.

    A line's weight is weight2[k2] * weight1[k1]: filter, taper, and zero where the image's matrix cannot hold it.
    """

    k2: Tensor
    k1: Tensor
    weight2: Tensor
    weight1: Tensor

    @property
    def power(self) -> float:
        """Sum of the squared weights: the noise variance of a voxel before scaling, for unit noise in every line."""
        return float(((self.weight2[self.k2] * self.weight1[self.k1]) ** 2).sum())

    def only(self, lines: Tensor) -> "LineWeights":
        """Those of the lines that are True in `lines` (k2, k1), with the weights that they have among all."""
        keep = lines[self.k2, self.k1]
        return replace(self, k2=self.k2[keep], k1=self.k1[keep])


def line_weights(sampled: Tensor, lattice: Lattice, axes: tuple[Axis, Axis], config: ReconConfig) -> LineWeights:
    """Weights of the lattice lines of one frame; `sampled` is (k2, k1), `axes` (z, y)."""
    lines = lattice_lines(sampled.cpu(), lattice)
    weight2 = _axis_weights(lines.any(1), axes[0], lattice.r2, config)
    weight1 = _axis_weights(lines.any(0), axes[1], lattice.r1, config)
    k2, k1 = torch.nonzero(lines & (weight2[:, None] > 0) & (weight1[None, :] > 0), as_tuple=True)
    return LineWeights(k2, k1, weight2, weight1)


def _axis_weights(lines: Tensor, axis: Axis, step: int, config: ReconConfig) -> Tensor:
    index = torch.arange(axis.encoded)
    if axis.encoded == 1:
        return torch.ones(1, dtype=torch.float64)
    frequency = axis.frequency(index)
    first, last = extent(lines)
    weight = gaussian(frequency / (axis.encoded / 2), config.kspace_filter) * axis.in_band(frequency)
    return weight * edge_taper(index, first, last, axis.encoded, width=config.taper, margin=max(step, 2))


def aliased_images(lines: Tensor, weights: LineWeights, axes: tuple[Axis, Axis], *, scale: float) -> Tensor:
    """Aliased coil images (coil, z, y, x) from lines (coil, line, x): unit noise where scale^2 * power = 1."""
    device = lines.device
    waves_y = axes[1].waves(axes[1].frequency(weights.k1)) * weights.weight1[weights.k1] * scale
    if axes[0].encoded == 1 and axes[0].recon == 1:
        return torch.matmul(waves_y.to(device, lines.dtype), lines)[:, None]
    rows, place = torch.unique(weights.k2, return_inverse=True)
    along_y = [
        torch.matmul(waves_y[:, place == row].to(device, lines.dtype), lines[:, (place == row).to(device)])
        for row in range(len(rows))
    ]
    waves_z = (axes[0].waves(axes[0].frequency(rows)) * weights.weight2[rows]).to(device, lines.dtype)
    return torch.einsum("zk,kcyx->czyx", waves_z, torch.stack(along_y))
