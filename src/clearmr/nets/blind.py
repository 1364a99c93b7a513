"""The U-net of blind-spot denoisers: dropout in its decoder, at test time too. (B, C, H, W) in and out, any H, W."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from clearmr.nets.backbones import in_float32

SLOPE = 0.1  # of the leaky ReLU below zero


class BlindUNet(nn.Module):
    """U-net of Noise2Noise (Lehtinen et al. 2018) with the decoder dropout of Self2Self (Quan et al. 2020).

    `levels` max-poolings with `width` channels each; decoder 2 x width (nearest up-sampling, concatenated skips, the
    input itself at full resolution), at the end 4/3 and 2/3 x width. Leaky ReLU 0.1. Every convolution of the decoder
    sees its input through a dropout of `drop`, in training and afterwards. Sizes that 2^levels does not divide are
    padded by repeating the edge, and cropped exactly.
    """

    def __init__(
        self, channels_in: int, channels_out: int, *, width: int = 48, levels: int = 5, drop: float = 0.3
    ) -> None:
        super().__init__()
        self.drop, deep = drop, 2 * width
        ends = (round(4 * width / 3), round(2 * width / 3))
        self.head = _conv(channels_in, width)
        self.encoder = nn.ModuleList(_conv(width, width) for _ in range(levels))
        self.bottom = _conv(width, width)
        inputs = [2 * width] + [deep + width] * (levels - 2)
        self.decoder = nn.ModuleList(nn.ModuleList([_conv(n, deep), _conv(deep, deep)]) for n in inputs)
        self.last = nn.ModuleList([_conv(deep + channels_in, ends[0]), _conv(ends[0], ends[1])])
        self.tail = _conv(ends[1], channels_out)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C_out H W"]:
        height, width = x.shape[-2:]
        x = repeat_to_multiple(x, 2 ** len(self.encoder)).contiguous(memory_format=torch.channels_last)
        features, skips = _active(self.head(x)), [x]
        for layer in self.encoder:
            features = F.max_pool2d(_active(layer(features)), 2)
            skips.append(features)
        skips.pop()
        features = _active(self.bottom(features))
        for pair in self.decoder:
            features = self._twice(pair, features, skips.pop())
        features = self._twice(self.last, features, skips.pop())
        return in_float32(self.tail, self._dropped(features))[..., :height, :width]

    def _twice(self, pair: nn.Module, features: Tensor, skip: Tensor) -> Tensor:
        """Up, joined with the skip, two convolutions."""
        up = F.interpolate(features, scale_factor=2.0, mode="nearest")
        features = torch.cat([up, skip.to(up.dtype)], 1)
        for layer in pair.children():
            features = _active(layer(self._dropped(features)))
        return features

    def _dropped(self, features: Tensor) -> Tensor:
        return dropped(features, self.drop) if self.drop else features


def dropped(
    features: Float[Tensor, "B C H W"], share: float, generator: torch.Generator | None = None
) -> Float[Tensor, "B C H W"]:
    """Dropout (Srivastava et al. 2014): about `share` of the values 0, the others larger by as much.

    Drawn by `generator`, else by torch's own. On CPU `share` is rounded to 1/256: a random byte for each value takes a
    third of the time of F.dropout, which was half of a training's.
    """
    if features.device.type != "cpu":
        drawn = torch.rand(features.shape, generator=generator, device=features.device)
        return features * (drawn >= share) / (1 - share)
    zeros, (batch, channels, height, width) = round(256 * share), features.shape
    words = torch.empty(-(-features.numel() // 8), dtype=torch.int64).random_(-(2**63), None, generator=generator)
    kept = words.view(torch.uint8)[: features.numel()] >= zeros
    if features.is_contiguous():
        kept = kept.view(features.shape)
    else:  # as channels_last lies in memory
        kept = kept.view(batch, height, width, channels).permute(0, 3, 1, 2)
    return features * kept.to(features.dtype).mul_(256 / (256 - zeros))


def repeat_to_multiple(x: Float[Tensor, "B C H W"], multiple: int) -> Float[Tensor, "B C H_padded W_padded"]:
    """Padded at the bottom and the right by repeating the edge, until `multiple` divides height and width."""
    bottom, right = -x.shape[-2] % multiple, -x.shape[-1] % multiple
    return F.pad(x, (0, right, 0, bottom), mode="replicate") if bottom or right else x


def _conv(channels_in: int, channels_out: int) -> nn.Conv2d:
    # Weights begin as PyTorch has them: at He's, of six times the power, the dropout's noise hides what is learned.
    return nn.Conv2d(channels_in, channels_out, 3, padding=1)


def _active(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE, inplace=True)
