"""Evaluation: pseudo-replicas find known noise, metrics agree with scikit-image, removed noise is counted right."""

import json
import math

import numpy as np
import pytest
import torch
from skimage.metrics import normalized_root_mse, peak_signal_noise_ratio, structural_similarity

from clearmr.errors import InputError
from clearmr.evaluate.metrics import evaluate, ssim
from clearmr.evaluate.pseudo_replica import complex_noise, g_from_replicas, pseudo_replica, receiver_noise
from clearmr.evaluate.removed_noise import removed_noise
from clearmr.scan import SnrImage


def images(seed: int = 0, shape=(2, 1, 40, 48)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : shape[2] * 1j, -1 : 1 : shape[3] * 1j]
    clean = np.broadcast_to((x**2 + y**2 < 0.6) * (2 + np.sin(7 * x)), shape).astype(np.float64)
    return clean, np.abs(clean + 0.1 * rng.standard_normal(shape))


def test_replicas_of_a_linear_map_have_its_analytic_noise():
    g = torch.Generator().manual_seed(3)
    matrix = torch.randn(6, 9, dtype=torch.complex64, generator=g)
    data = torch.randn(9, dtype=torch.complex64, generator=g)
    seen = []
    result = pseudo_replica(
        lambda d: matrix @ d,
        data,
        draw=lambda gen: complex_noise(torch.tensor(0.3), (9,), gen),
        replicas=2000,
        progress=lambda done, total: seen.append((done, total)),
    )
    expected = 0.3 * matrix.abs().square().sum(1).sqrt()
    assert ((result.noise_sd / expected - 1).abs() < 4 * result.relative_error).all()
    torch.testing.assert_close(result.mean, matrix @ data, atol=0.1, rtol=0)
    torch.testing.assert_close(result.snr, result.mean.abs() / result.noise_sd)
    assert seen[-1] == (2000, 2000) and len(seen) == 2000


def test_replicas_of_a_magnitude_give_the_sd_of_the_magnitude():
    result = pseudo_replica(
        torch.abs,
        torch.zeros(500, dtype=torch.complex64),
        draw=lambda gen: complex_noise(torch.tensor(1.0), (500,), gen),
        replicas=200,
    )
    assert not result.mean.is_complex()
    assert result.noise_sd.mean() == pytest.approx(math.sqrt(2 - math.pi / 2), rel=0.01), "Rayleigh"


def test_replicas_are_the_seeds_and_leave_the_data_alone():
    data = torch.ones(4, dtype=torch.complex64)
    runs = [
        pseudo_replica(
            lambda d: d, data, draw=lambda g: complex_noise(torch.ones(1), (4,), g), replicas=5, seed=s
        ).noise_sd
        for s in (0, 0, 1)
    ]
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])
    assert torch.equal(data, torch.ones(4, dtype=torch.complex64))
    with pytest.raises(InputError):
        pseudo_replica(lambda d: d, data, draw=lambda g: data, replicas=1)


def test_receiver_noise_has_the_covariance_and_only_where_measured():
    cov = torch.tensor([[2.0, 0.6 + 0.3j], [0.6 - 0.3j, 1.0]], dtype=torch.complex128)
    sampled = torch.zeros(1, 1, 1, 64, 1, dtype=torch.bool)
    sampled[..., ::2, :] = True
    noise = receiver_noise(cov, (3, 2, 1, 64, 400), torch.Generator().manual_seed(0), sampled=sampled)
    assert (noise[:, :, :, 1::2] == 0).all()
    taken = noise[:, :, :, ::2].transpose(0, 1).reshape(2, -1).to(torch.complex128)
    assert ((taken @ taken.mH) / taken.shape[1] - cov).abs().max() < 0.05
    with pytest.raises(InputError):
        receiver_noise(cov, (3, 4, 1, 8, 8), torch.Generator())


def test_g_is_the_ratio_of_noise():
    assert g_from_replicas(torch.tensor(6.0), torch.tensor(2.0), signal_loss=2.0) == 1.5


def test_metrics_agree_with_scikit_image():
    clean, noisy = images()
    found = evaluate(torch.from_numpy(clean), torch.from_numpy(noisy))
    top = clean.max()
    planes = [structural_similarity(c[0], n[0], data_range=top) for c, n in zip(clean, noisy, strict=True)]
    assert found["ssim"] == pytest.approx(np.mean(planes), abs=1e-6)
    assert found["psnr"] == pytest.approx(peak_signal_noise_ratio(clean, noisy, data_range=top), abs=1e-6)
    assert found["nrmse"] == pytest.approx(normalized_root_mse(clean, noisy), abs=1e-9)
    assert json.dumps(found)


def test_metrics_in_a_mask_count_the_mask_alone():
    clean, noisy = images()
    mask = clean > 0
    spoilt = np.where(mask, clean, 50.0)
    assert evaluate(clean, spoilt, mask)["psnr"] is None
    assert evaluate(clean, 1.02 * clean, mask)["mean_signal_ratio"] == pytest.approx(1.02)
    assert ssim(clean, noisy, data_range=3.0, mask=mask) != ssim(clean, noisy, data_range=3.0)


def test_complex_images_are_compared_as_complex():
    clean, _ = images()
    found = evaluate(clean.astype(np.complex64), (clean * np.exp(0.1j)).astype(np.complex64))
    assert found["nrmse"] == pytest.approx(2 * math.sin(0.05), rel=1e-4)
    assert found["ssim"] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("test, mask", [("shape", None), ("nan", None), ("ok", "empty"), ("ok", "shape")])
def test_metrics_refuse_what_cannot_be_compared(test, mask):
    clean, noisy = images()
    tests = {"shape": noisy[:1, :, 1:], "nan": np.where(noisy > 2, np.nan, noisy), "ok": noisy}
    masks = {None: None, "empty": np.zeros_like(clean), "shape": np.ones(7)}
    with pytest.raises(InputError):
        evaluate(clean, tests[test], masks[mask])


def snr_image(image: torch.Tensor, sd: torch.Tensor, gmap: torch.Tensor | None = None) -> SnrImage:
    return SnrImage(image, sd, torch.ones(1, 1, 1, 1) if gmap is None else gmap, "measured")


def test_removed_white_noise_is_standard_normal_in_every_g_range():
    gmap = torch.linspace(1, 3.5, 64).expand(1, 1, 64, 64).contiguous()
    clean = torch.full((2, 1, 64, 64), 10.0 + 0j, dtype=torch.complex64)
    noisy = clean + complex_noise(gmap, (2, 1, 64, 64), torch.Generator().manual_seed(0))
    told = removed_noise(snr_image(noisy, gmap, gmap), snr_image(clean, gmap, gmap))
    assert told["kind"] == "complex" and abs(told["mean"]) < 0.03
    assert told["sd"] == pytest.approx(1, abs=0.02) and abs(told["kurtosis"]) < 0.15
    assert len(told["by_gmap"]) == 5 and all(abs(row["sd"] - 1) < 0.06 for row in told["by_gmap"])
    histogram = told["histogram"]
    centres = np.add(histogram["edges"][1:], histogram["edges"][:-1]) / 2
    normal = 2 * clean.numel() * 0.2 * np.exp(-(centres**2) / 2) / math.sqrt(2 * math.pi)
    assert np.abs(histogram["counts"] - normal).max() < 5 * math.sqrt(normal.max())
    assert told["snr"]["before"] == pytest.approx(10 / 2.25, rel=0.1)
    json.dumps(told)


def test_a_half_denoiser_leaves_the_rest():
    """A projection that takes 3/4 of the noise's power leaves half of its SD."""
    clean = torch.full((1, 1, 64, 64), 8.0)
    noise = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    smooth = (
        noise.reshape(1, 1, 32, 2, 32, 2).mean((3, 5), keepdim=True).expand(1, 1, 32, 2, 32, 2).reshape(noise.shape)
    )
    ones = torch.ones(1, 1, 1, 1)
    told = removed_noise(snr_image(clean + noise, ones), snr_image(clean + smooth, ones))
    assert told["kind"] == "magnitude" and "magnitude" in told["parts"]
    assert told["noise_left"] == pytest.approx(0.5, abs=0.03)
    assert told["snr"]["after"] == pytest.approx(2 * told["snr"]["before"], rel=0.06)


def test_removed_noise_leaves_zeroed_voxels_out():
    clean = torch.full((1, 1, 32, 32), 8.0)
    clean[..., :20, :] = 0
    noisy = torch.where(clean > 0, clean + 1, clean)
    told = removed_noise(snr_image(noisy, torch.ones(1, 1, 1, 1)), snr_image(clean, torch.ones(1, 1, 1, 1)))
    assert told["voxels"] == 12 * 32 and told["mean"] == pytest.approx(1)
