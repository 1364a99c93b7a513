"""`clearmr denoise --method bm4d`: every peer from the command line, and what it does not take in one line."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clearmr import baselines, formats, road
from clearmr.baselines import dip, learned, nlm
from clearmr.baselines.ready import AtStrength
from clearmr.cli import denoise
from clearmr.denoiser import Denoiser
from clearmr.errors import InputError
from clearmr.scan import SnrImage
from cli_runs import done, refused

ONE = torch.ones(1, 1, 1, 1)


def npz(path: Path) -> np.ndarray:
    """A complex series in SNR units, and its image."""
    rng = np.random.default_rng(1)
    image = (20 + rng.normal(size=(4, 1, 16, 12)) + 1j * rng.normal(size=(4, 1, 16, 12))).astype(np.complex64)
    np.savez(path, image=image, noise_sd=np.ones((1, 1, 1, 1), np.float32))
    return image


def load(path: Path) -> SnrImage:
    image = formats.load(path)
    assert isinstance(image, SnrImage)
    return image


def test_a_peer_by_its_name_and_part_of_the_way(tmp_path: Path) -> None:
    pytest.importorskip("dipy")
    image = npz(tmp_path / "a.npz")
    done("denoise", tmp_path / "a.npz", "-o", tmp_path / "full.npz", "--method", "nlm")
    found = done("denoise", tmp_path / "a.npz", "-o", tmp_path / "part.npz", "--method", "nlm", "--strength", "0.25")
    full, part = load(tmp_path / "full.npz"), load(tmp_path / "part.npz")
    expected = nlm.load()(SnrImage(torch.from_numpy(image), ONE, ONE, "given")).image
    torch.testing.assert_close(full.image, expected)
    assert float((full.image - 20).abs().mean()) < 0.5 * float(np.abs(image - 20).mean())
    np.testing.assert_allclose(part.image, image + 0.25 * (full.image.numpy() - image), rtol=1e-5)
    step = part.meta["steps"][-1]
    assert (step["method"], step["package"], step["strength"]) == ("nlm", "dipy", 0.25)
    assert "at strength 0.25" in found.err


def test_one_that_learns_gets_seed_device_and_progress(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    quick = dataclasses.replace(dip.load(), iterations=3, channels=2, levels=1)
    monkeypatch.setattr(dip, "load", lambda: quick)
    npz(tmp_path / "a.npz")
    done("denoise", tmp_path / "a.npz", "-o", tmp_path / "b.npz", "--method", "dip", "--seed", "7", "--device", "cpu")
    step = load(tmp_path / "b.npz").meta["steps"][-1]
    assert (step["method"], step["iterations"], step["seed"], step["device"]) == ("dip", 3, 7, "cpu")
    calls: list[int] = []
    ready = road.denoiser("dip", seed=7, progress=lambda done, total, **info: calls.append(total))
    torch.testing.assert_close(ready(load(tmp_path / "a.npz")).image, load(tmp_path / "b.npz").image)
    assert calls[-1] == 3 * 4 * 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--along", "time"], "no option for the peer dip; found --along; leave it out"),
        (["--memory", "1G", "--batch", "2"], "found --memory, --batch"),
        (["--precision", "bf16"], "found --precision"),
        (["--model", "run"], "found --model"),
        (["--strength", "2"], "--strength from 0 to 1; found 2"),
    ],
)
def test_what_a_peer_does_not_take_is_said(tmp_path: Path, options: list[str], said: str) -> None:
    npz(tmp_path / "a.npz")
    assert said in refused(
        tmp_path, "denoise", tmp_path / "a.npz", "-o", tmp_path / "b.npz", "--method", "dip", *options
    )


def test_an_absent_package_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "absent", lambda package: f"{package} is not installed")
    npz(tmp_path / "a.npz")
    line = refused(tmp_path, "denoise", tmp_path / "a.npz", "-o", tmp_path / "b.npz", "--method", "bm3d")
    assert "bm3d is not installed" in line and "non-commercial" in line and "clearmr[baselines]" in line


@pytest.mark.parametrize("name", baselines.BASELINES)
def test_every_peer_is_ready_and_named_in_the_help(name: str) -> None:
    pytest.importorskip(baselines.room(name).PACKAGE)
    ready = road.denoiser(name)
    assert isinstance(ready, Denoiser) and ready.name == name
    option: Any = denoise.run.__annotations__["method"].__metadata__[0]
    assert name in option.help


def test_nothing_is_changed_at_strength_none() -> None:
    image = SnrImage((5 + torch.randn(1, 1, 8, 8)).abs(), ONE, ONE, "given")
    quick = learned.Settings("x", 1, 1.0)

    class Zero:
        name = "zero"

        def __call__(self, given: SnrImage) -> SnrImage:
            return learned.denoise(given, quick, lambda frames, step: torch.zeros_like(frames), each=True)

    assert torch.equal(AtStrength("zero", Zero(), 0.0)(image).image, image.image)
    with pytest.raises(InputError, match="--strength"):
        AtStrength("zero", Zero(), -0.1)
