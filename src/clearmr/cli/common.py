"""What every command shares: its options, the progress bar, provenance, JSON on stdout."""

import json
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

import clearmr
from clearmr.denoiser import Progress, no_progress
from clearmr.errors import InputError

Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Threads = Annotated[int, typer.Option(help="CPU threads; 0: all cores.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar, no summary.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing output.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


def set_up(device: str, threads: int) -> str:
    """Set the number of threads and give the device to use. Raises InputError for one that is not there."""
    import torch

    if threads < 0:
        raise InputError("--threads of 0 or more", str(threads), "use 0 for all cores")
    if threads:
        torch.set_num_threads(threads)
    if device not in ("auto", "cpu", "cuda"):
        raise InputError("--device auto, cpu or cuda", device, "choose one of them")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("a CUDA device", "none that PyTorch can use", "use --device cpu")
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


def provenance(**more: Any) -> dict[str, Any]:
    """Version, command line, time; `more` is added."""
    command = shlex.join(["clearmr", *sys.argv[1:]])
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"version": clearmr.__version__, "command": command, "date": now, **more}


@contextmanager
def progress_bar(what: str, *, quiet: bool) -> Iterator[Progress]:
    """A progress bar with the time left on stderr when that is a terminal; otherwise silence."""
    if quiet or not sys.stderr.isatty():
        yield no_progress
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, TextColumn("{task.fields[info]}"), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None, info="")

        def step(done: int, total: int, **info: Any) -> None:
            bar.update(task, completed=done, total=total, info=" ".join(f"{k} {v:.4g}" for k, v in info.items()))

        yield step


def say(text: str, *, quiet: bool = False) -> None:
    """A line for a person, on stderr: stdout is for results."""
    if not quiet:
        typer.echo(text, err=True)


def emit(value: Any) -> None:
    """One JSON object on stdout."""
    typer.echo(json.dumps(value, indent=1))


def refuse_existing(paths: list[Path], *, force: bool) -> None:
    """Refuse before any work is done, not after."""
    from clearmr import files

    for path in paths:
        files.refuse_existing(path, force=force)


class Clock:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    def seconds(self) -> float:
        return round(time.monotonic() - self.began, 2)
