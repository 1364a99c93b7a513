"""Results that are kept in the documentation: a run's table and pictures under names of their own, and their index."""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clearmr import files
from clearmr.cli import machine
from clearmr.errors import InputError

RESULTS, TABLE, INDEX = "results.json", "table.md", "README.md"
READ = "<!-- What is read from it, written by hand: kept when the numbers above are made again. -->"
DOCS = Path("docs") / "results"


def keep(run: Path, docs: Path) -> list[Path]:
    """Copy table.md and the pictures of a reproduction's folder to docs/NAME-SCALE*; what was written, and the index.

    Text below the line READ of an older result stays. Raises InputError where `run` is no whole reproduction, `docs`
    no folder, or an older result there has no such line.
    """
    value = _value(run)
    if not docs.is_dir():
        raise InputError("an existing folder for --keep", f"no folder {docs}", "make it first, as docs/results")
    name = f"{value['name']}-{value['scale']}"
    page, below = docs / f"{name}.md", _by_hand(docs / f"{name}.md")
    pictures = sorted(run.glob("*.png"))
    targets = [docs / _picture_name(name, value["name"], picture, len(pictures)) for picture in pictures]
    for picture, target in zip(pictures, targets, strict=True):
        with files.whole_file(target, force=True) as temporary:
            shutil.copyfile(picture, temporary)
    table = (run / TABLE).read_text(encoding="utf-8").rstrip()
    links = "\n\n".join(f"![{target.stem}]({target.name})" for target in targets)
    _write(page, "\n\n".join(part for part in (table, links, READ) if part) + below)
    return [page, *targets, index(docs)]


def index(docs: Path) -> Path:
    """Write the list of all results of a folder."""
    lines = ["# Results", "", "| table | scale | what | made |", "| --- | --- | --- | --- |"]
    for page in sorted(docs.glob("*.md")):
        if page.name != INDEX:
            lines.append(_row(page))
    lines += ["", "Written by `clearmr reproduce --keep`: `clearmr reproduce NAME -o run/ --keep docs/results`."]
    _write(docs / INDEX, "\n".join(lines) + "\n")
    return docs / INDEX


def made(value: Mapping[str, Any]) -> str:
    """How a result was made, as a line of Markdown: command, commit, date, machine, time."""
    found = value["provenance"]
    commit = f"commit {found['commit']}" if found.get("commit") else f"version {found['version']}"
    where = machine.said(found["machine"]) if found.get("machine") else "a machine that was not recorded"
    return f"`{found['command']}`, {commit}, {found['date'][:10]}, {where}: {value['seconds']:.0f} s in this command."


def result_of(name: str, scales: tuple[str, ...]) -> str:
    """The result of a table in this checkout's documentation, as paths; empty where there is none."""
    root = machine.checkout()
    pages = [DOCS / f"{name}-{scale}.md" for scale in scales] if root else []
    return ", ".join(str(page) for page in pages if root and (root / page).exists())


def _value(run: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads((run / RESULTS).read_text(encoding="utf-8"))
        known = {key: value[key] for key in ("name", "scale", "provenance", "seconds")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        found = f"{run} ({error.__class__.__name__}: {error})"
        raise InputError("the folder of a whole reproduction", found, "run clearmr reproduce NAME -o FOLDER") from error
    if not (run / TABLE).exists():
        raise InputError(f"{TABLE} beside {RESULTS}", f"none in {run}", "run it again with --resume")
    return known


def _by_hand(page: Path) -> str:
    """What stands below the line READ in an older result."""
    if not page.exists():
        return "\n"
    before = page.read_text(encoding="utf-8")
    if READ not in before:
        todo = f"put the line {READ} above the text that is to stay, or remove the file"
        raise InputError("a result written by --keep", f"{page} without its line", todo)
    return before.split(READ, 1)[1]


def _picture_name(name: str, table: str, picture: Path, number: int) -> str:
    """NAME-SCALE.png for the only picture or that of the table itself, else NAME-SCALE-WHAT.png."""
    stem = picture.stem
    return f"{name}.png" if number == 1 or table.endswith(stem) else f"{name}-{stem}.png"


def _row(page: Path) -> str:
    text = page.read_text(encoding="utf-8")
    table, _, scale = page.stem.rpartition("-")
    title = next((line.removeprefix("# ").strip() for line in text.splitlines() if line.startswith("# ")), page.stem)
    commits = re.search(r"commits? ([0-9a-f]{7,}(?: (?:to [0-9a-f]{7,}|with changes))?)", text)
    dates = re.search(r"\b20\d\d-\d\d-\d\d\b", text)
    when = ", ".join(found for found in (dates and dates[0], commits and commits[1]) if found)
    return f"| [{table}]({page.name}) | {scale} | {title.replace('|', '/')} | {when or '-'} |"


def _write(path: Path, text: str) -> None:
    with files.whole_file(path, force=True) as temporary:
        temporary.write_text(text, encoding="utf-8")
