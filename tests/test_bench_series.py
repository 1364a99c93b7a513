"""`clearmr bench series`: the noise is what it says, all are judged on the same series, absent peers are told of."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from clearmr import baselines, road
from clearmr.bench import quality_data, series
from clearmr.bench.timing import Options
from clearmr.denoiser import Denoiser
from clearmr.scan import SnrImage
from cli_runs import done
from dynamic_series import disc_series

GAUSSIAN, RICIAN = ([f"{kind} {n} %" for n in (5, 10, 15)] for kind in ("Gaussian", "Rician"))


class Smoother:
    """Means over the frames beside each."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, image: SnrImage) -> SnrImage:
        return dataclasses.replace(image, image=(image.image + image.image.roll(1, 0) + image.image.roll(-1, 0)) / 3)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """Denoisers that take no time; the models that were asked for."""
    models: list[str | None] = []

    def denoiser(method: str, *, model: str | None = None, is_complex: bool) -> Denoiser:
        assert method == "deformed2self" and not is_complex
        models.append(model)
        return Smoother(model or "joint")

    monkeypatch.setattr(road, "denoiser", denoiser)
    monkeypatch.setattr(baselines, "absent", lambda package: f"{package} is not installed")
    small = quality_data.Sizes(plane=32, frame=32, frames=4)
    monkeypatch.setattr(quality_data, "Sizes", lambda: small)
    return models


def frames(folder: Path) -> Path:
    folder.mkdir()
    for n, frame in enumerate(disc_series(1, 40).expand(5, -1, -1)):
        Image.fromarray((255 * frame / frame.max()).numpy().astype(np.uint8)).save(folder / f"clean_{n}.png")
    return folder


def test_a_named_cine_by_default_and_from_nothing(asked: list[str | None], tmp_path: Path) -> None:
    found = done("bench", "series", "--data", frames(tmp_path / "cine"), "--json", tmp_path / "b.json")
    (row,) = json.loads((tmp_path / "b.json").read_text())["series"]["rows"]
    assert (row["data"], row["noise"]) == ("cine", "Gaussian 15/255") and asked == [None, "scratch"]
    assert row["noisy"]["psnr"] == pytest.approx(-20 * math.log10(15 / 255), abs=0.3)
    assert row["clearmr"]["psnr"] == row["clearmr scratch"]["psnr"] > row["noisy"]["psnr"] + 2
    assert row["clearmr"]["seconds"] >= 0 and row["bm4d"] == {"skipped": "bm4d is not installed"}
    assert row["margin"] is None and series.TITLE in found.err


def test_all_levels_where_asked_for_and_a_peer_in_the_same_run(
    asked: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "absent", lambda package: "")
    monkeypatch.setattr(baselines, "load", lambda name: Smoother(name))
    steps: list[tuple[int, int]] = []
    rows = series.run(Options(levels=True, progress=lambda done, total: steps.append((done, total))))["rows"]
    assert [row["noise"] for row in rows] == ["Gaussian 15/255", *GAUSSIAN, *RICIAN]
    assert {row["data"] for row in rows} == {"simulated cine"}
    assert all(row["margin"] == 0 and row["bm4d"]["seconds"] >= 0 for row in rows)
    assert steps == [(n, 21) for n in range(1, 22)]


def test_the_noise_is_of_its_kind_and_level() -> None:
    clean = torch.full((4, 1, 64, 64), 0.5)
    gaussian, rician = series.gaussian(0 * clean, 0.1), series.rician(clean, 0.1)
    assert float(gaussian.image.std()) == pytest.approx(0.1, rel=0.03) and float(gaussian.image.min()) < 0
    assert float(rician.image.square().mean()) == pytest.approx(0.25 + 2 * 0.01, rel=0.02)
    assert float(rician.noise_sd) == float(gaussian.noise_sd) == pytest.approx(0.1)


def test_psnr_is_the_mean_of_the_frames() -> None:
    clean = torch.zeros(2, 1, 8, 8)
    found = torch.stack([torch.full((1, 8, 8), 0.1), torch.full((1, 8, 8), 0.01)])
    assert series.psnr(found, clean) == pytest.approx(30.0, abs=1e-3)
