"""The road in Python: load, reconstruct, denoise, save; repeats, given and estimated noise."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import clearmr
from clearmr import denoisers, road
from clearmr.denoiser import Denoiser
from clearmr.errors import InputError
from clearmr.scan import RawScan, SnrImage
from cli_runs import halved, halving_model, raw_file, scan
from laws import complex_noise

ONE = torch.ones(1, 1, 1, 1)


def image(*, seed: int = 0, sd: float = 1.0, gmap: torch.Tensor = ONE) -> SnrImage:
    noise = complex_noise(3, 1, 48, 48, seed=seed)
    return SnrImage(50 + sd * gmap * noise, sd * gmap.clone(), gmap, "given")


def test_the_four_words_of_the_package(tmp_path: Path) -> None:
    loaded = clearmr.load(raw_file(tmp_path / "a.h5"))
    assert isinstance(loaded, RawScan)
    noisy = clearmr.reconstruct(loaded)
    clean = clearmr.denoise(noisy, model=halving_model())
    np.testing.assert_allclose(clean.image, halved(noisy.image.numpy(), noisy.noise_sd.numpy()), rtol=1e-5, atol=1e-5)
    assert clearmr.save(clean, tmp_path / "b.npz") == [tmp_path / "b.npz"]
    again = clearmr.load(tmp_path / "b.npz")
    assert isinstance(again, SnrImage)
    assert torch.equal(again.image, clean.image) and again.noise_source == "measured"


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'sharpen'"):
        _ = clearmr.sharpen


def test_an_image_of_unknown_noise_gets_an_estimate(tmp_path: Path) -> None:
    noisy = np.abs(50 + 2 * complex_noise(64, 64, 4, seed=1).numpy())
    np.save(tmp_path / "a.npy", noisy.astype(np.float32))
    loaded = clearmr.load(tmp_path / "a.npy")
    assert isinstance(loaded, SnrImage) and loaded.noise_source == "estimated"
    assert float(loaded.noise_sd.mean()) == pytest.approx(2, rel=0.06)
    assert "estimated from the image" in loaded.meta["warnings"][0]


@pytest.mark.parametrize("shape", [(2, 1, 64, 64), (1, 2, 64, 64), (2, 2, 64, 64)])
@pytest.mark.parametrize("is_complex", [False, True])
def test_two_frames_or_slices_are_enough_for_an_estimate(shape: tuple[int, ...], is_complex: bool) -> None:
    noisy = 50 + 3 * complex_noise(*shape, seed=2)
    found = road.with_estimated_noise(SnrImage(noisy if is_complex else noisy.abs(), ONE, ONE, "unknown"))
    assert float(found.noise_sd.mean()) == pytest.approx(3, rel=0.08)


def test_a_denoiser_keeps_the_contract() -> None:
    denoiser = road.denoiser(model=halving_model(), memory="1G")
    assert isinstance(denoiser, Denoiser)
    noisy = replace(image(), spacing=(3.0, 2.0, 1.0), affine=np.eye(4), header="mine")
    before = noisy.image.clone()
    clean = denoiser(noisy)
    assert torch.equal(noisy.image, before)
    assert (clean.spacing, clean.header, clean.noise_source) == (noisy.spacing, "mine", "given")
    assert clean.image.dtype == noisy.image.dtype and torch.equal(clean.noise_sd, noisy.noise_sd)


@pytest.mark.parametrize("options", [{"method": "magic"}, {"model": "no-such-model"}])
def test_an_unknown_method_or_model(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"magic|no-such-model"):
        road.denoiser(**options)


@pytest.mark.parametrize(
    ("size", "expected"),
    [("4G", 4e9), ("800M", 8e8), ("1.5 gb", 1.5e9), ("2GiB", 2 * 2**30), ("512MiB", 2**29), ("3e9", 3e9), (1e9, 1e9)],
)
def test_sizes_are_read_as_people_write_them(size: str | float, expected: float) -> None:
    assert denoisers.bytes_of(size) == expected


@pytest.mark.parametrize("size", ["", "G", "lots", "-2G", "0", "inf", "nan", "4 apples", float("nan"), -1.0])
def test_what_is_no_size_is_said(size: str | float) -> None:
    with pytest.raises(InputError, match=r"--memory as a size.*4G"):
        denoisers.bytes_of(size)


@pytest.mark.parametrize("is_complex", [True, False])
def test_strength_batch_and_along_reach_the_denoiser(is_complex: bool) -> None:
    noisy = image() if is_complex else replace(image(), image=image().image.abs())
    common = {"model": halving_model(), "precision": "float32", "refine": 0}
    full = clearmr.denoise(noisy, **common)
    half = clearmr.denoise(noisy, strength=0.5, along="none", batch=2, memory=2e9, **common)
    torch.testing.assert_close(half.image, (noisy.image + full.image) / 2)
    step = half.meta["steps"][-1]
    assert (step["strength"], step["along"], step["batch"], step["precision"]) == (0.5, "none", 2, "float32")


def test_the_noise_of_an_average_is_that_of_its_parts() -> None:
    parts = [image(seed=k, sd=sd) for k, sd in enumerate((1.0, 2.0, 2.0))]
    mean = road.average(parts)
    torch.testing.assert_close(mean.image, sum(p.image for p in parts) / 3)
    torch.testing.assert_close(mean.noise_sd, ONE)  # sqrt(1 + 4 + 4) / 3
    spread = torch.view_as_real(mean.image - 50).std()
    assert float(spread) == pytest.approx(1, rel=0.03)


def test_an_average_is_as_certain_as_its_worst_part() -> None:
    estimated = replace(image(seed=1), noise_source="estimated", meta={"warnings": ["doubtful"]})
    mean = road.average([image(), estimated])
    assert mean.noise_source == "estimated" and mean.meta["warnings"] == ["doubtful"]
    assert road.average([estimated]) is estimated


def test_repeats_must_be_alike() -> None:
    magnitude = replace(image(), image=image().image.abs())
    with pytest.raises(InputError, match=r"complex .* and magnitude"):
        road.average([image(), magnitude])


def test_a_g_map_carries_the_noise_with_it() -> None:
    gmap = 1 + torch.rand(1, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    once = road.with_gmap(image(sd=2.0), gmap)
    torch.testing.assert_close(once.noise_sd, 2 * gmap)
    torch.testing.assert_close(road.with_gmap(once, ONE).noise_sd, 2 * torch.ones_like(gmap))


def test_zeros_in_a_g_map_do_no_harm() -> None:
    gmap = torch.ones(1, 1, 48, 48)
    gmap[..., :10] = 0
    found = road.with_estimated_noise(road.with_gmap(image(sd=3.0), gmap))
    assert bool(torch.isfinite(found.noise_sd).all()) and float(found.noise_sd.max()) == pytest.approx(3, rel=0.1)


def test_an_image_that_was_denoised_before_is_warned_of() -> None:
    untouched = image()
    assert road.with_caution(untouched) is untouched
    once = road.denoise(image(), model=halving_model())
    assert not once.meta.get("warnings")
    twice = road.denoise(once, model=halving_model())
    assert "denoised before (half)" in twice.meta["warnings"][0]


def test_steps_have_names_even_where_a_file_forgot_them() -> None:
    noted = replace(image(), meta={"steps": [{"name": "prewhiten", "scale": 2.0}, {"name": "denoise"}, {"x": 1}]})
    assert road.steps(noted) == [{"name": "prewhiten", "scale": 2.0}, {"name": "denoise"}, {"name": "step", "x": 1}]


def test_to_image_of_raw_data(tmp_path: Path) -> None:
    path = raw_file(tmp_path / "a.h5", replace(scan(), noise=None))
    with pytest.raises(InputError, match="--estimate-noise"):
        road.to_image(path)
    assert road.to_image(path, estimate_noise=True).noise_source == "estimated"
    assert road.to_image(path, noise_scan=raw_file(tmp_path / "n.h5")).noise_source == "measured"


@pytest.mark.parametrize("given", [4.0, "4"])
def test_a_number_is_the_noise_where_g_is_one(tmp_path: Path, given: float | str) -> None:
    clearmr.save(image(gmap=2 * ONE), tmp_path / "a.npz")
    found = road.to_image(tmp_path / "a.npz", noise_sd=given)
    assert float(found.noise_sd) == 8 and found.noise_source == "given"
