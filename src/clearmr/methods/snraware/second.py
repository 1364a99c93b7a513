"""What a second network learns from: images that the first one and the filter have been at, with what is true.

Filtering takes seconds where a pair takes a millisecond, so cases are larger than patches, made once, kept in the run's
folder, and cut, turned and mirrored anew at each step.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clearmr.methods.snraware import cards, leaves, pairs, patches, scanned, store, volumes
from clearmr.methods.snraware.config import DataConfig, SnrAwareConfig
from clearmr.methods.snraware.draws import chance, pick, uniform
from clearmr.methods.snraware.inference import SnrAware, pilots
from clearmr.methods.snraware.layout import Along
from clearmr.methods.snraware.model import build, channels_out
from clearmr.scan import SnrImage
from clearmr.train import checkpoint
from clearmr.train.stream import Batch, seed_of

ALMOST = 0.08  # of the noise SD; errors below it are not worth more
SHORTEST = 7  # frames: for two to six oneDNN's bf16 gradients of these convolutions are NaN
TURNS = ((0, 1, 2), (1, 0, 2), (2, 0, 1))  # of a volume's axes

Kind = Literal["volume", "scan", "series"]


@dataclasses.dataclass(frozen=True)
class Case:
    """Channels (C, T, H, W) of an image: noisy, its noise SD, by the first network, true.

    filtered (n, C, T, H, W): what the filter makes of the first network's image and, if there is a second network
    already, of what that makes.
    """

    noisy: Tensor
    noise_sd: Tensor
    network: Tensor
    filtered: Tensor
    target: Tensor


class Cases:
    """Case k of a seed, made when it is first asked for."""

    def __init__(
        self,
        first: SnrAware,
        data: Sequence[SnrImage | store.StoredSeries],
        gmaps: Float[Tensor, "n y x"],
        config: SnrAwareConfig,
        seed: int,
        folder: Path,
    ) -> None:
        self.first, self.gmaps, self.config, self.seed, self.folder = first, gmaps, config, seed, folder
        generator = torch.Generator().manual_seed(seed)
        self.data = [series for case in data for series in store.series_of(case)]
        self.given = [v for case in data if isinstance(case, SnrImage) for v in volumes.clean_volumes(case)]
        self.leaves = leaves.synthetic_series(generator) if config.data.synthetic or not self.data else []
        self.leafy = volumes.leaf_volumes(generator) if config.data.synthetic else []
        folder.mkdir(parents=True, exist_ok=True)

    def __getitem__(self, k: int) -> Case:
        path = self.folder / f"{k:05d}.safetensors"
        if not path.is_file():
            checkpoint.save_tensors(dataclasses.asdict(self._made(k)), path)
        return Case(**checkpoint.load_tensors(path))

    def frames(self, k: int) -> int:
        """Frames or slices of case k."""
        return self._drawn(k)[1]

    def _drawn(self, k: int) -> tuple[Kind, int]:
        """What case k is, and of how many frames."""
        generator, settings = torch.Generator().manual_seed(seed_of(self.seed, k)), self.config.second
        left = uniform(generator)
        if left < settings.volumes:
            return "volume", settings.side
        kind: Kind = "scan" if left < settings.volumes + settings.scans else "series"
        return kind, settings.frames[pick(len(settings.frames), generator)]

    def _made(self, k: int) -> Case:
        kind, n_frames = self._drawn(k)
        given, target = (self._scanned if kind == "scan" else self._noised)(k, kind, n_frames)
        noisy, noise_sd = given[: len(target)], given[len(target) :]
        along: Along = "volume" if kind == "volume" else "time"
        network, *filtered = (
            pairs.image_channels(part, self.first.config)
            for part in pilots(self.first, _image(noisy, noise_sd, along), along)
        )
        return Case(noisy, noise_sd, network, torch.stack(filtered), target)

    def _noised(self, k: int, kind: Kind, n_frames: int) -> Batch:
        """Input and target as a first network learns from."""
        config = dataclasses.replace(self.config, data=self._data_of(kind, n_frames))
        return pairs.Samples(self._sampler(config.data), self.gmaps, config, self.seed).pair(n_frames, (k, 0, 0))

    def _scanned(self, k: int, kind: Kind, n_frames: int) -> Batch:
        """The same of a simulated scan."""
        generator = torch.Generator().manual_seed(seed_of(self.seed, k, 0, 0))
        sampler = self._sampler(self._data_of(kind, n_frames))
        clean = torch.zeros(1)
        while not bool(clean.any()):
            clean = sampler.draw(n_frames, generator).clean
        noisy, target, noise_sd = scanned.scanned(clean, generator, lesion=self.config.data.lesions)
        net = self.config.net
        return pairs.to_channels(noisy, noise_sd, net=net), pairs.image_channels(target, net)

    def _sampler(self, data: DataConfig) -> patches.PatchSampler:
        return patches.PatchSampler(self.data, self.leaves, data, volumes=self.given, leaves=self.leafy)

    def _data_of(self, kind: Kind, n_frames: int) -> DataConfig:
        """How patches are cut for a kind of case: volumes out of volumes."""
        settings, data = self.config.second, self.config.data
        if kind != "volume":
            patch = (n_frames, settings.size, settings.size)
            return dataclasses.replace(data, patch=patch, volumes=0.0, signed=settings.signed)
        solid = float(bool(self.given or self.leafy))
        return dataclasses.replace(data, patch=(settings.side, settings.side, settings.side), volumes=solid)


def _image(noisy: Float[Tensor, "C T H W"], noise_sd: Float[Tensor, "1 T H W"], along: Along) -> SnrImage:
    values = torch.complex(noisy[0], noisy[1]) if len(noisy) == 2 else noisy[0]
    place = 1 if along == "time" else 0
    values, sd = values.unsqueeze(place), noise_sd[0].unsqueeze(place)
    return SnrImage(values, sd, torch.ones_like(sd), "given")


class Samples:
    """`samples(step, index)`: a window of a case, in units of its filtered image's error, so that dB count alike.

    As `pairs.Samples` but that the network's first result and the filtered follow in the input; a step has one T.
    """

    def __init__(self, cases: Cases, config: SnrAwareConfig, seed: int, n_cases: int) -> None:
        self.cases, self.config, self.seed = cases, config, seed
        self.batch = config.data.batch
        self.by_frames: dict[int, list[int]] = {}
        for k in range(n_cases):
            self.by_frames.setdefault(min(cases.frames(k), config.data.patch[0]), []).append(k)
        self.lengths = [length for length, held in self.by_frames.items() for _ in held]

    def __call__(self, step: int, index: int) -> Batch:
        frames = self.lengths[pick(len(self.lengths), torch.Generator().manual_seed(seed_of(self.seed, step)))]
        number = max(1, round(self.config.data.patch[0] / frames))
        generator = torch.Generator().manual_seed(seed_of(self.seed, step, index))
        made = [self._window(frames, generator) for _ in range(number)]
        inputs, targets = zip(*made, strict=True)
        return torch.stack(inputs), torch.stack(targets)

    def whole(self, step: int) -> Batch:
        """The first `batch` items of a step as one batch."""
        inputs, targets = zip(*(self(step, index) for index in range(self.batch)), strict=True)
        return torch.cat(inputs), torch.cat(targets)

    def _window(self, frames: int, generator: torch.Generator) -> Batch:
        held = self.by_frames[frames]
        case = self.cases[held[pick(len(held), generator)]]
        filtered = case.filtered[pick(len(case.filtered), generator)]
        parts = list(vars(dataclasses.replace(case, filtered=filtered)).values())
        parts = _turned(parts, (frames, *self.config.data.patch[1:]), generator)
        if frames < SHORTEST:
            at = torch.arange(SHORTEST) % (2 * frames - 2)
            parts = [part[:, torch.minimum(at, 2 * frames - 2 - at)] for part in parts]  # mirrored in time
        if len(parts[0]) == 2:
            parts = _phased(parts, generator)
        noisy, noise_sd, network, filtered, target = parts
        error = (filtered - target).square().sum(0).mean() + (ALMOST * noise_sd.mean()) ** 2
        scale = (len(target) / error.clamp_min(1e-12)).sqrt()  # of each channel
        return torch.cat([noisy, noise_sd, network, filtered]) * scale, target * scale


def _turned(parts: list[Tensor], shape: tuple[int, int, int], generator: torch.Generator) -> list[Tensor]:
    """The same window of each (C, T, H, W), any of a cube's axes as T, mirrored and with H and W exchanged or not."""
    if len(set(parts[0].shape[1:])) == 1:
        z, y, x = TURNS[pick(3, generator)]
        parts = [part.permute(0, 1 + z, 1 + y, 1 + x) for part in parts]
    starts = [pick(n - m + 1, generator) for n, m in zip(parts[0].shape[1:], shape, strict=True)]
    window = (slice(None), *(slice(start, start + m) for start, m in zip(starts, shape, strict=True)))
    flips = [axis for axis in (1, 2, 3) if chance(0.5, generator)]
    parts = [part[window].flip(flips) for part in parts]
    return [part.transpose(2, 3) for part in parts] if chance(0.5, generator) and shape[1] == shape[2] else parts


def _phased(parts: list[Tensor], generator: torch.Generator) -> list[Tensor]:
    """Another phase of all the complex images, and in half of the windows their conjugates."""
    turn = torch.polar(torch.ones(()), torch.tensor(6.2832 * uniform(generator)))
    conjugate = chance(0.5, generator)

    def other(part: Tensor) -> Tensor:
        if len(part) != 2:
            return part
        value = torch.complex(part[0], -part[1] if conjugate else part[1]) * turn
        return torch.view_as_real(value).movedim(-1, 0)

    return [other(part) for part in parts]


def begun(first: SnrAware) -> nn.Module:
    """A second network before its first step: the one that `first` has already; else one that lets the filtered
    image be, with the first one's weights inside.
    """
    net = build(cards.config_of_second(first.config))
    if first.second is not None:
        net.load_state_dict(first.second.state_dict())
        return net.requires_grad_(True)
    weights = {name: value.clone() for name, value in first.net.state_dict().items()}
    known = weights["noise.head.weight"]
    extra = known.new_zeros((len(known), 2 * channels_out(first.config), *known.shape[2:]))
    weights["noise.head.weight"] = torch.cat([known, extra], 1)
    weights["noise.tail.weight"] = torch.zeros_like(weights["noise.tail.weight"])
    net.load_state_dict(weights)
    return net.requires_grad_(True)


def gain(net: nn.Module, batch: Batch) -> float:
    """Mean gain over the filtered images of a batch in dB."""
    inputs, target = batch
    device = next(net.parameters()).device
    with torch.inference_mode():
        out = net(inputs.to(device).contiguous(memory_format=torch.channels_last_3d)).cpu()
    before, after = (
        (image - target).square().mean((1, 2, 3, 4)) + 1e-3 for image in (inputs[:, -target.shape[1] :], out)
    )
    return float((10 * torch.log10(before / after)).mean())
