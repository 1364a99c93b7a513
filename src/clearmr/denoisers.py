"""A ready denoiser of any method, by name and options: what the command line and Python ask for."""

import dataclasses
import math
from pathlib import Path
from types import ModuleType
from typing import Any

from clearmr import baselines, methods
from clearmr.baselines.ready import ready as ready_peer
from clearmr.denoiser import Denoiser, Progress, no_progress
from clearmr.errors import InputError

MEMORY = "3G"  # of a process that denoises, at its peak
UNITS = {"K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_UNSAID: dict[str, Any] = {"model": None, "along": "auto", "memory": MEMORY, "batch": 1, "precision": "auto"}
_UNSAID |= {"budget": None, "fields": False, "refine": None}
# Options that not every denoiser has, and the method that has them.
_OF_SOME = {
    "budget_s": ("budget", "deformed2self"),
    "keep_fields": ("fields", "deformed2self"),
    "refine": ("refine", "snraware"),
}


def denoiser(
    method: str = "auto",
    *,
    model: str | Path | None = None,
    is_complex: bool = True,
    strength: float = 1.0,
    along: str = "auto",
    memory: str | float = MEMORY,
    batch: int = 1,
    precision: str = "auto",
    device: str = "cpu",
    seed: int = 0,
    budget_s: float | None = None,
    keep_fields: bool = False,
    refine: int | None = None,
    progress: Progress = no_progress,
) -> Denoiser:
    """A ready denoiser: `auto` is the model's own method; without a model it is SNRAware, for complex or magnitude.

    method: a room of `methods`, or a peer of `baselines` (bm4d, nlm, ...), which takes strength, and, where it learns
    from the image itself, seed and device.
    strength: the result is original + strength (denoised - original), 0 to 1. along: what the network sees as
    neighbours, "time", "depth", "volume", "none" or "auto". memory: of a fresh process that denoises, at its peak, as
    bytes or "800M", "4G". batch: series or slices at once in the network. precision: "float32", "bf16" or "auto".
    budget_s, keep_fields: of a method that learns from the series itself: seconds until it gives back the best so far,
    and whether its `run` gives the fields of motion beside the image; its seed is `seed`. refine: of SNRAware, rounds
    of the collaborative filter after the network, at the most; None: all.
    Raises InputError for a value that is none of these, an unknown method or model, a model of another method.
    """
    if method in baselines.BASELINES:
        given = {"model": model, "along": along, "memory": memory, "batch": batch, "precision": precision}
        given |= {"budget": budget_s, "fields": keep_fields, "refine": refine}
        refused = [name for name, value in given.items() if value != _UNSAID[name]]
        return ready_peer(method, strength=strength, refused=refused, seed=seed, device=device, progress=progress)
    room = methods.room(_method_for(method, model))
    loaded = room.load(model, device=device, is_complex=is_complex, **_prior(room, device, is_complex))
    return dataclasses.replace(
        loaded,
        strength=strength,
        along=along,
        memory_bytes=bytes_of(memory),
        batch=batch,
        precision=precision,
        progress=progress,
        **_of_some(loaded, seed=seed, budget_s=budget_s, keep_fields=keep_fields or None, refine=refine),
    )


def _of_some(loaded: Denoiser, **asked: Any) -> dict[str, Any]:
    """What was asked for that this denoiser has. Raises InputError where only others have it."""
    known = {field.name for field in dataclasses.fields(loaded)}  # type: ignore[arg-type]
    for name, (option, method) in _OF_SOME.items():
        if asked[name] is not None and name not in known:
            found = f"the model {loaded.name}, which takes none"
            raise InputError(f"--method {method} with --{option}", found, f"leave --{option} out")
    return {name: value for name, value in asked.items() if name in known and value is not None}


def _prior(room: ModuleType, device: str, is_complex: bool) -> dict[str, Denoiser]:
    """The first method's default model, for a room that begins at another denoiser."""
    if not getattr(room, "TAKES_PRIOR", False):
        return {}
    kind = is_complex and not getattr(room, "MAGNITUDES", False)
    return {"prior": methods.room(methods.METHODS[0]).load(None, device=device, is_complex=kind)}


def _method_for(method: str, model: str | Path | None) -> str:
    """The name of a room. Raises InputError where the model is of another one than was asked for."""
    own = None if model is None else methods.of_model(model)
    if method == "auto":
        return own or methods.METHODS[0]
    methods.room(method)
    if own is not None and own != method.replace("-", "_"):
        found = f"one of {methods.dashed(own)} in {model}"
        raise InputError(f"a model of {methods.dashed(method)}", found, "leave --method out, or name another model")
    return method


def bytes_of(size: str | float) -> float:
    """A size in bytes, from a number or a text like 800M, 4G, 1.5GB, 2GiB. Raises InputError for anything else."""
    text = str(size).strip().upper()
    binary = text.endswith("IB")
    number = text.removesuffix("IB").removesuffix("B")
    unit = UNITS.get(number[-1:], 1.0)
    if binary:
        unit = 1024.0 ** round(math.log10(unit) / 3)
    try:
        value = float(number[:-1] if number[-1:] in UNITS else number) * unit
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise InputError("--memory as a size", str(size) or "nothing", "write for example 4G, 800M or bytes")
    return value
