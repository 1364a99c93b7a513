"""The trust checks on the page: one verdict each, the worst first, its numbers and limits a click away."""

from collections.abc import Mapping, Sequence
from typing import Any

from clearmr.report import tables
from clearmr.report.results import VERDICTS, Results
from clearmr.report.tables import text

SIGNS = {"fail": "✕", "caution": "!", "not run": "–", "pass": "✓"}
DOUBTS = ("fail", "caution")  # verdicts that speak against a result
_WORDS = {
    "fail": "do not trust this result before you know why",
    "caution": "look at what is marked",
    "not run": "nothing was checked",
    "pass": "nothing speaks against this result",
}


def checks(results: Results) -> str:
    """The section of the trust checks; empty where a folder holds none (older ones do not)."""
    if not results.trust:
        return ""
    worst = results.trust_verdict
    given = ordered(results.trust)
    doubts = "".join(_doubt(check) for check in given if check["verdict"] in DOUBTS)
    fine = "".join(_fine(check) for check in given if check["verdict"] not in DOUBTS)
    return (
        f'<section class="trust" aria-labelledby="trust">'
        f'<h2 id="trust">{badge(worst)} Trust checks: {text(_WORDS[worst])}</h2>'
        + (f'<ul class="doubts">{doubts}</ul>' if doubts else "")
        + (f'<ul class="fine">{fine}</ul>' if fine else "")
        + f"{_numbers(given)}</section>"
    )


def badge(verdict: str, *, short: bool = False) -> str:
    """A verdict as a sign and a word: told apart without colour. `short`: the sign, the word for those who listen."""
    word = f'<span class="unseen">{verdict}:</span>' if short else verdict
    kind = f"badge is-{verdict.replace(' ', '-')}{' is-short' if short else ''}"
    return f'<span class="{kind}"><span aria-hidden="true">{SIGNS[verdict]}</span> {word}</span>'


def ordered(checks: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The worst first, otherwise as they came."""
    return sorted(checks, key=lambda check: VERDICTS.index(check["verdict"]))


def _doubt(check: Mapping[str, Any]) -> str:
    return f"<li>{badge(check['verdict'])}<div><b>{text(check['title'])}.</b> {_said(check)}</div></li>"


def _fine(check: Mapping[str, Any]) -> str:
    return f"<li>{badge(check['verdict'], short=True)}<span>{text(check['title'])}</span></li>"


def _said(check: Mapping[str, Any]) -> str:
    said = str(check.get("said") or "")
    return text(said[:1].upper() + said[1:])


def _numbers(given: Sequence[Mapping[str, Any]]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{badge(check["verdict"])} {text(check["title"])}</th><td>{_said(check)}'
        f"{_part('Found', check.get('figures'))}{_part('Limits', check.get('limits'))}</td></tr>"
        for check in given
    )
    head = '<thead><tr><th scope="col">Check</th><th scope="col">What was found, and the limits</th></tr></thead>'
    table = f'<table class="steps">{head}<tbody>{rows}</tbody></table>'
    return f"<details><summary>All checks with their figures and limits</summary>{table}</details>"


def _part(name: str, values: Any) -> str:
    return f'<div class="part">{name}: {tables.scales(values)}</div>' if isinstance(values, Mapping) and values else ""
