"""Checkpoints: tensors in safetensors, the rest in JSON beside them; never pickle. Written whole or not at all."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from clearmr.errors import InputError
from clearmr.files import whole_file

STATE = "state.safetensors"  # of a run, in its folder


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


def save_model(net: nn.Module, path: Path, card: Mapping[str, Any]) -> None:
    """Write a trained network's weights as float16 safetensors and, beside them, its card (JSON) with their SHA-256."""
    save_tensors({name: _half(value) for name, value in net.state_dict().items()}, path)
    save_json({**card, "sha256": sha256(path)}, path.with_suffix(".json"))


def _half(values: Tensor) -> Tensor:
    """float16, unless that cannot hold the values (integers, very large numbers)."""
    fits = values.is_floating_point() and bool((values.abs() < torch.finfo(torch.float16).max).all())
    return values.half() if fits else values


def find_model(name: str, *, expected: str, todo: str) -> Path:
    """The .safetensors file of a name: that file, or the one of a run's folder with a card beside it.

    Raises InputError, where there is no such file with the words `expected` and `todo`.
    """
    path = Path(name)
    if path.is_dir():
        with_card = [p for p in sorted(path.glob("*.safetensors")) if _is_card(p.with_suffix(".json"))]
        if len(with_card) != 1:
            found = f"{len(with_card)} in {path}"
            raise InputError("a run's folder with one model and its card", found, "name the .safetensors file")
        return with_card[0]
    if not path.is_file():
        raise InputError(expected, name, todo)
    return path


def _is_card(path: Path) -> bool:
    try:
        return "sha256" in json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def read_card(path: Path, *, method: str) -> dict[str, Any]:
    """The card beside the weights in `path`, with lists as tuples under "net". Raises InputError.

    Cards of the first models do not say their method: they are SNRAware's.
    """
    card_path = path.with_suffix(".json")
    if not card_path.is_file():
        raise InputError("a model card beside the weights", f"no {card_path}", "keep both files together")
    try:
        card = json.loads(card_path.read_text(encoding="utf-8"))
        card["net"] = {key: tuple(v) if isinstance(v, list) else v for key, v in card["net"].items()}
        its = card.get("method", "snraware")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise unreadable_card(card_path, error) from error
    if its != method:
        todo = f"name another model, or use --method {str(its).replace('_', '-')}"
        raise InputError(f"a model of {method}", f"one of {its} in {path}", todo)
    if card.get("sha256") != sha256(path):
        raise InputError("weights that match their card", f"another SHA-256 in {path}", "take both from one training")
    return dict(card)


def unreadable_card(path: Path, error: Exception) -> InputError:
    """What is said of a card that does not tell which network it is of."""
    todo = "keep the card that `clearmr train` wrote beside the weights"
    return InputError("a model card with its network in JSON", f"{path} ({error!r})", todo)


def fill(net: nn.Module, path: Path) -> None:
    """Put the weights of a file in place, as float32 where the network has that. Raises InputError if they misfit."""
    try:
        net.load_state_dict(load_tensors(path))
    except RuntimeError as error:
        todo = "take weights and card from one training with this version of clearmr"
        raise InputError("weights of the network that the card names", f"others in {path}", todo) from error


def save_state(tensors: Mapping[str, Tensor], note: Mapping[str, Any], run: Path) -> None:
    """Write a training state, tensors and note (JSON-able) in one file: no kill can leave one without the other."""
    with whole_file(run / STATE, force=True) as temporary:
        data = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
        temporary.write_bytes(save(data, metadata={"note": json.dumps(note)}))


def load_state(run: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the note of a run. Raises InputError where there are none."""
    path = run / STATE
    if not begun(run):
        raise InputError("a run to resume", f"no {path}", "start it without --resume")
    tensors = load_tensors(path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
    if "note" not in metadata:
        raise InputError("the state of a run", f"only tensors in {path}", "start a new run without --resume")
    return tensors, json.loads(metadata["note"])


def begun(run: Path) -> bool:
    """Whether a folder holds a run that can be resumed."""
    return (run / STATE).is_file()


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
    """Put what `pack` made back into model, average and optimizer. Raises InputError where it is another network's."""
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "optimizer": {}}
    for name, value in tensors.items():
        part, _, rest = name.partition(".")
        parts.setdefault(part, {})[rest] = value
    _check_shapes(parts["model"], model)
    model.load_state_dict(parts["model"])
    average.load_state_dict(parts["average"])
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in parts["optimizer"].items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = _laid_out_as(parameters[int(index)], value)
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _check_shapes(found: Mapping[str, Tensor], model: nn.Module) -> None:
    wanted = model.state_dict()
    wrong = [name for name in wanted.keys() | found.keys() if _shape(wanted, name) != _shape(found, name)]
    if wrong:
        name = min(wrong)
        todo = "resume with the settings of the run, or start a new one"
        raise InputError(f"the run's network, {name} {_shape(found, name)}", f"{_shape(wanted, name)}", todo)


def _shape(tensors: Mapping[str, Tensor], name: str) -> str:
    return str(tuple(tensors[name].shape)) if name in tensors else "absent"


def _laid_out_as(parameter: Tensor, value: Tensor) -> Tensor:
    """Moments in their parameter's memory order (channels last), as they were: mixed orders are slow."""
    return torch.empty_like(parameter, device="cpu").copy_(value) if value.shape == parameter.shape else value
