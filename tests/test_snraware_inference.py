"""SNRAware at work: every kind of image, tiles, batches, memory, strength, precision; models and their cards."""

import dataclasses
import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from clearmr.errors import InputError
from clearmr.methods.snraware import cards, inference, layout, tiles
from clearmr.methods.snraware.config import NetConfig
from clearmr.methods.snraware.inference import SnrAware
from clearmr.methods.snraware.model import build
from clearmr.scan import SnrImage
from laws import complex_noise

ONE = torch.ones(1, 1, 1, 1)
SMALL = NetConfig(channels=(4, 8), cells=1)
SHAPES = [(5, 1, 24, 20), (1, 6, 24, 20), (1, 1, 17, 23), (3, 2, 16, 16), (4, 3, 9, 33)]


def image(shape: tuple[int, ...] = (4, 1, 24, 20), *, seed: int = 0, magnitude: bool = False) -> SnrImage:
    values = 10 + complex_noise(*shape, seed=seed)
    return SnrImage(values.abs() if magnitude else values, ONE, ONE, "measured", meta={"steps": [{"name": "recon"}]})


def denoiser(net_config: NetConfig = SMALL, **options: Any) -> SnrAware:
    """Random weights; float32 and room enough, unless the options say otherwise."""
    torch.manual_seed(0)
    card = {"net": dataclasses.asdict(net_config)}
    return SnrAware(build(net_config).eval(), "random", card, **{"precision": "float32", **options})


class Stub(nn.Module):
    """A network that does what it is told, and keeps what it was given."""

    def __init__(self, function: Callable[[Tensor], Tensor], **of_the_net: Any) -> None:
        super().__init__()
        self.function, self.given = function, list[Tensor]()
        for name, value in of_the_net.items():
            setattr(self, name, value)

    def forward(self, x: Tensor) -> Tensor:
        self.given.append(x.clone())
        return self.function(x)


def stubbed(function: Callable[[Tensor], Tensor], *, net: NetConfig = SMALL, card: dict[str, Any] | None = None,
            options: dict[str, Any] | None = None, **of_the_net: Any) -> tuple[SnrAware, Stub]:  # fmt: skip
    stub = Stub(function, **of_the_net)
    full = {"net": dataclasses.asdict(net), **(card or {})}
    return SnrAware(stub, "stub", full, **{"precision": "float32", **(options or {})}), stub


@pytest.fixture
def only_the_network_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that small images can be tiled: the process and the image take no memory."""
    for name in ("PROCESS_BYTES", "SERIES_BYTES", "IMAGE_BYTES"):
        monkeypatch.setattr(inference, name, 0.0)


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


@pytest.mark.parametrize("along", ["time", "depth", "none"])
def test_a_batch_gives_what_its_members_give(along: str) -> None:
    noisy = image((3, 5, 24, 20))
    level = torch.linspace(1, 3, 15).reshape(3, 5, 1, 1)  # each series has a unit of its own
    noisy = dataclasses.replace(noisy, noise_sd=level)
    one, several = (denoiser(along=along, batch=n)(noisy) for n in (1, 4))
    torch.testing.assert_close(one.image, several.image, rtol=1e-4, atol=1e-4)
    n_series = {"time": 5, "depth": 3, "none": 15}[along]
    counted, stub = stubbed(lambda x: x[:, :2], options={"along": along, "batch": 4})
    counted(noisy)
    assert [len(x) for x in stub.given] == [4] * (n_series // 4) + [n_series % 4] * (n_series % 4 > 0)
    assert several.meta["steps"][-1]["batch"] == min(4, n_series)


@pytest.mark.usefixtures("only_the_network_counts")
def test_a_batch_that_does_not_fit_is_reduced_before_anything_is_tiled() -> None:
    stubby, stub = stubbed(lambda x: x[:, :2], bytes_per_voxel=100.0, options={"batch": 8, "along": "none"})
    dataclasses.replace(stubby, memory_bytes=3.5 * 100 * 24 * 20)(image((6, 1, 24, 20)))
    assert [tuple(x.shape) for x in stub.given] == [(3, 3, 1, 24, 20)] * 2


@pytest.mark.usefixtures("only_the_network_counts")
@pytest.mark.parametrize("shape", [(20, 1, 130, 70), (1, 40, 65, 120), (2, 3, 100, 200)])
def test_tiles_join_exactly_where_the_network_looks_at_one_voxel(shape: tuple[int, ...]) -> None:
    half, stub = stubbed(lambda x: x[:, :2] / 2 + x[:, 2:], bytes_per_voxel=1.0, alignment=8)
    noisy = image(shape)
    result = dataclasses.replace(half, memory_bytes=16.0 * 60 * 56)(noisy)
    expected = noisy.image / 2 + (1 + 1j)
    torch.testing.assert_close(result.image, expected, rtol=1e-5, atol=1e-5)
    step = result.meta["steps"][-1]
    assert step["tiles"] == len(stub.given) > 1
    assert all(tiles.AGAIN * np.prod(x.shape[2:]) <= 16 * 60 * 56 for x in stub.given)
    assert max(x.shape[2] for x in stub.given) == step["tile"][0]


@pytest.mark.usefixtures("only_the_network_counts")
def test_tiled_is_whole_within_a_twentieth_of_the_noise() -> None:
    """By the bundled network, whose reach is wider than the overlap; elsewhere than near the seams far closer."""
    noisy, model = image((12, 1, 128, 112)), dataclasses.replace(cards.load("snraware-tiny"), precision="float32")
    whole = model(noisy).image
    tiled = dataclasses.replace(model, memory_bytes=1500.0 * 12 * 72 * 72 * tiles.AGAIN)(noisy)
    apart = (tiled.image - whole).abs()
    assert tiled.meta["steps"][-1]["tiles"] >= 4
    assert 0 < float(apart.square().mean().sqrt()) < 0.05
    assert float(apart.median()) < 0.02


@pytest.mark.parametrize("shape", [(3, 1, 100, 70), (1, 1, 40, 30), (2, 1, 64, 64), (2, 1, 65, 20)])
def test_a_patch_bound_network_gets_its_patches(shape: tuple[int, ...]) -> None:
    half, stub = stubbed(lambda x: x[:, :2] / 2, tile=(64, 64), alignment=1, bytes_per_voxel=10.0)
    noisy = image(shape)
    torch.testing.assert_close(half(noisy).image, noisy.image / 2)
    assert {tuple(x.shape) for x in stub.given} == {(1, 3, shape[0], 64, 64)}


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


def test_too_little_memory_is_said_and_how_much_it_takes() -> None:
    with pytest.raises(InputError, match=r"at least 0\.\d\d GB of memory for the network.*--memory"):
        denoiser(memory_bytes=1e6)(image())
    with pytest.raises(InputError, match="GB of memory"):
        tiles.plan((64, 256, 256), tiles.Needs(), 1e6)


def test_memory_bounds_the_whole_process(tmp_path: Path) -> None:
    """A process of its own: its peak stays under what it was given, and would not without."""
    code = """
import resource, torch
from clearmr import road
from clearmr.scan import SnrImage
torch.set_num_threads(1)
g = torch.Generator().manual_seed(0)
one = torch.ones(1, 1, 1, 1)
noisy = SnrImage(10 + torch.complex(*torch.randn((2, 16, 1, 144, 144), generator=g)), one, one, "given")
tiles = road.denoise(noisy, model="snraware-tiny", memory=MEMORY).meta["steps"][-1]["tiles"]
print(tiles, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""
    found = []
    for memory in (650e6, 3e9):
        command = [sys.executable, "-c", code.replace("MEMORY", str(memory))]
        n, peak = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout.split()
        assert int(peak) < memory
        found.append((int(n), int(peak)))
    assert found[0][0] > 1 and found[1][0] == 1
    assert found[1][1] > 650e6


@pytest.mark.parametrize("length", [33, 64, 100, 257, 1000])
@pytest.mark.parametrize(("tile", "overlap", "alignment"), [(48, 16, 8), (17, 8, 1), (64, 16, 1), (48, 16, 32)])
def test_spans_cover_with_overlap_on_the_grid(length: int, tile: int, overlap: int, alignment: int) -> None:
    found = tiles.spans(length, tile, overlap, alignment)
    assert found[0].start == 0 and found[-1].stop == length
    assert all(s.stop - s.start <= tile and s.start % alignment == 0 for s in found)
    if tile - overlap >= alignment:
        assert all(a.stop - b.start >= overlap for a, b in itertools.pairwise(found))


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
    noisy, model = image((4, 1, 64, 64)), cards.load("snraware-tiny")
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


def test_running_out_of_memory_is_an_error_with_advice_never_the_noisy_image() -> None:
    def fail(error: Exception) -> Callable[[Tensor], Tensor]:
        def function(x: Tensor) -> Tensor:
            raise error

        return function

    for error in (
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        torch.OutOfMemoryError("CUDA"),
        MemoryError(),
    ):
        with pytest.raises(InputError, match=r"ran out of it; give less with --memory"):
            stubbed(fail(error))[0](image())
    with pytest.raises(RuntimeError, match="a fault"):
        stubbed(fail(RuntimeError("a fault")))[0](image())


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
    assert seen == [(1, 3), (2, 3), (3, 3)] * 2
    step = first.meta["steps"][-1]
    assert {k: step[k] for k in ("device", "precision", "along", "tiles", "batch", "strength")} == {
        "device": "cpu", "precision": "float32", "along": "depth", "tiles": 3, "batch": 1, "strength": 1.0,
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
    noisy, model = image((4, 1, 64, 64)), cards.load("snraware-tiny", device="cuda")
    there = dataclasses.replace(model, precision="float32")(noisy)
    here = dataclasses.replace(cards.load("snraware-tiny"), precision="float32")(noisy)
    torch.testing.assert_close(there.image, here.image, rtol=1e-2, atol=1e-2)
    assert there.meta["steps"][-1]["device"] == "cuda" and there.image.device.type == "cpu"
