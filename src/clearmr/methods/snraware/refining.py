"""After the network: what an image has in common with itself takes away what the network left. Ours.

A network of 3x3x3 cells sees a few frames and voxels. Patches that are alike, anywhere near, and in a series through
all frames, tell more of what stays the same (`methods/collaborative.py`).
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Inexact
from torch import Tensor

from clearmr.methods import collaborative
from clearmr.methods.collaborative import BOXES, TUBES, Groups

ROUNDS = 2
SHARE = 0.9  # of the filtered; the rest is the network's

SINGLE, STACK = Groups(6, 64, 10), Groups(4, 32, 4, slices=2)  # chosen on slices, and on thick ones of one head
SERIES_FRAMES = 4  # from which a tube is long enough to be thin


def groups_for(along: str, n_frames: int) -> Groups:
    """What is grouped in an image of so many frames or slices, along which of `layout.Along` the network went."""
    if along == "volume":
        return BOXES
    if along == "depth" and n_frames > 1:
        return STACK
    return TUBES if n_frames >= SERIES_FRAMES else SINGLE


def rounds_for(along: str, *, asked: int) -> int:
    """How often to filter: as asked for of single images and series in time, volumes and stacks of slices once."""
    return asked if along in ("time", "none") else min(asked, 1)


def ticks(shape: Sequence[int], groups: Groups, rounds: int) -> int:
    """How often `refined` ticks."""
    return rounds * collaborative.ticks(shape, groups)


def refined(
    noisy: Inexact[Tensor, "T H W"],
    clean: Inexact[Tensor, "T H W"],
    noise_sd: Float[Tensor, "T H W"],
    groups: Groups,
    *,
    rounds: int,
    tick: Callable[[], None] = lambda: None,
) -> Inexact[Tensor, "T H W"]:
    """The denoised series or volume `clean`, filtered `rounds` times, each time by the last result."""
    if not bool((noise_sd > 0).any()):
        return clean
    rician, network = not noisy.is_complex() and not bool((noisy < 0).any()), clean
    for _ in range(rounds):
        clean = collaborative.refined(noisy, clean, noise_sd, groups, rician=rician, tick=tick)
    return torch.lerp(network, clean, SHARE) if rounds else clean
