"""Trained networks in files: weights as float16 safetensors, and beside them a card in JSON that says what they are."""

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import nn

from clearmr.methods.snraware.config import NetConfig
from clearmr.methods.snraware.inference import SnrAware
from clearmr.methods.snraware.model import build
from clearmr.train import checkpoint

METHOD = "snraware"
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
    checkpoint.save_model(_both(denoiser.net, denoiser.second), path, {**denoiser.card, **card, "method": METHOD})


def load(model: str | Path | None = None, *, device: str = "cpu", is_complex: bool = True) -> SnrAware:
    """Load a bundled model by name, or a .safetensors file (or a run's folder with one) and the card beside it.

    Without a name, the bundled one for complex or for magnitude images. Raises InputError.
    """
    path = _find(str(model or default_model(is_complex=is_complex)))
    card, config = _network(path)
    net = build(config)
    second = build(config_of_second(config)) if card.get("second") else None
    nets = _both(net, second)
    checkpoint.fill(nets, path)
    nets.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return SnrAware(net, path.stem, card, device=device, second=second)


def config_of_second(config: NetConfig) -> NetConfig:
    """The network that mends what is filtered after one of this configuration: the same, but for what it is given."""
    return dataclasses.replace(config, pilots=True)


def _both(net: nn.Module, second: nn.Module | None) -> nn.Module:
    """What a file holds: one network under its own names, or two as `first.` and `second.`."""
    return net if second is None else nn.ModuleDict({"first": net, "second": second})


def _find(name: str) -> Path:
    if name in bundled():
        return WEIGHTS / f"{name}.safetensors"
    expected = f"a model among {', '.join(bundled()) or '(none bundled)'} or a file"
    return checkpoint.find_model(name, expected=expected, todo="name a bundled model or a .safetensors file")


def _network(path: Path) -> tuple[dict[str, Any], NetConfig]:
    """A model's card, and the network that it describes; a field that an older card leaves out has its default."""
    card = checkpoint.read_card(path, method=METHOD)
    try:
        config = NetConfig(**card["net"])
    except TypeError as error:
        raise checkpoint.unreadable_card(path.with_suffix(".json"), error) from error
    told = card.get("told") or card.get("config", {}).get("noise", {}).get("told", "noise_sd")
    return {**card, "net": dataclasses.asdict(config), "told": told}, config
