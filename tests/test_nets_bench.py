"""`clearmr bench networks` on a small network and series: what it reports, and the way patches are counted."""

import json
from pathlib import Path

import pytest
import torch

from clearmr.bench import networks
from clearmr.methods.snraware.config import NetConfig
from cli_runs import done


def test_patches_are_64_on_the_series_of_the_issue() -> None:
    assert networks.n_patches((30, 192, 160)) == 64


def _here(job: networks.Job) -> networks.Measured:
    return networks._measured(networks._measure(job, networks.SHAPE))


def test_a_process_of_its_own_gives_the_same() -> None:
    job = networks.Job(NetConfig("hrnet-conv2d", channels=(4, 8), cells=1), False, 1, (slice(0, 2),) * 3)
    assert torch.equal(networks._apart(job).out, _here(job).out)


def test_whole_frames_are_compared_with_patches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(networks, "SHAPE", (17, 72, 70))
    monkeypatch.setattr(networks, "TIMED_PATCHES", 1)
    monkeypatch.setattr(
        networks, "table2", lambda name, norm="patch": NetConfig(name, channels=(4, 8), cells=1, norm=norm)
    )
    monkeypatch.setattr(networks, "_apart", _here)
    done("bench", "networks", "--threads", "1", "--json", tmp_path / "b.json")
    found = json.loads((tmp_path / "b.json").read_text())["networks"]
    n = networks.n_patches((17, 72, 70))
    patchwise = found["patchwise, float32"]
    assert patchwise["seconds"] == pytest.approx(n * patchwise["seconds per patch"])
    assert f"1 of {n} patches timed" in patchwise["note"]
    expected = patchwise["seconds"] / found["clearmr"]["seconds"]
    assert found["times faster than patchwise float32"]["clock"] == pytest.approx(expected)
    error = found["relative error of bf16"]
    assert 0 < error["found"] < error["tolerance"] and error["within"]
    assert 0 < found["relative difference of a patch's middle from the whole, same network"] < 0.5
    assert found["clearmr"]["peak_gb"] > 0
