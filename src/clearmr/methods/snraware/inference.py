"""A trained network as a `Denoiser`: any image, whole or tiled, in bounded memory."""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from clearmr.axes import Net5D, NetOut
from clearmr.errors import InputError
from clearmr.evaluate import presence, ranges
from clearmr.methods import keeping
from clearmr.methods.snraware import layout, pairs, refining, tiles
from clearmr.methods.snraware.config import NetConfig
from clearmr.scan import SnrImage

# bf16 differs from float32 by 1.8e-4 of the SNR, in units of the noise SD: under 1 % of it up to this SNR.
BF16_SNR = 100.0
SMALLER = "give less with --memory, so that smaller tiles are used, or --batch 1"
# Measured: Python, PyTorch and the readers; arrays of the whole image; and, per voxel of a series in work, what is held
# beside the network's own.
PROCESS_BYTES, IMAGE_ARRAYS, SERIES_BYTES = 0.45e9, 6.0, 60.0


@dataclass(frozen=True)
class SnrAware(keeping.Options):
    """A trained network as a `Denoiser`. Complex images keep their phase; magnitude images stay magnitude.

    refine: rounds of the collaborative filter that follows (`refining.py`); None: all that are planned. along:
    what the network's T axis is (`layout.resolve`). second: a network that mends what the filter made, given the noisy
    image, what the first network made, and that (`NetConfig.pilots`); then filter and second network go by turns.
    """

    WAYS = layout.ALONG

    net: nn.Module
    name: str
    card: dict[str, Any]
    refine: int | None = None
    second: nn.Module | None = None

    def __call__(self, image: SnrImage) -> SnrImage:
        """Denoise series by series, whole or tile by tile. Raises InputError where the model does not fit the image.

        Where an image is far smoother than its noise_sd says, only that share of the noise is removed, with a warning.
        """
        began = time.monotonic()
        self._refuse_another_kind(image)
        keeping.refuse_unfit(image)
        if self.strength == 0:
            return keeping.with_step(image, self._step(), [])
        out, shares, figures = self._run(image)
        step = self._step() | figures | {"seconds": round(time.monotonic() - began, 2)}
        warnings = ranges.outside(image, {"name": self.name, **self.card})
        if min(shares) < 1:
            step["share removed"] = min(shares)
            warnings.append(keeping.absent(min(shares)))
        return keeping.with_step(dataclasses.replace(image, image=out), step, warnings)

    def _run(self, image: SnrImage) -> tuple[Tensor, list[float], dict[str, Any]]:
        """The image as far denoised as is asked for, of each series the share of its noise that is there, and figures.

        A slice without noise stays as it is.
        """
        work = _Work(self, image)
        clean = work.run()
        shares = []
        for out, noisy, sd in zip(*work.by_series(clean, image.image, work.noise_sd), strict=True):
            shares.append(presence.share_present(noisy, sd))
            strength = shares[-1] * self.strength if bool((sd > 0).any()) else 0.0
            torch.lerp(noisy, out, strength, out=out)
        return clean, shares, work.figures()

    def _refuse_another_kind(self, image: SnrImage) -> None:
        if image.is_complex and self.config.image == "magnitude":
            todo = "name a model for complex images (see clearmr models list), or give the magnitude"
            raise InputError(f"a magnitude image for the model {self.name}", "a complex image", todo)

    @property
    def config(self) -> NetConfig:
        """The network, as its card says."""
        return NetConfig(**self.card.get("net", {}))

    def _step(self) -> dict[str, Any]:
        step = {"name": "denoise", "method": "snraware", "model": self.name, "sha256": self.card.get("sha256")}
        return step | {"strength": self.strength, "device": self.device}

    def channels(
        self, series: Tensor, noise_sd: Tensor, gmap: Tensor, unit: Tensor, pilots: Sequence[Tensor] = ()
    ) -> Net5D:
        """(B, T, H, W) and its maps in SNR units, as the network was trained: (B, C, T, H, W), C = 1, 2 or 3.

        The pilots' channels follow.
        """
        maps = gmap if self.card.get("told") == "gmap" else noise_sd / unit
        made = [pairs.to_channels(part, told, net=self.config) for part, told in zip(series / unit, maps, strict=True)]
        for pilot in pilots:
            parts = [pairs.image_channels(part, self.config) for part in pilot / unit]
            made = [torch.cat(both) for both in zip(made, parts, strict=True)]
        return torch.stack(made).float()

    def run(self, channels: Net5D, *, bf16: bool, net: nn.Module | None = None) -> NetOut:
        """A network, if not told the first, on one tile, on its device; the result in float32 on the CPU."""
        kind = torch.device(self.device).type
        with (
            keeping.out_of_memory_said(SMALLER),
            torch.inference_mode(),
            torch.autocast(kind, torch.bfloat16, enabled=bf16),
        ):
            given = channels.to(self.device).contiguous(memory_format=torch.channels_last_3d)
            return (net or self.net)(given).float().cpu()


class _Work:
    """One image on its way: a network, the filter's rounds, and the second network, along what is one series."""

    def __init__(self, denoiser: SnrAware, image: SnrImage) -> None:
        self.denoiser, self.image = denoiser, image
        shape = image.image.shape
        self.along = layout.resolve(denoiser.along, shape, image.spacing)
        self.noise_sd = image.noise_sd.float().expand(shape)
        (series,) = self.by_series(image.image)
        second = denoiser.second if refining.mends(self.along, series.shape[1]) else None
        turns = layout.TURNS if self.along == "volume" else layout.TURNS[:1]
        self.first, self.second = (
            [_Pass(denoiser, net, image, self.along, turn) for turn in turns] if net is not None else []
            for net in (denoiser.net, second)
        )
        self.done = 0
        shape = series.shape[1:]
        plan = refining.plan_for(self.along, shape[0], mended=bool(self.second))
        self.stages = refining.first_of(plan, denoiser.refine)
        filtering = sum(len(series) * refining.ticks(shape, rounds) for rounds in self.stages)
        mending = len(self.stages) * sum(one.ticks for one in self.second)
        self.total = sum(one.ticks for one in self.first) + filtering + mending

    def by_series(self, *images: Tensor) -> tuple[Tensor, ...]:
        """Views of images (frame, z, y, x) as series (n, T, y, x)."""
        return tuple(layout.to_series(image, self.along) for image in images)

    def run(self) -> Tensor:
        """The image as it is without its noise."""
        clean = network = self._through(self.first)
        for number in range(len(self.stages)):
            clean = self._filtered(clean, number)
            if self.second:
                clean = self._through(self.second, network, clean)
        if self.stages:
            for out, noisy, sd in zip(*self.by_series(clean, self.image.image, self.noise_sd), strict=True):
                out.copy_(refining.mean_kept(noisy, out, sd))
        return clean

    def pilots(self) -> list[Tensor]:
        """What a second network is given: what the first makes of the image, and that filtered, stage by stage."""
        network = self._through(self.first)
        made = [network, self._filtered(network, 0)]
        for number in range(1, len(self.stages)):  # there are more with a second network only
            made.append(self._filtered(self._through(self.second, network, made[-1]), number))
        return made

    def _filtered(self, clean: Tensor, number: int) -> Tensor:
        """By the rounds of a stage."""
        out = torch.empty_like(clean)
        share = refining.SHARE if number == 0 else 1.0
        given = self.by_series(out, self.image.image, clean, self.noise_sd)
        for into, noisy, denoised, sd in zip(*given, strict=True):
            into.copy_(refining.filtered(noisy, denoised, sd, self.stages[number], share=share, tick=self._tick))
        return out

    def figures(self) -> dict[str, Any]:
        """What is told of how it was made."""
        first = self.first[0]
        figures: dict[str, Any] = {
            "precision": "bf16" if first.bf16 else "float32",
            "along": self.along,
            "series": len(first.series),
            "batch": first.batch,
            "tiles": len(first.plan.boxes),  # of each series
            "refined": sum(map(len, self.stages)),
            "mended": len(self.stages) * bool(self.second),
        }
        return figures | ({"tile": list(first.plan.tile)} if len(first.plan.boxes) > 1 else {})

    def _through(self, passes: Sequence["_Pass"], *pilots: Tensor) -> Tensor:
        """The mean of what a network makes of the image along each axis that is T in turn."""
        whole = passes[0].run(*pilots, tick=self._tick)
        for other in passes[1:]:
            whole.add_(other.run(*pilots, tick=self._tick))
        return whole.div_(len(passes))

    def _tick(self) -> None:
        self.done += 1
        self.denoiser.progress(self.done, self.total)


class _Pass:
    """A network and an image, its axes turned: its series, the tiles they are cut into, and the precision."""

    def __init__(
        self, denoiser: SnrAware, net: nn.Module, image: SnrImage, along: layout.Along, turn: layout.Axes
    ) -> None:
        self.denoiser, self.net, self.along, self.turn = denoiser, net, along, turn
        self.image_shape = image.image.shape
        maps = (values.float().expand(self.image_shape) for values in (image.noise_sd, image.gmap))
        self.series, self.noise_sd, self.gmap = (self._series(values) for values in (image.image, *maps))
        self.bf16 = bf16_pays(denoiser, image)
        self._plan()

    def _series(self, values: Tensor) -> Tensor:
        return layout.to_series(values.permute(self.turn), self.along)

    def _plan(self) -> None:
        """As many series at once as asked for and as fit whole; tiles where not even one does."""
        asked, n = tiles.needs(self.net), len(self.series)
        frames, height, width = self.series.shape[1:]
        least = asked.tile or (1, 1)
        self.shape = (frames, max(height, least[0]), max(width, least[1]))
        voxels = math.prod(self.shape)
        beside, of_image = 0.0, IMAGE_ARRAYS * self.series.element_size() * self.series.numel()
        if self.denoiser.device == "cpu":
            beside = PROCESS_BYTES + of_image + SERIES_BYTES * voxels
        left = self.denoiser.memory_bytes - beside
        fit = left // (voxels * (asked.bytes_per_voxel + SERIES_BYTES))
        self.batch = int(max(1, min(self.denoiser.batch, n, fit)))
        self.plan = tiles.plan(self.shape, asked, left / self.batch)
        self.ticks = -(-n // self.batch) * len(self.plan.boxes)

    def run(self, *pilots: Tensor, tick: Callable[[], None]) -> Tensor:
        """What the network makes of the image, (frame, z, y, x) again. `tick` is called after each tile."""
        guides = [self._series(pilot) for pilot in pilots]
        out = torch.empty(self.image_shape, dtype=self.series.dtype)
        into = self._series(out)
        for start in range(0, len(self.series), self.batch):
            chunk = slice(start, start + self.batch)
            into[chunk] = self._clean(chunk, [guide[chunk] for guide in guides], tick)
        return out

    def _clean(self, chunk: slice, pilots: Sequence[Tensor], tick: Callable[[], None]) -> Tensor:
        """What the network makes of some series, in the image's unit."""
        parts = (self.series[chunk], self.noise_sd[chunk], self.gmap[chunk])
        unit = torch.stack([_unit(sd, g) for sd, g in zip(*parts[1:], strict=True)])[:, None, None, None]
        height, width = parts[0].shape[-2:]

        def cut(window: tuple[slice, slice, slice]) -> Tensor:
            series, noise_sd, gmap, *guides = (_window(part, window) for part in (*parts, *pilots))
            return self.denoiser.channels(series, noise_sd, gmap, unit, guides)

        def run(channels: Tensor) -> Tensor:
            return self.denoiser.run(channels, bf16=self.bf16, net=self.net)

        out = tiles.apply(run, cut, self.plan, report=tick)[..., :height, :width]
        if self.series.is_complex():
            return torch.complex(out[:, 0], out[:, 1]) * unit
        return (out[:, 0] * unit).clamp_(min=0)


def pilots(denoiser: SnrAware, image: SnrImage, along: layout.Along) -> list[Tensor]:
    """What a second network is given beside the image, which is one series: by the first network, and filtered.

    Filtered again after the second, where there is one. All as series (T, y, x).
    """
    work = _Work(dataclasses.replace(denoiser, along=along), image)
    return [work.by_series(found)[0][0] for found in work.pilots()]


def bf16_pays(denoiser: SnrAware, image: SnrImage) -> bool:
    """Whether to compute in bf16: as asked for, or where it is twice as fast and differs by under 1 % of noise_sd."""
    if denoiser.precision != "auto":
        return denoiser.precision == "bf16"
    return keeping.made_for_bf16(denoiser.device) and ranges.brightest_snr(image) <= BF16_SNR


def _unit(noise_sd: Tensor, gmap: Tensor) -> Tensor:
    """The scale that brings a series to SNR units, where noise_sd = g: their median ratio where there is noise."""
    noise_sd, gmap = _distinct(noise_sd), _distinct(gmap)
    ratio = torch.where(gmap > 0, noise_sd / gmap, noise_sd)
    positive = ratio[ratio > 0]
    return positive.median() if len(positive) else torch.ones(())


def _distinct(values: Tensor) -> Tensor:
    """Expanded axes, along which nothing varies, by one of their values."""
    return values[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in values.stride())]


def _window(series: Tensor, window: tuple[slice, slice, slice]) -> Tensor:
    """A tile of (B, T, H, W); what lies beyond an image smaller than it repeats the edge."""
    part = series[(slice(None), *window)]
    (height, width), (top, left) = part.shape[-2:], ((s.stop - s.start) for s in window[1:])
    if (height, width) == (top, left):
        return part
    rows, columns = (torch.arange(n).clamp(max=m - 1) for n, m in ((top, height), (left, width)))
    return part[..., rows[:, None], columns]
