"""A room per paper. Rooms never import one another; `METHODS` names them all."""

import importlib
import json
from pathlib import Path
from types import ModuleType

from clearmr.errors import InputError

METHODS = ("snraware", "mr_self_noise2noise", "deformed2self", "noise2average")


def room(name: str) -> ModuleType:
    """The `method` module of a paper's room, its name with dashes or underscores. Raises InputError for an unknown one.

    It has `fit`, `load(model, *, device, is_complex)` and `bundled()`; what `load` gives is a `Denoiser`, a frozen
    dataclass with the fields strength, along, memory_bytes, batch, precision and progress that `road.denoiser` sets.
    A room with TAKES_PRIOR begins at another room's denoiser, which its `load` takes as `prior` (with MAGNITUDES: one
    for magnitudes). A room with TAKES_REPEATS gives a denoiser of repeats, which has `of_repeats`.
    """
    key = name.replace("-", "_")
    if key not in METHODS:
        raise InputError(f"a method among {', '.join(map(dashed, METHODS))}", name, "choose one of them, or auto")
    return importlib.import_module(f"clearmr.methods.{key}.method")


def dashed(name: str) -> str:
    """A method's name as it is typed."""
    return name.replace("_", "-")


def of_model(model: str | Path) -> str | None:
    """The method whose model this is, as in METHODS: a bundled one's room, else what the card beside the weights says.

    Cards that do not say are SNRAware's. None where there is no card, or none that can be read.
    """
    for name in METHODS:
        if str(model) in room(name).bundled():
            return name
    path = Path(model)
    weights = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    found = {method for file in weights if (method := _on_card(file.with_suffix(".json")))}
    return found.pop() if len(found) == 1 else None


def _on_card(path: Path) -> str | None:
    """The method that a card names; None where `path` is no card."""
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(card, dict) or "sha256" not in card:
        return None
    return str(card.get("method", METHODS[0])).replace("-", "_")
