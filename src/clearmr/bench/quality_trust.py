"""Can what the default models do be trusted? Pure noise, small lesions, mean signal, and what was removed."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from clearmr import road
from clearmr.bench.entrants import level, noise_like
from clearmr.bench.quality_data import SEED, Sizes
from clearmr.bench.timing import Options
from clearmr.denoiser import Denoiser
from clearmr.evaluate import lesion
from clearmr.scan import SnrImage
from clearmr.simulate import simulate

OBJECT = 0.3  # of the largest magnitude: where lesions are put and means are taken
SNRS = (5.0, 10.0, 20.0)
ONE = level(1.0)


@dataclass(frozen=True)
class Scene:
    """A clean image (frame, z, y, x) of mean 1 over the object, complex or magnitude."""

    name: str
    clean: Tensor
    inside: Tensor


def scenes(sizes: Sizes) -> Iterator[Scene]:
    """The simulated heart as a complex series; the simulated head as a complex volume and as magnitudes."""
    plane = (1, sizes.plane, sizes.plane)
    heart = simulate("cine", matrix=plane, n_frames=sizes.frames, n_coils=2, seed=SEED).truth
    n = round(1.5 * sizes.brain)
    head = simulate("brain", matrix=(sizes.brain, n, n), n_coils=2, seed=SEED).truth
    for name, truth in (("cine, complex", heart), ("brain, complex", head), ("brain, magnitude", head.abs())):
        inside = truth.abs() > OBJECT * truth.abs().max()
        yield Scene(name, truth / truth.abs()[inside].mean(), inside)


def rows(scene: Scene, options: Options, sizes: Sizes) -> list[dict[str, Any]]:
    """Per SNR: share of the lesions' contrast kept, mean signal, SD of what was removed over that of the noise.

    Of magnitudes the noise is what they differ by from their truth: less than noise_sd at low SNR.
    """
    denoiser = road.denoiser(model=options.model, is_complex=scene.clean.is_complex())
    return [
        {"data": scene.name, "noise": f"SNR {snr:g}", **_figures(denoiser, scene, snr, sizes.draws)} for snr in SNRS
    ]


def _figures(denoiser: Denoiser, scene: Scene, snr: float, draws: int) -> dict[str, float]:
    clean = snr * scene.clean
    lesions, shell = lesion.masks(scene.inside)
    raised = clean + lesions * lesion.CNR * clean / clean.abs().clamp_min(1e-6)
    smooth = smooth_areas(raised) & scene.inside
    found = []
    for draw in range(draws):
        noisy = add_noise(raised, SEED + 2 * draw)
        result = denoiser(SnrImage(noisy, ONE, ONE, "given")).image
        added = result.abs() - clean.abs()
        removed, noise = noisy - result, noisy - raised
        found.append(
            (
                float(added[lesions].mean() - added[shell].mean()) / lesion.CNR,
                float(result.abs()[scene.inside].mean() / raised.abs()[scene.inside].mean()),
                spread(removed[scene.inside]) / spread(noise[scene.inside]),
                spread(removed[smooth]) / spread(noise[smooth]),
            )
        )
    names = ("lesion contrast kept", "mean signal", "removed / noise SD, object", "removed / noise SD, smooth areas")
    means = torch.tensor(found).mean(0).tolist()
    unchanged = denoiser(SnrImage(clean, ONE, ONE, "given")).image
    change = float((unchanged - clean).abs().norm() / clean.abs().norm())
    rest = {"lesions": _count(scene.inside) * draws, "change of a noise-free image": change}
    return {**dict(zip(names, means, strict=True)), **rest}


def add_noise(clean: Tensor, seed: int) -> Tensor:
    """Unit noise: complex, or of the complex image whose magnitude is asked for."""
    parts = torch.complex(*(noise_like(clean, seed + part) for part in (0, 1)))
    return clean + parts if clean.is_complex() else (clean + parts).abs()


def spread(removed: Tensor) -> float:
    """SD about the mean: of real and imaginary parts together, or of magnitudes."""
    parts = torch.view_as_real(removed) if removed.is_complex() else removed
    return float((parts - parts.mean(0)).square().mean().sqrt())


def smooth_areas(clean: Tensor) -> Tensor:
    """Voxels about which the clean magnitude varies by less than one noise SD within 5 x 5, in a volume 5 x 5 x 5."""
    sides = (5 if clean.shape[1] > 1 else 1, 5, 5)
    around = tuple(side // 2 for side in sides)
    high, low = (F.max_pool3d(sign * clean.abs()[:, None], sides, 1, around) for sign in (1, -1))
    return (high + low < 1.0)[:, 0]


def _count(inside: Tensor) -> int:
    lesions, _ = lesion.masks(inside)
    per = 9 if inside.shape[1] == 1 else 19
    return int(lesions[0].sum()) // per


def pure_noise(options: Options, sizes: Sizes) -> dict[str, float]:
    """SD left of unit noise: complex series and volume; of Rayleigh noise, over its SD."""
    found = {}
    shapes = {"series": (sizes.frames, 1, sizes.plane, sizes.plane), "volume": (1, *(sizes.brain,) * 3)}
    for name, shape in shapes.items():
        for is_complex in (True, False):
            noise = add_noise(torch.zeros(shape, dtype=torch.complex64 if is_complex else torch.float32), SEED)
            denoiser = road.denoiser(model=options.model, is_complex=is_complex)
            left = denoiser(SnrImage(noise, ONE, ONE, "given")).image
            kind = "complex" if is_complex else "magnitude"
            found[f"{name}, {kind}"] = spread(left.flatten()) / spread(noise.flatten())
    return found
