"""A 2.5D U-net: neighbouring slices as channels of 2D convolutions, the centre slice out."""

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from clearmr.nets.backbones import in_float32, pad_to_multiple


class PlaneConv(nn.Conv3d):
    """A k x k convolution of planes (B, C, H, W), k odd, zeros beyond. Five axes, so `channels_last_3d` fits all."""

    def __init__(self, channels_in: int, channels_out: int, *, kernel: int = 3, bias: bool = False) -> None:
        super().__init__(channels_in, channels_out, (1, kernel, kernel), bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.conv2d(input, self.weight[:, :, 0], self.bias, padding=self.kernel_size[2] // 2)


class Enlarge(nn.Conv3d):
    """Planes (B, C, H, W) to (B, C', 2 H, 2 W): a 2 x 2 up-convolution, as four 1 x 1 ones whose results interleave."""

    def __init__(self, channels_in: int, channels_out: int, *, bias: bool = False) -> None:
        super().__init__(channels_in, 4 * channels_out, (1, 1, 1), bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        out = F.conv2d(input, self.weight[:, :, 0], self.bias)
        n, channels, height, width = out.shape
        parts = out.permute(0, 2, 3, 1).reshape(n, height, width, 2, 2, channels // 4)
        planes = parts.permute(0, 1, 3, 2, 4, 5).reshape(n, 2 * height, 2 * width, channels // 4)
        return planes.permute(0, 3, 1, 2)


class Pair(nn.Sequential):
    """Two 3 x 3 convolutions, each followed by a ReLU."""

    def __init__(self, channels_in: int, channels_out: int, *, bias: bool = False) -> None:
        convs = (PlaneConv(a, channels_out, bias=bias) for a in (channels_in, channels_out))
        super().__init__(*itertools.chain.from_iterable((conv, nn.ReLU(inplace=True)) for conv in convs))


class SlicesUNet(nn.Module):
    """The centre slice less what a U-net takes for noise: (B, C, S, H, W) -> (B, channels_out, 1, H, W), any H, W.

    The U-net of Ronneberger et al. 2015 (pairs of 3x3 convolutions and ReLU, 2x2 max-pooling, 2x2 up-convolutions,
    concatenated skips, 1x1 at the end) with borders kept; the C S channels of the slices go in together. channels: per
    resolution level. The first `channels_out` of the C channels are the image. Without bias positively homogeneous:
    net(a x) = a net(x), a > 0. Sizes that 2^(levels - 1) does not divide are reflect-padded and cropped again.
    """

    def __init__(
        self, channels_in: int, channels_out: int, *, slices: int, channels: Sequence[int], bias: bool = False
    ) -> None:
        super().__init__()
        pairs = list(itertools.pairwise(channels))
        self.channels_out, self.slices = channels_out, slices
        self.head = PlaneConv(channels_in * slices, channels[0], bias=bias)
        self.second = PlaneConv(channels[0], channels[0], bias=bias)
        self.encoder = nn.ModuleList(Pair(a, b, bias=bias) for a, b in pairs)
        self.up = nn.ModuleList(Enlarge(b, a, bias=bias) for a, b in pairs)
        self.decoder = nn.ModuleList(Pair(2 * a, a, bias=bias) for a, _ in pairs)
        self.tail = PlaneConv(channels[0], channels_out, kernel=1, bias=bias)
        for conv in (m for m in self.modules() if isinstance(m, PlaneConv)):
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        nn.init.normal_(self.tail.weight, std=0.1 * channels[0] ** -0.5)  # begins near the identity

    def forward(self, x: Float[Tensor, "B C S H W"]) -> Float[Tensor, "B C_out 1 H W"]:
        centre = x[:, : self.channels_out, x.shape[2] // 2, None].float()
        return centre - self._noise(x)[:, :, None]

    def _noise(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        planes = pad_to_multiple(x, 2 ** len(self.up)).flatten(1, 2).contiguous(memory_format=torch.channels_last)
        features = F.relu(self.second(F.relu(in_float32(self.head, planes))))
        skips = []
        for block in self.encoder:
            skips.append(features)
            features = block(F.max_pool2d(features, 2))
        for up, block in zip(reversed(self.up), reversed(self.decoder), strict=True):
            features = block(torch.cat((skips.pop(), up(features)), 1))
        return in_float32(self.tail, features)[..., :height, :width]
