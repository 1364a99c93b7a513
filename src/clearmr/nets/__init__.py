"""Networks: tensors (B, C, T|S|D, H, W) in, tensors out. They know nothing of MRI.

A backbone takes `cell`, a function that makes one, and never names one. An attention cell is a token pattern (a row of
`tokens.PATTERNS`), one attention, and convolutions as projections.
"""

from clearmr.nets.backbones import UNet, in_float32, pad_to_multiple
from clearmr.nets.cells import ConvLayer, Place, PreNormCell, ResidualConv3d
from clearmr.nets.pyramids import HRNet, SkipUNet
from clearmr.nets.slices import SlicesUNet

__all__ = [
    "ConvLayer",
    "HRNet",
    "Place",
    "PreNormCell",
    "ResidualConv3d",
    "SkipUNet",
    "SlicesUNet",
    "UNet",
    "in_float32",
    "pad_to_multiple",
]
