"""What the readers' scores say: means, Wilcoxon's test between arms, weighted kappa within and between readers.

After Jung et al. 2022 (Statistical analysis). The unit of every test is the case: the scores of one case in two arms
are a pair. Scores of several readers are averaged per case before they are tested together, never counted as cases.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from clearmr.report.study_answers import Answers, Score
from clearmr.report.study_design import Design
from clearmr.report.study_items import NONE

# The words of the paper for kappa; below 0 is worse than chance.
_WORDS = ((0.8, "almost perfect"), (0.6, "substantial"), (0.4, "moderate"), (0.2, "fair"), (0.0, "poor"))
ALL = "all readers"
Given = dict[tuple[int, int], float]  # (case, arm) -> score
Asked = dict[tuple[int, str], list[Score]]  # (reader, item) -> first looks


def analyse(
    design: Design, answers: Sequence[Answers], *, against: int = 0, weights: str = "quadratic"
) -> dict[str, Any]:
    """Everything, JSON-able. `against` is the arm with which the others are compared; `weights` those of kappa.

    rows        per item and reader (and over all readers): mean, SD (n - 1), n of each arm, and the tests
    agreement   per item and two readers, and over all items: kappa, share of equal scores, n images
    repeats     per reader: the same of the first and the second look at an image, over all items
    answered    per reader: how many scores were asked for, are missing, had nothing to score; seconds per reading
    """
    asked = _first_looks(answers)
    rows = [row for item in design.items for row in _rows(design, answers, asked, item.name, against)]
    for reader in {row["reader"] for row in rows}:
        _holm([test for row in rows if row["reader"] == reader for test in row["tests"]])
    readers = [one.reader for one in answers]
    return {
        "study": design.study,
        "cases": len(design.cases),
        "arms": list(design.arms),
        "against": design.arms[against],
        "side_by_side": design.side_by_side,
        "items": {item.name: item.title for item in design.items},
        "readers": readers,
        "weights": weights,
        "rows": rows,
        "agreement": [
            found for pair in itertools.combinations(readers, 2) for found in _agree(design, asked, pair, weights)
        ],
        "repeats": [_repeats(one, weights) for one in answers],
        "answered": [_answered(one) for one in answers],
    }


def _first_looks(answers: Sequence[Answers]) -> Asked:
    asked: Asked = {}
    for one in answers:
        for score in one.scores:
            if not score.repeated:
                asked.setdefault((score.reader, score.item), []).append(score)
    return asked


def _given(scores: Sequence[Score]) -> Given:
    return {(s.case, s.arm): float(s.score) for s in scores if isinstance(s.score, int)}


def _rows(design: Design, answers: Sequence[Answers], asked: Asked, item: str, against: int) -> list[dict[str, Any]]:
    by_reader = {one.reader: _given(asked[one.reader, item]) for one in answers}
    found = [_row(design, given, item, reader, against) for reader, given in by_reader.items()]
    return (
        found if len(answers) < 2 else [*found, _row(design, _together(list(by_reader.values())), item, ALL, against)]
    )


def _together(given: Sequence[Given]) -> Given:
    """Means over the readers of what all of them scored."""
    common = set.intersection(*(set(one) for one in given))
    return {place: float(np.mean([one[place] for one in given])) for place in sorted(common)}


def _row(design: Design, given: Given, item: str, reader: int | str, against: int) -> dict[str, Any]:
    arms = {name: _summary([v for (_, k), v in given.items() if k == arm]) for arm, name in enumerate(design.arms)}
    tests = [_test(design, given, arm, against) for arm in range(len(design.arms)) if arm != against]
    return {"item": item, "reader": reader, "arms": arms, "tests": tests}


def _summary(values: Sequence[float]) -> dict[str, Any]:
    n = len(values)
    sd = float(np.std(values, ddof=1)) if n > 1 else None
    return {"mean": float(np.mean(values)) if n else None, "sd": sd, "n": n}


def _test(design: Design, given: Given, arm: int, against: int) -> dict[str, Any]:
    """Wilcoxon's signed-rank test over the cases that were scored in both arms."""
    from clearmr.evaluate import statistics

    cases = [case for case in range(len(design.cases)) if {(case, arm), (case, against)} <= set(given)]
    pairs = [(given[case, arm], given[case, against]) for case in cases]
    named = {"arm": design.arms[arm], "against": design.arms[against], "n": len(pairs)}
    if len(pairs) < 2:
        return {**named, "difference": None, "statistic": None, "p": None}
    first, second = (list(column) for column in zip(*pairs, strict=True))
    found = statistics.wilcoxon(first, second)
    difference = float(np.mean(np.subtract(first, second)))
    return {**named, "difference": difference, "statistic": found.statistic, "p": found.p}


def _holm(tests: Sequence[dict[str, Any]]) -> None:
    """Add p corrected for the number of tests of one reader (Holm 1979): made for this, the dicts are our own."""
    known = sorted((test for test in tests if test["p"] is not None), key=lambda test: test["p"])
    least = 0.0
    for k, test in enumerate(known):
        least = max(least, min(1.0, test["p"] * (len(known) - k)))
        test["p_holm"] = least


def _agree(design: Design, asked: Asked, pair: tuple[int, int], weights: str) -> list[dict[str, Any]]:
    found, every = [], []
    for item in design.items:
        one, two = (_given(asked[reader, item.name]) for reader in pair)
        both = [(int(one[place]), int(two[place])) for place in sorted(set(one) & set(two))]
        found.append({"readers": list(pair), "item": item.name, **_kappa(both, weights)})
        every += both
    return [*found, {"readers": list(pair), "item": None, **_kappa(every, weights)}]


def _kappa(both: Sequence[tuple[int, int]], weights: str) -> dict[str, Any]:
    from clearmr.evaluate import statistics

    if not both:
        return {"kappa": None, "said": "no image scored twice", "equal": None, "n": 0}
    first, second = (list(column) for column in zip(*both, strict=True))
    kappa = statistics.weighted_kappa(first, second, weights=weights)
    equal = sum(a == b for a, b in both) / len(both)
    if math.isnan(kappa):
        return {"kappa": None, "said": "one score throughout", "equal": equal, "n": len(both)}
    return {"kappa": kappa, "said": words(kappa), "equal": equal, "n": len(both)}


def words(kappa: float) -> str:
    """The paper's word, which goes by two digits: 0.21 to 0.40 is fair, and so on."""
    digits = round(kappa, 2)
    return next((word for above, word in _WORDS if digits > above), "poor" if digits == 0 else "worse than chance")


def _repeats(one: Answers, weights: str) -> dict[str, Any]:
    """First and second look at the same picture, over all items: too few for each item alone."""
    looks = [{(s.case, s.arm, s.item): s.score for s in one.scores if s.repeated is again} for again in (False, True)]
    pairs = [(looks[0].get(place), second) for place, second in looks[1].items()]
    both = [(a, b) for a, b in pairs if isinstance(a, int) and isinstance(b, int)]
    return {"reader": one.reader, **_kappa(both, weights)}


def _answered(one: Answers) -> dict[str, Any]:
    nothing = sum(score.score == NONE for score in one.scores)
    median = float(np.median(one.seconds)) if one.seconds else None
    return {"reader": one.reader, "asked": len(one.scores), "missing": one.missing, "none": nothing, "seconds": median}
