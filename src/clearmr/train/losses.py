"""Losses over complex images held as two real channels (B, 2, T, H, W). Means over voxels, in the data's unit."""

import torch
from torch import Tensor

from clearmr.axes import Net5D


def charbonnier(prediction: Net5D, target: Net5D, *, epsilon: float = 1e-3) -> Tensor:
    """Mean of sqrt(|X - Y|^2 + epsilon^2), |.| the complex modulus (Barron 2017)."""
    return torch.sqrt((prediction - target).square().sum(dim=1) + epsilon**2).mean()
