"""A check and its verdict, and how a number becomes one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Verdict = Literal["pass", "caution", "fail", "not run"]
WORST_FIRST: tuple[Verdict, ...] = ("fail", "caution", "pass", "not run")


@dataclass(frozen=True)
class Check:
    """One question to a result without a reference, and its answer.

    name, title  for machines and for people; said: one sentence with numbers
    figures      what was measured; limits: what it was held against ("... caution", "... fail")
    """

    name: str
    title: str
    verdict: Verdict
    said: str
    figures: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able; numbers that are not finite become None."""
        return _plain(asdict(self))


def not_run(name: str, title: str, why: str) -> Check:
    """A check that could not be made, and why."""
    return Check(name, title, "not run", why)


def above(value: float, caution: float, fail: float) -> Verdict:
    """Fault where the value is above the limits."""
    return "fail" if value > fail else "caution" if value > caution else "pass"


def below(value: float, caution: float, fail: float) -> Verdict:
    """Fault where the value is below the limits."""
    return above(-value, -caution, -fail)


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """The worst of them; "not run" only where nothing else was."""
    return min(verdicts, key=WORST_FIRST.index, default="not run")


def sorted_checks(checks: Sequence[Check]) -> tuple[Check, ...]:
    """Worst first, else in their order."""
    return tuple(sorted(checks, key=lambda check: WORST_FIRST.index(check.verdict)))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
