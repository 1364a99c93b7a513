"""The quality table: what it is made of is as it says, and figures of known denoisers come out as they must."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from clearmr import baselines, bench, formats, road
from clearmr.bench import entrants, quality, quality_data, quality_real, quality_rows, quality_trust
from clearmr.bench.quality_data import Sizes
from clearmr.errors import InputError
from clearmr.evaluate import lesion
from clearmr.scan import SnrImage
from cli_runs import done, halving_model, raw_file, scan

SMALL = Sizes(volume=16, brain=16, frame=40, plane=40, frames=2, accelerated=(40, 2), draws=1)
ONE = torch.ones(1, 1, 1, 1)
Change = Callable[[SnrImage], Tensor]


@dataclasses.dataclass(frozen=True)
class StandIn:
    """A denoiser that is known."""

    change: Change
    name: str = "stand-in"

    def __call__(self, image: SnrImage, **_: object) -> SnrImage:
        return dataclasses.replace(image, image=self.change(image))


def smoothed(image: SnrImage) -> Tensor:
    return (image.image + image.image.roll(1, -1)) / 2


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Peers that take no time: one smooths, one does nothing, one refuses."""

    def refuse(image: SnrImage) -> SnrImage:
        raise InputError("more frames", "one", "use another")

    idle = StandIn(lambda image: image.image)
    made = {"bm4d": StandIn(smoothed), "nlm": idle, "mppca": refuse, "bm3d": idle, "asm": idle}
    monkeypatch.setattr(baselines, "absent", lambda package: "")
    monkeypatch.setattr(baselines, "load", lambda name: made[name])


def own(monkeypatch: pytest.MonkeyPatch, change: Change) -> None:
    monkeypatch.setattr(road, "denoise", StandIn(change))
    monkeypatch.setattr(road, "denoiser", lambda *_, **__: StandIn(change))


def test_the_whole_table(peers: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(quality_data, "Sizes", lambda: SMALL)
    monkeypatch.setenv("COLUMNS", "300")
    found = done("bench", "quality", "--model", halving_model(), "--json", tmp_path / "q.json")
    table = json.loads(found.out)["quality"]
    assert json.loads((tmp_path / "q.json").read_text())["quality"] == table
    assert [len(table[group]) for group in ("volumes", "cine", "accelerated", "trust")] == [3, 3, 3, 9]
    for group in ("volumes", "cine", "accelerated"):
        for row in table[group]:
            figures = row["entrants"]
            best = max(("bm4d", "nlm"), key=lambda name: figures[name]["psnr"])
            assert row["best peer"] == best
            assert row["margin"] == pytest.approx(figures["clearmr"]["psnr"] - figures[best]["psnr"])
            assert "more frames" in figures["mppca"]["skipped"]
            assert figures["nlm"]["psnr"] == figures["noisy"]["psnr"]
    left = table["pure noise, SD left"]
    assert all(0 < share < 0.5 for share in left.values())  # the network halves, and the filter follows
    for text in (*quality.TITLES.values(), "simulated brain", "Rician 9 %", "over", "more frames"):
        assert (text in found.err) == (text != quality.TITLES["repeats"])
    assert done("bench", "quality", "--model", halving_model(), "--quiet").err == ""


def test_absent_peers_are_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "absent", lambda package: f"{package} is not installed")
    own(monkeypatch, lambda image: image.image)
    case = next(quality_rows.accelerated(SMALL))
    row = entrants.row(case, bench.Options())
    assert {row["entrants"][name]["skipped"] for name in baselines.filters()} == {
        "bm3d is not installed",
        "bm4d is not installed",
        "dipy is not installed",
    }
    assert set(row["entrants"]) == {"noisy", "clearmr", *baselines.filters()}  # none that takes minutes to learn
    assert row["margin"] is None and row["best peer"] is None and row["entrants"]["clearmr"]["psnr"] > 0


def test_an_image_that_the_model_does_not_take_is_skipped(peers: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(image: SnrImage, **_: object) -> SnrImage:
        raise InputError("a complex image", "magnitude", "use another model")

    monkeypatch.setattr(road, "denoise", refuse)
    row = entrants.row(next(quality_rows.accelerated(SMALL)), bench.Options())
    assert "use another model" in row["entrants"]["clearmr"]["skipped"] and row["margin"] is None


def test_named_data_are_told_apart(tmp_path: Path) -> None:
    volume = np.zeros((30, 34, 28), np.int16)
    volume[6:26, 10:30, 4:24] = np.random.default_rng(0).integers(50, 100, (20, 20, 20))
    nib.save(nib.Nifti1Image(volume, np.eye(4)), tmp_path / "t1.nii.gz")
    nib.save(nib.Nifti1Image(np.stack([volume] * 3, -1), np.eye(4)), tmp_path / "repeats.nii.gz")
    (tmp_path / "frames").mkdir()
    for number in range(3):
        Image.fromarray(np.full((20, 24), 60 * number + 60, np.uint8)).save(tmp_path / "frames" / f"clean_{number}.png")
    raw = raw_file(tmp_path / "scan.h5", scan())
    names = ("t1.nii.gz", "repeats.nii.gz", "frames")
    data = quality_data.collect((*(tmp_path / name for name in names), raw), SMALL)
    ((name, clean),) = data.volumes
    assert name == "t1.nii.gz" and clean.shape == (1, 16, 16, 16) and float(clean.max()) == 1
    assert float(clean.min()) > 0.4  # cut at the middle of the foreground, not of the file
    ((name, series),) = data.series
    assert name == "frames" and series[:, 0, 0, 0].tolist() == [0.5, 1.0]  # SMALL.frames of the three
    assert [name for name, _ in data.repeats] == ["repeats.nii.gz", "scan.h5"]
    assert data.repeats[1][1].is_complex


def test_a_folder_without_frames_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="frames"):
        quality_data.collect((tmp_path,), SMALL)


def test_rician_noise_is_what_it_says() -> None:
    clean = quality_data.simulated_brain(Sizes(brain=32))
    assert clean.shape == (1, 32, 32, 32) and float(clean.max()) == 1
    data = quality_data.Data((("brain", clean),), (), ())
    cases = list(quality_rows.volumes(data))
    assert [case.noise for case in cases] == ["Rician 3 %", "Rician 6 %", "Rician 9 %"]
    given = cases[2].problem()
    excess = (given.noisy.image.square() - clean.square()).mean()  # 2 SD^2
    assert float(excess) == pytest.approx(2 * 0.09**2, rel=0.05) and float(given.noisy.noise_sd) == pytest.approx(0.09)
    assert bool((given.noisy.image >= 0).all()) and bool(((clean > 0.1) == given.inside).all())


def test_a_cine_gets_gaussian_noise_that_may_be_negative() -> None:
    clean = torch.full((4, 1, 40, 40), 0.05)
    case = list(quality_rows.cine(quality_data.Data((), (("flat", clean),), ())))[1]
    noise = case.problem().noisy.image - clean
    assert float(noise.std()) == pytest.approx(0.1, rel=0.05) and float(noise.mean()) == pytest.approx(0, abs=0.01)
    assert float(noise.min()) < -0.2


def test_the_accelerated_series_has_the_noise_it_says() -> None:
    given = list(quality_rows.accelerated(Sizes(accelerated=(48, 4))))[1].problem()
    white = (given.noisy.image - given.clean) / given.noisy.noise_sd
    assert float(torch.view_as_real(white).std()) == pytest.approx(1, abs=0.03)
    assert float((given.clean.abs() / given.noisy.noise_sd)[given.inside].mean()) == pytest.approx(10, rel=1e-3)
    gmap = given.noisy.gmap[given.inside[:1]]
    assert float(gmap.max() / gmap.min()) > 1.3


@pytest.fixture
def repeats() -> SnrImage:
    """Nine noisy repeats of a ramp, noise SD 0.1."""
    clean = torch.linspace(1, 2, 24).expand(9, 6, 24, 24)
    noisy = clean + 0.1 * entrants.noise_like(clean, 4)
    return SnrImage(noisy, ONE, ONE, "unknown")


def test_repeats_are_judged_without_their_truth(
    repeats: SnrImage, peers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = quality_data.Data((), (), (("ramp", repeats),))
    (case,) = quality_real.repeats(data, SMALL)
    assert case.single.image.shape == (1, 6, 24, 24) and case.noise == "repeat 5 of 9"
    assert float(case.single.noise_sd) == pytest.approx(0.1, rel=0.03)
    truth = torch.linspace(1, 2, 24).expand(1, 6, 24, 24)
    own(monkeypatch, lambda image: truth + 0.03 * entrants.noise_like(truth, 5))
    row = quality_real.row(case, bench.Options())
    # The noise of the other eight's mean (0.035) is more than the error left (0.03): it must have been taken off.
    assert row["entrants"]["clearmr"]["gain"] == pytest.approx(20 * np.log10(0.1 / 0.03), abs=1.0)
    assert row["entrants"]["nlm"]["gain"] == 0 and row["best peer"] == "nlm"
    assert row["margin"] == row["entrants"]["clearmr"]["gain"] and row["entrants"]["bm4d"]["gain"] < 0


def test_a_single_raw_image_gets_noise(tmp_path: Path) -> None:
    formats.save_raw(scan(snr=100.0, acceleration=1), tmp_path / "scan.h5")
    data = quality_data.collect((tmp_path / "scan.h5",), SMALL)
    (case,) = quality_real.repeats(data, SMALL)
    added = torch.view_as_real((case.single.image - case.others) / case.single.noise_sd)
    assert float(added.std()) == pytest.approx(1, abs=0.05)
    assert float((case.others.abs() / case.single.noise_sd)[case.inside].mean()) == pytest.approx(5, rel=0.1)


@pytest.mark.parametrize("shape", [(3, 1, 64, 64), (1, 40, 48, 48)])
def test_lesions_lie_apart_inside_the_object(shape: tuple[int, ...]) -> None:
    inside = torch.zeros(shape, dtype=torch.bool)
    inside[..., 4:, 4:-4] = True
    lesions, shell = lesion.masks(inside)
    size = 9 if shape[1] == 1 else 19
    assert lesions[0].any() and int(lesions[0].sum()) % size == 0
    assert torch.equal(lesions, lesions[:1].expand(shape)) and not bool((lesions & shell).any())
    assert bool(inside[lesions | shell].all())
    assert int(lesions[0].sum()) // size > 10


@pytest.mark.parametrize("scene", [0, 1, 2])
def test_trust_of_known_denoisers(scene: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = Sizes(brain=40, plane=64, frames=3, draws=2)
    chosen = list(quality_trust.scenes(sizes))[scene]
    own(monkeypatch, lambda image: image.image)
    row = quality_trust.rows(chosen, bench.Options(), sizes)[2]
    assert row["lesions"] >= 4 and row["lesion contrast kept"] == pytest.approx(1, abs=0.15)
    assert row["removed / noise SD, object"] == 0 and row["mean signal"] == pytest.approx(1, abs=0.01)
    own(monkeypatch, lambda image: 0.5 * image.image)
    row = quality_trust.rows(chosen, bench.Options(), sizes)[2]
    assert row["mean signal"] == pytest.approx(0.5, abs=0.01)
    assert row["change of a noise-free image"] == pytest.approx(0.5, abs=0.01)


def test_trust_sees_lesions_go_and_noise_go(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = Sizes(brain=40, plane=64, frames=3, draws=2)
    chosen = next(quality_trust.scenes(sizes))
    own(monkeypatch, lambda image: 20 * chosen.clean)  # the truth without the lesions, whatever comes in
    row = quality_trust.rows(chosen, bench.Options(), sizes)[2]
    assert abs(row["lesion contrast kept"]) < 1e-6
    assert row["removed / noise SD, smooth areas"] == pytest.approx(1, abs=0.1) or np.isnan(
        row["removed / noise SD, smooth areas"]
    )
    own(monkeypatch, lambda image: 0.25 * image.image)
    left = quality_trust.pure_noise(bench.Options(), sizes)
    assert len(left) == 4 and all(share == pytest.approx(0.25, abs=1e-3) for share in left.values())
