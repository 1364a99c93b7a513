"""Deep Image Prior, image by image: Ulyanov, Vedaldi, Lempitsky, "Deep image prior", CVPR 2018 (IJCV 2020).

A network with skip connections is fitted to the noisy image from fixed noise; stopped in time, it has not yet learnt
the noise. Written from the paper and its supplement: five levels of 128 channels, 4 skip channels each, input of 32
channels of uniform noise in [0, 0.1] that is disturbed at every step (SD 1/30), Adam at 0.01, 1800 steps, result an
exponential mean of the outputs. Deformed2Self compares with learning_rate=1e-4 and iterations tuned on its data.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clearmr.baselines import learned
from clearmr.scan import SnrImage

PACKAGE = "torch"
LICENCE = "ours, MIT, written from the paper"
LEARNS = True
_INPUT, _SKIP = 32, 4
_JITTER = 1 / 30
_MEMORY = 0.99  # of the mean of outputs


@dataclass(frozen=True)
class DeepImagePrior(learned.Settings):
    """One network per frame and slice, each from the same seed."""

    name: str = "dip"
    iterations: int = 1800
    learning_rate: float = 0.01
    channels: int = 128
    levels: int = 5

    def __call__(self, image: SnrImage) -> SnrImage:
        """Denoise every frame and slice by itself; the noise level is not used."""
        return learned.denoise(image, self, self._restore, each=True)

    def _restore(self, noisy: Tensor, step: learned.Step) -> Tensor:
        draw = learned.generator(self)
        levels = max(1, min(self.levels, int(math.log2(min(noisy.shape[-2:]))) - 1))
        network = learned.fresh(lambda: _Skip(self.channels, levels), self)
        optimiser = torch.optim.Adam(network.parameters(), lr=self.learning_rate)
        shape = (1, _INPUT, *noisy.shape[-2:])
        start = 0.1 * torch.rand(shape, generator=draw, device=noisy.device)
        mean = torch.zeros_like(noisy)
        for done in range(self.iterations):
            jitter = torch.randn(shape, generator=draw, device=noisy.device)
            output = network(start + _JITTER * jitter)
            loss = F.mse_loss(output, noisy)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            memory = min(_MEMORY, done / (done + 1))  # a plain mean until there is enough to forget
            mean = memory * mean + (1 - memory) * output.detach()
            step(loss)
        return mean


def load() -> DeepImagePrior:
    """The settings of its paper."""
    return DeepImagePrior()


class _Skip(nn.Module):
    """(1, 32, y, x) -> (1, 1, y, x) in [0, 1], any size with at least two pixels at the lowest level."""

    def __init__(self, channels: int, levels: int) -> None:
        super().__init__()
        widths = [_INPUT, *[channels] * (levels - 1)]
        self.skips = nn.ModuleList(_layer(width, _SKIP, 1) for width in widths)
        self.downs = nn.ModuleList(
            nn.Sequential(_layer(width, channels, 3, 2), _layer(channels, channels, 3)) for width in widths
        )
        self.ups = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(channels + _SKIP), _layer(channels + _SKIP, channels, 3), _layer(channels, channels, 1)
            )
            for _ in widths
        )
        self.last = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for skip, down in zip(self.skips, self.downs, strict=True):
            kept.append(skip(x))
            x = down(x)
        for skip, up in zip(reversed(kept), reversed(self.ups), strict=True):
            x = F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            x = up(torch.cat([skip, x], 1))
        return torch.sigmoid(self.last(x))


def _layer(before: int, after: int, kernel: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, kernel, stride, kernel // 2, padding_mode="reflect")
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.LeakyReLU(0.2))
