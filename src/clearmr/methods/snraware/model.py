"""The networks of SNRAware: the 14 of Table 2 (Xue et al. 2025, Appendix E1), and our own residual U-net.

Input (B, C, T, H, W): the image in SNR units, real and imaginary part or magnitude, then, where the network is told
of the noise, its SD or g, then, where it is given pilots, each as the image. Output float32 (B, 2 or 1, T, H, W).
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from clearmr.axes import Net5D, NetOut
from clearmr.errors import InputError
from clearmr.methods.snraware.config import NetConfig
from clearmr.nets import (
    ConvLayer,
    HRNet,
    Place,
    PreNormCell,
    ResidualConv3d,
    SkipUNet,
    UNet,
    in_float32,
    pad_to_multiple,
)
from clearmr.nets.attention import TokenAttention
from clearmr.nets.convolutions import FrameConv, VolumeConv
from clearmr.nets.norms import FrameNorm, VoxelNorm
from clearmr.nets.tokens import PATTERNS

PATCH = (64, 64)  # H, W of the paper's patches, to which norm="patch" is bound
RESIDUAL = "unet-residual3d"


@dataclass(frozen=True)
class Layer:
    """What fills a cell. pattern: of `PATTERNS`, None for a plain convolution. cells: per block in Table 2.

    Swin3D's cells alternate plain and shifted windows: the paper counts three pairs.
    """

    conv: type[FrameConv] | type[VolumeConv]
    pattern: str | None = None
    heads: int = 8
    mixer: bool = False
    cells: int = 3
    shifts: bool = False


LAYERS = {
    "cnnt": Layer(FrameConv, "frames", heads=64, mixer=True),
    "cnnt-large": Layer(FrameConv, "frames", heads=64, mixer=True, cells=6),
    "swin3d": Layer(VolumeConv, "voxels-of-a-window", cells=6, shifts=True),
    "vit3d": Layer(VolumeConv, "windows"),
    "conv3d": Layer(VolumeConv),
    "vit2d": Layer(FrameConv, "windows-of-a-frame"),
    "conv2d": Layer(FrameConv),
}
BACKBONES: dict[str, type[HRNet] | type[SkipUNet]] = {"hrnet": HRNet, "unet": SkipUNet}
TABLE2_ARCHITECTURES = tuple(f"{backbone}-{layer}" for backbone in BACKBONES for layer in LAYERS)
ARCHITECTURES = (*TABLE2_ARCHITECTURES, RESIDUAL)

# Table 2 of Xue et al. 2025, column "#paras".
TABLE2_PARAMETERS = {
    "hrnet-cnnt-large": 54_678_306, "hrnet-cnnt": 27_485_139, "hrnet-swin3d": 54_664_836, "hrnet-vit3d": 27_478_404,
    "hrnet-conv3d": 22_815_891, "hrnet-vit2d": 17_746_308, "hrnet-conv2d": 20_382_867,
    "unet-cnnt-large": 48_880_418, "unet-cnnt": 25_226_195, "unet-swin3d": 49_309_316, "unet-vit3d": 25_661_828,
    "unet-conv3d": 18_787_475, "unet-vit2d": 15_487_364, "unet-conv2d": 16_206_995,
}  # fmt: skip


def table2(name: str, norm: Literal["patch", "pixel"] = "patch") -> NetConfig:
    """The configuration of a network of Table 2. Raises InputError for another name."""
    if name not in TABLE2_ARCHITECTURES:
        raise InputError(f"a network among {', '.join(TABLE2_ARCHITECTURES)}", name, "choose one of them")
    return NetConfig(name, channels=(64, 128), cells=LAYERS[name.partition("-")[2]].cells, norm=norm)


def channels_in(config: NetConfig) -> int:
    """Complex and map 3, complex 2, magnitude and map 2, magnitude 1; with pilots twice the image's more."""
    return channels_out(config) * (3 if config.pilots else 1) + config.noise_map


def channels_out(config: NetConfig) -> int:
    """Real and imaginary part, or the magnitude."""
    return 2 if config.image == "complex" else 1


def build(config: NetConfig) -> "SnrAwareNet | Table2Net":
    """The network of a configuration, weights from torch's global generator. Raises InputError for unknown names."""
    if config.architecture not in ARCHITECTURES:
        raise InputError(f"an architecture among {', '.join(ARCHITECTURES)}", config.architecture, "choose one")
    if config.architecture == RESIDUAL:
        return SnrAwareNet(config)
    if config.pilots:
        raise InputError(f"{RESIDUAL} as a network that is given pilots", config.architecture, "train a second of that")
    return Table2Net(config)


def parameters(config: NetConfig) -> int:
    """How many numbers the network holds, those that do not learn included; no memory is taken for them."""
    with torch.device("meta"):
        return sum(p.numel() for p in build(config).parameters())


class SnrAwareNet(nn.Module):
    """The image less what a U-net of bias-free residual 3x3x3 cells takes for noise; or the last pilot less its error.

    Any T, H, W. Positively homogeneous: net(a x, a sd) = a net(x, sd).
    """

    tile: tuple[int, int] | None = None

    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        self.channels_out, self.pilots = channels_out(config), config.pilots
        self.alignment = 2 ** len(config.channels)
        self.bytes_per_voxel = 47.0 * config.channels[0]
        self.noise = UNet(
            channels_in(config), self.channels_out, channels=config.channels, cells=config.cells, cell=ResidualConv3d
        )

    def forward(self, x: Net5D) -> NetOut:
        image = x[:, -self.channels_out :] if self.pilots else x[:, : self.channels_out]
        return image.float() - self.noise(x).float()


class Table2Net(nn.Module):
    """A network of Table 2: convolution to features, backbone, the features added again, convolution to the image.

    norm="patch": LayerNorm over (C, H, W), so the network takes H = W = 64 only, any T (`tile`). With norm="pixel" it
    takes any T, H, W: what 2 or 4 does not divide is mirrored and cropped again.
    Differs from the paper in the start: the first features are the input's channels, and the output reads them, so
    that training begins near the identity. With norm="pixel" the published dead weights are left out.
    """

    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        backbone, _, layer = config.architecture.partition("-")
        if len(config.channels) != 2:
            raise InputError("channels of two resolutions", str(config.channels), "write them like 64,128")
        self.tile = PATCH if config.norm == "patch" else None
        self.head = FrameConv(channels_in(config), config.channels[0])
        cell = functools.partial(_cell, LAYERS[layer], config.norm)
        self.backbone = BACKBONES[backbone](channels=config.channels, cells=config.cells, cell=cell, size=PATCH)
        self.tail = FrameConv(self.backbone.channels_out, channels_out(config))
        self.alignment = self.backbone.stride * _window(LAYERS[layer])
        # Measured peaks of whole frames in float32, per channel: 61 to 87 with attention, 43 to 56 without.
        self.bytes_per_voxel = (90.0 if LAYERS[layer].pattern else 60.0) * config.channels[0]
        if config.norm == "patch":
            # The authors' weight of the loss, 1 + a sigmoid(b - SNR). Left to learn, it would only lower the loss.
            self.loss_weight = nn.Parameter(torch.tensor([10.0, 1.5]), requires_grad=False)
        self._start_near_identity()

    def forward(self, x: Net5D) -> NetOut:
        height, width = x.shape[-2:]
        features = in_float32(self.head, pad_to_multiple(x, self.backbone.stride))
        out = self.backbone(features).float()
        out[:, : features.shape[1]] += features
        return in_float32(self.tail, out)[..., :height, :width]

    @torch.no_grad()
    def _start_near_identity(self) -> None:
        self.tail.weight *= 0.1
        for channel in range(len(self.tail.weight)):
            self.head.weight[channel] = 0
            self.head.weight[channel, channel, 0, 1, 1] = 1
            self.tail.weight[channel, channel, 0, 1, 1] = 1 / self.backbone.passes_input
        assert self.head.bias is not None
        self.head.bias[: len(self.tail.weight)] = 0


def _window(layer: Layer) -> int:
    window = PATTERNS[layer.pattern].window[1] if layer.pattern else None
    return window or 1


def _cell(layer: Layer, norm: str, place: Place) -> PreNormCell:
    make_norm = _frame_norm if norm == "patch" else _voxel_norm
    return PreNormCell(
        place, layer=_layer(layer, make_norm, place), norm=make_norm, mixer=layer.mixer, spare_norm=norm == "patch"
    )


def _layer(layer: Layer, norm: Callable[[int, tuple[int, int]], nn.Module], place: Place) -> nn.Module:
    if layer.pattern is None:
        return ConvLayer(place, conv=functools.partial(layer.conv, bias=False), norm=norm)
    return TokenAttention(
        place.channels_in,
        place.channels_out,
        conv=layer.conv,
        pattern=PATTERNS[layer.pattern],
        heads=layer.heads,
        size=place.size,
        shifted=layer.shifts and place.index % 2 == 1,
    )


def _frame_norm(channels: int, size: tuple[int, int]) -> nn.Module:
    return FrameNorm(channels, size)


def _voxel_norm(channels: int, size: tuple[int, int]) -> nn.Module:
    return VoxelNorm(channels)
