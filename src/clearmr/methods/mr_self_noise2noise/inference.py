"""A trained 2.5D network as a `Denoiser`: any 3D image, slice after slice, in bounded memory; equation 1's blend."""

import dataclasses
import functools
import time
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Inexact
from torch import Tensor, nn

from clearmr.denoiser import Progress
from clearmr.errors import InputError
from clearmr.evaluate import presence, ranges
from clearmr.methods import keeping
from clearmr.methods.mr_self_noise2noise import model
from clearmr.methods.mr_self_noise2noise.blend import blend
from clearmr.methods.mr_self_noise2noise.config import NetConfig
from clearmr.methods.mr_self_noise2noise.samples import TURNS
from clearmr.scan import SnrImage

METHOD = "mr_self_noise2noise"
ISOTROPIC = 1.5  # no spacing of a volume that many times another one
# bf16 differs from float32 by 1e-4 of the brightest SNR (rms, in noise SDs): under 1 % of the noise up to this SNR.
BF16_SNR = 100.0
# Measured: Python, PyTorch and the readers; then, per voxel of the image, the arrays beside the network's own.
PROCESS_BYTES, IMAGE_BYTES = 0.45e9, 40.0
CHANNEL_BYTES = 45.0  # of the network at its peak, per pixel and channel of the first level


@dataclass(frozen=True)
class SelfNoise2Noise(keeping.Options):
    """A trained network as a `Denoiser`. Complex images keep their phase; magnitude images stay magnitude.

    The result is alpha original + (1 - alpha) output (Jung et al. 2022, equation 1), alpha as the card says.

    along: "depth": slices along z; "volume": the mean over slices along z, y and x; "auto": volume where the network
    was trained so, the voxels are nearly isotropic and every axis is long enough.
    """

    WAYS = ("auto", "depth", "volume")

    net: nn.Module
    name: str
    card: dict[str, Any]

    def __call__(self, image: SnrImage) -> SnrImage:
        """Denoise frame by frame. Raises InputError where the model does not fit the image.

        Where an image is far smoother than its noise_sd says, only that share of the noise is removed, with a warning.
        """
        began = time.monotonic()
        self.refuse(image)
        if self.strength == 0:
            return keeping.with_step(image, self._step(), [])
        shares = [_share(*_frame(image, k)) for k in range(len(image.image))]
        strength = torch.tensor(shares, dtype=torch.float32)[:, None, None, None] * self.strength
        result = blend(image.image, self.output(image), self.alpha)
        out = torch.lerp(image.image, result, strength.to(result.dtype))
        warnings = [*ranges.outside(image, {"name": self.name, **self.card}), *self.card.get("warnings", [])]
        step = self._step() | self.figures(image) | {"seconds": round(time.monotonic() - began, 2)}
        if min(shares) < 1:
            step["share removed"] = min(shares)
            warnings.append(keeping.absent(min(shares)))
        return keeping.with_step(dataclasses.replace(image, image=out), step, warnings)

    @property
    def config(self) -> NetConfig:
        """The network, as its card says."""
        return NetConfig(**self.card.get("net", {}))

    @property
    def alpha(self) -> float:
        """The share of the original in the result."""
        return float(self.card.get("alpha", 0.0))

    def refuse(self, image: SnrImage) -> None:
        """Raises InputError where the image is of another kind, not finite, without noise, or of too few slices."""
        if image.is_complex and self.config.image == "magnitude":
            todo = "give the magnitude, or train a model with --set net.image=complex"
            raise InputError(f"a magnitude image for the model {self.name}", "a complex image", todo)
        if not image.is_complex and self.config.image == "complex":
            todo = "give the complex image, or train a model with --set net.image=magnitude"
            raise InputError(f"a complex image for the model {self.name}", "a magnitude image", todo)
        keeping.refuse_unfit(image)
        least = (self.config.slices + 1) // 2
        shortest = min(image.image.shape[1:]) if self.along == "volume" else image.image.shape[1]
        if shortest < least:
            what = "voxels along each axis" if self.along == "volume" else "slices along z"
            todo = "give a 3D image; for 2D images and series use --method snraware"
            raise InputError(
                f"at least {least} {what} for a network of {self.config.slices} slices", f"{shortest}", todo
            )

    def turns(self, image: SnrImage) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
        """The orders of axes in which slices are cut: along z, or along each axis."""
        along = self.along
        if along == "auto":
            near = max(image.spacing) <= ISOTROPIC * min(image.spacing)
            enough = min(image.image.shape[1:]) >= self.config.slices
            along = "volume" if self.card.get("orientations") == "all" and near and enough else "depth"
        return TURNS if along == "volume" else TURNS[:1]

    def output(self, image: SnrImage) -> Inexact[Tensor, "frame z y x"]:
        """What the network makes of an image, in its unit: alpha and strength are not looked at."""
        turns, n, out = self.turns(image), len(image.image), torch.empty_like(image.image)
        for k in range(n):
            values, noise_sd = _frame(image, k)
            unit = model.unit_of(values, noise_sd, net=self.config)
            if unit == 0:  # a frame without noise, or without signal
                out[k] = values
                continue
            total = torch.zeros_like(values)
            for index, (there, back) in enumerate(turns):
                progress = functools.partial(_part_of, self.progress, k * len(turns) + index, n * len(turns))
                work = _Work(self, image, unit, progress)
                total += work.run(values.permute(there), noise_sd.permute(there)).permute(back)
            out[k] = total / len(turns)
        return out if image.is_complex else out.clamp_(min=0)

    def figures(self, image: SnrImage) -> dict[str, Any]:
        """What is told of how it was done."""
        turns = self.turns(image)
        height, width = max(tuple(image.image.shape[1 + a] for a in there[1:]) for there, _ in turns)
        return {
            "precision": "bf16" if bf16_pays(self, image) else "float32",
            "along": "volume" if len(turns) > 1 else "depth",
            "batch": slices_at_once(self, image, height * width),
            "alpha": self.alpha,
        }

    def _step(self) -> dict[str, Any]:
        step = {"name": "denoise", "method": METHOD, "model": self.name, "sha256": self.card.get("sha256")}
        return step | {"strength": self.strength, "device": self.device}


class _Work:
    """One volume on its way through the network, slices along its first axis."""

    def __init__(self, denoiser: SelfNoise2Noise, image: SnrImage, unit: float, progress: Progress) -> None:
        self.denoiser, self.image, self.unit, self.progress = denoiser, image, unit, progress
        self.bf16 = bf16_pays(denoiser, image)

    def run(self, values: Inexact[Tensor, "s h w"], noise_sd: Tensor) -> Inexact[Tensor, "s h w"]:
        """All slices, some at once; beyond the ends the volume is mirrored, as in training."""
        n, reach = len(values), self.denoiser.config.slices // 2
        at_once = slices_at_once(self.denoiser, self.image, values[0].numel())
        out = torch.empty_like(values)
        for start in range(0, n, at_once):
            centres = torch.arange(start, min(start + at_once, n))
            near = model.mirrored(centres[:, None] + torch.arange(-reach, reach + 1), n)
            out[centres] = self._through(values[near], noise_sd[near])
            self.progress(len(centres) + start, n)
        return out

    def _through(self, slabs: Tensor, noise_sd: Tensor) -> Tensor:
        channels = model.to_channels(slabs / self.unit, noise_sd / self.unit, net=self.denoiser.config)
        device = torch.device(self.denoiser.device)
        autocast = torch.autocast(device.type, torch.bfloat16, enabled=self.bf16)
        with keeping.out_of_memory_said("use --batch 1"), torch.inference_mode(), autocast:
            made = self.denoiser.net(channels.to(device)).float().cpu()[:, :, 0] * self.unit
        return torch.complex(made[:, 0], made[:, 1]) if slabs.is_complex() else made[:, 0]


def magnitude(image: SnrImage) -> SnrImage:
    """The magnitude of a complex image, as a network of magnitudes takes it; noise_sd stays that of the parts."""
    return dataclasses.replace(image, image=image.image.abs()) if image.is_complex else image


def slices_at_once(denoiser: SelfNoise2Noise, image: SnrImage, pixels: int) -> int:
    """As many slices as asked for and as fit. Raises InputError where not even one does."""
    beside = PROCESS_BYTES + IMAGE_BYTES * image.image.numel() if denoiser.device == "cpu" else 0.0
    each = pixels * CHANNEL_BYTES * denoiser.config.channels[0]
    fit = int((denoiser.memory_bytes - beside) // each)
    if fit < 1:
        found = f"{denoiser.memory_bytes / 1e9:.2f} GB"
        raise InputError(f"at least {(beside + each) / 1e9:.2f} GB of memory", found, "allow more: --memory")
    return min(denoiser.batch, fit)


def bf16_pays(denoiser: SelfNoise2Noise, image: SnrImage) -> bool:
    """Whether to compute in bf16: as asked for, or where it is twice as fast and differs by little of noise_sd."""
    if denoiser.precision != "auto":
        return denoiser.precision == "bf16"
    return keeping.made_for_bf16(denoiser.device) and ranges.brightest_snr(image) <= BF16_SNR


def _frame(image: SnrImage, k: int) -> tuple[Tensor, Tensor]:
    """One frame and its noise SD, both (z, y, x)."""
    noise_sd = image.noise_sd.float().expand(len(image.image), -1, -1, -1)[k]
    return image.image[k], noise_sd.expand(image.image.shape[1:])


def _share(values: Tensor, noise_sd: Tensor) -> float:
    """The share of the noise told that is there; 0 where none is told."""
    return presence.share_present(values, noise_sd) if bool((noise_sd > 0).any()) else 0.0


def _part_of(progress: Progress, index: int, parts: int, done: int, total: int, **info: Any) -> None:
    """Progress of one of several parts, in percent of them all: parts need not be of one length."""
    progress(round(100 * (index + done / total)), 100 * parts, **info)
