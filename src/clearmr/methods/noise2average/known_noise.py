"""Ours, no part of the paper: rounds where the noise is known, and the motion left between the repeats is measured.

A first estimate of each repeat tells how they lie to one another; they are moved to meet half way, by shears that keep
the noise white, their Rician bias is taken out, and they are averaged by their noise. In each round the network, from
its first weights again, learns with the average as its target, round k for k times as long, and denoises the average.
Its input never has the noise that is in its target: the average is parted anew at each step, since its noise is known.
"""

import copy
import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clearmr.evaluate.rician import as_gaussian
from clearmr.methods import collaborative
from clearmr.methods.noise2average import course as courses
from clearmr.methods.noise2average import pairs, rigid
from clearmr.methods.noise2average.course import Course, State
from clearmr.methods.noise2average.pairs import Repeat, Scale
from clearmr.methods.noise2average.readings import Told
from clearmr.train.fine_tuning import fine_tuned

STILL_MM, STILL_DEGREES = 0.03, 0.03  # less is no motion
LEAST_VOLUMES = 6  # of a diffusion series, for its volumes to tell of one another


@dataclass(frozen=True)
class Meeting:
    """Repeats where they meet: Gaussian, in units of their own; their average in a common one, and its noise SD."""

    repeats: tuple[Repeat, ...]
    scales: tuple[Scale, ...]
    motions: tuple[rigid.Motion, ...]
    average: Repeat
    scale: Scale


def ticks(course: Course, n_repeats: int) -> int:
    """How often a run ticks."""
    return 2 * n_repeats + 1 + course.config.rounds * (n_repeats + 2)


def run(
    reading: Told, repeats: Sequence[Repeat], weight: Float[Tensor, "z y x"], course: Course, *,
    spacing: rigid.Mm = (1.0, 1.0, 1.0), rician: bool = True,
) -> State:  # fmt: skip
    """The average denoised, and each repeat; round 0 is the network as it is. State as in `published.run`."""
    mark = courses.fingerprint(course, repeats, weight, reading.net)
    state = courses.found(course, mark, copy.deepcopy(reading.net))
    if state is not None and (state.stopped or len(state.rounds) > course.config.rounds):
        return state
    met = meeting(reading, repeats, weight, course, spacing=spacing, rician=rician)
    for number in range(len(state.rounds) if state else 0, course.config.rounds + 1):
        state = courses.better(state, one_round(reading, met, weight, course, number))
        if course.work is not None:
            courses.save(state, mark, course.work)
        if state.stopped:
            break
    assert state is not None
    return state


def meeting(
    reading: Told, repeats: Sequence[Repeat], weight: Tensor, course: Course, *, spacing: rigid.Mm, rician: bool
) -> Meeting:
    """First estimates, motions, and the repeats brought together."""
    known, still = course.config.known, rigid.Motion()
    tuning = dataclasses.replace(course.config.tuning, views=known.first_views)
    first = []
    for repeat in repeats:
        first.append(reading.denoised(reading.net, repeat, _NONE, tuning, device=course.device, bf16=course.bf16))
        course.tick()
    motions = (still,) * len(repeats)
    if known.half_way:
        motions = rigid.measured([values.mean(0) for values in first], weight, spacing=spacing)
        motions = tuple(m if m.distance > STILL_MM or m.angle > STILL_DEGREES else still for m in motions)
    there = [_moved(repeat, m, spacing) for repeat, m in zip(repeats, motions, strict=True)]
    pilots = [_all_moved(values, m, spacing) for values, m in zip(first, motions, strict=True)]
    course.tick()
    gaussian = tuple(_gaussian(r, p) if rician else r for r, p in zip(there, pilots, strict=True))
    scales = tuple(pairs.scale_of(r.values, weight, noise_variance=r.noise_sd.square()) for r in gaussian)
    scale = pairs.common_scale(scales)
    return Meeting(gaussian, scales, motions, _average(gaussian, scales, scale, weight), scale)


def taught(reading: Told, met: Meeting, weight: Tensor, course: Course, number: int) -> nn.Module:
    """The network of a round, from its first weights: round k learns k times as long.

    From the average recorrupted. Blocks that `held_out_error` looks at are held out here too.
    """
    asked = course.config.tuning
    tuning = dataclasses.replace(asked, steps=number * asked.steps)
    cases = reading.cases(met.average, met.scale, met.average.values, weight)
    tuned = fine_tuned(
        reading.net, cases, tuning, seed=course.seed, device=course.device, bf16=course.bf16,
        fresh=functools.partial(recorrupted, alpha=course.config.known.alpha),
    )  # fmt: skip
    course.tick()
    return tuned.net.cpu()


def recorrupted(inputs: Tensor, target: Tensor, generator: torch.Generator, *, alpha: float) -> tuple[Tensor, Tensor]:
    """A noisy block y, noise of SD s, as y + alpha s z and y - s z / alpha: their noises are independent.

    Pang et al. 2021 (recorrupted-to-recorrupted). So the average is both what is learned from and what is learned,
    and its noise is not. Second channel: s.
    """
    noise = torch.randn(target.shape, generator=generator) * inputs[1:]
    return torch.cat([target + alpha * noise, inputs[1:] * (1 + alpha**2) ** 0.5]), target - noise / alpha


def one_round(reading: Told, met: Meeting, weight: Tensor, course: Course, number: int) -> State:
    """Round `number`, from the first weights; 0: with them as they are."""
    net = taught(reading, met, weight, course, number) if number else reading.net
    known, how = course.config.known, {"device": course.device, "bf16": course.bf16}
    one = dataclasses.replace(course.config.tuning, views=known.each_views)
    each = []
    for repeat, scale in zip(met.repeats, met.scales, strict=True):
        each.append(reading.denoised(net, repeat, scale, one, **how).clamp_min(0))
        course.tick()
    many = dataclasses.replace(course.config.tuning, views=known.views)
    average = reading.denoised(net, met.average, met.scale, many, **how).clamp_min(0)
    course.tick()
    error = courses.held_out_error(each, met.repeats, met.scales, weight, course.config, course.seed)
    figures: dict[str, Any] = {"round": number, "target": "average" if number else "none: the network as it came"}
    figures |= {"held_out_error": error, "motion_mm": [m.distance for m in met.motions]}
    figures |= {"motion_degrees": [m.angle for m in met.motions]}
    return State(filtered(average, met, course), tuple(each), net, (figures,))


def filtered(average: Tensor, met: Meeting, course: Course) -> Tensor:
    """A diffusion series filtered slice by slice by what its volumes have in common, other volumes each by itself."""
    known, noise_sd = course.config.known, met.average.noise_sd.expand(average.shape)
    if not known.share:
        return average
    groups, axis = (collaborative.TUBES, 1) if len(average) >= LEAST_VOLUMES else (collaborative.BOXES, 0)
    noisy, pilot, told = (values.unbind(axis) for values in (met.average.values, average, noise_sd))
    parts = zip(noisy, pilot, told, strict=True)
    out = [collaborative.refined(a, b, c, groups, rician=False) for a, b, c in parts]
    return torch.lerp(average, torch.stack(out, axis).clamp_min(0), known.share)


_NONE = Scale(torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1))


def _gaussian(repeat: Repeat, pilot: Tensor) -> Repeat:
    """Magnitudes less Rice's bias at the pilot, and the SD that their noise has there."""
    told = repeat.noise_sd.expand(repeat.values.shape)
    safe = torch.where(told > 0, told, torch.ones_like(told))
    values, variance = as_gaussian(repeat.values / safe, pilot / safe)
    return Repeat(torch.where(told > 0, values * safe, repeat.values), told * variance.sqrt())


def _average(repeats: Sequence[Repeat], scales: Sequence[Scale], scale: Scale, weight: Tensor) -> Repeat:
    """By the inverse of each repeat's noise variance in normalised intensities, over the mask; the noise SD of it."""
    variances = [(r.noise_sd / s.sd).square().expand(r.values.shape) for r, s in zip(repeats, scales, strict=True)]
    inside = [v[:, weight > 0].mean(1).view(-1, 1, 1, 1).clamp_min(1e-12) for v in variances]
    total = torch.stack([1 / v for v in inside]).sum(0)
    shares = [1 / (v * total) for v in inside]
    mean = pairs.averaged([r.values for r in repeats], scales, shares)
    variance = torch.stack([share.square() * v for share, v in zip(shares, variances, strict=True)]).sum(0)
    return Repeat(scale.back(mean), scale.sd * variance.sqrt())


def _moved(repeat: Repeat, motion: rigid.Motion, spacing: rigid.Mm) -> Repeat:
    return Repeat(_all_moved(repeat.values, motion, spacing), repeat.noise_sd)


def _all_moved(values: Tensor, motion: rigid.Motion, spacing: rigid.Mm) -> Tensor:
    return torch.stack([rigid.moved(frame, motion, spacing=spacing) for frame in values])
