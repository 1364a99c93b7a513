"""The loop: learning, a killed run that goes on to the same bits, any number of workers and processes."""

import dataclasses
import json
import math
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from clearmr.errors import InputError
from clearmr.train import checkpoint, launch, loop, losses, stream
from clearmr.train.loop import LoopConfig
from clearmr.train.record import side_by_side
from train_runs import CONFIG, Items, fit, merit, small_net, weights

SCRIPT = Path(__file__).with_name("train_runs.py")


def lines(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def fork(work: Callable[[], object]) -> int:
    """Run `work` in a forked child, which ends with 7 unless `work` ends it; its process id."""
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)  # a fork has none of its parent's threads, for which OpenMP would wait
        signal.alarm(120)  # a test that fails is better than one that waits
        try:
            work()
        finally:
            os._exit(7)
    return child


def in_a_child(work: Callable[[], object]) -> int:
    """The wait status of a child that does `work`."""
    return os.waitpid(fork(work), 0)[1]


def same_runs(a: Path, b: Path) -> None:
    """Final states, best weights and metrics alike, to the last bit; times apart."""
    for name in (checkpoint.STATE, "best.safetensors"):
        one, other = checkpoint.load_tensors(a / name), checkpoint.load_tensors(b / name)
        assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
    timeless = [
        [{k: v for k, v in line.items() if k not in ("seconds", "samples_per_second")} for line in lines(run)]
        for run in (a, b)
    ]
    assert timeless[0] == timeless[1]


@pytest.fixture(scope="module", params=["adamw", "sophia"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """An unbroken run of each optimiser."""
    run = tmp_path_factory.mktemp("whole") / request.param
    fit(run, optimizer=request.param)
    return request.param, run


def test_it_learns(tmp_path: Path) -> None:
    net = fit(tmp_path / "run", steps=120)
    assert merit(net) > merit(small_net()) / 4
    assert not net.training


@pytest.mark.parametrize("step", [1, 10, 17, 24])
def test_a_run_killed_at_any_step_resumes_to_the_same_bits(whole: tuple[str, Path], step: int, tmp_path: Path) -> None:
    optimizer, run = whole

    def kill(done: int, total: int, **info: float) -> None:
        if done == step:
            os.kill(os.getpid(), signal.SIGKILL)

    status = in_a_child(lambda: fit(tmp_path / "cut", optimizer=optimizer, save_every=4, progress=kill))
    assert os.WTERMSIG(status) == signal.SIGKILL
    begun = checkpoint.begun(tmp_path / "cut")
    assert begun == (step >= 4)
    fit(tmp_path / "cut", optimizer=optimizer, save_every=4, resume=begun)
    same_runs(run, tmp_path / "cut")


@pytest.mark.parametrize("write", range(1, 7))
def test_a_kill_while_a_file_is_written_leaves_a_whole_one(
    whole: tuple[str, Path], write: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies just before the n-th file of the run is put in place."""
    optimizer, run = whole
    rename, count = Path.replace, [0]

    def replace(self: Path, target: Path) -> Path:
        count[0] += 1
        if count[0] == write:
            os.kill(os.getpid(), signal.SIGKILL)
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        status = in_a_child(lambda: fit(tmp_path / "cut", optimizer=optimizer))
    assert os.WTERMSIG(status) == signal.SIGKILL
    fit(tmp_path / "cut", optimizer=optimizer, resume=checkpoint.begun(tmp_path / "cut"))
    same_runs(run, tmp_path / "cut")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_it_saves_and_says_so(whole: tuple[str, Path], number: int, tmp_path: Path) -> None:
    optimizer, run = whole

    def stop(done: int, total: int, **info: float) -> None:
        if done == 12:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with pytest.raises(loop.Interrupted, match=r"after step 13 of 30.*--resume") as told:
        fit(tmp_path / "cut", optimizer=optimizer, progress=stop)
    assert (told.value.step, told.value.signal) == (13, number) and signal.getsignal(number) is before
    assert checkpoint.load_state(tmp_path / "cut")[1]["position"]["step"] == 13
    fit(tmp_path / "cut", optimizer=optimizer, resume=True)
    same_runs(run, tmp_path / "cut")


def test_a_real_process_stops_at_sigterm_with_its_workers(tmp_path: Path) -> None:
    """SIGTERM to the whole process group, workers included, in the middle of the steps."""
    run = tmp_path / "run"
    command = [sys.executable, str(SCRIPT), str(run), "--steps", "100000", "--workers", "2"]
    with subprocess.Popen(command, text=True, stderr=subprocess.PIPE, start_new_session=True) as process:
        assert process.stderr is not None and "step" in process.stderr.readline()
        os.killpg(process.pid, signal.SIGTERM)
        said = process.stderr.read()
        assert process.wait(timeout=60) == 143
    assert "stopped after step" in said and "Traceback" not in said
    step = checkpoint.load_state(run)[1]["position"]["step"]
    assert f"after step {step} of 100000" in said


def test_workers_change_nothing(whole: tuple[str, Path], tmp_path: Path) -> None:
    optimizer, run = whole
    fit(tmp_path / "two", optimizer=optimizer, workers=2)
    same_runs(run, tmp_path / "two")


def together(run: Path, rank: int, port: int, **settings: Any) -> None:
    """Process `rank` of two, with the environment that torchrun gives."""
    local = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "test"}
    os.environ |= {name: str(value) for name, value in {**local, **meeting}.items()}
    fit(run, batch=2, dropout=0.0, **settings)
    os._exit(0)


def same_curves(one: Path, two: Path, steps: int) -> None:
    a, b = lines(one), lines(two)
    assert [line["step"] for line in b] == list(range(1, steps + 1))
    for name in ("loss", "learning_rate"):
        found, wanted = (torch.tensor([line[name] for line in run]) for run in (b, a))
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)
    assert b[6]["validation"] == pytest.approx(a[6]["validation"], rel=1e-4)
    first, second = weights(one), weights(two)
    assert all(torch.allclose(first[name], second[name], rtol=1e-3, atol=1e-5) for name in first)


@pytest.mark.parametrize("optimizer", ["adamw", "sophia"])
def test_two_processes_are_one_with_twice_the_batch(optimizer: str, tmp_path: Path) -> None:
    settings = {"optimizer": optimizer, "log_every": 1, "validate_every": 7, "steps": 15}
    fit(tmp_path / "one", batch=4, dropout=0.0, **settings)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = [fork(lambda rank=rank: together(tmp_path / "two", rank, port, **settings)) for rank in (0, 1)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    same_curves(tmp_path / "one", tmp_path / "two", 15)


@pytest.mark.slow
def test_torchrun_is_followed(tmp_path: Path) -> None:
    fit(tmp_path / "one", batch=4, dropout=0.0, log_every=1, validate_every=7, steps=8)
    given = ("--batch", 2, "--dropout", 0, "--log_every", 1, "--validate_every", 7, "--steps", 8)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", SCRIPT]
    process = subprocess.run(
        [*map(str, (*command, tmp_path / "two", *given))], text=True, capture_output=True, timeout=120
    )
    assert process.returncode == 0, process.stderr
    same_curves(tmp_path / "one", tmp_path / "two", 8)


def test_dropout_is_drawn_anew_at_each_step_and_leaves_the_callers_generator(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(())
    torch.manual_seed(5)
    fit(tmp_path / "a")
    assert torch.equal(torch.rand(()), expected)
    fit(tmp_path / "b", seed=1)
    assert not torch.equal(weights(tmp_path / "a")["0.weight"], weights(tmp_path / "b")["0.weight"])


def test_best_on_validation_is_kept(tmp_path: Path) -> None:
    scripted, seen = iter([1.0, 5.0, 2.0]), []

    def scripted_merit(net: nn.Module) -> float:
        seen.append(next(net.parameters()).clone())
        return next(scripted)

    best = fit(tmp_path, validate=scripted_merit)
    assert torch.equal(next(best.parameters()), seen[1])
    assert [line["step"] for line in lines(tmp_path)] == [10, 20, 30]
    assert [line["validation"] for line in lines(tmp_path)] == [1.0, 5.0, 2.0]


def test_without_averaging_the_weights_are_the_last(tmp_path: Path) -> None:
    fit(tmp_path, average_decay=0.0)
    state = checkpoint.load_tensors(tmp_path / checkpoint.STATE)
    assert torch.equal(state["model.0.weight"], state["average.0.weight"])
    fit(tmp_path / "averaged", average_decay=0.9)
    state = checkpoint.load_tensors(tmp_path / "averaged" / checkpoint.STATE)
    assert not torch.equal(state["model.0.weight"], state["average.0.weight"])


def test_bf16_keeps_float32_parameters(tmp_path: Path) -> None:
    seen = []

    class Watched(nn.Conv3d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out = super().forward(x)
            seen.append(out.dtype if self.training else None)
            return out

    fit(tmp_path, net=Watched(2, 2, 1), bf16=True, steps=3)
    assert set(seen) - {None} == {torch.bfloat16}
    assert {value.dtype for value in weights(tmp_path).values()} == {torch.float32}


def test_gradients_are_clipped(tmp_path: Path) -> None:
    net, norms = small_net(), []

    def look(done: int, total: int, **info: float) -> None:
        norms.append(float(torch.stack([p.grad.norm() for p in net.parameters() if p.grad is not None]).norm()))

    fit(tmp_path, net=net, clip_norm=1e-3, steps=5, progress=look)
    assert len(norms) == 5 and norms == pytest.approx([1e-3] * 5, rel=1e-3)


def test_metrics_hold_the_mean_loss_since_the_line_before(tmp_path: Path) -> None:
    fit(tmp_path / "each", log_every=1)
    fit(tmp_path / "five", log_every=5)
    each = [line["loss"] for line in lines(tmp_path / "each")]
    five = lines(tmp_path / "five")
    assert [line["loss"] for line in five] == pytest.approx([sum(each[k : k + 5]) / 5 for k in range(0, 30, 5)])
    assert {"step", "loss", "learning_rate", "seconds", "samples_per_second"} <= set(five[0])
    assert ["validation" in line for line in five] == [False, True] * 3
    assert all(line["samples_per_second"] > 0 for line in five) and five[-1]["seconds"] >= five[0]["seconds"]


def test_lines_after_the_resumed_step_are_taken_back(tmp_path: Path) -> None:
    fit(tmp_path, log_every=5)
    before = lines(tmp_path)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 99, "loss": 0}\n{"st')
    fit(tmp_path, log_every=5, resume=True)
    assert [line["step"] for line in lines(tmp_path)] == [line["step"] for line in before]


def test_tensorboard_holds_scalars_and_pictures(tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    inputs, target = Items(batch=1)(10**6, 0)
    fit(tmp_path, pictures=(inputs, target))
    found = events.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in found.Scalars("validation")] == [10, 20, 30]
    assert {"loss", "learning_rate", "samples_per_second"} <= set(found.Tags()["scalars"])
    pictures = found.Images("noisy | denoised | clean")
    assert [picture.step for picture in pictures] == [10, 20, 30]
    assert (pictures[0].height, pictures[0].width) == (4, 12)


def test_pictures_are_magnitudes_side_by_side() -> None:
    target = torch.zeros(1, 2, 3, 2, 2)
    target[:, 0], target[:, 1] = 3, 4
    inputs = torch.cat([2 * target, torch.full((1, 1, 3, 2, 2), 99.0)], 1)  # a noise map, which is not shown
    shown = side_by_side(inputs, 0.5 * target, target)
    torch.testing.assert_close(shown, torch.tensor([[1, 1, 0.5, 0.5, 1, 1]] * 2))


def test_resume_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="without --resume"):
        fit(tmp_path / "none", resume=True)


def test_a_folder_with_a_run_is_not_written_over(tmp_path: Path) -> None:
    fit(tmp_path, steps=2)
    before = (tmp_path / checkpoint.STATE).read_bytes()
    with pytest.raises(InputError, match="pass --resume"):
        fit(tmp_path, steps=2)
    assert (tmp_path / checkpoint.STATE).read_bytes() == before


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"net": nn.Conv3d(2, 2, 3, padding=1)}, "network"),
        ({"learning_rate": 0.5}, "learning_rate"),
        ({"optimizer": "sophia"}, "optimizer"),
        ({"seed": 3}, "seed"),
        ({"batch": 5}, "samples per step"),
    ],
)
def test_resume_with_something_else_is_one_clear_line(changed: dict[str, object], named: str, tmp_path: Path) -> None:
    fit(tmp_path, steps=4)
    with pytest.raises(InputError, match=named) as error:
        fit(tmp_path, **{"steps": 4, "resume": True, **changed})  # type: ignore[arg-type]
    assert "\n" not in str(error.value) and "resume with the settings of the run" in str(error.value)


@pytest.mark.parametrize("content", [b"nothing of the kind", None])
def test_a_state_that_is_none_is_refused(content: bytes | None, tmp_path: Path) -> None:
    if content is None:
        checkpoint.save_tensors({"model.x": torch.zeros(1)}, tmp_path / checkpoint.STATE)
    else:
        (tmp_path / checkpoint.STATE).write_bytes(content)
    with pytest.raises(InputError, match=r"safetensors|state of a run"):
        fit(tmp_path, resume=True)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"optimizer": "adam"}, "adamw, sophia"),
        ({"steps": 0}, "loop.steps"),
        ({"save_every": 0}, "loop.save_every"),
        ({"workers": -1}, "loop.workers"),
        ({"average_decay": 1.0}, "loop.average_decay"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(settings: dict[str, Any], named: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=named):
        fit(tmp_path, **settings)
    assert not checkpoint.begun(tmp_path)


def test_missing_fabric_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(InputError, match=r"pip install 'clearmr\[train\]'"):
        fit(tmp_path)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError):
        fit(tmp_path, loss=lambda x, y: losses.charbonnier(x, y) * math.nan)


@pytest.mark.parametrize(("steps", "warmup"), [(100, 0.1), (37, 0.3), (10, 0.05)])
def test_learning_rate_is_one_cycle_of_cosines(steps: int, warmup: float) -> None:
    config = LoopConfig(steps=steps, warmup=warmup, learning_rate=0.02)
    rates = [loop.learning_rate(step, config) for step in range(steps)]
    if warmup * steps > 1:
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        cycle = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, 0.02, steps, pct_start=warmup, div_factor=25, final_div_factor=400, cycle_momentum=False
        )
        expected = []
        for _ in range(steps):
            expected.append(cycle.get_last_lr()[0])
            optimizer.step()
            cycle.step()
        assert rates == pytest.approx(expected)
    assert max(rates) <= 0.02 and rates[-1] == pytest.approx(2e-6)


def test_one_step_is_at_the_top() -> None:
    assert loop.learning_rate(0, LoopConfig(steps=1, learning_rate=0.1)) == pytest.approx(0.1)


def test_seeds_differ_in_their_low_bits() -> None:
    """torch's CPU generator looks at 32 bits."""
    seeds = {stream.seed_of(0, step, index) & 0xFFFFFFFF for step in range(100) for index in range(10)}
    assert len(seeds) == 1000 and stream.seed_of(1, 2) == stream.seed_of(1, 2)


def test_first_process_is_told_by_torchrun_and_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    assert launch.first_process()
    for name in ("RANK", "SLURM_PROCID"):
        with monkeypatch.context() as patch:
            patch.setenv(name, "1")
            assert not launch.first_process()


def test_broken_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="safetensors"):
        checkpoint.load_tensors(path)


def test_a_resumed_run_may_look_and_save_at_other_steps(tmp_path: Path) -> None:
    fit(tmp_path, save_every=7)
    net = fit(tmp_path, resume=True, save_every=3, workers=1, log_every=2)
    assert merit(net) == pytest.approx(merit(fit(tmp_path / "again")))
    assert dataclasses.replace(CONFIG, save_every=3) != CONFIG
