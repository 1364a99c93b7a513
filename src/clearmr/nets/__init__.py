"""Networks: tensors (B, C, T|S|D, H, W) in, tensors out. They know nothing of MRI.

A backbone takes `cell: Callable[[int], nn.Module]`, which keeps shape and channels, and never names one.
"""

from clearmr.nets.backbones import UNet
from clearmr.nets.cells import ResidualConv3d

__all__ = ["ResidualConv3d", "UNet"]
