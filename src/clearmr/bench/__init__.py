"""Speed, memory and quality, peers in the same run. `BENCHES` names the entries; each gives a dict of figures."""

import importlib
from collections.abc import Sequence
from typing import Any

from clearmr.bench.timing import Options
from clearmr.errors import InputError

BENCHES = (
    "recon",
    "grappa3d",
    "split",
    "maps",
    "cine",
    "pairs",
    "denoise",
    "optimizers",
    "networks",
    "deformed2self",
    "series",
    "quality",
    "trust",
)

__all__ = ["BENCHES", "Options", "chosen", "run"]


def chosen(names: Sequence[str]) -> list[str]:
    """The entries to run: `names`, or all where none is named. Raises InputError for an unknown one."""
    for name in names:
        if name not in BENCHES:
            raise InputError(f"a benchmark among {', '.join(BENCHES)}", name, "choose one of them")
    return list(names or BENCHES)


def run(name: str, options: Options | None = None) -> dict[str, Any]:
    """Run one entry. Raises InputError for an unknown name."""
    (known,) = chosen([name])
    return importlib.import_module(f"clearmr.bench.{known}").run(options or Options())
