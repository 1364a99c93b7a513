"""From a given denoiser, the noise known: it takes the place of the untrained first stage. Ours; no part of the paper.

Views of the series (as it is, mirrored, turned) go through the denoiser; their mean is the pilot of collaborative
filters (`methods/refining.py`), which take from the series itself what the denoiser was never taught. From the result
the denoiser learns (`teaching.py`), and the two take their turns once more.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from clearmr.denoiser import Denoiser, no_progress
from clearmr.evaluate.rician import is_rician
from clearmr.methods import collaborative, refining
from clearmr.methods.collaborative import Groups
from clearmr.methods.deformed2self import teaching
from clearmr.methods.deformed2self.config import PriorConfig
from clearmr.methods.deformed2self.training import Course
from clearmr.scan import SnrImage

FIRST_VIEWS, FIRST_ROUNDS = 2, 2  # of the first estimate
# (axes to mirror, whether rows and columns are swapped)
VIEWS: tuple[tuple[tuple[int, ...], bool], ...] = (
    ((), False), ((), True), ((-1,), False), ((0,), False),
    ((-2,), False), ((-1, -2), True), ((0, -1), False), ((0,), True),
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """The denoised series (frame, 1, y, x), views, steps and filters that it took, and whether time ran out."""

    image: Tensor
    views: int
    steps: int
    filters: int
    late: bool


def ticks(config: PriorConfig) -> int:
    """How often `denoise` ticks, at the most."""
    first = FIRST_VIEWS + FIRST_ROUNDS if config.steps else 0
    return first + config.steps + config.views + config.rounds


def denoise(image: SnrImage, prior: Denoiser, config: PriorConfig, course: Course) -> Result:
    """One slice over time, (frame, 1, y, x). What is done when time runs out is given back; one view at the least.

    A first estimate (the prior, filtered) is made; the prior learns from it; its views are filtered once more.
    """
    prior = _quiet(prior)
    first, steps, filters = None, 0, 0
    if config.steps and teaching.can_learn(prior):
        pilot, _ = pilot_of(image, prior, FIRST_VIEWS, course)
        first, filters = refined(image, pilot, FIRST_ROUNDS, config.share, course)
        if not course.late:
            estimate = dataclasses.replace(image, image=first)
            prior, steps = teaching.taught(prior, estimate, image, config, course)
    if first is not None and course.late:
        return Result(first, FIRST_VIEWS, steps, filters, True)
    pilot, views = pilot_of(image, prior, config.views, course)
    clean, filters = refined(image, pilot, config.rounds, config.share, course)
    if first is not None and not filters:
        clean = first
    return Result(clean, views, steps, filters, views < config.views or filters < config.rounds)


def refined(image: SnrImage, pilot: Tensor, rounds: int, share: float, course: Course) -> tuple[Tensor, int]:
    """The pilot filtered round by round, `share` of it beside the pilot's, its mean kept; and rounds in time."""
    clean, done = pilot, 0
    for groups in refining.series_plan(len(pilot))[:rounds]:
        if course.late:
            break
        clean, done = refine(image, clean, groups), done + 1
        course.tick()
    if not done:
        return pilot, 0
    noisy, mixed, told = _series(image, torch.lerp(pilot, clean, share))
    return refining.mean_kept(noisy, mixed, told, rician=is_rician(image))[:, None], done


def pilot_of(image: SnrImage, prior: Denoiser, n: int, course: Course) -> tuple[Tensor, int]:
    """The mean of what the prior makes of n views of the series, turned back; and of how many there was time for."""
    total, done = torch.zeros(()), 0
    for axes, turned in VIEWS[:n]:
        if done and course.late:
            break
        total, done = total + _back(prior(_viewed(image, axes, turned)).image, axes, turned), done + 1
        course.tick()
    return total / done, done


def refine(image: SnrImage, pilot: Tensor, groups: Groups) -> Tensor:
    """The collaborative filter on one slice, (frame, 1, y, x)."""
    return collaborative.refined(*_series(image, pilot), groups, rician=is_rician(image))[:, None]


def _series(image: SnrImage, pilot: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The image, the pilot and noise_sd as (frame, y, x)."""
    return image.image[:, 0], pilot[:, 0], image.noise_sd.float().expand(image.image.shape)[:, 0]


def _quiet(prior: Any) -> Any:
    """The prior alone: without its own progress, and without a filter of its own after it, where it has such."""
    if not dataclasses.is_dataclass(prior):
        return prior
    changes = {"progress": no_progress, "refine": 0}
    return dataclasses.replace(prior, **{name: it for name, it in changes.items() if hasattr(prior, name)})  # type: ignore[type-var]


def _viewed(image: SnrImage, axes: tuple[int, ...], turned: bool) -> SnrImage:
    def there(values: Tensor) -> Tensor:
        flipped = values.flip(axes) if axes else values
        return (flipped.mT if turned else flipped).contiguous()

    parts = {"image": there(image.image), "noise_sd": there(image.noise_sd), "gmap": there(image.gmap)}
    return dataclasses.replace(image, **parts, meta={})  # type: ignore[arg-type]


def _back(values: Tensor, axes: tuple[int, ...], turned: bool) -> Tensor:
    straight = values.mT if turned else values
    return straight.flip(axes) if axes else straight
