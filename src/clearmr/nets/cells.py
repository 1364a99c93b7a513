"""Cells: what a backbone repeats. Each maps (B, C, T, H, W) to the same shape."""

import torch.nn.functional as F
from torch import nn

from clearmr.axes import Net5D, NetOut


class Conv3x3x3(nn.Conv3d):
    """A 3x3x3 convolution without bias, zero-padded to keep the shape. A single frame costs a 3x3 convolution."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, 3, padding=1, bias=False)

    def forward(self, x: Net5D) -> NetOut:
        if x.shape[2] > 1:
            return super().forward(x)
        # The outer planes of the kernel would meet padding only; oneDNN's bf16 3x3x3 kernel gives NaN there besides.
        return F.conv2d(x[:, :, 0], self.weight[:, :, 1], padding=1)[:, :, None]


class ResidualConv3d(nn.Module):
    """x + conv(relu(conv(x))), without bias or norm, so that cell(a x) = a cell(x) for every a >= 0.

    Positive homogeneity is what lets a denoiser follow the noise level it is given far outside the levels that it
    was trained on (Mohan et al. 2020, "Robust and interpretable blind image denoising via bias-free networks").
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = Conv3x3x3(channels, channels)
        self.second = Conv3x3x3(channels, channels)
        nn.init.kaiming_normal_(self.first.weight, nonlinearity="relu")
        nn.init.normal_(self.second.weight, std=0.1 * (27 * channels) ** -0.5)

    def forward(self, x: Net5D) -> Net5D:
        return x + self.second(F.relu(self.first(x)))
