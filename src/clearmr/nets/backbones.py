"""Backbones: how cells are joined over resolutions. They take the cell as an argument and never name one."""

import itertools
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from clearmr.axes import Net5D, NetOut
from clearmr.nets.cells import Conv3x3x3

Cell = Callable[[int], nn.Module]


def _cells(cell: Cell, channels: int, n: int) -> nn.Sequential:
    return nn.Sequential(*(cell(channels) for _ in range(n)))


class UNet(nn.Module):
    """U-net over H and W; T is never reduced. (B, C_in, T, H, W) -> (B, C_out, T, H, W), any T, H, W.

    `channels` per resolution level, `cells` per block. Skips are added. Without bias anywhere, so it is positively
    homogeneous when its cells are. Sizes that 2^levels does not divide are reflect-padded and cropped again.
    """

    def __init__(self, channels_in: int, channels_out: int, *, channels: Sequence[int], cells: int, cell: Cell) -> None:
        super().__init__()
        pairs = list(itertools.pairwise(channels))
        self.head = Conv3x3x3(channels_in, channels[0])
        self.encoder = nn.ModuleList(_cells(cell, c, cells) for c in channels[:-1])
        self.down = nn.ModuleList(nn.Conv3d(a, b, (1, 2, 2), (1, 2, 2), bias=False) for a, b in pairs)
        self.bridge = _cells(cell, channels[-1], cells)
        self.up = nn.ModuleList(nn.ConvTranspose3d(b, a, (1, 2, 2), (1, 2, 2), bias=False) for a, b in pairs)
        self.decoder = nn.ModuleList(_cells(cell, c, cells) for c in channels[:-1])
        self.tail = Conv3x3x3(channels[0], channels_out)
        nn.init.normal_(self.tail.weight, std=0.1 * (27 * channels[0]) ** -0.5)

    def forward(self, x: Net5D) -> NetOut:
        height, width = x.shape[-2:]
        x = pad_to_multiple(x, 2 ** len(self.down))
        features = in_float32(self.head, x)
        skips = []
        for block, down in zip(self.encoder, self.down, strict=True):
            features = block(features)
            skips.append(features)
            features = down(features)
        features = self.bridge(features)
        for block, up, skip in zip(reversed(self.decoder), reversed(self.up), reversed(skips), strict=True):
            features = block(up(features).to(skip.dtype).add_(skip))
        return in_float32(self.tail, features)[..., :height, :width]


def in_float32(layer: nn.Module, x: Float[Tensor, "B C *space"]) -> Float[Tensor, "B C_out *space_out"]:
    """Few-channel ends stay out of autocast: their sums carry the image itself, which bf16 would round."""
    with torch.autocast(x.device.type, enabled=False):
        return layer(x.float())


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    bottom, right = -x.shape[-2] % multiple, -x.shape[-1] % multiple
    if not bottom and not right:
        return x
    mode = "reflect" if bottom < x.shape[-2] and right < x.shape[-1] else "replicate"
    return F.pad(x, (0, right, 0, bottom, 0, 0), mode=mode)
