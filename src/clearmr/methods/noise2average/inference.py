"""Noise2Average as a denoiser of repeats: `of_repeats` takes two to twenty images of one subject."""

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clearmr.denoiser import Denoiser
from clearmr.errors import InputError
from clearmr.evaluate.rician import is_rician
from clearmr.methods import keeping
from clearmr.methods.noise2average import alignment, known_noise, masks, noise, published
from clearmr.methods.noise2average.config import Noise2AverageConfig
from clearmr.methods.noise2average.course import Course, State
from clearmr.methods.noise2average.pairs import Repeat
from clearmr.methods.noise2average.readings import Reading, Residual, Told
from clearmr.methods.noise2average.rigid import Motion
from clearmr.scan import SnrImage

METHOD = "noise2average"
MOST = 20
BYTES_PER_VOXEL, SHARE, SMALLEST = 1600.0, 0.5, 32  # of a tile in the network; of the memory; its side in voxels


@dataclass(frozen=True)
class Outcome:
    """average: the result, as bright as a plain average; each: the repeats denoised, as they lie where they meet.

    rounds: figures of every round, of which one says that it was kept. noisy: the plain average of what was denoised.
    """

    average: SnrImage
    each: tuple[SnrImage, ...]
    rounds: tuple[dict[str, Any], ...]
    noisy: SnrImage


@dataclass(frozen=True)
class Noise2Average(keeping.Options):
    """Repeats of one subject, denoised by what they have in common.

    prior, net   the network told of the noise that "given" begins at, or the trained one of another kind
    rounds       None: as the settings have it;  register: rigidly, before;  seed: of all that is drawn
    still        repeats of one acquisition, as two sets are: no motion is looked for
    work, resume a folder that keeps the state after each round, and whether to go on there
    batch        is not looked at
    """

    WAYS = ("auto", "volume")

    config: Noise2AverageConfig
    name: str = METHOD
    prior: Denoiser | None = None
    net: nn.Module | None = None
    seed: int = 0
    rounds: int | None = None
    register: bool = False
    still: bool = False
    work: Path | None = None
    resume: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rounds is not None and self.rounds < 1:
            raise InputError("--rounds of 1 or more", f"{self.rounds}", "2 are the reference's")
        if self.resume and self.work is None:
            raise InputError("--work FOLDER with --resume", "no folder", "name the folder of the run to go on with")
        if self.config.net.kind == "given" and self.prior is None:
            raise InputError("a denoiser that Noise2Average begins at", "none", "give prior=, or a trained model")

    def __call__(self, image: SnrImage) -> SnrImage:
        """One image is not enough: raises InputError."""
        raise InputError("at least 2 repeats of one subject", "one image", "give the others too, or take snraware")

    def of_repeats(self, images: Sequence[SnrImage], *, mask: Tensor | None = None) -> Outcome:
        """Two to twenty repeats (frame, z, y, x) of one shape; of a diffusion series the frames are its volumes.

        mask (z, y, x): where the loss counts; the brain of a whole head, or the foreground, if not given. Raises
        InputError for fewer than two repeats, other shapes, affines or contrasts, repeats that lie apart (unless
        `register`), an empty mask, and a `work` folder of another run.
        """
        began = time.monotonic()
        images, warnings = checked(images)
        found: Sequence[Motion] = ()
        if self.register:
            images, found = alignment.registered(images)
        weight, how = masks.mask_for(images, mask)
        measured = alignment.still(len(images)) if self.still else alignment.refuse(images, weight, tried=self.register)
        apart, warnings = measured.motions, [*warnings, *alignment.warnings(measured)]
        images = noise.raised(images, weight, measured)
        repeats = [Repeat(image.image.float(), image.noise_sd.float()) for image in images]
        state = self._run(repeats, weight, images[0])
        step = self._step() | {"mask": how, "registered": self.register, "repeats": len(images)}
        if self.register:
            step |= {"registered_mm": [m.distance for m in found], "registered_degrees": [m.angle for m in found]}
        step |= {"apart_mm": [m.distance for m in apart], "apart_degrees": [m.angle for m in apart]}
        step |= {"rounds": list(state.rounds), "seconds": round(time.monotonic() - began, 2)}
        made = zip(images, state.each, strict=True)
        each = tuple(self._made(image, values, step, warnings) for image, values in made)
        noisy = _plain(images)
        return Outcome(self._made(noisy, state.average, step, warnings), each, state.rounds, noisy)

    def _run(self, repeats: Sequence[Repeat], weight: Tensor, image: SnrImage) -> State:
        config = self._fitting(image)
        done, total = 0, 0

        def tick() -> None:
            nonlocal done
            done += 1
            self.progress(min(done, total), total)

        bf16 = keeping.made_for_bf16(self.device) if self.precision == "auto" else self.precision == "bf16"
        course = Course(config, self.seed, self.device, bf16, self.work, self.resume, tick)
        reading = self._reading()
        ours = config.scheme == "known-noise" and isinstance(reading, Told)
        total = (known_noise if ours else published).ticks(course, len(repeats))
        with keeping.out_of_memory_said("give less with --memory, so that smaller tiles are used"):
            if ours:
                rician = all(bool((repeat.values >= 0).all()) for repeat in repeats)
                return known_noise.run(reading, repeats, weight, course, spacing=image.spacing, rician=rician)  # type: ignore[arg-type]
            return published.run(reading, repeats, weight, course)

    def _fitting(self, image: SnrImage) -> Noise2AverageConfig:
        """The settings with the rounds asked for, the axis that is left to right, and tiles that fit in memory."""
        side = int((SHARE * self.memory_bytes / BYTES_PER_VOXEL) ** (1 / 3)) // 8 * 8
        asked = self.config.tuning.tile if any(self.config.tuning.tile) else self.config.tuning.block
        z, y, x = (min(n, max(SMALLEST, side)) for n in asked)
        tuning = dataclasses.replace(self.config.tuning, tile=(z, y, x), flip_axis=left_right(image))
        known = dataclasses.replace(self.config.known, half_way=self.config.known.half_way and not self.still)
        return dataclasses.replace(self.config, tuning=tuning, known=known, rounds=self.rounds or self.config.rounds)

    def _reading(self) -> Reading:
        if self.config.net.kind == "given":
            return Told(self.prior)
        assert self.net is not None
        return Residual(self.net, together=self.config.net.kind == "chain")

    def _step(self) -> dict[str, Any]:
        step = {"name": "denoise", "method": METHOD, "model": self.name, "scheme": self.config.scheme}
        start = self.prior.name if self.config.net.kind == "given" and self.prior else self.name
        return step | {"start": start, "strength": self.strength, "device": self.device, "seed": self.seed}

    def _made(self, image: SnrImage, values: Tensor, step: dict[str, Any], warnings: Sequence[str]) -> SnrImage:
        mixed = torch.lerp(image.image.float(), values, self.strength)
        return keeping.with_step(dataclasses.replace(image, image=mixed), step, warnings)


def left_right(image: SnrImage) -> int:
    """Which of the axes (z, y, x) is left to right: by the affine, x without one."""
    if image.affine is None:
        return 2
    along = abs(image.affine[0, :3])
    return 2 - int(along.argmax())


def checked(images: Sequence[SnrImage]) -> tuple[list[SnrImage], list[str]]:
    """Magnitude repeats of one shape and place, and what is to be told. Raises InputError."""
    if len(images) < 2:
        raise InputError("at least 2 repeats of one subject", f"{len(images)}", "give the others too")
    if len(images) > MOST:
        raise InputError(f"at most {MOST} repeats", f"{len(images)}", "give fewer, or average some before")
    warnings = []
    if any(image.is_complex for image in images):
        warnings.append("of the complex repeats the magnitudes are taken: their phase is not kept")
    found = [dataclasses.replace(image, image=image.image.abs()) if image.is_complex else image for image in images]
    first = found[0]
    for number, image in enumerate(found, 1):
        keeping.refuse_unfit(image)
        if image.image.shape != first.image.shape:
            said = f"{tuple(first.image.shape)} and {tuple(image.image.shape)} in repeat {number}"
            raise InputError("repeats of one shape (frame, z, y, x)", said, "give repeats of the same scan")
        _same_place(first, image, number)
        if is_rician(image) != is_rician(first):
            todo = "give all as magnitudes, or all with their sign"
            raise InputError("repeats of one kind", f"negative values in some, none in others (repeat {number})", todo)
    if min(first.image.shape[1:]) < 8:
        said = f"{tuple(first.image.shape[1:])} voxels"
        raise InputError("volumes of at least 8 voxels along each axis", said, "this method is for volumes")
    return found, warnings


def _same_place(first: SnrImage, image: SnrImage, number: int) -> None:
    """Raises InputError where voxels lie elsewhere: another affine or voxel size."""
    if first.affine is not None and image.affine is not None:
        off = abs(first.affine - image.affine).max()
    else:
        off = max(abs(a - b) for a, b in zip(first.spacing, image.spacing, strict=True))
    if off > 0.01 * min(first.spacing):
        todo = "resample them to one grid; if only the head moved, keep the grids alike and pass --register"
        raise InputError("repeats with one affine", f"repeat {number} with another one, off by {off:.3g} mm", todo)


def _plain(images: Sequence[SnrImage]) -> SnrImage:
    """The plain average, its noise_sd reduced accordingly."""
    n = len(images)
    variance = torch.stack([image.noise_sd.float().square().expand(_most(images)) for image in images]).sum(0) / n**2
    mean = torch.stack([image.image.float() for image in images]).mean(0)
    return dataclasses.replace(images[0], image=mean, noise_sd=variance.sqrt())


def _most(images: Sequence[SnrImage]) -> torch.Size:
    return torch.broadcast_shapes(*(image.noise_sd.shape for image in images))
