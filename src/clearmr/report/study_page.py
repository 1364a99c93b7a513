"""The page of a reader study: self-contained, blinded, written piece by piece because pictures are large.

It holds the random tokens of the design, each reader's order, the items, and the pixels. It holds no name of an arm,
a case or a file, no hash, date, command or version: two studies that differ in names alone have the same page.
"""

from collections.abc import Iterable, Mapping
from string import Template
from typing import Any

from clearmr.errors import InputError
from clearmr.report.shell import read, shell
from clearmr.report.study_design import Design
from clearmr.report.tables import text

_SCRIPTS = ("study_store.js", "study_viewer.js", "study_panel.js", "study.js")
MOST_BYTES = 400_000_000  # browsers refuse texts not much larger

Blocks = Mapping[str, str]  # token -> what `study_pictures.encode` gives for it, by `shell.json_block`


def check_size(blocks: Iterable[str], *, most: int = MOST_BYTES) -> int:
    """The bytes of all blocks. Raises InputError where they are more than a browser opens."""
    total = sum(map(len, blocks))
    if total > most:
        found = f"{total / 1e6:.0f} MB so far"
        raise InputError(f"a page below {most / 1e6:.0f} MB", found, "show fewer slices (--slices) or make two studies")
    return total


def pieces(design: Design, blocks: Blocks, *, title: str, series: bool) -> Iterable[str]:
    """The page's text in pieces. `series`: some picture has frames to play."""
    script = '(() => {\n"use strict";\n' + "\n".join(map(read, _SCRIPTS)) + "})();\n"
    body = Template(read("study.html")).substitute(title=text(title), greys=_greys(), pictures="\0")
    whole = shell(title, body, style=read("study.css"), script=script, data=_study(design, series))
    before, after = whole.split("\0")
    yield before
    for picture in design.pictures:
        yield f'<script type="application/json" id="p-{picture.token}">{blocks[picture.token]}</script>\n'
    yield after


def _study(design: Design, series: bool) -> dict[str, Any]:
    """What the page may know of the design: not which reading repeats another, nor what a picture is."""
    return {
        "study": design.study,
        "sideBySide": design.side_by_side,
        "series": series,
        "items": [vars(item) for item in design.items],
        "orders": [[{"id": r.id, "pictures": r.pictures} for r in order] for order in design.orders],
    }


def _greys(steps: int = 11) -> str:
    """Grey fields from black to white; in the outer two a square that differs by 5 %."""
    fields = [round(255 * k / (steps - 1)) for k in range(steps)]
    inner = {0: 13, steps - 1: 242}
    return "".join(
        f'<svg viewBox="0 0 10 10" preserveAspectRatio="none"><rect width="10" height="10" fill="rgb({g},{g},{g})"/>'
        + (f'<rect x="3.5" y="3.5" width="3" height="3" fill="rgb({i},{i},{i})"/>' if (i := inner.get(k)) else "")
        + "</svg>"
        for k, g in enumerate(fields)
    )
