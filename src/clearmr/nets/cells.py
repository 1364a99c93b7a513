"""Cells: what a backbone repeats. Each keeps B, T, H, W; the cells of `UNet` keep the channels too."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clearmr.axes import Net5D, NetOut
from clearmr.nets.convolutions import FrameConv, by_frames


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
        out = self.second(F.relu(self.first(x), inplace=True))
        return out.to(x.dtype).add_(x)  # in place, since fresh memory for large arrays takes longer than the sum


@dataclass(frozen=True)
class Place:
    """Where in a backbone a cell stands: its channels, H and W of the training patch there, its number in the block."""

    channels_in: int
    channels_out: int
    size: tuple[int, int]
    index: int


Norm = Callable[[int, tuple[int, int]], nn.Module]  # channels, (H, W) of the training patch


class ConvLayer(nn.Module):
    """Convolution without bias, norm, PReLU; added to the input where the channels stay."""

    def __init__(self, place: Place, *, conv: Callable[[int, int], nn.Module], norm: Norm) -> None:
        super().__init__()
        self.conv = conv(place.channels_in, place.channels_out)
        self.norm = norm(place.channels_out, place.size)
        self.activation = nn.PReLU()
        self.residual = place.channels_in == place.channels_out

    def forward(self, x: Net5D) -> NetOut:
        out = self.activation(self.norm(self.conv(x)))
        return x + out if self.residual else out


class Mixer(nn.Module):
    """Two 3x3 convolutions of each frame, four times the channels between them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = FrameConv(channels, 4 * channels)
        self.activation = nn.PReLU()
        self.second = FrameConv(4 * channels, channels)

    def forward(self, x: Net5D) -> NetOut:
        return by_frames(self._frames, x)

    def _frames(self, x: Net5D) -> NetOut:
        hidden = self.first(x)
        if torch.is_grad_enabled():
            return self.second(self.activation(hidden))
        return self.second(F.leaky_relu_(hidden, float(self.activation.weight)))


class PreNormCell(nn.Module):
    """x = P(x) + SD(A(norm(x))), then, with a mixer M, x = x + SD(M(norm(x))) (Xiong et al. 2020).

    layer: A, from channels_in to channels_out. P: the identity, or a 3x3 convolution where the channels change. SD:
    stochastic depth (Huang et al. 2016): in training a branch is left out for one sample in ten.
    spare_norm: keep a second norm that is never used, as the published parameter counts do; it does not learn.
    """

    def __init__(
        self, place: Place, *, layer: nn.Module, norm: Norm, mixer: bool, drop: float = 0.1, spare_norm: bool = False
    ) -> None:
        super().__init__()
        self.drop = drop
        same = place.channels_in == place.channels_out
        self.project = nn.Identity() if same else FrameConv(place.channels_in, place.channels_out)
        self.norm1 = norm(place.channels_in, place.size)
        self.layer = layer
        self.mixer = Mixer(place.channels_out) if mixer else None
        if mixer or spare_norm:
            self.norm2 = norm(place.channels_out, place.size).requires_grad_(mixer)

    def forward(self, x: Net5D) -> NetOut:
        x = self.project(x) + self._branch(self.layer(self.norm1(x)))
        return x if self.mixer is None else x + self._branch(self.mixer(self.norm2(x)))

    def _branch(self, x: Tensor) -> Tensor:
        if not self.training or not self.drop:
            return x
        kept = torch.rand((len(x), 1, 1, 1, 1), device=x.device) >= self.drop
        return x * (kept.to(x.dtype) / (1 - self.drop))
