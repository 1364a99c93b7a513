"""Raw scans to pairs of MR-self Noise2Noise: found in folders, split once, kept in a cache; what cannot be is named."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from clearmr.cli import common
from clearmr.cli.train_inputs import Case
from clearmr.errors import InputError

if TYPE_CHECKING:
    from clearmr.denoiser import Progress
    from clearmr.methods.mr_self_noise2noise.config import HalfPair, SplitConfig
    from clearmr.methods.mr_self_noise2noise.store import StoredPair
    from clearmr.scan import RawScan
    from clearmr.train.stopping import Watch

RAW_ENDINGS = (".h5", ".mrd", ".dat")


@dataclass(frozen=True)
class Scan:
    """A file that may be a raw scan, and whose it is."""

    path: Path
    subject: str


@dataclass(frozen=True)
class Splitting:
    """How pairs are made, and the folder that keeps them."""

    config: "SplitConfig"
    cache: Path
    noise_scan: Path | None = None
    estimate_noise: bool = False
    device: str = "cpu"
    quiet: bool = False

    def check(self) -> None:
        """Raise InputError for a noise scan that is not there, a cache that is no folder."""
        if self.noise_scan is not None and not self.noise_scan.is_file():
            raise InputError("an existing noise scan", f"no {self.noise_scan}", "check the name given to --noise-scan")
        if self.cache.exists() and not self.cache.is_dir():
            raise InputError("a folder as --cache", f"the file {self.cache}", "choose another name")

    def key(self, path: Path) -> str:
        from clearmr.formats.provenance import hash_file
        from clearmr.methods.mr_self_noise2noise import store

        noise = hash_file(self.noise_scan) if self.noise_scan else None
        return store.key_of(path, self.config, estimate_noise=self.estimate_noise, noise_scan=noise)


@dataclass(frozen=True)
class Gathered:
    """The pairs of some scans, why the others were skipped, and of how many scans the pairs were there already."""

    cases: list[Case["StoredPair"]]
    skipped: dict[str, str] = field(default_factory=dict)
    reused: int = 0

    @property
    def used(self) -> int:
        return len({case.source for case in self.cases})


def scans_of(paths: Sequence[Path], *, without: Sequence[Path] = (), quiet: bool) -> list[Scan]:
    """The files that may be raw scans, each once, in order of names; what lies in the folders `without` is none.

    Whose a scan is: the BIDS sub-XX in its path; else the folder below the one that was named (one for each subject);
    else its name up to the first dot. Raises InputError where there is none.
    """
    found: dict[Path, Scan] = {}
    for path in paths:
        if not path.exists():
            raise InputError("an existing file or folder with raw scans", f"no {path}", "check the name")
        for file in _files(path, without, quiet) if path.is_dir() else [path]:
            found.setdefault(file.resolve(), Scan(file, _subject(file, path)))
    if not found:
        named = ", ".join(map(str, paths)) or "no folder"
        raise InputError("raw scans to train on", f"none in {named}", "name a folder with MRD (.h5) or twix (.dat)")
    return list(found.values())


def _files(folder: Path, without: Sequence[Path], quiet: bool) -> list[Path]:
    """All files below a folder that end like raw scans or that some format knows; hidden ones are passed over."""
    from clearmr import formats

    found: list[Path] = []
    for path in sorted(path for path in folder.iterdir() if not path.name.startswith(".")):
        if path.resolve() in without:
            continue
        if path.is_dir():
            found += _files(path, without, quiet)
        elif path.suffix.lower() in RAW_ENDINGS or any(known.sniff(path) for known in formats.FORMATS):
            found.append(path)
        else:
            common.say(f"left out: {path.name}, which is no raw scan", quiet=quiet)
    return found


def _subject(file: Path, named: Path) -> str:
    from clearmr.train.subjects import subject_of

    found = subject_of(file)
    inside = file.relative_to(named).parts if named.is_dir() else ()
    return inside[0] if len(inside) > 1 and not found.startswith("sub-") else found


def gather(scans: Sequence[Scan], splitting: Splitting, progress: "Progress", *, slices: int = 1) -> Gathered:
    """The pairs of all scans that can be split, from the cache where they are there; the others are named.

    slices: those that the network takes in; half of them are the fewest of a scan, mirrored at its ends.
    Raises InputError where no scan can be used; typer.Exit on SIGTERM or Ctrl-C, the pairs made so far kept.
    """
    from clearmr.train.stopping import Watch

    cases: list[Case[StoredPair]] = []
    skipped: dict[str, str] = {}
    seen: dict[str, Path] = {}
    reused = 0
    with Watch() as watch:
        for number, scan in enumerate(scans):
            step = functools.partial(_step, progress, watch, number, len(scans), splitting)
            step(0, 1)
            try:
                pairs, were_there = _pairs_of(scan.path, splitting, seen, step)
                _enough(pairs[0].first.image.shape[1], slices)
            except InputError as error:
                skipped[str(scan.path)] = str(error)
                common.say(f"skipped: {scan.path}: {error}", quiet=splitting.quiet)
                continue
            reused += were_there
            cases += [Case(scan.subject, scan.path, pair) for pair in pairs]
        progress(100 * len(scans), 100 * len(scans))
    if not cases:
        raise _none_left(skipped)
    return Gathered(cases, skipped, reused)


def _step(
    progress: "Progress", watch: "Watch", number: int, scans: int, splitting: Splitting, done: int, total: int, **_: Any
) -> None:
    """Progress of all scans, in percent of one; typer.Exit where it was asked to stop."""
    if watch.signal:
        text = f"stopped while splitting, {number} of {scans} scans done; the same command goes on"
        common.say(f"{text} (pairs are kept in {splitting.cache})", quiet=splitting.quiet)
        raise typer.Exit(128 + watch.signal)
    progress(100 * number + 100 * done // total, 100 * scans)


def _none_left(skipped: dict[str, str]) -> InputError:
    path, why = next(iter(skipped.items()))
    found = f"none among {len(skipped)}: {path}: {why}" if len(skipped) > 1 else f"{path}: {why}"
    return InputError("raw 3D scans that can be split", found, "see clearmr train mr-self-noise2noise --help")


def _pairs_of(
    path: Path, splitting: Splitting, seen: dict[str, Path], step: Callable[..., None]
) -> tuple[list["StoredPair"], bool]:
    """The pairs of one file, and whether they were there already. Raises InputError for a file that gives none."""
    from clearmr.methods.mr_self_noise2noise import store

    key = splitting.key(_readable(path))
    if key in seen:
        raise InputError("scans that differ", f"the same bytes as {seen[key]}", "keep one of them")
    seen[key] = path
    with store.one_at_a_time(splitting.cache):
        found = store.stored(splitting.cache, key)
        if found is not None:
            return found, True
        made = _split(path, splitting, step)
        origin = common.provenance(input=[str(path)], sha256=key)
        return store.write(made, splitting.cache, key, name=path.name.split(".")[0], provenance=origin), False


def _enough(found: int, slices: int) -> None:
    least = (slices + 1) // 2
    if found < least:
        todo = "give a scan with more, or train with fewer: --set net.slices"
        raise InputError(f"at least {least} slices for a network of {slices}", f"{found}", todo)


def _readable(path: Path) -> Path:
    try:
        path.open("rb").close()
    except OSError as error:
        raise InputError("a file that can be read", f"{error.strerror}", "check its permissions") from error
    return path


def _split(path: Path, splitting: Splitting, step: Callable[..., None]) -> list["HalfPair"]:
    from clearmr.methods.mr_self_noise2noise import pairs

    scan = _raw_scan(path, splitting.noise_scan)
    noise, device = splitting.estimate_noise, splitting.device
    return [*pairs.split(scan, splitting.config, estimate_noise=noise, device=device, progress=step)]


def _raw_scan(path: Path, noise_scan: Path | None) -> "RawScan":
    from clearmr import formats
    from clearmr.scan import RawScan

    loaded = formats.load(path, noise_scan=noise_scan)
    if not isinstance(loaded, RawScan):
        todo = "training splits k-space: give the scanner's raw data (denoise takes images)"
        raise InputError("raw k-space", "an image", todo)
    return loaded
