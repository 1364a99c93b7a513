"""Image files: what goes out comes back, headers are kept, and what cannot be read says so."""

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import ismrmrd
import nibabel
import numpy as np
import pytest
import torch

from clearmr import formats
from clearmr.errors import InputError
from clearmr.scan import SnrImage

ONES = torch.ones((1, 1, 1, 1))


def load_image(path: Path) -> SnrImage:
    image = formats.load(path)
    assert isinstance(image, SnrImage)
    return image


def example(frames: int = 3, z: int = 2, *, dtype: torch.dtype = torch.complex64) -> SnrImage:
    generator = torch.Generator().manual_seed(1)
    affine = np.array([[-2.0, 0, 0, 5], [0, -1.5, 0, 6], [0, 0, 4.0, 7], [0, 0, 0, 1]])
    return SnrImage(
        torch.randn((frames, z, 5, 6), generator=generator, dtype=dtype),
        torch.rand((1, z, 5, 6), generator=generator) + 1,
        torch.rand((1, z, 5, 6), generator=generator) + 1,
        "measured",
        (4.0, 1.5, 2.0),
        affine,
        None,
        {"steps": [{"name": "prewhiten", "scale": 1.5}], "warnings": ["a sentence"]},
    )


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        act()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("ending", [".npz", ".h5", ".nii", ".nii.gz"])
@pytest.mark.parametrize("frames", [1, 3])
def test_complex_images_round_trip(tmp_path: Path, ending: str, frames: int) -> None:
    image = example(frames)
    written = formats.save(image, tmp_path / f"a{ending}", keep_complex=True)
    assert written[0] == tmp_path / f"a{ending}" and all(p.exists() for p in written)
    assert set(tmp_path.iterdir()) == set(written)
    back = load_image(written[0])
    torch.testing.assert_close(back.image, image.image)
    torch.testing.assert_close(back.noise_sd, image.noise_sd, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(back.gmap, image.gmap, rtol=1e-6, atol=1e-6)
    assert back.noise_source == "measured" and back.spacing == image.spacing
    assert back.affine is not None and image.affine is not None
    np.testing.assert_allclose(back.affine, image.affine)
    assert back.meta["steps"] == image.meta["steps"] and back.meta["warnings"] == ["a sentence"]
    assert back.meta["path"] == f"a{ending}" and len(back.meta["sha256"]) == 64


@pytest.mark.parametrize("ending", [".npz", ".h5", ".nii.gz"])
def test_magnitude_images_round_trip(tmp_path: Path, ending: str) -> None:
    image = example(dtype=torch.float32)
    back = load_image(formats.save(image, tmp_path / f"a{ending}")[0])
    assert not back.is_complex
    torch.testing.assert_close(back.image, image.image)


def test_nifti_is_the_magnitude_unless_told(tmp_path: Path) -> None:
    image = example()
    back = load_image(formats.save(image, tmp_path / "a.nii.gz")[0])
    assert back.image.dtype == torch.float32
    torch.testing.assert_close(back.image, image.image.abs())


@pytest.mark.parametrize("ending", [".tiff", "", ".dcm", ".dat"])
def test_an_unknown_ending_is_refused(tmp_path: Path, ending: str) -> None:
    assert ".nii.gz" in refusal(lambda: formats.save(example(), tmp_path / f"a{ending}"))


@pytest.mark.parametrize("ending", [".npz", ".h5", ".nii.gz", ".npy"])
def test_nothing_is_overwritten_without_force(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    path.write_text("mine")
    assert "--force" in refusal(lambda: formats.save(example(z=1), path))
    assert path.read_text() == "mine" and list(tmp_path.iterdir()) == [path]
    formats.save(example(z=1), path, force=True)
    assert isinstance(load_image(path), SnrImage)


def test_an_existing_sidecar_stops_nifti_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "a_gmap.nii.gz").write_text("mine")
    assert "a_gmap" in refusal(lambda: formats.save(example(), tmp_path / "a.nii.gz"))
    assert [p.name for p in tmp_path.iterdir()] == ["a_gmap.nii.gz"]


def write_nifti(path: Path, voxels: np.ndarray, *, kind: type = nibabel.Nifti1Image) -> Path:
    affine = np.array([[-2.0, 0.1, 0, 5], [0, -1.5, 0.2, 6], [0, 0, 4.0, 7], [0, 0, 0, 1]])
    image = kind(voxels, affine)
    image.header.set_xyzt_units("mm", "sec")
    image.header["descrip"] = b"TE=30"
    image.set_sform(affine, code=4)
    image.set_qform(affine, code=1)
    if voxels.ndim == 4:
        image.header["pixdim"][4] = 2.5
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 4), (6, 5, 4, 3), (6, 5, 1), (6, 5, 1, 3), (6, 5, 4, 1)])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_nifti_axes_and_header_are_kept(tmp_path: Path, shape: tuple[int, ...], kind: type) -> None:
    voxels = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    first = write_nifti(tmp_path / "a.nii.gz", voxels, kind=kind)
    image = load_image(first)
    four = voxels.reshape(shape + (1,) * (4 - len(shape)))
    np.testing.assert_array_equal(image.image.numpy(), four.transpose(3, 2, 1, 0))
    assert image.noise_source == "unknown" and torch.equal(image.noise_sd, ONES)
    second = nibabel.load(formats.save(image, tmp_path / "b.nii.gz")[0])
    was = nibabel.load(first)
    assert second.shape == was.shape and type(second) is type(was)
    np.testing.assert_array_equal(second.get_fdata(), was.get_fdata())
    for field in ("pixdim", "xyzt_units", "sform_code", "qform_code", "srow_x", "quatern_b", "descrip"):
        np.testing.assert_array_equal(second.header[field], was.header[field], err_msg=field)


def test_nifti_integers_with_a_slope_become_float32_and_go_out_unscaled(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4))
    image.header.set_slope_inter(0.5, 3.0)
    nibabel.save(image, tmp_path / "a.nii")
    with (tmp_path / "a.nii").open("r+b") as file:  # nibabel rescales on saving: put slope and intercept back
        file.seek(112)
        file.write(np.array([0.5, 3.0], dtype="<f4").tobytes())
    found = load_image(tmp_path / "a.nii")
    stored = nibabel.load(tmp_path / "a.nii").dataobj.get_unscaled()
    np.testing.assert_allclose(found.image[0].numpy(), stored.transpose(2, 1, 0) * 0.5 + 3)
    back = nibabel.load(formats.save(found, tmp_path / "b.nii.gz")[0])
    assert back.get_data_dtype() == np.float32
    np.testing.assert_allclose(back.get_fdata(), found.image[0].numpy().transpose(2, 1, 0))


def test_nifti_is_known_by_content_and_metres_become_millimetres(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "a.nii", np.ones((6, 5, 4), dtype=np.float32))
    path.rename(tmp_path / "b.h5")
    assert load_image(tmp_path / "b.h5").spacing[0] == pytest.approx(4.0, abs=0.1)
    image = nibabel.Nifti1Image(np.ones((3, 3, 3), dtype=np.float32), np.diag([0.002, 0.002, 0.002, 1]))
    image.header.set_xyzt_units("meter")
    nibabel.save(image, tmp_path / "m.nii")
    assert load_image(tmp_path / "m.nii").spacing == pytest.approx((2.0, 2.0, 2.0))


def test_maps_beside_a_nifti_are_read_and_foreign_json_is_left_alone(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "a.nii.gz", np.ones((6, 5, 4, 3), dtype=np.float32))
    write_nifti(tmp_path / "a_noisesd.nii.gz", np.full((6, 5, 4), 2.0, dtype=np.float32))
    (tmp_path / "a.json").write_text(json.dumps({"EchoTime": 0.03}))
    image = load_image(path)
    assert image.noise_source == "given" and torch.equal(image.noise_sd, torch.full((1, 4, 5, 6), 2.0))
    write_nifti(tmp_path / "a_gmap.nii.gz", np.ones((5, 5, 4), dtype=np.float32))
    assert "a_gmap" in refusal(lambda: formats.load(path))


def test_nifti_that_cannot_be_an_image_is_refused(tmp_path: Path) -> None:
    five = write_nifti(tmp_path / "five.nii", np.ones((3, 3, 3, 2, 3), dtype=np.float32))
    assert "(3, 3, 3, 2, 3)" in refusal(lambda: formats.load(five))
    nan = write_nifti(tmp_path / "nan.nii", np.full((3, 3, 3), np.nan, dtype=np.float32))
    assert "NaN" in refusal(lambda: formats.load(nan))
    colour = np.zeros((3, 3, 3), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.save(nibabel.Nifti1Image(colour, np.eye(4)), tmp_path / "rgb.nii")
    assert "dtype" in refusal(lambda: formats.load(tmp_path / "rgb.nii"))


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_truncated_nifti_is_refused(tmp_path: Path, ending: str) -> None:
    voxels = np.random.default_rng(0).normal(size=(20, 20, 20)).astype(np.float32)
    path = write_nifti(tmp_path / f"a{ending}", voxels)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "whole NIfTI" in refusal(lambda: formats.load(path))


def test_a_nifti_header_that_claims_too_much_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    for ending in (".nii", ".nii.gz"):
        header = nibabel.Nifti1Header()
        header.set_data_dtype(np.float32)
        header.set_data_shape((30000, 30000, 3000))
        header["magic"], header["vox_offset"] = b"n+1", 352
        raw = header.binaryblock + bytes(200)
        (tmp_path / f"a{ending}").write_bytes(gzip.compress(raw) if ending == ".nii.gz" else raw)
        assert "claims" in refusal(lambda at=tmp_path / f"a{ending}": formats.load(at))


def test_npz_of_another_program_needs_only_an_image(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(2, 1, 4, 5)).astype(np.float64)
    np.savez(tmp_path / "a.npz", image=values)
    image = load_image(tmp_path / "a.npz")
    assert image.image.dtype == torch.float32 and image.noise_source == "unknown"
    np.savez(tmp_path / "b.npz", image=values, noise_sd=3.0, gmap=np.ones((4, 5)))
    image = load_image(tmp_path / "b.npz")
    assert image.noise_source == "given" and image.noise_sd.shape == (1, 1, 1, 1) and image.gmap.shape == (1, 1, 4, 5)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"other": np.ones(3)}, "'image'"),
        ({"image": np.ones((4, 5))}, "(frame, z, y, x)"),
        ({"image": np.full((1, 1, 2, 2), np.nan)}, "NaN"),
        ({"image": np.array([["a"]])}, "numbers"),
        ({"image": np.ones((1, 1, 2, 2)), "noise_sd": np.ones((3, 3))}, "broadcastable"),
        ({"image": np.ones((2, 1, 2, 2)), "gmap": np.ones((3, 1, 2, 2))}, "broadcastable"),
        ({"image": np.ones((1, 1, 2, 2)), "meta": np.array("[1")}, "JSON"),
        ({"image": np.ones((1, 1, 2, 2)), "spacing": np.array([0.0, 1, 1])}, "spacing"),
        ({"image": np.ones((1, 1, 2, 2)), "affine": np.ones(3)}, "affine"),
        ({"image": np.array([{"a": 1}], dtype=object)}, "pickled"),
    ],
)
def test_npz_that_is_no_image_is_refused(tmp_path: Path, parts: dict[str, np.ndarray], said: str) -> None:
    np.savez(tmp_path / "a.npz", **parts)
    assert said in refusal(lambda: formats.load(tmp_path / "a.npz"))


def test_truncated_numpy_files_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", image=np.ones((1, 1, 40, 40)))
    np.save(tmp_path / "a.npy", np.ones((40, 40)))
    for name in ("a.npz", "a.npy"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:900])
        assert "whole" in refusal(lambda at=path: formats.load(at))


def test_a_npy_header_that_claims_too_much_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": (10**6, 10**6)})
    (tmp_path / "a.npy").write_bytes(buffer.getvalue())
    assert "whole" in refusal(lambda: formats.load(tmp_path / "a.npy"))
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("image.npy", buffer.getvalue())
    assert ".npz" in refusal(lambda: formats.load(tmp_path / "b.npz"))


@pytest.mark.parametrize("frames", [None, 4])
def test_a_single_npy_array_is_rows_columns_frames(tmp_path: Path, frames: int | None) -> None:
    shape = (5, 6) if frames is None else (5, 6, frames)
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    np.save(tmp_path / "a.npy", values)
    image = load_image(tmp_path / "a.npy")
    assert image.image.shape == (frames or 1, 1, 5, 6) and image.noise_source == "unknown"
    np.testing.assert_array_equal(image.image[-1, 0].numpy(), values if frames is None else values[..., -1])
    formats.save(image, tmp_path / "b.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "b.npy"), values.reshape(5, 6, -1))
    np.save(tmp_path / "c.npy", np.ones(3, dtype=np.float32))
    assert "[H, W]" in refusal(lambda: formats.load(tmp_path / "c.npy"))
    assert "one slice" in refusal(lambda: formats.save(example(), tmp_path / "d.npy"))


@pytest.mark.parametrize("named", ["", "input_real.npy", "input_imag.npy"])
@pytest.mark.parametrize("gmap", [None, (5, 6), (5, 6, 4)])
def test_the_trio_of_snraware_is_one_image(tmp_path: Path, named: str, gmap: tuple[int, ...] | None) -> None:
    rng = np.random.default_rng(0)
    real, imaginary = rng.normal(size=(2, 5, 6, 4)).astype(np.float32)
    np.save(tmp_path / "input_real.npy", real)
    np.save(tmp_path / "input_imag.npy", imaginary)
    if gmap is not None:
        np.save(tmp_path / "gmap.npy", rng.uniform(1, 2, size=gmap).astype(np.float32))
    image = load_image(tmp_path / named if named else tmp_path)
    np.testing.assert_array_equal(image.image[2, 0].numpy(), real[..., 2] + 1j * imaginary[..., 2])
    assert image.noise_source == "given" and torch.equal(image.noise_sd, image.gmap)
    if gmap is None:
        assert torch.equal(image.gmap, ONES) and "gmap.npy" in image.meta["warnings"][0]
    else:
        assert image.gmap.shape == ((4 if len(gmap) == 3 else 1), 1, 5, 6)


def test_mrd_images_carry_gadgetrons_roles_and_scales(tmp_path: Path) -> None:
    image = example(frames=2)
    path = formats.save(image, tmp_path / "a.h5")[0]
    with ismrmrd.Dataset(str(path), mode="r") as dataset:
        for series, (role, values, scale) in enumerate(
            [("Image", image.image, 1), ("Gfactor", image.gmap, 100), ("STD_MAP", image.noise_sd, 1000)]
        ):
            found = dataset.read_image(f"image_{series}", 0)
            assert ismrmrd.Meta.deserialize(found.attribute_string)["DataRole"] == role
            np.testing.assert_allclose(found.data[0], values[0].numpy() * scale, rtol=1e-6)
        assert tuple(found.matrix_size) in ((6, 5, 2), (2, 5, 6))
        np.testing.assert_allclose(list(found.field_of_view), [12.0, 7.5, 8.0])


def test_mrd_images_in_a_file_with_external_links_are_refused(tmp_path: Path) -> None:
    path = formats.save(example(), tmp_path / "a.h5")[0]
    with h5py.File(path, "a") as file:
        file["dataset/image_9"] = h5py.ExternalLink("other.h5", "x")
    assert "external link" in refusal(lambda: formats.load(path))


@pytest.mark.parametrize(
    "name",
    [
        "t1_brain_child_0p9mm/t1w_cropped.nii.gz",
        "fmri_75volumes/fcmri_75vol_10slices.nii.gz",
        "pcasl_and_complex_fieldmap/fieldmap_e1_ph.nii.gz",
    ],
)
def test_real_nifti_files_keep_their_headers(name: str, tmp_path: Path, shared_data: Callable[[str], Path]) -> None:
    source = shared_data(name)
    image = load_image(source)
    was = nibabel.load(source)
    written = formats.save(image, tmp_path / "out.nii")
    now = nibabel.load(written[0])
    assert now.shape == was.shape and image.spacing == pytest.approx(tuple(map(float, was.header.get_zooms()[2::-1])))
    np.testing.assert_allclose(now.affine, was.affine)
    index = tuple(n // 2 for n in was.shape)
    assert float(now.dataobj[index]) == pytest.approx(float(was.dataobj[index]), rel=1e-6)
    for field in ("pixdim", "xyzt_units", "sform_code", "qform_code", "descrip"):
        np.testing.assert_array_equal(now.header[field], was.header[field], err_msg=field)
