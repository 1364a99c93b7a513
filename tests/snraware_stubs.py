"""SNRAware's denoisers of random weights, and networks that do what they are told."""

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from clearmr.methods.snraware.config import NetConfig
from clearmr.methods.snraware.inference import SnrAware
from clearmr.methods.snraware.model import build
from clearmr.scan import SnrImage
from laws import complex_noise

ONE = torch.ones(1, 1, 1, 1)
SMALL = NetConfig(channels=(4, 8), cells=1)


def image(shape: tuple[int, ...] = (4, 1, 24, 20), *, seed: int = 0, magnitude: bool = False) -> SnrImage:
    values = 10 + complex_noise(*shape, seed=seed)
    return SnrImage(values.abs() if magnitude else values, ONE, ONE, "measured", meta={"steps": [{"name": "recon"}]})


def denoiser(net_config: NetConfig = SMALL, **options: Any) -> SnrAware:
    """Random weights; float32 and room enough, unless the options say otherwise."""
    torch.manual_seed(0)
    card = {"net": dataclasses.asdict(net_config)}
    return SnrAware(build(net_config).eval(), "random", card, **{"precision": "float32", **options})


class Stub(nn.Module):
    """A network that does what it is told, and keeps what it was given."""

    def __init__(self, function: Callable[[Tensor], Tensor], **of_the_net: Any) -> None:
        super().__init__()
        self.function, self.given = function, list[Tensor]()
        for name, value in of_the_net.items():
            setattr(self, name, value)

    def forward(self, x: Tensor) -> Tensor:
        self.given.append(x.clone())
        return self.function(x)


def stubbed(function: Callable[[Tensor], Tensor], *, net: NetConfig = SMALL, card: dict[str, Any] | None = None,
            options: dict[str, Any] | None = None, **of_the_net: Any) -> tuple[SnrAware, Stub]:  # fmt: skip
    stub = Stub(function, **of_the_net)
    full = {"net": dataclasses.asdict(net), **(card or {})}
    return SnrAware(stub, "stub", full, **{"precision": "float32", "refine": 0, **(options or {})}), stub
