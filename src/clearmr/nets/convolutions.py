"""Convolutions with mirrored borders that keep (T, H, W)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clearmr.axes import Net5D, NetOut

VOXELS_AT_ONCE = 2**15  # of which 256 channels stay below 32 MB, beyond which every allocation is paged in anew


class FrameConv(nn.Conv3d):
    """A k x k convolution of each frame, k odd. Its weight has five axes, so `channels_last_3d` fits all weights."""

    def __init__(self, channels_in: int, channels_out: int, *, kernel: int = 3, bias: bool = True) -> None:
        super().__init__(channels_in, channels_out, (1, kernel, kernel), bias=bias)

    def forward(self, input: Net5D) -> NetOut:
        return by_frames(self._frames, input)

    def _frames(self, x: Net5D) -> NetOut:
        frames, margin = x.transpose(1, 2).flatten(0, 1), self.kernel_size[2] // 2
        out = F.conv2d(mirrored(frames, (margin, margin)) if margin else frames, self.weight[:, :, 0], self.bias)
        return out.unflatten(0, (x.shape[0], x.shape[2])).transpose(1, 2)


class VolumeConv(nn.Conv3d):
    """A 3 x 3 x 3 convolution. A single frame is its own neighbour: it gives what a series of copies of it would."""

    def __init__(self, channels_in: int, channels_out: int, *, bias: bool = True) -> None:
        super().__init__(channels_in, channels_out, 3, bias=bias)

    def forward(self, input: Net5D) -> NetOut:
        if input.shape[2] > 1:
            return super().forward(mirrored(input, (1, 1, 1)))
        # Not by padding T: oneDNN's bf16 3x3x3 kernel gives NaN on single frames.
        return F.conv2d(mirrored(input[:, :, 0], (1, 1)), self.weight.sum(2), self.bias)[:, :, None]


def by_frames(function: Callable[[Tensor], Tensor], x: Net5D) -> NetOut:
    """function, which treats each frame alone, over all frames; some at a time where no gradient needs them all."""
    limit = VOXELS_AT_ONCE if x.device.type == "cpu" else 16 * VOXELS_AT_ONCE
    step = max(1, limit // (x.shape[0] * x.shape[-2] * x.shape[-1]))
    if torch.is_grad_enabled() or step >= x.shape[2]:
        return function(x)
    first = function(x[:, :, :step])
    out = first.new_empty((x.shape[0], x.shape[2], *first.shape[3:], first.shape[1])).permute(0, 4, 1, 2, 3)
    out[:, :, :step] = first
    for start in range(step, x.shape[2], step):
        out[:, :, start : start + step] = function(x[:, :, start : start + step])
    return out


def mirrored(x: Tensor, margins: tuple[int, ...]) -> Tensor:
    """x with its last axes continued by reflection, by one voxel or none each; an axis of one voxel by that voxel.

    By hand, with the channels last: F.pad copies bf16 out of that layout and back, at several times the cost of the
    convolution.
    """
    x = x.movedim(1, -1)
    first = x.ndim - 1 - len(margins)
    joined = _joined if torch.is_grad_enabled() else _filled
    return joined(x, [(axis, x.shape[axis]) for axis, m in enumerate(margins, first) if m]).movedim(-1, 1)


def _joined(x: Tensor, axes: list[tuple[int, int]]) -> Tensor:
    for axis, n in axes:
        x = torch.cat([x.narrow(axis, min(1, n - 1), 1), x, x.narrow(axis, max(n - 2, 0), 1)], dim=axis)
    return x


def _filled(x: Tensor, axes: list[tuple[int, int]]) -> Tensor:
    """The same in one pass instead of one for each axis; gradients would copy everything at each border."""
    shape, inside = list(x.shape), [slice(None)] * x.ndim
    for axis, n in axes:
        shape[axis], inside[axis] = n + 2, slice(1, n + 1)
    out = x.new_empty(shape)
    out[tuple(inside)] = x
    for axis, n in axes:
        for border, source in ((0, min(2, n)), (n + 1, max(n - 1, 1))):
            out.narrow(axis, border, 1).copy_(out.narrow(axis, source, 1))
    return out
