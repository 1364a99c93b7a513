"""Norms of (B, C, T, H, W). The result has autocast's dtype where autocast is on: what follows computes in it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clearmr.axes import Net5D
from clearmr.errors import InputError
from clearmr.nets.convolutions import by_frames


class FrameNorm(nn.LayerNorm):
    """Each frame over (C, H, W), with weights of that shape (Ba et al. 2016): bound to one H x W. Any T."""

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__((channels, *size))

    def forward(self, input: Net5D) -> Net5D:
        if tuple(input.shape[-2:]) != self.normalized_shape[1:]:
            expected = " x ".join(str(n) for n in self.normalized_shape[1:])
            found = " x ".join(str(n) for n in input.shape[-2:])
            raise InputError(f"frames of {expected}", found, "cut tiles of that size, or take the norm over channels")
        return to_autocast(super().forward(input.transpose(1, 2)).transpose(1, 2))


class VoxelNorm(nn.LayerNorm):
    """Each voxel over its channels, with weights of shape (C,): any T, H, W; in channels-last nothing is moved."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)

    def forward(self, input: Net5D) -> Net5D:
        return by_frames(self._frames, input)

    def _frames(self, x: Net5D) -> Net5D:
        normed = F.layer_norm(x.permute(0, 2, 3, 4, 1), self.normalized_shape, self.weight, self.bias, self.eps)
        return to_autocast(normed).permute(0, 4, 1, 2, 3)


def to_autocast(x: Tensor) -> Tensor:
    """x in the dtype that autocast computes in: cast once here instead of once in each layer that reads it."""
    kind = x.device.type
    if kind == "meta" or not torch.is_autocast_enabled(kind):
        return x
    return x.to(torch.get_autocast_dtype(kind))
