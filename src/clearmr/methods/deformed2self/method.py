"""Deformed2Self: one model for one noisy series. `load` gives the `Denoiser`, `fit` one for a series at hand."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch

from clearmr.denoiser import Denoiser
from clearmr.errors import InputError
from clearmr.methods.deformed2self.config import Deformed2SelfConfig
from clearmr.methods.deformed2self.inference import METHOD, Deformed2Self, Outcome
from clearmr.methods.deformed2self.presets import PRESETS
from clearmr.scan import SnrImage

__all__ = ["TAKES_PRIOR", "Deformed2Self", "Outcome", "bundled", "fit", "load", "series_of"]

TAKES_PRIOR = True  # `load` begins at another denoiser, where one is given


def bundled() -> tuple[str, ...]:
    """Names of the models that ship with the package: none, since every series trains its own."""
    return ()


def load(
    model: str | Path | None = None,
    *,
    device: str = "cpu",
    is_complex: bool = True,
    prior: Denoiser | None = None,
) -> Deformed2Self:
    """The scheme `model`: joint (None: the default, which begins at `prior`), scratch, paper or tiny.

    is_complex: of the image to be denoised; not looked at here. Raises InputError for another name, and for joint
    without a prior.
    """
    name = "joint" if model is None else str(model)
    if name not in PRESETS:
        raise InputError(f"a scheme among {', '.join(PRESETS)}", name, "choose one; no trained model is needed")
    return made(PRESETS[name](), name=f"{METHOD}-{name}", device=device, prior=prior)


def made(
    config: Deformed2SelfConfig, *, name: str = METHOD, device: str = "cpu", prior: Denoiser | None = None
) -> Deformed2Self:
    """A denoiser by its settings; `prior` is only kept where the scheme begins at one."""
    return Deformed2Self(config, name, prior if config.scheme == "prior" else None, device=device)


def fit(
    cases: Sequence[SnrImage],
    config: Deformed2SelfConfig,
    seed: int,
    *,
    prior: Denoiser | None = None,
    device: str = "cpu",
) -> Deformed2Self:
    """A denoiser for the frames of one series: there is no corpus, it learns when it is called on that series.

    cases: the series, or its frames one by one. Raises InputError where they are not frames of one size.
    """
    series_of(cases)
    return dataclasses.replace(made(config, device=device, prior=prior), seed=seed)


def series_of(frames: Sequence[SnrImage]) -> SnrImage:
    """Images of one subject, in the order of time, as one series. Raises InputError where sizes or kinds differ."""
    if not frames:
        raise InputError("frames of one series", "none", "give at least 2")
    first = frames[0]
    for other in frames[1:]:
        if other.image.shape[1:] != first.image.shape[1:] or other.is_complex != first.is_complex:
            found = f"{tuple(first.image.shape[1:])} and {tuple(other.image.shape[1:])} (z, y, x)"
            raise InputError("frames of one size and kind", found, "crop or pad them to one size before")
    noise_sd, gmap = (
        torch.cat([values.expand(f.image.shape) for f, values in zip(frames, maps, strict=True)])
        for maps in ([f.noise_sd for f in frames], [f.gmap for f in frames])
    )
    return dataclasses.replace(first, image=torch.cat([f.image for f in frames]), noise_sd=noise_sd, gmap=gmap)
