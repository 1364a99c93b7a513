"""Which images a reader study compares: pairs on the command line, a table of files, or a folder per arm."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clearmr.errors import InputError

ARMS = ("original", "denoised")  # of pairs on the command line


@dataclass(frozen=True)
class Images:
    """The files of a study: `files[case][arm]`."""

    cases: tuple[str, ...]
    arms: tuple[str, ...]
    files: tuple[tuple[Path, ...], ...]


def find(pairs: Sequence[str], table: Path | None, folders: Sequence[str]) -> Images:
    """From exactly one of the three. Raises InputError for more or fewer, and for files that are not there."""
    if sum(map(bool, (pairs, table, folders))) != 1:
        raise InputError("pairs A.nii.gz=B.nii.gz, or --pairs, or --arm", "none or several of them", "give one kind")
    images = _of_table(table) if table else _of_folders(folders) if folders else _of_pairs(pairs)
    missing = [str(path) for row in images.files for path in row if not path.is_file()]
    if missing:
        found = f"{len(missing)} that are not there, first {missing[0]}"
        raise InputError("existing image files", found, "check the names")
    _check_same(images)
    return images


def _check_same(images: Images) -> None:
    for case, row in zip(images.cases, images.files, strict=True):
        if len({path.resolve() for path in row}) != len(row):
            raise InputError("a different file in each arm", f"one twice, case {case}", "correct the pair")


def _of_pairs(pairs: Sequence[str]) -> Images:
    rows = [tuple(Path(part) for part in pair.split("=")) for pair in pairs]
    for pair, row in zip(pairs, rows, strict=True):
        if len(row) != 2 or not all(path.name for path in row):
            raise InputError("pairs ORIGINAL=DENOISED", pair, "put one = between two files, or use --pairs")
    return Images(tuple(str(row[0]) for row in rows), ARMS, tuple(rows))


def _of_table(path: Path) -> Images:
    """A CSV file: a line with the arms' names, then one per case; a column `case` names it. Paths from its folder."""
    if not path.is_file():
        raise InputError("an existing CSV file", f"no {path}", "check the name")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [[cell.strip() for cell in line] for line in csv.reader(file) if any(map(str.strip, line))]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError("a CSV file in UTF-8", path.name, "export it again") from error
    head, body = (lines[0], lines[1:]) if lines else ([], [])
    columns = [k for k, name in enumerate(head) if name != "case"]
    if len(columns) < 2 or not body or head.count("case") > 1:
        found = f"{len(columns)} arm(s) and {len(body)} case(s) in {path.name}"
        raise InputError("a line with the arms' names, then a line per case", found, "e.g. case,original,denoised")
    for number, line in enumerate(body, 2):
        if len(line) != len(head) or not all(line):
            raise InputError(f"{len(head)} filled cells per line", f"line {number} of {path.name}", "correct it")
    names = [line[head.index("case")] if "case" in head else line[columns[0]] for line in body]
    files = tuple(tuple(path.parent / line[k] for k in columns) for line in body)
    return Images(tuple(names), tuple(head[k] for k in columns), files)


def _of_folders(folders: Sequence[str]) -> Images:
    """--arm NAME=FOLDER, twice or more: the files of equal names in all folders; each of the first must be in each."""
    named = [folder.partition("=") for folder in folders]
    for given, (name, equals, folder) in zip(folders, named, strict=True):
        if not (name and equals and Path(folder).is_dir()):
            raise InputError("--arm NAME=FOLDER with an existing folder", given, "correct it")
    lists = [{p.name: p for p in sorted(Path(f).iterdir()) if _is_image(p)} for _, _, f in named]
    everywhere = [name for name in lists[0] if all(name in arm for arm in lists)]
    odd = sorted({name for arm in lists for name in arm} - set(everywhere))
    if odd or not lists[0]:
        found = f"{len(odd)} file(s) not in all of them, first {odd[0]}" if odd else "no image"
        raise InputError("the same file names in the folder of each arm", found, "add or remove files, or use --pairs")
    files = tuple(tuple(arm[name] for arm in lists) for name in lists[0])
    return Images(tuple(lists[0]), tuple(name for name, _, _ in named), files)


def _is_image(path: Path) -> bool:
    """What a folder of results holds beside the images: maps and records of theirs."""
    stem = path.name.removesuffix(".gz").removesuffix(".nii")
    beside = path.suffix == ".json" or stem.endswith(("_noisesd", "_gmap"))
    return path.is_file() and not path.name.startswith(".") and not beside
