"""The methods of Deformed2Self's tables, each on one noisy series: what it makes of the target frames.

Methods that are told the noise get Poisson counts through Anscombe's transform (its SD is 1; inverse without bias by
Mäkitalo & Foi 2011). Of Rician magnitudes every method gives two results: "left", where Rice's bias is left in as the
paper does (filters take the noise for Gaussian), and "taken", where it is taken out.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor

from clearmr import baselines
from clearmr.denoiser import Denoiser
from clearmr.evaluate import rician
from clearmr.methods.deformed2self import draws, method, presets, schemes, training
from clearmr.methods.deformed2self.config import Deformed2SelfConfig
from clearmr.methods.deformed2self.inference import bf16_pays
from clearmr.methods.snraware import method as snraware
from clearmr.reproduce.deformed2self_data import Noise
from clearmr.scan import SnrImage

ABLATIONS = {
    "d2s": {},
    "d2s-without-single": {"single": False},
    "d2s-without-registration": {"registration": False},
}
FRAME_BY_FRAME = ("bm3d", "dip", "self2self")
LEFT, TAKEN = "left", "taken"
Results = dict[str, Tensor]  # by what became of the bias: (target, y, x)


@dataclasses.dataclass(frozen=True)
class Lengths:
    """Settings of what learns: of D2S as published, and how many steps the peers take (None: their own default).

    scratch, joint: other settings than the presets', for tests.
    """

    paper: Deformed2SelfConfig
    dip: int | None = None
    self2self: int | None = None
    noise2void: int | None = None
    scratch: Deformed2SelfConfig | None = None
    joint: Deformed2SelfConfig | None = None


@dataclasses.dataclass(frozen=True)
class Given:
    """What a method is given: the noisy series, its noise, the targets; and seed, device and lengths."""

    image: SnrImage
    noise: Noise
    targets: tuple[int, ...]
    lengths: Lengths
    seed: int = 0
    device: str = "cpu"


def denoised(name: str, given: Given) -> Results:
    """The target frames as the method of this name makes them."""
    if name == "noisy":
        return {LEFT: given.image.image[list(given.targets), 0]}
    if name in ABLATIONS:
        return _both(_deformed2self(name, given), given)
    if name in ("scratch", "joint"):
        return _known(_ours(name, given), given)
    if baselines.room(name).LEARNS:
        return _both(_learned(name, given), given)
    return _known(_frames_of(name, baselines.load(name)), given, also_left=True)


def _deformed2self(name: str, given: Given) -> Tensor:
    """As published: a training for each target with its nearest frames; nothing is known of the noise."""
    config = given.lengths.paper
    config = dataclasses.replace(config, net=dataclasses.replace(config.net, **ABLATIONS[name]))
    bf16, made = bf16_pays(method.made(config, device=given.device)), []
    for target in given.targets:
        near = sorted((target, *draws.others_of(target, len(given.image.image), config.train.others)))
        part = dataclasses.replace(given.image, image=given.image.image[near], noise_sd=torch.ones(1, 1, 1, 1))
        series, unit = schemes.to_series(part)
        course = training.Course(given.seed, given.device, bf16)
        frames = (near.index(target),)
        trained = training.train(series, frames, config, course)
        found = training.passes(trained.net, series, frames, config.train, n=config.train.passes, course=course)
        made.append(found.image[0, 0] * unit)
    return torch.stack(made)


def _learned(name: str, given: Given) -> Tensor:
    """A peer that learns from the noisy image; it is not told the noise, and takes off no bias here."""
    iterations = getattr(given.lengths, name)
    options = {"unbiased": False, "seed": given.seed, "device": given.device}
    options |= {} if iterations is None else {"iterations": iterations}
    level = torch.ones(1, 1, 1, 1)
    plain = dataclasses.replace(given.image, noise_sd=level)
    return _frames_of(name, baselines.load(name, **options))(plain, given.targets)


Work = Callable[[SnrImage, Sequence[int]], Tensor]


def _frames_of(name: str, denoiser: Denoiser) -> Work:
    """(image, targets) -> (target, y, x): frame by frame, or of the whole series."""

    def work(image: SnrImage, targets: Sequence[int]) -> Tensor:
        if name not in FRAME_BY_FRAME:
            return denoiser(image).image[list(targets), 0]
        return torch.stack([denoiser(_frame(image, k)).image[0, 0] for k in targets])

    return work


def _frame(image: SnrImage, k: int) -> SnrImage:
    level = image.noise_sd if image.noise_sd.shape[0] == 1 else image.noise_sd[k : k + 1]
    return dataclasses.replace(image, image=image.image[k : k + 1], noise_sd=level)


def _ours(name: str, given: Given) -> Work:
    """Presets of ours; joint begins at the shipped network for magnitudes, which takes signed values too."""
    found = snraware.load(None, device=given.device, is_complex=False) if name == "joint" else None
    prior = cast(Denoiser | None, found)  # frozen, where the protocol could be set
    config = getattr(given.lengths, name) or presets.PRESETS[name]()
    made = dataclasses.replace(method.made(config, device=given.device, prior=prior), seed=given.seed)
    return _frames_of(name, cast(Denoiser, made))


def _known(work: Work, given: Given, *, also_left: bool = False) -> Results:
    """Of a method that is told the noise; also_left: of magnitudes once more as if their noise were Gaussian."""
    image, targets = given.image, given.targets
    if given.noise.kind == "poisson":
        return {LEFT: counted(work(anscombe(image, given.noise.level), targets), given.noise.level)}
    if given.noise.kind == "gaussian":
        return {LEFT: work(image, targets)}
    found = {TAKEN: work(image, targets)}
    if also_left:
        # Values below 0 tell a filter that these are no magnitudes.
        lowered = dataclasses.replace(image, image=image.image - image.image.mean())
        found[LEFT] = work(lowered, targets) + image.image.mean()
    return found


def _both(left: Tensor, given: Given) -> Results:
    """A mean of magnitudes as it is, and the signal that has this mean."""
    if given.noise.kind != "rician":
        return {LEFT: left}
    sd = given.noise.level
    taken = torch.from_numpy(rician.signal_of_mean((left / sd).numpy())).float() * sd
    return {LEFT: left, TAKEN: taken}


def anscombe(image: SnrImage, counts: float) -> SnrImage:
    """2 sqrt(P y + 3/8) less its value without counts, and a hair more: no filter shall take it for a magnitude."""
    values = 2 * (counts * image.image + 0.375).sqrt() - _FLOOR
    return dataclasses.replace(image, image=values, noise_sd=torch.ones(1, 1, 1, 1))


def counted(values: Tensor, counts: float) -> Tensor:
    """The intensity whose transformed counts have this mean (Mäkitalo & Foi 2011, closed form)."""
    d = (values + _FLOOR).clamp_min(2 * 0.375**0.5)
    root = 1.5**0.5
    mean = d.square() / 4 + root / 4 / d - 11 / 8 / d.square() + 5 * root / 8 / d**3 - 1 / 8
    return mean.clamp_min(0) / counts


_FLOOR = 2 * 0.375**0.5 + 1e-4
