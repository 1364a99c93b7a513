"""Speed and memory, peers in the same run. `BENCHES` names the entries; each gives a dict of figures."""

import importlib
from typing import Any

from clearmr.errors import InputError

BENCHES = ("recon", "maps", "cine", "denoise")


def run(name: str) -> dict[str, Any]:
    """Run one entry. Raises InputError for an unknown name."""
    if name not in BENCHES:
        raise InputError(f"a benchmark among {', '.join(BENCHES)}", name, "choose one of them")
    return importlib.import_module(f"clearmr.bench.{name}").run()
