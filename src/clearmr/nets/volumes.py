"""Networks of 3x3x3 convolutions at one resolution, zero-padded: a U-net without pooling, and a plain chain."""

from collections.abc import Sequence

import torch
from torch import nn

from clearmr.axes import Net5D, NetOut


def _conv(channels_in: int, channels_out: int) -> nn.Conv3d:
    return nn.Conv3d(channels_in, channels_out, 3, padding=1)


def _pair(channels_in: int, channels: int) -> nn.Sequential:
    return nn.Sequential(_conv(channels_in, channels), nn.ReLU(), _conv(channels, channels), nn.ReLU())


class MuNet(nn.Module):
    """MU-Net: a U-net without pooling or up-sampling, and a linear convolution that predicts the residual.

    (B, C_in, T, H, W) -> (B, C_out, T, H, W). `pairs` of convolutions with ReLU down, one fewer up, each of these given
    the features of its level too; five pairs are the 18 convolutions of the reference.
    """

    def __init__(self, channels_in: int = 1, channels_out: int = 1, *, width: int = 64, pairs: int = 5) -> None:
        super().__init__()
        self.down = nn.ModuleList(_pair(channels_in if k == 0 else width, width) for k in range(pairs))
        self.up = nn.ModuleList(_pair(2 * width, width) for _ in range(pairs - 1))
        self.tail = _conv(width, channels_out)

    def forward(self, x: Net5D) -> NetOut:
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
        skips.pop()
        for block in self.up:
            x = block(torch.cat([x, skips.pop()], 1))
        return self.tail(x)


class ConvChain(nn.Module):
    """Convolutions one after another, batch norm before each ReLU, and a linear one that predicts the residual.

    widths: channels of each; ten of them, eight of 192 and the last pair 96 and 48, are the reference's for diffusion
    volumes, one channel each in and out.
    """

    def __init__(self, channels_in: int, channels_out: int, *, widths: Sequence[int] = (*(192,) * 8, 96, 48)) -> None:
        super().__init__()
        before = [channels_in, *widths[:-1]]
        self.body = nn.Sequential(
            *(
                nn.Sequential(nn.Conv3d(a, b, 3, padding=1, bias=False), nn.BatchNorm3d(b), nn.ReLU())
                for a, b in zip(before, widths, strict=True)
            )
        )
        self.tail = _conv(widths[-1], channels_out)

    def forward(self, x: Net5D) -> NetOut:
        return self.tail(self.body(x))
