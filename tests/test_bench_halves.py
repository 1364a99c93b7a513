"""Benchmarks of 3D GRAPPA and of the split, at sizes that take no time."""

import pytest

from clearmr import bench
from clearmr.bench import grappa3d, split


def test_3d_grappa_is_no_worse_than_pygrappa_given_the_same_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pygrappa")
    for name, value in (("MATRIX", (16, 24, 24)), ("COILS", 8), ("ACS", 16), ("RUNS", 1)):
        monkeypatch.setattr(grappa3d, name, value)
    entry = bench.run("grappa3d")
    own, peer = entry["clearmr"], entry["pygrappa mdgrappa"]
    # A wrong scale, axis or window of the peer would show as an error many times ours.
    assert 0 < own["nrmse"] <= peer["nrmse"] < 4 * own["nrmse"] < 1
    assert own["process peak GB"] > 0 and entry["times slower than clearmr"]["pygrappa mdgrappa"] > 0


def test_the_split_is_timed_in_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("MATRIX", (12, 24, 24)), ("COILS", 8), ("ACS", 12)):
        monkeypatch.setattr(split, name, value)
    entry = bench.run("split")
    assert entry["clearmr"]["seconds"] > 0 and entry["as published"]["seconds"] > 0
