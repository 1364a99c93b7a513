"""Prepared corpora: layout, windows that lie where they say, the split by subject; series in memory; warps."""

import dataclasses
import json
import math
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from clearmr import recon
from clearmr.errors import InputError
from clearmr.methods.snraware import config, corpus, gmaps, leaves, pairs, patches, prepare, store
from clearmr.scan import SnrImage
from clearmr.train import stream, subjects
from cli_runs import scan

ONE = torch.ones(1, 1, 1, 1)
SHAPES = {"cine": (9, 1, 40, 36), "volume": (1, 34, 38, 36), "perfusion": (7, 5, 40, 36), "still": (1, 1, 40, 36)}


ALIGNED = config.DataConfig(warped=0.0, synthetic=0.0, single_frame_probability=0.0, magnitude_probability=0.0)


def samples(series: store.StoredSeries, settings: config.SnrAwareConfig) -> pairs.Samples:
    return pairs.Samples(patches.PatchSampler([series], [], settings.data), torch.ones(1, 64, 64), settings, 0)


def numbered(shape: tuple[int, ...]) -> torch.Tensor:
    """An image whose values tell the place: no two voxels alike."""
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float32).reshape(shape) * (1 + 0j) + 1j


def entry(shape: tuple[int, int, int, int], *, slices: int = 1, accelerations: tuple[int, ...] = (2, 4)) -> store.Entry:
    _, z, y, x = shape
    generator = torch.Generator().manual_seed(3)
    maps = 1 + torch.rand(len(accelerations), slices, y, x, generator=generator)
    sd = 1 + torch.rand(1, z, y, x, generator=generator)
    gmap = torch.ones(1, 1, y, x)
    return store.Entry(
        numbered(shape), sd, gmap, maps, accelerations, "sub-1", (1.0, 1.0, 1.0), "measured", (), {"steps": []}
    )


def stored(folder: Path, **entries: store.Entry) -> dict[str, store.StoredSeries]:
    lines = [store.write_series(e, folder / f"{name}.h5", provenance={"seed": 0}) for name, e in entries.items()]
    store.write_index(folder, lines, provenance={})
    return {series.path.stem: series for series in store.open_corpus(folder)}


def sampler(series: list[store.StoredSeries], *, warped: float, patch: tuple[int, int, int]) -> patches.PatchSampler:
    return patches.PatchSampler(series, [], config.DataConfig(patch=patch, warped=warped, synthetic=0.0))


def test_the_layout_is_what_the_docstring_says(tmp_path: Path) -> None:
    series = stored(tmp_path, a=entry(SHAPES["cine"]))["a"]
    assert (series.shape, series.accelerations, series.subject) == (SHAPES["cine"], (2, 4), "sub-1")
    with h5py.File(series.path) as file:
        assert {name: (file[name].shape, file[name].dtype.name) for name in file} == {
            "image": ((9, 1, 40, 36), "complex64"),
            "noise_sd": ((1, 1, 40, 36), "float32"),
            "gmap": ((1, 1, 40, 36), "float32"),
            "gmaps": ((2, 1, 40, 36), "float32"),
        }
        assert file["image"].chunks is None and file["image"].compression is None
        assert list(file.attrs["accelerations"]) == [2, 4] and file.attrs["noise_source"] == "measured"
        assert json.loads(file.attrs["provenance"]) == {"seed": 0}
        for name in ("format", "version", "subject", "spacing", "peak", "simulated", "meta"):
            assert name in file.attrs
        np.testing.assert_array_equal(file["image"][:], numbered(SHAPES["cine"]).numpy())


@pytest.mark.parametrize("name", SHAPES)
def test_an_aligned_window_brings_its_own_noise_and_maps(name: str, tmp_path: Path) -> None:
    shape = SHAPES[name]
    slices = shape[1] if name == "volume" else 1
    whole = entry(shape, slices=slices)
    series = stored(tmp_path, a=whole)["a"]
    n_frames = 1 if name == "still" else 4
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        patch = sampler([series], warped=0.0, patch=(n_frames, 16, 12)).draw(n_frames, generator)
        assert patch.clean.shape == (n_frames, 16, 12) and patch.maps is not None
        at = np.unravel_index(int(patch.clean.real[0, 0, 0]), shape)
        along_time = n_frames > 1 and float(patch.clean.real.diff(dim=0)[0, 0, 0]) == math.prod(shape[1:])
        t, z, y, x = (slice(int(a), int(a) + n) for a, n in zip(at, (1, 1, 16, 12), strict=True))
        if along_time:
            t = slice(t.start, t.start + n_frames)
        else:
            z = slice(z.start, z.start + n_frames)
        assert torch.equal(patch.clean, whole.image[t, z, y, x].reshape(n_frames, 16, 12))
        assert torch.equal(
            patch.native_sd.expand(n_frames, 16, 12), whole.noise_sd[0, z, y, x].expand(n_frames, 16, 12)
        )
        assert patch.maps.frame == shape[2:] and patch.maps.start == (y.start, x.start) and patch.maps.count == 3
        assert torch.equal(patch.maps.read(0, whole=False), torch.ones(1, 16, 12))
        rows = z if slices > 1 else slice(0, 1)
        assert torch.equal(patch.maps.read(2, whole=False), whole.gmaps[1, rows, y, x])
        assert torch.equal(patch.maps.read(1, whole=True), whole.gmaps[0, rows])


def test_frames_may_be_cut_along_every_axis(tmp_path: Path) -> None:
    whole = entry(SHAPES["volume"])
    series = stored(tmp_path, a=whole)["a"]
    assert series.cuts() == [store.DEPTH, store.ROWS, store.COLUMNS]
    volume = whole.image[0]
    window = (slice(2, 9, 3), slice(1, 30), slice(4, 8))
    for axis, dim in ((store.DEPTH, 0), (store.ROWS, 1), (store.COLUMNS, 2)):
        frames = store.StoredFrames(series, axis, 0)
        assert frames.shape == volume.movedim(dim, 0).shape
        assert torch.equal(frames[window], volume.movedim(dim, 0)[window])
    perfusion = entry(SHAPES["perfusion"])
    series = stored(tmp_path, b=perfusion)["b"]
    assert series.cuts() == [store.TIME, store.DEPTH]
    assert torch.equal(store.StoredFrames(series, store.TIME, 3)[window], perfusion.image[:, 3][window])


def test_warps_of_a_file_are_warps_of_memory(tmp_path: Path) -> None:
    whole = entry(SHAPES["cine"])
    series = stored(tmp_path, a=whole)["a"]
    for seed in range(6):
        a, b = (torch.Generator().manual_seed(seed) for _ in range(2))
        from_file = patches._warped(store.StoredFrames(series, store.TIME, 0), 4, (16, 16), a)
        from_memory = patches._warped(whole.image[:, 0], 4, (16, 16), b)
        assert torch.equal(from_file, from_memory)


def test_a_patch_larger_than_the_frame_is_warped(tmp_path: Path) -> None:
    series = stored(tmp_path, a=entry(SHAPES["cine"]))["a"]
    patch = sampler([series], warped=0.0, patch=(2, 64, 64)).draw(2, torch.Generator().manual_seed(0))
    assert patch.clean.shape == (2, 64, 64) and patch.maps is None


def test_only_what_a_window_names_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    series = stored(tmp_path, a=entry((40, 1, 300, 300)))["a"]
    read: list[int] = []
    original = h5py.Dataset.__getitem__

    def counted(self: h5py.Dataset, *args: object, **more: object) -> np.ndarray:
        found = original(self, *args, **more)
        read.append(found.nbytes)
        return found

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counted)
    for warped in (0.0, 1.0):
        data = dataclasses.replace(ALIGNED, patch=(4, 32, 32), warped=warped)
        samples(series, config.SnrAwareConfig(data=data))(0, 0)
    assert 0 < max(read) < 4 * 100 * 100 * 8  # of 40 frames of 300 x 300


def test_samples_of_a_corpus_tell_the_exact_noise(tmp_path: Path) -> None:
    flat = entry((3, 1, 48, 48))
    flat = store.Entry(**{**vars(flat), "image": torch.full((3, 1, 48, 48), 200 + 0j), "noise_sd": 0 * flat.noise_sd})
    series = stored(tmp_path, a=flat)["a"]
    data = dataclasses.replace(ALIGNED, patch=(3, 48, 48))
    for order in ("filter-then-g", "g-then-filter"):
        noise = config.NoiseConfig(order=order)  # type: ignore[arg-type]
        made = samples(series, config.SnrAwareConfig(noise, data=data))
        ratios = []
        for step in range(60):
            inputs, target = made(step, 0)
            ratios.append(((inputs[:, :2] - target) / inputs[:, 2:]).square().mean())
        assert float(torch.stack(ratios).mean()) == pytest.approx(1, abs=0.03)


def test_workers_and_ranks_make_the_same_items(tmp_path: Path) -> None:
    series = stored(tmp_path, a=entry((12, 1, 40, 36)), b=entry(SHAPES["volume"]))
    data = dataclasses.replace(ALIGNED, patch=(3, 16, 16), warped=0.4, single_frame_probability=0.3, batch=2)
    settings = config.SnrAwareConfig(data=data)
    made = pairs.Samples(patches.PatchSampler([*series.values()], [], data), torch.ones(2, 64, 64), settings, 0)
    here = list(stream.batches(made, 2, 6, rank=0, workers=0, pin=False))  # opens the files before workers fork
    there = list(stream.batches(made, 2, 6, rank=0, workers=2, pin=False))
    both = dataclasses.replace(settings, data=dataclasses.replace(data, batch=1))
    half = pairs.Samples(patches.PatchSampler([*series.values()], [], both.data), torch.ones(2, 64, 64), both, 0)
    ranks = [list(stream.batches(half, 2, 6, rank=rank, workers=1, pin=False)) for rank in (0, 1)]
    for one, other, first, second in zip(here, there, *ranks, strict=True):
        for part in (0, 1):
            assert torch.equal(one[part], other[part])
            assert torch.equal(one[part], torch.cat([first[part], second[part]]))


def test_a_warped_series_is_made_no_louder_than_it_was_measured(tmp_path: Path) -> None:
    series = stored(tmp_path, a=entry(SHAPES["cine"]))["a"]
    made = sampler([series], warped=1.0, patch=(2, 16, 16))
    drawn = [made.draw(2, torch.Generator().manual_seed(seed)) for seed in range(30)]
    assert max(float(patch.native_sd.max()) for patch in drawn) <= 1 + 1e-5
    assert all(patch.maps is None for patch in drawn)


def test_a_corpus_that_is_none_is_refused(tmp_path: Path) -> None:
    series = stored(tmp_path, a=entry(SHAPES["still"]), b=entry(SHAPES["cine"]))
    series["b"].path.unlink()
    with pytest.raises(InputError, match=r"no b\.h5"):
        store.open_corpus(tmp_path)
    for text in ("{", '{"format": "x"}', '{"format": "clearmr-corpus", "version": 99, "series": []}'):
        (tmp_path / store.INDEX).write_text(text)
        with pytest.raises(InputError, match="prepare it again"):
            store.open_corpus(tmp_path)


def test_a_raw_scan_becomes_its_reconstruction_with_its_own_maps() -> None:
    raw = scan("cine", n_frames=3, n_coils=6, matrix=(1, 48, 40), acs=24)
    made, absent = prepare.from_scan(raw, subject="sub-2")
    image = recon.reconstruct(raw)
    assert torch.equal(made.image, image.image) and torch.equal(made.noise_sd, image.noise_sd)
    assert torch.equal(made.gmap, image.gmap) and made.noise_source == "measured" and made.simulated == ()
    maps, _ = recon.gmaps_for(recon.calibrate(raw))
    for r, found in zip(made.accelerations, made.gmaps, strict=True):
        assert torch.equal(found, maps[r]) and gmaps.usable(found)
    assert set(made.accelerations) | set(absent) == set(range(2, 9)) and not set(made.accelerations) & set(absent)
    assert "6 coil" in absent[7] and "6 coil" in absent[8] and 2 in made.accelerations


def test_a_clean_image_gets_snr_units_phase_and_maps() -> None:
    magnitude = 50 + torch.rand(2, 3, 30, 26)
    image = SnrImage(magnitude, 4 * ONE, ONE, "estimated", (3.0, 1.0, 1.0))
    made = prepare.from_image(image, subject="s", generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(made.image.abs(), magnitude / 4)
    assert torch.equal(made.noise_sd, ONE) and made.simulated == ("phase", "gmaps") and made.spacing == (3.0, 1.0, 1.0)
    phase = made.image.angle()
    assert float(phase.std()) > 0.2 and torch.equal(phase[0] != 0, phase[1] != 0)
    turn = made.image[..., 1:] * made.image[..., :-1].conj()
    assert float(turn.angle().abs().max()) < 1.0  # smooth: no wrap between neighbours
    assert made.gmaps.shape == (len(made.accelerations), 1, 30, 26) and made.accelerations[:2] == (2, 3)
    assert made.gmap.shape == (1, 1, 30, 26)
    medians = [float(found.median()) for found in made.gmaps]
    assert medians == sorted(medians)
    complex_image = SnrImage(magnitude * 1j, 2 * ONE, 2 * ONE, "given")
    kept = prepare.from_image(complex_image, subject="s", generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(kept.image, magnitude * 1j)  # unit noise where g is 1
    torch.testing.assert_close(kept.noise_sd, 2 * ONE)
    with pytest.raises(InputError, match="positive noise_sd"):
        prepare.from_image(SnrImage(magnitude, 0 * ONE, ONE, "given"), subject="s", generator=torch.Generator())


@pytest.mark.parametrize(
    ("path", "subject"),
    [
        ("/d/sub-01/anat/sub-01_T1w.nii.gz", "sub-01"),
        ("study/sub-A7_bold.nii", "sub-A7"),
        ("x/meas_17.dat", "meas_17"),
        ("subject.h5", "subject"),
    ],
)
def test_whose_an_image_is(path: str, subject: str) -> None:
    assert subjects.subject_of(Path(path)) == subject


def test_five_percent_of_the_subjects_are_held_out() -> None:
    names = [f"sub-{k:03d}" for k in range(200)]
    kept = subjects.held_out(names)
    assert len(kept) == 10 and kept == subjects.held_out([*reversed(names), *names])
    assert kept != frozenset(names[:10])
    assert len(subjects.held_out(names[:3])) == 1 and not subjects.held_out(["one", "one"])


def test_simulated_gmaps_grow_with_acceleration() -> None:
    maps = gmaps.simulated_gmaps(1, torch.Generator().manual_seed(0), size=64)
    assert float(maps[0].std()) == 0 and len(maps) >= 3
    medians = [float(m.median()) for m in maps[1:]]
    assert medians == sorted(medians) and medians[-1] > medians[0] + 0.1


def test_patches_depend_on_the_generator_alone() -> None:
    series = leaves.synthetic_series(torch.Generator().manual_seed(0), 2)
    made = patches.PatchSampler([], series, config.DataConfig(patch=(4, 16, 16)))
    a, b, c = (made.draw(4, torch.Generator().manual_seed(k)).clean for k in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c)
    assert a.shape == (4, 16, 16) and a.is_complex() and bool(torch.isfinite(a.abs()).all())


def test_a_warp_is_linear_interpolation() -> None:
    ramp = (torch.arange(50.0)[:, None] + 100 * torch.arange(40.0)).expand(3, 50, 40)
    grid = torch.stack(torch.meshgrid(torch.linspace(3.2, 30.7, 8), torch.linspace(5.1, 40.3, 9), indexing="xy"), -1)
    rows, columns = patches._span(grid[..., 1], 50), patches._span(grid[..., 0], 40)
    found = patches._sampled(ramp[:, rows, columns], (grid - torch.tensor([columns.start, rows.start]))[None], 3)
    torch.testing.assert_close(found[1], grid[..., 1] + 100 * grid[..., 0], rtol=1e-4, atol=1e-2)


def test_volumes_are_cut_along_three_axes_and_repeats_averaged() -> None:
    volume = SnrImage(torch.rand(2, 70, 80, 90), ONE, ONE, "estimated")
    assert [s.frames.shape for s in corpus.clean_series(volume)] == [(35, 40, 45), (40, 35, 45), (45, 35, 40)]
    cine = SnrImage(torch.rand(6, 1, 20, 20), ONE, ONE, "estimated")
    assert [s.frames.shape for s in corpus.clean_series(cine)] == [(6, 20, 20)]
