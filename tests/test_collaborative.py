"""The collaborative filter, and SNRAware's use of it: tubes and boxes, told the noise, in bounded parts."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from clearmr.evaluate import rician
from clearmr.methods import collaborative
from clearmr.methods.collaborative import BOXES, TUBES, Groups
from clearmr.methods.snraware import refining
from clearmr.scan import SnrImage
from dynamic_series import SD, disc_series, rng


def refined(noisy: torch.Tensor, pilot: torch.Tensor, noise_sd: torch.Tensor, rounds: refining.Rounds) -> torch.Tensor:
    """As after a network that has no second one."""
    clean = refining.filtered(noisy, pilot, noise_sd, rounds, share=refining.SHARE)
    return refining.mean_kept(noisy, clean, noise_sd) if rounds else clean


def test_the_filter_follows_the_known_noise() -> None:
    """Less noise told, less taken away; none told, nothing."""
    noisy = disc_series(4, 32)[:, None] + SD * torch.randn(4, 1, 32, 32, generator=rng())
    pilot = disc_series(4, 32)[:, None]
    told = [collaborative.filtered(noisy, pilot, torch.full_like(noisy, v), TUBES) for v in (1e-12, 1e-4, SD**2)]
    removed = [float((part - noisy).square().mean()) for part in told]
    assert removed[0] < removed[1] < removed[2] and removed[2] == pytest.approx(SD**2, rel=0.15)


@pytest.mark.parametrize("certain", [0.0, 2.0])
def test_the_filter_is_the_linear_one_of_least_error(certain: float) -> None:
    noisy, pilot = torch.randn(1, 12, 5, generator=rng(1)), 3 + torch.randn(1, 12, 5, generator=rng(2))
    variance = torch.full((1, 12, 5), 0.3)
    covariance = torch.cov(pilot[0].T)
    gain = covariance @ torch.linalg.inv(covariance + 0.3 * torch.eye(5))
    apart = noisy[0].mean(0) - pilot[0].mean(0)  # far more than noise explains
    noise = 5 * (0.3 / 12) * (1 + certain * (2 / 5) ** 0.5)
    mean = pilot[0].mean(0) + (1 - noise / float(apart.square().sum())) * apart
    expected = mean + (noisy[0] - mean) @ gain.T
    found = collaborative.estimate(noisy, pilot, variance, certain=certain)[0]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_signal_of_any_strength_is_no_obstacle() -> None:
    """Two patterns thousands of SDs strong in patches of unlike size: five of ten such groups once had no factors."""
    for seed in range(10):
        sizes = torch.exp(1.5 * torch.randn(4, 96, 2, generator=rng(seed)))
        pilot = 1e3 * sizes @ torch.randn(4, 2, 384, generator=rng(100 + seed))
        found = collaborative.estimate(pilot + torch.randn(pilot.shape, generator=rng(200 + seed)), pilot)
        assert float((found - pilot).square().mean().sqrt()) < 0.5


def test_next_to_nothing_is_left_of_pure_noise() -> None:
    noise = torch.randn(10, 1, 48, 48, generator=rng(3))
    found = collaborative.filtered(noise, 0.02 * noise, torch.ones_like(noise), TUBES)
    assert float(found.std()) < 0.04
    noise = torch.randn(32, 1, 32, 32, generator=rng(3))
    found = collaborative.filtered(noise, 0.02 * noise, torch.ones_like(noise), BOXES)
    assert float(found.std()) < 0.1  # of fewer values a group


def test_any_number_of_threads_gives_the_same_bits_and_stays_as_it_was() -> None:
    noisy = torch.randn(6, 2, 40, 32, generator=rng(4))
    one = collaborative.filtered(noisy, 0.5 * noisy, None, TUBES)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        three = collaborative.filtered(noisy, 0.5 * noisy, None, TUBES)
        with ThreadPoolExecutor(1) as later:
            assert later.submit(torch.get_num_threads).result() == torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(three, one, rtol=0, atol=0)


@pytest.mark.parametrize("n_frames", [1, 5, 18, 19, 30, 37, 75])
def test_long_series_are_filtered_in_overlapping_parts(n_frames: int) -> None:
    frames, parts = range(n_frames), collaborative.parts_of(n_frames)
    assert sorted({k for part in parts for k in frames[part]}) == list(frames)
    assert all(len(frames[part]) <= collaborative.FRAMES for part in parts)
    common = [len(set(frames[a]) & set(frames[b])) for a, b in itertools.pairwise(parts)]
    assert all(n >= collaborative.OVERLAP for n in common)
    assert (len(parts) == 1) == (n_frames <= collaborative.FRAMES)


def test_rice_s_mean_and_variance() -> None:
    signal = torch.tensor([0.0, 1.0, 3.0, 20.0])
    noise = torch.randn(2, 200_000, 4, generator=rng())
    magnitude = torch.hypot(signal + noise[0], noise[1])
    corrected, variance = rician.as_gaussian(magnitude, signal.expand(magnitude.shape))
    torch.testing.assert_close(corrected.mean(0), signal, atol=0.01, rtol=0)
    torch.testing.assert_close(variance[0], magnitude.var(0), atol=0.01, rtol=0.01)
    taken = torch.from_numpy(rician.signal_of_mean(magnitude.mean(0).numpy())).float()
    torch.testing.assert_close(taken[1:], signal[1:], atol=0.03, rtol=0)


def blurred_series(n_frames: int = 8) -> tuple[torch.Tensor, SnrImage, torch.Tensor]:
    """A clean series of discs in units of the noise SD, its complex noisy one, and a pilot that lost its edges."""
    clean = 20 * (disc_series(n_frames, 48) - 0.15).clamp_min(0) * torch.exp(torch.tensor(0.4j))
    noise = torch.randn(2, *clean.shape, generator=rng(4))
    noisy = clean + torch.complex(*noise)
    parts = torch.view_as_real(noisy).movedim(-1, 1)
    smooth = torch.nn.functional.avg_pool2d(parts, 3, 1, 1, count_include_pad=False).movedim(1, -1).contiguous()
    one = torch.ones(1, 1, 1, 1)
    return clean, SnrImage(noisy[:, None], one, one, "given"), torch.view_as_complex(smooth)


def error(found: torch.Tensor, clean: torch.Tensor) -> float:
    return float((found - clean).abs().square().mean())


def test_refining_brings_a_blurred_series_nearer_to_the_truth() -> None:
    clean, noisy, pilot = blurred_series()
    sd = torch.ones(clean.shape)
    (plan,) = refining.plan_for("time", len(clean))
    found = [refined(noisy.image[:, 0], pilot, sd, plan[:rounds]) for rounds in range(len(plan) + 1)]
    assert torch.equal(found[0], pilot)
    errors = [error(one, clean) for one in found]
    assert all(later < earlier for earlier, later in itertools.pairwise(errors)) and errors[-1] < 0.5 * errors[0]


def test_refining_keeps_what_has_no_noise_and_knows_magnitudes() -> None:
    clean, noisy, pilot = blurred_series()
    sd = torch.ones(clean.shape)
    sd[:, :8] = 0
    found = collaborative.refined(noisy.image[:, 0], pilot, sd, Groups(4, 32, 4), rician=False)
    assert torch.equal(found[:, :8], noisy.image[:, 0, :8])
    magnitude, guess = noisy.image[:, 0].abs(), clean.abs()
    plain, told = (
        collaborative.refined(magnitude, guess, torch.ones(clean.shape), TUBES, rician=it) for it in (False, True)
    )
    dark = guess < 0.5
    assert bool(dark.any()) and float(told[dark].mean()) < 0.3 < 1.0 < float(plain[dark].mean())


def test_what_is_grouped_follows_what_the_image_is() -> None:
    asked = [("volume", 60), ("depth", 20), ("depth", 1), ("none", 1), ("time", 3), ("time", 4)]
    found = [refining.plan_for(*each) for each in asked]
    single = (refining.SINGLE,)
    assert found == [(refining.VOLUME,), (refining.STACK,), single, single, single, refining.series_plan(4)]


@pytest.mark.parametrize(("n_frames", "similar"), [(4, 32), (10, 80), (75, 112)])
def test_longer_tubes_come_in_larger_groups(n_frames: int, similar: int) -> None:
    (plan,) = refining.series_plan(n_frames)
    assert plan[0].similar == similar and plan[2].sides == (min(8, n_frames), 4, 4)
    by_turns = refining.series_plan(n_frames, mended=True)
    assert by_turns == (plan,) if n_frames > refining.FEW else len(by_turns) == 2


@pytest.mark.parametrize(("rounds", "lengths"), [(0, []), (1, [1]), (3, [3]), (4, [3, 1]), (9, [3, 4]), (None, [3, 4])])
def test_the_first_rounds_of_a_plan_of_stages(rounds: int | None, lengths: list[int]) -> None:
    plan = refining.series_plan(12, mended=True)
    found = refining.first_of(plan, rounds)
    assert [len(stage) for stage in found] == lengths
    assert all(stage == whole[: len(stage)] for stage, whole in zip(found, plan, strict=False))


def test_the_two_colours_of_the_chessboard_make_up_the_whole() -> None:
    pilot = torch.randn(3, 1, 24, 20, generator=rng())
    reach = 2  # beyond the 5 x 4 patches in the middle
    both, *each = (collaborative.alike(pilot, range(1), Groups(4, 6, reach, colour=colour)) for colour in (None, 0, 1))
    assert [len(both), *map(len, each)] == [20, 10, 10]
    assert sorted(map(tuple, torch.cat(each).tolist())) == sorted(map(tuple, both.tolist()))
    row, column = (each[0][:, 0] // 20 - reach) // 4, (each[0][:, 0] % 20 - reach) // 4
    assert bool(((row + column) % 2 == 0).all())


def test_what_is_in_no_patch_keeps_the_pilot(monkeypatch: pytest.MonkeyPatch) -> None:
    noisy, pilot = torch.randn(2, 5, 1, 24, 20, generator=rng())
    alike = collaborative.alike
    monkeypatch.setattr(collaborative, "alike", lambda *given: alike(*given)[:1])
    kept = collaborative.filtered(noisy, pilot, None, Groups(4, 6, 2)) == pilot
    assert bool(kept.any()) and 24 * 20 - 6 * 16 <= int(kept[0].sum()) <= 24 * 20 - 16


def test_noise_in_a_good_pilot_does_not_grow_round_after_round() -> None:
    noise = torch.complex(*torch.randn(2, 6, 64, 64, generator=rng(5)))
    (plan,) = refining.series_plan(6)
    left = refined(noise, 0.03 * noise, torch.ones(6, 64, 64), plan)
    assert float(left.abs().mean()) < 0.03 * float(noise.abs().mean())


def test_the_mean_of_the_signal_is_kept_and_the_background_left_alone() -> None:
    """A disc whose denoised image is 2 % too dark."""
    clean = 30 * (disc_series(6, 48) - 0.15).clamp_min(0)
    one, inside = torch.ones(clean.shape), clean > 2
    noisy = clean + torch.randn(clean.shape, generator=rng())
    dark = 0.98 * clean
    kept = refining.mean_kept(noisy, dark, one)
    assert float(kept[inside].mean() / clean[inside].mean()) == pytest.approx(1, abs=0.003)
    assert error(kept, clean) < 0.3 * error(dark, clean)
    background = dark <= 2
    assert bool(background.any()) and torch.equal(kept[background], dark[background])
    magnitude = torch.hypot(noisy, torch.randn(clean.shape, generator=rng(1)))
    kept = refining.mean_kept(magnitude, dark, one)
    assert float(kept[inside].mean() / clean[inside].mean()) == pytest.approx(1, abs=0.003)


def balls(size: int = 24) -> torch.Tensor:
    """A volume of three balls, in units of the noise SD."""
    places = torch.stack(torch.meshgrid(*[torch.arange(size, dtype=torch.float32)] * 3, indexing="ij"))
    out = torch.zeros(size, size, size)
    for centre, radius in (((8, 8, 9), 6.0), ((15, 16, 8), 4.0), ((9, 15, 16), 5.0)):
        apart = (places - torch.tensor(centre, dtype=torch.float32).view(3, 1, 1, 1)).square().sum(0).sqrt()
        out += 10 * torch.sigmoid(radius - apart)
    return out


@pytest.mark.parametrize("is_complex", [False, True])
def test_cubes_bring_a_blurred_volume_nearer_to_the_truth_than_tubes(is_complex: bool) -> None:
    clean = balls() * torch.exp(torch.tensor(0.4j)) if is_complex else balls() - 1
    noise = torch.complex(*torch.randn(2, *clean.shape, generator=rng())) if is_complex else 0
    noisy = clean + (noise if is_complex else torch.randn(clean.shape, generator=rng()))
    smooth = torch.nn.functional.avg_pool3d(balls()[None], 3, 1, 1, count_include_pad=False)[0]
    pilot = smooth * torch.exp(torch.tensor(0.4j)) if is_complex else smooth - 1
    cubes, stack, tubes = (
        refined(noisy, pilot, torch.ones(clean.shape), plan) for plan in (refining.VOLUME, refining.STACK, (TUBES,))
    )
    assert error(cubes, clean) < 0.7 * error(pilot, clean)
    assert error(stack, clean) < 0.7 * error(pilot, clean)
    assert error(cubes, clean) < 0.97 * error(tubes, clean)


def test_a_volume_some_layers_at_a_time_is_the_whole_volume(monkeypatch: pytest.MonkeyPatch) -> None:
    noisy = balls(22)[:, None, :15, :18] + torch.randn(22, 1, 15, 18, generator=rng())
    pilot, one, cubes = balls(22)[:, None, :15, :18], torch.ones(22, 1, 15, 18), Groups(4, 16, 2, slices=4)
    ticks: list[int] = []
    whole = collaborative.filtered(noisy, pilot, one, cubes)
    monkeypatch.setattr(collaborative, "COMPARED", 2 * 4 * 5 * 9 * 5 * 5)
    parts = collaborative.filtered(noisy, pilot, one, cubes, tick=lambda: ticks.append(1))
    torch.testing.assert_close(parts, whole)
    assert len(ticks) == collaborative.ticks((22, 15, 18), cubes) == 3


@pytest.mark.parametrize("shape", [(1, 3, 5), (6, 2, 9), (3, 4, 4)])
@pytest.mark.parametrize("plan", [*refining.series_plan(5), refining.VOLUME, refining.STACK])
def test_images_smaller_than_a_patch_or_the_search(shape: tuple[int, int, int], plan: refining.Rounds) -> None:
    noise = torch.randn(shape, generator=rng())
    found = refined(10 + noise, torch.full(shape, 10.0), torch.ones(shape), plan)
    assert found.shape == shape and error(found, torch.full(shape, 10.0)) < 0.5 * float(noise.square().mean())


def test_a_single_image_is_refined_too() -> None:
    clean, noisy, pilot = blurred_series(1)
    found = refined(noisy.image[:, 0], pilot, torch.ones(clean.shape), refining.SINGLE)
    assert error(found, clean) < 0.8 * error(pilot, clean)
