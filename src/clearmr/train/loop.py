"""The training loop: batches by step number, AdamW with one cosine cycle, averaged weights, resume bit for bit."""

import copy
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from clearmr.denoiser import Progress, no_progress
from clearmr.errors import InputError
from clearmr.train import checkpoint

Batch = tuple[Tensor, Tensor]  # network input, target


@dataclass(frozen=True)
class LoopConfig:
    """Steps, learning rate of the cosine cycle's top, and how often to look and to save."""

    steps: int
    learning_rate: float = 1e-3
    warmup: float = 0.05  # fraction of the steps
    weight_decay: float = 1e-4
    clip_norm: float = 1.0
    average_decay: float = 0.999  # of the exponential moving average of the weights
    bf16: bool = False  # autocast; the parameters stay float32
    save_every: int = 500
    validate_every: int = 500


def learning_rate(step: int, config: LoopConfig) -> float:
    """Linear warm-up, then half a cosine down to a hundredth of the top."""
    warmup = max(1, round(config.warmup * config.steps))
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    phase = (step - warmup) / max(1, config.steps - warmup)
    return config.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * phase)))


def train(
    model: nn.Module,
    batch_at: Callable[[int], Batch],
    loss: Callable[[Tensor, Tensor], Tensor],
    validate: Callable[[nn.Module], float],
    *,
    config: LoopConfig,
    run: Path,
    resume: bool = False,
    device: str = "cpu",
    progress: Progress = no_progress,
) -> nn.Module:
    """Train `model` on `batch_at(0) ... batch_at(steps - 1)` and give the averaged weights that validated best.

    `validate` gives a figure of merit (higher is better). `run` gets `state.safetensors` and `state.json` (resume),
    `best.safetensors` and `metrics.jsonl`. A batch depends on its step only, so a resumed run equals an unbroken one.
    """
    model = model.to(device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    average = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    step, best = _restore(run, model, average, optimizer) if resume else (0, -math.inf)
    began = time.monotonic()
    while step < config.steps:
        value = _step(model, optimizer, batch_at(step), loss, learning_rate(step, config), config, device)
        step += 1
        _average(average, model, min(config.average_decay, step / (step + 9)))
        progress(step, config.steps, loss=value)
        last = step == config.steps
        if last or step % config.validate_every == 0:
            merit = validate(average)
            _log(run, step=step, loss=value, validation=merit, seconds=round(time.monotonic() - began, 1))
            if merit > best:
                best = merit
                checkpoint.save_tensors(average.state_dict(), run / "best.safetensors")
        if last or step % config.save_every == 0:
            checkpoint.save_tensors(checkpoint.pack(model, average, optimizer), run / "state.safetensors")
            checkpoint.save_json({"step": step, "best": best}, run / "state.json")
    average.load_state_dict(checkpoint.load_tensors(run / "best.safetensors"))
    return average


def _step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    loss: Callable[[Tensor, Tensor], Tensor],
    rate: float,
    config: LoopConfig,
    device: str,
) -> float:
    inputs, target = (part.to(device) for part in batch)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=config.bf16):
        prediction = model(inputs.contiguous(memory_format=torch.channels_last_3d))
    value = loss(prediction.float(), target)
    if not torch.isfinite(value):
        raise FloatingPointError("the loss is no longer finite: lower loop.learning_rate and start again")
    value.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
    optimizer.step()
    return float(value.detach())


def _average(average: nn.Module, model: nn.Module, decay: float) -> None:
    for kept, new in zip(average.parameters(), model.parameters(), strict=True):
        kept.lerp_(new.detach(), 1 - decay)


def _restore(run: Path, model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[int, float]:
    if not (run / "state.json").is_file():
        raise InputError("a run to resume", f"no {run / 'state.json'}", "start it without --resume")
    checkpoint.unpack(checkpoint.load_tensors(run / "state.safetensors"), model, average, optimizer)
    state = json.loads((run / "state.json").read_text())
    return state["step"], state["best"]


def _log(run: Path, **entry: float | int) -> None:
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(entry) + "\n")
