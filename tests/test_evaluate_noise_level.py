"""The noise level of bare images: within 5 % of the truth on phantoms, brains and cines, zeroed background or not."""

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

from clearmr.errors import InputError
from clearmr.evaluate.noise_level import NoiseEstimate, estimate_noise_sd
from clearmr.evaluate.rician import RAYLEIGH_RATIO, mean_magnitude, noise_from_moments
from clearmr.scan import SnrImage


def estimate(image: np.ndarray) -> NoiseEstimate:
    one = torch.ones(1, 1, 1, 1)
    return estimate_noise_sd(SnrImage(torch.from_numpy(np.ascontiguousarray(image)), one, one, "unknown"))


def rician(clean: np.ndarray, sd: float, seed: int) -> np.ndarray:
    real, imaginary = np.random.default_rng(seed).standard_normal((2, *clean.shape), dtype=np.float32) * np.float32(sd)
    return np.hypot(clean + real, imaginary)


def phantom(shape: tuple[int, int, int, int]) -> np.ndarray:
    """Ellipsoids of several brightnesses, smoothly shaded, in a dark surround: (frame, z, y, x), peak about 1."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in shape[1:]), indexing="ij")
    image = np.where((z / 1.2) ** 2 + (y / 0.8) ** 2 + (x / 0.7) ** 2 < 1, 0.45 + 0.1 * x, 0)
    for centre, radius, value in (((0.2, 0.2), 0.25, 0.9), ((-0.3, 0.1), 0.2, 0.7), ((0.1, -0.35), 0.18, 0.25)):
        image = np.where((y - centre[0]) ** 2 + (x - centre[1]) ** 2 + 0.3 * z**2 < radius**2, value + 0.05 * y, image)
    return np.broadcast_to(image, shape).astype(np.float32)


def brain_child(path) -> np.ndarray:
    """A real T1w head with its own noise averaged down: every 2 x 2 x 2 voxels are one."""
    full = np.moveaxis(np.asarray(nibabel.load(path).dataobj, dtype=np.float32), 2, 0)
    return full.reshape(64, 2, 96, 2, 128, 2).mean((1, 3, 5))[None]


def cine(folder) -> np.ndarray:
    frames = [np.asarray(Image.open(folder / f"clean_{i}.png")) for i in range(10)]
    return np.stack(frames).astype(np.float32)[:, None]


def check(clean: np.ndarray, percent: float, zeroed: bool, tolerance: float = 0.05) -> None:
    sd = percent / 100 * float(clean.max())
    noisy = rician(clean, sd, seed=int(percent))
    if zeroed:
        noisy = np.where(clean > 0.05 * clean.max(), noisy, 0)
    found = estimate(noisy)
    assert found.sd == pytest.approx(sd, rel=tolerance), found.method


@pytest.mark.parametrize("zeroed", [False, True], ids=["background", "zeroed"])
@pytest.mark.parametrize("percent", [3, 9, 15])
@pytest.mark.parametrize(
    "shape", [(1, 1, 192, 192), (1, 24, 96, 96), (8, 1, 128, 128)], ids=["slice", "volume", "series"]
)
def test_phantoms(shape, percent, zeroed):
    check(phantom(shape), percent, zeroed)


@pytest.mark.parametrize("zeroed", [False, True], ids=["background", "zeroed"])
@pytest.mark.parametrize("percent", [3, 6, 9, 12, 15])
def test_real_brain(shared_data, percent, zeroed):
    check(brain_child(shared_data("t1_brain_child_0p9mm/t1w_cropped.nii.gz")), percent, zeroed)


@pytest.mark.parametrize("zeroed", [False, True], ids=["background", "zeroed"])
@pytest.mark.parametrize("percent", [3, 15])
def test_real_adult_brain(shared_data, percent, zeroed):
    """Its own noise (about 1.3 of 278) comes on top: 1 % of the SD at 3 %."""
    image = nibabel.load(shared_data("t1_brain_0p7mm/t1w_defaced_0p67mm.nii.gz")).dataobj[124:148]
    check(np.asarray(image, dtype=np.float32)[None], percent, zeroed)


@pytest.mark.parametrize("zeroed", [False, True], ids=["background", "zeroed"])
@pytest.mark.parametrize("percent", [3, 6, 9, 12, 15])
@pytest.mark.parametrize("frames", [slice(None), slice(0, 1)], ids=["series", "frame"])
def test_real_cine(shared_data, frames, percent, zeroed):
    check(cine(shared_data("cine_10frames"))[frames], percent, zeroed)


def test_pure_noise():
    assert estimate(rician(np.zeros((1, 1, 128, 128), np.float32), 4.0, 0)).sd == pytest.approx(4, rel=0.03)


def test_noise_that_neighbours_share_is_read_off_the_background():
    """Zero-filled images hold no noise at the highest frequencies; detail alone would see far too little."""
    clean = phantom((1, 1, 192, 192))
    rng = np.random.default_rng(2)
    kspace = np.fft.fftshift(np.fft.fft2(rng.standard_normal(clean.shape) + 1j * rng.standard_normal(clean.shape)))
    keep = np.abs(np.arange(192) - 96) < 60
    noise = np.fft.ifft2(np.fft.ifftshift(kspace * np.outer(keep, keep)))
    noise *= 0.05 / noise.real.std()
    found = estimate(np.abs(clean + noise).astype(np.float32))
    assert found.sd == pytest.approx(0.05, rel=0.05)
    assert "correlated" in found.method and "Rayleigh" in found.note


@pytest.mark.parametrize("shape", [(1, 1, 160, 160), (6, 4, 64, 64)])
def test_complex_images(shape):
    clean = phantom(shape) * np.exp(1j * np.linspace(0, 2, shape[-1]))
    rng = np.random.default_rng(5)
    noise = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    assert estimate((clean + 0.04 * noise).astype(np.complex64)).sd == pytest.approx(0.04, rel=0.05)


def test_the_estimate_scales_with_the_image_and_leaves_it_alone():
    noisy = rician(phantom((1, 1, 96, 96)), 0.05, 0)
    before = noisy.copy()
    assert estimate(1000 * noisy).sd == pytest.approx(1000 * estimate(noisy).sd, rel=1e-3)
    assert np.array_equal(before, noisy)


def test_noise_free_images_have_next_to_none():
    assert estimate(phantom((1, 1, 128, 128)) + np.float32(0.001)).sd < 0.005


@pytest.mark.parametrize("bad", [np.zeros((1, 1, 32, 32)), np.full((1, 1, 32, 32), np.nan), np.ones((1, 1, 3, 3))])
def test_images_without_data_are_refused(bad):
    with pytest.raises(InputError):
        estimate(bad.astype(np.float32))


def test_moments_of_rician_magnitudes_are_inverted():
    rng = np.random.default_rng(0)
    for snr in (1.5, 3.0, 10.0):
        values = 2.5 * np.hypot(snr + rng.standard_normal(400_000), rng.standard_normal(400_000))
        assert values.mean() == pytest.approx(2.5 * mean_magnitude(snr), rel=0.005)
        sd, found, gain = noise_from_moments(values.var(), np.mean(values**2))
        assert sd == pytest.approx(2.5, rel=0.01) and found == pytest.approx(snr, rel=0.02)
        step = noise_from_moments(1.01 * values.var(), np.mean(values**2))[0]
        assert np.log(step / sd) / np.log(1.01) == pytest.approx(gain, rel=0.05)
    flat = 3 * np.hypot(*rng.standard_normal((2, 400_000)))
    assert flat.mean() / flat.std() == pytest.approx(RAYLEIGH_RATIO, rel=0.005)
