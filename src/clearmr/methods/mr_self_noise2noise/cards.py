"""Trained networks in files: weights as float16 safetensors, and beside them a card in JSON that says what they are."""

import dataclasses
from pathlib import Path
from typing import Any

import torch

from clearmr.errors import InputError
from clearmr.methods.mr_self_noise2noise.config import NetConfig
from clearmr.methods.mr_self_noise2noise.inference import METHOD, SelfNoise2Noise
from clearmr.methods.mr_self_noise2noise.model import build
from clearmr.train import checkpoint

TODO = "train one on your own raw 3D scans (clearmr train mr-self-noise2noise -d RAW -o RUN) and give it with --model"


def bundled() -> tuple[str, ...]:
    """Names of the models that ship with the package: none, since a site trains on its own scans."""
    return ()


def save(denoiser: SelfNoise2Noise, path: Path, card: dict[str, Any]) -> None:
    """Write weights (float16 safetensors) and, beside them, the card (JSON) that `load` needs."""
    checkpoint.save_model(denoiser.net, path, {**denoiser.card, **card, "method": METHOD})


def load(model: str | Path | None = None, *, device: str = "cpu", is_complex: bool = True) -> SelfNoise2Noise:
    """Load a .safetensors file, or a run's folder with one, and the card beside it. Raises InputError, also for None.

    is_complex: of the image to be denoised; not looked at here, since no model ships.
    """
    if model is None:
        raise InputError("a model of MR-self Noise2Noise", "none given, and none ships with clearmr", TODO)
    path = checkpoint.find_model(str(model), expected="a .safetensors file or a run's folder", todo=TODO)
    card = checkpoint.read_card(path, method=METHOD)
    try:
        config = NetConfig(**card["net"])
        alpha = float(card.get("alpha", 0.0))
    except (TypeError, ValueError) as error:
        raise checkpoint.unreadable_card(path.with_suffix(".json"), error) from error
    net = build(config)
    checkpoint.fill(net, path)
    net.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return SelfNoise2Noise(net, path.stem, {**card, "net": dataclasses.asdict(config), "alpha": alpha}, device=device)
