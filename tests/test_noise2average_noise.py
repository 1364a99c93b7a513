"""The noise level of repeats, where one image alone does not show it."""

import dataclasses

import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from clearmr.methods.noise2average import alignment, noise, rigid
from clearmr.scan import SnrImage
from noise2average_stubs import truth

ONE = torch.ones(1, 1, 1, 1)
INSIDE = torch.ones(24, 24, 24)


def repeats(
    told: float = 0.05, *, gain: float = 1.0, smooth: float = 0.0, move: rigid.Motion | None = None
) -> list[SnrImage]:
    """Two of SD 0.05, the second of another brightness and moved; smooth: SD in voxels of a filter of the noise."""
    generator, made = torch.Generator().manual_seed(0), []
    for k, clean in enumerate((truth(24), gain * rigid.moved(truth(24), move or rigid.Motion()))):
        white = torch.randn(clean.shape, generator=generator)
        filtered = torch.from_numpy(gaussian_filter(white.numpy(), smooth)) if smooth else white
        values = (clean + (gain if k else 1.0) * 0.05 * filtered / filtered.std()).clamp_min(0)
        made.append(SnrImage(values[None], told * (gain if k else 1.0) * ONE, ONE, "estimated"))
    return made


def raised(images: list[SnrImage]) -> list[SnrImage]:
    return noise.raised(images, INSIDE, alignment.apart(images, INSIDE))


@pytest.mark.parametrize("options", [{}, {"gain": 2.0}, {"smooth": 0.5}, {"move": rigid.Motion((1.0, 0.0, -0.8))}])
def test_differences_of_repeats_tell_their_noise(options: dict) -> None:
    images = repeats(0.025, **options)
    found = raised(images)
    for before, after in zip(images, found, strict=True):
        assert float(after.noise_sd / before.noise_sd) == pytest.approx(2.0, rel=0.05)
    step = found[0].meta["steps"][-1]
    assert step["noise_sd"] == pytest.approx(0.05, rel=0.05) and "correlated" in step["method"]
    assert "raised to 0.0" in found[0].meta["warnings"][-1]


def test_a_level_that_is_right_too_high_or_known_is_left_alone() -> None:
    known = [dataclasses.replace(image, noise_source="given") for image in repeats(0.02)]
    for images in (repeats(0.05), repeats(0.1), known):
        assert all(a is b for a, b in zip(raised(images), images, strict=True))


def test_dark_voxels_do_not_count() -> None:
    generator, clean = torch.Generator().manual_seed(3), truth(24)
    clean[:, :, :16] = 0
    images = []
    for _ in range(2):
        real, imaginary = (0.05 * torch.randn(clean.shape, generator=generator) for _ in range(2))
        images.append(SnrImage(torch.hypot(clean + real, imaginary)[None], 0.025 * ONE, ONE, "estimated"))
    assert noise.found_over_told(images, INSIDE, [rigid.Motion()]) == pytest.approx(2, rel=0.15)


def test_what_differs_smoothly_is_contrast() -> None:
    first, second = repeats(0.025)
    ramp = 0.1 * torch.cos(torch.arange(24) * torch.pi / 24).view(-1, 1, 1)
    images = [first, dataclasses.replace(second, image=second.image + ramp)]
    assert noise.found_over_told(images, INSIDE, [rigid.Motion()]) == pytest.approx(2, rel=0.06)


def test_few_voxels_tell_nothing() -> None:
    few = torch.zeros(24, 24, 24)
    few[:8, :8, :8] = 1
    assert noise.found_over_told(repeats(0.01), few, [rigid.Motion()]) == 1


def test_another_contrast_is_no_noise() -> None:
    first, second = repeats(0.005)
    other: Tensor = second.image + 0.3 * truth(24, seed=5)[None]
    images = [first, dataclasses.replace(second, image=other)]
    assert alignment.apart(images, INSIDE).alike[0] < alignment.ONE_CONTRAST
    assert raised(images)[1] is images[1]
