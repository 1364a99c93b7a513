"""Benchmarks: peers are skipped where absent, judged by the same picture where present."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
import torch

from clearmr import bench
from clearmr.bench import cine, maps, recon, timing
from clearmr.errors import InputError
from clearmr.fourier import to_image
from cli_runs import done, halving_model


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes at which a benchmark takes no time."""
    for name, value in (("SIZE", 64), ("COILS", 8), ("R", 2), ("ACS", 20), ("PEER_RUNS", 1)):
        monkeypatch.setattr(recon, name, value)
    for name, value in (("FRAMES", 2), ("MATRIX", (1, 48, 40)), ("COILS", 4), ("R", 2)):
        monkeypatch.setattr(cine, name, value)


@pytest.fixture
def no_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    peers = ("pygrappa", "ismrmrdtools")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in peers else find(name))


def test_absent_peers_are_skipped_and_said_to_be(small: None, no_peers: None, tmp_path: Path) -> None:
    found = done("bench", "recon", "maps", "cine", "--json", tmp_path / "b.json")
    value = json.loads(found.out)
    assert json.loads((tmp_path / "b.json").read_text()) == value
    for name in ("recon", "maps"):
        assert "not installed" in value[name]["ismrmrd-python-tools"]["skipped"]
        assert value[name]["clearmr"]["seconds"] > 0 and value[name]["times slower than clearmr"] == {}
    assert "not installed" in value["recon"]["pygrappa mdgrappa"]["skipped"]
    assert value["recon"]["clearmr"]["nrmse"] < 0.1
    assert value["cine"]["clearmr"]["shape"] == [2, 1, 48, 40]
    assert {"processor", "threads", "torch"} <= set(value["machine"])


def test_pygrappa_is_given_a_fair_start(small: None) -> None:
    pytest.importorskip("pygrappa")
    entry = recon.run(bench.Options())
    peer = entry["pygrappa mdgrappa"]
    assert peer["seconds"] > 0 and entry["times slower than clearmr"]["pygrappa mdgrappa"] > 0
    # A wrong scale, axis or kernel would show as an error many times ours.
    assert entry["clearmr"]["nrmse"] <= peer["nrmse"] < 1.5 * entry["clearmr"]["nrmse"]


def test_an_unmixing_peer_is_judged_by_its_picture(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in whose coefficients are clearmr's own with a linear phase must have clearmr's own error."""
    given = recon.problem()

    def calculate(kspace, acceleration, *, kernel_size, data_mask, csm):  # type: ignore[no-untyped-def]
        assert kspace.shape == csm.shape == (8, 64, 64) and acceleration == 2 and kernel_size == (4, 5)
        assert data_mask.sum() == 20 * 64
        ramp = torch.polar(torch.ones(64), torch.linspace(0, 6, 64))[:, None]
        return (recon._clearmr(given) * ramp).numpy(), None

    package, module = ModuleType("ismrmrdtools"), ModuleType("ismrmrdtools.grappa")
    module.calculate_grappa_unmixing = calculate  # type: ignore[attr-defined]
    package.__spec__ = importlib.util.spec_from_loader("ismrmrdtools", None)
    monkeypatch.setitem(__import__("sys").modules, "ismrmrdtools", package)
    monkeypatch.setitem(__import__("sys").modules, "ismrmrdtools.grappa", module)
    only = [e for e in recon.ENTRANTS if e.module != "pygrappa"]
    monkeypatch.setattr(recon, "ENTRANTS", only)
    entry = recon.run(bench.Options())
    assert entry["ismrmrd-python-tools"]["nrmse"] == pytest.approx(entry["clearmr"]["nrmse"], rel=1e-4)


def test_the_problem_is_what_it_says(small: None) -> None:
    given = recon.problem()
    torch.testing.assert_close(given.csm.abs().square().sum(0), torch.ones(1, 64, 64), rtol=1e-4, atol=1e-4)
    full = (given.csm[:, 0].conj() * to_image(given.kspace, (-2, -1))[:, 0]).sum(0)
    noise = torch.view_as_real(full - given.truth).std()
    signal = given.truth.abs()[given.truth.abs() > 0.1].mean()
    assert float(signal / noise) == pytest.approx(recon.SNR, rel=0.03)
    assert int(given.lattice.sum()) == 32 and bool(given.lattice[32])
    assert given.acs.shape == (8, 1, 20, 64)


def test_denoise_is_measured_in_a_process_of_its_own(small: None) -> None:
    entry = bench.run("denoise", bench.Options(threads=1, model=str(halving_model())))
    assert 0 < entry["clearmr"]["seconds"] < 120 and 0.05 < entry["clearmr"]["peak_gb"] < 3


def test_a_model_that_is_not_there_is_told_before_anything_runs() -> None:
    with pytest.raises(InputError, match="no-such-model"):
        bench.run("denoise", bench.Options(model="no-such-model"))


def test_unknown_entries() -> None:
    with pytest.raises(InputError, match="no-such"):
        bench.run("no-such")
    assert bench.chosen([]) == list(bench.BENCHES) and bench.chosen(["maps"]) == ["maps"]
    assert maps.run is not None


def test_the_best_run_counts_and_the_first_does_not() -> None:
    calls = []
    seconds, result = timing.best_of(lambda: calls.append(1) or len(calls), runs=3)
    assert len(calls) == 4 and result == 4 and seconds >= 0


def test_ratios_are_of_those_that_ran() -> None:
    entry = {"clearmr": {"seconds": 0.5}, "a": {"seconds": 2.0}, "b": {"skipped": "absent"}}
    assert timing.ratios(entry) == {"a": 4.0}
