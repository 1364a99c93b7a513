"""How a network reads a repeat: the house's own network, told of the noise, or one that predicts a residual."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clearmr.errors import InputError
from clearmr.methods.noise2average.pairs import Repeat, Scale
from clearmr.train.blocks import FineTuning, predicted
from clearmr.train.fine_tuning import Case


@runtime_checkable
class Reading(Protocol):
    """Inputs and targets of a network for the frames of a repeat, and an image from what it gives."""

    @property
    def net(self) -> nn.Module: ...

    def cases(self, repeat: Repeat, scale: Scale, target: Tensor, weight: Float[Tensor, "z y x"]) -> list[Case]:
        """What is learned from: the repeat's frames, and the target (frame, z, y, x) in the repeat's own unit."""
        ...

    def denoised(self, net: nn.Module, repeat: Repeat, scale: Scale, config: FineTuning, **how: Any) -> Tensor:
        """The repeat, denoised by `net`, (frame, z, y, x) in its own unit; `how` goes on to `predicted`."""
        ...


@dataclass(frozen=True)
class Told:
    """A network that is told the noise SD and gives the image, both in units of the noise: frame by frame."""

    prior: Any

    @property
    def net(self) -> nn.Module:
        return self.prior.net  # type: ignore[no-any-return]

    def inputs(self, values: Float[Tensor, "z y x"], noise_sd: Tensor) -> tuple[Float[Tensor, "2 z y x"], Tensor]:
        """(image, noise SD) in units of the median noise SD, and that unit."""
        told = noise_sd.expand(values.shape)
        unit = told[told > 0].median() if bool((told > 0).any()) else torch.ones(())
        channels = self.prior.channels(values[None], told[None], torch.ones_like(told)[None], unit)[0]
        if channels.shape[0] != 2:
            todo = "take the default model, or one trained with --preset small-mag"
            raise InputError("a network for magnitudes that is told of the noise", self.prior.name, todo)
        return channels, unit

    def cases(self, repeat: Repeat, scale: Scale, target: Tensor, weight: Tensor) -> list[Case]:
        found = []
        for frame, values in enumerate(repeat.values):
            inputs, unit = self.inputs(values, _frame(repeat.noise_sd, frame))
            found.append(Case(inputs, target[frame][None] / unit, weight))
        return found

    def denoised(self, net: nn.Module, repeat: Repeat, scale: Scale, config: FineTuning, **how: Any) -> Tensor:
        frames = []
        for frame, values in enumerate(repeat.values):
            inputs, unit = self.inputs(values, _frame(repeat.noise_sd, frame))
            frames.append(predicted(net, inputs, config, **how)[0] * unit)
        return torch.stack(frames)


@dataclass(frozen=True)
class Residual:
    """A network that predicts what to add, in normalised intensities; `together`: all frames as its channels."""

    net: nn.Module
    together: bool = False

    def cases(self, repeat: Repeat, scale: Scale, target: Tensor, weight: Tensor) -> list[Case]:
        given = scale.normalised(repeat.values)
        wanted = scale.normalised(target) - given
        if self.together:
            return [Case(given, wanted, weight)]
        return [Case(g[None], w[None], weight) for g, w in zip(given, wanted, strict=True)]

    def denoised(self, net: nn.Module, repeat: Repeat, scale: Scale, config: FineTuning, **how: Any) -> Tensor:
        given = scale.normalised(repeat.values)
        parts = [given] if self.together else [g[None] for g in given]
        return scale.back(torch.cat([predicted(net, part, config, residual=True, **how) for part in parts]))


def _frame(maps: Tensor, frame: int) -> Tensor:
    return maps[min(frame, len(maps) - 1)]
