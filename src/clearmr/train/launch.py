"""Where training runs: one process, or several by Lightning Fabric, as torchrun, SLURM or the user says."""

import atexit
import logging
import os
from typing import TYPE_CHECKING, Any

import torch

from clearmr.errors import InputError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_left: list[Any] = []
atexit.register(_left.clear)


def start(*, device: str, devices: int, nodes: int, strategy: str, bf16: bool) -> "Fabric":
    """A launched Fabric: `device` "cpu", "cuda" or "cuda:K"; `devices` processes on each of `nodes` machines.

    Under torchrun its own numbers hold; under SLURM give `devices` and `nodes` as in the job and start by srun.
    Strategy "auto" is one process or distributed data parallel. Raises InputError where lightning-fabric is missing.
    """
    try:
        from lightning_fabric import Fabric
    except ImportError as error:
        raise InputError("lightning-fabric to train", "not installed", "pip install 'clearmr[train]'") from error
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it tells every choice otherwise
    chosen = torch.device(device)
    if torch.distributed.is_torchelastic_launched():
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // devices
    if strategy == "auto" and devices * nodes > 1:
        strategy = "ddp_find_unused_parameters_true"  # stochastic depth leaves parameters out
    one_gpu = chosen.type == "cuda" and devices == 1 and chosen.index is not None
    fabric = Fabric(
        accelerator=chosen.type,
        devices=[chosen.index] if one_gpu else devices,
        num_nodes=nodes,
        strategy=strategy,
        precision="bf16-mixed" if bf16 else "32-true",
    )
    fabric.launch()
    return fabric


def stop() -> None:
    """Leave the other processes, where there are any: a thread of theirs that outlives Python would abort it.

    The group is kept to the end of Python. Were the gradients' reducer the last to hold it, its threads would be
    waited for under Python's lock, and they may be waiting for that lock to give their last tensors back.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        _left.append(torch.distributed.group.WORLD)
        torch.distributed.destroy_process_group()


def first_process() -> bool:
    """Whether this process is the one that writes files: always so where there is one."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank() == 0
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))
