"""The benchmark of the optimisers: both learn, and both are compared at equal steps and equal seconds."""

import pytest

from clearmr import bench
from clearmr.bench import optimizers
from clearmr.bench.timing import Options


def test_both_optimisers_learn_the_same_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizers, "STEPS", 40)
    one = {"adamw": [{"learning_rate": 1e-2}], "sophia": [{"learning_rate": 3e-3, "gamma": 0.05}]}
    monkeypatch.setattr(optimizers, "TRIED", one)
    monkeypatch.setattr(optimizers, "HELD_OUT", 16)
    entry = optimizers.run(Options())
    assert entry["steps"] == 40
    for name in ("adamw", "sophia"):
        assert entry["equal steps"][name]["error"] < 0.9  # of the noise variance that is there
        assert entry["equal steps"][name]["seconds"] > 0
    assert entry["equal seconds"]["adamw"] == entry["equal steps"]["adamw"]
    assert entry["equal seconds"]["sophia"]["steps"] >= 1
    a, b = (optimizers.train_once("adamw", one["adamw"][0], 5)["error"] for _ in range(2))
    assert a == b  # one seed, one problem


def test_it_is_among_the_benches() -> None:
    assert "optimizers" in bench.BENCHES
