"""Each figure against an independent implementation, to 1e-6; and pseudo-replica SNR against theory, to 1 %."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d
from scipy.stats import norm
from skimage.metrics import normalized_root_mse, peak_signal_noise_ratio, structural_similarity
from typer.testing import CliRunner

from clearmr import evaluate, formats
from clearmr.cli import app
from clearmr.errors import InputError
from clearmr.evaluate import edges, lesion, metrics, planes
from clearmr.scan import SnrImage

ONE = torch.ones(1, 1, 1, 1)


def pair(shape: tuple[int, ...] = (2, 12, 24, 20)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    clean = 1 + gaussian_filter1d(rng.random(shape), 2, axis=-1)
    return clean, clean + 0.1 * rng.standard_normal(shape)


def test_ssim_of_volumes_is_scikit_images() -> None:
    clean, noisy = pair()
    top = clean.max()
    expected = np.mean([structural_similarity(c, n, data_range=top) for c, n in zip(clean, noisy, strict=True)])
    assert metrics.ssim_3d(clean, noisy, data_range=top) == pytest.approx(expected, abs=1e-6)
    found = evaluate.evaluate(clean, noisy)
    assert found["ssim_3d"] == pytest.approx(expected, abs=1e-6)
    assert found["psnr"] == pytest.approx(peak_signal_noise_ratio(clean, noisy, data_range=top), abs=1e-6)
    assert found["nrmse"] == pytest.approx(normalized_root_mse(clean, noisy), abs=1e-6)
    planes_of = zip(clean.reshape(24, 24, 20), noisy.reshape(24, 24, 20), strict=True)
    flat = [structural_similarity(c, n, data_range=top) for c, n in planes_of]
    assert found["ssim"] == pytest.approx(np.mean(flat), abs=1e-6)
    assert evaluate.evaluate(*pair((2, 3, 24, 20)))["ssim_3d"] is None
    mask = clean > 1.5
    assert metrics.ssim_3d(clean, noisy, data_range=top, mask=mask) != pytest.approx(expected, abs=1e-6)


def test_an_edge_blurred_by_a_gaussian_has_its_width() -> None:
    """10 to 90 % of a normal distribution: 2 x 1.2816 SDs."""
    x = np.arange(61)
    for sd in (2.0, 4.0):
        plane = np.tile(3 + 5 * norm.cdf((x - 30) / sd), (40, 1))
        found = edges.edge_width(edges.profile(plane, (20, 10), (20, 50), width=5))
        assert found == pytest.approx(2 * norm.ppf(0.9) * sd, rel=0.01)
    exact = edges.edge_width(norm.cdf(np.linspace(-8, 8, 100_001)), step=16 / 100_000)
    assert exact == pytest.approx(2 * norm.ppf(0.9), abs=1e-6)


def test_edges_that_are_none() -> None:
    with pytest.raises(InputError):
        edges.edge_width(np.ones(50))
    for start, stop in (((0, 0), (0, 90)), ((3, 3), (3, 4))):
        with pytest.raises(InputError):
            edges.profile(np.ones((40, 40)), start, stop)


def test_contrast_of_a_lesion_is_its_definition() -> None:
    image = torch.zeros(1, 1, 21, 21)
    y, x = torch.meshgrid(torch.arange(21) - 10, torch.arange(21) - 10, indexing="ij")
    radius = (y**2 + x**2).sqrt()
    image[0, 0][radius <= 1.5] = 4.0
    image[0, 0][(radius > 2.5) & (radius <= 3.5)] = 1.0
    assert lesion.contrasts(image, [(0, 10, 10)])[0] == pytest.approx(3.0, abs=1e-6)


def test_pseudo_replica_snr_of_a_linear_filter_is_theory() -> None:
    """A 3-tap filter along x: noise SD sqrt(sum w^2), signal unchanged on a constant."""
    taps = torch.tensor([0.25, 0.5, 0.25], dtype=torch.complex64)
    data = torch.full((64, 64), 8.0, dtype=torch.complex64)

    def smooth(image: torch.Tensor) -> torch.Tensor:
        return taps[0] * image.roll(1, -1) + taps[1] * image + taps[2] * image.roll(-1, -1)

    result = evaluate.pseudo_replica(
        smooth, data, draw=lambda g: evaluate.complex_noise(torch.tensor(1.0), (64, 64), g), replicas=64
    )
    gain = 1 / math.sqrt(0.25**2 + 0.5**2 + 0.25**2)
    assert float(1 / result.noise_sd.square().mean().sqrt()) == pytest.approx(gain, rel=0.01)
    snr = float(result.mean.abs().mean() / result.noise_sd.square().mean().sqrt())
    assert snr == pytest.approx(8 * gain, rel=0.01)


def test_mean_signal_and_cnr_are_closed_forms() -> None:
    clean, _ = pair()
    assert evaluate.evaluate(clean, 1.07 * clean)["mean_signal_ratio"] == pytest.approx(1.07, abs=1e-9)
    assert evaluate.cnr((10.0, 4.0), (1.0, 2.0)) == pytest.approx(4.0, abs=1e-12)


def test_plane_errors_and_tests_between_images() -> None:
    clean, noisy = pair((1, 12, 24, 20))
    better = clean + 0.5 * (noisy - clean)
    found = planes.plane_errors(clean, noisy)
    expected = np.sqrt(((noisy - clean) ** 2).mean((2, 3)).ravel())
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    (row,) = planes.paired_tests({"noisy": found, "better": planes.plane_errors(clean, better)})
    assert row["nearer"] == "better" and row["wilcoxon_p"] < 0.001 and row["planes"] == 12
    mask = np.zeros((1, 12, 1, 1))
    mask[:, :3] = 1
    assert np.isnan(planes.plane_errors(clean, noisy, mask)).sum() == 9
    few = {name: planes.plane_errors(clean, image, mask) for name, image in (("a", noisy), ("b", better))}
    assert planes.paired_tests(few) == []
    with pytest.raises(InputError):
        planes.plane_errors(clean, noisy[:, :3])


def test_plane_errors_take_a_complex_image_beside_a_magnitude_one_as_magnitude() -> None:
    clean, noisy = pair((1, 12, 24, 20))
    turned = clean * np.exp(1j)
    np.testing.assert_allclose(planes.plane_errors(turned, noisy), planes.plane_errors(clean, noisy), rtol=1e-6)
    assert planes.plane_errors(turned, clean.astype(complex)).min() > 0.5


def test_structural_similarity_is_none_where_the_mask_lies_in_its_border() -> None:
    clean, noisy = pair((1, 12, 24, 20))
    slices = np.zeros((1, 12, 1, 1))
    slices[:, :3] = 1
    found = evaluate.evaluate(clean, noisy, slices)
    assert found["ssim_3d"] is None and 0 < found["ssim"] < 1
    assert evaluate.evaluate(clean, noisy, np.arange(20) < 3)["ssim"] is None


def test_evaluate_lists_images_with_tests_between_them(tmp_path: Path) -> None:
    clean, noisy = (torch.from_numpy(a).float() for a in pair((1, 12, 24, 20)))
    clean[..., 10:] += 3
    names = {"clean": clean, "noisy": noisy, "better": clean + 0.1}
    for name, image in names.items():
        formats.save(SnrImage(image, ONE, ONE, "given"), tmp_path / f"{name}.npz")
    arguments = ["evaluate", "--reference", "clean.npz", "--test", "noisy.npz", "better.npz", "--edge", "0,3,8,3,8,17"]
    arguments = [str(tmp_path / a) if a.endswith("npz") else a for a in arguments]
    ran = CliRunner().invoke(app, arguments)
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.stdout)
    assert len(told["results"]) == 2 and told["tests"][0]["planes"] == 12
    assert told["tests"][0]["nearer"] == str(tmp_path / "better.npz")
    widths = told["results"][1]["edge_width"]
    assert widths["test"] == pytest.approx(widths["reference"], rel=1e-4)
    for wrong in ("1,2", "0,99,8,3,8,17", "a,b,c,d,e,f"):
        assert CliRunner().invoke(app, [*arguments[:-1], wrong]).exit_code != 0
    labels = ["evaluate", "--reference-labels", arguments[2], "--test-labels", arguments[2], "--edge", "0,3,8,3,8,17"]
    assert "--edge" in str(CliRunner().invoke(app, labels).exception)
