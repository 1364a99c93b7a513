"""Is a difference chance, do two readers agree? Tests of pairs and weighted kappa, by scipy and scikit-learn.

Both are imported where they are used: scipy.stats takes half a second, scikit-learn is an optional package.
"""

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clearmr.errors import InputError

WEIGHTS = ("linear", "quadratic")


@dataclass(frozen=True)
class PairedTest:
    """Two-sided paired t-test of n pairs: mean of (after - before), its t statistic, and p."""

    n: int
    difference: float
    t: float
    p: float


@dataclass(frozen=True)
class Test:
    """Two-sided test: its statistic, p, and the number n of pairs given (those that are equal among them)."""

    statistic: float
    p: float
    n: int
    __test__ = False  # no test of pytest's


def paired_t_test(before: Sequence[float | int], after: Sequence[float | int]) -> PairedTest:
    """Is the mean of after - before zero? One pair per scan. Raises InputError for under two pairs."""
    from scipy.stats import ttest_rel

    first, second = _pairs(before, after, "paired t-test")
    found = ttest_rel(second, first)
    return PairedTest(len(first), float(np.mean(second - first)), float(found.statistic), float(found.pvalue))


def wilcoxon(a: Sequence[float | int], b: Sequence[float | int]) -> Test:
    """Wilcoxon's signed-rank test (1945) of the pairs (a, b): is the median of a - b zero?

    Equal pairs are left out (Wilcoxon's own way), ties share their ranks; p is exact for few pairs without ties or
    zeros, else by the normal law (scipy). Where all pairs are equal: statistic 0, p 1. Raises InputError for under
    two pairs, unequal numbers, NaN.
    """
    from scipy.stats import wilcoxon as signed_rank

    first, second = _pairs(a, b, "signed-rank test")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise InputError("finite numbers for a signed-rank test", "NaN or infinite ones", "leave those pairs out")
    if bool((first == second).all()):
        return Test(0.0, 1.0, len(first))
    found = signed_rank(first, second, zero_method="wilcox")
    return Test(float(found.statistic), float(found.pvalue), len(first))


def weighted_kappa(
    a: Sequence[Any], b: Sequence[Any], *, labels: Sequence[Any] = (1, 2, 3, 4, 5), weights: str = "quadratic"
) -> float:
    """Cohen's weighted kappa (1968) of two readers' scores of the same images: 1 agreement, 0 chance; by scikit-learn.

    labels: all scores that may be given, in order. weights: "linear" or "quadratic". NaN where both readers gave one
    and the same score throughout: nothing can be told. Raises InputError for scores outside `labels`, unequal numbers
    of them, or without scikit-learn.
    """
    metrics = _scikit_learn()
    if weights not in WEIGHTS:
        raise InputError(f"weights out of {', '.join(WEIGHTS)}", weights, "choose one of them")
    if len(a) != len(b) or len(a) == 0:
        raise InputError("two scores of every image", f"{len(a)} and {len(b)}", "give both readers' scores")
    strange = sorted({str(score) for score in (*a, *b) if score not in labels})
    if strange:
        raise InputError(f"scores among {', '.join(map(str, labels))}", ", ".join(strange), "correct them")
    if len(set(a) | set(b)) == 1:
        return math.nan
    place = {label: k for k, label in enumerate(labels)}  # distances are between places, whatever the labels are
    ranks = ([place[score] for score in scores] for scores in (a, b))
    return float(metrics.cohen_kappa_score(*ranks, labels=list(range(len(labels))), weights=weights))


def _scikit_learn() -> Any:
    try:
        return importlib.import_module("sklearn.metrics")
    except ImportError as error:
        todo = 'pip install "clearmr[statistics]"'
        raise InputError("scikit-learn for weighted kappa", "none installed", todo) from error


def _pairs(a: Sequence[float | int], b: Sequence[float | int], what: str) -> tuple[np.ndarray, np.ndarray]:
    first, second = (np.asarray(values, dtype=np.float64) for values in (a, b))
    if first.shape != second.shape or first.ndim != 1 or len(first) < 2:
        raise InputError(f"two or more pairs for a {what}", f"{len(a)} and {len(b)} values", "give more scans")
    return first, second
