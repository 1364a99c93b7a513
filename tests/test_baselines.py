"""The peers' denoisers keep the one contract, and get the noise level as it is."""

import importlib.util
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from clearmr import baselines
from clearmr.baselines import bm4d, nlm, peers, rice
from clearmr.denoiser import Denoiser
from clearmr.errors import InputError
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


QUICK = ("nlm", "mppca")  # BM4D takes seconds for the smallest volume; what it is given is tested by itself


@pytest.fixture(params=baselines.BASELINES)
def baseline(request: pytest.FixtureRequest) -> Denoiser:
    pytest.importorskip(baselines.room(request.param).PACKAGE)
    return baselines.load(request.param)


@pytest.mark.parametrize("kind", ["complex", "magnitude", "signed"])
def test_the_contract(baseline: Denoiser, kind: str) -> None:
    assert isinstance(baseline, Denoiser) and baseline.name in baselines.BASELINES
    clean = clean_series()
    noisy = clean + noise(SERIES)
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
        assert room.PACKAGE and room.LICENCE
    with pytest.raises(InputError, match="bm4d, nlm, mppca"):
        baselines.room("bm5d")


def magnitudes(signal: float, n: int = 200_000) -> np.ndarray:
    return (signal + noise((n,), seed=3)).abs().numpy()


@pytest.mark.parametrize("signal", [0.0, 0.5, 1.0, 2.0, 4.0, 20.0, 100.0])
def test_variance_is_stabilised_and_the_inverse_has_no_bias(signal: float) -> None:
    values = rice.stabilise(magnitudes(signal))
    assert 0.87 < values.std() < 1.08
    tolerance = 0.2 if signal < 0.6 else 0.02  # where magnitudes hardly tell signals apart
    assert float(rice.unstabilise(values.mean(keepdims=True))[0]) == pytest.approx(signal, abs=tolerance)
    assert float(rice.signal_of_mean(magnitudes(signal).mean(keepdims=True))[0]) == pytest.approx(signal, abs=tolerance)


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
