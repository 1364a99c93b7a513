"""SNR and CNR of regions by pseudo-replicas, and the figures in SNR units."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy import stats
from skimage.metrics import structural_similarity

from clearmr import evaluate
from clearmr.errors import InputError
from clearmr.scan import SnrImage

REPLICAS = 64


@dataclasses.dataclass(frozen=True)
class Blur:
    """A linear denoiser: the mean over `width` neighbours along x, round the edges."""

    width: int = 4
    name: str = "blur"

    def __call__(self, image: SnrImage) -> SnrImage:
        mean = torch.stack([image.image.roll(k, -1) for k in range(self.width)]).mean(0)
        return dataclasses.replace(image, image=mean)


def two_tissues(noise_sd: float = 0.5) -> tuple[SnrImage, dict[str, torch.Tensor]]:
    """Blood of 30 beside muscle of 10, in two frames, at a phase; the regions keep away from the edges."""
    clean = torch.full((2, 1, 48, 64), 10.0)
    clean[..., :32] = 30.0
    level = torch.full((1, 1, 1, 1), noise_sd)
    generator = torch.Generator().manual_seed(1)
    noisy = clean * (0.6 + 0.8j) + evaluate.complex_noise(level, tuple(clean.shape), generator)
    blood, muscle = torch.zeros(clean.shape, dtype=torch.bool), torch.zeros(clean.shape, dtype=torch.bool)
    blood[..., 8:28], muscle[..., 40:60] = True, True
    return SnrImage(noisy, level, torch.ones(1, 1, 1, 1), "given"), {"blood": blood, "muscle": muscle}


@pytest.mark.parametrize("width", [1, 4, 9])
def test_gain_of_a_linear_filter_is_that_of_theory(width: int) -> None:
    image, regions = two_tissues()
    gains = evaluate.denoiser_gains(image, Blur(width), regions, replicas=REPLICAS)
    # The mean of `width` independent voxels: noise falls by its root; the error of a region's mean SD is tiny.
    for region in gains.regions:
        assert region.noise_sd[0] == pytest.approx(0.5, rel=0.01)
        assert region.gain == pytest.approx(width**0.5, rel=0.02)
    assert gains.contrasts[0].gain == pytest.approx(width**0.5, rel=0.02)
    assert gains.contrasts[0].cnr[0] == pytest.approx(2 * (30 - 10) / (0.5 + 0.5), rel=0.02)
    assert gains.replicas == REPLICAS and gains.regions[0].voxels == 2 * 48 * 20


def test_gain_of_a_magnitude_image_far_above_the_noise() -> None:
    image, regions = two_tissues()
    magnitude = dataclasses.replace(image, image=image.image.abs())
    gains = evaluate.denoiser_gains(magnitude, Blur(4), regions, replicas=REPLICAS)
    assert [region.gain for region in gains.regions] == pytest.approx([2.0, 2.0], rel=0.03)


def test_the_signal_of_a_noisy_complex_image_is_not_taken_too_high() -> None:
    """At an SNR of 3 the magnitude of the noisy mean is 6 % over the signal."""
    noise = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(2), dtype=torch.complex64)
    one = torch.ones(1, 1, 1, 1)
    image = SnrImage(3 * torch.exp(torch.tensor(0.7j)) + 2**0.5 * noise, one, one, "given")
    everywhere = torch.ones(1, 1, 64, 64, dtype=torch.bool)
    gains = evaluate.denoiser_gains(image, Blur(9), {"blood": everywhere}, replicas=32)
    assert gains.regions[0].signal == pytest.approx((3, 3), rel=0.015)
    assert float(image.image.abs().mean()) > 3.15


def test_replicas_tell_the_denoiser_of_the_noise_that_is_there() -> None:
    image, _ = two_tissues()
    told = []

    @dataclasses.dataclass(frozen=True)
    class Listens:
        name: str = "listens"

        def __call__(self, noisy: SnrImage) -> SnrImage:
            told.append(float(noisy.noise_sd.mean()))
            return noisy

    evaluate.denoiser_replicas(image, Listens(), replicas=2)
    assert told == pytest.approx([0.5 * 2**0.5] * 2)


def test_the_same_seed_gives_the_same_gains() -> None:
    image, regions = two_tissues()
    first, again, other = (evaluate.denoiser_gains(image, Blur(), regions, replicas=4, seed=seed) for seed in (3, 3, 4))
    assert first == again and first != other


def test_cnr_is_the_paper_s_formula() -> None:
    assert evaluate.cnr((30.0, 10.0), (1.0, 3.0)) == pytest.approx(10.0)
    assert evaluate.cnr((10.0, 30.0), (1.0, 3.0)) == pytest.approx(-10.0)
    assert evaluate.cnr((30.0, 10.0), (0.0, 0.0)) == math.inf


def test_label_masks() -> None:
    labels = torch.zeros(1, 1, 4, 4)
    labels[0, 0, 0, :2] = 1
    one = evaluate.label_masks(labels, (3, 1, 4, 4), name="blood")
    assert list(one) == ["blood"] and one["blood"].shape == (3, 1, 4, 4) and int(one["blood"].sum()) == 6
    labels[0, 0, 3] = 5
    two = evaluate.label_masks(labels, (1, 1, 4, 4), name="heart")
    assert {name: int(mask.sum()) for name, mask in two.items()} == {"heart:1": 2, "heart:5": 4}


@pytest.mark.parametrize(
    ("labels", "word"),
    [
        (torch.zeros(1, 1, 4, 4), "empty"),
        (torch.ones(1, 1, 4, 5), "shape"),
        (torch.ones(4, 4), "shape"),
        (torch.rand(1, 1, 4, 4) + 0.5, "labels"),
        (-torch.ones(1, 1, 4, 4), "labels"),
    ],
)
def test_masks_that_are_none(labels: torch.Tensor, word: str) -> None:
    with pytest.raises(InputError, match=word) as error:
        evaluate.label_masks(labels, (1, 1, 4, 4), name="blood")
    assert "blood" in str(error.value) and "\n" not in str(error.value)


def test_an_empty_or_wrong_region_is_refused_with_one_line() -> None:
    image, regions = two_tissues()
    result = evaluate.denoiser_replicas(image, Blur(), replicas=2)
    for wrong, word in ((torch.zeros_like(regions["blood"]), "empty"), (regions["blood"][:1], "shape")):
        with pytest.raises(InputError, match=word):
            evaluate.region_gains(result, {"blood": wrong})


def test_paired_t_test() -> None:
    before, after = [1.0, 2.0, 4.0, 3.0], [3.0, 3.5, 7.0, 4.0]
    found = evaluate.paired_t_test(before, after)
    differences = np.subtract(after, before)
    t = differences.mean() / (differences.std(ddof=1) / 2)
    assert found.t == pytest.approx(t) and found.difference == pytest.approx(differences.mean())
    assert found.p == pytest.approx(2 * stats.t.sf(t, 3)) and found.n == 4
    for pairs in (([1.0], [2.0]), ([1.0, 2.0], [2.0])):
        with pytest.raises(InputError, match="pairs"):
            evaluate.paired_t_test(*pairs)


def test_psnr_in_snr_units() -> None:
    generator = torch.Generator().manual_seed(0)
    clean = torch.full((4, 1, 64, 64), 100.0 + 50.0j)
    noisy = clean + evaluate.complex_noise(torch.full((1, 1, 1, 1), 2.0), tuple(clean.shape), generator)
    found = evaluate.in_snr_units(clean, noisy)
    assert found.psnr_complex == pytest.approx(20 * math.log10(2048 / 2), abs=0.1)  # SD 2 in each channel
    assert found.psnr == pytest.approx(20 * math.log10(2048 / 2), abs=0.1)
    magnitude = evaluate.in_snr_units(clean.abs(), noisy.abs())
    assert magnitude.psnr == pytest.approx(found.psnr, abs=1e-4) and magnitude.psnr_complex is None


def test_ssim_in_snr_units_is_scikit_image_s() -> None:
    generator = torch.Generator().manual_seed(0)
    clean = 20 + 10 * torch.rand((1, 1, 40, 40), generator=generator)
    noisy = clean + torch.randn(clean.shape, generator=generator)
    found = evaluate.in_snr_units(clean, noisy)
    for ours, data_range in ((found.ssim, float(clean.max())), (found.ssim_unit, 1.0)):
        theirs = structural_similarity(clean[0, 0].numpy(), noisy[0, 0].numpy(), data_range=data_range)
        assert ours == pytest.approx(theirs, abs=1e-4)
    with pytest.raises(InputError, match="shape"):
        evaluate.in_snr_units(clean, noisy[..., :20])
    with pytest.raises(InputError, match="signal"):
        evaluate.in_snr_units(torch.zeros_like(clean), noisy)
