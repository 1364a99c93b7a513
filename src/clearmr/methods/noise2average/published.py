"""The published rounds: each repeat is taught to be the average, then the average of the denoised repeats."""

import copy
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from clearmr.methods.noise2average import course as courses
from clearmr.methods.noise2average import pairs
from clearmr.methods.noise2average.course import Course, State
from clearmr.methods.noise2average.pairs import Repeat
from clearmr.methods.noise2average.readings import Reading
from clearmr.train.fine_tuning import fine_tuned


def ticks(course: Course, n_repeats: int) -> int:
    """How often a run ticks: twice a round, and with each repeat that is denoised."""
    return course.config.rounds * (1 + n_repeats)


def run(reading: Reading, repeats: Sequence[Repeat], weight: Float[Tensor, "z y x"], course: Course) -> State:
    """Round after round, as many as asked for, or until one is worse; the better one's results.

    weight: of the loss, the mask. After each round the state is kept in `course.work`, where there is one.
    """
    scales = [pairs.scale_of(repeat.values, weight) for repeat in repeats]
    mark = courses.fingerprint(course, repeats, weight, reading.net)
    state = courses.found(course, mark, copy.deepcopy(reading.net))
    for number in range(1 + (len(state.rounds) if state else 0), course.config.rounds + 1):
        if state is not None and state.stopped:
            break
        state = courses.better(state, one_round(reading, repeats, scales, weight, course, number, state))
        if course.work is not None:
            courses.save(state, mark, course.work)
    assert state is not None
    return state


def one_round(
    reading: Reading, repeats: Sequence[Repeat], scales: Sequence[pairs.Scale], weight: Tensor, course: Course,
    number: int, before: State | None,
) -> State:  # fmt: skip
    """Round `number`, from the pretrained weights: ORIGINAL repeats onto the average of the latest ones."""
    originals = [repeat.values for repeat in repeats]
    latest = originals if before is None else before.each
    own = [pairs.scale_of(values, weight) for values in latest]
    wanted = pairs.targets(originals, latest, scales, own)
    cases = [
        case for repeat, scale, target in zip(repeats, scales, wanted, strict=True)
        for case in reading.cases(repeat, scale, target, weight)
    ]  # fmt: skip
    how = {"device": course.device, "bf16": course.bf16}
    tuned = fine_tuned(
        reading.net, cases, course.config.tuning, seed=course.seed, device=course.device, bf16=course.bf16
    )
    course.tick()
    each = []
    for repeat, scale in zip(repeats, scales, strict=True):
        each.append(reading.denoised(tuned.net, repeat, scale, course.config.tuning, **how))
        course.tick()
    error = courses.held_out_error(each, repeats, scales, weight, course.config, course.seed)
    figures = {
        "round": number, "target": "average" if before is None else "average of the denoised repeats",
        "held_out_error": error, "train": list(tuned.train), "validation": list(tuned.validation), "epoch": tuned.best,
    }  # fmt: skip
    denoised = [pairs.scale_of(values, weight) for values in each]
    average = pairs.common_scale(denoised).back(pairs.averaged(each, denoised))
    return State(average, tuple(each), tuned.net.cpu(), (figures,))
