"""The methods of Noise2Average's tables, each on the same noisy repeats: what it makes of them, one image or several.

All networks begin at the one that the package ships for magnitudes (snraware-small-mag), which has seen none of these
subjects. Noise2Noise, the published Noise2Average and the supervised bound are tuned alike; only their targets differ.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from clearmr import baselines, road
from clearmr.baselines.noise2noise import Noise2Noise
from clearmr.denoiser import Denoiser
from clearmr.methods import keeping
from clearmr.methods.noise2average import known_noise, presets, published
from clearmr.methods.noise2average.config import Noise2AverageConfig
from clearmr.methods.noise2average.course import Course, State
from clearmr.methods.noise2average.pairs import Repeat, scale_of
from clearmr.methods.noise2average.readings import Told
from clearmr.methods.snraware import method as snraware
from clearmr.scan import SnrImage
from clearmr.train.fine_tuning import FineTuning, fine_tuned

ROUNDS = 3
LONGER = 3  # times as many epochs for the bound of our default
FILTERS = ("bm4d", "asm", "mppca")
Images = dict[str, Tensor]  # by what of it: (frame, z, y, x)


@dataclass(frozen=True)
class Lengths:
    """tuning: of Noise2Noise, the published rounds and the supervised bound; ours: of the default (None: its own)."""

    tuning: FineTuning
    ours: FineTuning | None = None
    rounds: int = ROUNDS


@dataclass(frozen=True)
class Given:
    """What a method is given; only the supervised one looks at `clean` (frame, z, y, x)."""

    repeats: tuple[SnrImage, ...]
    mask: Tensor
    clean: Tensor
    lengths: Lengths
    seed: int = 0
    device: str = "cpu"


@dataclass(frozen=True)
class Made:
    """Images by label, and what is told of rounds."""

    images: Images
    rounds: tuple[dict[str, Any], ...] = ()


def made(name: str, given: Given) -> Made:
    """What the method of this name makes: "noisy", "average", "net", "noise2noise", "published", "ours", "supervised",
    or a filter of each repeat ("bm4d-each", then averaged) or of the average ("bm4d-average")."""
    plain = road.average(given.repeats)
    if name == "noisy":
        return Made({name: given.repeats[0].image})
    if name == "average":
        return Made({name: plain.image})
    if name == "net":
        return Made({name: _by_volume(cast(Denoiser, _prior(given)))(plain).image})
    peer, _, of = name.partition("-")
    if peer in FILTERS:
        work = _peer(peer)
        if of == "average":
            return Made({name: work(plain).image})
        return Made({name: torch.stack([work(image).image for image in given.repeats]).mean(0)})
    return {"noise2noise": _noise2noise, "published": _published, "ours": _ours, "supervised": _supervised}[name](given)


def _peer(name: str) -> Callable[[SnrImage], SnrImage]:
    """Volume by volume, but for MP-PCA, which is made of what they have in common."""
    found = baselines.load(name)
    return found if name == "mppca" else _by_volume(found)


def _by_volume(work: Denoiser) -> Callable[[SnrImage], SnrImage]:
    def each(image: SnrImage) -> SnrImage:
        frames = [work(_frame(image, k)).image for k in range(len(image.image))]
        return dataclasses.replace(image, image=torch.cat(frames))

    return each


def _frame(image: SnrImage, k: int) -> SnrImage:
    maps = {name: getattr(image, name) for name in ("noise_sd", "gmap")}
    part: dict[str, Any] = {name: m if len(m) == 1 else m[k : k + 1] for name, m in maps.items()}
    return dataclasses.replace(image, image=image.image[k : k + 1], **part)


def _prior(given: Given) -> snraware.SnrAware:
    return snraware.load(None, device=given.device, is_complex=False)


def _tuned(given: Given) -> Noise2Noise:
    bf16 = keeping.made_for_bf16(given.device)
    return Noise2Noise(_prior(given).net, given.lengths.tuning, device=given.device, seed=given.seed, bf16=bf16)


def _noise2noise(given: Given) -> Made:
    outcome = _tuned(given).of_repeats(given.repeats, mask=given.mask)
    told = {"train": list(outcome.train), "validation": list(outcome.validation)}
    return Made({"noise2noise": outcome.average.image}, (told,))


def _supervised(given: Given) -> Made:
    """Of each repeat, then averaged; of the average itself; and of the average as our default brings it together."""
    each = _tuned(given).of_repeats(given.repeats, mask=given.mask, reference=given.clean)
    of_average = _tuned(given).of_repeats([road.average(given.repeats)], mask=given.mask, reference=given.clean)
    images = {"supervised-each": each.average.image, "supervised-average": of_average.average.image}
    return Made({**images, "supervised-ours": _bound(given)})


def _bound(given: Given) -> Tensor:
    """What our default would be if it were taught the clean images, for longer and on every block."""
    config = ours(given.lengths)
    reading, course, met, weight = _met(given, config)
    tuning = dataclasses.replace(config.tuning, epochs=LONGER * config.tuning.epochs, validation=0.0)
    cases = reading.cases(met.average, met.scale, given.clean, weight)
    tuned = fine_tuned(reading.net, cases, tuning, seed=given.seed, device=given.device, bf16=course.bf16)
    many = dataclasses.replace(tuning, views=config.known.views)
    how = {"device": given.device, "bf16": course.bf16}
    average = reading.denoised(tuned.net, met.average, met.scale, many, **how).clamp_min(0)
    return known_noise.filtered(average, met, course)


def _met(given: Given, config: Noise2AverageConfig) -> tuple[Told, Course, known_noise.Meeting, Tensor]:
    """The repeats where they meet, for our default."""
    reading, course, weight = Told(_prior(given)), _course(given, config), given.mask.float()
    repeats, spacing = _plain(given.repeats), given.repeats[0].spacing
    return reading, course, known_noise.meeting(reading, repeats, weight, course, spacing=spacing, rician=True), weight


def _published(given: Given) -> Made:
    """The published rounds, whether a round is better or not."""
    config = dataclasses.replace(presets.published(), rounds=given.lengths.rounds, tuning=given.lengths.tuning)
    reading, course = Told(_prior(given)), _course(given, config)
    repeats, weight = _plain(given.repeats), given.mask.float()
    scales = [scale_of(repeat.values, weight) for repeat in repeats]
    states: list[State] = []
    for number in range(1, config.rounds + 1):
        before = states[-1] if states else None
        states.append(published.one_round(reading, repeats, scales, weight, course, number, before))
    return _rounds("published", states, first=1)


def _ours(given: Given) -> Made:
    """The default's rounds, whether a round is better or not; round 0 is the network as it is."""
    config = ours(given.lengths)
    reading, course, met, weight = _met(given, config)
    states = [known_noise.one_round(reading, met, weight, course, number) for number in range(config.rounds + 1)]
    return _rounds("ours", states, first=0)


def ours(lengths: Lengths) -> Noise2AverageConfig:
    """Our default's settings."""
    config = presets.default()
    return dataclasses.replace(config, rounds=lengths.rounds, tuning=lengths.ours or config.tuning)


def _course(given: Given, config: Noise2AverageConfig) -> Course:
    return Course(config, given.seed, given.device, keeping.made_for_bf16(given.device))


def _plain(images: Sequence[SnrImage]) -> list[Repeat]:
    return [Repeat(image.image.float(), image.noise_sd.float()) for image in images]


def _rounds(name: str, states: Sequence[State], *, first: int) -> Made:
    images = {f"{name}-{number}": state.average for number, state in enumerate(states, first)}
    return Made(images, tuple(state.rounds[-1] for state in states))
