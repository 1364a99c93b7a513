"""SNRAware on images of any size: tiles, batches, and memory that keeps to its bound."""

import dataclasses
import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from clearmr.errors import InputError
from clearmr.methods.snraware import cards, inference, tiles
from snraware_stubs import denoiser, image, stubbed


@pytest.fixture
def only_the_network_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that small images can be tiled: the process and the image take no memory."""
    for name in ("PROCESS_BYTES", "IMAGE_ARRAYS", "SERIES_BYTES"):
        monkeypatch.setattr(inference, name, 0.0)


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
    assert step["tiles"] > 1 and step["tiles"] * step["series"] == len(stub.given)
    assert all(tiles.AGAIN * np.prod(x.shape[2:]) <= 16 * 60 * 56 for x in stub.given)
    assert max(x.shape[2] for x in stub.given) == step["tile"][0]


@pytest.mark.usefixtures("only_the_network_counts")
def test_tiled_is_whole_within_a_twentieth_of_the_noise() -> None:
    """By the bundled network, whose reach is wider than the overlap; elsewhere than near the seams far closer."""
    noisy, model = image((12, 1, 128, 112)), dataclasses.replace(cards.load("snraware-small"), precision="float32")
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


def test_too_little_memory_is_said_and_how_much_it_takes() -> None:
    with pytest.raises(InputError, match=r"at least 0\.\d\d GB of memory for the network.*--memory"):
        denoiser(memory_bytes=1e6)(image())
    with pytest.raises(InputError, match="GB of memory"):
        tiles.plan((64, 256, 256), tiles.Needs(), 1e6)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to read the peak of a process from")
def test_memory_bounds_the_whole_process(tmp_path: Path) -> None:
    """A process of its own: its peak stays under what it was given, and would not without.

    By VmHWM: ru_maxrss of a child begins at what its parent had, tests and all.
    """
    code = """
import re, torch
from clearmr import road
from clearmr.scan import SnrImage
torch.set_num_threads(1)
g = torch.Generator().manual_seed(0)
one = torch.ones(1, 1, 1, 1)
noisy = SnrImage(10 + torch.complex(*torch.randn((2, 16, 1, 192, 160), generator=g)), one, one, "given")
tiles = road.denoise(noisy, model="snraware-small", memory=MEMORY).meta["steps"][-1]["tiles"]
print(tiles, 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]))
"""
    found = []
    for memory in (600e6, 3e9):
        command = [sys.executable, "-c", code.replace("MEMORY", str(memory))]
        n, peak = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout.split()
        assert int(peak) < memory
        found.append((int(n), int(peak)))
    assert found[0][0] > 1 and found[1][0] == 1
    assert found[1][1] > 600e6


def test_a_long_series_is_refused_where_refining_it_would_take_more() -> None:
    """300 complex frames of 128 x 128 were seen to take 0.90 GB, however small the tiles."""
    model = dataclasses.replace(cards.load("snraware-small"), memory_bytes=0.88e9)
    with pytest.raises(InputError, match="GB of memory"):
        model(image((300, 1, 128, 128)))


def test_many_slices_are_refused_where_their_images_would_take_more() -> None:
    """150 slices of 6 complex frames of 64 x 64, mended, were seen to take 0.64 GB, though each is small."""
    model = dataclasses.replace(cards.load("snraware-small"), memory_bytes=0.62e9)
    with pytest.raises(InputError, match="GB of memory"):
        model(image((6, 150, 64, 64)))


@pytest.mark.parametrize("length", [33, 64, 100, 257, 1000])
@pytest.mark.parametrize(("tile", "overlap", "alignment"), [(48, 16, 8), (17, 8, 1), (64, 16, 1), (48, 16, 32)])
def test_spans_cover_with_overlap_on_the_grid(length: int, tile: int, overlap: int, alignment: int) -> None:
    found = tiles.spans(length, tile, overlap, alignment)
    assert found[0].start == 0 and found[-1].stop == length
    assert all(s.stop - s.start <= tile and s.start % alignment == 0 for s in found)
    if tile - overlap >= alignment:
        assert all(a.stop - b.start >= overlap for a, b in itertools.pairwise(found))


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
