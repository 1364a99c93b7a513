"""Noise on images: mean and variance of each model, its seed, what noise_sd it tells."""

import numpy as np
import pytest
import torch

from clearmr.errors import InputError
from clearmr.evaluate.rician import mean_magnitude
from clearmr.simulate import NOISE_MODELS, gaussian_noise, image_noise, poisson_noise, rician_noise

LEVELS = torch.tensor([0.0, 0.05, 0.1, 0.2, 0.5, 1.0])


def flat(n: int = 200_000) -> torch.Tensor:
    """Each intensity n times: (1, 1, intensity, n)."""
    return LEVELS[:, None].expand(-1, n)[None, None].contiguous()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_gaussian_noise_has_its_mean_and_sd_and_is_not_clipped() -> None:
    noisy = gaussian_noise(flat(), 0.15, seeded())
    torch.testing.assert_close(noisy.image.mean(-1)[0, 0], LEVELS, atol=0.002, rtol=0)
    torch.testing.assert_close(noisy.image.std(-1)[0, 0], torch.full((6,), 0.15), atol=0.001, rtol=0)
    assert noisy.image.min() < -0.4 and noisy.noise_sd.flatten().tolist() == pytest.approx([0.15])
    assert not noisy.is_complex


def test_rician_noise_has_the_closed_form_mean_and_second_moment() -> None:
    noisy = rician_noise(flat(), 0.1, seeded())
    wanted = 0.1 * mean_magnitude(LEVELS.double().numpy() / 0.1)
    np.testing.assert_allclose(noisy.image.double().mean(-1)[0, 0], wanted, atol=0.001)
    np.testing.assert_allclose(noisy.image.double().square().mean(-1)[0, 0], LEVELS**2 + 2 * 0.1**2, rtol=0.01)
    assert noisy.image.min() >= 0 and float(noisy.noise_sd) == pytest.approx(0.1)


@pytest.mark.parametrize("counts", [40.0, 20.0, 10.0])
def test_poisson_noise_has_the_mean_and_variance_of_its_counts(counts: float) -> None:
    noisy = poisson_noise(flat(), counts, seeded())
    torch.testing.assert_close(noisy.image.mean(-1)[0, 0], LEVELS, atol=0.004, rtol=0)
    torch.testing.assert_close(noisy.image.var(-1)[0, 0], LEVELS / counts, atol=1e-5, rtol=0.02)
    whole = noisy.image * counts
    torch.testing.assert_close(whole, whole.round(), atol=1e-4, rtol=0)


def test_the_sd_told_beside_poisson_noise_is_made_of_the_noisy_image() -> None:
    noisy = poisson_noise(flat(), 20.0, seeded())
    assert noisy.noise_sd.shape == noisy.image.shape
    torch.testing.assert_close(noisy.noise_sd, (noisy.image.clamp(min=0.05) / 20).sqrt())
    assert noisy.noise_sd.min() == pytest.approx(0.05), "no voxel passes for noise-free"
    torch.testing.assert_close(noisy.noise_sd.square().mean(-1)[0, 0, 4:], LEVELS[4:] / 20, atol=0, rtol=0.02)


@pytest.mark.parametrize("model", NOISE_MODELS)
def test_a_seed_is_a_noise_and_the_image_is_left_alone(model: str) -> None:
    clean = torch.rand(3, 2, 20, 16, generator=seeded(9))
    kept = clean.clone()
    first, again, other = (image_noise(model, clean, 10.0, seeded(s), spacing=(8.0, 1.5, 1.5)) for s in (1, 1, 2))
    assert first.image.shape == clean.shape and first.image.dtype == torch.float32
    assert torch.equal(first.image, again.image) and not torch.equal(first.image, other.image)
    assert torch.equal(clean, kept) and first.spacing == (8.0, 1.5, 1.5) and first.noise_source == "given"
    assert first.meta["steps"][0]["model"] == model
    assert (first.image[0] != first.image[1]).any(), "frames have noise of their own"


@pytest.mark.parametrize(
    "model, clean, level",
    [
        ("gaussian", torch.ones(1, 1, 4, 4), 0.0),
        ("gaussian", torch.full((1, 1, 4, 4), torch.nan), 0.1),
        ("rician", -torch.ones(1, 1, 4, 4), 0.1),
        ("poisson", -torch.ones(1, 1, 4, 4), 20.0),
        ("poisson", torch.ones(1, 1, 4, 4), float("inf")),
        ("speckle", torch.ones(1, 1, 4, 4), 0.1),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(model: str, clean: torch.Tensor, level: float) -> None:
    with pytest.raises(InputError) as told:
        image_noise(model, clean, level, seeded())
    assert "\n" not in str(told.value)
