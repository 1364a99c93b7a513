"""The peers' denoisers keep the one contract, and get the noise level as it is."""

import importlib.util
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from clearmr import baselines
from clearmr.baselines import bm3d, bm4d, nlm, peers, rice
from clearmr.denoiser import Denoiser
from clearmr.errors import InputError
from clearmr.evaluate import rician
from clearmr.scan import SnrImage

ONE = torch.ones(1, 1, 1, 1)
SERIES = (7, 1, 18, 16)


def clean_series(shape: tuple[int, ...] = SERIES, snr: float = 10.0) -> Tensor:
    """A bright disc on a dimmer ground with a smooth phase, complex64."""
    y, x = (torch.linspace(-1, 1, n) for n in shape[2:])
    magnitude = 0.5 + (y[:, None] ** 2 + x**2 < 0.4).float()
    phase = (0.5 * y[:, None] + 0.8 * x).expand(shape)
    return torch.polar((snr * magnitude).expand(shape).contiguous(), phase.contiguous())


def noise(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.complex(*torch.randn((2, *shape), generator=torch.Generator().manual_seed(seed)))


def error(image: Tensor, clean: Tensor) -> float:
    return float((image - clean).abs().square().mean())


QUICK = ("nlm", "mppca", "asm")  # BM4D takes seconds for the smallest volume; what it is given is tested by itself


@pytest.fixture(params=baselines.filters())
def baseline(request: pytest.FixtureRequest) -> Denoiser:
    pytest.importorskip(baselines.room(request.param).PACKAGE)
    return baselines.load(request.param)


@pytest.mark.parametrize("kind", ["complex", "magnitude", "signed"])
def test_the_contract(baseline: Denoiser, kind: str) -> None:
    assert isinstance(baseline, Denoiser) and baseline.name in baselines.BASELINES
    shape = (1, 2, 32, 32) if baseline.name == "bm3d" else SERIES  # it gains little in frames of few blocks
    clean = clean_series(shape)
    noisy = clean + noise(shape)
    pairs = {"complex": (noisy, clean), "magnitude": (noisy.abs(), clean.abs()), "signed": (noisy.imag, clean.imag)}
    given, truth = pairs[kind]
    kept = given.clone()
    image = SnrImage(
        given, ONE, ONE, "given", (3.0, 2.0, 1.0), np.eye(4), header := object(), {"steps": [{"name": "a"}]}
    )
    result = baseline(image)
    assert torch.equal(given, kept)
    assert result.image.shape == given.shape and result.image.dtype == given.dtype
    assert result.header is header and result.spacing == (3.0, 2.0, 1.0) and result.noise_sd is ONE
    assert [step["name"] for step in result.meta["steps"]] == ["a", "denoise"]
    assert error(result.image, truth) < 0.5 * error(given, truth)


@pytest.mark.parametrize("baseline", QUICK, indirect=True)
def test_noise_that_varies_in_space_is_given(baseline: Denoiser) -> None:
    """As the image over the map: so that result and map scale together, voxel by voxel."""
    unit = clean_series() + noise(SERIES)
    gmap = (1 + torch.linspace(0, 2, SERIES[-1])).expand(1, 1, *SERIES[2:]).contiguous()
    plain = baseline(SnrImage(unit, ONE, ONE, "given")).image
    mapped = baseline(SnrImage(unit * gmap, gmap, gmap, "given")).image
    torch.testing.assert_close(mapped, plain * gmap, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("baseline", QUICK, indirect=True)
def test_voxels_without_noise_do_not_break_it(baseline: Denoiser) -> None:
    gmap = torch.ones(1, 1, *SERIES[2:])
    gmap[..., :4] = 0
    noisy = (clean_series() + noise(SERIES)) * gmap
    result = baseline(SnrImage(noisy, gmap, gmap, "given")).image
    assert bool(torch.isfinite(result.abs()).all())


def test_no_noise_at_all_is_refused(baseline: Denoiser) -> None:
    with pytest.raises(InputError, match="zero everywhere"):
        baseline(SnrImage(clean_series(), 0 * ONE, ONE, "given"))


@pytest.mark.parametrize("name", ["bm4d", "nlm"])
def test_volumes_gain(name: str) -> None:
    pytest.importorskip(baselines.room(name).PACKAGE)
    clean = clean_series((1, 8, 24, 24)).abs()
    noisy = (clean + noise(clean.shape)).abs()
    result = baselines.load(name)(SnrImage(noisy, ONE, ONE, "given")).image
    assert error(result, clean) < 0.4 * error(noisy, clean)


def test_bm4d_takes_off_the_bias_of_magnitudes() -> None:
    pytest.importorskip("bm4d")
    magnitude = (2.0 + noise((1, 12, 24, 24))).abs()
    result = baselines.load("bm4d")(SnrImage(magnitude, ONE, ONE, "given")).image
    assert float(magnitude.mean()) > 2.2 and float(result.mean()) == pytest.approx(2.0, abs=0.06)


def test_bm4d_is_given_white_noise_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    package = pytest.importorskip("bm4d")
    seen: list[tuple[tuple[int, ...], float, float]] = []

    def record(volume, sd, profile):  # type: ignore[no-untyped-def]
        seen.append((volume.shape, float(volume.std()), sd))
        return volume

    monkeypatch.setattr(package, "bm4d", record)
    level = 7.0 * ONE
    given = SnrImage(level * noise((6, 2, 32, 24)), level, ONE, "given")
    torch.testing.assert_close(bm4d.load()(given).image, given.image)
    assert [shape for shape, _, _ in seen] == [(32, 24, 6)] * 4  # a volume per slice and part: frames are its depth
    assert all(sd == 1.0 and found == pytest.approx(1, abs=0.05) for _, found, sd in seen)


def test_nlm_keeps_the_sign() -> None:
    """DIPY averages squares: without care, noise about zero would come back as its SD."""
    pytest.importorskip("dipy")
    given = SnrImage(noise((4, 1, 32, 32)), ONE, ONE, "given")
    assert float(nlm.load()(given).image.abs().mean()) < 0.3


def test_mppca_needs_frames() -> None:
    pytest.importorskip("dipy")
    with pytest.raises(InputError, match="at least 6 frames"):
        baselines.load("mppca")(SnrImage(clean_series((1, 8, 24, 24)), ONE, ONE, "given"))


@pytest.mark.parametrize("name", baselines.BASELINES)
def test_an_absent_package_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    package = baselines.room(name).PACKAGE
    monkeypatch.setattr(importlib.util, "find_spec", lambda asked: None if asked == package else find(asked))
    with pytest.raises(InputError, match=rf"{package} is not installed; pip install .clearmr\[baselines\]."):
        baselines.load(name)
    assert peers.absent(package) == f"{package} is not installed"


def test_every_baseline_says_what_it_is() -> None:
    for name in baselines.BASELINES:
        room = baselines.room(name)
        assert room.PACKAGE and room.LICENCE and room.load().name == name
    assert set(baselines.BASELINES) - set(baselines.filters()) == {"dip", "self2self", "noise2void"}
    with pytest.raises(InputError, match="bm4d, nlm, mppca"):
        baselines.room("bm5d")


def test_an_option_that_a_baseline_has_not_is_refused() -> None:
    with pytest.raises(InputError, match=r"options of dip: .*iterations.*; found along, strength; leave it out"):
        baselines.load("dip", strength=0.5, iterations=3, along="time")
    pytest.importorskip("dipy")
    with pytest.raises(InputError, match="options of nlm: it has none; found iterations"):
        baselines.load("nlm", iterations=3)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_images_with_holes_are_refused(baseline: Denoiser, value: float) -> None:
    image = clean_series()
    image[3, 0, 2, 2] = value
    with pytest.raises(InputError, match="NaN or infinite voxels"):
        baseline(SnrImage(image, ONE, ONE, "given"))


def test_bm3d_is_given_frames_of_white_noise_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    package = pytest.importorskip("bm3d")
    seen: list[tuple[tuple[int, ...], float, float]] = []

    def record(plane, sd, profile):  # type: ignore[no-untyped-def]
        assert profile.num_threads == torch.get_num_threads()
        seen.append((plane.shape, float(plane.std()), sd))
        return plane

    monkeypatch.setattr(package, "bm3d", record)
    level = 7.0 * ONE
    given = SnrImage(level * noise((3, 2, 32, 24)), level, ONE, "given")
    torch.testing.assert_close(bm3d.load()(given).image, given.image)
    assert [shape for shape, _, _ in seen] == [(32, 24)] * 12  # frames, slices, parts
    assert all(sd == 1.0 and found == pytest.approx(1, abs=0.1) for _, found, sd in seen)


def test_bm3d_takes_off_the_bias_of_magnitudes() -> None:
    pytest.importorskip("bm3d")
    magnitude = (2.0 + noise((1, 2, 40, 40))).abs()
    result = baselines.load("bm3d")(SnrImage(magnitude, ONE, ONE, "given")).image
    assert float(magnitude.mean()) > 2.2 and float(result.mean()) == pytest.approx(2.0, abs=0.08)


@pytest.mark.parametrize(("name", "least"), [("nlm", 8), ("asm", 16)])
def test_short_axes_are_mirrored(name: str, least: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """DIPY's classic weights read beyond axes no longer than block and patch radius: other results at every run."""
    package = pytest.importorskip("dipy.denoise.nlmeans")
    seen = []
    monkeypatch.setattr(package, "nlmeans", lambda volume, sd, **_: seen.append(volume) or volume)
    image = noise((4, 1, 20, 12)).real
    baselines.load(name)(SnrImage(image, ONE, ONE, "given"))
    y, x, n = seen[0].shape
    assert (y, x, n) == (20, max(12, least), least)
    np.testing.assert_array_equal(seen[0][..., 4:8], seen[0][..., 3::-1])
    np.testing.assert_allclose(seen[0][:, :12, :4] - 1e4, image[:, 0].permute(1, 2, 0), atol=1e-9)


@pytest.mark.parametrize("shape", [(1, 1, 20, 33), (1, 9, 20, 17), (3, 2, 16, 16)])
def test_soft_matching_takes_any_size(shape: tuple[int, ...]) -> None:
    """DIPY's own wavelets want volumes of some depth, and would meet zeros at sizes that are no power of two."""
    pytest.importorskip("dipy")
    clean = torch.full(shape, 9.0)
    noisy = (clean + noise(shape)).abs()
    result = baselines.load("asm")(SnrImage(noisy, ONE, ONE, "given")).image
    assert error(result, clean) < 0.35 * error(noisy, clean)
    assert error(result[..., -2:], clean[..., -2:]) < 0.6 * error(noisy, clean)  # the border too


def test_soft_matching_lies_between_its_two_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Edges, large coefficients, as the small patches have them; it is given the small ones first."""
    package = pytest.importorskip("dipy.denoise.nlmeans")
    seen = []

    def record(volume: np.ndarray, sd: float, **options: object) -> np.ndarray:
        seen.append((sd, options["patch_radius"], options["block_radius"], options["rician"]))
        return volume * options["patch_radius"]

    monkeypatch.setattr(package, "nlmeans", record)
    step = torch.full((1, 16, 16, 16), 1.0)
    step[..., 8:] = 200.0
    result = baselines.load("asm")(SnrImage(step, ONE, ONE, "given")).image
    assert seen == [(1.0, 1, 3, True), (1.0, 2, 3, True)]
    assert error(result, step) < 0.01 * error(2 * step, step)


def magnitudes(signal: float, n: int = 200_000) -> np.ndarray:
    return (signal + noise((n,), seed=3)).abs().numpy()


@pytest.mark.parametrize("signal", [0.0, 0.5, 1.0, 2.0, 4.0, 20.0, 100.0])
def test_variance_is_stabilised_and_the_inverse_has_no_bias(signal: float) -> None:
    values = rice.stabilise(magnitudes(signal))
    assert 0.87 < values.std() < 1.08
    tolerance = 0.2 if signal < 0.6 else 0.02  # where magnitudes hardly tell signals apart
    assert float(rice.unstabilise(values.mean(keepdims=True))[0]) == pytest.approx(signal, abs=tolerance)
    (taken,) = rician.signal_of_mean(magnitudes(signal).mean(keepdims=True))
    assert taken == pytest.approx(signal, abs=tolerance)


def test_the_stabiliser_rises_and_goes_on() -> None:
    values = rice.stabilise(np.linspace(0, 200, 4001))
    assert (np.diff(values) > 0).all() and math.isclose(np.diff(values)[-1], 0.05, rel_tol=1e-3)


@pytest.mark.parametrize(("snr", "method"), [(5.0, "blockwise"), (40.0, "classic")])
def test_nlm_gets_the_method_that_serves_it(snr: float, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package = pytest.importorskip("dipy.denoise.nlmeans")
    seen = []

    def record(volume: np.ndarray, sd: float, **options: object) -> np.ndarray:
        seen.append((sd, options["method"], options["rician"]))
        return volume

    monkeypatch.setattr(package, "nlmeans", record)
    nlm.load()(SnrImage(torch.full((1, 6, 8, 8), snr), ONE, ONE, "given"))
    assert seen == [(1.0, method, True)]
