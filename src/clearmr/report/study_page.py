"""The page of a reader study: self-contained, blinded, written piece by piece because pictures are large.

It holds the random tokens of the design, each reader's order, the items, and the pixels. It holds no name of an arm,
a case or a file, no hash, date, command or version: two studies that differ in names alone have the same page.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Template
from typing import Any

from clearmr.errors import InputError
from clearmr.report.study_design import Design
from clearmr.report.tables import text

_HERE = Path(__file__).parent
_SCRIPTS = ("study_store.js", "study_viewer.js", "study_panel.js", "study.js")
MOST_BYTES = 400_000_000  # browsers refuse texts not much larger

Blocks = Mapping[str, str]  # token -> its pictures as JSON text


def block(picture: Mapping[str, Any]) -> str:
    """What `study_pictures.encode` gives for one picture, as JSON that is safe in the page."""
    plain = json.dumps(picture, separators=(",", ":"), allow_nan=False)
    return plain.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def check_size(blocks: Iterable[str], *, most: int = MOST_BYTES) -> int:
    """The bytes of all blocks. Raises InputError where they are more than a browser opens."""
    total = sum(map(len, blocks))
    if total > most:
        found = f"{total / 1e6:.0f} MB so far"
        raise InputError(f"a page below {most / 1e6:.0f} MB", found, "show fewer slices (--slices) or make two studies")
    return total


def pieces(design: Design, blocks: Blocks, *, title: str, series: bool) -> Iterable[str]:
    """The page's text in pieces. `series`: some picture has frames to play."""
    style, script = _read("study.css"), '(() => {\n"use strict";\n' + "\n".join(map(_read, _SCRIPTS)) + "})();\n"
    whole = Template(_read("study.html")).substitute(
        policy=_policy(style, script),
        style=style,
        script=script,
        title=text(title),
        greys=_greys(),
        study=block(_study(design, series)),
        pictures="\0",
    )
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


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Nothing may be loaded or sent; only this very style and this very script may run."""
    style_hash, script_hash = (
        f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'" for code in (style, script)
    )
    return (
        f"default-src 'none'; img-src data:; style-src {style_hash}; script-src {script_hash}; "
        "connect-src 'none'; base-uri 'none'; form-action 'none'"
    )


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
