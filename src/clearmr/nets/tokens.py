"""How voxels become tokens: a table of patterns, each with its exact inverse.

A pattern cuts (T, H, W) into windows and says which of the resulting axes are separate problems (batch), which are
tokens, and which are the features of one token. Sizes that the window does not divide are padded with zeros, told by
`present`, and cropped again.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

Size = tuple[int, int, int]

# n heads of d channels each; windows counted by t, y, x, with i, j, k inside one.
VOXELS = "b (n d) (t i) (y j) (x k)"


@dataclass(frozen=True)
class TokenPattern:
    """layout: (batch, heads, tokens, features) in the letters of VOXELS. window: T, H, W; None is the whole axis."""

    layout: str
    window: tuple[int | None, int | None, int | None]


PATTERNS = {
    "frames": TokenPattern("b n (t y x) (d i j k)", (1, None, None)),
    "windows": TokenPattern("b n (t y x) (d i j k)", (16, 8, 8)),
    "windows-of-a-frame": TokenPattern("(b t) n (y x) (d i j k)", (1, 8, 8)),
    "voxels-of-a-window": TokenPattern("(b t y x) n (i j k) d", (16, 8, 8)),
}


@dataclass(frozen=True)
class Cut:
    """A pattern applied to one size: the windows, and the zeros put before and after each of T, H, W."""

    pattern: TokenPattern
    size: Size
    window: Size
    before: Size
    after: Size

    @property
    def padded(self) -> bool:
        return any(self.before) or any(self.after)

    def axes(self, batch: int, heads: int) -> dict[str, int]:
        """Lengths by which einops undoes the layout."""
        counts = [(b + n + a) // w for b, n, a, w in zip(self.before, self.size, self.after, self.window, strict=True)]
        lengths = (batch, heads, *counts, *self.window)
        return dict(zip("bntyxijk", lengths, strict=True))


def cut(pattern: TokenPattern, size: Sequence[int], *, shifted: bool = False) -> Cut:
    """Fit a pattern to (T, H, W). No window exceeds its axis.

    shifted: windows begin half a window later along each axis that is longer than one (Liu et al. 2021); what would
    wrap round is a smaller window of its own, filled with zeros at the front, so that no two borders meet.
    """
    window = tuple(n if w is None else min(n, w) for n, w in zip(size, pattern.window, strict=True))
    before = tuple(w - w // 2 if shifted and n > w else 0 for n, w in zip(size, window, strict=True))
    after = tuple(-(n + b) % w for n, b, w in zip(size, before, window, strict=True))
    return Cut(pattern, _three(size), _three(window), _three(before), _three(after))


def _three(lengths: Sequence[int]) -> Size:
    t, h, w = lengths
    return t, h, w


def to_tokens(x: Float[Tensor, "B C T H W"], where: Cut, heads: int) -> Float[Tensor, "batch heads tokens features"]:
    """Voxels to tokens; zeros stand where the windows reach out of the image."""
    if where.padded:
        x = F.pad(x, [n for pair in zip(where.before[::-1], where.after[::-1], strict=True) for n in pair])
    t, h, w = where.window
    tokens = rearrange(x, f"{VOXELS} -> {where.pattern.layout}", n=heads, i=t, j=h, k=w)
    return tokens if tokens.stride(-1) == 1 else tokens.contiguous()  # what the fused kernels want


def arranged(x: Float[Tensor, "B C T H W"], pattern: TokenPattern) -> Float[Tensor, "B C T H W"]:
    """x, in memory with each channel of a frame in one piece where tokens hold many voxels: tokens are then views.

    One frame at a time: the copy of a matrix's transpose is blocked, that of a series would fetch each channel from
    all of it, several times slower.
    """
    frames = x.transpose(1, 2)
    if not pattern.layout.endswith(")"):
        return x
    if torch.is_grad_enabled() or x.device.type != "cpu":
        return frames.contiguous().transpose(1, 2)
    out = torch.empty(frames.shape, dtype=x.dtype)
    for one, planes in zip(frames.flatten(0, 1), out.flatten(0, 1), strict=True):
        planes.flatten(1).copy_(one.permute(1, 2, 0).flatten(0, 1).t())
    return out.transpose(1, 2)


def from_tokens(
    tokens: Float[Tensor, "batch heads tokens features"], where: Cut, *, batch: int
) -> Float[Tensor, "B C T H W"]:
    """The exact inverse of `to_tokens`."""
    axes = where.axes(batch, tokens.shape[1])
    used = {name: n for name, n in axes.items() if name in where.pattern.layout}
    x = rearrange(tokens, f"{where.pattern.layout} -> {VOXELS}", **used)
    t, h, w = (slice(b, b + n) for b, n in zip(where.before, where.size, strict=True))
    return x[:, :, t, h, w]


def present(where: Cut, *, batch: int, device: torch.device | None = None) -> Bool[Tensor, "batch 1 1 tokens"] | None:
    """Which tokens hold any voxel of the image: the keys that may be attended to. None where all do."""
    if not where.padded:
        return None
    tokens = to_tokens(torch.ones((batch, 1, *where.size), device=device), where, 1)
    held = (tokens > 0).any(-1)[:, :, None]
    return None if bool(held.all()) else held


def token_length(pattern: TokenPattern, size: Sequence[int], channels: int) -> int:
    """Features of one token where an image of (T, H, W) = size is cut, `channels` per head."""
    inside = pattern.layout.rsplit("(", 1)[-1] if pattern.layout.endswith(")") else "d"
    windows = (n if w is None else w for n, w in zip(size, pattern.window, strict=True))
    return channels * math.prod(w for letter, w in zip("ijk", windows, strict=True) if letter in inside)
