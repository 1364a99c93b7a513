"""The papers' tables, made again: a file per table. `REPRODUCTIONS` names them all."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from clearmr.denoiser import Progress, no_progress
from clearmr.errors import InputError

REPRODUCTIONS = (
    "snraware-table2",
    "snraware-table3",
    "snraware-phantom",
    "mr-self-noise2noise-table2",
    "deformed2self-table1",
    "deformed2self-table2",
    "noise2average-t1w",
    "noise2average-dti",
)
SCALES = ("tiny", "full")

__all__ = ["REPRODUCTIONS", "SCALES", "Options", "room"]


@dataclass(frozen=True)
class Options:
    """What a reproduction is told.

    folder: an existing one for its files, kept between runs; data: image files to train on (or, as frames or a
    folder of frames, to judge on) beside the simulated ones;
    model: whose results to measure (default: the bundled one); workers: single-thread processes side by side.
    only: run no more than these of its runs (names); empty: all.
    """

    folder: Path
    scale: str = "tiny"
    seed: int = 0
    data: tuple[Path, ...] = ()
    model: str | None = None
    device: str = "cpu"
    workers: int = 1
    only: tuple[str, ...] = ()
    progress: Progress = no_progress


def room(name: str) -> ModuleType:
    """The module of a table: it has `ABOUT` (a line) and `run(options) -> Results`. Raises InputError."""
    if name not in REPRODUCTIONS:
        raise InputError(f"a reproduction among {', '.join(REPRODUCTIONS)}", name, "choose one of them")
    return importlib.import_module(f"clearmr.reproduce.{name.replace('-', '_')}")
