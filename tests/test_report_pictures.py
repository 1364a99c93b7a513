"""The pictures of the report: they show the numbers they stand for, and they fit."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clearmr.errors import InputError
from clearmr.report import render
from clearmr.report.figures import panel
from clearmr.report.layers import make_pictures
from clearmr.report.pictures import Coding, Pictures, coarser, describe, first_coding
from clearmr.report.ramps import DIFFERENCE, GMAP, ramp, ramp_hex
from clearmr.report.values import Scale, box_sum, difference
from test_report import make_results

LIMIT = 10_000_000


def tile(pictures: Pictures, name: str, frame: int, z: int) -> np.ndarray:
    """The values of one picture, found as layers.js finds them."""
    data, layer = pictures.data, pictures.data["layers"][name]
    n_frames, n_slices = layer["n"]
    index = min(frame, n_frames - 1) * n_slices + min(z, n_slices - 1)
    sheet, place = divmod(index, layer["perSheet"])
    raw = base64.b64decode(layer["sheets"][sheet].split(",", 1)[1])
    row, column = divmod(place, layer["across"])
    height, width = data["height"], data["width"]
    pixels = np.asarray(Image.open(io.BytesIO(raw)))
    codes = pixels[row * height : (row + 1) * height, column * width : (column + 1) * width]
    scale = pictures.scales[layer["scale"]]
    return scale.bottom + (scale.top - scale.bottom) * (codes / 255.0) ** scale.gamma


def test_the_pictures_hold_the_values_of_every_frame_and_slice() -> None:
    results = make_results((4, 3, 24, 20))
    pictures = make_pictures(results)
    assert pictures.coding == Coding() and not describe(pictures.coding)
    for frame, z in ((0, 0), (1, 2), (3, 1)):
        noisy = np.abs(results.noisy[frame, z])
        inside = noisy < pictures.scales["grey"].top
        np.testing.assert_allclose(tile(pictures, "noisy", frame, z)[inside], noisy[inside], atol=0.07)
        np.testing.assert_allclose(tile(pictures, "gmap", frame, z), results.gmap[0, 0], atol=0.01)
    denoised = np.abs(results.denoised[2, 1])
    np.testing.assert_allclose(tile(pictures, "denoised", 2, 1), denoised, atol=0.07)


def test_many_pictures_take_several_sheets() -> None:
    results = make_results((1, 14, 600, 500))
    layer = make_pictures(results, budget=10**9).data["layers"]["noisy"]
    assert len(layer["sheets"]) == 2
    pictures = make_pictures(results, budget=10**9)
    for z in (0, 11, 12, 13):
        expected = np.minimum(np.abs(results.noisy[0, z]), pictures.scales["grey"].top)
        np.testing.assert_allclose(tile(pictures, "noisy", 0, z), expected, atol=0.07)


def test_the_difference_is_standard_normal_where_noise_was_removed() -> None:
    """Also in phase-rolled signal and in the background, where the phase of what is left follows the noise."""
    results = make_results((8, 1, 96, 96))
    removed = difference(results.noisy, results.denoised, results.noise_sd)
    background = np.ones((96, 96), bool)
    background[4:-4, 4:-4] = False
    for where in (background, ~background):
        values = removed[:, :, where]
        assert abs(values.mean()) < 0.03
        assert abs(values.std() - 0.9) < 0.02


def test_the_difference_keeps_the_sign_and_needs_a_known_noise() -> None:
    noisy, denoised = np.full((1, 1, 3, 3), 7.0, np.float32), np.full((1, 1, 3, 3), 5.0, np.float32)
    noise_sd = np.full((1, 1, 3, 3), 2.0, np.float32)
    noise_sd[0, 0, 0, 0] = 0
    removed = difference(noisy, denoised, noise_sd)[0, 0]
    assert removed[0, 0] == 0 and (removed.ravel()[1:] == 1).all()
    wide = np.full((1, 1, 31, 31), np.exp(2j), np.complex64)
    np.testing.assert_allclose(difference(7 * wide, 5 * wide, np.full((1, 1, 1, 1), 2.0)), 1.0, atol=1e-4)


def test_the_box_sum_is_the_sum() -> None:
    image = np.random.default_rng(0).standard_normal((2, 1, 20, 17))
    total = box_sum(image, 5)
    assert total.shape == image.shape
    np.testing.assert_allclose(total[1, 0, 9, 8], image[1, 0, 7:12, 6:11].sum())
    np.testing.assert_allclose(total[0, 0, 19, 0], image[0, 0, 17:, :3].sum())


def test_the_window_is_common_and_the_difference_is_fixed() -> None:
    data = make_pictures(make_results()).data
    assert data["layers"]["noisy"]["scale"] == data["layers"]["denoised"]["scale"] == "grey"
    assert data["scales"]["difference"] == {"bottom": -8.0, "top": 8.0, "gamma": 1.0, "ramp": "difference"}
    assert data["aspect"] == pytest.approx(20 * 1.25 / (24 * 1.5))
    low, high = data["window"]
    assert low == 0 and 9 < high < 14


def test_codes_are_exact_at_the_ends_and_monotonic() -> None:
    scale = Scale(-1.0, 3.0, 2.0)
    codes = scale.encode(np.array([-9.0, -1.0, 0.0, 2.99, 3.0, 9.0]))
    assert codes.tolist() == [0, 0, 128, 255, 255, 255]
    assert len(np.unique(Scale(-1.0, 3.0).encode(np.linspace(-1, 3, 1000), levels=64))) == 64


def test_a_long_series_of_noise_fits() -> None:
    generator = np.random.default_rng(0)
    noise = generator.standard_normal((60, 1, 256, 256), dtype=np.float32)
    sd = np.ones((1, 1, 1, 1), np.float32)
    results = make_results(noisy=noise, denoised=noise * 0.5, gmap=sd, noise_sd=sd)
    page = render(results)
    assert len(page.encode()) < LIMIT
    assert "frame is shown" not in page  # all 60 frames fit


def test_what_does_not_fit_is_thinned_and_said() -> None:
    results = make_results((16, 4, 64, 64))
    pictures = make_pictures(results, budget=60_000)
    assert pictures.n_bytes <= 60_000
    assert pictures.coding.frame_step > 1
    assert len(pictures.data["frames"]) == pictures.data["layers"]["noisy"]["n"][0] < 16
    assert any("frame is shown" in said for said in describe(pictures.coding))


def test_loss_in_grey_comes_before_loss_of_frames() -> None:
    results = make_results((16, 4, 64, 64))
    whole = make_pictures(results).n_bytes
    fewer, lossy = (make_pictures(results, budget=int(whole * share)) for share in (0.9, 0.4))
    assert fewer.coding == Coding(levels=64)
    assert lossy.coding.quality and lossy.coding.frame_step == lossy.coding.slice_step == 1
    assert any("JPEG" in said for said in describe(lossy.coding))
    np.testing.assert_allclose(tile(fewer, "denoised", 2, 1), tile(make_pictures(results), "denoised", 2, 1), atol=0.3)


@pytest.mark.parametrize("shape", [(500, 40, 512, 512), (1, 1, 9000, 7000), (10_000, 1, 128, 128), (1, 400, 512, 512)])
def test_any_size_starts_within_the_memory_of_a_browser(shape: tuple[int, ...]) -> None:
    coding = first_coding(shape)
    steps = (coding.frame_step, coding.slice_step, coding.plane_step, coding.plane_step)
    pixels = np.prod([-(-n // step) for n, step in zip(shape, steps, strict=True)])
    assert 1_000_000 < pixels <= 12_000_000 or pixels == 900 * 700 or pixels == 1000 * 778
    assert max(-(-n // coding.plane_step) for n in shape[2:]) <= 1024


def test_thinning_takes_the_longest_first() -> None:
    assert coarser(Coding(), (10, 40, 8, 8)) == Coding(slice_step=2)
    assert coarser(Coding(slice_step=5), (10, 40, 8, 8)) == Coding(slice_step=5, frame_step=2)
    assert coarser(Coding(), (1, 1, 8, 8)) == Coding(plane_step=2)


def test_what_is_not_finite_is_drawn_as_nothing() -> None:
    results = make_results()
    noisy, gmap = results.noisy.copy(), np.full((1, 1, 24, 20), np.nan, np.float32)
    noisy[0, 0, 0, 0], noisy[0, 0, 0, 1] = np.nan, np.inf
    pictures = make_pictures(make_results(noisy=noisy, gmap=gmap, noise_sd=np.ones((1, 1, 1, 1), np.float32)))
    assert (tile(pictures, "noisy", 0, 0)[0, :2] == 0).all()
    assert np.isfinite(tile(pictures, "difference", 0, 0)).all()


def test_the_ramps_end_where_they_say_and_the_difference_is_dark_at_zero() -> None:
    assert (
        len(ramp_hex(GMAP)) == 1536 and ramp_hex(GMAP).startswith(GMAP[0][1:]) and ramp_hex(GMAP).endswith(GMAP[-1][1:])
    )
    light = ramp(DIFFERENCE).astype(int).sum(-1)
    assert light.argmin() in (127, 128) and abs(light[0] - light[-1]) < 60
    assert (np.diff(ramp(GMAP).astype(float) @ [0.2126, 0.7152, 0.0722]) > 0).mean() > 0.98


def test_the_panel_is_a_picture_of_the_right_shape(tmp_path: Path) -> None:
    results = make_results((2, 3, 48, 40))
    path = panel(results, tmp_path / "panel.png", frame=1)
    width, height = Image.open(path).size
    assert width > 2.2 * height
    again = panel(results, tmp_path / "again.png", frame=1)
    assert path.read_bytes() == again.read_bytes()
    assert path.read_bytes() != panel(results, tmp_path / "other.png", frame=0).read_bytes()
    with pytest.raises(InputError, match="--force"):
        panel(results, path)


def test_a_real_cine_fits_without_loss(shared_data) -> None:
    files = [shared_data(f"cine_10frames/clean_{i}.png") for i in range(10)]
    clean = np.stack([np.asarray(Image.open(f), np.float32) / 65535 * 20 for f in files])[:, None]
    noisy = clean + np.random.default_rng(0).standard_normal(clean.shape, dtype=np.float32)
    one = np.ones((1, 1, 1, 1), np.float32)
    results = make_results(noisy=noisy, denoised=clean, gmap=one, noise_sd=one)
    pictures = make_pictures(results)
    assert pictures.coding == Coding() and pictures.n_bytes < 3_000_000
    shown = tile(pictures, "denoised", 4, 0)
    np.testing.assert_allclose(shown, clean[4, 0].clip(max=pictures.scales["grey"].top), atol=0.12)
