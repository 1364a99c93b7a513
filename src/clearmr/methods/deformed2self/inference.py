"""Deformed2Self as a `Denoiser`: every slice of a series learns from its own frames."""

import dataclasses
import math
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from clearmr.denoiser import Denoiser
from clearmr.errors import InputError
from clearmr.evaluate import presence
from clearmr.methods import keeping
from clearmr.methods.deformed2self import schemes
from clearmr.methods.deformed2self.config import Deformed2SelfConfig
from clearmr.methods.deformed2self.training import Course
from clearmr.scan import SnrImage

METHOD = "deformed2self"


@dataclass(frozen=True)
class Outcome:
    """The denoised image; fields (z, frame, N, 2, y, x) in pixels (y, x), where asked for, onto each frame of each
    slice from the N nearest others (`draws.others_of`).
    """

    image: SnrImage
    fields: Tensor | None


@dataclass(frozen=True)
class Deformed2Self(keeping.Options):
    """A series denoised from itself. Each slice is a series of its own; complex ones move as one.

    prior         the denoiser that scheme "prior" begins at
    budget_s      seconds; then what is best so far is given back, with a warning. None: as long as it takes
    keep_fields   whether `run` gives the fields of motion; seed: of all that is drawn
    batch         is not looked at
    """

    WAYS = ("auto", "time")

    config: Deformed2SelfConfig
    name: str = METHOD
    prior: Denoiser | None = None
    budget_s: float | None = None
    seed: int = 0
    keep_fields: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.budget_s is not None and not 0 < self.budget_s < math.inf:
            raise InputError("a budget of more than 0 seconds", f"{self.budget_s:g}", "write for example 2m or 90s")
        if self.config.scheme == "prior" and self.prior is None:
            todo = "give prior=, or take the model scratch, which begins at nothing"
            raise InputError("a denoiser that the joint model begins at", "none", todo)

    def __call__(self, image: SnrImage) -> SnrImage:
        """Denoise slice by slice. Raises InputError for an image that is no series, or not finite."""
        return self.run(image).image

    def run(self, image: SnrImage) -> Outcome:
        """The denoised image and, where `keep_fields`, the motion. Raises InputError as a call does."""
        began = time.monotonic()
        self._check(image)
        if self.strength == 0:
            return Outcome(keeping.with_step(image, self._step(), []), None)
        work = _Work(self, image, began)
        out, fields = work.run()
        step = self._step() | work.figures() | {"seconds": round(time.monotonic() - began, 2)}
        return Outcome(keeping.with_step(dataclasses.replace(image, image=out), step, work.warnings()), fields)

    def _check(self, image: SnrImage) -> None:
        frames = image.image.shape[0]
        if frames < 2:
            found = "a single frame" if image.image.shape[1] == 1 else "a volume of a single frame"
            todo = "give a series over time, or take another method (snraware)"
            raise InputError("at least 2 frames of one moving subject", found, todo)
        if min(image.image.shape[-2:]) < 2:
            raise InputError("frames of at least 2 x 2 pixels", f"{tuple(image.image.shape[-2:])}", "check the axes")
        keeping.refuse_unfit(image)

    def _step(self) -> dict[str, Any]:
        step = {"name": "denoise", "method": METHOD, "model": self.name, "scheme": self.config.scheme}
        return step | {"strength": self.strength, "device": self.device, "seed": self.seed}


class _Work:
    """One image on its way through: a slice at a time, the time shared among them, the ticks counted."""

    def __init__(self, denoiser: Deformed2Self, image: SnrImage, began: float) -> None:
        self.denoiser, self.image = denoiser, image
        budget = denoiser.budget_s
        self.deadline = math.inf if budget is None else began + budget
        self.slices, frames = image.image.shape[1], image.image.shape[0]
        height, width = image.image.shape[-2:]
        self.config = schemes.fitting(denoiser.config, (height, width), denoiser.memory_bytes)
        self.each = schemes.ticks(self.config, frames, keep_fields=denoiser.keep_fields)
        self.done, self.bf16 = 0, bf16_pays(denoiser)
        self.found: list[schemes.Found] = []
        self.shares: list[float] = []
        self.motion: dict[int, Tensor] = {}
        self.untouched, self.missed = 0, 0  # slices whose noisy series is given back; that no time was left for

    def run(self) -> tuple[Tensor, Tensor | None]:
        out = self.image.image.clone()
        for z in range(self.slices):
            if z and time.monotonic() >= self.deadline:
                self.missed = self.slices - z
                break
            part = self._slice(z)
            noisy = bool((part.noise_sd > 0).any())
            share = presence.share_present(part.image[:, 0], part.noise_sd.expand(part.image.shape)[:, 0])
            if noisy and not _constant(part.image):
                found = schemes.run(
                    part, self.config, self._course(z), given=self.denoiser.prior,
                    keep_fields=self.denoiser.keep_fields,
                )  # fmt: skip
                out[:, z : z + 1] = self._taken(z, part, found, share)
            self.done = self.each * (z + 1)
            self.denoiser.progress(self.done, self.each * self.slices)
        return out, self._fields()

    def _taken(self, z: int, part: SnrImage, found: schemes.Found, share: float) -> Tensor:
        """The slice with as much of its noise taken out as is there and asked for; the noisy one, where better."""
        self.found.append(found)
        if found.late and schemes.worse_than_noisy(found.image, part):
            self.untouched += 1
            return part.image
        self.motion |= {} if found.fields is None else {z: found.fields}
        self.shares.append(share)
        return torch.lerp(part.image, found.image.to(part.image.dtype), share * self.denoiser.strength)

    def _slice(self, z: int) -> SnrImage:
        maps = {
            name: values if values.shape[1] == 1 else values[:, z : z + 1]
            for name, values in (("noise_sd", self.image.noise_sd), ("gmap", self.image.gmap))
        }
        return dataclasses.replace(self.image, image=self.image.image[:, z : z + 1], meta={}, **maps)  # type: ignore[arg-type]

    def _course(self, z: int) -> Course:
        now = time.monotonic()
        share = max(0.0, self.deadline - now) / (self.slices - z)
        given = self.denoiser
        return Course(given.seed + 1000 * z, given.device, self.bf16, min(self.deadline, now + share), self._tick)

    def _tick(self) -> None:
        self.done += 1
        self.denoiser.progress(self.done, self.each * self.slices)

    def _fields(self) -> Tensor | None:
        """Those of all slices; no motion in a slice that was left as it is."""
        if not self.denoiser.keep_fields:
            return None
        frames, _, height, width = self.image.image.shape
        still = torch.zeros(frames, min(self.config.train.others, frames - 1), 2, height, width)
        return torch.stack([self.motion.get(z, still) for z in range(self.slices)])

    def figures(self) -> dict[str, Any]:
        """What is told of how it was done: lists of one entry per slice."""
        figures: dict[str, Any] = {"precision": "bf16" if self.bf16 else "float32", "slices": self.slices}
        for found in self.found:
            for key, value in found.figures.items():
                figures.setdefault(key, []).append(value)
        if self.shares and min(self.shares) < 1:
            figures["share removed"] = min(self.shares)
        return figures

    def warnings(self) -> list[str]:
        said = []
        noisy = self.untouched + self.missed
        if self.missed or any(found.late for found in self.found):
            kept = f", in {noisy} of {self.slices} slices the noisy series itself" if noisy else ""
            late = f"the budget of {self.denoiser.budget_s:g} s ended before the work did"
            said.append(f"{late}: this is the best so far{kept}")
        if self.shares and min(self.shares) < 1:
            said.append(keeping.absent(min(self.shares)))
        if len(self.found) + self.missed < self.slices:
            said.append("slices without noise or without any contrast were left as they are")
        return said


def bf16_pays(denoiser: Deformed2Self) -> bool:
    """Whether to compute in bf16: as asked for, or where the hardware is made for it."""
    if denoiser.precision != "auto":
        return denoiser.precision == "bf16"
    return keeping.made_for_bf16(denoiser.device)


def _constant(values: Tensor) -> bool:
    return bool((values == values.flatten()[0]).all())
