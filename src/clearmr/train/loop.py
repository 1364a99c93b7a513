"""The training loop: one-cycle rate, averaged weights, the best kept, resume bit for bit, one process or many."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from clearmr.denoiser import Progress, no_progress
from clearmr.errors import InputError
from clearmr.train import checkpoint, launch
from clearmr.train.losses import Loss
from clearmr.train.settings import LoopConfig, learning_rate
from clearmr.train.stopping import Interrupted, Watch
from clearmr.train.stream import Batch, Samples
from clearmr.train.work import BEST, Work, check

__all__ = ["Batch", "Interrupted", "LoopConfig", "Samples", "learning_rate", "train"]


def train(
    model: nn.Module,
    samples: Samples,
    loss: Loss,
    validate: Callable[[nn.Module], float],
    *,
    config: LoopConfig,
    run: Path,
    seed: int = 0,
    resume: bool = False,
    device: str = "cpu",
    devices: int = 1,
    nodes: int = 1,
    strategy: str = "auto",
    progress: Progress = no_progress,
    pictures: Batch | None = None,
) -> nn.Module:
    """Train `model` on steps 0 ... steps - 1 of `samples` and give the averaged weights that validated best.

    `validate` gives a figure of merit (higher is better) of a network in eval mode on the device; the first process
    asks it. `run` gets `state.safetensors` (resume), `best.safetensors`, `metrics.jsonl` and `tensorboard/`, there
    with `pictures` denoised. `seed` is of dropout and the like, anew at each step: with samples that depend on
    (step, index) only, a run resumed on the CPU equals an unbroken one bit for bit, and w processes of batch b equal
    one of batch w b. Raises Interrupted after SIGTERM or Ctrl-C, the state saved; InputError where `run` does not fit.
    """
    if checkpoint.begun(run) and not resume:
        raise InputError("a new run folder", f"a run in {run}", "pass --resume or choose another folder")
    check(config)
    fabric = launch.start(device=device, devices=devices, nodes=nodes, strategy=strategy, bf16=config.bf16)
    try:
        work = Work(fabric, model, loss, validate, config, run, seed, samples.batch * fabric.world_size, pictures)
        return _worked(work, samples, resume, progress)
    finally:
        launch.stop()


def _worked(work: Work, samples: Samples, resume: bool, progress: Progress) -> nn.Module:
    device = work.fabric.device
    with torch.random.fork_rng([device] if device.type == "cuda" else []), Watch() as watch:
        work.resume() if resume else work.start()
        try:
            work.go(samples, watch, progress)
        finally:
            work.close()
        work.average.load_state_dict(checkpoint.load_tensors(work.run / BEST))
    work.fabric.barrier()  # nobody leaves while others still receive
    return work.average
