"""Noise2Average: `load` gives a denoiser of repeats; `fit` trains the network that the reference begins at."""

import dataclasses
from pathlib import Path
from typing import Any

from torch import nn

from clearmr.denoiser import Denoiser
from clearmr.errors import InputError
from clearmr.methods.noise2average.config import NetConfig, Noise2AverageConfig
from clearmr.methods.noise2average.inference import METHOD, Noise2Average, Outcome
from clearmr.methods.noise2average.presets import PRESETS, TRAINED
from clearmr.methods.noise2average.training import build, fit
from clearmr.train import checkpoint

__all__ = ["MAGNITUDES", "TAKES_PRIOR", "TAKES_REPEATS", "Noise2Average", "Outcome", "bundled", "fit", "load", "made"]

TAKES_PRIOR = True  # `load` begins at another denoiser, where one is given
TAKES_REPEATS = True  # the denoiser has `of_repeats`, and refuses a single image
MAGNITUDES = True  # the denoiser that it begins at is one for magnitudes


def bundled() -> tuple[str, ...]:
    """Names of the models that ship with the package: none; the default begins at SNRAware's."""
    return ()


def load(
    model: str | Path | None = None, *, device: str = "cpu", is_complex: bool = False, prior: Denoiser | None = None
) -> Noise2Average:
    """The scheme `model`: default (None) or published, which begin at `prior`, or a network that was trained before.

    A trained one is a .safetensors file or the folder of a run of `clearmr train noise2average`. Raises InputError.
    """
    name = "default" if model is None else str(model)
    if name in TRAINED:
        todo = f"clearmr train noise2average -d VOLUMES -o RUN --preset {name}, then --model RUN"
        raise InputError("a trained network", f"the settings {name} alone", todo)
    if name in PRESETS:
        return made(PRESETS[name](), name=f"{METHOD}-{name}", device=device, prior=prior)
    expected = f"a scheme among {', '.join(n for n in PRESETS if n not in TRAINED)}, or a trained model"
    path = checkpoint.find_model(name, expected=expected, todo="name a scheme, a .safetensors file or a run's folder")
    card = checkpoint.read_card(path, method=METHOD)
    config = _config(card, path)
    net = build(config.net)
    checkpoint.fill(net, path)
    return made(config, name=path.stem, device=device, net=net.eval().requires_grad_(False))


def made(
    config: Noise2AverageConfig, *, name: str = METHOD, device: str = "cpu", prior: Denoiser | None = None,
    net: nn.Module | None = None,
) -> Noise2Average:  # fmt: skip
    """A denoiser by its settings: from `prior`, told of the noise, or from a trained `net` that predicts residuals."""
    return Noise2Average(config, name, prior if config.net.kind == "given" else None, net, device=device)


def _config(card: dict[str, Any], path: Path) -> Noise2AverageConfig:
    """The settings of the preset that a card names, with the network that it describes."""
    try:
        config = PRESETS[card["preset"]]()
        return dataclasses.replace(config, net=NetConfig(**card["net"]))
    except (TypeError, KeyError) as error:
        raise checkpoint.unreadable_card(path.with_suffix(".json"), error) from error
