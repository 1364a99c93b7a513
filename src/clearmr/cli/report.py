"""`clearmr report`: a results folder as one web page."""

from pathlib import Path
from typing import Annotated

import typer

from clearmr.cli import common

NAME = "report"
EXAMPLE = "clearmr report clean_results -o report.html"


def run(
    results: Annotated[Path, typer.Argument(help="Folder that `clearmr denoise --report` or `clearmr demo` wrote.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Web page (.html).")],
    force: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """Make one self-contained web page: before and after, what was removed, and how far to trust it."""
    common.refuse_existing([out], force=force)
    from clearmr import report

    written = report.write_report(results, out, force=force)
    common.say(f"{written}: {written.stat().st_size / 1e6:.1f} MB", quiet=quiet)
