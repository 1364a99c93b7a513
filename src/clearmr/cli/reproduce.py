"""`clearmr reproduce`: one table of one paper, beside the paper's own numbers."""

import dataclasses
import os
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clearmr.cli import common, machine, reproduce_keep
from clearmr.cli.reproduce_keep import RESULTS, TABLE
from clearmr.errors import InputError

if TYPE_CHECKING:
    from clearmr.reproduce import Options
    from clearmr.reproduce.results import Results

NAME = "reproduce"
EXAMPLE = "clearmr reproduce snraware-table2 --scale tiny -o table2/"


def run(
    name: Annotated[str | None, typer.Argument(help="The table; --list names them.")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Folder: results.json, table.md, runs.")] = None,
    scale: Annotated[str, typer.Option(help="tiny: for two CPU cores; full: the paper's size, for a GPU.")] = "tiny",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on in a folder; what is done is not done again.")
    ] = False,
    data: Annotated[
        list[Path] | None,
        typer.Option("-d", "--data", help="Clean image, or folder of frames, to use; may be repeated."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="For tables that measure a trained model: which.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only runs whose name begins so; may be repeated.")] = None,
    keep: Annotated[
        Path | None,
        typer.Option(help="Copy table and pictures there (docs/results), named by table and scale; also without NAME."),
    ] = None,
    show_list: Annotated[bool, typer.Option("--list", help="Say what can be reproduced, and stop.")] = False,
    seed: common.Seed = 0,
    device: common.Device = "auto",
    threads: common.Threads = 0,
    quiet: common.Quiet = False,
    as_json: common.AsJson = False,
) -> None:
    """Make one table of a paper again, and print it beside the paper's own numbers.

    Runs go side by side, one on each of --threads CPU threads (or each GPU). A stopped command goes on with --resume.

    A run that is there already, into the documentation: [b]clearmr reproduce -o table2/ --keep docs/results[/b]
    """
    from clearmr import reproduce

    if show_list:
        _list(as_json)
        return
    if name is None and out is not None and keep is not None:
        _keep(out, keep, quiet)
        return
    if name is None or out is None:
        raise InputError("a table's name and -o FOLDER", "one of them missing", "see clearmr reproduce --list")
    table = reproduce.room(name)
    if scale not in reproduce.SCALES:
        raise InputError(f"--scale {' or '.join(reproduce.SCALES)}", scale, "choose one of them")
    _check_folder(out, resume)
    missing = [path for path in data or [] if not path.exists()]
    if missing:
        raise InputError("images with --data", f"no file {missing[0]}", "name existing files")
    used = common.set_up(device, threads)
    out.mkdir(exist_ok=True)
    clock = common.Clock()
    with common.progress_bar(name, quiet=quiet) as progress:
        options = reproduce.Options(
            out, scale, seed, tuple(data or ()), model, used, _workers(used, threads), tuple(only or ()), progress
        )
        results = _run(table, options)
    value = {**dataclasses.asdict(results), "seconds": clock.seconds()}
    origin = common.provenance(seed=seed, device=used, **common.inputs(data or []), **machine.made_with())
    value |= {"provenance": origin}
    _write(results, value, out)
    _say(results, value, out, quiet, as_json)
    if keep is not None:
        _keep(out, keep, quiet)


def _run(table: ModuleType, options: "Options") -> "Results":
    """The table; where training was asked to stop, a line and the exit code that the signal stands for."""
    from clearmr.train.loop import Interrupted

    try:
        found: Results = table.run(options)
    except Interrupted as stopped:
        common.say(f"stopped and saved: the same command with --resume goes on in {options.folder}")
        raise typer.Exit(128 + stopped.signal) from stopped
    return found


def _keep(run: Path, docs: Path, quiet: bool) -> None:
    for path in reproduce_keep.keep(run, docs):
        common.say(f"{path}", quiet=quiet)


def _list(as_json: bool) -> None:
    from clearmr import reproduce

    found = [_entry(name) for name in reproduce.REPRODUCTIONS]
    if as_json:
        common.emit(found)
        return
    for entry in found:
        typer.echo(entry["name"])
        for key in ("about", "data", "tiny", "result"):
            typer.echo(f"    {key:8}{entry[key] or '-'}")


def _entry(name: str) -> dict[str, Any]:
    """A table by its name: what it is, what data it needs, how long it takes, and whether its result is kept."""
    from clearmr import reproduce

    room = reproduce.room(name)
    said = {key.lower(): getattr(room, key, "") for key in ("ABOUT", "DATA", "TINY")}
    return {"name": name, **said, "result": reproduce_keep.result_of(name, reproduce.SCALES)}


def _check_folder(out: Path, resume: bool) -> None:
    """A new run needs a new (or empty) folder, a resumed one the folder of a run."""
    begun = out.is_dir() and any(out.iterdir())
    if begun and not resume:
        raise InputError("a new folder", f"files in {out}", "pass --resume or choose another folder")
    if resume and not begun:
        raise InputError("a folder to go on in", f"nothing in {out}", "start without --resume")
    if not out.is_dir():
        common.refuse_existing([out], force=False)


def _workers(device: str, threads: int) -> int:
    if device == "cuda":
        import torch

        return torch.cuda.device_count()
    return threads or os.cpu_count() or 1


def _write(results: "Results", value: dict[str, Any], out: Path) -> None:
    from clearmr import files
    from clearmr.reproduce.results import markdown

    common.write_json(value, out / RESULTS, force=True)
    with files.whole_file(out / TABLE, force=True) as temporary:
        temporary.write_text(f"{markdown(results)}\n{reproduce_keep.made(value)}\n", encoding="utf-8")


def _say(results: "Results", value: dict[str, Any], out: Path, quiet: bool, as_json: bool) -> None:
    from clearmr.reproduce.results import markdown

    if as_json:
        common.emit({"written": [str(out / RESULTS), str(out / TABLE)], **value})
    else:
        typer.echo(markdown(results), nl=False)
    common.say(f"{out / RESULTS}", quiet=quiet)
