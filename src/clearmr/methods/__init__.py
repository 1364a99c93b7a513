"""A room per paper. Rooms never import one another; `METHODS` names them all."""

import importlib
from types import ModuleType

from clearmr.errors import InputError

METHODS = ("snraware",)


def room(name: str) -> ModuleType:
    """The `method` module of a paper's room. Raises InputError for an unknown name.

    It has `fit` and `load(model, *, device, is_complex)`; what `load` gives is a `Denoiser`, a frozen dataclass with
    the fields strength, along, memory_bytes, batch, precision and progress that `clearmr.road.denoiser` sets.
    """
    key = name.replace("-", "_")
    if key not in METHODS:
        raise InputError(f"a method among {', '.join(METHODS)}", name, "choose one of them, or auto")
    return importlib.import_module(f"clearmr.methods.{key}.method")
