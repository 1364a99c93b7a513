"""The tables of an analysed reader study, as Markdown and as a page: like Tables S1 to S4 of Jung et al. 2022."""

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Table = tuple[str, list[str], list[list[str]]]  # caption, head, rows

_STYLE = """
body { max-width: 64rem; margin: 3rem auto; padding: 0 1.5rem; font: 16px/1.5 system-ui, sans-serif; color: #191d21; background: #fbfbf9; font-variant-numeric: tabular-nums; }
h1 { font-size: 1.7rem; } h2 { margin: 2.2rem 0 .6rem; font-size: 1.125rem; }
div { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: .35rem .9rem .35rem 0; text-align: left; white-space: nowrap; }
tr.first > * { border-top: 1px solid #dcdfe2; }
tr.more th { opacity: 0; }
thead th { color: #57616b; font-weight: 500; }
tbody th { font-weight: 500; }
.care { padding: .6rem 1rem; background: #fdf1e3; border-left: 3px solid #9a4300; }
@media (prefers-color-scheme: dark) { body { color: #e5e9ec; background: #14181b; } tr.first > * { border-color: #2c343b; } thead th { color: #9ba6af; } .care { background: #2b2117; } }
"""  # noqa: E501


def markdown(found: Mapping[str, Any]) -> str:
    """The tables of what `analyse` found, as one Markdown text."""
    parts = ["# Reader study", *_said(found), *(f"Note: {note}" for note in found["warnings"])]
    for caption, head, rows in _tables(found):
        lines = [head, ["---"] * len(head), *rows]
        parts += [f"## {caption}", "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)]
    return "\n\n".join(parts) + "\n"


def page(found: Mapping[str, Any]) -> str:
    """The same as one HTML page without script."""
    said = "".join(f"<p>{html.escape(line)}</p>" for line in _said(found))
    said += "".join(f'<p class="care">{html.escape(note)}</p>' for note in found["warnings"])
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" '
        f'content="light dark"><title>Reader study</title><style>{_STYLE}</style></head><body><h1>Reader study</h1>'
        f"{said}{''.join(map(_html, _tables(found)))}</body></html>\n"
    )


def _html(table: Table) -> str:
    caption, head, rows = table
    heads = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in head)
    body = "".join(_line(row, first=k == 0 or rows[k - 1][0] != row[0]) for k, row in enumerate(rows))
    title = html.escape(caption)
    return f"<h2>{title}</h2><div><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"


def _line(row: Sequence[str], *, first: bool) -> str:
    """A row; the heads of equal ones below one another are seen once, and read aloud always."""
    head, *cells = map(html.escape, row)
    rest = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr class="{"first" if first else "more"}"><th scope="row">{head}</th>{rest}</tr>'


def _cell(words: str) -> str:
    """One cell: no column of its own, no line break, no tag."""
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", " ".join(words.split())).replace("|", "\\|")


def _said(found: Mapping[str, Any]) -> Iterator[str]:
    layout = "all arms side by side" if found["side_by_side"] else "one image at a time"
    n = len(found["readers"])
    yield f"{found['cases']} cases, {n} reader{'s' if n > 1 else ''}, {layout}; scores from 1 to 5, 5 is best."
    yield (
        f"Mean ± SD over cases. p: Wilcoxon's signed-rank test against {found['against']}, paired by case, two-sided; "
        "in brackets corrected for the number of tests of that reader (Holm). "
        f"All readers: their mean score of each case. Kappa: Cohen's, {found['weights']} weights."
    )


def _tables(found: Mapping[str, Any]) -> Iterator[Table]:
    yield "Scores", ["Item", "Reader", *found["arms"], *_test_heads(found)], [_row(found, row) for row in found["rows"]]
    agreement = [_agreement(found, row) for row in found["agreement"]]
    if agreement:
        yield "Agreement between readers", ["Item", "Readers", "Kappa", "In words", "Equal scores", "Images"], agreement
    repeats = [[_reader(row["reader"]), *_kappa(row)] for row in found["repeats"] if row["n"]]
    if repeats:
        yield "The same image seen again", ["Reader", "Kappa", "In words", "Equal scores", "Scores"], repeats
    answered = [_answered(row) for row in found["answered"]]
    yield "Answers", ["Reader", "Asked", "Missing", "Nothing to score", "Median time"], answered


def _test_heads(found: Mapping[str, Any]) -> list[str]:
    arms = [arm for arm in found["arms"] if arm != found["against"]]
    if len(arms) == 1:
        return ["Difference", "p", "Pairs"]
    return [f"{arm}: {what}" for arm in arms for what in ("difference", "p", "pairs")]


def _row(found: Mapping[str, Any], row: Mapping[str, Any]) -> list[str]:
    means = [_mean(arm) for arm in row["arms"].values()]
    tests = [cell for test in row["tests"] for cell in _test(test)]
    return [found["items"][row["item"]], _reader(row["reader"]), *means, *tests]


def _reader(reader: int | str) -> str:
    return f"Reader {reader}" if isinstance(reader, int) else str(reader).capitalize()


def _mean(arm: Mapping[str, Any]) -> str:
    if arm["mean"] is None:
        return "–"
    sd = "" if arm["sd"] is None else f" ± {arm['sd']:.2f}"
    return f"{arm['mean']:.2f}{sd}"


def _test(test: Mapping[str, Any]) -> Sequence[str]:
    if test["p"] is None:
        return "–", "–", str(test["n"])
    return (
        f"{test['difference']:+.2f}".replace("-", "−"),
        f"{p_value(test['p'])} ({p_value(test['p_holm'])})",
        str(test["n"]),
    )


def p_value(p: float) -> str:
    """Three digits after the point, "< 0.001" below."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _agreement(found: Mapping[str, Any], row: Mapping[str, Any]) -> list[str]:
    item = "All items" if row["item"] is None else found["items"][row["item"]]
    return [item, " and ".join(map(str, row["readers"])), *_kappa(row)]


def _kappa(row: Mapping[str, Any]) -> list[str]:
    kappa = "–" if row["kappa"] is None else f"{row['kappa']:.3f}".replace("-", "−")
    equal = "–" if row["equal"] is None else f"{100 * row['equal']:.0f} %"
    return [kappa, row["said"], equal, str(row["n"])]


def _answered(row: Mapping[str, Any]) -> list[str]:
    seconds = "–" if row["seconds"] is None else f"{row['seconds']:.0f} s"
    return [_reader(row["reader"]), str(row["asked"]), str(row["missing"]), str(row["none"]), seconds]
