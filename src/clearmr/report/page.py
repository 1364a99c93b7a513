"""The page of one denoising: sections from a Results, put into page.html."""

from pathlib import Path
from string import Template

from clearmr.files import refuse_existing, whole_file
from clearmr.report import panes, sections, tables, trust
from clearmr.report.layers import make_pictures
from clearmr.report.pictures import BUDGET, describe
from clearmr.report.results import Results
from clearmr.report.shell import read, shell
from clearmr.report.tables import text
from clearmr.report.words import needs_care, verdict


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


def render(results: Results, *, budget: int = BUDGET, home: str = "") -> str:
    """The page as text, its pictures below `budget` bytes. The same results give the same text.

    home  link to the page of the group that this scan is one of
    """
    pictures = make_pictures(results, budget=budget)
    body = Template(read("page.html")).substitute(
        home=f'<a href="{text(home)}">All scans</a> · ' if home else "",
        title=text(results.title),
        method=text(results.method),
        tone="care" if needs_care(results) else "calm",
        verdict=text(verdict(results)),
        trust=trust.checks(results),
        figures=sections.figures(results),
        warnings=sections.warnings(results),
        viewer=panes.viewer(pictures, sections.strip(results)),
        shape=sections.shape(results.noisy, results.spacing) + sections.one_g(results),
        shown=text(" ".join(describe(pictures.coding))),
        noise=sections.noise(results),
        removed=sections.removed(results),
        snr=sections.snr(results),
        metrics=sections.section("reference", "Against a reference", tables.metrics(results.metrics)),
        steps=sections.section("steps", "What was done", tables.steps(results.steps)),
        model=sections.section("model", "The model", tables.pairs(results.model)),
        provenance=sections.section("provenance", "Provenance", tables.pairs(results.provenance)),
    )
    data = panes.data(pictures, first="noisy", second="denoised")
    title = f"{results.title} · ClearMR report"
    return shell(title, body, style=panes.style("page.css"), script=panes.script(), data=data)
