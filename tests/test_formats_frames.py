"""A folder of PNG pictures is a series."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clearmr import formats
from clearmr.errors import InputError
from clearmr.scan import SnrImage
from cli_runs import done


def folder_of(path: Path, n: int = 3, name: str = "f{}.png", size: tuple[int, int] = (24, 20)) -> np.ndarray:
    """`n` 16-bit frames in the folder, and their values."""
    path.mkdir(exist_ok=True)
    values = np.random.default_rng(n).integers(0, 60000, (n, *size)).astype(np.uint16)
    for k, frame in enumerate(values):
        Image.fromarray(frame).save(path / name.format(k))
    return values


def test_frames_by_name(tmp_path: Path) -> None:
    values = folder_of(tmp_path / "cine")
    found = formats.load(tmp_path / "cine")
    assert isinstance(found, SnrImage) and found.noise_source == "unknown" and found.meta["format"] == "frames"
    np.testing.assert_array_equal(found.image[:, 0].numpy(), values)


def test_clean_ones_go_before_the_others(tmp_path: Path) -> None:
    values = folder_of(tmp_path / "cine", name="clean_{}.png")
    folder_of(tmp_path / "cine", n=2, name="preview{}.png", size=(8, 8))
    found = formats.load(tmp_path / "cine")
    assert isinstance(found, SnrImage)
    np.testing.assert_array_equal(found.image[:, 0].numpy(), values)


def test_what_is_no_series(tmp_path: Path) -> None:
    folder_of(tmp_path / "two")
    folder_of(tmp_path / "two", n=1, name="g{}.png", size=(8, 8))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    (tmp_path / "colour").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "colour" / "a.png")
    (tmp_path / "none").mkdir()
    for name, word in (("two", "one size"), ("broken", "whole PNG"), ("colour", "3 channels"), ("none", "PNG frames")):
        with pytest.raises(InputError, match=word):
            formats.load(tmp_path / name)


def test_noise_can_be_laid_on_them(tmp_path: Path) -> None:
    values = folder_of(tmp_path / "cine").astype(float)
    args = ("--image-noise", "gaussian:0.1", "--truth", tmp_path / "clean.npz")
    done("simulate", tmp_path / "cine", "-o", tmp_path / "noisy.npz", *args)
    clean, noisy = (np.load(tmp_path / name)["image"] for name in ("clean.npz", "noisy.npz"))
    np.testing.assert_allclose(clean[:, 0], values / values.max(), atol=1e-4)
    assert np.std(noisy - clean) == pytest.approx(0.1, rel=0.1)
