"""Tests of pairs and weighted kappa, against their definitions."""

import math

import numpy as np
import pytest

from clearmr.errors import InputError
from clearmr.evaluate import statistics


def signed_rank(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Statistic and exact two-sided p by all 2^n signs (no ties, no zeros)."""
    d = a - b
    ranks = np.argsort(np.argsort(np.abs(d))) + 1
    plus = ranks[d > 0].sum()
    sums = np.array([sum(r for k, r in enumerate(ranks) if sign >> k & 1) for sign in range(2 ** len(d))])
    least = min(plus, ranks.sum() - plus)
    return float(least), min(1.0, 2 * float(np.mean(sums <= least)))


def test_wilcoxon_is_the_exact_test() -> None:
    rng = np.random.default_rng(0)
    a = rng.standard_normal(10)
    b = a + rng.standard_normal(10) + 0.6
    found = statistics.wilcoxon(list(a), list(b))
    statistic, p = signed_rank(a, b)
    assert found.statistic == statistic and found.p == pytest.approx(p, abs=1e-12) and found.n == 10


def test_wilcoxon_of_scores_with_ties_and_equal_pairs() -> None:
    a, b = [3, 3, 4, 2, 3, 5, 4, 3, 2, 3], [4, 4, 4, 3, 5, 5, 5, 4, 3, 3]
    found = statistics.wilcoxon(a, b)
    assert found.statistic == 0 and found.n == 10 and 0.005 < found.p < 0.05
    same = statistics.wilcoxon(a, a)
    assert (same.statistic, same.p, same.n) == (0.0, 1.0, 10)
    for pair in (([1], [2]), ([1, 2], [1]), ([1.0, math.nan], [2.0, 3.0])):
        with pytest.raises(InputError):
            statistics.wilcoxon(*pair)


def kappa(a: list[int], b: list[int], labels: int, power: int) -> float:
    """1 - sum w O / sum w E."""
    observed = np.zeros((labels, labels))
    for i, j in zip(a, b, strict=True):
        observed[i - 1, j - 1] += 1 / len(a)
    expected = np.outer(observed.sum(1), observed.sum(0))
    weight = np.abs(np.subtract.outer(np.arange(labels), np.arange(labels))) ** power
    return 1 - (weight * observed).sum() / (weight * expected).sum()


@pytest.mark.parametrize(("weights", "power"), [("linear", 1), ("quadratic", 2)])
def test_weighted_kappa_is_its_definition(weights: str, power: int) -> None:
    pytest.importorskip("sklearn")
    a, b = [1, 2, 5, 4, 4, 3, 2, 5], [2, 2, 4, 4, 5, 3, 1, 5]
    assert statistics.weighted_kappa(a, b, weights=weights) == pytest.approx(kappa(a, b, 5, power), abs=1e-12)
    assert statistics.weighted_kappa(a, a) == pytest.approx(1)
    words = ("bad", "fair", "good", "best", "perfect")
    by_word = statistics.weighted_kappa([words[k - 1] for k in a], [words[k - 1] for k in b], labels=words)
    assert by_word == pytest.approx(kappa(a, b, 5, 2), abs=1e-12)


def test_weighted_kappa_refuses_what_are_no_scores() -> None:
    pytest.importorskip("sklearn")
    assert math.isnan(statistics.weighted_kappa([3, 3], [3, 3]))
    for a, b, options in (([1, 6], [1, 2], {}), ([1, 2], [1], {}), ([], [], {}), ([1, 2], [1, 2], {"weights": "no"})):
        with pytest.raises(InputError):
            statistics.weighted_kappa(a, b, **options)


def test_a_paired_t_test_is_its_formula() -> None:
    before, after = np.array([1.0, 2.0, 4.0, 3.0]), np.array([1.5, 2.2, 5.0, 3.4])
    d = after - before
    found = statistics.paired_t_test(list(before), list(after))
    assert found.t == pytest.approx(d.mean() / (d.std(ddof=1) / 2), rel=1e-12)
    assert found.difference == pytest.approx(d.mean()) and 0 < found.p < 0.1
