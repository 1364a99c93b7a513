"""The loop: learning, and a killed run that goes on to the same bits."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from clearmr.errors import InputError
from clearmr.train import checkpoint, loop, losses

CONFIG = loop.LoopConfig(steps=30, learning_rate=0.05, save_every=10, validate_every=10, average_decay=0.9)


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Conv3d(2, 2, 1, bias=False)


def batch_at(step: int) -> loop.Batch:
    x = torch.randn(2, 2, 1, 4, 4, generator=torch.Generator().manual_seed(step))
    return x, 3 * x


def merit(net: nn.Module) -> float:
    x, y = batch_at(10**6)
    return -float(losses.charbonnier(net(x), y).detach())


def fit(run: Path, *, config: loop.LoopConfig = CONFIG, resume: bool = False) -> nn.Module:
    run.mkdir(exist_ok=True)
    return loop.train(linear(), batch_at, losses.charbonnier, merit, config=config, run=run, resume=resume)


def test_it_learns(tmp_path: Path) -> None:
    before = merit(linear())
    assert merit(fit(tmp_path / "run", config=dataclasses.replace(CONFIG, steps=200))) > before / 4


def test_killed_run_resumes_to_the_same_bits(tmp_path: Path) -> None:
    whole = fit(tmp_path / "whole")

    class Killed(Exception):
        pass

    def killer(done: int, total: int, **info: float) -> None:
        if done == 17:
            raise Killed

    (tmp_path / "cut").mkdir()
    with pytest.raises(Killed):
        loop.train(linear(), batch_at, losses.charbonnier, merit, config=CONFIG, run=tmp_path / "cut", progress=killer)
    resumed = fit(tmp_path / "cut", resume=True)
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)
    states = [checkpoint.load_tensors(tmp_path / n / "state.safetensors") for n in ("whole", "cut")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_best_on_validation_is_kept(tmp_path: Path) -> None:
    scripted = iter([1.0, 5.0, 2.0])
    run = tmp_path / "run"
    run.mkdir()
    seen: list[torch.Tensor] = []

    def scripted_merit(net: nn.Module) -> float:
        seen.append(next(net.parameters()).clone())
        return next(scripted)

    best = loop.train(linear(), batch_at, losses.charbonnier, scripted_merit, config=CONFIG, run=run)
    assert torch.equal(next(best.parameters()), seen[1])
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 20, 30]


def test_resume_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="without --resume"):
        fit(tmp_path / "none", resume=True)


def test_broken_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="safetensors"):
        checkpoint.load_tensors(path)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError):
        loop.train(
            linear(),
            lambda step: (torch.full((1, 2, 1, 2, 2), torch.nan), torch.zeros(1, 2, 1, 2, 2)),
            losses.charbonnier,
            merit,
            config=CONFIG,
            run=tmp_path,
        )


def test_learning_rate_is_one_cycle() -> None:
    rates = [loop.learning_rate(step, dataclasses.replace(CONFIG, steps=100, warmup=0.1)) for step in range(100)]
    assert max(rates) == pytest.approx(CONFIG.learning_rate) and rates.index(max(rates)) in (9, 10)
    assert rates[0] < 0.2 * max(rates) and rates[-1] < 0.02 * max(rates)


def test_charbonnier_is_the_mean_modulus() -> None:
    x = torch.zeros(1, 2, 1, 1, 1)
    y = torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1, 1)
    assert float(losses.charbonnier(x, y)) == pytest.approx(5, rel=1e-6)
