"""The page itself: sections from a Results, put into page.html with page.css and page.js."""

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

from clearmr.files import refuse_existing, whole_file
from clearmr.report import sections, tables
from clearmr.report.pictures import describe, make_pictures
from clearmr.report.ramps import DIFFERENCE, GMAP, ramp_hex
from clearmr.report.results import Results
from clearmr.report.tables import text
from clearmr.report.words import needs_care, verdict

_HERE = Path(__file__).parent


def write_report(results: Path, out: Path, *, force: bool = False) -> Path:
    """Make the page of the results folder `results` at `out` and give `out` back.

    One HTML file that needs no network and no other file, below 10 MB. Raises InputError where the folder is
    missing, older or broken, or where `out` exists and `force` is not set.
    """
    refuse_existing(Path(out), force=force)
    page = render(Results.load(results))
    with whole_file(out, force=force) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return Path(out)


def render(results: Results) -> str:
    """The page as text. The same results give the same text."""
    pictures = make_pictures(results)
    style, script = (_read(name) for name in ("page.css", "page.js"))
    return Template(_read("page.html")).substitute(
        policy=_policy(style, script),
        style=style,
        script=script,
        data=_json_block(pictures.data | {"ramps": {"difference": ramp_hex(DIFFERENCE), "gmap": ramp_hex(GMAP)}}),
        title=text(results.title),
        method=text(results.method),
        tone="care" if needs_care(results) else "calm",
        verdict=text(verdict(results)),
        figures=sections.figures(results),
        warnings=sections.warnings(results),
        shape=sections.shape(results),
        shown=text(" ".join(describe(pictures.coding))),
        strip=sections.strip(pictures, results),
        noise=sections.noise(results),
        removed=sections.removed(results),
        snr=sections.snr(results),
        metrics=sections.section("reference", "Against a reference", tables.metrics(results.metrics)),
        steps=sections.section("steps", "What was done", tables.steps(results.steps)),
        model=sections.section("model", "The model", tables.pairs(results.model)),
        provenance=sections.section("provenance", "Provenance", tables.pairs(results.provenance)),
    )


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Nothing may be loaded; only this very style and this very script may run."""
    style_hash, script_hash = (
        f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'" for code in (style, script)
    )
    return (
        f"default-src 'none'; img-src data:; style-src {style_hash}; script-src {script_hash}; "
        "base-uri 'none'; form-action 'none'"
    )


def _json_block(data: Mapping[str, Any]) -> str:
    plain = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return plain.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
