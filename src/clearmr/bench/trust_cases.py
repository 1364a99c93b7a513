"""Images and denoisers whose faults are known: what the trust checks must catch, and the right ones they must pass.

The image is a Gaussian random field of known spectrum on a constant: on it the Wiener filter is exactly E[x | y], the
best that can be done. Everything else is that filter with one fault.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from clearmr.denoiser import Denoiser
from clearmr.scan import SnrImage

SHAPE = (4, 1, 128, 128)
SIGNAL = 12.0  # noise SDs: the constant
POWER, EDGE = 60.0, 0.2  # of the field over that of the noise at low frequencies; where it falls off, cycles per pixel
WRONG = 1.5  # the noise level told over the true one


@dataclass(frozen=True)
class Wiener:
    """E[x | y] of a field of power `spectrum` (y, x) per part, over the map `scale`, in noise of the level told."""

    spectrum: Tensor
    scale: Tensor
    name: str = "wiener"

    def __call__(self, image: SnrImage) -> SnrImage:
        told = float((image.noise_sd / self.scale).square().mean())
        weight = self.spectrum / (self.spectrum + told)
        waves = torch.fft.fft2(image.image / self.scale) * weight
        out = torch.fft.ifft2(waves)
        out = (out if image.is_complex else out.real) * self.scale
        return dataclasses.replace(image, image=out.to(image.image.dtype))


@dataclass(frozen=True)
class Faulty:
    """A denoiser with something done to its result: `fault(noisy, denoised)`."""

    denoiser: Denoiser
    fault: Callable[[SnrImage, Tensor], Tensor]
    name: str

    def __call__(self, image: SnrImage) -> SnrImage:
        return dataclasses.replace(image, image=self.fault(image, self.denoiser(image).image))


@dataclass(frozen=True)
class Case:
    """A noisy image as it is told, the denoiser, whether both are right, and the checks that must catch it."""

    name: str
    right: bool
    noisy: SnrImage
    denoiser: Denoiser
    catch: tuple[str, ...] = ()


def cases(seed: int = 0, *, is_complex: bool = True) -> Iterator[Case]:
    """The table of cases, right ones first."""
    ones, bump = torch.ones(1, 1, 1, 1), g_bump()
    right = Wiener(field_power(), ones)
    noisy = noisy_field(ones, ones, seed, is_complex=is_complex)
    yield Case("Wiener filter, white noise", True, noisy, right)
    on_bump = noisy_field(bump, bump, seed, is_complex=is_complex)
    yield Case("Wiener filter, g-factor 1 to 2.5", True, on_bump, Wiener(field_power(), bump))
    yield Case("blurs (Gaussian, 1.2 pixels more)", False, noisy, Faulty(right, _blurred, "blur"), ("residual_edges",))
    yield Case("paints structure (stripes)", False, noisy, Faulty(right, _striped, "stripes"), ("pure_noise",))
    yield Case("paints structure (dots)", False, noisy, Faulty(right, _dotted, "dots"), ("pure_noise",))
    yield Case("sharpens", False, noisy, Faulty(right, _sharpened, "sharpen"), ("residual_edges",))
    yield Case("returns its input", False, noisy, Faulty(right, _input, "input"), ("removed_noise",))
    for factor, name in ((WRONG, "noise map x 1.5"), (1 / WRONG, "noise map / 1.5")):
        told = dataclasses.replace(noisy, noise_sd=ones * factor)
        yield Case(name, False, told, right, ("noise_level",))
    flat = dataclasses.replace(on_bump, noise_sd=ones * bump.square().mean().sqrt(), gmap=ones)
    yield Case("g-factor 1 to 2.5 not told", False, flat, Wiener(field_power(), bump), ("noise_map",))
    told = dataclasses.replace(noisy, noise_sd=bump / bump.square().mean().sqrt(), gmap=bump)
    yield Case("g-factor 1 to 2.5 told, none there", False, told, right, ("noise_map",))
    before = dataclasses.replace(noisy, image=right(noisy).image)
    yield Case("denoised before", False, before, right, ("noise_level",))
    half = Faulty(right, lambda image, out: 0.95 * out, "loses signal")
    yield Case("loses 5 % of the signal", False, noisy, half, ("signal",))


def field_power() -> Tensor:
    """Power of the field over that of unit noise (y, x), zero frequency first; the constant's is endless."""
    n = SHAPE[-1]
    frequency = torch.fft.fftfreq(n, dtype=torch.float64)
    k = torch.hypot(frequency[:, None], frequency)
    power = POWER * torch.exp(-((k / EDGE) ** 4))
    power[0, 0] = 1e12
    return power


def g_bump() -> Tensor:
    """A g map (1, 1, y, x) from 1 at the border to 2.5 in the middle."""
    bump = torch.sin(torch.linspace(0, math.pi, SHAPE[-1]))
    return (1 + 1.5 * bump[:, None] * bump)[None, None]


def noisy_field(scale: Tensor, noise_sd: Tensor, seed: int, *, is_complex: bool) -> SnrImage:
    """scale (SIGNAL + field) + noise_sd n, (frame, 1, y, x), complex or real."""
    generator = torch.Generator().manual_seed(seed)
    field, noise = (_unit(generator, is_complex) for _ in range(2))
    power = field_power()
    power[0, 0] = 0
    field = torch.fft.ifft2(torch.fft.fft2(field) * power.sqrt())
    field = field if is_complex else field.real
    image = scale * (SIGNAL + field) + noise_sd * noise
    dtype = torch.complex64 if is_complex else torch.float32
    return SnrImage(image.to(dtype), noise_sd, noise_sd, "measured")


def _unit(generator: torch.Generator, is_complex: bool) -> Tensor:
    parts = torch.randn((2, *SHAPE), generator=generator, dtype=torch.float64)
    return torch.complex(parts[0], parts[1]) if is_complex else parts[0]


def _blurred(image: SnrImage, out: Tensor, sd: float = 1.2) -> Tensor:
    frequency = torch.fft.fftfreq(out.shape[-1])
    weight = torch.exp(-2 * (math.pi * sd * torch.hypot(frequency[:, None], frequency)) ** 2)
    return _kind(torch.fft.ifft2(torch.fft.fft2(out) * weight), out)


def _sharpened(image: SnrImage, out: Tensor) -> Tensor:
    return 1.5 * out - 0.5 * _blurred(image, out, 2.0)


def _striped(image: SnrImage, out: Tensor) -> Tensor:
    """A sine of one noise SD, 6 pixels long."""
    x = torch.arange(out.shape[-1])
    return out + image.noise_sd * torch.sin(2 * math.pi * x / 6).to(out.dtype)


def _dotted(image: SnrImage, out: Tensor) -> Tensor:
    """Dots of 3 x 3 pixels and four noise SDs, 32 pixels apart."""
    n = torch.arange(out.shape[-1]) % 32
    row = ((n >= 14) & (n < 17)).to(out.dtype)
    return out + 4 * image.noise_sd * row[:, None] * row


def _input(image: SnrImage, out: Tensor) -> Tensor:
    return image.image


def _kind(values: Tensor, like: Tensor) -> Tensor:
    return (values if like.is_complex() else values.real).to(like.dtype)
