"""`clearmr denoise`: the trust verdicts in JSON, on the terminal and in the results folder."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from clearmr import formats
from clearmr.bench import trust_cases
from clearmr.cli import app, results
from clearmr.errors import InputError
from clearmr.scan import SnrImage

ONE = torch.ones(1, 1, 1, 1)
RUNS = {"pure_noise", "lesion", "error_left"}


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    image = 12 + 3 * torch.sin(torch.arange(64) / 9).expand(3, 1, 64, 64)
    image = torch.complex(image, torch.zeros(())) + torch.randn(image.shape, generator=generator, dtype=torch.complex64)
    formats.save(SnrImage(image, 0.5**0.5 * ONE, ONE, "given"), tmp_path / "noisy.npz")
    return tmp_path / "noisy.npz"


def test_denoise_tells_the_verdict_without_further_runs(noisy: Path) -> None:
    ran = CliRunner().invoke(app, ["denoise", str(noisy), "-o", str(noisy.with_name("a.npz")), "--json"])
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.stdout)
    verdicts = {check["name"]: check["verdict"] for check in told["trust"]}
    assert all(verdicts[name] == "not run" for name in RUNS) and verdicts["noise_level"] == "pass"
    assert told["trust_verdict"] in ("pass", "caution") and verdicts["range"] == "pass"


def test_a_report_holds_every_check(noisy: Path) -> None:
    ran = CliRunner().invoke(
        app, ["denoise", str(noisy), "-o", str(noisy.with_name("b.npz")), "--report", "--replicas", "2"]
    )
    assert ran.exit_code == 0, ran.output
    left = np.load(noisy.with_name("b_results") / "arrays.npz")["uncertainty"]
    assert left.shape == (3, 1, 64, 64) and 0 < np.median(left) < 0.6
    assert "trust: " in ran.stdout + ran.stderr
    told = json.loads((noisy.with_name("b_results") / "results.json").read_text())
    verdicts = {check["name"]: check["verdict"] for check in told["trust"]}
    assert not RUNS & {name for name, verdict in verdicts.items() if verdict == "not run"}
    assert told["trust"][0]["verdict"] == told["trust_verdict"], "worst first"


def test_a_wrong_noise_level_is_told(noisy: Path) -> None:
    out = noisy.with_name("c.npz")
    ran = CliRunner().invoke(app, ["denoise", str(noisy), "-o", str(out), "--noise-sd", "1.06", "--json"])
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.stdout)
    assert told["trust_verdict"] == "fail"
    assert {check["name"] for check in told["trust"] if check["verdict"] == "fail"} == {"noise_level"}


def test_replicas_need_a_report(noisy: Path) -> None:
    for options in (["--replicas", "4"], ["--replicas", "1", "--report"]):
        ran = CliRunner().invoke(app, ["denoise", str(noisy), "-o", str(noisy.with_name("d.npz")), *options])
        assert isinstance(ran.exception, InputError) or ran.exit_code == 2


def test_methods_that_learn_are_not_run_again_unasked() -> None:
    assert not results.takes_long(trust_cases.Wiener(ONE, ONE))
    learning = trust_cases.Wiener(ONE, ONE, name="dip")
    assert results.takes_long(learning)
    learning.name, learning.budget_s = "deformed2self", 3.0
    assert results.takes_long(learning)


def test_the_lines_of_the_terminal() -> None:
    checks = [{"verdict": "fail", "said": "too much"}, {"verdict": "pass", "said": "well"}]
    lines = results.trust_lines({"trust": checks, "trust_verdict": "fail"})
    assert lines == ["trust: fail (1 pass, 1 fail)", "  fail: too much"]
