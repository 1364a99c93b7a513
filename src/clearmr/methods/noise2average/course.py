"""Rounds: what a run is told, what it tells of a round, when it stops, and its state in a folder."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clearmr.errors import InputError
from clearmr.methods.noise2average.config import Noise2AverageConfig
from clearmr.methods.noise2average.pairs import Repeat, Scale
from clearmr.train import blocks, checkpoint


def no_tick() -> None:
    """Says nothing."""


@dataclass(frozen=True)
class Course:
    """What a run is told beside its data. work: a folder that keeps the state after each round; resume: go on there."""

    config: Noise2AverageConfig
    seed: int = 0
    device: str = "cpu"
    bf16: bool = False
    work: Path | None = None
    resume: bool = False
    tick: Callable[[], None] = no_tick


@dataclass(frozen=True)
class State:
    """After a round: the best round's results and network, and what is told of every round.

    average (frame, z, y, x): the result; each: the repeats denoised. rounds: figures, the kept one says `"kept": True`.
    """

    average: Tensor
    each: tuple[Tensor, ...]
    net: nn.Module
    rounds: tuple[dict[str, Any], ...] = field(default_factory=tuple)
    stopped: bool = False


def held_out_error(
    denoised: Sequence[Tensor], repeats: Sequence[Repeat], scales: Sequence[Scale], weight: Tensor,
    config: Noise2AverageConfig, seed: int,
) -> float:  # fmt: skip
    """How far each denoised repeat is from the mean of the OTHER repeats as they came, on blocks that nothing learned.

    Normalised intensities, mean square, weighted by the mask. The noise of the others is in no input of it, so that,
    but for a constant, this is the squared error: rounds can be compared by it, where losses to their targets cannot.
    All blocks where there is but one.
    """
    boxes = blocks.blocks_of(weight, config.tuning.block)
    held = blocks.split_blocks(boxes, config.tuning.validation, seed)[1] or boxes
    where = torch.zeros_like(weight)
    for box in held:
        where[box] = weight[box]
    given = [scale.normalised(r.values) for r, scale in zip(repeats, scales, strict=True)]
    total = torch.stack(given).sum(0)
    errors = []
    for values, own, scale in zip(denoised, given, scales, strict=True):
        others = (total - own) / (len(given) - 1)
        errors.append(float((where * (scale.normalised(values) - others).square()).sum()))
    count = float(where.sum()) * len(repeats[0].values) * len(repeats)
    return sum(errors) / max(count, 1e-12)


def fingerprint(course: Course, repeats: Sequence[Repeat], weight: Tensor, net: nn.Module) -> str:
    """SHA-256 of what a run's result depends on."""
    digest = hashlib.sha256(json.dumps([dataclasses.asdict(course.config), course.seed], sort_keys=True).encode())
    for tensor in (weight, *(part for r in repeats for part in (r.values, r.noise_sd)), *net.state_dict().values()):
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def save(state: State, mark: str, work: Path) -> None:
    """The state in `work`, whole or not at all."""
    work.mkdir(parents=True, exist_ok=True)
    tensors = {"average": state.average, **{f"repeat.{k}": part for k, part in enumerate(state.each)}}
    tensors |= {f"net.{name}": value for name, value in state.net.state_dict().items()}
    checkpoint.save_state(tensors, {"mark": mark, "rounds": list(state.rounds), "stopped": state.stopped}, work)


def found(course: Course, mark: str, net: nn.Module) -> State | None:
    """The state to go on with; None where there is none to. `net`: of the same kind, which its weights are put into.

    Raises InputError where the folder holds a state that was not asked for, or another run's.
    """
    if course.work is None:
        return None
    if not checkpoint.begun(course.work):
        return None
    if not course.resume:
        raise InputError("a folder without a run", f"one in {course.work}", "pass --resume or name another folder")
    tensors, note = checkpoint.load_state(course.work)
    if note.get("mark") != mark:
        todo = "resume with the same repeats, mask, settings and seed, or name another folder"
        raise InputError("the run's own repeats and settings", f"others than in {course.work}", todo)
    net.load_state_dict({name[4:]: value for name, value in tensors.items() if name.startswith("net.")})
    each = tuple(tensors[f"repeat.{k}"] for k in range(sum(name.startswith("repeat.") for name in tensors)))
    return State(tensors["average"], each, net, tuple(note["rounds"]), bool(note["stopped"]))


def better(before: State | None, now: State) -> State:
    """The state after a round: the new one where its held-out error is no worse, else the one before, stopped.

    Both rounds' figures are told; the kept one is marked.
    """
    if before is None:
        return dataclasses.replace(now, rounds=_marked(now.rounds, len(now.rounds) - 1))
    error, last = now.rounds[-1]["held_out_error"], _kept(before.rounds)["held_out_error"]
    rounds = (*before.rounds, now.rounds[-1])
    if error <= last:
        return dataclasses.replace(now, rounds=_marked(rounds, len(rounds) - 1))
    return dataclasses.replace(before, rounds=_marked(rounds, rounds.index(_kept(before.rounds))), stopped=True)


def _kept(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return next(r for r in rounds if r.get("kept"))


def _marked(rounds: Sequence[dict[str, Any]], kept: int) -> tuple[dict[str, Any], ...]:
    return tuple({**figures, "kept": k == kept} for k, figures in enumerate(rounds))
