"""What SNRAware learns from: clean series in memory.

A prepared corpus, read window by window, is in `store`.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Inexact
from torch import Tensor

from clearmr.scan import SnrImage


@runtime_checkable
class Maps(Protocol):
    """g maps that a patch may get: `count` of them, over frames of `frame` (y, x), in which the patch is at `start`."""

    @property
    def count(self) -> int: ...

    @property
    def frame(self) -> tuple[int, int]: ...

    @property
    def start(self) -> tuple[int, int]: ...

    def read(self, index: int, *, whole: bool) -> Float[Tensor, "#frame y x"]:
        """Map `index` for the patch, or for the whole frame."""
        ...


@dataclass(frozen=True)
class Series:
    """frames (n, y, x), peak magnitude 1, neighbours in time or depth; native_sd: noise SD already in it, per peak."""

    frames: Inexact[Tensor, "n y x"]
    native_sd: float


def clean_series(image: SnrImage) -> list[Series]:
    """Cut one high-SNR image into series: a volume along its three axes, a moving 2D image along time.

    A 4-D series of volumes is averaged over its frames first. A large magnitude volume (no raw data) is averaged over
    2x2x2 blocks, which takes its own noise down by 2.8; its native noise is then taken as none.
    """
    frames = image.image
    if frames.shape[1] == 1:
        return [_series(frames[:, 0], image)]
    volume = frames.abs().mean(0) if not image.is_complex else frames.mean(0)
    if not image.is_complex and min(volume.shape) >= 64:
        volume = F.avg_pool3d(volume[None], 2)[0]
    cuts = [volume, volume.movedim(1, 0), volume.movedim(2, 0)] if min(volume.shape) >= 32 else [volume]
    return [_series(cut.contiguous(), image) for cut in cuts]


def _series(frames: Tensor, image: SnrImage) -> Series:
    peak = torch.quantile(frames.abs().flatten()[:: max(1, frames.numel() // 10**6)], 0.999)
    measured = image.noise_source == "measured"
    return Series(frames / peak, float(image.noise_sd.float().mean() / peak) if measured else 0.0)
