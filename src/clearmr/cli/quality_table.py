"""The quality benchmark for people: a table per question, on stderr; stdout has the same as JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

Row = Mapping[str, Any]


def show(found: Mapping[str, Any]) -> None:
    """Print every group of `clearmr.bench.quality.run`."""
    from clearmr.bench.quality import TITLES

    console = Console(stderr=True)
    for group, title in TITLES.items():
        if group in found:
            console.print(entrants(title, found[group]))
    console.print(plain("Trust: the default models on simulated scenes", found["trust"]))
    console.print(plain("Pure noise in: share of its SD that is left", [found["pure noise, SD left"]]))


def show_series(rows: Sequence[Row]) -> None:
    """Print the rows of `clearmr.bench.series.run`: 36.21 dB, 213 s."""
    from clearmr.bench.series import TITLE

    flat = [
        {name: _timed(value) if isinstance(value, Mapping) else value for name, value in row.items()} for row in rows
    ]
    Console(stderr=True).print(plain(TITLE, flat))


def _timed(figures: Row) -> str:
    if "skipped" in figures:
        return str(figures["skipped"])
    seconds = f", {figures['seconds']:.0f} s" if "seconds" in figures else ""
    return f"{figures['psnr']:.2f} dB{seconds}"


def entrants(title: str, rows: Sequence[Row]) -> Table:
    """A row per image and noise level, a column per entrant, and the margin over the best peer; why any was skipped."""
    names = list(dict.fromkeys(name for row in rows for name in row["entrants"]))
    reasons = {f"{n}: {e['skipped']}" for row in rows for n, e in row["entrants"].items() if "skipped" in e}
    table = Table(title=title, title_justify="left", caption="\n".join(sorted(reasons)) or None)
    for column in ("data", "noise", *names, "margin dB", "over"):
        table.add_column(column, justify="left" if column in ("data", "noise", "over") else "right")
    for row in rows:
        cells = [cell(row["entrants"].get(name, {})) for name in names]
        table.add_row(row["data"], row["noise"], *cells, number(row["margin"], "+.2f"), row["best peer"] or "")
    return table


def cell(figures: Row) -> str:
    """33.41 / 0.952, a gain, or "skipped"."""
    if "skipped" in figures:
        return "skipped"
    if "gain" in figures:
        return number(figures["gain"], "+.2f")
    return f"{number(figures.get('psnr'), '.2f')} / {number(figures.get('ssim'), '.3f')}"


def plain(title: str, rows: Sequence[Row]) -> Table:
    """Rows of numbers under their names."""
    table = Table(title=title, title_justify="left")
    for name in rows[0]:
        table.add_column(name, justify="left" if name in ("data", "noise") else "right")
    for row in rows:
        table.add_row(*(number(value, ".3f") for value in row.values()))
    return table


def number(value: Any, form: str) -> str:
    """A float in `form`; text and whole numbers as they are; "-" for none."""
    if value is None:
        return "-"
    return format(value, form) if isinstance(value, float) else str(value)
