"""The page of a comparison: a pane for each denoiser in one grid, its residual a click away, and the table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from clearmr.files import whole_file
from clearmr.report import compare_table, panes, sections, tables
from clearmr.report.compare_table import Column, Row
from clearmr.report.panes import Pane
from clearmr.report.pictures import BUDGET, Coding, Layer, Pictures, describe, fit
from clearmr.report.shell import read, shell
from clearmr.report.tables import text
from clearmr.report.trust import DOUBTS, badge
from clearmr.report.values import four_axes

NOISY, REFERENCE = "noisy", "reference"
Series = Callable[[], np.ndarray]  # reads (frame, z, y, x), in the unit of the input


@dataclass(frozen=True)
class Comparison:
    """What the page shows.

    rows       the input first, each with "name" and figures by the keys of `compare_table.COLUMNS`
    images     by the rows' names, read when they are needed; "reference" too, where there is one
    noise_sd   of the input, broadcastable to it; spacing in mm (z, y, x)
    left_out   why, by name; notes: sentences; provenance: as on the report
    """

    title: str
    rows: Sequence[Row]
    images: Mapping[str, Series]
    noise_sd: np.ndarray
    spacing: Sequence[float | int] = (1.0, 1.0, 1.0)
    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    warnings: Sequence[str] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Of the denoisers, the best first where a reference tells."""
        return [str(row["name"]) for row in compare_table.ranked(self.rows)[1:]]


def write(comparison: Comparison, out: Path, *, budget: int = BUDGET) -> Path:
    """Make the page at `out`, in place of an older one; one file that needs no network, below 10 MB."""
    page = render(comparison, budget=budget)
    with whole_file(out, force=True) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return out


def render(comparison: Comparison, *, budget: int = BUDGET) -> str:
    """The page as text."""
    noisy = comparison.images[NOISY]()
    pictures = _pictures(comparison, noisy, budget)
    warnings = tables.items(comparison.warnings)
    body = Template(read("compare.html")).substitute(
        title=text(comparison.title),
        warnings=sections.section("warnings", "Warnings", f"<ul>{warnings}</ul>" if warnings else ""),
        table=_table(comparison),
        legend=_legend(comparison),
        left_out=_left_out(comparison),
        viewer=panes.viewer(
            pictures, _panes(comparison), label="Denoisers side by side", swap_all="Images / residuals"
        ),
        shape=sections.shape(noisy, comparison.spacing),
        shown=text(" ".join(describe(pictures.coding))),
        trust=sections.section("checks", "Trust checks", _checks(comparison)),
        notes=sections.section("notes", "Notes", _list(comparison.notes)),
        provenance=sections.section("provenance", "Provenance", tables.pairs(comparison.provenance)),
    )
    first, second = [*comparison.names[:2], NOISY][:2] if len(comparison.names) > 1 else (NOISY, comparison.names[0])
    return shell(
        f"{comparison.title} · ClearMR",
        body,
        style=panes.style("page.css", "compare.css"),
        script=panes.script(),
        data=panes.data(pictures, first=first, second=second),
    )


def residual_of(name: str) -> str:
    """The layer of what a denoiser removed."""
    return f"{name} residual"


def _pictures(comparison: Comparison, noisy: np.ndarray, budget: int) -> Pictures:
    def layers(coding: Coding) -> dict[str, Layer]:
        series = {name: coding.pick(read()) for name, read in comparison.images.items()}
        sd, before = coding.pick(four_axes(comparison.noise_sd)), series[NOISY]
        removed = {
            residual_of(name): panes.residual(_alike(before, image), image, sd, label=f"{name} removed")
            for name, image in series.items()
            if name not in (NOISY, REFERENCE)
        }
        return panes.images(series) | removed

    n_layers = 2 * len(comparison.images)
    main = comparison.names[0]
    return fit(layers, noisy.shape, n_layers=n_layers, main=main, spacing=comparison.spacing, budget=budget)


def _alike(noisy: np.ndarray, image: np.ndarray) -> np.ndarray:
    """The input as its magnitude beside a magnitude that another tool made."""
    return np.abs(noisy) if np.iscomplexobj(noisy) and not np.iscomplexobj(image) else noisy


def _panes(comparison: Comparison) -> list[Pane]:
    given = [Pane(NOISY, "Input", "The image before denoising")]
    if REFERENCE in comparison.images:
        given.append(Pane(REFERENCE, "Reference", "The image taken for true, in the same window"))
    for number, name in enumerate(comparison.names):
        title, said = f"{name}: removed (σ)", f"Denoised by {name}, same window"
        given.append(Pane(name, name, said, residual_of(name), title, _foot(number)))
    return given


def _foot(number: int) -> str:
    """The window of an image, and where its residual is shown the bar of that."""
    bar = panes.sigma_bar(f"residual-{number}")
    return f'<div class="as-image">{panes.WINDOW}</div><div class="as-residual">{bar}</div>'


def _table(comparison: Comparison) -> str:
    """The figures, the best of each column marked."""
    columns = compare_table.shown(comparison.rows)
    bold = {column.key: compare_table.best(comparison.rows, column) for column in columns}
    heads = "".join(f'<th scope="col">{text(column.head)}</th>' for column in columns)
    rows = "".join(
        f'<tr><th scope="row">{text(row["name"])}</th>{"".join(_cell(row, c, bold[c.key]) for c in columns)}</tr>'
        for row in compare_table.ranked(comparison.rows)
    )
    head = f'<thead><tr><th scope="col">Denoiser</th>{heads}</tr></thead>'
    return f'<div class="scroll"><table class="compared">{head}<tbody>{rows}</tbody></table></div>'


def _cell(row: Row, column: Column, best: set[str]) -> str:
    said = compare_table.cell(row, column)
    if column.key == "verdict" and said != "-":
        return f"<td>{badge(said)}</td>"
    return f'<td class="best">{text(said)}</td>' if said in best else f"<td>{text(said.replace('-', '–', 1))}</td>"


def _legend(comparison: Comparison) -> str:
    said = [f"{column.head}: {column.about}." for column in compare_table.shown(comparison.rows) if column.about]
    return f"<details><summary>What the columns mean</summary>{_list(said)}</details>"


def _checks(comparison: Comparison) -> str:
    """For each denoiser its checks, the worst first; those with a fault are open."""
    rows = {str(row["name"]): row for row in comparison.rows}
    return "".join(
        _checks_of(name, rows[name].get("trust") or []) for name in comparison.names if rows[name].get("trust")
    )


def _checks_of(name: str, checks: Sequence[Mapping[str, Any]]) -> str:
    lines = "".join(
        f"<li>{badge(check['verdict'])}<span><b>{text(check['title'])}</b> {text(check['said'])}</span></li>"
        for check in checks
    )
    summary = f"{badge(checks[0]['verdict'])} {text(name)}"
    opened = " open" if checks[0]["verdict"] in DOUBTS else ""
    return f'<details class="checks"{opened}><summary>{summary}</summary><ul>{lines}</ul></details>'


def _left_out(comparison: Comparison) -> str:
    """A line for each that has no pane; empty where all have one."""
    lines = [f"{name}: {reason}" for name, reason in comparison.left_out.items()]
    return sections.section("left-out", "Left out", _list(lines))


def _list(sentences: Sequence[str]) -> str:
    return f"<ul>{tables.items(sentences)}</ul>" if sentences else ""
