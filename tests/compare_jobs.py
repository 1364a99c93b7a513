"""What processes of a comparison do in tests: importable there, and without torch."""

import os
import sys
import time
from pathlib import Path
from typing import Any

from clearmr.cli.compare_entrants import Entrant
from clearmr.cli.compare_run import Given
from clearmr.errors import InputError


def works(given: Given, entrant: Entrant, out: Path, progress: Any) -> dict[str, Any]:
    """Says how far it is, prints what no one wants to read, and who it is."""
    sys.stdout.write("a library's words\n")
    progress(1, 2, loss=0.5)
    time.sleep(0.3)
    progress(2, 2, loss=0.25)
    return {"name": entrant.name, "pid": os.getpid(), "seed": given.seed}


def refuses(given: Given, entrant: Entrant, out: Path, progress: Any) -> dict[str, Any]:
    raise InputError("a series", "a single frame", "give more")


def breaks(given: Given, entrant: Entrant, out: Path, progress: Any) -> dict[str, Any]:
    return {"never": 1 // len(sys.argv[:0])}


def dies(given: Given, entrant: Entrant, out: Path, progress: Any) -> dict[str, Any]:
    os.kill(os.getpid(), 9)
    return {}


def sleeps(given: Given, entrant: Entrant, out: Path, progress: Any) -> dict[str, Any]:
    time.sleep(60)
    return {}
