"""What every `clearmr train` subcommand shares: options, files of the data, settings, the run folder, the split."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

import typer

from clearmr.cli import common
from clearmr.errors import InputError

if TYPE_CHECKING:
    from clearmr.methods.snraware.store import StoredSeries
    from clearmr.scan import SnrImage


Out = Annotated[Path, typer.Option("-o", "--out", help="Folder of the run: checkpoints, metrics, model.")]
Validation = Annotated[
    list[Path] | None, typer.Option(help="The same, of other subjects; if not given, 5 % of the subjects.")
]
Settings = Annotated[list[str] | None, typer.Option("--set", help="part.name=value; may be repeated.")]
Name = Annotated[str, typer.Option(help="Name of the model.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")]
Devices = Annotated[int, typer.Option(min=1, help="Processes (GPUs) on each machine.")]
Nodes = Annotated[int, typer.Option(min=1, help="Machines; torchrun and SLURM tell it themselves.")]

Data = TypeVar("Data")
Config = TypeVar("Config")


@dataclass(frozen=True)
class Case(Generic[Data]):
    """One image, series or pair to train on: whose it is, and the file that provenance names."""

    subject: str
    source: Path
    data: Data


def check_run(out: Path, resume: bool) -> None:
    """A new run needs a new folder (or one without a run), a resumed one the state of a run. Raises InputError."""
    from clearmr.train import checkpoint

    if checkpoint.begun(out) and not resume:
        raise InputError("a new run folder", f"a run in {out}", "pass --resume or choose another folder")
    if resume and not checkpoint.begun(out):
        raise InputError("a run to resume", f"none in {out}", "start it without --resume")
    if not out.is_dir():
        common.refuse_existing([out], force=False)


def settings_of(texts: Sequence[str]) -> dict[str, str]:
    """`--set part.name=value` texts as a mapping. Raises InputError."""
    for text in texts:
        if "=" not in text:
            raise InputError("--set part.name=value", text, "write for example --set loop.steps=1000")
    return dict(text.split("=", 1) for text in texts)


def preset_of(presets: Mapping[str, Callable[[], Config]], name: str) -> Config:
    """The settings that a preset names. Raises InputError for a name that is none."""
    if name not in presets:
        raise InputError(f"a preset among {', '.join(presets)}", name, "choose one of them")
    return presets[name]()


def files_of(paths: Sequence[Path], *, quiet: bool, what: str = "images to train on") -> list[Path]:
    """The files that `paths` name: of a folder all that a format knows, maps beside an image left out."""
    found = []
    for path in paths:
        inside = _of_folder(path, quiet) if path.is_dir() and not _is_trio(path) else [path]
        if not inside:
            raise InputError(what, f"none in {path}", "name a folder with raw scans, NIfTI, .npz or .npy files")
        found += inside
    return found


def _is_trio(path: Path) -> bool:
    from clearmr.formats import npy

    return npy.sniff(path)


def _of_folder(folder: Path, quiet: bool) -> list[Path]:
    """The files of a folder and of those in it, in order of their names; hidden ones are passed over."""
    from clearmr import formats

    found = []
    for path in sorted(path for path in folder.iterdir() if not path.name.startswith(".")):
        is_map = path.name.removesuffix(".gz").removesuffix(".nii").endswith(("_noisesd", "_gmap"))
        if path.is_dir():
            found += [path] if _is_trio(path) else _of_folder(path, quiet)
        elif is_map or not any(known.sniff(path) for known in formats.FORMATS):
            common.say(f"left out: {path.name}, which is no image to train on", quiet=quiet)
        else:
            found.append(path)
    return found


def cases_of(paths: Sequence[Path], *, quiet: bool) -> list[Case["SnrImage | StoredSeries"]]:
    """Everything that `paths` name: series of prepared corpora (unread), images (in memory). Raises InputError."""
    from clearmr.methods.snraware import store
    from clearmr.train.subjects import subject_of

    found: list[Case[SnrImage | StoredSeries]] = []
    for path in paths:
        if store.is_corpus(path):
            found += [Case(s.subject, path / store.INDEX, s) for s in store.open_corpus(path)]
        else:
            files = files_of([path], quiet=quiet)
            found += [Case(subject_of(file), file, image_of(file)) for file in files]
    return found


def image_of(path: Path) -> "SnrImage":
    """The image in a file. Raises InputError for raw data."""
    from clearmr import formats
    from clearmr.scan import SnrImage

    loaded = formats.load(path)
    if not isinstance(loaded, SnrImage):
        todo = "make a corpus of it (clearmr train prepare) or reconstruct it (clearmr recon)"
        raise InputError("images or a corpus to train on", f"raw data in {path}", todo)
    return loaded


def split(cases: Sequence[Case[Data]]) -> tuple[list[Case[Data]], list[Case[Data]]]:
    """To train on, and to validate on: 5 % of the subjects, by the hash of their names (`subjects.held_out`)."""
    from clearmr.train.subjects import held_out

    kept = held_out(case.subject for case in cases)
    return [c for c in cases if c.subject not in kept], [c for c in cases if c.subject in kept]


def sources(cases: Sequence[Case[Any]]) -> list[Path]:
    """The files of some cases, each once, in order."""
    return list(dict.fromkeys(case.source for case in cases))


def described(cases: Sequence[Case[Any]]) -> dict[str, Any]:
    """Which files and whose they are, for a model card."""
    return {"files": [str(p) for p in sources(cases)], "subjects": sorted({case.subject for case in cases})}


@contextmanager
def stoppable(*, quiet: bool) -> Iterator[None]:
    """Training in this block that was asked to stop (SIGTERM, Ctrl-C) ends in one line and exit code 128 + signal."""
    from clearmr.train.stopping import Interrupted

    try:
        yield
    except Interrupted as stop:
        common.say(f"stopped at step {stop.step} of {stop.steps}; go on with --resume", quiet=quiet)
        raise typer.Exit(128 + stop.signal) from stop
