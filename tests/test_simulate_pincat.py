"""The perfusion phantom: what moves, what the bolus does, and that the field it tells is the one it was drawn by."""

import itertools

import pytest
import torch
from torch.nn.functional import grid_sample

from clearmr import formats
from clearmr.errors import InputError
from clearmr.scan import SnrImage
from clearmr.simulate import SCENES, PincatSeries, pincat_series
from clearmr.simulate.pincat_contrast import CURVES, enhancement, gamma_variate
from clearmr.simulate.pincat_motion import at_rest, in_frame
from cli_runs import done, refused

SIZE = (1, 128, 128)
BEFORE = 5  # frames before the bolus, whatever the seed


@pytest.fixture(scope="module")
def series() -> PincatSeries:
    return pincat_series(SIZE, n_frames=30, seed=2)


def pulled(frame: torch.Tensor, field: torch.Tensor) -> torch.Tensor:
    """frame[p + u(p)], by cubic interpolation."""
    n_y, n_x = frame.shape
    y, x = torch.meshgrid(torch.arange(n_y), torch.arange(n_x), indexing="ij")
    grid = torch.stack(((x + field[1] + 0.5) / n_x * 2 - 1, (y + field[0] + 0.5) / n_y * 2 - 1), dim=-1)
    return grid_sample(frame[None, None].double(), grid[None], mode="bicubic", align_corners=False)[0, 0]


def dome(frame: torch.Tensor) -> float:
    """Where the liver begins under the right lung, in pixels, by half the rise along a few columns."""
    edges = []
    for column in frame[40:, 34:39].T:
        half = (column[:18].min() + column[40:60].median()) / 2
        first = int((column > half).nonzero()[0])
        below, above = float(column[first]), float(column[first - 1])
        edges.append(40 + first - (below - float(half)) / (below - above))
    return sum(edges) / len(edges)


def test_intensities_and_shape(series: PincatSeries) -> None:
    frames = series.frames
    assert frames.shape == (30, *SIZE) and frames.dtype == torch.float32 and series.target == 15
    assert float(frames.min()) >= 0 and float(frames.max()) == 1
    assert series.spacing == (8.0, 1.5, 1.5)
    assert float(frames[..., :8, :].max()) == 0, "air round the body"
    outside = [float(frames[k, 0][~series.body(k)].mean()) for k in (0, 15)]
    inside = [float(frames[k, 0][series.body(k)].mean()) for k in (0, 15)]
    assert max(outside) < 0.01 and min(inside) > 0.15


def test_the_scene_is_the_series_of_its_seed() -> None:
    scene = next(s for s in SCENES if s.name == "pincat")
    first, again, other = (scene.draw((1, 48, 48), n_frames=2, seed=s) for s in (5, 5, 6))
    assert scene.n_frames == 50 and scene.matrix == SIZE and scene.fov[1] / scene.matrix[1] == 1.5
    assert torch.equal(first, again)
    torch.testing.assert_close(first.abs(), pincat_series((1, 48, 48), n_frames=2, seed=5).frames)
    assert (first.abs() - other.abs()).abs().mean() > 0.01, "another subject"


def test_a_seed_varies_the_breathing_and_the_anatomy() -> None:
    a, b = (pincat_series((1, 32, 32), n_frames=40, seed=s) for s in (0, 1))
    assert (a.travel - b.travel).abs().max() > 0.5
    assert a.thorax.heart != b.thorax.heart and a.thorax.lungs != b.thorax.lungs
    more = pincat_series((1, 32, 32), n_frames=30, seed=0)
    torch.testing.assert_close(more.travel, a.travel[:30])


def test_breaths_differ_in_depth_and_length() -> None:
    travel = pincat_series((1, 32, 32), n_frames=400, seed=3).travel * 4  # in pixels of 1.5 mm
    inner = travel[1:-1]
    peaks = inner[(inner > travel[:-2]) & (inner >= travel[2:]) & (inner > 1.5)]
    assert travel.min() >= 0 and 4 < peaks.median() < 8 and peaks.std() > 0.7
    assert peaks.max() < 1.45 * 11 / 1.5
    at = ((inner > travel[:-2]) & (inner >= travel[2:]) & (inner > 1.5)).nonzero().flatten()
    assert 3 < at.diff().double().mean() < 7 and at.diff().double().std() > 0.3


def test_the_dome_travels_as_far_as_the_breath(series: PincatSeries) -> None:
    frames = series.frames[:BEFORE, 0]
    out, breathed_in = int(series.travel[:BEFORE].argmin()), int(series.travel[:BEFORE].argmax())
    told = float(series.travel[breathed_in] - series.travel[out])
    assert told > 3
    assert dome(frames[breathed_in]) - dome(frames[out]) == pytest.approx(told, rel=0.15)


def test_the_field_is_not_rigid_and_ends_at_the_spine(series: PincatSeries) -> None:
    deepest, out = int(series.travel.argmax()), int(series.travel.argmin())
    told = float(series.travel[deepest] - series.travel[out])
    field = series.motion(deepest, reference=out)
    assert field.shape == (2, 128, 128)
    assert field[0, series.heart(out)].mean() == pytest.approx(0.6 * told, rel=0.25)
    assert field[0].max() == pytest.approx(told, rel=0.12)
    assert field[:, 91, 64].abs().max() < 0.1 * told, "the spine stays"
    front = int(series.body(out)[:, 64].nonzero()[0]) + 3
    assert field[0, front, 64] < -0.1 * told, "the front wall rises"


def test_the_field_takes_every_frame_to_the_first_where_contrast_stands_still(series: PincatSeries) -> None:
    first, inside = series.frames[0, 0].double(), series.body(0)
    assert all(not curve[:BEFORE].any() for curve in series.curves.values())
    moved = 0
    for frame in range(1, BEFORE):
        now, field = series.frames[frame, 0], series.motion(frame)
        before = (now - first)[inside].square().mean().sqrt()
        after = (pulled(now, field) - first)[inside].square().mean().sqrt()
        wrong_way = (pulled(now, -field) - first)[inside].square().mean().sqrt()
        if field.norm(dim=0)[inside].mean() > 1:
            moved += 1
            assert after < 0.025 and after < 0.3 * before and wrong_way > before
    assert moved


def test_the_field_of_a_frame_against_itself_is_nothing_and_back_undoes_there(series: PincatSeries) -> None:
    assert series.motion(7, reference=7).abs().max() < 1e-9
    deepest, out = int(series.travel.argmax()), int(series.travel.argmin())
    there, back = series.motion(deepest, reference=out), series.motion(out, reference=deepest)
    undone = there + torch.stack([pulled(part, there) for part in back])
    assert undone[:, 8:-8, 8:-8].abs().max() < 0.05


@pytest.mark.parametrize("seed, beat", list(itertools.product(range(4), (0.0, 1.0))))
def test_the_map_has_an_exact_inverse_and_never_folds(seed: int, beat: float) -> None:
    breathing = pincat_series((1, 16, 16), n_frames=1, seed=seed).breathing
    deepest = 1.45 * breathing.depth
    axis = torch.linspace(-1, 1, 101, dtype=torch.float64)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    rest = at_rest(breathing, y, x, deepest, beat)
    found = in_frame(breathing, *rest, deepest, beat)
    assert max((found[0] - y).abs().max(), (found[1] - x).abs().max()) < 1e-6
    (yy, yx), (xy, xx) = (torch.gradient(part, spacing=0.02) for part in rest)
    assert (yy * xx - yx * xy).min() > 0.1


def test_the_bolus_passes_right_heart_lung_left_heart_and_wall_in_turn() -> None:
    curves = pincat_series((1, 32, 32), n_frames=60, seed=1).curves
    peaks = [int(curves[name].argmax()) for name in ("right", "lung", "left", "myocardium", "liver")]
    assert peaks == sorted(set(peaks))
    assert curves["artery"].argmax() >= curves["left"].argmax()


def test_tissue_is_enhanced_in_turn_and_the_wall_less_than_the_blood(series: PincatSeries) -> None:
    frames, rest = series.frames[:, 0], int(series.travel.argmin())
    at = {"left": series.thorax.heart, "right": (series.thorax.heart[0], series.thorax.heart[1] - 0.32)}
    wall = (series.thorax.heart[0], series.thorax.heart[1] + series.thorax.cavity + 0.5 * series.thorax.wall)
    courses, motion = {}, [series.motion(k, reference=rest) for k in range(30)]
    for name, (y, x) in (*at.items(), ("wall", wall)):
        row, column = (round((c + 1) * 64 - 0.5) for c in (y, x))
        fields = [field[:, row, column] for field in motion]
        courses[name] = torch.stack(
            [frames[k, round(row + float(u[0])), round(column + float(u[1]))] for k, u in enumerate(fields)]
        )
    assert courses["right"].argmax() < courses["left"].argmax() < courses["wall"].argmax()
    rises = {name: float(course.max() - course[0]) for name, course in courses.items()}
    assert rises["right"] > 0.5 and rises["left"] > 0.5 and 0.08 < rises["wall"] < 0.6 * rises["left"]


def test_a_gamma_variate_peaks_at_one_where_it_should() -> None:
    t = torch.linspace(-5, 60, 6501)
    curve = gamma_variate(t, 4.0, 3.0)
    assert curve.max() == pytest.approx(1) and t[curve.argmax()] == pytest.approx(4, abs=0.01)
    assert not curve[t <= 0].any()
    assert not enhancement(CURVES["left"], t)[t <= CURVES["left"].arrival].any()


def test_a_free_heart_beats_and_a_triggered_one_does_not(series: PincatSeries) -> None:
    free = pincat_series(SIZE, n_frames=4, seed=2, beating=1.0)
    assert not series.beat.any() and free.beat.max() > 0.5
    sizes = [int(free.heart(k).sum()) for k in range(4)]
    assert sizes[int(free.beat.argmax())] < 0.85 * sizes[int(free.beat.argmin())]
    torch.testing.assert_close(free.travel, series.travel[:4])


def test_what_cannot_be_is_refused(series: PincatSeries) -> None:
    for bad in (lambda: pincat_series(SIZE, beating=2.0), lambda: series.motion(30), lambda: series.heart(-1)):
        with pytest.raises(InputError) as told:
            bad()
        assert "\n" not in str(told.value)


def test_the_command_scans_it(tmp_path) -> None:
    raw, truth = tmp_path / "p.h5", tmp_path / "t.npz"
    done("simulate", "pincat", "-o", raw, "--truth", truth, "--frames", "2", "--matrix", "32", "--coils", "2")
    saved = formats.load(truth)
    assert isinstance(saved, SnrImage) and saved.spacing == (8.0, 6.0, 6.0)
    torch.testing.assert_close(saved.image.abs(), pincat_series((1, 32, 32), n_frames=2, seed=0).frames)
    assert formats.load(raw).n_frames == 2


@pytest.mark.parametrize("ending", ["npz", "nii.gz"])
def test_the_command_lays_noise_on_the_images(tmp_path, ending: str) -> None:
    out, truth = tmp_path / f"n.{ending}", tmp_path / f"t.{ending}"
    size = ("--frames", "2", "--matrix", "32", "--seed", "4")
    done("simulate", "pincat", "-o", out, "--truth", truth, "--image-noise", "gaussian:0.15", *size)
    noisy, clean = formats.load(out), formats.load(truth)
    torch.testing.assert_close(clean.image, pincat_series((1, 32, 32), n_frames=2, seed=4).frames)
    assert (noisy.image - clean.image).std() == pytest.approx(0.15, rel=0.05)
    assert not noisy.is_complex and noisy.noise_sd.flatten()[0] == pytest.approx(0.15)
    assert noisy.spacing == pytest.approx((8.0, 6.0, 6.0))


@pytest.mark.parametrize(
    "options",
    [
        ("-o", "o.npz"),
        ("-o", "o.h5", "--image-noise", "gaussian:0.1"),
        ("-o", "o.npz", "--image-noise", "gaussian"),
        ("-o", "o.npz", "--image-noise", "speckle:0.1"),
        ("-o", "o.npz", "--image-noise", "poisson:-3"),
        ("-o", "o.npz", "--image-noise", "rician:0.1", "--coils", "4"),
        ("-o", "o.png", "--image-noise", "rician:0.1"),
    ],
)
def test_the_command_refuses_noise_that_does_not_go_with_the_rest(tmp_path, options: tuple[str, ...]) -> None:
    refused(tmp_path, "simulate", "pincat", options[0], tmp_path / options[1], *options[2:])
