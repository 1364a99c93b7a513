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


@dataclass
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


@dataclass
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
    """The table of cases on the Gaussian field, right ones first."""
    ones, bump = torch.ones(1, 1, 1, 1), g_bump(SHAPE[2:])
    right = Wiener(field_power(), ones)
    noisy = noisy_field(ones, ones, seed, is_complex=is_complex)
    yield Case("right denoiser, white noise", True, noisy, right)
    on_bump = noisy_field(bump, bump, seed, is_complex=is_complex)
    yield Case("right denoiser, g-factor 1 to 2.5", True, on_bump, Wiener(field_power(), bump))
    flat = dataclasses.replace(on_bump, noise_sd=ones * bump.square().mean().sqrt(), gmap=ones)
    yield Case("g-factor 1 to 2.5 not told", False, flat, Wiener(field_power(), bump), ("noise_map",))
    yield from faults(noisy, right)


def faults(noisy: SnrImage, right: Denoiser) -> Iterator[Case]:
    """Every fault of a denoiser, of what it is told, and of what it is given; `noisy` and `right` are right."""
    for name, fault, check in (
        ("blurs (by another 1.2 pixels)", _blurred, "error_left"),
        ("paints stripes of one noise SD", _striped, "pure_noise"),
        ("paints dots of four noise SDs", _dotted, "pure_noise"),
        ("sharpens", _sharpened, "residual_pattern"),
        ("returns its input", _input, "removed_noise"),
        ("loses 5 % of the signal", _weakened, "signal"),
    ):
        yield Case(name, False, noisy, Faulty(right, fault, name), (check,))
    for factor, name in ((WRONG, "noise map x 1.5"), (1 / WRONG, "noise map / 1.5")):
        told = dataclasses.replace(noisy, noise_sd=noisy.noise_sd * factor)
        yield Case(name, False, told, right, ("noise_level",))
    bump = g_bump(tuple(noisy.image.shape[2:]))
    told = dataclasses.replace(noisy, noise_sd=noisy.noise_sd * bump / bump.square().mean().sqrt(), gmap=bump)
    yield Case("g-factor 1 to 2.5 told, none there", False, told, right, ("noise_map",))
    before = dataclasses.replace(noisy, image=right(noisy).image)
    yield Case("denoised before", False, before, right, ("noise_level",))


def field_power() -> Tensor:
    """Power of the field over that of unit noise (y, x), zero frequency first; the constant's is endless."""
    n = SHAPE[-1]
    frequency = torch.fft.fftfreq(n, dtype=torch.float64)
    k = torch.hypot(frequency[:, None], frequency)
    power = POWER * torch.exp(-((k / EDGE) ** 4))
    power[0, 0] = 1e12
    return power


def g_bump(plane: tuple[int, ...]) -> Tensor:
    """A g map (1, 1, y, x) from 1 at the border to 2.5 in the middle."""
    down, across = (torch.sin(torch.linspace(0, math.pi, n)) for n in plane)
    return (1 + 1.5 * down[:, None] * across)[None, None]


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
    y, x = (torch.fft.fftfreq(n) for n in out.shape[-2:])
    weight = torch.exp(-2 * (math.pi * sd * torch.hypot(y[:, None], x)) ** 2)
    return _kind(torch.fft.ifft2(torch.fft.fft2(out) * weight), out)


def _sharpened(image: SnrImage, out: Tensor) -> Tensor:
    return 1.5 * out - 0.5 * _blurred(image, out, 2.0)


def _striped(image: SnrImage, out: Tensor) -> Tensor:
    """A sine of one noise SD, 6 pixels long."""
    x = torch.arange(out.shape[-1])
    return out + image.noise_sd * torch.sin(2 * math.pi * x / 6).to(out.dtype)


def _dotted(image: SnrImage, out: Tensor) -> Tensor:
    """Dots of 3 x 3 pixels and four noise SDs, 32 pixels apart."""
    y, x = (((torch.arange(n) % 32 >= 14) & (torch.arange(n) % 32 < 17)).to(out.dtype) for n in out.shape[-2:])
    return out + 4 * image.noise_sd * y[:, None] * x


def _weakened(image: SnrImage, out: Tensor) -> Tensor:
    return 0.95 * out


def _input(image: SnrImage, out: Tensor) -> Tensor:
    return image.image


def _kind(values: Tensor, like: Tensor) -> Tensor:
    return (values if like.is_complex() else values.real).to(like.dtype)
