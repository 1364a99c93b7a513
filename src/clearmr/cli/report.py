"""`clearmr report`: a results folder as one web page, or many as a page of the group."""

from pathlib import Path
from typing import Annotated

import typer

from clearmr.cli import common

NAME = "report"
EXAMPLE = "clearmr report clean_results -o report.html"


def run(
    results: Annotated[
        list[Path], typer.Argument(help="Folder that `clearmr denoise --report` or `clearmr demo` wrote; or several.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Web page (.html).")],
    force: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """Make one self-contained web page: before and after, what was removed, and how far to trust it.

    Several folders become the page of a group, with a table that sorts, and a page of each in OUT_pages/ beside it:
    [b]clearmr report scans/*_results -o group.html[/b]
    """
    pages = out.with_name(f"{out.stem}_pages")
    common.refuse_existing([out, *([pages] if len(results) > 1 else [])], force=force)
    from clearmr import report

    if len(results) == 1:
        written = report.write_report(results[0], out, force=force)
    else:
        with common.progress_bar("report", quiet=quiet) as progress:
            written = report.write_group(results, out, force=force, progress=progress)
        common.say(f"{pages}: {len(results)} pages", quiet=quiet)
    common.say(f"{written}: {written.stat().st_size / 1e6:.1f} MB", quiet=quiet)
