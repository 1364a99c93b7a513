"""What the bundled model does to series it never saw: the simulated heart, and a real cine where the data are there."""

from typing import Any

import pytest
import torch
from torch import Tensor

from clearmr import road
from clearmr.bench import Options, quality_rows, quality_trust
from clearmr.bench.entrants import judged
from clearmr.bench.quality_data import Sizes
from clearmr.evaluate import evaluate
from clearmr.methods.snraware import cards, method
from clearmr.scan import SnrImage
from clearmr.simulate import simulate
from real_cine import clean_cine

ONE = torch.ones(1, 1, 1, 1)
LESION_KEPT, REMOVED_LEAST, NOISE_LEFT = 0.8, 0.95, 0.05


@pytest.fixture(scope="module")
def denoiser() -> method.SnrAware:
    return method.load()


@pytest.fixture(scope="module", params=["simulated", "real"])
def series(request: pytest.FixtureRequest) -> Tensor:
    """(frame, z, y, x) complex64 without added noise, mean magnitude 1 in the object."""
    if request.param == "simulated":
        clean = simulate("cine", matrix=(1, 128, 128), n_frames=6, n_coils=2, seed=11).truth
    else:
        request.getfixturevalue("shared_data")("cine_10frames/clean_0.png")
        clean = clean_cine()[:6, :, 40:184, 40:184]
    inside = clean.abs() > 0.15 * clean.abs().max()
    return (clean / clean.abs()[inside].mean()).to(torch.complex64)


def noise_like(image: Tensor, seed: int = 0) -> Tensor:
    return torch.complex(*torch.randn((2, *image.shape), generator=torch.Generator().manual_seed(seed)))


def denoised(denoiser: method.SnrAware, image: Tensor, gmap: Tensor = ONE) -> Tensor:
    chosen = denoiser if image.is_complex() else method.load(is_complex=False)
    return chosen(SnrImage(image, gmap, gmap, "given")).image


@pytest.mark.parametrize(
    ("snr", "least_gain", "tolerance"), [(3.0, 8.0, 0.01), (5.0, 7.0, 0.01), (10.0, 5.0, 0.01), (20.0, 3.0, 0.01)]
)
def test_psnr_rises_and_the_mean_signal_stays(
    denoiser: method.SnrAware, series: Tensor, snr: float, least_gain: float, tolerance: float
) -> None:
    clean = snr * series
    noisy = clean + noise_like(clean)
    result = denoised(denoiser, noisy)
    before, after = (evaluate(clean.abs(), image.abs())["psnr"] for image in (noisy, result))
    assert after - before > least_gain
    inside = series.abs() > 0.3
    assert float(result.abs()[inside].mean() / clean.abs()[inside].mean()) == pytest.approx(1, abs=tolerance)


def test_psnr_rises_where_g_varies(denoiser: method.SnrAware, series: Tensor) -> None:
    clean = 8 * series
    bump = torch.sin(torch.linspace(0, torch.pi, clean.shape[-1]))
    gmap = (1 + 1.5 * bump[:, None] * bump)[None, None]
    noisy = clean + gmap * noise_like(clean)
    before, after = (evaluate(clean.abs(), i.abs())["psnr"] for i in (noisy, denoised(denoiser, noisy, gmap)))
    assert after - before > 5


def test_all_rounds_by_turns_do_better_than_the_first_two() -> None:
    """The simulated heart through R = 4: network alone, two rounds and the second network, all by turns."""
    case, *_ = quality_rows.accelerated(Sizes(accelerated=(64, 6)))
    given = case.problem()
    alone, two, whole = (
        judged(given, road.denoiser(refine=rounds)(given.noisy).image)["psnr"] for rounds in (0, 2, None)
    )
    assert alone + 0.7 < two and two + 0.25 < whole


@pytest.mark.parametrize("snr", [10.0, 30.0, 100.0])
def test_noise_free_image_is_left_alone(denoiser: method.SnrAware, series: Tensor, snr: float) -> None:
    clean = snr * series
    assert float((denoised(denoiser, clean) - clean).norm() / clean.norm()) < 0.0125


@pytest.mark.parametrize("shape", [(6, 1, 96, 96), (1, 1, 128, 128), (1, 12, 64, 64)])
def test_pure_noise_goes(denoiser: method.SnrAware, shape: tuple[int, ...]) -> None:
    noise = noise_like(torch.zeros(shape))
    assert float(denoised(denoiser, noise).abs().square().mean() / 2) ** 0.5 < NOISE_LEFT


def test_magnitude_gains_too(denoiser: method.SnrAware, series: Tensor) -> None:
    clean = 8 * series
    noisy = (clean + noise_like(clean)).abs()
    before, after = (evaluate(clean.abs(), i)["psnr"] for i in (noisy, denoised(denoiser, noisy)))
    assert after - before > 3.5


@pytest.fixture(scope="module", params=["cine, complex", "brain, complex", "brain, magnitude"])
def trust(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The bench's figures at SNR 5, of the default model for the kind of image."""
    sizes = Sizes(brain=48, plane=112, frames=6, draws=1)
    (scene,) = (scene for scene in quality_trust.scenes(sizes) if scene.name == request.param)
    return quality_trust.rows(scene, Options(), sizes)[quality_trust.SNRS.index(5.0)]


def test_small_lesions_stay(trust: dict[str, Any]) -> None:
    """Three voxels across, five noise SDs of contrast: Must show 6 of the model family."""
    assert trust["lesions"] >= 15 and LESION_KEPT < trust["lesion contrast kept"] < 1.2


def test_the_mean_signal_stays_with_lesions(trust: dict[str, Any]) -> None:
    assert trust["mean signal"] == pytest.approx(1, abs=0.01)


def test_what_was_removed_is_the_noise(trust: dict[str, Any]) -> None:
    """Its SD over the noise's where the image is smooth. What is left of the noise is missing from it."""
    assert REMOVED_LEAST < trust["removed / noise SD, smooth areas"] < 1.05


def test_the_default_models_are_bundled_with_their_cards(denoiser: method.SnrAware) -> None:
    assert road.denoiser().name == denoiser.name == "snraware-small"
    assert road.denoiser(is_complex=False).name == "snraware-small-mag"
    for name in cards.bundled():
        weights = cards.WEIGHTS / f"{name}.safetensors"
        assert weights.stat().st_size < 12e6 and weights.with_suffix(".md").is_file()
        assert {"licence", "data", "provenance", "measured", "range"} <= set(cards.load(name).card)
