"""The noise law of SNRAware's pairs: SD, spatial correlation, the paper's equation, and who depends on what."""

import dataclasses
import itertools

import pytest
import torch

from clearmr.errors import InputError
from clearmr.fourier import to_image, to_kspace
from clearmr.methods.snraware import config, leaves, noise, pairs, patches, schemes
from clearmr.methods.snraware.noise import AxisFilter, NoiseDraw

PAPER = config.NoiseConfig()
# Every filter an axis can get: 5 Gaussians x (whole, or 4 fractions of it cut on either side) x 5 resolutions.
FILTERS = [
    AxisFilter(gaussian, partial, low, resolution)
    for gaussian, partial, low, resolution in itertools.product(
        PAPER.gaussian, PAPER.partial_fourier, (False, True), PAPER.resolution
    )
    if partial < 1 or not low
]
NONE = AxisFilter()
LENGTHS, WINDOW, LAGS = (192, 160), 64, (1, 2, 5)


def draw(y: AxisFilter = NONE, x: AxisFilter = NONE, *, sigma: float = 1.0, seed: int = 0) -> NoiseDraw:
    return NoiseDraw(sigma, 0, y, x, seed)


def whole_frame_filter(n: int, spec: AxisFilter) -> torch.Tensor:
    """The n x n matrix that goes to k-space, multiplies, and comes back: what the window's noise must look like."""
    columns = torch.eye(n, dtype=torch.complex128)
    return to_image(to_kspace(columns, (0,)) * noise.axis_response(n, spec)[:, None], (0,))


def lags(values: torch.Tensor, dim: int) -> torch.Tensor:
    """Empirical E[x_(a+d) x_a*] / 2 for d in LAGS along an axis: 1 at lag 0 for unit noise."""
    n = values.shape[dim]
    pairs_of = [(values.narrow(dim, d, n - d), values.narrow(dim, 0, n - d)) for d in LAGS]
    return torch.stack([torch.vdot(b.flatten(), a.flatten()) / b.numel() / 2 for a, b in pairs_of])


def test_the_papers_filters_are_225_per_axis() -> None:
    assert len(FILTERS) == 5 * 9 * 5 == len(set(FILTERS))


@pytest.mark.parametrize("n", [160, 97])
def test_every_filter_keeps_the_power_and_cuts_what_it_says(n: int) -> None:
    for spec in [NONE, *FILTERS]:
        response = noise.axis_response(n, spec)
        assert float(response.square().mean()) == pytest.approx(1, rel=1e-12)
        lost = n - round(n * spec.partial_fourier)
        cut = response[:lost] if spec.cut_low else response[n - lost :]
        assert not bool(cut.any())
        kept = response.nonzero()
        assert len(kept) <= min(n - lost, n * spec.resolution + 1)


def test_the_tapered_edge_is_the_hanning_window() -> None:
    response = noise.axis_response(100, AxisFilter(partial_fourier=0.7))
    steps = torch.arange(10, 0, -1, dtype=torch.float64)
    torch.testing.assert_close(response[60:70] / response[0], 0.5 * (1 - torch.cos(2 * torch.pi * steps / 21)))
    low = noise.axis_response(100, AxisFilter(partial_fourier=0.7, cut_low=True))
    torch.testing.assert_close(low, response.flip(0))


def test_a_window_has_the_covariance_of_a_cropped_whole_frame_for_every_filter() -> None:
    n, window = 96, 40
    for spec in FILTERS:
        matrix = whole_frame_filter(n, spec)
        expected = (matrix @ matrix.mH)[30 : 30 + window, 30 : 30 + window]
        root = noise.window_root(n, window, spec).to(torch.complex128)
        assert float((root @ root.mH - expected).abs().max()) < 2e-6
        torch.testing.assert_close(expected.diagonal().real, torch.ones(window, dtype=torch.float64))
        torch.testing.assert_close(expected[:, 0], noise.correlation(n, spec)[:window])


def test_sd_is_sigma_g_and_the_correlation_the_theoretical_for_every_filter() -> None:
    generator = torch.Generator().manual_seed(5)
    gmap = 1 + 3 * torch.rand(WINDOW, WINDOW, generator=generator)
    clean = torch.zeros(96, WINDOW, WINDOW, dtype=torch.complex64)
    partners = torch.randperm(len(FILTERS), generator=generator).tolist()
    for k, spec in enumerate(FILTERS):
        chosen = draw(spec, FILTERS[partners[k]], sigma=3.0, seed=k)
        pair = pairs.make_pair(clean, gmap, chosen, lengths=LENGTHS)
        torch.testing.assert_close(pair.noise_sd[0], 3 * gmap / 10**0.5)
        unit = pair.noisy / pair.noise_sd
        assert float(torch.linalg.vector_norm(unit)) / (2 * unit.numel()) ** 0.5 == pytest.approx(1, abs=0.01)
        assert abs(complex((unit * unit).mean())) / 2 < 0.025  # real and imaginary are alike and independent
        for axis, n, along in ((-2, LENGTHS[0], chosen.y), (-1, LENGTHS[1], chosen.x)):
            theory = noise.correlation(n, along)[list(LAGS)].to(torch.complex64)
            assert float((lags(unit, axis) - theory).abs().max()) < 0.025, (along, axis)


def test_a_window_is_a_cropped_whole_frame_in_two_dimensions() -> None:
    chosen = draw(AxisFilter(1.5, 0.7, True, 0.85), AxisFilter(0.8, 0.55, False, 1.0))
    window = noise.filtered_noise((4000, 6, 5), chosen, lengths=(24, 20))
    response = noise.axis_response(24, chosen.y)[:, None] * noise.axis_response(20, chosen.x)
    whole = to_image(to_kspace(noise.white_noise((4000, 24, 20), 1), (-2, -1)) * response, (-2, -1))[:, 9:15, 3:8]
    ours, theirs = (v.flatten(1).T.to(torch.complex64) for v in (window, whole))
    torch.testing.assert_close(ours @ ours.mH / 8000, theirs @ theirs.mH / 8000, atol=0.06, rtol=0)


def test_frames_are_independent() -> None:
    values = noise.filtered_noise((64, 32, 32), draw(FILTERS[3], FILTERS[9]))
    assert float((values[1:] * values[:-1].conj()).mean().abs()) < 0.03


@pytest.mark.parametrize("spec", FILTERS[::45])
def test_g_before_the_filters_has_the_sd_that_it_says(spec: AxisFilter) -> None:
    gmap = torch.ones(48, 40)
    gmap[:, 20:] = 4
    chosen = draw(spec, AxisFilter(2.25), sigma=2.0)
    clean = torch.zeros(4000, 8, 10, dtype=torch.complex64)
    pair = pairs.make_pair(clean, gmap, chosen, order="g-then-filter", start=(20, 15))
    assert torch.equal(pair.gmap[0], gmap[20:28, 15:25])
    sd = (pair.noisy.abs().square().mean(0) / 2).sqrt()
    torch.testing.assert_close(sd, pair.noise_sd[0], rtol=0.05, atol=0)
    assert float((sd / pair.noise_sd).mean()) == pytest.approx(1, abs=0.01)
    assert float(sd[:, 4].mean()) > 1.2 * 2 / 5**0.5  # beside the step: the filter brings the neighbours' g over


def test_both_orders_are_one_where_g_is_one() -> None:
    chosen = draw(FILTERS[100], FILTERS[200], sigma=1.5)
    clean = torch.zeros(2, 16, 16, dtype=torch.complex64)
    pair = pairs.make_pair(clean, torch.ones(64, 48), chosen, order="g-then-filter", start=(3, 40 - 16))
    torch.testing.assert_close(pair.noise_sd[0], torch.full((16, 16), 1.5 / 3.25**0.5))


def test_filtering_rows_is_filtering_the_frame() -> None:
    chosen, gmap = draw(FILTERS[60], FILTERS[170], seed=4), torch.rand(1, 30, 24)
    white = noise.white_noise((3, 30, 24), 4) * gmap
    response = noise.axis_response(30, chosen.y)[:, None] * noise.axis_response(24, chosen.x)
    whole = to_image(to_kspace(white, (-2, -1)) * response, (-2, -1)).to(torch.complex64)
    window, _ = noise.shaped_then_filtered((3, 10, 8), gmap, chosen, start=(7, 11))
    torch.testing.assert_close(window, whole[:, 7:17, 11:19])


def test_pair_is_the_papers_equation() -> None:
    clean = torch.full((1, 16, 16), 50 + 20j, dtype=torch.complex64)
    chosen = draw(sigma=2.0, seed=5)
    pair = pairs.make_pair(clean, torch.ones(16, 16), chosen, native_sd=1.0)
    torch.testing.assert_close(pair.target, clean / 5**0.5)
    torch.testing.assert_close(pair.noisy, (clean + 2 * noise.filtered_noise(clean.shape, chosen)) / 5**0.5)
    torch.testing.assert_close(pair.noise_sd, torch.ones(1, 16, 16))  # sqrt((1 + 4) / 5)


def test_native_noise_is_counted_by_its_map() -> None:
    native = 1 + torch.rand(1, 8, 8)
    pair = pairs.make_pair(torch.zeros(3, 8, 8) + 0j, torch.full((8, 8), 2.0), draw(sigma=3.0), native_sd=native)
    torch.testing.assert_close(pair.noise_sd, ((native**2 + 36) / 10).sqrt())


def test_noise_free_pair_is_told_of_noise() -> None:
    chosen = dataclasses.replace(draw(sigma=3.0), noise_free=True)
    pair = pairs.make_pair(torch.ones(1, 4, 4, dtype=torch.complex64), torch.full((4, 4), 2.0), chosen)
    assert torch.equal(pair.noisy, pair.target)
    torch.testing.assert_close(pair.noise_sd, torch.full((1, 4, 4), 6 / 10**0.5))


def test_draws_have_the_papers_distribution_and_replay() -> None:
    draws = [noise.draw_noise(PAPER, 8, torch.Generator().manual_seed(k)) for k in range(2000)]

    def share(chosen: list[bool]) -> float:
        return sum(chosen) / len(chosen)

    for k in range(8):
        assert share([d.gmap == k for d in draws]) == pytest.approx(1 / 8, abs=0.03)
    for axis in ("y", "x"):
        specs = [getattr(d, axis) for d in draws]
        for value in PAPER.gaussian:
            assert share([s.gaussian == value for s in specs]) == pytest.approx(1 / 5, abs=0.03)
        for value in PAPER.resolution:
            assert share([s.resolution == value for s in specs]) == pytest.approx(1 / 5, abs=0.03)
        for value in PAPER.partial_fourier[1:]:  # the filter is on in half of the draws, its ratio one of five
            assert share([s.partial_fourier == value for s in specs]) == pytest.approx(0.5 / 5, abs=0.03)
        assert share([s.cut_low for s in specs]) == pytest.approx(0.5, abs=0.04)
    assert share([d.y.gaussian == d.x.gaussian for d in draws]) == pytest.approx(1 / 5, abs=0.03)  # independent axes
    sigmas = torch.tensor([d.sigma for d in draws])
    assert float(sigmas.min()) >= 0 and float(sigmas.max()) <= 32
    assert float(sigmas.mean()) == pytest.approx(16, abs=0.7) and float(sigmas.std()) == pytest.approx(9.24, abs=0.4)
    assert draws[7] == noise.draw_noise(PAPER, 8, torch.Generator().manual_seed(7))


def samples(seed: int = 0, *, batch: int = 2, single: float = 0.3, **parts: object) -> pairs.Samples:
    """Samples of dead leaves, small."""
    data = config.DataConfig(patch=(3, 16, 16), batch=batch, single_frame_probability=single)
    settings = dataclasses.replace(config.SnrAwareConfig(data=data), **parts)  # type: ignore[arg-type]
    sampler = patches.PatchSampler([], leaves.synthetic_series(torch.Generator().manual_seed(0), 2), settings.data)
    return pairs.Samples(sampler, 1 + torch.rand(8, 20, 20, generator=torch.Generator().manual_seed(1)), settings, seed)


def test_an_item_depends_on_seed_step_and_index_alone() -> None:
    whole, again = samples(batch=4), samples(batch=1)
    for place in ((0, 0), (0, 3), (5, 1)):
        assert all(torch.equal(a, b) for a, b in zip(whole(*place), again(*place), strict=True))
    assert torch.equal(torch.cat([again(3, i)[0] for i in range(4)]), whole.whole(3)[0])


def test_seeds_steps_and_indices_have_noise_of_their_own() -> None:
    whole = samples(single=0.0)
    items = {place: whole(*place)[0] for place in itertools.product(range(3), range(3))}
    items |= {("seed", s): samples(s, single=0.0)(0, 0)[0] for s in (1, 2**32, 2**32 + 1)}  # type: ignore[dict-item]
    for (a, first), (b, second) in itertools.combinations(items.items(), 2):
        assert not torch.equal(first, second), (a, b)


def test_items_of_a_step_have_one_shape() -> None:
    made = samples(batch=1, single=0.5)
    shapes = [{tuple(part.shape) for part in zip_of(made, step)} for step in range(12)]
    assert all(len(found) == 2 for found in shapes)
    inputs = {next(iter(sorted(found, key=lambda s: -s[1]))) for found in shapes}
    assert inputs == {(1, 3, 3, 16, 16), (3, 3, 1, 16, 16)}


def zip_of(made: pairs.Samples, step: int) -> list[torch.Tensor]:
    return [part for index in range(3) for part in made(step, index)]


@pytest.mark.parametrize(
    ("image", "noise_map", "channels"),
    [("complex", True, (3, 2)), ("complex", False, (2, 2)), ("magnitude", True, (2, 1)), ("magnitude", False, (1, 1))],
)
def test_channels_follow_the_network(image: str, noise_map: bool, channels: tuple[int, int]) -> None:
    net = config.NetConfig(image=image, noise_map=noise_map)  # type: ignore[arg-type]
    inputs, target = samples(single=0.0, net=net)(0, 0)
    assert (inputs.shape[1], target.shape[1]) == channels
    assert inputs.isfinite().all() and target.isfinite().all()
    if image == "magnitude":
        assert float(inputs.min()) >= 0 and float(target.min()) >= 0


def test_a_network_can_be_told_g_itself() -> None:
    both = [samples(single=0.0, noise=config.NoiseConfig(told=told))(1, 0)[0] for told in ("noise_sd", "gmap")]  # type: ignore[arg-type]
    assert torch.equal(both[0][:, :2], both[1][:, :2])
    ratio = both[0][:, 2] / both[1][:, 2]  # sigma / sqrt(1 + sigma^2), no native noise in dead leaves
    assert float(ratio.std()) < 1e-5 and 0 < float(ratio.mean()) < 1


def test_magnitudes_are_of_the_noisy_and_of_the_clean() -> None:
    data = config.DataConfig(patch=(3, 16, 16), single_frame_probability=0.0, magnitude_probability=0.0)
    magnitude = config.NetConfig(image="magnitude")
    never = dataclasses.replace(data, zeroed_background=0.0)
    inputs, target = samples(data=data)(2, 1)
    found = samples(data=never, net=magnitude)(2, 1)
    torch.testing.assert_close(found[0][:, 0], torch.complex(inputs[:, 0], inputs[:, 1]).abs())
    torch.testing.assert_close(found[1][:, 0], torch.complex(target[:, 0], target[:, 1]).abs())
    zeroed = samples(data=dataclasses.replace(data, zeroed_background=1.0), net=magnitude)(2, 1)
    dark = found[1] <= 0.05 * found[1].max()
    assert not bool(zeroed[0][:, :1][dark].any()) and torch.equal(zeroed[1][~dark], found[1][~dark])


def test_schemes_leave_out_what_they_say() -> None:
    whole = config.SnrAwareConfig()
    made = {name: schemes.scheme(whole, name) for name in schemes.SCHEMES}
    assert made["proposed"] == whole
    assert made["without-g"] == dataclasses.replace(whole, net=config.NetConfig(noise_map=False))
    for name in ("without-mr-noise", "without-recon"):
        drawn = [noise.draw_noise(made[name].noise, 8, torch.Generator().manual_seed(k)) for k in range(50)]
        assert {axis for d in drawn for axis in (d.y, d.x)} <= {AxisFilter(), AxisFilter(cut_low=True)}
        assert ({d.gmap for d in drawn} == {noise.NO_GMAP}) == (name == "without-recon")
    assert samples(net=made["without-recon"].net)(0, 0)[0].shape[1] == 1
    with pytest.raises(InputError, match="without-recon"):
        schemes.scheme(whole, "without-everything")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_makes_the_same_law() -> None:
    clean = torch.zeros(128, WINDOW, WINDOW, dtype=torch.complex64, device="cuda")
    gmap = torch.full((WINDOW, WINDOW), 2.0, device="cuda")
    for order in ("filter-then-g", "g-then-filter"):
        pair = pairs.make_pair(clean, gmap, draw(FILTERS[40], FILTERS[150], sigma=3.0), order=order)
        assert pair.noisy.device.type == "cuda"
        ratio = (pair.noisy.abs().square().mean() / 2).sqrt() / pair.noise_sd.square().mean().sqrt()
        assert float(ratio) == pytest.approx(1, abs=0.01)
