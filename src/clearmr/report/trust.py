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
    rows = "".join(_check(check) for check in ordered(results.trust))
    return (
        f'<section class="trust is-{_css(worst)}" aria-labelledby="trust">'
        f'<h2 id="trust">{badge(worst)} Trust checks: {text(_WORDS[worst])}</h2>'
        f'<p class="counts">{_counts(results)}</p><ul>{rows}</ul>{_numbers(results)}</section>'
    )


def badge(verdict: str) -> str:
    """A verdict as a sign and a word: told apart without colour."""
    return f'<span class="badge is-{_css(verdict)}"><span aria-hidden="true">{SIGNS[verdict]}</span> {verdict}</span>'


def ordered(checks: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The worst first, otherwise as they came."""
    return sorted(checks, key=lambda check: VERDICTS.index(check["verdict"]))


def _css(verdict: str) -> str:
    return verdict.replace(" ", "-")


def _counts(results: Results) -> str:
    verdicts = [check["verdict"] for check in results.trust]
    return text(", ".join(f"{verdicts.count(v)} {v}" for v in VERDICTS if v in verdicts) + ".")


def _check(check: Mapping[str, Any]) -> str:
    return (
        f'<li class="is-{_css(check["verdict"])}">{badge(check["verdict"])}'
        f"<div><b>{text(check['title'])}</b> {text(check.get('said', ''))}</div></li>"
    )


def _numbers(results: Results) -> str:
    rows = [
        [check["title"], check.get("figures") or "–", check.get("limits") or "–"]
        for check in ordered(results.trust)
        if check.get("figures") or check.get("limits")
    ]
    if not rows:
        return ""
    return f"<details><summary>Figures and limits</summary>{tables.table(['Check', 'Found', 'Limits'], rows)}</details>"
