"""The papers' tables made again, at a size that trains in seconds."""

import dataclasses
import json
import math
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from a_job import square
from clearmr import evaluate, reproduce
from clearmr.errors import InputError
from clearmr.methods.snraware.config import NoiseConfig
from clearmr.methods.snraware.model import build
from clearmr.methods.snraware.schemes import SCHEMES
from clearmr.reproduce import heart, jobs, published, results, snraware_data, snraware_runs, snraware_table2
from clearmr.reproduce import snraware_table3 as table3
from clearmr.scan import SnrImage
from clearmr.train.stopping import Interrupted
from small_table import SIZES, micro


def micro_run(folder: Path, scheme: str = "proposed", *, steps: int = 2) -> snraware_runs.Run:
    return snraware_runs.Run("unet-conv3d", scheme, 0, micro(steps), folder)


def test_every_reproduction_has_its_room() -> None:
    for name in reproduce.REPRODUCTIONS:
        room = reproduce.room(name)
        assert callable(room.run) and room.ABOUT and "\n" not in room.ABOUT
    with pytest.raises(InputError, match="snraware-table2"):
        reproduce.room("table2")


def test_published_numbers_are_the_paper_s() -> None:
    assert published.TABLE2_PSNR["hrnet-cnnt-large"] == (54.89698, 48.13811, 41.31241, 40.48224)
    assert set(published.TABLE2_PSNR) == set(published.TABLE2_SSIM) == set(snraware_runs.full().networks)
    for proposed, without_g, without_noise, without_recon in published.TABLE2_PSNR.values():
        if without_g is not None and without_noise is not None and without_recon is not None:
            assert proposed > without_g > without_recon and proposed > without_noise
    for figures in published.TABLE3.values():
        blood, wall, contrast = (
            [float(text.split()[0]) for text in figures[key][:2]]
            for key in ("SNR blood", "SNR myocardium", "CNR blood - myocardium")
        )
        # The printed CNR is the difference of the two SNRs, not the formula of the text.
        assert [b - w for b, w in zip(blood, wall, strict=True)] == pytest.approx(contrast, abs=2e-3)


def test_scales_are_those_of_the_issue() -> None:
    tiny, full = snraware_runs.tiny(), snraware_runs.full()
    assert {n.split("-")[0] for n in tiny.networks} == {"hrnet", "unet"}
    assert {n.split("-")[1] for n in tiny.networks} == {"cnnt", "conv3d"} and tiny.seeds == 3
    assert sum(len(full.schemes(network)) for network in full.networks) == 10 * 4 + 4
    net = full.config("hrnet-cnnt-large", "proposed").net
    assert (net.channels, net.cells, net.norm, net.noise_map) == ((64, 128), 6, "patch", True)
    recon = full.config("hrnet-cnnt", "without-recon")
    assert (recon.net.image, recon.net.noise_map) == ("magnitude", False)


def test_networks_of_the_paper_s_size_take_what_is_judged() -> None:
    full = snraware_runs.full()
    sizes = dataclasses.replace(full.sizes, volume=(2, 128, 128), n_frames=2, judged=1, subjects=1, arrays=1)
    config = full.config("unet-conv2d", "proposed")
    series = snraware_data.judged_series(sizes, full.base.noise, full.base.data.native_snr)
    out = snraware_runs.denoised(build(config.net), series[0].pair, config, "cpu")
    assert out.shape == series[0].pair.noisy.shape == (2, 64, 64) and out.is_complex()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_schemes_differ_in_nothing_but_what_they_leave_out(scheme: str) -> None:
    tiny = snraware_runs.tiny()
    first, other = tiny.config("unet-cnnt", "proposed"), tiny.config("unet-cnnt", scheme)
    assert first.loop == other.loop and first.loss == other.loss
    assert (first.data.patch, first.data.batch, first.data.native_snr) == (
        other.data.patch,
        other.data.batch,
        other.data.native_snr,
    )
    assert (first.net.channels, first.net.cells, first.noise.sigma_max) == (
        other.net.channels,
        other.net.cells,
        other.noise.sigma_max,
    )


def test_what_is_judged_was_seen_by_no_scheme() -> None:
    trained = [image.image for image in snraware_data.training_images(SIZES)]
    chosen = [image.image for image in snraware_data.choosing_images(SIZES)]
    for name in ("cine", "brain", "phantom"):
        judged = snraware_data.scene_image(name, SIZES, snraware_data.JUDGING)
        for image in (*trained, *chosen):
            assert image.shape != judged.shape or float((image - judged).abs().max()) > 0.1
    assert not torch.equal(
        snraware_data.gmaps(SIZES, first_seed=snraware_data.TRAINING)[1],
        snraware_data.gmaps(SIZES, first_seed=snraware_data.JUDGING)[1],
    )


def test_judged_series_have_the_noise_that_is_said() -> None:
    series = snraware_data.judged_series(dataclasses.replace(SIZES, judged=4), NoiseConfig(), (20.0, 200.0))
    assert len(series) == 3 * 4 and {one.scene for one in series} == {"cine", "brain", "phantom"}
    left = torch.cat([((one.pair.noisy - one.pair.target) / one.pair.noise_sd).flatten() for one in series])
    assert float(torch.view_as_real(left).std()) == pytest.approx(1.0, abs=0.03)
    # Filters correlate neighbours in most of the draws, and maps vary over the image.
    assert sum(float(one.pair.gmap.std()) > 0.01 for one in series) > 6
    again = snraware_data.judged_series(dataclasses.replace(SIZES, judged=4), NoiseConfig(), (20.0, 200.0))
    assert all(torch.equal(a.pair.noisy, b.pair.noisy) for a, b in zip(series, again, strict=True))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_run_is_trained_once(tmp_path: Path, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = micro_run(tmp_path, scheme)
    assert snraware_runs.finished(run) is None
    found = snraware_runs.train_and_judge(run)
    assert math.isfinite(found["denoised"]["psnr"]) and 40 < found["noisy"]["psnr"] < 80
    assert (found["denoised"]["psnr_complex"] is None) == (scheme == "without-recon")
    monkeypatch.setattr(snraware_runs.method, "fit", None)
    again = snraware_runs.finished(run)
    assert again is not None and again["denoised"] == found["denoised"]
    with pytest.raises(InputError, match="same settings"):
        snraware_runs.finished(micro_run(tmp_path, scheme, steps=3))


def test_a_network_is_told_no_more_than_its_scheme_knows() -> None:
    """Without a map among its inputs, the same image gives the same result whatever the noise map says."""

    class Echo(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.seen = x.shape
            return x[:, :1]

    series = snraware_data.judged_series(SIZES, NoiseConfig(), (20.0, 200.0))
    config, echo = micro().config("unet-conv3d", "without-recon"), Echo()
    out = snraware_runs.denoised(echo, series[0].pair, config, "cpu")
    assert echo.seen[1] == 1 and torch.equal(out, series[0].pair.noisy.abs())
    judged = snraware_runs.judge(echo, series, config, "cpu")
    assert judged["denoised"]["psnr"] == pytest.approx(judged["noisy"]["psnr"])


def test_jobs_come_back_in_their_order() -> None:
    seen: list[int] = []
    found = jobs.run_all(square, [3, 1, 2], workers=1, progress=lambda done, total, **_: seen.append(done))
    assert [one["value"] for one in found] == [9, 1, 4] and seen == [1, 2, 3]


def test_jobs_in_other_processes_and_the_user_s_mistake_in_one() -> None:
    assert [one["value"] for one in jobs.run_all(square, [3, 1], workers=2)] == [9, 1]
    with pytest.raises(InputError, match="expected a number over 0; found -1"):
        jobs.run_all(square, [-1, -1], workers=2)


@pytest.mark.parametrize("error", [InputError("a", "b", "c"), Interrupted(3, 9, 15)])
def test_errors_go_from_process_to_process(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) and str(again) == str(error) and vars(again) == vars(error)


def figures(network: str, scheme: str, seed: int, psnr: float) -> dict[str, Any]:
    denoised = {"psnr": psnr, "psnr_complex": None, "ssim": 0.5, "ssim_unit": 0.1}
    noisy = {"psnr": 60.0, "ssim": 0.3}
    return {"network": network, "scheme": scheme, "seed": seed, "denoised": denoised, "noisy": noisy}


def test_checks_say_what_holds_and_what_fails() -> None:
    levels = {"proposed": 70.0, "without-g": 69.0, "without-mr-noise": 71.0, "without-recon": 65.0}
    found = [figures("unet-cnnt", s, seed, value + 0.1 * seed) for s, value in levels.items() for seed in range(3)]
    checks = snraware_table2.checks(found, ["unet-cnnt"])
    assert [check.holds for check in checks] == [True, True, False] * 2
    assert checks[0].by.mean == pytest.approx(1.0) and checks[0].by.sd == pytest.approx(0.0, abs=1e-9)
    assert checks[2].text().startswith("FAILS: ") and "without MR noise" in checks[2].text()
    table = snraware_table2.table(found, snraware_runs.tiny(), "tiny")
    assert table.rows[0][:2] == ("unet-cnnt", "70.10 +- 0.10") and table.rows[-1][0] == "mean"
    assert all(len(row) == len(table.columns) for row in table.rows)
    text = results.markdown(table)
    assert "Data differ from the paper's" in text and "54.09" in text and "FAILS" in text


def test_a_table_of_a_part_of_the_runs(tmp_path: Path) -> None:
    found = [figures("unet-cnnt", "proposed", 0, 70.0), figures("hrnet-cnnt", "without-g", 0, 60.0)]
    table = snraware_table2.table(found, snraware_runs.tiny(), "tiny")
    assert [row[0] for row in table.rows] == ["hrnet-cnnt", "unet-cnnt", "mean"] and not table.checks
    snraware_table2.draw(found, snraware_runs.tiny(), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_bolus_has_its_maximum_at_its_peak() -> None:
    curve = [heart.bolus(k / 100, 0.33) for k in range(100)]
    assert max(range(100), key=curve.__getitem__) == 33 and max(curve) == pytest.approx(1, abs=1e-3) and curve[0] == 0


SCAN = heart.Scan((1, 64, 64), 4, 8, 2, 100.0)


@pytest.mark.parametrize("make", [heart.realtime_cine, heart.perfusion])
def test_regions_lie_in_blood_and_wall(make: Any) -> None:
    found = make(SCAN, 400)
    image, regions = found.image, found.regions
    assert image.noise_source == "measured" and set(regions) == {heart.BLOOD, heart.MYOCARDIUM}
    assert not bool((regions[heart.BLOOD] & regions[heart.MYOCARDIUM]).any())
    signal = image.image.abs()
    for mask in regions.values():
        assert mask.shape == signal.shape and int(mask[0].sum()) > 8
    frame = 1  # contrast has come to the blood, not yet to the wall
    blood, wall = (float(signal[frame][regions[n][frame]].mean()) for n in (heart.BLOOD, heart.MYOCARDIUM))
    assert blood > 1.8 * wall
    spread = float(signal[frame][regions[heart.BLOOD][frame]].std())
    assert spread < 0.25 * blood


@dataclasses.dataclass(frozen=True)
class Average:
    """The mean of neighbouring frames."""

    name: str = "average"

    def __call__(self, image: SnrImage) -> SnrImage:
        return dataclasses.replace(image, image=(image.image + image.image.roll(1, 0)) / 2)


def test_table3_measures_gains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(table3.SCALES, "tiny", table3.Scale(SCAN, SCAN, series=2, replicas=12))
    monkeypatch.setattr(table3.road, "denoiser", lambda **_: Average())
    found = table3.run(reproduce.Options(tmp_path))
    assert [row[:2] for row in found.rows[:3]] == [
        (table3.CINE, "SNR blood"),
        (table3.CINE, "SNR myocardium"),
        (table3.CINE, "CNR blood - myocardium"),
    ]
    gain = float(str(found.rows[0][4]).removeprefix("x "))
    assert gain == pytest.approx(2**0.5, rel=0.1)  # two frames of independent noise
    pairs = found.figures["series"][table3.CINE]["SNR blood"]
    p = evaluate.paired_t_test([one["before"] for one in pairs], [one["after"] for one in pairs]).p
    assert found.rows[0][5] == f"{p:.2g}" and found.rows[0][6] == "13.474 +- 4.846"
    json.dumps(found.figures, allow_nan=False)
