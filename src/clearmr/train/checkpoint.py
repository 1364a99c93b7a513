"""Checkpoints: tensors in safetensors, the rest in JSON beside them; never pickle. Written whole or not at all."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from clearmr.errors import InputError
from clearmr.files import whole_file


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write named tensors to a .safetensors file, replacing an earlier one."""
    with whole_file(path, force=True) as temporary:
        temporary.write_bytes(save({name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}))


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read a .safetensors file. Raises InputError where it is missing or broken."""
    todo = "give a .safetensors file that `clearmr train` wrote"
    if not path.is_file():
        raise InputError("a model file", f"no file {path}", todo)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise InputError("a safetensors file", f"{path} ({error})", todo) from error


def save_json(value: Any, path: Path) -> None:
    """Write JSON text, replacing an earlier file."""
    with whole_file(path, force=True) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n")


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pack(model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """All tensors of a training state under `model.`, `average.` and `optimizer.<parameter>.` names."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in average.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
    return tensors


def unpack(
    tensors: Mapping[str, Tensor], model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Put what `pack` made back into model, average and optimizer."""
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "optimizer": {}}
    for name, value in tensors.items():
        part, rest = name.split(".", 1)
        parts[part][rest] = value
    model.load_state_dict(parts["model"])
    average.load_state_dict(parts["average"])
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in parts["optimizer"].items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
