"""One training in one process: its parts, and where it is."""

import copy
import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clearmr.denoiser import Progress
from clearmr.errors import InputError
from clearmr.train import checkpoint, stream
from clearmr.train.losses import Loss
from clearmr.train.record import Record
from clearmr.train.settings import LoopConfig, learning_rate
from clearmr.train.sophia import Sophia, sampled_targets
from clearmr.train.stopping import Interrupted, Watch
from clearmr.train.stream import Batch, Samples

BEST = "best.safetensors"
# oneDNN's bf16 gradients of 3x3x3 convolutions over 2 to 6 frames were seen to be NaN.
NOT_FINITE = (
    "the loss is no longer finite: lower loop.learning_rate, or for patches of 2 to 6 frames on a CPU set "
    "loop.bf16=false, and start again"
)
FREE = ("workers", "save_every", "validate_every", "log_every")  # settings that a resumed run may change


@dataclass(frozen=True)
class Position:
    """Where a run is: steps done, the best merit, seconds of work, and the losses since the last line of metrics."""

    step: int = 0
    best: float = -math.inf
    seconds: float = 0.0
    loss_sum: float = 0.0
    losses: int = 0


@dataclass
class Work:
    """One training in one process: its parts, and where it is."""

    fabric: Any
    net: nn.Module
    loss: Loss
    validate: Callable[[nn.Module], float]
    config: LoopConfig
    run: Path
    seed: int
    global_batch: int
    pictures: Batch | None
    position: Position = field(default_factory=Position)
    record: Record | None = None

    def __post_init__(self) -> None:
        self.net.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.optimizer = _optimizer(self.net, self.config)
        self.model, self.stepper = self.fabric.setup(self.net, self.optimizer)
        self.model.train()
        self.average = copy.deepcopy(self.net).requires_grad_(False).eval()  # after setup: all processes alike
        self._began, self._rows, self._looked = time.monotonic(), 0, time.monotonic()

    def start(self) -> None:
        if self.fabric.is_global_zero:
            self.run.mkdir(parents=True, exist_ok=True)
            self.record = Record(self.run, 0)

    def resume(self) -> None:
        """Take up the saved state; what was to be done after its step is done now."""
        tensors, note = checkpoint.load_state(self.run)
        _same_settings(note["settings"], self._settings())
        checkpoint.unpack(tensors, self.net, self.average, self.optimizer)
        self.position = Position(**note["position"])
        if self.fabric.is_global_zero:
            self.record = Record(self.run, self.position.step)
        self._began -= self.position.seconds
        self._after(0)

    def go(self, samples: Samples, watch: Watch, progress: Progress) -> None:
        """The steps that are left."""
        config, fabric = self.config, self.fabric
        batches = stream.batches(
            samples, self.position.step, config.steps,
            rank=fabric.global_rank, workers=config.workers, pin=fabric.device.type == "cuda",
        )  # fmt: skip
        for batch in batches:
            value = self._step(batch, stream.indices(samples, fabric.global_rank))
            step = self.position.step + 1
            self.position = dataclasses.replace(
                self.position, step=step, seconds=time.monotonic() - self._began,
                loss_sum=self.position.loss_sum + value, losses=self.position.losses + 1,
            )  # fmt: skip
            stop = self._any(watch.signal)
            if stop or step == config.steps or step % config.save_every == 0:
                self._save()
            if stop:
                raise Interrupted(step, config.steps, stop)
            self._after(len(batch[0]))
            if fabric.is_global_zero:
                progress(step, config.steps, loss=value)

    def _step(self, batch: Batch, items: range) -> float:
        """One optimiser step; the loss, mean over all processes."""
        step, config, fabric = self.position.step, self.config, self.fabric
        inputs, target = (part.to(fabric.device, non_blocking=True) for part in batch)
        inputs = inputs.contiguous(memory_format=torch.channels_last_3d)
        torch.manual_seed(stream.seed_of(self.seed, step, fabric.global_rank))
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(step, config)
        if isinstance(self.optimizer, Sophia) and step % config.curvature_every == 0:
            self._look_at_curvature(self.optimizer, inputs, target, items)
        self.optimizer.zero_grad(set_to_none=True)
        value = self.loss(self.model(inputs).float(), target)
        mean = fabric.all_reduce(value.detach(), reduce_op="mean")
        if not torch.isfinite(mean):
            raise FloatingPointError(NOT_FINITE)
        fabric.backward(value)
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), config.clip_norm)
        self.stepper.step()
        _move_average(self.average, self.net, min(config.average_decay, (step + 1) / (step + 10)))
        return float(mean)

    def _look_at_curvature(self, sophia: Sophia, inputs: Tensor, target: Tensor, items: range) -> None:
        """A second forward and backward pass; noise by item, so that it does not depend on the number of processes."""
        sophia.zero_grad(set_to_none=True)
        prediction = self.model(inputs).float()
        shape = (len(prediction) // len(items), *prediction.shape[1:])
        seeds = [stream.seed_of(self.seed, self.position.step, item, 1) for item in items]
        noise = torch.cat([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
        self.fabric.backward(sampled_targets(prediction, target, self.loss, noise.to(prediction.device)))
        sophia.update_curvature(self.fabric.world_size * prediction.numel() // prediction.shape[1])

    def _after(self, rows: int) -> None:
        """What follows a step, after its state is saved: validation, the best weights, a line of metrics."""
        step, config, values = self.position.step, self.config, {}
        self._rows += rows * self.fabric.world_size
        last = step == config.steps
        if last or step % config.validate_every == 0:
            values["validation"] = self._validated()
        if last or values or step % config.log_every == 0:
            self._log(values)

    def _validated(self) -> float:
        merit = 0.0
        if self.fabric.is_global_zero:
            merit = float(self.validate(self.average))
            if merit > self.position.best or self.position.best == -math.inf:
                checkpoint.save_tensors(self.average.state_dict(), self.run / BEST)
            if self.record is not None and self.pictures is not None:
                self.record.pictures(self.position.step, self.average, self.pictures, self.fabric.device)
        merit = self.fabric.broadcast(merit)  # the others wait here
        self.position = dataclasses.replace(self.position, best=max(self.position.best, merit))
        return merit

    def _log(self, values: dict[str, float]) -> None:
        here, now = self.position, time.monotonic()
        if self.record is not None:
            self.record.figures(
                here.step,
                loss=here.loss_sum / max(1, here.losses),
                learning_rate=learning_rate(here.step - 1, self.config),
                **values,
                seconds=round(here.seconds, 2),
                samples_per_second=round(self._rows / max(1e-9, now - self._looked), 3),
            )
        self.position = dataclasses.replace(here, loss_sum=0.0, losses=0)
        self._rows, self._looked = 0, time.monotonic()

    def _save(self) -> None:
        if self.fabric.is_global_zero:
            note = {"position": dataclasses.asdict(self.position), "settings": self._settings()}
            checkpoint.save_state(checkpoint.pack(self.net, self.average, self.optimizer), note, self.run)
        self.fabric.barrier()

    def _settings(self) -> dict[str, Any]:
        fixed = {name: value for name, value in dataclasses.asdict(self.config).items() if name not in FREE}
        return {**fixed, "seed": self.seed, "samples per step": self.global_batch}

    def _any(self, number: int) -> int:
        """The signal that any process got: all stop after the same step."""
        if self.fabric.world_size == 1:
            return number
        told = torch.tensor(float(number), device=self.fabric.device)
        return int(self.fabric.all_reduce(told, reduce_op="max"))

    def close(self) -> None:
        if self.record is not None:
            self.record.close()


def check(config: LoopConfig) -> None:
    """Raises InputError where a setting cannot be."""
    if config.optimizer not in ("adamw", "sophia"):
        raise InputError("an optimizer among adamw, sophia", config.optimizer, "set loop.optimizer")
    for name in ("steps", "save_every", "validate_every", "log_every", "curvature_every"):
        if getattr(config, name) < 1:
            raise InputError(f"loop.{name} of at least 1", str(getattr(config, name)), f"set loop.{name}")
    if config.workers < 0 or not 0 <= config.average_decay < 1:
        found = f"{config.workers} and {config.average_decay}"
        raise InputError("loop.workers >= 0 and 0 <= loop.average_decay < 1", found, "set them so")


def _optimizer(net: nn.Module, config: LoopConfig) -> torch.optim.Optimizer:
    rate, decay = config.learning_rate, config.weight_decay
    if config.optimizer == "sophia":
        return Sophia(net.parameters(), lr=rate, gamma=config.gamma, weight_decay=decay)
    return torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=decay)


def _move_average(average: nn.Module, net: nn.Module, decay: float) -> None:
    with torch.no_grad():
        for kept, new in zip(average.parameters(), net.parameters(), strict=True):
            kept.lerp_(new.detach(), 1 - decay)
        for seen, now in zip(average.buffers(), net.buffers(), strict=True):
            seen.copy_(now)


def _same_settings(saved: dict[str, Any], now: dict[str, Any]) -> None:
    changed = [name for name in now if saved.get(name) != now[name]]
    if changed:
        name = changed[0]
        todo = "resume with the settings of the run, or start a new one"
        raise InputError(f"the run's own {name}, {saved.get(name)}", f"{now[name]}", todo)
