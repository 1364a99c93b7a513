"""From a given denoiser, the noise known: it takes the place of the untrained first stage. Ours; no part of the paper.

Views of the series (as it is, mirrored, turned) go through the denoiser; their mean is the pilot of a collaborative
filter over tubes (`methods/collaborative.py`), which takes from the series itself what the denoiser was never taught.
From the result the denoiser learns (`teaching.py`), and the two take their turns once more.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from clearmr.denoiser import Denoiser, no_progress
from clearmr.evaluate.rician import is_rician
from clearmr.methods import collaborative
from clearmr.methods.collaborative import Groups
from clearmr.methods.deformed2self import teaching
from clearmr.methods.deformed2self.config import PriorConfig
from clearmr.methods.deformed2self.training import Course
from clearmr.scan import SnrImage

FIRST_VIEWS = 2  # of the first estimate
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
    first = FIRST_VIEWS + 1 if config.steps else 0
    return first + config.steps + config.views + config.rounds * len(config.patches)


def denoise(image: SnrImage, prior: Denoiser, config: PriorConfig, course: Course) -> Result:
    """One slice over time, (frame, 1, y, x). What is done when time runs out is given back; one view at the least.

    A first estimate (the prior, filtered) is made; the prior learns from it; its views are filtered once more.
    """
    prior = _quiet(prior)
    first, steps, filters = None, 0, 0
    if config.steps and teaching.can_learn(prior):
        pilot, _ = pilot_of(image, prior, FIRST_VIEWS, course)
        first, filters = refined(image, pilot, config, (config.patches[0],), course)
        if not course.late:
            estimate = dataclasses.replace(image, image=first)
            prior, steps = teaching.taught(prior, estimate, image, config, course)
    if first is not None and course.late:
        return Result(first, FIRST_VIEWS, steps, filters, True)
    pilot, views = pilot_of(image, prior, config.views, course)
    clean, filters = pilot, 0
    for _ in range(config.rounds):
        clean, done = refined(image, pilot, config, config.patches, course, guide=clean)
        filters += done
    if first is not None and not filters:
        clean = first
    wanted = config.rounds * len(config.patches)
    return Result(clean, views, steps, filters, views < config.views or filters < wanted)


def refined(
    image: SnrImage, pilot: Tensor, config: PriorConfig, patches: Sequence[int], course: Course,
    *, guide: Tensor | None = None,
) -> tuple[Tensor, int]:  # fmt: skip
    """The mean of the filters of these patches, `config.share` of it beside the pilot's, and of how many filters.

    guide: what the filters go by, the pilot where there is none. It is given back where time has run out.
    """
    guide, found = pilot if guide is None else guide, []
    for patch in patches:
        if course.late:
            break
        found.append(refine(image, guide, config, patch=patch))
        course.tick()
    return (torch.lerp(pilot, torch.stack(found).mean(0), config.share) if found else guide), len(found)


def pilot_of(image: SnrImage, prior: Denoiser, n: int, course: Course) -> tuple[Tensor, int]:
    """The mean of what the prior makes of n views of the series, turned back; and of how many there was time for."""
    total, done = torch.zeros(()), 0
    for axes, turned in VIEWS[:n]:
        if done and course.late:
            break
        total, done = total + _back(prior(_viewed(image, axes, turned)).image, axes, turned), done + 1
        course.tick()
    return total / done, done


def refine(image: SnrImage, pilot: Tensor, config: PriorConfig, *, patch: int) -> Tensor:
    """The collaborative filter on one slice, (frame, 1, y, x)."""
    noise_sd = image.noise_sd.float().expand(image.image.shape)
    noisy, guess, told = (values[:, 0] for values in (image.image, pilot, noise_sd))
    groups = Groups(patch, config.similar, config.window)
    return collaborative.refined(noisy, guess, told, groups, rician=is_rician(image))[:, None]


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
