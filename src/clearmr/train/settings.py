"""Settings of a training, and the learning rate that follows from them."""

import dataclasses
import math
import typing
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from clearmr.errors import InputError

Config = TypeVar("Config", bound=Any)

START, END = 1 / 25, 1e-4  # fractions of the top at the first and the last step


@dataclass(frozen=True)
class LoopConfig:
    """Steps, optimiser, learning rate of the one cycle's top, and how often to look and to save (in steps)."""

    steps: int
    learning_rate: float = 1e-3
    warmup: float = 0.05  # fraction of the steps
    weight_decay: float = 1e-4
    clip_norm: float = 1.0
    average_decay: float = 0.999  # of the exponential moving average of the weights; 0: the last weights alone
    bf16: bool = False  # autocast; the parameters stay float32
    save_every: int = 500
    validate_every: int = 500
    log_every: int = 50
    optimizer: str = "adamw"  # or "sophia"
    curvature_every: int = 10  # Sophia: steps between two looks at the curvature
    gamma: float = 0.05  # Sophia: the larger, the fewer entries of a step are clipped
    workers: int = 0  # processes that make batches ahead of time; 0: made in the loop


def learning_rate(step: int, config: LoopConfig) -> float:
    """Of step 0 ... steps - 1: up over the warm-up, down to nearly 0 at the last step."""
    return one_cycle(step, steps=config.steps, top=config.learning_rate, warmup=config.warmup)


def one_cycle(step: int, *, steps: int, top: float, warmup: float) -> float:
    """One cycle (Smith 2018) of two half cosines: up over the fraction `warmup` of `steps`, then down to nearly 0.

    As torch's OneCycleLR with anneal_strategy "cos", but a function of the step, so that a resumed run needs no state.
    """
    peak = max(0.0, warmup * steps - 1)
    if step < peak:
        return _between(top * START, top, step / peak)
    return _between(top, top * END, (step - peak) / max(1e-9, steps - 1 - peak))


def _between(start: float, end: float, phase: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * phase))


def with_settings(config: Config, settings: dict[str, str]) -> Config:
    """Dataclasses in a dataclass, fields replaced by `part.name=value` texts, each read as its default's type.

    Raises InputError.
    """
    for key, text in settings.items():
        part, _, name = key.partition(".")
        section = getattr(config, part, None)
        if not name or not dataclasses.is_dataclass(section) or not hasattr(section, name):
            known = ", ".join(f"{p.name}.{f.name}" for p in dataclasses.fields(config) for f in _fields(config, p.name))
            raise InputError("a setting as part.name=value", key, f"known: {known}")
        value = _read(key, text, getattr(section, name), _choices(section, name))
        replaced = dataclasses.replace(section, **{name: value})  # type: ignore[type-var]
        config = dataclasses.replace(config, **{part: replaced})
    return config


def _fields(config: Any, part: str) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(getattr(config, part))


def _choices(section: Any, name: str) -> tuple[Any, ...]:
    """The values that a field's Literal type allows; none where its type is another."""
    kind = typing.get_type_hints(type(section))[name]
    return typing.get_args(kind) if typing.get_origin(kind) is Literal else ()


def _read(key: str, text: str, default: Any, choices: tuple[Any, ...]) -> Any:
    if choices and text not in choices:
        raise InputError(f"{key} among {', '.join(choices)}", text, "choose one of them")
    kind = type(default)
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        if kind is tuple:
            return tuple(type(default[0])(item) for item in text.strip("()").split(",") if item)
        return kind(text)
    except (ValueError, KeyError) as error:
        raise InputError(f"{key} as {kind.__name__}", text, f"write it like {default}") from error
