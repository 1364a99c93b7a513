"""A trained network as a `Denoiser`: any image, whole or tiled, in bounded memory."""

import dataclasses
import functools
import itertools
import math
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from clearmr.axes import Net5D, NetOut
from clearmr.denoiser import Progress
from clearmr.errors import InputError
from clearmr.evaluate import presence, ranges
from clearmr.methods import keeping
from clearmr.methods.snraware import layout, pairs, refining, tiles
from clearmr.methods.snraware.config import NetConfig
from clearmr.scan import SnrImage

# bf16 differs from float32 by 1.8e-4 of the SNR, in units of the noise SD: under 1 % of it up to this SNR.
BF16_SNR = 100.0
SMALLER = "give less with --memory, so that smaller tiles are used, or --batch 1"
# Measured: Python, PyTorch and the readers; then, per voxel of the whole image and of a series in work (of complex
# values so much more), the arrays beside the network's own.
PROCESS_BYTES, IMAGE_BYTES, SERIES_BYTES, COMPLEX_BYTES = 0.45e9, 24.0, 60.0, 24.0


@dataclass(frozen=True)
class SnrAware(keeping.Options):
    """A trained network as a `Denoiser`. Complex images keep their phase; magnitude images stay magnitude.

    refine: rounds of the collaborative filter that follows (`refining.py`); None: all that are planned. along:
    what the network's T axis is (`layout.resolve`).
    """

    WAYS = layout.ALONG

    net: nn.Module
    name: str
    card: dict[str, Any]
    refine: int | None = None

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
        along = layout.resolve(self.along, image.image.shape, image.spacing)
        clean, figures = self._volume(image) if along == "volume" else _Work(self, image, along).run()
        noise_sd = image.noise_sd.float().expand(image.image.shape)
        parts = (layout.to_series(values, along) for values in (clean, image.image, noise_sd))
        shares = []
        for out, noisy, sd in zip(*parts, strict=True):
            shares.append(presence.share_present(noisy, sd))
            strength = shares[-1] * self.strength if bool((sd > 0).any()) else 0.0
            torch.lerp(noisy, out, strength, out=out)
        return clean, shares, figures

    def _volume(self, image: SnrImage) -> tuple[Tensor, dict[str, Any]]:
        """The mean of what the network makes of a volume along each of its axes in turn, filtered."""
        plan = refining.plan_for("volume", image.image.shape[1])[: self.refine]
        n_parts = len(layout.TURNS) + bool(plan)
        whole = torch.zeros(())
        figures: dict[str, Any] = {}
        for index, (there, back) in enumerate(layout.TURNS):
            progress = functools.partial(_part_of, self.progress, index, n_parts)
            one = dataclasses.replace(self, refine=0, progress=progress)
            out, told = _Work(one, _turned(image, there), "volume").run()
            whole = out if index == 0 else whole.add_(out.permute(back))
            figures = figures or told
        whole.div_(len(layout.TURNS))
        shape = image.image.shape
        done, total = itertools.count(1), shape[0] * refining.ticks(shape[1:], plan)
        noise_sd = image.noise_sd.float().expand(shape)
        for out, noisy, sd in zip(whole, image.image, noise_sd, strict=True):
            tick = lambda: _part_of(self.progress, n_parts - 1, n_parts, next(done), total)  # noqa: E731
            out.copy_(refining.refined(noisy, out, sd, plan, tick=tick))
        return whole, figures | {"refined": len(plan)}

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

    def channels(self, series: Tensor, noise_sd: Tensor, gmap: Tensor, unit: Tensor) -> Net5D:
        """(B, T, H, W) and its maps in SNR units, as the network was trained: (B, C, T, H, W), C = 1, 2 or 3."""
        maps = gmap if self.card.get("told") == "gmap" else noise_sd / unit
        parts = zip(series / unit, maps, strict=True)
        return torch.stack([pairs.to_channels(part, told, net=self.config).float() for part, told in parts])

    def run(self, channels: Net5D, *, bf16: bool) -> NetOut:
        """The network on one tile, on its device; the result in float32 on the CPU."""
        kind = torch.device(self.device).type
        with (
            keeping.out_of_memory_said(SMALLER),
            torch.inference_mode(),
            torch.autocast(kind, torch.bfloat16, enabled=bf16),
        ):
            given = channels.to(self.device).contiguous(memory_format=torch.channels_last_3d)
            return self.net(given).float().cpu()


def _part_of(progress: Progress, index: int, parts: int, done: int, total: int, **info: Any) -> None:
    """Progress of one of several equal parts as progress of the whole."""
    progress(index * total + done, parts * total, **info)


def _turned(image: SnrImage, axes: tuple[int, ...]) -> SnrImage:
    """The image and its maps with their axes in another order."""
    image_, gmap, noise_sd = (values.permute(axes) for values in (image.image, image.gmap, image.noise_sd))
    return dataclasses.replace(image, image=image_, gmap=gmap, noise_sd=noise_sd)


class _Work:
    """One image on its way through: its series, the tiles they are cut into, the precision, and the count of tiles."""

    def __init__(self, denoiser: SnrAware, image: SnrImage, along: layout.Along) -> None:
        self.denoiser, self.image, self.along, shape = denoiser, image, along, image.image.shape
        self.series = layout.to_series(image.image, self.along)
        maps = (image.noise_sd.float().expand(shape), image.gmap.float().expand(shape))
        self.noise_sd, self.gmap = (layout.to_series(values, self.along) for values in maps)
        self.bf16 = bf16_pays(denoiser, image)
        self.rounds = refining.plan_for(along, self.series.shape[1])[: denoiser.refine]
        self._plan()
        self.done = 0

    def _plan(self) -> None:
        """As many series at once as asked for and as fit whole; tiles where not even one does."""
        asked, n = tiles.needs(self.denoiser.net), len(self.series)
        frames, height, width = self.series.shape[1:]
        least = asked.tile or (1, 1)
        self.shape = (frames, max(height, least[0]), max(width, least[1]))
        voxels = math.prod(self.shape)
        beside, each = 0.0, SERIES_BYTES + COMPLEX_BYTES * self.image.is_complex
        if self.denoiser.device == "cpu":
            beside = PROCESS_BYTES + IMAGE_BYTES * self.image.image.numel() + each * voxels
        left = self.denoiser.memory_bytes - beside
        fit = left // (voxels * (asked.bytes_per_voxel + each))
        self.batch = int(max(1, min(self.denoiser.batch, n, fit)))
        self.plan = tiles.plan(self.shape, asked, left / self.batch)
        filtering = refining.ticks(self.shape, self.rounds)
        self.total = -(-n // self.batch) * len(self.plan.boxes) + n * filtering

    def _figures(self) -> dict[str, Any]:
        precision = "bf16" if self.bf16 else "float32"
        figures: dict[str, Any] = {
            "precision": precision,
            "along": self.along,
            "series": len(self.series),
            "batch": self.batch,
            "tiles": len(self.plan.boxes),  # of each series
            "refined": len(self.rounds),
        }
        return figures | ({"tile": list(self.plan.tile)} if len(self.plan.boxes) > 1 else {})

    def run(self) -> tuple[Tensor, dict[str, Any]]:
        """The image as it is without its noise, and what is told of how it was made."""
        out = torch.empty(self.image.image.shape, dtype=self.image.image.dtype)
        into = layout.to_series(out, self.along)
        for start in range(0, len(self.series), self.batch):
            chunk = slice(start, start + self.batch)
            into[chunk] = self._refined(chunk, self._clean(chunk))
        return out, self._figures()

    def _clean(self, chunk: slice) -> Tensor:
        """What the network makes of some series, in the image's unit."""
        parts = (self.series[chunk], self.noise_sd[chunk], self.gmap[chunk])
        unit = torch.stack([_unit(sd, g) for sd, g in zip(*parts[1:], strict=True)])[:, None, None, None]
        height, width = parts[0].shape[-2:]

        def cut(window: tuple[slice, slice, slice]) -> Tensor:
            series, noise_sd, gmap = (_window(part, window) for part in parts)
            return self.denoiser.channels(series, noise_sd, gmap, unit)

        out = tiles.apply(self._tile, cut, self.plan, report=self._report)[..., :height, :width]
        if self.series.is_complex():
            return torch.complex(out[:, 0], out[:, 1]) * unit
        return (out[:, 0] * unit).clamp_(min=0)

    def _refined(self, chunk: slice, clean: Tensor) -> Tensor:
        parts = zip(self.series[chunk], clean, self.noise_sd[chunk], strict=True)
        return torch.stack([refining.refined(*part, self.rounds, tick=self._report) for part in parts])

    def _tile(self, channels: Tensor) -> Tensor:
        return self.denoiser.run(channels, bf16=self.bf16)

    def _report(self) -> None:
        self.done += 1
        self.denoiser.progress(self.done, self.total)


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
