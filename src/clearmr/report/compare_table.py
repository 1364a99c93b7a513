"""The table of a comparison: rows of figures as Markdown, the best of each column bold."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]  # "name", and figures by the keys of COLUMNS


@dataclass(frozen=True)
class Column:
    """key of a row, head of the table, decimals (None: text); best: 1 the largest, -1 the smallest, 0 no matter."""

    key: str
    head: str
    digits: int | None = None
    best: int = 0
    about: str = ""


COLUMNS = (
    Column("psnr", "PSNR (dB)", 2, 1, "against the reference, data range: its peak"),
    Column("ssim", "SSIM", 4, 1, "of magnitudes, in the plane, 7 x 7 pixels"),
    Column("nrmse", "NRMSE", 4, -1, "root of the squared error over that of the squared reference"),
    Column("removed_sd", "removed SD", 2, 0, "SD of what was removed over the noise SD: at the most about 1"),
    Column("edges", "at edges", 2, 0, "power removed at the result's edges over the noise's: above 1 edges were taken"),
    Column("pure_noise", "noise left", 2, -1, "SD left of pure noise, in noise SDs"),
    Column("lesion", "lesion kept", 2, 0, "share of the contrast of small lesions put in that is left"),
    Column(
        "error_left", "error", 2, -1, "root mean square error in noise SDs by Stein's estimate, no reference needed"
    ),
    Column("verdict", "trust", about="the worst of the checks that need no reference (compare.json has all of them)"),
    Column("seconds", "s", 1, 0, "wall time of denoising alone"),
    Column("memory_gb", "GB", 2, 0, "most memory of its process, libraries and image included"),
)


def shown(rows: Sequence[Row]) -> list[Column]:
    """The columns that at least one row has something in."""
    return [column for column in COLUMNS if any(row.get(column.key) is not None for row in rows)]


def ranked(rows: Sequence[Row]) -> list[Row]:
    """The input first, then by PSNR where there is a reference, else as given."""
    first, *rest = rows
    if not all("psnr" in row for row in rest):
        return list(rows)
    psnr = next(column for column in COLUMNS if column.key == "psnr")
    return [first, *sorted(rest, key=lambda row: -_value(row, psnr))]


def cell(row: Row, column: Column) -> str:
    """A figure as text; a dash for none."""
    value = _value(row, column)
    if value == math.inf:
        return "inf"
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "-"
    return str(value) if column.digits is None else f"{value:.{column.digits}f}"


def _value(row: Row, column: Column) -> Any:
    """A figure; JSON has no infinity, so the PSNR of the reference itself is there, and None."""
    return math.inf if column.key == "psnr" and row.get("psnr", 0) is None else row.get(column.key)


def best(rows: Sequence[Row], column: Column) -> set[str]:
    """The text of the best figure of a column; none where there are not two to choose from, or it does not matter."""
    values = {said: _value(row, column) for row in rows if (said := cell(row, column)) != "-"}
    if not column.best or len(values) < 2:
        return set()
    return {max(values, key=lambda text: column.best * values[text])}


def faults(row: Row) -> list[str]:
    """What the trust checks have against a result, a sentence each."""
    bad = [check for check in row.get("trust") or [] if check["verdict"] in ("fail", "caution")]
    return [f"{check['verdict']}: {check['title']}: {check['said']}" for check in bad]


def markdown(title: str, rows: Sequence[Row], left_out: Mapping[str, str], notes: Sequence[str]) -> str:
    """Title, table, who was left out and why, notes."""
    columns = shown(rows)
    lines = [f"# {title}", "", _line(["method", *(column.head for column in columns)])]
    lines += [_line(["---", *("---" if c.digits is None else "---:" for c in columns)])]
    bold = {column.key: best(rows, column) for column in columns}
    for row in ranked(rows):
        cells = [cell(row, column) for column in columns]
        marked = [f"**{text}**" if text in bold[c.key] else text for text, c in zip(cells, columns, strict=True)]
        lines.append(_line([str(row["name"]), *marked]))
    said = [f"* {name} left out: {reason}" for name, reason in left_out.items()] + [f"* {note}" for note in notes]
    said += [f"* {row['name']}: {line}" for row in ranked(rows) for line in faults(row)]
    said += [f"* {column.head}: {column.about}." for column in columns if column.about]
    return "\n".join([*lines, "", *said]) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in cells) + " |"
