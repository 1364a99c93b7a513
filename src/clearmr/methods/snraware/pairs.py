"""Input and target of SNRAware: S_n = (S + n g) / sqrt(sigma^2 + 1), the target S over the same root.

`Samples` makes them on the fly. What it makes for (seed, step, index) depends on nothing else: not on how many
workers or ranks share the work, nor on what was made before.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from clearmr.methods.snraware import lesions, noise
from clearmr.methods.snraware.config import NetConfig, NoiseConfig, SnrAwareConfig
from clearmr.methods.snraware.corpus import Maps
from clearmr.methods.snraware.draws import chance, pick
from clearmr.methods.snraware.patches import PatchSampler
from clearmr.train.stream import Batch, seed_of

FRAME_LENGTHS = (96, 321)  # of the frames that patches without a frame of their own are taken to be cut from


@dataclass(frozen=True)
class Pair:
    """noisy and target (frame, y, x) complex64 in SNR units; noise_sd: the exact SD per channel of noisy; gmap: g."""

    noisy: Complex[Tensor, "frame y x"]
    target: Complex[Tensor, "frame y x"]
    noise_sd: Float[Tensor, "#frame y x"]
    gmap: Float[Tensor, "#frame y x"]


def make_pair(
    clean: Complex[Tensor, "frame y x"],
    gmap: Float[Tensor, "*#frame ny nx"],
    draw: noise.NoiseDraw,
    *,
    native_sd: float | Float[Tensor, "#frame #y #x"] = 0.0,
    order: str = "filter-then-g",
    lengths: tuple[int, int] | None = None,
    start: tuple[int, int] = (0, 0),
) -> Pair:
    """Apply a draw: S_n = (S + sigma n g) / sqrt(sigma^2 + 1), Y = S / sqrt(sigma^2 + 1).

    `native_sd` is the noise SD already in `clean` (g for a real scan in SNR units, 0 for a simulated one). noise_sd
    is sqrt((native^2 + sigma^2 g^2) / (1 + sigma^2)): for small sigma that is not g, so it is what the net is told.
    A noise-free pair is scaled and told like a noisy one: noise may be expected where there is none.
    Order "filter-then-g": gmap is of the patch, which was cut from frames of `lengths`; the SD is sigma g exactly.
    Order "g-then-filter" (the paper's text): gmap is of the whole frame, in which the patch begins at `start`; the
    filters mix the g of neighbours, and noise_sd says to what.
    """
    g = gmap if gmap.ndim == 3 else gmap[None]
    scale = (draw.sigma**2 + 1) ** -0.5
    if order == "g-then-filter":
        values, sd = noise.shaped_then_filtered(clean.shape, g, draw, start=start)
        g = g[:, start[0] : start[0] + clean.shape[-2], start[1] : start[1] + clean.shape[-1]]
        added = values * (draw.sigma * scale)
    else:
        values, sd = noise.filtered_noise(clean.shape, draw, lengths=lengths, device=clean.device), g
        added = values * (draw.sigma * scale * g)
    target = clean * scale
    told = ((draw.sigma * sd) ** 2 + native_sd**2).sqrt() * scale
    return Pair(target if draw.noise_free else target + added, target, told, g)


def to_channels(series: Tensor, noise_map: Tensor, *, net: NetConfig | None = None) -> Float[Tensor, "C T H W"]:
    """What a network is given of (T, H, W) complex or magnitude, and its noise map (broadcastable), by `net`.

    Complex network: real, imaginary (zero of a magnitude series); magnitude network: the magnitude. Then the map of
    the noise, for a network that takes one: 3, 2 (complex), 2 (magnitude), or 1 channels.
    """
    net = net or NetConfig()
    channels = image_channels(series, net)
    return torch.cat([channels, noise_map.expand(series.shape)[None]]) if net.noise_map else channels


def image_channels(series: Tensor, net: NetConfig) -> Float[Tensor, "C T H W"]:
    """The series alone, as a network takes and gives it: real and imaginary parts, or the magnitude."""
    if net.image == "magnitude":
        return (series.abs() if series.is_complex() else series)[None]
    if series.is_complex():
        return torch.view_as_real(series).movedim(-1, 0)
    return torch.stack([series, torch.zeros_like(series)])


class Samples:
    """`samples(step, index)`: item `index` of the global batch of `step`, as (n, C, T, H, W), (n, C_out, T, H, W).

    n is 1, or T where the step is one of single frames (T = 1 then): one draw for all items of a step, so that they
    stack. Items are made on `device`; the clean patches are read and warped on the CPU.
    """

    def __init__(
        self,
        sampler: PatchSampler,
        gmaps: Float[Tensor, "n y x"],
        config: SnrAwareConfig,
        seed: int,
        *,
        device: str = "cpu",
    ) -> None:
        self.sampler, self.gmaps, self.config, self.seed, self.device = sampler, gmaps, config, seed, device
        self.batch = config.data.batch

    def whole(self, step: int) -> Batch:
        """The first `batch` items of a step as one batch."""
        inputs, targets = zip(*(self(step, index) for index in range(self.batch)), strict=True)
        return torch.cat(inputs), torch.cat(targets)

    def __call__(self, step: int, index: int) -> Batch:
        frames, patches = self.config.data.patch[0], 1
        of_step = torch.Generator().manual_seed(seed_of(self.seed, step))
        if chance(self.config.data.single_frame_probability, of_step):
            frames, patches = 1, frames
        made = [self.pair(frames, (step, index, number)) for number in range(patches)]
        inputs, targets = zip(*made, strict=True)
        return torch.stack(inputs), torch.stack(targets)

    def pair(self, n_frames: int, place: tuple[int, int, int]) -> Batch:
        """One input (C, T, H, W) and its target; `place` tells it from all others."""
        config, net = self.config, self.config.net
        # The white noise has a seed of its own: torch looks at 32 bits of a seed, too few for one alone.
        generator = torch.Generator().manual_seed(seed_of(self.seed, *place))
        patch = self.sampler.draw(n_frames, generator)
        shape = (patch.clean.shape[-2], patch.clean.shape[-1])
        maps = patch.maps or SimulatedMaps.drawn(self.gmaps, shape, config.noise, generator)
        draw = noise.draw_noise(config.noise, maps.count, generator, seed=seed_of(self.seed, *place, 1))
        gmap = _read(maps, draw.gmap, shape, config.noise)
        clean = patch.clean
        if not draw.noise_free and chance(config.data.lesions, generator):
            (y, x), (height, width) = maps.start, shape
            own = gmap if gmap.shape[-2:] == shape else gmap[:, y : y + height, x : x + width]
            clean = lesions.inserted(clean, draw.sigma * own, generator)
        pair = make_pair(
            clean.to(self.device),
            gmap.to(self.device),
            draw,
            native_sd=patch.native_sd.to(self.device),
            order=config.noise.order,
            lengths=maps.frame,
            start=maps.start,
        )
        noisy, target = pair.noisy, pair.target
        if net.image == "magnitude" and chance(config.data.signed, generator):
            noisy, target = target.abs() + (noisy - target).real, target.abs()
        elif net.image == "magnitude" or chance(config.data.magnitude_probability, generator):
            noisy, target = _magnitude(noisy, target, zeroed=chance(config.data.zeroed_background, generator))
        told = pair.gmap if config.noise.told == "gmap" else pair.noise_sd
        return to_channels(noisy, told, net=net), image_channels(target, net)


def _magnitude(noisy: Tensor, target: Tensor, *, zeroed: bool) -> tuple[Tensor, Tensor]:
    """Magnitudes of both; where `zeroed`, the background is set to zero, as vendors do."""
    noisy, target = noisy.abs(), target.abs()
    if zeroed:
        inside = target > 0.05 * target.max()
        noisy, target = noisy * inside, target * inside
    return noisy, target


def _read(maps: Maps, index: int, shape: tuple[int, int], config: NoiseConfig) -> Tensor:
    """The drawn g map: of the patch, or of the whole frame where filters come after g."""
    whole = config.order == "g-then-filter"
    if index == noise.NO_GMAP:
        return torch.ones((1, *(maps.frame if whole else shape)))
    return maps.read(index, whole=whole)


@dataclass(frozen=True)
class SimulatedMaps:
    """g maps of simulated arrays (n, y, x), for a patch that has no frame of its own: a random window, flip, turn."""

    maps: Float[Tensor, "n y x"]
    frame: tuple[int, int]
    start: tuple[int, int]
    shape: tuple[int, int]
    flips: tuple[int, ...]
    turned: bool

    @classmethod
    def drawn(
        cls, maps: Tensor, shape: tuple[int, int], config: NoiseConfig, generator: torch.Generator
    ) -> "SimulatedMaps":
        """Draw the window, and the size of the frame: the maps' own where g comes before the filters."""

        n_y, n_x = maps.shape[-2:]
        start = (pick(n_y - shape[0] + 1, generator), pick(n_x - shape[1] + 1, generator))
        flips = tuple(d for d in (-2, -1) if chance(0.5, generator))
        turned = chance(0.5, generator) and n_y == n_x
        low, high = FRAME_LENGTHS
        lengths = (max(shape[0], low + pick(high - low, generator)), max(shape[1], low + pick(high - low, generator)))
        frame = (n_y, n_x) if config.order == "g-then-filter" else lengths
        return cls(maps, frame, start, shape, flips, turned)

    @property
    def count(self) -> int:
        return len(self.maps)

    def read(self, index: int, *, whole: bool) -> Float[Tensor, "1 y x"]:
        """The map, flipped and turned as a whole, then cut."""
        found = self.maps[index].flip(self.flips) if self.flips else self.maps[index]
        found = found.T if self.turned else found
        (y, x), (height, width) = self.start, self.shape
        return found[None] if whole else found[None, y : y + height, x : x + width]
