"""Trained networks in files: weights as float16 safetensors, and beside them a card in JSON that says what they are."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clearmr.errors import InputError
from clearmr.methods.snraware.config import NetConfig
from clearmr.methods.snraware.inference import SnrAware
from clearmr.methods.snraware.model import build
from clearmr.train import checkpoint

WEIGHTS = Path(__file__).parent / "weights"
FOR_COMPLEX, FOR_MAGNITUDE = "snraware-small", "snraware-small-mag"


def default_model(*, is_complex: bool = True) -> str:
    """The name of the model for a complex or a magnitude image where the user names none."""
    return FOR_COMPLEX if is_complex else FOR_MAGNITUDE


def bundled() -> tuple[str, ...]:
    """Names of the models that ship with the package."""
    return tuple(sorted(p.stem for p in WEIGHTS.glob("*.safetensors")))


def save(denoiser: SnrAware, path: Path, card: dict[str, Any]) -> None:
    """Write weights (float16 safetensors) and, beside them, the card (JSON) that `load` needs."""
    checkpoint.save_tensors({k: _half(v) for k, v in denoiser.net.state_dict().items()}, path)
    checkpoint.save_json({**denoiser.card, **card, "sha256": checkpoint.sha256(path)}, path.with_suffix(".json"))


def _half(values: Tensor) -> Tensor:
    """float16, unless that cannot hold the values (integers, very large numbers)."""
    fits = values.is_floating_point() and bool((values.abs() < torch.finfo(torch.float16).max).all())
    return values.half() if fits else values


def load(model: str | Path | None = None, *, device: str = "cpu", is_complex: bool = True) -> SnrAware:
    """Load a bundled model by name, or a .safetensors file (or a run's folder with one) and the card beside it.

    Without a name, the bundled one for complex or for magnitude images. Raises InputError.
    """
    path = _find(str(model or default_model(is_complex=is_complex)))
    card_path = path.with_suffix(".json")
    if not card_path.is_file():
        raise InputError("a model card beside the weights", f"no {card_path}", "keep both files together")
    card, config = _read_card(card_path)
    if card.get("sha256") != checkpoint.sha256(path):
        raise InputError("weights that match their card", f"another SHA-256 in {path}", "take both from one training")
    net = build(config)
    _fill(net, checkpoint.load_tensors(path), path)
    net.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return SnrAware(net, path.stem, card, device=device)


def _find(name: str) -> Path:
    path = WEIGHTS / f"{name}.safetensors" if name in bundled() else Path(name)
    if path.is_dir():
        with_card = [p for p in sorted(path.glob("*.safetensors")) if _is_card(p.with_suffix(".json"))]
        if len(with_card) != 1:
            found = f"{len(with_card)} in {path}"
            raise InputError("a run's folder with one model and its card", found, "name the .safetensors file")
        return with_card[0]
    if not path.is_file():
        todo = "name a bundled model or a .safetensors file"
        raise InputError(f"a model among {', '.join(bundled()) or '(none bundled)'} or a file", name, todo)
    return path


def _is_card(path: Path) -> bool:
    try:
        return "sha256" in json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def _fill(net: torch.nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Put the weights in place, as float32 where the network has that. Raises InputError where they do not fit."""
    try:
        net.load_state_dict(tensors)
    except RuntimeError as error:
        todo = "take weights and card from one training with this version of clearmr"
        raise InputError("weights of the network that the card names", f"others in {path}", todo) from error


def _read_card(path: Path) -> tuple[dict[str, Any], NetConfig]:
    """A model's card, and the network that it describes; a field that an older card leaves out has its default."""
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in card["net"].items()}
        config = NetConfig(**given)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        todo = "keep the card that `clearmr train` wrote beside the weights"
        raise InputError("a model card with its network in JSON", f"{path} ({error!r})", todo) from error
    told = card.get("told") or card.get("config", {}).get("noise", {}).get("told", "noise_sd")
    return {**card, "net": dataclasses.asdict(config), "told": told}, config
