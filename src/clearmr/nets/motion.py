"""Motion between two images: a registration net, the warp, and how smooth a field is. Fields are in pixels, (y, x)."""

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from clearmr.nets.backbones import in_float32
from clearmr.nets.blind import repeat_to_multiple

SLOPE = 0.2
ENCODER, DECODER = (16, 32, 32, 32), (32, 32, 32, 32, 32, 16, 16)  # VoxelMorph-2


class RegistrationNet(nn.Module):
    """VoxelMorph-2 in two dimensions (Balakrishnan et al. 2019): moving and target, on channels, to a field.

    Four convolutions of stride 2; back up by nearest up-sampling and concatenated skips; the last layer begins at
    N(0, 1e-5), so that nothing moves. (B, C, H, W) -> (B, 2, H, W) displacements (y, x) in pixels; any H, W.
    """

    def __init__(self, channels_in: int, *, encoder: Sequence[int] = ENCODER, decoder: Sequence[int] = DECODER) -> None:
        super().__init__()
        down = [channels_in, *encoder]
        self.encoder = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in itertools.pairwise(down))
        given = [
            down[-1], decoder[0] + down[-2], decoder[1] + down[-3], decoder[2] + down[-4], decoder[3],
            decoder[4] + down[0], decoder[5],
        ]  # fmt: skip
        self.decoder = nn.ModuleList(nn.Conv2d(a, b, 3, 1, 1) for a, b in zip(given, decoder, strict=True))
        for layer in (*self.encoder, *self.decoder):
            nn.init.kaiming_normal_(layer.weight, a=SLOPE)  # type: ignore[arg-type]
        self.flow = nn.Conv2d(decoder[-1], 2, 3, 1, 1)
        nn.init.normal_(self.flow.weight, std=1e-5)
        assert self.flow.bias is not None
        nn.init.zeros_(self.flow.bias)

    def forward(self, pair: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 2 H W"]:
        height, width = pair.shape[-2:]
        x = repeat_to_multiple(pair, 16).contiguous(memory_format=torch.channels_last)
        levels = [x]
        for layer in self.encoder:
            levels.append(_active(layer(levels[-1])))
        first, second, third, fourth, fifth, sixth, seventh = self.decoder
        x = _active(first(levels[4]))
        for layer, skip in ((second, levels[3]), (third, levels[2]), (fourth, levels[1])):
            x = _active(layer(_up_and_join(x, skip)))
        x = _active(fifth(x))
        x = _active(seventh(_active(sixth(_up_and_join(x, levels[0])))))
        return in_float32(self.flow, x)[..., :height, :width]


def warp(image: Float[Tensor, "B C H W"], flow: Float[Tensor, "B 2 H W"]) -> Float[Tensor, "B C H W"]:
    """image(p + flow(p)) at each pixel p, bilinear; beyond the border its edge (Jaderberg et al. 2015)."""
    height, width = image.shape[-2:]
    rows = torch.arange(height, dtype=torch.float32, device=image.device)[:, None] + flow[:, 0]
    columns = torch.arange(width, dtype=torch.float32, device=image.device) + flow[:, 1]
    # Far beyond the border, and NaN of a net that diverged, would be read out of bounds.
    grid = torch.stack([_unit(columns, width), _unit(rows, height)], -1).nan_to_num(2.0).clamp(-2, 2)
    return F.grid_sample(image.float(), grid.float(), mode="bilinear", padding_mode="border", align_corners=True)


def roughness(flow: Float[Tensor, "B 2 H W"]) -> Float[Tensor, ""]:
    """Mean squared difference of a field between neighbours, along y and along x: the second term of a registration."""
    down, across = flow.diff(dim=-2).square(), flow.diff(dim=-1).square()
    return _mean(down) + _mean(across)


def _mean(values: Tensor) -> Tensor:
    """0 of no values: a field one pixel high has no neighbours along y."""
    return values.mean() if values.numel() else values.sum()


def _unit(position: Tensor, n: int) -> Tensor:
    """Positions 0 .. n - 1 as -1 .. 1."""
    return position * (2 / max(n - 1, 1)) - 1


def _up_and_join(x: Tensor, skip: Tensor) -> Tensor:
    return torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skip.to(x.dtype)], 1)


def _active(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE, inplace=True)
