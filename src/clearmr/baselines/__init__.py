"""The peers' denoisers behind the one contract, SnrImage -> SnrImage. `BASELINES` names them all.

Most come with `pip install "clearmr[baselines]"`; none of their code is here. Three that learn from the noisy image
alone have no package without torchvision or TensorFlow (CAREamics and deepinv need the former, the authors' own code
the latter or none is packaged): those are written here from their papers. Each module states PACKAGE, that package's
LICENCE, and whether it LEARNS: minutes or hours instead of seconds, so that `bench quality` leaves it out. The true
noise_sd is given wherever the method can take it.
"""

import dataclasses
import importlib
from types import ModuleType
from typing import Any

from clearmr.baselines.peers import absent
from clearmr.denoiser import Denoiser
from clearmr.errors import InputError

BASELINES = ("bm4d", "nlm", "mppca", "bm3d", "asm", "dip", "self2self", "noise2void")

# What takes repeats of one subject instead of an image: `of_repeats(images, mask=)`.
OF_REPEATS = ("noise2noise",)

__all__ = ["BASELINES", "OF_REPEATS", "absent", "filters", "load", "room"]


def room(name: str) -> ModuleType:
    """The module of a baseline: it has PACKAGE, LICENCE, LEARNS and `load`. Raises InputError for an unknown name."""
    if name not in BASELINES:
        raise InputError(f"a baseline among {', '.join(BASELINES)}", name, "choose one of them")
    return importlib.import_module(f"clearmr.baselines.{name}")


def filters() -> tuple[str, ...]:
    """The baselines that train nothing: what quick tables compare with."""
    return tuple(name for name in BASELINES if not room(name).LEARNS)


def load(name: str, **options: Any) -> Denoiser:
    """A ready baseline, its dataclass' fields as options.

    Raises InputError for an unknown name, an absent package, or an option that this baseline has not.
    """
    found = room(name)
    if reason := absent(found.PACKAGE):
        raise InputError(f"the package {found.PACKAGE} ({found.LICENCE})", reason, 'pip install "clearmr[baselines]"')
    ready = found.load()
    known = [field.name for field in dataclasses.fields(ready) if field.name != "name"]
    if unknown := sorted(options.keys() - set(known)):
        expected = f"options of {name}: {', '.join(known) or 'it has none'}"
        raise InputError(expected, ", ".join(unknown), "leave it out")
    return dataclasses.replace(ready, **options)
