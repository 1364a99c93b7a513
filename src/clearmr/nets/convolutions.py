"""Convolutions with mirrored borders that keep (T, H, W)."""

import torch.nn.functional as F
from torch import Tensor, nn

from clearmr.axes import Net5D, NetOut


class FrameConv(nn.Conv2d):
    """A k x k convolution of each frame, k odd."""

    def __init__(self, channels_in: int, channels_out: int, *, kernel: int = 3, bias: bool = True) -> None:
        super().__init__(channels_in, channels_out, kernel, bias=bias)

    def forward(self, input: Net5D) -> NetOut:
        frames = input.transpose(1, 2).flatten(0, 1)
        if self.kernel_size[0] > 1:
            frames = mirrored(frames, (self.kernel_size[0] // 2,) * 2)
        return super().forward(frames).unflatten(0, (input.shape[0], input.shape[2])).transpose(1, 2)


class VolumeConv(nn.Conv3d):
    """A 3 x 3 x 3 convolution. A single frame is its own neighbour: it gives what a series of copies of it would."""

    def __init__(self, channels_in: int, channels_out: int, *, bias: bool = True) -> None:
        super().__init__(channels_in, channels_out, 3, bias=bias)

    def forward(self, input: Net5D) -> NetOut:
        if input.shape[2] > 1:
            return super().forward(mirrored(input, (1, 1, 1)))
        # Not by padding T: oneDNN's bf16 3x3x3 kernel gives NaN on single frames.
        return F.conv2d(mirrored(input[:, :, 0], (1, 1)), self.weight.sum(2), self.bias)[:, :, None]


def mirrored(x: Tensor, margins: tuple[int, ...]) -> Tensor:
    """x with its last axes continued by reflection, axes too short for that by their last value."""
    sizes = x.shape[-len(margins) :]
    if all(n > m for n, m in zip(sizes, margins, strict=True)):
        return F.pad(x, [m for margin in margins[::-1] for m in (margin, margin)], mode="reflect")
    for axis in range(len(margins)):
        one = [m if a == axis else 0 for a, m in enumerate(margins)]
        mode = "reflect" if sizes[axis] > margins[axis] else "replicate"
        x = F.pad(x, [m for margin in one[::-1] for m in (margin, margin)], mode=mode)
    return x
