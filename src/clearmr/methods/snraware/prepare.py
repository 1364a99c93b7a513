"""From raw scans and clean images to series of a corpus (`store.Entry`): SNR units, native g, g maps for R = 2..8."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from clearmr import recon
from clearmr.denoiser import Progress, no_progress
from clearmr.errors import InputError
from clearmr.methods.snraware import gmaps
from clearmr.methods.snraware.store import Entry
from clearmr.scan import RawScan, SnrImage

MOST = 8  # the largest R that g maps are made for
PHASE_ORDER = 3  # of the polynomial in z, y, x
PHASE_SD = 1.0  # radian, of each of its coefficients


def from_scan(
    scan: RawScan,
    *,
    subject: str,
    estimate_noise: bool = False,
    device: str = "cpu",
    progress: Progress = no_progress,
) -> tuple[Entry, dict[int, str]]:
    """The series of a raw scan, and why there is no g map for some R: too few coils or lines, or a g nobody would use.

    Native g and all g maps come from the scan's own calibration lines. Raises InputError as `recon.calibrate` does.
    """
    calibration = recon.calibrate(scan, estimate_noise=estimate_noise, device=device)
    image = recon.apply(scan, calibration, progress=progress)
    maps, absent = recon.gmaps_for(calibration, accelerations=range(2, min(MOST, scan.n_coils) + 1))
    too_many = range(max(2, scan.n_coils + 1), MOST + 1)
    absent |= dict.fromkeys(too_many, f"{scan.n_coils} coil(s) tell no more aliased voxels apart")
    for r in [r for r, found in maps.items() if not gmaps.usable(found)]:
        absent[r] = f"its median over the object is over {gmaps.MEDIAN_MAX}"
        del maps[r]
    return _entry(image, tuple(maps), _stacked(maps, image), subject, ()), dict(sorted(absent.items()))


def _stacked(maps: dict[int, Tensor], image: SnrImage) -> Float[Tensor, "r z y x"]:
    shape = (0, *image.image.shape[1:])
    return torch.stack(list(maps.values())) if maps else torch.zeros(shape)


def from_image(image: SnrImage, *, subject: str, generator: torch.Generator) -> Entry:
    """The series of a clean image (frame, z, y, x) of known or estimated noise, brought to SNR units.

    The image is divided by its noise SD where g is 1 (one number); a magnitude image gets a smooth simulated phase,
    and every image the g maps of a simulated coil array. Raises InputError where its noise SD is not positive.
    """
    level = image.noise_sd / torch.where(image.gmap > 0, image.gmap, torch.ones_like(image.gmap))
    positive = level[level > 0]
    if not len(positive) or not bool(torch.isfinite(image.image.abs().sum())):
        todo = "give --noise-sd, or repair the image"
        raise InputError("a finite image of positive noise_sd", "no such level, or NaN or infinity", todo)
    unit = float(positive.median())
    accelerations, maps = gmaps.array_gmaps((image.image.shape[2], image.image.shape[3]), generator)
    phase = _smooth_phase(image.image.shape[1:], generator)
    scaled = image.image / unit
    simulated = ("gmaps",) if image.is_complex else ("phase", "gmaps")
    values = scaled if image.is_complex else torch.polar(scaled.float(), phase.expand(scaled.shape))
    in_units = SnrImage(values, image.noise_sd / unit, image.gmap, image.noise_source, image.spacing, meta=image.meta)
    return _entry(in_units, accelerations, maps[:, None], subject, simulated)


def _smooth_phase(shape: torch.Size, generator: torch.Generator) -> Float[Tensor, "z y x"]:
    """A random polynomial of order `PHASE_ORDER` in z, y, x over [-1, 1], in radian."""
    powers = torch.arange(PHASE_ORDER + 1)
    coefficients = torch.randn((len(powers),) * 3, generator=generator) * PHASE_SD
    order = powers[:, None, None] + powers[:, None] + powers
    axes = [torch.linspace(-1, 1, n)[:, None] ** powers if n > 1 else (powers == 0).float()[None] for n in shape]
    return torch.einsum("abc,za,yb,xc->zyx", coefficients * (order <= PHASE_ORDER), *axes)


def _entry(
    image: SnrImage, accelerations: tuple[int, ...], maps: Tensor, subject: str, simulated: tuple[str, ...]
) -> Entry:
    y, x = image.image.shape[2:]
    gmap = image.gmap.float().mean(0, keepdim=True).expand(1, image.gmap.shape[1], y, x)
    meta: dict[str, Any] = {key: image.meta[key] for key in ("steps", "warnings") if key in image.meta}
    return Entry(
        image=image.image.to(torch.complex64),
        noise_sd=image.noise_sd.float(),
        gmap=gmap,
        gmaps=maps.float(),
        accelerations=accelerations,
        subject=subject,
        spacing=image.spacing,
        noise_source=image.noise_source,
        simulated=simulated,
        meta=meta,
    )
