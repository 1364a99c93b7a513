"""Backbones of two and three resolutions whose cells may change the channels. T is never reduced.

Each takes features (B, C, T, H, W) of channels[0] channels, H and W multiples of `stride`, and gives `channels_out`
channels of the same size. They take `cell: Callable[[Place], nn.Module]` and never name one.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from clearmr.axes import Net5D, NetOut
from clearmr.nets.cells import Place
from clearmr.nets.convolutions import FrameConv

CellAt = Callable[[Place], nn.Module]


def block(cell: CellAt, channels_in: int, channels_out: int, size: tuple[int, int], n: int) -> nn.Sequential:
    """n cells; the first changes the channels."""
    return nn.Sequential(*(cell(Place(channels_out if i else channels_in, channels_out, size, i)) for i in range(n)))


def down(channels_in: int, channels_out: int) -> nn.Module:
    """Each 2 x 2 pixels become the channels of one, mixed to channels_out (patch merging, Liu et al. 2021)."""
    return nn.Conv3d(channels_in, channels_out, (1, 2, 2), (1, 2, 2), bias=False)


class Up(nn.Module):
    """Bilinear interpolation to twice the size of each frame, then a 3x3 convolution."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = FrameConv(channels_in, channels_out, bias=False)

    def forward(self, x: Net5D) -> Float[Tensor, "B C_out T 2*H 2*W"]:
        frames = F.interpolate(x.transpose(1, 2).flatten(0, 1), scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.conv(frames.unflatten(0, (x.shape[0], x.shape[2])).transpose(1, 2))


class HRNet(nn.Module):
    """Five blocks at two resolutions side by side (Sun et al. 2019): channels (C0, C1) -> C0 + C1 channels.

    size: H, W of the training patch. cells per block.
    """

    stride = 2
    passes_input = 2.0  # times that the input comes through to the first channels, with the skip round the backbone

    def __init__(self, *, channels: Sequence[int], cells: int, cell: CellAt, size: tuple[int, int]) -> None:
        super().__init__()
        c0, c1 = channels
        half = (size[0] // 2, size[1] // 2)
        self.channels_out = c0 + c1
        self.block00 = block(cell, c0, c0, size, cells)
        self.block01 = block(cell, c0, c0, size, cells)
        self.block11 = block(cell, c1, c1, half, cells)
        self.out0 = block(cell, c0, c0, size, cells)
        self.out1 = block(cell, c1, c1, half, cells)
        self.down, self.down_across = down(c0, c1), down(c0, c1)
        self.up_across, self.up = Up(c1, c0), Up(c1, c1)

    def forward(self, x: Net5D) -> NetOut:
        x00 = self.block00(x)
        low = self.down(x00)
        x01 = self.block01(x00)
        del x00  # what is not needed any more must not count at the peak
        x11 = self.block11(low)
        y0 = self.out0(x01 + self.up_across(x11))
        y1 = self.out1(x11 + self.down_across(x01))
        return torch.cat([y0, self.up(y1)], dim=1)


class SkipUNet(nn.Module):
    """Five blocks at three resolutions, skips concatenated (Ronneberger et al. 2015): channels (C0, C1) -> C0 channels.

    The lowest resolution keeps C1 channels. size: H, W of the training patch. cells per block.
    """

    stride = 4
    passes_input = 1.0

    def __init__(self, *, channels: Sequence[int], cells: int, cell: CellAt, size: tuple[int, int]) -> None:
        super().__init__()
        c0, c1 = channels
        half, quarter = (size[0] // 2, size[1] // 2), (size[0] // 4, size[1] // 4)
        self.channels_out = c0
        self.encoder0 = block(cell, c0, c0, size, cells)
        self.encoder1 = block(cell, c0, c1, half, cells)
        self.bridge = block(cell, c1, c1, quarter, cells)
        self.decoder1 = block(cell, 2 * c1, c0, half, cells)
        self.decoder0 = block(cell, 2 * c0, c0, size, cells)
        self.down0, self.down1 = down(c0, c0), down(c1, c1)
        self.up1, self.up0 = Up(c1, c1), Up(c0, c0)

    def forward(self, x: Net5D) -> NetOut:
        x0 = self.encoder0(x)
        x1 = self.encoder1(self.down0(x0))
        deep = self.up1(self.bridge(self.down1(x1)))
        y1 = self.decoder1(torch.cat([x1, deep], dim=1))
        return self.decoder0(torch.cat([x0, self.up0(y1)], dim=1))
