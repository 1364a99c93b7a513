"""What readers hand back: read with distrust, joined with the key."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearmr.errors import InputError
from clearmr.report.study_design import Design, Reading, from_key
from clearmr.report.study_items import NONE, SCORES, Item

ANSWERS_FORMAT = "clearmr-study-answers"
_LARGEST = 50_000_000  # bytes: the files hold scores, not pictures


@dataclass(frozen=True)
class Score:
    """One answer, unblinded. `score` is 1 to 5, None where missing, "none" where there was nothing to score."""

    reader: int
    case: int
    arm: int
    item: str
    score: int | str | None
    repeated: bool = False  # of the second look at the same picture


@dataclass(frozen=True)
class Answers:
    """One reader's scores, and the seconds that each reading took where the file says it."""

    reader: int
    scores: tuple[Score, ...]
    seconds: tuple[float, ...]

    @property
    def missing(self) -> int:
        return sum(score.score is None for score in self.scores)


def read_key(path: Path) -> Design:
    """The design in `path`. Raises InputError for whatever is no key."""
    return from_key(_json(path), path.name)


def read_answers(paths: Sequence[Path], design: Design) -> tuple[Answers, ...]:
    """The readers' files, by reader. Missing answers are kept as such.

    Raises InputError for a file that is not of this study, for two of one reader, for answers outside 1 to 5, for
    answers to what was never asked, and for a file without any answer.
    """
    found: dict[int, tuple[Path, Answers]] = {}
    for path in paths:
        answers = _one(_json(path), path.name, design)
        if answers.reader in found:
            both = f"{found[answers.reader][0].name} and {path.name}, both of reader {answers.reader}"
            raise InputError("one file per reader", both, "leave one out, or ask who read as which number")
        found[answers.reader] = (path, answers)
    if not found:
        raise InputError("the file of at least one reader", "none", "give what the readers downloaded")
    return tuple(answers for _, (_, answers) in sorted(found.items()))


def _json(path: Path) -> Any:
    if not path.is_file():
        raise InputError("an existing file", f"no {path}", "check the name")
    if path.stat().st_size > _LARGEST:
        raise InputError("a small JSON file", f"{path.name} of {path.stat().st_size / 1e6:.0f} MB", "check the name")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError("a JSON file", f"{path.name}, which is none", "ask for it again") from error


def _one(plain: Any, name: str, design: Design) -> Answers:
    if not isinstance(plain, dict) or plain.get("format") != ANSWERS_FORMAT or plain.get("version") != 1:
        raise InputError("a file that a reader downloaded from study.html", name, "give readers' files after the key")
    if plain.get("study") != design.study:
        raise InputError(f"answers of study {design.study}", f"{name} of another one", "give the key of that study")
    reader = plain.get("reader")
    if type(reader) is not int or not 1 <= reader <= len(design.orders):
        raise InputError(f"a reader from 1 to {len(design.orders)}", f"{name} of reader {reader}", "ask for it again")
    answers = plain.get("answers")
    if not isinstance(answers, dict):
        raise InputError("answers", f"none in {name}", "ask for it again")
    order = design.orders[reader - 1]
    unknown = set(answers) - {reading.id for reading in order}
    if unknown:
        found = f"{len(unknown)} unknown reading(s) in {name}"
        raise InputError(f"readings of reader {reader} of this study", found, "ask for the file again")
    scores = tuple(score for reading in order for score in _scores(answers, reading, reader, name, design))
    if all(score.score is None for score in scores):
        raise InputError("at least one answer", f"none in {name}", "leave this reader out")
    return Answers(reader, scores, _seconds(plain.get("seconds"), order))


def _scores(answers: Mapping[str, Any], reading: Reading, reader: int, name: str, design: Design) -> Iterable[Score]:
    given = answers.get(reading.id, [{}] * len(reading.pictures))
    rows = given if isinstance(given, list) else []
    if len(rows) != len(reading.pictures) or not all(isinstance(row, dict) for row in rows):
        raise InputError("a set of scores per picture", f"something else in {name}", "ask for the file again")
    names = {item.name for item in design.items}
    for token, row in zip(reading.pictures, rows, strict=True):
        if set(row) - names:
            raise InputError(f"items {', '.join(sorted(names))}", f"others in {name}", "ask for the file again")
        picture = design.picture(token)
        for item in design.items:
            score = _checked(row.get(item.name), item, name)
            yield Score(reader, picture.case, picture.arm, item.name, score, reading.repeats is not None)


def _checked(score: Any, item: Item, name: str) -> int | str | None:
    right = score is None or (type(score) is int and score in SCORES) or (item.absent and score == NONE)
    if not right:
        allowed = f"{SCORES[0]} to {SCORES[-1]}{f' or {NONE}' if item.absent else ''}"
        raise InputError(f"scores of {item.name} from {allowed}", f"{str(score)[:40]} in {name}", "ask the reader")
    return score


def _seconds(plain: Any, order: Sequence[Reading]) -> tuple[float, ...]:
    given = plain if isinstance(plain, dict) else {}
    found = (given.get(reading.id) for reading in order)
    return tuple(float(value) for value in found if isinstance(value, int | float) and 0 < value < 1e7)
