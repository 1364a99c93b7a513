"""What a reproduction found: a table beside the paper's, as Markdown and as JSON."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

Cell = str | float | int | None


@dataclass(frozen=True)
class Spread:
    """Mean and SD over n repeats; SD None for one."""

    mean: float
    sd: float | None
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of one value or more."""
        return cls(fmean(values), stdev(values) if len(values) > 1 else None, len(values))

    def text(self, digits: int) -> str:
        """`mean +- sd`, rounded."""
        if not math.isfinite(self.mean):
            return "-"
        return f"{self.mean:.{digits}f}" + ("" if self.sd is None else f" +- {self.sd:.{digits}f}")


@dataclass(frozen=True)
class Check:
    """Something the paper found, and whether it was found here: `by` how much, with the SD over seeds."""

    claim: str
    holds: bool
    by: Spread
    digits: int = 2

    def text(self) -> str:
        return f"{'holds' if self.holds else 'FAILS'}: {self.claim}, by {self.by.text(self.digits)}"


@dataclass(frozen=True)
class Table:
    """One more table, below the first."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Results:
    """title; notes: where data and settings differ from the paper's; columns and rows of the table; checks; figures.

    more: further tables, after the checks.
    """

    name: str
    scale: str
    title: str
    notes: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    checks: tuple[Check, ...] = ()
    figures: dict[str, Any] = field(default_factory=dict)
    more: tuple[Table, ...] = ()


def markdown(results: Results) -> str:
    """Title, notes, tables and checks as Markdown."""
    lines = [f"# {results.title}", "", *(f"* {note}" for note in results.notes), ""]
    lines += _grid(results.columns, results.rows)
    if results.checks:
        lines += ["", *(f"* {check.text()}" for check in results.checks)]
    for table in results.more:
        lines += ["", f"## {table.title}", "", *_grid(table.columns, table.rows)]
    return "\n".join(lines) + "\n"


def _grid(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> list[str]:
    return [_row(columns), _row(["---"] * len(columns)), *(_row(row) for row in rows)]


def _row(cells: Sequence[Cell]) -> str:
    return "| " + " | ".join(_text(cell) for cell in cells) + " |"


def _text(cell: Cell) -> str:
    if cell is None:
        return "-"
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)
