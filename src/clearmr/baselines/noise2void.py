"""Noise2Void, one network for all frames of a slice: Krull, Buchholz, Jug, CVPR 2019.

A U-net learns to tell pixels that it cannot see: in patches of 64 x 64, one pixel of every 8 x 8 is replaced by one of
its 5 x 5 neighbours, and only there is the error taken. Written from the paper: depth 2, 32 channels at the top,
batch norm, Adam at 4e-4, quarter turns and flips. Ours: 16 patches a step instead of 128, and a learning rate that
falls as a cosine, where the paper halves it on plateaus.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clearmr.baselines import learned
from clearmr.scan import SnrImage

PACKAGE = "torch"
LICENCE = "ours, MIT, written from the paper"
LEARNS = True
_CELL = 8  # one blind pixel in each cell of 8 x 8
_REACH = 2  # its stand-in comes from 5 x 5 around it
_POOLINGS = 2


@dataclass(frozen=True)
class Noise2Void(learned.Settings):
    """One network per slice's series, or for all slices of a volume. patch: side in pixels, at most the image's."""

    name: str = "noise2void"
    iterations: int = 3000
    learning_rate: float = 4e-4
    channels: int = 32
    patch: int = 64
    batch: int = 16

    def __call__(self, image: SnrImage) -> SnrImage:
        """Denoise frames and slices with what all of them taught; the noise level is not used."""
        return learned.denoise(image, self, self._restore, each=False)

    def _restore(self, noisy: Tensor, step: learned.Step) -> Tensor:
        draw = learned.generator(self)
        network = learned.fresh(lambda: _UNet(self.channels), self)
        optimiser = torch.optim.Adam(network.parameters(), lr=self.learning_rate)
        rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.iterations)
        mean, sd = noisy.mean(), noisy.std().clamp_min(1e-6)
        frames = _at_least((noisy - mean) / sd, _CELL)
        for _ in range(self.iterations):
            target = _patches(frames, self.batch, self.patch, draw)
            blinded, where = _blinded(target, draw)
            loss = F.mse_loss(network(blinded)[where], target[where])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            rate.step()
            step(loss)
        network.eval()
        with torch.no_grad():
            clean = torch.cat([_whole(network, frame) for frame in frames.split(1)])
        return clean[..., : noisy.shape[-2], : noisy.shape[-1]] * sd + mean


def load() -> Noise2Void:
    """The settings of its paper but batch and schedule."""
    return Noise2Void()


def _patches(frames: Tensor, batch: int, side: int, draw: torch.Generator) -> Tensor:
    """(batch, 1, side, side) from anywhere, turned and flipped; side no more than fits, whole cells."""
    n, _, height, width = frames.shape
    side = min(side, height, width) // _CELL * _CELL

    def drawn(stop: int) -> int:
        return int(torch.randint(stop, (), generator=draw, device=frames.device))

    found = []
    for _ in range(batch):
        y, x = drawn(height - side + 1), drawn(width - side + 1)
        patch = frames[drawn(n), :, y : y + side, x : x + side]
        patch = torch.rot90(patch, drawn(4), (1, 2))
        found.append(patch.flip(2) if drawn(2) else patch)
    return torch.stack(found)


def _blinded(patches: Tensor, draw: torch.Generator) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The patches with a neighbour in place of one pixel of every cell, and the indices of those pixels."""
    batch, _, side, _ = patches.shape
    shape, device = (batch, side // _CELL, side // _CELL), patches.device

    def drawn(stop: int) -> Tensor:
        return torch.randint(stop, shape, generator=draw, device=device)

    corner = _CELL * torch.arange(side // _CELL, device=device)
    y, x = corner[:, None] + drawn(_CELL), corner + drawn(_CELL)
    width = 2 * _REACH + 1
    place = drawn(width**2 - 1)
    place = place + (place >= width**2 // 2)  # all but the pixel itself
    near_y = _moved(y, place.div(width, rounding_mode="floor") - _REACH, side)
    near_x = _moved(x, place % width - _REACH, side)
    item = torch.arange(batch, device=device)[:, None, None].expand(shape)
    channel = torch.zeros_like(item)
    blinded = patches.clone()
    blinded[item, channel, y, x] = patches[item, channel, near_y, near_x]
    return blinded, (item, channel, y, x)


def _moved(index: Tensor, by: Tensor, size: int) -> Tensor:
    """The other way where it would leave the patch: a mirrored index could come back to the pixel itself."""
    there = index + by
    return torch.where((there < 0) | (there >= size), index - by, there)


def _at_least(frames: Tensor, size: int) -> Tensor:
    """Images smaller than a cell, filled up with their border."""
    height, width = frames.shape[-2:]
    return F.pad(frames, (0, max(0, size - width), 0, max(0, size - height)), mode="replicate")


def _whole(network: nn.Module, frame: Tensor) -> Tensor:
    height, width = frame.shape[-2:]
    step = 2**_POOLINGS
    padded = F.pad(frame, (0, -width % step, 0, -height % step), mode="replicate")
    return network(padded)[..., :height, :width]


class _UNet(nn.Module):
    """(n, 1, y, x) -> (n, 1, y, x); 2^2 divides y and x."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = [channels * 2**level for level in range(_POOLINGS)]
        self.down = nn.ModuleList(_pair(max(1, width // 2) if k else 1, width) for k, width in enumerate(widths))
        self.bridge = _pair(widths[-1], 2 * widths[-1], widths[-1])
        self.up = nn.ModuleList(_pair(2 * w, w, max(channels, w // 2)) for w in reversed(widths))
        self.last = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for block in self.down:
            skips.append(block(x))
            x = F.max_pool2d(skips[-1], 2)
        x = self.bridge(x)
        for block in self.up:
            x = block(torch.cat([F.interpolate(x, scale_factor=2), skips.pop()], 1))
        return self.last(x)


def _pair(before: int, middle: int, after: int | None = None) -> nn.Sequential:
    return nn.Sequential(*_layer(before, middle), *_layer(middle, after or middle))


def _layer(before: int, after: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()
