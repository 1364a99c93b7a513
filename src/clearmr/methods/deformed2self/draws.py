"""What is drawn at a step, as values: targets, where the crop lies, which way it is mirrored, which pixels drop."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from clearmr.methods.deformed2self.config import TrainConfig


@dataclass(frozen=True)
class Draw:
    """One step. masks (B, K, 1, h, w) of f_s's input and mask (B, 1, h, w) of f_m's target: 1 kept, 0 dropped."""

    targets: tuple[int, ...]
    corner: tuple[int, int]
    size: tuple[int, int]
    mirrored: tuple[int, ...]
    masks: Tensor
    mask: Tensor


def others_of(target: int, n_frames: int, n: int) -> tuple[int, ...]:
    """The n frames nearest to `target`, in the order of time; at the ends of a series those that there are.

    Of two equally near the earlier; all others where there are fewer than n.
    """
    near = sorted((k for k in range(n_frames) if k != target), key=lambda k: (abs(k - target), k))
    return tuple(sorted(near[:n]))


def draw(
    frames: tuple[int, ...], shape: tuple[int, int], config: TrainConfig, generator: torch.Generator, *, others: int
) -> Draw:
    """A step on targets among `frames` of a series of (H, W) = shape."""
    size = tuple(min(config.crop or n, n) for n in shape)
    corner = tuple(_below(n - m + 1, generator) for n, m in zip(shape, size, strict=True))
    mirrored = tuple(axis for axis in (-2, -1) if _below(2, generator))
    targets = tuple(frames[_below(len(frames), generator)] for _ in range(config.targets))
    masks, mask = masks_of((len(targets), others + 1, *size), config, generator)
    return Draw(targets, (corner[0], corner[1]), (size[0], size[1]), mirrored, masks, mask)


def masks_of(
    shape: tuple[int, ...], config: TrainConfig, generator: torch.Generator
) -> tuple[Float[Tensor, "B K 1 h w"], Float[Tensor, "B 1 h w"]]:
    """b_k of all frames and b of the target, for `shape` (B, K, h, w)."""
    batch, frames, height, width = shape
    kept = (torch.rand(batch, frames, 1, height, width, generator=generator) >= config.mask).float()
    if config.shared_mask:
        return kept, kept[:, 0]
    return kept, (torch.rand(batch, 1, height, width, generator=generator) >= config.mask).float()


def cut(series: Float[Tensor, "T C H W"], drawn: Draw, n: int) -> Float[Tensor, "B K C h w"]:
    """Of each target its frames, target first, cropped and mirrored. n: auxiliary frames."""
    (top, left), (height, width) = drawn.corner, drawn.size
    window = series[..., top : top + height, left : left + width]
    stack = torch.stack([window[[target, *others_of(target, len(series), n)]] for target in drawn.targets])
    return stack.flip(drawn.mirrored) if drawn.mirrored else stack


def _below(n: int, generator: torch.Generator) -> int:
    return int(torch.randint(n, (), generator=generator))
