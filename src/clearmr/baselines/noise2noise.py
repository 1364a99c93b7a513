"""Noise2Noise on repeats of one subject: Lehtinen et al. 2018, the counterpart of Noise2Average. Ours, on our engine.

Same trained network, same repeats, same tuning as Noise2Average as it was published; only the target differs: each
repeat learns to give every other one, whose noise is independent. With two repeats of one signal that is the signal's
mean; of repeats that lie a little apart it is a mean of shifted signals, hence a blur. With a `reference` as the target
of all repeats it is supervised learning on the very subject: what tuning can reach at the most with this network.
It takes repeats, no single image: one of `OF_REPEATS`, none of `BASELINES`.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from clearmr.baselines import peers
from clearmr.errors import InputError
from clearmr.evaluate import rician
from clearmr.scan import SnrImage
from clearmr.train.fine_tuning import Case, FineTuning, fine_tuned, predicted

PACKAGE = "torch"
LICENCE = "written here"
LEARNS = True
Tick = Callable[[], None]


def no_tick() -> None:
    """Says nothing."""


@dataclass(frozen=True)
class Outcome:
    """average: the mean of the denoised repeats; each: they; losses of the tuning by epoch (train, validation)."""

    average: SnrImage
    each: tuple[SnrImage, ...]
    train: tuple[float, ...]
    validation: tuple[float, ...]


@dataclass(frozen=True)
class Noise2Noise:
    """net takes (image, noise SD) in units of the noise SD, (B, 2, z, y, x), and gives the image; see `told`.

    tuning     block, epochs, learning rate ... of the engine
    unbiased   take Rice's bias off what was learned from magnitudes (Koay & Basser 2006)
    residual   the network tells what to add; told: it takes the noise SD as a second channel
    """

    net: nn.Module
    tuning: FineTuning = field(default_factory=FineTuning)
    name: str = "noise2noise"
    device: str = "cpu"
    seed: int = 0
    bf16: bool = False
    unbiased: bool = True
    residual: bool = False
    told: bool = True
    tick: Tick = no_tick

    def __call__(self, image: SnrImage) -> SnrImage:
        """One image is not enough: raises InputError."""
        raise InputError("two or more repeats for Noise2Noise", "one image", "use Noise2Void, which needs one only")

    def of_repeats(
        self, images: Sequence[SnrImage], *, mask: Tensor | None = None, reference: Tensor | None = None
    ) -> Outcome:
        """Repeats (frame, z, y, x) of one shape, each frame a volume that is learned from; the mean of what is made.

        mask (z, y, x): where errors count, default all voxels. reference (frame, z, y, x): the target of every repeat
        instead of the others (supervised). Raises InputError for fewer than two repeats without it, complex or
        differing images, and an empty mask.
        """
        _check(images, reference)
        unit = _unit(images)
        weight = torch.ones(images[0].image.shape[1:]) if mask is None else (mask != 0).float()
        weight = weight[0] if weight.ndim == 4 else weight
        cases = [
            Case(self._channels(image, k, unit), target / unit, weight)
            for r, image in enumerate(images)
            for k in range(len(image.image))
            for target in self._targets(images, r, k, reference, weight > 0)
        ]
        cases = [self._residual(case) for case in cases] if self.residual else cases
        tuned = fine_tuned(
            self.net, cases, self.tuning, seed=self.seed, device=self.device, bf16=self.bf16, tick=self.tick
        )
        unbiased = self.unbiased and reference is None and all(rician.is_rician(image) for image in images)
        made = tuple(self._made(tuned.net, image, unit, unbiased=unbiased) for image in images)
        return Outcome(self._mean(made), made, tuned.train, tuned.validation)

    def _targets(
        self, images: Sequence[SnrImage], r: int, k: int, reference: Tensor | None, inside: Tensor
    ) -> list[Tensor]:
        if reference is not None:
            return [reference[k : k + 1].float()]
        own = images[r].image[k : k + 1].float()
        return [_as_bright(other.image[k : k + 1].float(), own, inside) for j, other in enumerate(images) if j != r]

    def _channels(self, image: SnrImage, k: int, unit: float) -> Tensor:
        values = image.image[k].float() / unit
        noise = image.noise_sd.float().expand(image.image.shape)[k] / unit
        return torch.stack([values, noise]) if self.told else values[None]

    def _residual(self, case: Case) -> Case:
        return dataclasses.replace(case, target=case.target - case.inputs[:1])

    def _made(self, net: nn.Module, image: SnrImage, unit: float, *, unbiased: bool) -> SnrImage:
        """A repeat as the tuned network makes it, frame by frame."""
        frames = []
        for k in range(len(image.image)):
            given = self._channels(image, k, unit)
            made = predicted(
                net, given, self.tuning, device=self.device, bf16=self.bf16, residual=self.residual, tick=self.tick
            )
            frames.append(made[0].clamp(min=0))
        values = torch.stack(frames)
        noise = image.noise_sd.float().expand(values.shape) / unit
        if unbiased:
            safe = noise.clamp(min=1e-6)
            signal = rician.signal_of_mean((values / safe).double().numpy()).astype(np.float32)
            values = torch.from_numpy(signal) * safe
        made_of = dataclasses.replace(image, image=(values * unit).to(image.image.dtype))
        return peers.with_step(made_of, self.name, PACKAGE, seed=self.seed, **_said(self.tuning))

    def _mean(self, made: Sequence[SnrImage]) -> SnrImage:
        mean = torch.stack([image.image for image in made]).mean(0)
        variance = torch.stack([image.noise_sd.float().expand(mean.shape) ** 2 for image in made]).mean(0) / len(made)
        return dataclasses.replace(made[0], image=mean, noise_sd=variance.sqrt())


def load(net: nn.Module, **options: Any) -> Noise2Noise:
    """With a trained network; the dataclass' fields as options."""
    return Noise2Noise(net, **options)


def _as_bright(values: Tensor, own: Tensor, inside: Tensor) -> Tensor:
    """Values with the mean and SD inside the mask that `own` has there: repeats may differ in intensity."""
    there, here = values[:, inside], own[:, inside]
    if there.shape[1] < 2 or not float(there.std()) > 0:
        return values
    return (values - there.mean()) / there.std() * here.std() + here.mean()


def _said(tuning: FineTuning) -> dict[str, Any]:
    return {"epochs": tuning.epochs, "learning_rate": tuning.learning_rate, "block": list(tuning.block)}


def _unit(images: Sequence[SnrImage]) -> float:
    """The median noise SD of all repeats: one scale for all, so that their intensities stay comparable."""
    levels = torch.cat([image.noise_sd.float().flatten() for image in images])
    positive = levels[levels > 0]
    if not len(positive):
        raise InputError("repeats with a positive noise_sd", "zero everywhere", "a noise-free image needs no denoising")
    return float(positive.median())


def _check(images: Sequence[SnrImage], reference: Tensor | None) -> None:
    if len(images) < (2 if reference is None else 1):
        raise InputError("two or more repeats for Noise2Noise", f"{len(images)}", "give the other repeats too")
    first = images[0]
    for image in images:
        if image.is_complex:
            raise InputError("magnitude repeats", "a complex image", "give its magnitude")
        if image.image.shape != first.image.shape:
            found = f"{tuple(first.image.shape)} and {tuple(image.image.shape)}"
            raise InputError("repeats of one shape", found, "give repeats of the same scan")
    if reference is not None and reference.shape != first.image.shape:
        raise InputError(f"a reference of shape {tuple(first.image.shape)}", str(tuple(reference.shape)), "resample it")
