"""`clearmr reproduce`, and the regions of `clearmr snr`."""

import dataclasses
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from clearmr import reproduce, road
from clearmr.reproduce import snraware_runs
from clearmr.scan import SnrImage
from cli_runs import done, refused, run
from small_table import micro

DOCS = Path(__file__).resolve().parents[1] / "docs" / "results"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(snraware_runs.SCALES, "tiny", micro)


def test_list(tmp_path: Path) -> None:
    said = done("reproduce", "--list").out
    assert [line for line in said.splitlines() if not line.startswith(" ")] == list(reproduce.REPRODUCTIONS)
    found = json.loads(done("reproduce", "--list", "--json").out)
    assert [one["name"] for one in found] == list(reproduce.REPRODUCTIONS)
    assert all(one["about"] and one["data"] and one["tiny"] for one in found)
    kept = {path.stem for path in DOCS.glob("*-tiny.md")}
    assert {f"{one['name']}-tiny" for one in found if one["result"]} == kept


@pytest.mark.usefixtures("small")
def test_a_table_is_made_and_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, flags = tmp_path / "t", ("--threads", "1", "--device", "cpu")
    part = ("--only", "unet-conv3d_proposed", "--only", "unet-conv3d_without-g")
    first = done("reproduce", "snraware-table2", "-o", out, *flags, *part)
    assert "| unet-conv3d |" in first.out and "51.79" in first.out  # the paper's PSNR beside ours
    runs = {path.name for path in (out / "runs").iterdir()}
    assert runs == {f"unet-conv3d_{scheme}_{seed}" for scheme in ("proposed", "without-g") for seed in (0, 1)}
    assert {"results.json", "table.md", "table2.png"} <= {path.name for path in out.iterdir()}
    value = json.loads((out / "results.json").read_text())
    assert (
        value["name"] == "snraware-table2" and len(value["figures"]["runs"]) == 4 and value["provenance"]["seed"] == 0
    )
    origin = value["provenance"]
    assert origin["machine"]["cores"] and origin["machine"]["torch"] and origin["date"] and origin["command"]
    assert (out / "table.md").read_text().rstrip().splitlines()[-1].startswith("`clearmr")
    refused(tmp_path, "reproduce", "snraware-table2", "-o", out, *flags)  # not without --resume
    times = {path: path.stat().st_mtime_ns for path in out.rglob("figures.json")}
    whole = done("reproduce", "snraware-table2", "-o", out, *flags, "--resume")
    assert len(list(out.rglob("figures.json"))) == 8
    assert all(path.stat().st_mtime_ns == when for path, when in times.items())
    assert len(json.loads((out / "results.json").read_text())["checks"]) == 6
    monkeypatch.setattr(snraware_runs.method, "fit", None)  # all is there: nothing more is trained
    assert done("reproduce", "snraware-table2", "-o", out, *flags, "--resume").out == whole.out
    # Other settings than those of the runs that are there
    changed = dataclasses.replace(micro(3), seeds=2)
    monkeypatch.setitem(snraware_runs.SCALES, "tiny", lambda: changed)
    said = run("reproduce", "snraware-table2", "-o", out, *flags, "--resume")
    assert said.code == 2 and "same settings" in said.err


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("args", "word"),
    [
        (["table9", "-o", "{o}/t"], "snraware-table2"),
        (["snraware-table2"], "-o"),
        (["snraware-table2", "-o", "{o}/t", "--scale", "huge"], "tiny or full"),
        (["snraware-table2", "-o", "{o}/t", "--resume"], "without --resume"),
        (["snraware-table2", "-o", "{o}/t", "-d", "{o}/none.npz"], "none.npz"),
        (["snraware-table2", "-o", "{o}/no/t"], "no folder"),
        (["snraware-table3", "-o", "{o}/t", "--model", "none"], "none"),
    ],
)
def test_mistakes(tmp_path: Path, args: list[str], word: str) -> None:
    said = run("reproduce", *(arg.replace("{o}", str(tmp_path)) for arg in args), "--device", "cpu")
    assert said.code == 2 and word in said.err and said.err.count("\n") == 1, said.err


@pytest.mark.usefixtures("small")
def test_only_what_is_there(tmp_path: Path) -> None:
    said = run("reproduce", "snraware-table2", "-o", tmp_path / "t", "--only", "resnet", "--device", "cpu")
    assert said.code == 2 and "unet-conv3d_proposed_0" in said.err


@dataclasses.dataclass(frozen=True)
class Halves:
    """Takes half of the noise away from an image whose mean along x it keeps."""

    name: str = "halves"

    def __call__(self, image: SnrImage) -> SnrImage:
        mean = image.image.mean(-1, keepdim=True)
        return dataclasses.replace(image, image=mean + (image.image - mean) / 2)


@pytest.fixture
def halves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(road, "denoiser", lambda *_, **__: Halves())


def subject(folder: Path, name: str, signal: float, seed: int) -> Path:
    """An image of two tissues, as .npz, with noise of SD 1."""
    rng = np.random.default_rng(seed)
    clean = np.repeat(np.array([signal, signal / 3]), 16)[:, None] * np.ones(96)
    noisy = clean + rng.normal(size=clean.shape) + 1j * rng.normal(size=clean.shape)
    np.savez(folder / f"{name}.npz", image=noisy[None, None].astype(np.complex64), noise_sd=np.ones((1, 1, 1, 1)))
    return folder / f"{name}.npz"


def region(folder: Path, name: str, rows: slice, value: int = 1) -> Path:
    """A mask (y, x) as NIfTI, whose axes are (x, y, z)."""
    mask = np.zeros((96, 32, 1), np.uint8)
    mask[:, rows] = value
    nib.Nifti1Image(mask, np.eye(4)).to_filename(folder / f"{name}.nii.gz")
    return folder / f"{name}.nii.gz"


@pytest.mark.usefixtures("halves")
def test_snr_of_regions(tmp_path: Path) -> None:
    image = subject(tmp_path, "a", 60.0, 0)
    blood, wall = region(tmp_path, "blood", slice(2, 14)), region(tmp_path, "wall", slice(18, 30))
    out = tmp_path / "s.npz"
    said = done("snr", image, "-o", out, "--replicas", "32", "--roi", blood, "--roi", wall)
    lines = said.out.splitlines()
    assert lines[1].startswith("blood (1152 voxels): SNR ") and lines[3].startswith("blood - wall: CNR ")
    meta = json.loads(str(np.load(out)["meta"]))
    for found, signal in zip(meta["regions"], (60.0, 20.0), strict=True):
        assert found["snr_before"] == pytest.approx(signal, rel=0.03)
        # A 96th of the noise is in the mean that stays: sqrt(1/96 + 95/96/4) of the noise is left.
        assert found["gain"] == pytest.approx((1 / 96 + 95 / 96 / 4) ** -0.5, rel=0.03)
    assert meta["contrasts"][0]["cnr_before"] == pytest.approx(40.0, rel=0.03)


@pytest.mark.usefixtures("halves")
def test_snr_of_labels_in_one_file(tmp_path: Path) -> None:
    image = subject(tmp_path, "a", 60.0, 0)
    labels = np.zeros((1, 1, 32, 96), np.float32)
    labels[..., 2:14, :], labels[..., 18:30, :] = 1, 2
    np.savez(tmp_path / "heart.npz", image=labels)
    found = json.loads(
        done("snr", image, "-o", tmp_path / "s.json", "--replicas", "2", "--roi", tmp_path / "heart.npz", "--json").out
    )
    assert [one["name"] for one in found["regions"]] == ["heart:1", "heart:2"]
    assert found["contrasts"][0]["name"] == "heart:1 - heart:2"
    assert json.loads((tmp_path / "s.json").read_text())["regions"] == found["regions"]


@pytest.mark.usefixtures("halves")
def test_several_subjects_and_a_paired_t_test(tmp_path: Path) -> None:
    images = [subject(tmp_path, f"s{k}", 40.0 + 10 * k, k) for k in range(3)]
    for k in range(3):
        region(tmp_path, f"s{k}_blood", slice(2, 14))
    roi = f"{tmp_path}/{{name}}_blood.nii.gz"
    said = done("snr", *images, "-o", tmp_path / "s.json", "--replicas", "8", "--roi", roi)
    value = json.loads((tmp_path / "s.json").read_text())
    together = value["together"]["SNR blood"]
    assert together["n"] == 3 and together["mean_before"] == pytest.approx(50, rel=0.05) and together["p"] < 0.05
    assert [len(one["regions"]) for one in value["inputs"]] == [1, 1, 1]
    assert said.out.splitlines()[-1].startswith("all 3: SNR blood ") and "paired t-test p = " in said.out


@pytest.mark.usefixtures("halves")
def test_regions_that_are_none(tmp_path: Path) -> None:
    image, good = subject(tmp_path, "a", 60.0, 0), region(tmp_path, "good", slice(2, 14))
    empty, other = region(tmp_path, "empty", slice(0, 0)), tmp_path / "other.npy"
    np.save(other, np.ones((32, 95), np.float32))
    for rois, word in (((empty,), "empty"), ((other,), "(1, 1, 32, 96)"), ((good, good), "good"), (("no.nii",), "no")):
        flags = [flag for roi in rois for flag in ("--roi", str(roi))]
        assert word in refused(tmp_path, "snr", image, "-o", tmp_path / "s.npz", "--replicas", "2", *flags)
    assert ".json" in refused(tmp_path, "snr", image, image, "-o", tmp_path / "s.npz")
