"""The peers' denoisers behind the one contract, SnrImage -> SnrImage. `BASELINES` names them all.

They come with `pip install "clearmr[baselines]"`; none of their code is here. Each module states its package and that
package's licence. The true noise_sd is given wherever the package can take it.
"""

import importlib
from types import ModuleType

from clearmr.baselines.peers import absent
from clearmr.denoiser import Denoiser
from clearmr.errors import InputError

BASELINES = ("bm4d", "nlm", "mppca")

__all__ = ["BASELINES", "absent", "load", "room"]


def room(name: str) -> ModuleType:
    """The module of a baseline: it has PACKAGE, LICENCE and `load`. Raises InputError for an unknown name."""
    if name not in BASELINES:
        raise InputError(f"a baseline among {', '.join(BASELINES)}", name, "choose one of them")
    return importlib.import_module(f"clearmr.baselines.{name}")


def load(name: str) -> Denoiser:
    """A ready baseline. Raises InputError for an unknown name or an absent package."""
    found = room(name)
    if reason := absent(found.PACKAGE):
        raise InputError(f"the package {found.PACKAGE} ({found.LICENCE})", reason, 'pip install "clearmr[baselines]"')
    return found.load()
