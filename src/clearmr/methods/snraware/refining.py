"""After the network, of a series in time: what it has in common with itself takes away what the network left. Ours.

A network of 3x3x3 cells sees a few frames and pixels; tubes that are alike, anywhere near and through all frames, tell
more of what stays the same (`methods/collaborative.py`).
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Inexact
from torch import Tensor

from clearmr.methods import collaborative

# Chosen on the simulated cine and on the real one at 10 %, where these few settings differ by 0.3 dB at the most.
ROUNDS, PATCH, SIMILAR, WINDOW = 2, 4, 128, 8
SHARE = 0.85  # of the filtered; the rest is the network's
LEAST_FRAMES = 6  # fewer have too little in common to tell


def rounds_for(along: str, n_frames: int, *, asked: int) -> int:
    """How often to filter: as asked for of a series in time, never of volumes or single images."""
    return asked if along == "time" and n_frames >= LEAST_FRAMES else 0


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
    for _ in range(rounds):
        clean = collaborative.refined(
            noisy, clean, noise_sd, rician=rician, patch=PATCH, similar=SIMILAR, window=WINDOW, tick=tick
        )
    return torch.lerp(network, clean, SHARE) if rounds else clean
