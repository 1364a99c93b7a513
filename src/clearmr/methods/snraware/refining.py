"""After the network: what an image has in common with itself takes away what the network left. Ours.

A network of 3x3x3 cells sees a few frames and pixels. Patches that are alike, anywhere near and through all frames,
tell more of what stays the same (`methods/collaborative.py`). Volumes gain nothing: there the network has seen it.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Inexact
from torch import Tensor

from clearmr.methods import collaborative

ROUNDS = 2
SHARE = 0.9  # of the filtered; the rest is the network's


@dataclass(frozen=True)
class Groups:
    """Side of the patches, how many alike make a group, and how far they are looked for, in pixels."""

    patch: int
    similar: int
    window: int


# Chosen on the simulated and the real cine at one noise level each, and on slices: near these, 0.3 dB matter at most.
SERIES, SINGLE = Groups(4, 128, 8), Groups(6, 64, 10)
SERIES_FRAMES = 4  # from which a tube is long enough to be thin


def rounds_for(along: str, *, asked: int) -> int:
    """How often to filter: as asked for of single images and of series in time, never of volumes."""
    return asked if along in ("time", "none") else 0


def ticks(n_frames: int, rounds: int) -> int:
    """How often `refined` ticks."""
    return rounds * len(collaborative.parts_of(n_frames))


def refined(
    noisy: Inexact[Tensor, "T H W"],
    clean: Inexact[Tensor, "T H W"],
    noise_sd: Float[Tensor, "T H W"],
    *,
    rounds: int,
    tick: Callable[[], None] = lambda: None,
) -> Inexact[Tensor, "T H W"]:
    """The denoised series `clean`, filtered `rounds` times, each time by the last result."""
    if not bool((noise_sd > 0).any()):
        return clean
    rician, network = not noisy.is_complex() and not bool((noisy < 0).any()), clean
    groups = SERIES if len(noisy) >= SERIES_FRAMES else SINGLE
    for _ in range(rounds):
        clean = collaborative.refined(noisy, clean, noise_sd, rician=rician, tick=tick, **dataclasses.asdict(groups))
    return torch.lerp(network, clean, SHARE) if rounds else clean
