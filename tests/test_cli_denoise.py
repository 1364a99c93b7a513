"""`clearmr denoise` of every kind of input: what becomes of image, noise level, g map, header, and what is said."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from clearmr import formats
from clearmr.methods.snraware import inference
from clearmr.report import Results
from clearmr.scan import SnrImage
from cli_runs import done, halved, halving_model, raw_file, scan, tiny_model

HALF = ("--model", halving_model())
AFFINE = np.array([[0.0, -1.5, 0, 10], [1.2, 0, 0.1, -20], [0, 0.2, 3, 5], [0, 0, 0, 1]])


def rician(*shape: int, sd: float = 4.0, seed: int = 0) -> np.ndarray:
    """A magnitude image of three flat levels in NIfTI's order (x, y, z, t), with noise of `sd`."""
    rng = np.random.default_rng(seed)
    clean = np.full(shape, 100.0)
    clean[: shape[0] // 2] = 60.0
    clean[:, : shape[1] // 3] = 150.0
    return np.abs(clean + sd * (rng.normal(size=shape) + 1j * rng.normal(size=shape)))


def nifti(path: Path, voxels: np.ndarray) -> Path:
    image = nibabel.Nifti1Image(voxels, AFFINE)
    image.header["descrip"] = b"mine"
    image.header.set_xyzt_units("mm", "sec")
    nibabel.save(image, path)
    return path


def snr_image(path: Path, **more: Any) -> np.ndarray:
    """An .npz in SNR units with a g map, and its image."""
    rng = np.random.default_rng(1)
    gmap = (1 + rng.random((1, 1, 24, 20))).astype(np.float32)
    image = 20 + gmap * (rng.normal(size=(2, 1, 24, 20)) + 1j * rng.normal(size=(2, 1, 24, 20)))
    arrays = {"image": image.astype(np.complex64), "noise_sd": gmap, "gmap": gmap, "spacing": np.array([5.0, 2, 1])}
    np.savez(path, **{**arrays, **more})
    return image.astype(np.complex64)


def load(path: Path) -> SnrImage:
    image = formats.load(path)
    assert isinstance(image, SnrImage)
    return image


def test_a_raw_scan_is_reconstructed_and_denoised(tmp_path: Path) -> None:
    raw = raw_file(tmp_path / "a.h5")
    done("recon", raw, "-o", tmp_path / "noisy.npz")
    done("denoise", raw, "-o", tmp_path / "clean.npz", *HALF)
    noisy, clean = load(tmp_path / "noisy.npz"), load(tmp_path / "clean.npz")
    expected = halved(noisy.image.numpy(), noisy.noise_sd.numpy())
    np.testing.assert_allclose(clean.image, expected, rtol=1e-5, atol=1e-5)
    assert float((noisy.image - clean.image).abs().mean()) > 0.5
    np.testing.assert_array_equal(clean.noise_sd, noisy.noise_sd)
    assert clean.noise_source == "measured" and clean.spacing == noisy.spacing


def test_an_image_in_snr_units(tmp_path: Path) -> None:
    image = snr_image(tmp_path / "a.npz")
    found = done("denoise", tmp_path / "a.npz", "-o", tmp_path / "b.npz", *HALF)
    clean = load(tmp_path / "b.npz")
    np.testing.assert_allclose(clean.image, halved(image, clean.noise_sd.numpy()), rtol=1e-5)
    assert clean.spacing == (5.0, 2.0, 1.0) and clean.noise_source == "given" and "warning" not in found.err
    assert clean.meta["steps"][-1]["model"] == "half"
    assert clean.meta["provenance"]["noise_source"] == "given"


@pytest.mark.parametrize("shape", [(40, 36), (40, 36, 5), (24, 20, 3, 4), (40, 36, 1, 6)])
@pytest.mark.parametrize("is_complex", [False, True])
def test_nifti_keeps_axes_header_and_affine(tmp_path: Path, shape: tuple[int, ...], is_complex: bool) -> None:
    voxels = rician(*shape) * (np.exp(0.5j) if is_complex else 1)
    path = nifti(tmp_path / "a.nii.gz", voxels.astype(np.complex64 if is_complex else np.float32))
    keep = ("--complex",) if is_complex else ()
    found = done("denoise", path, "-o", tmp_path / "b.nii.gz", "--noise-sd", "4", *HALF, *keep)
    before, after = nibabel.load(path), nibabel.load(tmp_path / "b.nii.gz")
    assert after.shape == shape and np.iscomplexobj(after.dataobj[...]) == is_complex
    np.testing.assert_allclose(after.affine, before.affine)
    assert bytes(after.header["descrip"]).startswith(b"mine") and after.header.get_zooms() == before.header.get_zooms()
    four = np.asarray(before.dataobj).reshape(shape + (1,) * (4 - len(shape))).T
    expected = halved(four, 4.0).T.reshape(shape)
    np.testing.assert_allclose(np.asarray(after.dataobj), expected, rtol=1e-4, atol=1e-3)
    assert "noise given" in found.err and "warning" not in found.err


def test_complex_nifti_is_written_as_magnitude_unless_asked(tmp_path: Path) -> None:
    image = snr_image(tmp_path / "a.npz")
    done("denoise", tmp_path / "a.npz", "-o", tmp_path / "m.nii", *HALF)
    done("denoise", tmp_path / "a.npz", "-o", tmp_path / "c.nii", *HALF, "--complex")
    magnitude, both = (np.asarray(nibabel.load(tmp_path / name).dataobj) for name in ("m.nii", "c.nii"))
    expected = halved(image, load(tmp_path / "a.npz").noise_sd.numpy()).T
    np.testing.assert_allclose(magnitude, np.abs(expected), rtol=1e-4)
    np.testing.assert_allclose(both, expected, rtol=1e-4)


def test_the_noise_of_a_magnitude_image_is_estimated_and_said_to_be(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii.gz", rician(64, 60, 8).astype(np.float32))
    found = done("denoise", path, "-o", tmp_path / "b.nii.gz", *HALF, "--report")
    clean = load(tmp_path / "b.nii.gz")
    assert float(clean.noise_sd.mean()) == pytest.approx(4, rel=0.05)
    assert clean.noise_source == "estimated" and "noise estimated" in found.err
    assert found.err.startswith("warning: the noise level was estimated from the image itself")
    results = Results.load(tmp_path / "b_results")
    assert results.warnings[0].startswith("the noise level was estimated") and "SD 4" in results.noise_note
    page = (tmp_path / "b_report.html").read_text()
    assert page.index("the noise level was estimated") < page.index("Provenance")


def test_snrawares_three_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    folder = tmp_path / "case"
    folder.mkdir()
    image = (10 + rng.normal(size=(24, 20, 3)) + 1j * rng.normal(size=(24, 20, 3))).astype(np.complex64)
    gmap = (1 + rng.random((24, 20))).astype(np.float32)
    for name, values in (("input_real", image.real), ("input_imag", image.imag), ("gmap", gmap)):
        np.save(folder / f"{name}.npy", values)
    done("denoise", folder, "-o", tmp_path / "a.npz", *HALF)
    done("denoise", folder / "input_real.npy", "-o", tmp_path / "b.npz", *HALF)
    first, second = load(tmp_path / "a.npz"), load(tmp_path / "b.npz")
    expected = halved(image.transpose(2, 0, 1)[:, None], gmap)
    np.testing.assert_allclose(first.image, expected, rtol=1e-5)
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.noise_sd[0, 0], gmap)


def test_a_given_g_map_scales_the_given_noise(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii.gz", rician(24, 20, 3).astype(np.float32))
    gmap = np.linspace(1, 3, 24 * 20 * 3).reshape(24, 20, 3).astype(np.float32)
    given = nifti(tmp_path / "g.nii.gz", gmap)
    done("denoise", path, "-o", tmp_path / "b.npz", *HALF, "--gmap", given, "--noise-sd", "2")
    clean = load(tmp_path / "b.npz")
    np.testing.assert_allclose(clean.gmap[0], gmap.transpose(2, 1, 0))
    np.testing.assert_allclose(clean.noise_sd[0], 2 * gmap.transpose(2, 1, 0), rtol=1e-6)


def test_a_given_g_map_takes_the_place_of_the_images_own(tmp_path: Path) -> None:
    snr_image(tmp_path / "a.npz")
    np.savez(tmp_path / "g.npz", image=np.full((1, 1, 1, 1), 3, np.float32))
    done("denoise", tmp_path / "a.npz", "-o", tmp_path / "b.npz", *HALF, "--gmap", tmp_path / "g.npz")
    clean = load(tmp_path / "b.npz")
    assert float(clean.gmap.unique()) == 3
    np.testing.assert_allclose(clean.noise_sd, 3, rtol=1e-6)


def test_noise_is_estimated_where_g_is_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    gmap = np.ones((96, 80), np.float32)
    gmap[:, 40:] = 2.5
    clean = np.full(gmap.shape, 200.0)
    noisy = np.abs(clean + 5 * gmap * (rng.normal(size=gmap.shape) + 1j * rng.normal(size=gmap.shape)))
    path, given = nifti(tmp_path / "a.nii.gz", noisy), nifti(tmp_path / "g.nii.gz", gmap)
    done("denoise", path, "-o", tmp_path / "b.npz", *HALF, "--gmap", given)
    noise_sd = load(tmp_path / "b.npz").noise_sd
    np.testing.assert_allclose(noise_sd[0, 0], 5 * gmap.T, rtol=0.08)


def test_a_noise_map_in_a_file(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii.gz", rician(24, 20, 3).astype(np.float32))
    level = np.linspace(2, 6, 24 * 20 * 3).reshape(24, 20, 3).astype(np.float32)
    given = nifti(tmp_path / "sd.nii.gz", level)
    done("denoise", path, "-o", tmp_path / "b.npz", *HALF, "--noise-sd", given, "--report")
    np.testing.assert_array_equal(load(tmp_path / "b.npz").noise_sd[0], level.transpose(2, 1, 0))
    results = Results.load(tmp_path / "b_results")
    assert results.noise_source == "given" and str(given) in results.noise_note


def test_repeats_are_averaged(tmp_path: Path) -> None:
    first, second = snr_image(tmp_path / "a.npz"), snr_image(tmp_path / "b.npz")
    other = (second * np.exp(0.1j)).astype(np.complex64)
    snr_image(tmp_path / "b.npz", image=other)
    done("denoise", tmp_path / "a.npz", tmp_path / "b.npz", "-o", tmp_path / "c.npz", *HALF)
    clean, one = load(tmp_path / "c.npz"), load(tmp_path / "a.npz")
    np.testing.assert_allclose(clean.image, halved((first + other) / 2, clean.noise_sd.numpy()), rtol=1e-4)
    np.testing.assert_allclose(clean.noise_sd, one.noise_sd / 2**0.5, rtol=1e-5)
    assert {"name": "average repeats", "repeats": 2} in clean.meta["steps"]
    assert len(clean.meta["provenance"]["input"]) == 2


def test_bounded_memory_gives_the_same_image_away_from_seams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "PROCESS_BYTES", 0.0)
    rng = np.random.default_rng(5)
    image = np.abs(10 + rng.normal(size=(3, 1, 150, 130)) + 1j * rng.normal(size=(3, 1, 150, 130))).astype(np.float32)
    np.savez(tmp_path / "a.npz", image=image, noise_sd=np.ones((1, 1, 1, 1)))
    for name, memory in (("whole", "2G"), ("tiled", "13M")):
        args = ("--memory", memory, "--model", tiny_model(), "--precision", "float32")
        done("denoise", tmp_path / "a.npz", "-o", tmp_path / f"{name}.npz", *args)
    whole, tiled = (load(tmp_path / f"{name}.npz") for name in ("whole", "tiled"))
    assert [i.meta["steps"][-1]["tiles"] > 1 for i in (whole, tiled)] == [False, True]
    removed, apart = image - whole.image.numpy(), (whole.image - tiled.image).abs().numpy()
    assert np.median(apart) < 0.002 * np.abs(removed).mean()
    assert apart.mean() < 0.02 * np.abs(removed).mean()


def test_denoising_twice_is_warned_of(tmp_path: Path) -> None:
    snr_image(tmp_path / "a.npz")
    assert "warning" not in done("denoise", tmp_path / "a.npz", "-o", tmp_path / "b.nii.gz", *HALF, "--complex").err
    found = done("denoise", tmp_path / "b.nii.gz", "-o", tmp_path / "c.npz", *HALF, "--report", "--json")
    assert "warning: the image was denoised before (half)" in found.err
    assert "denoised before" in json.loads(found.out)["warnings"][0]
    assert "denoised before" in load(tmp_path / "c.npz").meta["warnings"][0]
    assert "denoised before" in (tmp_path / "c_report.html").read_text()


def test_an_estimate_can_be_asked_for_of_an_image_whose_noise_is_known(tmp_path: Path) -> None:
    snr_image(tmp_path / "a.npz", noise_sd=np.full((1, 1, 1, 1), 7.0))
    done("denoise", tmp_path / "a.npz", "-o", tmp_path / "b.npz", *HALF, "--estimate-noise")
    assert load(tmp_path / "b.npz").noise_source == "estimated"


def test_warnings_of_the_scan_reach_the_page(tmp_path: Path) -> None:
    raw = raw_file(tmp_path / "a.h5", replace(scan(), bandwidth_ratio=None))
    found = done("denoise", raw, "-o", tmp_path / "b.npz", *HALF, "--report")
    assert "0.793 was taken" in found.err and "0.793 was taken" in (tmp_path / "b_report.html").read_text()


def test_force_replaces_everything(tmp_path: Path) -> None:
    snr_image(tmp_path / "a.npz")
    args = ("denoise", tmp_path / "a.npz", "-o", tmp_path / "b.nii.gz", "--report")
    done(*args, *HALF)
    before = (tmp_path / "b_results" / "results.json").read_text()
    done(*args, "--model", tiny_model(), "--force")
    after = (tmp_path / "b_results" / "results.json").read_text()
    assert '"name": "half"' in before and '"name": "random"' in after
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "a.npz", "b.json", "b.nii.gz", "b_gmap.nii.gz", "b_noisesd.nii.gz", "b_report.html", "b_results",
    ]  # fmt: skip


def test_the_same_command_gives_the_same_bytes_of_image(tmp_path: Path) -> None:
    raw = raw_file(tmp_path / "a.h5")
    for name in ("b", "c"):
        done("denoise", raw, "-o", tmp_path / f"{name}.npz", "--model", tiny_model())
    np.testing.assert_array_equal(load(tmp_path / "b.npz").image, load(tmp_path / "c.npz").image)
