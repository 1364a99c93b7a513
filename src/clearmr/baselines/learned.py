"""What the networks that learn from the noisy image alone share: units, seeds, counted steps, Rice's bias.

A volume's values are brought to [0, 1] by its own extremes, as the authors' code expects images, so that signed
values and parts of complex images need no care. Networks trained on squared errors find the mean of the noisy values:
of magnitudes its Rician bias is taken off afterwards (Koay & Basser 2006) unless `unbiased` is False.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from clearmr.baselines import peers
from clearmr.denoiser import Progress, no_progress
from clearmr.errors import InputError
from clearmr.evaluate import rician
from clearmr.scan import SnrImage

_EVERY = 10  # steps between two signs of progress
Step = Callable[[Tensor], None]  # takes the loss of a step that was done
Restore = Callable[[Tensor, Step], Tensor]  # noisy (n, 1, y, x) in [0, 1] -> the same, denoised


@dataclass(frozen=True)
class Settings:
    """Training of one network. unbiased: take Rice's bias off magnitudes; seed: of weights and all that is drawn.

    Raises InputError for iterations below 1 or a learning rate that is not positive.
    """

    name: str
    iterations: int
    learning_rate: float
    seed: int = 0
    unbiased: bool = True
    device: str = "cpu"
    progress: Progress = no_progress

    def __post_init__(self) -> None:
        if self.iterations < 1:
            raise InputError("at least one iteration", str(self.iterations), "give a number such as 2000")
        if not 0 < self.learning_rate < float("inf"):
            raise InputError("a positive learning rate", str(self.learning_rate), "give a number such as 1e-4")


def denoise(image: SnrImage, settings: Settings, restore: Restore, *, each: bool) -> SnrImage:
    """`restore` on each frame (or slice of a single frame) by itself, or on all of a slice's frames at once.

    Real and imaginary parts are trained for one after the other.
    """
    mean_only = rician.is_rician(image) and settings.unbiased
    steps = _Steps(settings.progress, settings.iterations * _networks(image, each))

    def work(volume: np.ndarray) -> np.ndarray:
        low, high = float(volume.min()), float(volume.max())
        span = high - low or 1.0
        frames = (torch.from_numpy(volume).permute(2, 0, 1)[:, None] - low) / span
        parts = frames.split(1 if each else len(frames))
        done = torch.cat([restore(part.contiguous().to(settings.device), steps).cpu() for part in parts])
        mean = (done[:, 0].permute(1, 2, 0) * span + low).numpy()
        return rician.signal_of_mean(mean) if mean_only else mean

    result = peers.in_unit_noise(image, work)
    said = {"iterations": settings.iterations, "seed": settings.seed, "device": settings.device}
    return peers.with_step(result, settings.name, "torch", **said)


def fresh(make: Callable[[], nn.Module], settings: Settings) -> nn.Module:
    """A network whose initial weights depend on the seed alone; torch's own generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(settings.seed)
        return make().to(settings.device)


def generator(settings: Settings) -> torch.Generator:
    """Draws on the settings' device, from their seed."""
    return torch.Generator(settings.device).manual_seed(settings.seed)


class _Steps:
    """Counts the steps of all networks of an image."""

    def __init__(self, progress: Progress, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def __call__(self, loss: Tensor) -> None:
        self.done += 1
        if self.done % _EVERY == 0 or self.done == self.total:
            self.progress(self.done, self.total, loss=float(loss.detach()))


def _networks(image: SnrImage, each: bool) -> int:
    frames, slices = image.image.shape[:2]
    parts = 2 if image.is_complex else 1
    return parts * (frames * slices if each else slices if frames > 1 else 1)
