"""Self2Self, image by image: Quan, Chen, Pang, Ji, "Self2Self with dropout", CVPR 2020.

A partial-convolution U-net sees 70 % of the pixels, drawn anew at every step, and is judged on the others; dropout in
the decoder makes it many networks, whose mean over 100 draws is the result. Written from the paper: five levels of 48
channels, decoder of 96, dropout 0.3, leaky ReLU 0.1, random flips, Adam at 1e-4. Its authors train for 450 000 steps;
Deformed2Self tunes the number at the same learning rate. Sizes that 32 does not divide are filled up with pixels that
are never seen.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clearmr.baselines import learned
from clearmr.nets.blind import dropped
from clearmr.scan import SnrImage

PACKAGE = "torch"
LICENCE = "ours, MIT, written from the paper"
LEARNS = True
_POOLINGS = 5
_SLOPE = 0.1

Drop = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Self2Self(learned.Settings):
    """One network per frame and slice. drop: share of pixels hidden, and of features dropped; passes: averaged."""

    name: str = "self2self"
    iterations: int = 4000
    learning_rate: float = 1e-4
    channels: int = 48
    drop: float = 0.3
    passes: int = 100

    def __call__(self, image: SnrImage) -> SnrImage:
        """Denoise every frame and slice by itself; the noise level is not used."""
        return learned.denoise(image, self, self._restore, each=True)

    def _restore(self, noisy: Tensor, step: learned.Step) -> Tensor:
        draw = learned.generator(self)
        network = learned.fresh(lambda: _PartialUNet(self.channels, mean=noisy.mean()), self)
        optimiser = torch.optim.Adam(network.parameters(), lr=self.learning_rate)
        height, width = noisy.shape[-2:]
        room = (0, -width % 2**_POOLINGS, 0, -height % 2**_POOLINGS)
        padded, real = F.pad(noisy, room), F.pad(torch.ones_like(noisy), room)

        def seen() -> Tensor:
            return real * (torch.rand(real.shape, generator=draw, device=real.device) >= self.drop)

        def without_some(x: Tensor) -> Tensor:
            return dropped(x, self.drop, draw)

        for _ in range(self.iterations):
            axes = [axis for axis in (2, 3) if float(torch.rand((), generator=draw, device=noisy.device)) < 0.5]
            shown = seen()
            output = network(padded.flip(axes), shown.flip(axes), without_some)
            hidden = (real - shown).flip(axes)
            loss = ((output - padded.flip(axes)).square() * hidden).sum() / hidden.sum().clamp_min(1)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            step(loss)
        with torch.no_grad():
            total = sum((network(padded, seen(), without_some) for _ in range(self.passes)), torch.zeros_like(padded))
        return total[..., :height, :width] / self.passes


def load() -> Self2Self:
    """The settings of its paper but the number of steps."""
    return Self2Self()


class _Partial(nn.Conv2d):
    """A 3x3 convolution over known pixels only, scaled up by how many of nine are known (Liu et al. 2018)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after, 3, padding=1)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Features and where they are known, after the leaky ReLU; `mask` is (1, 1, y, x)."""
        share = F.avg_pool2d(mask, 3, 1, 1)
        known = (share > 0).to(x.dtype)
        assert self.bias is not None
        out = F.conv2d(x * mask, self.weight, padding=1) / share.clamp_min(1 / 9) + self.bias[:, None, None]
        return F.leaky_relu(out, _SLOPE) * known, known


class _PartialUNet(nn.Module):
    """(1, 1, y, x) and its mask -> (1, 1, y, x) in [0, 1]; 2^5 divides y and x.

    It begins at the mean of the image: from 0.5 the sigmoid of a dark one can end at 0 for good (measured).
    """

    def __init__(self, channels: int, mean: Tensor) -> None:
        super().__init__()
        self.head = _Partial(1, channels)
        self.encoder = nn.ModuleList(_Partial(channels, channels) for _ in range(_POOLINGS))
        self.bridge = _Partial(channels, channels)
        wide = 2 * channels
        above = [channels, *[wide] * (_POOLINGS - 2)]
        self.decoder = nn.ModuleList(
            nn.ModuleList([_convolution(below + channels, wide), _convolution(wide, wide)]) for below in above
        )
        middle, narrow = max(1, wide * 2 // 3), max(1, wide // 3)  # 64 and 32 of 96
        self.tail = nn.ModuleList([_convolution(wide + 1, middle), _convolution(middle, narrow)])
        self.last = _convolution(narrow, 1)
        assert self.last.bias is not None
        nn.init.constant_(self.last.bias, float(torch.logit(mean, eps=1e-3)))

    def forward(self, image: Tensor, mask: Tensor, drop: Drop) -> Tensor:
        skips = [image * mask]
        x, known = self.head(image, mask)
        for layer in self.encoder:
            x, known = layer(x, known)
            x, known = F.max_pool2d(x, 2), F.max_pool2d(known, 2)
            skips.append(x)
        x, _ = self.bridge(skips.pop(), known)
        for pair in (*self.decoder, self.tail):
            x = torch.cat([F.interpolate(x, scale_factor=2), skips.pop()], 1)
            for convolution in pair:
                x = F.leaky_relu(convolution(drop(x)), _SLOPE)
        return torch.sigmoid(self.last(drop(x)))


def _convolution(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1)
