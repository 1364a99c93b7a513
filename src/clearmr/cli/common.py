"""What every command shares: its options, the progress bar, provenance, JSON on stdout."""

import dataclasses
import json
import math
import os
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import clearmr
from clearmr import files
from clearmr.errors import InputError

if TYPE_CHECKING:
    from clearmr.denoiser import Progress
    from clearmr.scan import SnrImage

Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Threads = Annotated[int, typer.Option(help="CPU threads; 0: all cores.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Nothing on stderr: no progress bar, summary, warnings.")]
Mask = Annotated[Path | None, typer.Option(help="Where to judge: nonzero voxels of this image.")]
GMap = Annotated[Path | None, typer.Option(help="g-factor map of an image.")]
NoiseSd = Annotated[
    str | None,
    typer.Option(help="SD of each of real and imaginary (also of a magnitude): a number for g = 1, or a map."),
]
NoiseScan = Annotated[Path | None, typer.Option(help="Raw file with the noise lines.")]
EstimateNoise = Annotated[bool, typer.Option("--estimate-noise", help="Estimate the noise of the data.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing output.")]
SLOWEST = 300.0  # seconds between two steps from which the bar still tells the time left
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


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


def with_provenance(image: "SnrImage", provenance: dict[str, Any]) -> "SnrImage":
    """The image, with `provenance` in its `meta`."""
    return dataclasses.replace(image, meta={**image.meta, "provenance": provenance})


def inputs(paths: Sequence[Path]) -> dict[str, Any]:
    """Provenance of input files: their names, and the SHA-256 over the bytes of all in order (folders: by name)."""
    import hashlib

    digest = hashlib.sha256()
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                with file.open("rb") as opened:
                    while block := opened.read(2**20):
                        digest.update(block)
    return {"input": [str(path) for path in paths], "input_sha256": digest.hexdigest()}


@contextmanager
def progress_bar(what: str, *, quiet: bool) -> Iterator["Progress"]:
    """A progress bar with the time left on stderr when that is a terminal; otherwise silence."""
    from clearmr.denoiser import no_progress

    if quiet or not sys.stderr.isatty():
        yield no_progress
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(
        *columns,
        TextColumn("{task.fields[info]}"),
        console=Console(stderr=True),
        transient=True,
        speed_estimate_period=SLOWEST,
    ) as bar:
        task = bar.add_task(what, total=None, info="")

        def step(done: int, total: int, **info: Any) -> None:
            bar.update(task, completed=done, total=total, info=" ".join(f"{k} {v:.4g}" for k, v in info.items()))

        yield step


def say(text: str, *, quiet: bool = False) -> None:
    """A line for a person, on stderr: stdout is for results."""
    if not quiet:
        typer.echo(text, err=True)


def say_warnings(image: "SnrImage", *, quiet: bool) -> None:
    """The image's warnings, a line each."""
    for warning in image.meta.get("warnings", []):
        say(f"warning: {warning}", quiet=quiet)


def shape(tensor: Any) -> str:
    """Sizes as words: 30 x 1 x 192 x 160."""
    return " x ".join(str(n) for n in tensor.shape)


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: no NaN or infinity (null), arrays as lists, the rest as text."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def as_json(value: Any) -> str:
    """Strict JSON text."""
    return json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def emit(value: Any) -> None:
    """One JSON value on stdout."""
    typer.echo(as_json(value), nl=False)


def write_json(value: Any, path: Path, *, force: bool) -> None:
    """The same in a file."""
    with files.whole_file(path, force=force) as temporary:
        temporary.write_text(as_json(value), encoding="utf-8")


def refuse_existing(paths: Sequence[Path], *, force: bool) -> None:
    """Refuse before any work is done, not after: an output that exists, a folder that is not there or not ours."""
    for path in paths:
        if path.is_dir() and not force:
            raise InputError("an output that does not exist yet", f"the folder {path}", "choose another name")
        files.refuse_existing(path, force=force)
        if not os.access(path.parent, os.W_OK):
            raise InputError("a folder that can be written to", f"{path.parent}", "choose another one")


def refuse_image(out: Path, *, force: bool) -> list[Path]:
    """`refuse_existing` for an image and what is written beside it, given back; also an unknown ending, or a folder."""
    from clearmr import formats

    endings = [e for f in formats.FORMATS if hasattr(f, "save") for e in f.ENDINGS]
    if not out.name.lower().endswith(tuple(endings)):
        raise InputError(f"an output ending in {', '.join(endings)}", out.name, "choose one of these endings")
    if out.is_dir():
        raise InputError("an output file", f"the folder {out}", "choose another name")
    beside = [out]
    if out.name.lower().endswith(formats.nifti.ENDINGS):
        maps = [formats.nifti.sidecar(out, what) for what in ("noisesd", "gmap")]
        beside += [*maps, out.with_name(f"{formats.nifti.stem(out)}.json")]
    refuse_existing(beside, force=force)
    return beside


class Clock:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    def seconds(self) -> float:
        return round(time.monotonic() - self.began, 2)
