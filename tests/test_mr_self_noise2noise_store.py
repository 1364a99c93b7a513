"""Pairs on disk: read back as written, by the window, reused when they fit and made anew when not."""

import dataclasses
import threading
from pathlib import Path

import h5py
import pytest
import torch

from clearmr.methods.mr_self_noise2noise import store
from clearmr.methods.mr_self_noise2noise.config import HalfPair, SplitConfig
from clearmr.scan import SnrImage

KEY = "ab" * 32


def image(seed: int, shape: tuple[int, int, int] = (12, 40, 36), *, flat: bool = False) -> SnrImage:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn((1, *shape), dtype=torch.complex64, generator=generator)
    noise_sd = torch.ones(1, 1, 1, 1) if flat else 1 + torch.rand((1, *shape), generator=generator)
    meta = {"steps": [{"name": "split", "half": seed}], "warnings": []}
    gmap = noise_sd if flat else noise_sd * 1.5
    return SnrImage(values, noise_sd, gmap, "measured", spacing=(1.0, 0.9, 0.8), meta=meta)


def pair(seed: int = 0, **options: bool) -> HalfPair:
    return HalfPair(*(image(3 * seed + k, **options) for k in range(3)))  # type: ignore[arg-type]


def written(cache: Path, *pairs: HalfPair, key: str = KEY) -> list[store.StoredPair]:
    return store.write(pairs or (pair(),), cache, key, name="scan 1", provenance={"input": ["a.h5"]})


def test_pairs_are_read_back_as_written(tmp_path: Path) -> None:
    frames = (pair(1), pair(2, flat=True))
    found = written(tmp_path / "pairs", *frames)
    assert [p.frame for p in found] == [0, 1] and {p.key for p in found} == {KEY}
    for back, given in zip((p.whole() for p in found), frames, strict=True):
        for name in store.IMAGES:
            a, b = getattr(back, name), getattr(given, name)
            for part in ("image", "noise_sd", "gmap"):
                assert torch.equal(getattr(a, part), getattr(b, part)), (name, part)
            assert (a.spacing, a.noise_source, a.meta, a.affine) == (b.spacing, b.noise_source, b.meta, None)


def test_windows_are_read_without_the_rest(tmp_path: Path) -> None:
    given = pair()
    (found,) = written(tmp_path, given)
    lazy = found.second.image
    assert lazy.shape == (1, 12, 40, 36) and lazy.is_complex() and not found.second.noise_sd.is_complex()
    for window in (
        (0, slice(2, 9), slice(3, 35), slice(4, 36)),  # slices along z
        (0, slice(0, 12), slice(10, 17), slice(0, 32)),  # along y
        (slice(0, 1), slice(0, 12), slice(0, 32), 35),  # along x
    ):
        assert torch.equal(lazy[window], given.second.image[window])
    with h5py.File(found.path) as file:
        assert file["first/image"].chunks == (1, 12, 32, 32)


def test_equal_maps_are_stored_once(tmp_path: Path) -> None:
    (found,) = written(tmp_path, pair(flat=True))
    with h5py.File(found.path) as file:
        assert file["first/gmap"] == file["first/noise_sd"]


def test_the_key_follows_bytes_and_settings_not_names(tmp_path: Path) -> None:
    a, b, other = (tmp_path / name for name in ("a.h5", "b.h5", "c.h5"))
    a.write_bytes(b"scan"), b.write_bytes(b"scan"), other.write_bytes(b"scab")
    key = store.key_of(a, SplitConfig())
    assert key == store.key_of(b, SplitConfig()) and len(key) == 64
    others = [store.key_of(other, SplitConfig()), store.key_of(a, SplitConfig(axis="ky"))]
    others += [store.key_of(a, SplitConfig(kernel=(2, 2, 5))), store.key_of(a, SplitConfig(), estimate_noise=True)]
    assert len({key, *others}) == 5


def test_the_key_changes_with_the_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(b"scan")
    key = store.key_of(path, SplitConfig())
    (found,) = written(tmp_path)
    monkeypatch.setattr(store, "VERSION", store.VERSION + 1)
    assert store.key_of(path, SplitConfig()) != key
    assert found.path.is_file() and store.stored(tmp_path, KEY) is None


def test_what_is_missing_or_broken_is_not_found(tmp_path: Path) -> None:
    assert store.stored(tmp_path / "none", KEY) is None
    found = written(tmp_path, pair(1), pair(2))
    assert store.stored(tmp_path, "cd" * 32) is None
    assert store.stored(tmp_path, KEY[:16] + "0" * 48) is None  # the same file names
    assert store.stored(tmp_path, KEY) == found
    content = found[1].path.read_bytes()
    found[1].path.write_bytes(content[: len(content) // 4])
    assert store.stored(tmp_path, KEY) is None
    found[1].path.unlink()
    assert store.stored(tmp_path, KEY) is None
    assert len(written(tmp_path, pair(1), pair(2))) == 2


def test_a_write_that_fails_leaves_no_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def failing(*given: object) -> None:
        calls.append(given)
        if len(calls) == 5:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "_write_array", failing)
    with pytest.raises(OSError, match="space"):
        written(tmp_path / "pairs", pair())
    assert list((tmp_path / "pairs").iterdir()) == [] and store.stored(tmp_path / "pairs", KEY) is None


def test_pairs_are_made_in_turn(tmp_path: Path) -> None:
    order = []

    def work() -> None:
        with store.one_at_a_time(tmp_path):
            order.append("second")

    with store.one_at_a_time(tmp_path):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"] and list(tmp_path.iterdir()) == []


def test_an_affine_and_a_magnitude_survive(tmp_path: Path) -> None:
    given = pair()
    magnitudes = [
        dataclasses.replace(getattr(given, n), image=getattr(given, n).image.abs(), affine=torch.eye(4).numpy())
        for n in store.IMAGES
    ]
    (found,) = written(tmp_path, HalfPair(*magnitudes))
    back = found.first.whole()
    assert back.image.dtype == torch.float32 and not found.first.is_complex
    assert back.affine is not None and (back.affine == torch.eye(4).numpy()).all()
