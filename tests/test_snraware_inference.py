"""SNRAware at work on every kind of image: series, strength, precision, magnitude, what is refused and recorded."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from clearmr.errors import InputError
from clearmr.methods.snraware import cards, layout, scanned
from clearmr.methods.snraware.config import NetConfig
from clearmr.methods.snraware.noise import NO_GMAP, AxisFilter, NoiseDraw, filtered_noise
from clearmr.scan import SnrImage
from clearmr.simulate import simulate
from laws import complex_noise
from snraware_stubs import ONE, Stub, denoiser, image, stubbed

SHAPES = [(5, 1, 24, 20), (1, 6, 24, 20), (1, 1, 17, 23), (3, 2, 16, 16), (4, 3, 9, 33)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("along", layout.ALONG)
@pytest.mark.parametrize("magnitude", [False, True])
def test_every_kind_of_image_keeps_its_shape_and_dtype(shape: tuple[int, ...], along: str, magnitude: bool) -> None:
    noisy = image(shape, magnitude=magnitude)
    before = noisy.image.clone()
    result = denoiser(along=along)(noisy)
    assert result.image.shape == noisy.image.shape and result.image.dtype == noisy.image.dtype
    assert result.image.is_contiguous() and not torch.equal(result.image, before)
    assert torch.equal(noisy.image, before) and result.noise_sd is noisy.noise_sd
    assert [s["name"] for s in result.meta["steps"]] == ["recon", "denoise"]


@pytest.mark.parametrize(("along", "axis"), [("time", 0), ("depth", 1), ("none", None)])
def test_along_says_which_neighbours_the_network_sees(along: str, axis: int | None) -> None:
    noisy = image((3, 4, 8, 8))
    mean, _ = stubbed(lambda x: x[:, :2].mean(2, keepdim=True).expand(-1, -1, x.shape[2], -1, -1))
    expected = noisy.image if axis is None else noisy.image.mean(axis, keepdim=True).expand(noisy.image.shape)
    torch.testing.assert_close(dataclasses.replace(mean, along=along)(noisy).image, expected)


def test_a_volume_is_denoised_along_each_of_its_axes_and_averaged() -> None:
    noisy = image((2, 5, 7, 9))
    mean, _ = stubbed(lambda x: x[:, :2].mean(2, keepdim=True).expand(-1, -1, x.shape[2], -1, -1))
    means = [noisy.image.mean(axis, keepdim=True).expand(noisy.image.shape) for axis in (1, 2, 3)]
    calls: list[tuple[int, int]] = []
    made = dataclasses.replace(mean, along="volume", progress=lambda done, total, **_: calls.append((done, total)))
    torch.testing.assert_close(made(noisy).image, sum(means) / 3)
    assert calls == [(n, 6) for n in range(1, 7)]


def test_the_mean_over_the_axes_is_filtered_once_and_mixed_at_last() -> None:
    noisy = dataclasses.replace(image((2, 24, 24, 24)), image=20 + complex_noise(2, 24, 24, 24, seed=3))
    calls: list[tuple[int, int]] = []
    options = {"along": "volume", "refine": 2, "progress": lambda done, total, **_: calls.append((done, total))}
    made, _ = stubbed(lambda x: x[:, :2].mean((2, 3, 4), keepdim=True).expand_as(x[:, :2]), options=options)
    result = made(noisy)
    assert result.meta["steps"][-1]["refined"] == 1
    assert calls == [(n, 8) for n in range(1, 9)]  # two frames along three axes, and each filtered
    mean = noisy.image.mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(result.image, mean.expand_as(noisy.image), atol=0.35, rtol=0)
    assert not torch.allclose(result.image, mean.expand_as(noisy.image), atol=1e-4)
    half = dataclasses.replace(made, strength=0.5)(noisy)
    torch.testing.assert_close(half.image, (noisy.image + result.image) / 2)


@pytest.mark.parametrize(("shape", "along"), [((6, 2, 24, 20), "time"), ((2, 20, 22, 24), "volume")])
@pytest.mark.parametrize("magnitude", [False, True])
def test_a_second_network_is_given_the_image_and_both_pilots(
    shape: tuple[int, ...], along: str, magnitude: bool
) -> None:
    """One that gives back a pilot: the filter's last, its mean kept, or what the first network made."""
    noisy = dataclasses.replace(image(shape, magnitude=magnitude), noise_sd=2 * ONE)
    n = 1 if magnitude else 2
    net = NetConfig(channels=(4, 8), cells=1, image="magnitude" if magnitude else "complex")
    smooth, _ = stubbed(lambda x: x[:, :n].mean((2, 3, 4), keepdim=True).expand_as(x[:, :n]), net=net)
    smooth = dataclasses.replace(smooth, along=along, refine=1)
    expected = [smooth(noisy), dataclasses.replace(smooth, refine=0)(noisy)]
    for pilot, known, close in zip((slice(-n, None), slice(n + 1, 2 * n + 1)), expected, (1e-4, 0.5), strict=True):
        second = Stub(lambda x, pilot=pilot: x[:, pilot])
        found = dataclasses.replace(smooth, second=second)(noisy)
        # What the filter is given, and so its last, is the same; of the first's image the mean is kept.
        torch.testing.assert_close(found.image, known.image, atol=close, rtol=0)
        assert {x.shape[1] for x in second.given} == {3 * n + 1} and found.meta["steps"][-1]["mended"] == 1
        assert all(torch.allclose(x[:, n], torch.ones(())) for x in second.given)
    alone = dataclasses.replace(smooth, second=second, refine=0)(noisy)
    assert torch.equal(alone.image, expected[1].image) and alone.meta["steps"][-1]["mended"] == 0


@pytest.mark.parametrize(("shape", "along", "stages"), [
    ((6, 2, 24, 20), "time", 2), ((2, 20, 22, 24), "volume", 2), ((3, 1, 24, 20), "time", 0),
    ((3, 2, 24, 20), "depth", 0), ((5, 2, 24, 20), "none", 0),
])  # fmt: skip
def test_filter_and_second_network_go_by_turns(shape: tuple[int, ...], along: str, stages: int) -> None:
    """The second's image is what is filtered next; at the end the progress is whole."""
    calls: list[tuple[int, int]] = []
    second = Stub(lambda x: x[:, 3:5] + 1)
    options = {"along": along, "refine": None, "progress": lambda done, total, **_: calls.append((done, total))}
    made, _ = stubbed(lambda x: x[:, :2].mean((2, 3, 4), keepdim=True).expand_as(x[:, :2]), options=options)
    found = dataclasses.replace(made, second=second)(image(shape))
    assert found.meta["steps"][-1]["mended"] == stages
    assert bool(second.given) == bool(stages)
    if stages:  # one SD more is not explained by noise: the filter moves its mean back
        before, after = (x[:, 5:7] - x[:, 3:5] for x in (second.given[0], second.given[len(second.given) // 2]))
        assert float((after - before).abs().mean()) > 0.05
    assert [done for done, _ in calls] == list(range(1, calls[-1][1] + 1))


def beating(spec: AxisFilter, *, sd: float = 0.06) -> tuple[SnrImage, torch.Tensor]:
    """A complex series of the simulated heart, its noise of SD `sd` filtered along both axes, and its truth."""
    clean = simulate("cine", matrix=(1, 72, 72), n_frames=6, n_coils=2, seed=21).truth
    clean = clean / clean.abs().max()
    noise = filtered_noise((6, 72, 72), NoiseDraw(1.0, NO_GMAP, spec, spec, seed=4))
    return SnrImage(clean + sd * noise[:, None], sd * ONE, ONE, "given"), clean


@pytest.mark.parametrize(
    ("spec", "left"),
    [(AxisFilter(gaussian=0.8), 1.0), (AxisFilter(resolution=0.7), 0.9), (AxisFilter(gaussian=2.0), 0.6)],
)
def test_the_second_network_mends_what_the_filter_makes_of_correlated_noise(spec: AxisFilter, left: float) -> None:
    """The collaborative filter alone takes such noise for signal. left: of its squared error, at the most."""
    noisy, clean = beating(spec)
    both = cards.load("snraware-small")
    found, alone = both(noisy), dataclasses.replace(both, second=None)(noisy)
    assert found.meta["steps"][-1]["mended"] == 2
    errors = [float((result.image - clean).abs().square().mean()) for result in (found, alone)]
    assert errors[0] < left * errors[1]


def test_what_a_reconstruction_left_of_fold_over_is_not_mended_away() -> None:
    """Scans at R = 2 to 5 of hearts that no network was trained on: the second makes them no worse than the filter."""
    both, ratios = cards.load("snraware-small"), []
    for seed in range(4):
        clean = simulate("cine", matrix=(1, 72, 72), n_frames=6, n_coils=2, seed=21 + seed).truth[:, 0]
        noisy, target, noise_sd = scanned.scanned(clean, torch.Generator().manual_seed(seed))
        given = SnrImage(noisy[:, None], noise_sd[:, None], ONE, "given")
        found, alone = (
            float((one(given).image[:, 0] - target).abs().square().mean())
            for one in (both, dataclasses.replace(both, second=None))
        )
        ratios.append(found / alone)
    assert sum(ratios) / len(ratios) < 1 and max(ratios) < 1.08


def test_what_auto_makes_of_spacing() -> None:
    assert layout.resolve("auto", (1, 64, 64, 64), (1.0, 1.0, 1.2)) == "volume"
    assert layout.resolve("auto", (1, 64, 64, 64), (4.0, 1.0, 1.0)) == "depth"
    assert layout.resolve("auto", (1, 24, 64, 64), (1.0, 1.0, 1.0)) == "depth"


@pytest.mark.parametrize(
    ("shape", "meant"),
    [
        ((30, 1, 8, 8), "time"), ((1, 90, 8, 8), "depth"), ((1, 1, 8, 8), "none"), ((75, 10, 8, 8), "time"),
        ((2, 60, 8, 8), "depth"), ((3, 1, 8, 8), "time"), ((4, 60, 8, 8), "time"),
    ],
)  # fmt: skip
def test_what_auto_means(shape: tuple[int, ...], meant: str) -> None:
    assert layout.resolve("auto", shape) == meant
    assert layout.resolve("none", shape) == "none"


@pytest.mark.parametrize("norm", ["patch", "pixel"])
@pytest.mark.parametrize("image_kind", ["complex", "magnitude"])
def test_a_network_of_table_2_denoises_saves_and_loads(tmp_path: Path, norm: Any, image_kind: Any) -> None:
    net = NetConfig("unet-conv2d", channels=(4, 8), cells=1, norm=norm, image=image_kind)
    noisy, made = image((2, 1, 70, 66), magnitude=image_kind == "magnitude"), denoiser(net)
    path = tmp_path / "m.safetensors"
    cards.save(made, path, {"licence": "MIT"})
    loaded = dataclasses.replace(cards.load(path), precision="float32")
    torch.testing.assert_close(loaded(noisy).image, made(noisy).image, rtol=1e-2, atol=1e-2)
    assert made(noisy).meta["steps"][-1]["tiles"] == (4 if norm == "patch" else 1)


@pytest.mark.parametrize("magnitude", [False, True])
def test_strength_mixes_with_the_original(magnitude: bool) -> None:
    noisy = image(magnitude=magnitude)
    full = denoiser()(noisy).image
    for strength in (0.25, 0.8):
        result = denoiser(strength=strength)(noisy)
        torch.testing.assert_close(result.image, noisy.image + strength * (full - noisy.image))
        assert result.meta["steps"][-1]["strength"] == strength


def test_no_strength_changes_no_bit_and_runs_no_network() -> None:
    untouched, stub = stubbed(lambda x: x[:, :2], options={"strength": 0.0})
    noisy = image()
    result = untouched(noisy)
    assert torch.equal(result.image, noisy.image) and not stub.given
    assert result.meta["steps"][-1]["strength"] == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"strength": 1.5}, "--strength"), ({"strength": -0.1}, "--strength"), ({"strength": float("nan")}, "nan"),
        ({"batch": 0}, "--batch"), ({"precision": "fp8"}, "--precision"), ({"along": "x"}, "--along"),
    ],
)  # fmt: skip
def test_bad_options_are_said(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        denoiser(**options)


def test_bf16_differs_by_under_one_percent_of_the_noise() -> None:
    noisy, model = image((4, 1, 64, 64)), cards.load("snraware-small")
    exact, short = (dataclasses.replace(model, precision=p)(noisy) for p in ("float32", "bf16"))
    apart = torch.view_as_real(exact.image - short.image).square().mean().sqrt()
    assert 0 < float(apart) < 0.01
    assert [r.meta["steps"][-1]["precision"] for r in (exact, short)] == ["float32", "bf16"]


@pytest.mark.parametrize(
    ("made_for_it", "snr", "precision"), [(True, 10, "bf16"), (True, 500, "float32"), (False, 10, "float32")]
)
def test_auto_takes_bf16_where_it_is_fast_and_exact_enough(
    monkeypatch: pytest.MonkeyPatch, made_for_it: bool, snr: float, precision: str
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: made_for_it)
    noisy = dataclasses.replace(image(), image=snr + complex_noise(4, 1, 24, 20, seed=0))
    assert denoiser(precision="auto")(noisy).meta["steps"][-1]["precision"] == precision


@pytest.mark.parametrize(("noise_map", "channels"), [(True, 2), (False, 1)])
def test_a_magnitude_network_is_given_the_magnitude(noise_map: bool, channels: int) -> None:
    net = NetConfig(channels=(4, 8), cells=1, image="magnitude", noise_map=noise_map)
    half, stub = stubbed(lambda x: x[:, :1] / 2, net=net)
    noisy = dataclasses.replace(image(magnitude=True), noise_sd=2 * ONE)
    torch.testing.assert_close(half(noisy).image, noisy.image / 2)
    (given,) = stub.given
    assert given.shape[1] == channels
    torch.testing.assert_close(given[0, 0], noisy.image[:, 0] / 2)
    with pytest.raises(InputError, match="magnitude image for the model stub; found a complex image"):
        half(image())


def test_a_complex_network_takes_a_magnitude_as_its_real_part() -> None:
    same, stub = stubbed(lambda x: x[:, :2])
    noisy = image(magnitude=True)
    torch.testing.assert_close(same(noisy).image, noisy.image)
    assert stub.given[0].shape[1] == 3 and float(stub.given[0][:, 1].abs().max()) == 0


@pytest.mark.parametrize(("told", "expected"), [("noise_sd", "both"), ("gmap", "g")])
def test_the_map_is_what_the_card_says(told: str, expected: str) -> None:
    gmap = 1 + torch.rand(1, 1, 24, 20, generator=torch.Generator().manual_seed(0))
    field = torch.linspace(0.9, 1.1, 24)[:, None] if expected == "both" else ONE
    noisy = dataclasses.replace(image(), gmap=gmap, noise_sd=7 * gmap * field)
    same, stub = stubbed(lambda x: x[:, :2], card={"told": told})
    torch.testing.assert_close(same(noisy).image, noisy.image)
    (given,) = stub.given
    torch.testing.assert_close(given[0, 0], noisy.image[:, 0].real / 7, rtol=0.02, atol=0)
    known = gmap[0] if told == "gmap" else (gmap * field)[0]
    torch.testing.assert_close(given[0, 2], known.expand(4, -1, -1), rtol=0.02, atol=0)


def test_zero_noise_and_voxels_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="needs no denoising"):
        denoiser()(dataclasses.replace(image(), noise_sd=0 * ONE))
    broken = image().image.clone()
    broken[0, 0, 3, 3] = float("nan")
    with pytest.raises(InputError, match="finite"):
        denoiser()(dataclasses.replace(image(), image=broken))


@pytest.mark.parametrize("batch", [1, 3])
def test_a_slice_that_is_told_to_be_without_noise_stays_as_it_is(batch: int) -> None:
    noisy = image((2, 3, 24, 20))
    level = torch.tensor([1.0, 0.0, 1.0])[None, :, None, None]
    result = denoiser(along="time", batch=batch)(dataclasses.replace(noisy, noise_sd=level))
    assert torch.equal(result.image[:, 1], noisy.image[:, 1]) and not result.meta["warnings"]
    assert bool((result.image[:, [0, 2]] != noisy.image[:, [0, 2]]).any())


def test_the_unit_of_the_image_does_not_matter() -> None:
    noisy = image()
    scaled = dataclasses.replace(noisy, image=noisy.image * 1e-6, noise_sd=noisy.noise_sd * 1e-6)
    a, b = denoiser()(noisy).image, denoiser()(scaled).image
    torch.testing.assert_close(b * 1e6, a, rtol=1e-3, atol=1e-3)


def test_the_same_image_gives_the_same_bits_and_its_figures() -> None:
    seen: list[tuple[int, int]] = []
    noisy = image((3, 2, 24, 20))
    made = denoiser(along="depth", progress=lambda done, total, **_: seen.append((done, total)))
    first, second = made(noisy), made(noisy)
    assert torch.equal(first.image, second.image)
    assert seen == [(n, 6) for n in range(1, 7)] * 2  # each series denoised and filtered
    step = first.meta["steps"][-1]
    assert {k: step[k] for k in ("device", "precision", "along", "series", "tiles", "batch", "strength")} == {
        "device": "cpu", "precision": "float32", "along": "depth", "series": 3, "tiles": 1, "batch": 1, "strength": 1.0,
    }  # fmt: skip
    assert step["seconds"] >= 0


def test_a_noise_free_image_stays_nearly_as_it_is() -> None:
    y, x = torch.meshgrid(torch.linspace(-3, 3, 72), torch.linspace(-3, 3, 64), indexing="ij")
    clean = (30 * torch.exp(-(x**2 + y**2) / 4) * torch.exp(0.5j * x)).expand(3, 1, -1, -1).contiguous()
    result = cards.load()(SnrImage(clean, ONE, ONE, "given"))
    assert float((result.image - clean).norm() / clean.norm()) < 0.01
    assert "smoother than its noise level" in result.meta["warnings"][0]


@pytest.mark.parametrize(
    ("trained", "said"),
    [
        ({"g": [1, 4]}, "a g-factor of 1 to 4, here it is 5"),
        ({"snr": [0, 5]}, "an SNR of its brightest parts of 0 to 5"),
        ({"matrix": [32, 512]}, "a matrix size of 32 to 512, here it is 20 to 24"),
        ({"g": [1, 8], "snr": [0, 100], "matrix": [16, 512]}, ""),
    ],
)
def test_an_image_outside_of_the_trained_range_is_warned_of(trained: dict[str, list[float]], said: str) -> None:
    same, _ = stubbed(lambda x: x[:, :2], card={"range": trained, "name": "small"})
    level = 5 * ONE if "g" in trained and said else ONE
    warnings = same(dataclasses.replace(image(), gmap=level)).meta["warnings"]
    assert (said in warnings[0] and warnings[0].startswith("small was trained on")) if said else not warnings


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_gives_what_the_cpu_gives() -> None:
    noisy, model = image((4, 1, 64, 64)), cards.load("snraware-small", device="cuda")
    there = dataclasses.replace(model, precision="float32")(noisy)
    here = dataclasses.replace(cards.load("snraware-small"), precision="float32")(noisy)
    torch.testing.assert_close(there.image, here.image, rtol=1e-2, atol=1e-2)
    assert there.meta["steps"][-1]["device"] == "cuda" and there.image.device.type == "cpu"
