"""After a network: what an image has in common with itself takes away what the network left. Ours.

A network of 3x3x3 cells sees a few frames and voxels. Patches that are alike, anywhere near, and in a series through
all frames, tell more of what stays the same (`methods/collaborative.py`). One round's error follows the shape of its
patches, so the next, which has its result as pilot, takes another shape.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Inexact
from scipy import ndimage
from torch import Tensor

from clearmr.evaluate.rician import as_gaussian
from clearmr.methods import collaborative
from clearmr.methods.collaborative import BOXES, Groups

SHARE = 0.9  # of what is filtered after the first network; the rest is that network's
SIGNAL = 2.0  # magnitude over noise_sd from which there is signal
NEAR = 8.0  # SD in pixels and frames of the neighbourhood whose mean is kept
CERTAIN = 8.0  # of `Groups`, where there are several rounds: filtered once, volumes keep more without
LEAST, MOST = 32, 112  # tubes of a group, eight for each frame
SERIES_FRAMES = 4  # from which a tube is long enough to be thin
FEW = 16  # frames, up to which filter and second network go by turns: that takes longest

Rounds = tuple[Groups, ...]
Plan = tuple[Rounds, ...]  # what is grouped, round by round; after each stage comes the second network, if there is one

# Chosen on slices, and on thick ones of one head.
SINGLE: Rounds = (Groups(8, 64, 10, certain=CERTAIN), Groups(4, 48, 10, certain=CERTAIN))
STACK: Rounds = (Groups(4, 32, 4, slices=2),)
VOLUME: Rounds = (BOXES,)


def plan_for(along: str, n_frames: int, *, mended: bool = False) -> Plan:
    """For so many frames or slices, along which of `layout.Along` the network went.

    mended: whether a second network mends what is filtered; but in long series less is then filtered before it, and
    the rest of it after.
    """
    if along == "volume":
        return (VOLUME, VOLUME) if mended else (VOLUME,)
    if along == "depth" and n_frames > 1:
        return (STACK,)
    return series_plan(n_frames, mended=mended) if n_frames >= SERIES_FRAMES else (SINGLE,)


def mends(along: str, n_frames: int) -> bool:
    """Whether a second network is of use there: on slices of heads, single or thick, it gained -0.2 to +0.3 dB."""
    return along == "volume" or (along == "time" and n_frames >= SERIES_FRAMES)


def series_plan(n_frames: int, *, mended: bool = False) -> Plan:
    """Tubes, and by turns short ones that are looked for in other frames too.

    Chosen on series of the simulated heart, of PINCAT's and of fMRI, 4 to 30 frames, none of them judged by `bench
    quality`, the rounds by turns with a second network on 10 and 12 frames of the same and of scans at R = 4: short
    tubes after it gained up to 0.1 dB on slow series and lost 0.2 on fast ones, as on the real cine that is judged
    (0.07). On 30 frames a second network that comes once, last, gained -0.1 to +0.1 dB; by turns it would be -0.2 to
    +0.8. Eight tubes for each frame and not five also since they did better on the real cine. One colour of the
    chessboard in each round does as well as both, in half the time.
    """
    similar = min(MOST, max(LEAST, 8 * n_frames))
    tubes = [Groups(4, similar, 8, colour=colour, certain=CERTAIN) for colour in (0, 1)]
    short = [Groups(4, 48, 1, min(8, n_frames), colour, CERTAIN) for colour in (0, 1)]
    if mended and n_frames <= FEW:
        return (tubes[0], short[0], tubes[1]), (*tubes, *tubes)
    return ((tubes[0], tubes[1], short[0], tubes[0], short[1], tubes[1]),)


def first_of(plan: Plan, rounds: int | None) -> Plan:
    """The first so many rounds of a plan; None: all."""
    if rounds is None:
        return plan
    left = [rounds - sum(map(len, plan[:k])) for k in range(len(plan))]
    return tuple(stage[:n] for stage, n in zip(plan, left, strict=True) if n > 0)


def ticks(shape: Sequence[int], rounds: Rounds) -> int:
    """How often `filtered` ticks."""
    return sum(collaborative.ticks(shape, groups) for groups in rounds)


def filtered(
    noisy: Inexact[Tensor, "T H W"],
    clean: Inexact[Tensor, "T H W"],
    noise_sd: Float[Tensor, "T H W"],
    rounds: Rounds,
    *,
    share: float = 1.0,
    tick: Callable[[], None] = lambda: None,
) -> Inexact[Tensor, "T H W"]:
    """The denoised series or volume `clean`, filtered round by round, each by the last result; mixed with `clean`."""
    if not rounds or not bool((noise_sd > 0).any()):
        return clean
    out = clean
    for groups in rounds:
        out = collaborative.refined(noisy, out, noise_sd, groups, rician=_is_rician(noisy), tick=tick)
    return torch.lerp(clean, out, share)


def mean_kept(
    noisy: Inexact[Tensor, "T H W"], clean: Inexact[Tensor, "T H W"], noise_sd: Float[Tensor, "T H W"]
) -> Inexact[Tensor, "T H W"]:
    """What was removed, less its mean over the signal near each voxel of signal: noise has none.

    What a denoiser smears over the border of an object is thereby given back to it.
    """
    signal = (clean.abs() > SIGNAL * noise_sd) & (noise_sd > 0)
    given, rician = noisy, _is_rician(noisy)
    if rician:
        safe = torch.where(noise_sd > 0, noise_sd, torch.ones_like(noise_sd))
        given = as_gaussian(noisy / safe, clean / safe)[0] * safe
    removed = torch.where(signal, given - clean, torch.zeros_like(clean))
    mean = _near(removed) / _near(signal.float()).clamp_min(1e-3)
    out = torch.where(signal, clean + mean, clean)
    return out.clamp_min(0) if rician else out


def _is_rician(noisy: Tensor) -> bool:
    """Whether these are magnitudes: real, and none of them negative."""
    return not noisy.is_complex() and not bool((noisy < 0).any())


def _near(values: Tensor) -> Tensor:
    """The mean of the neighbourhood of each voxel; zeros beyond the image."""
    return torch.from_numpy(ndimage.gaussian_filter(values.numpy(), NEAR, mode="constant", truncate=3.0))
