"""SNRAware's room: the noise law of its pairs, the laws of a method, and the room's own choices."""

import dataclasses
import itertools
from pathlib import Path

import pytest
import torch

from clearmr.errors import InputError
from clearmr.methods import METHODS, room
from clearmr.methods.snraware import config, corpus, gmaps, method, pairs, presence, tiles
from clearmr.scan import SnrImage

ONE = torch.ones(1, 1, 1, 1)
FILTERS = [
    pairs.AxisFilter(*values)
    for values in itertools.product((0.0, 0.8, 2.25), (1.0, 0.7, 0.55), (False, True), (1.0, 0.65))
]


def image(shape: tuple[int, ...] = (4, 1, 24, 20), *, seed: int = 0, magnitude: bool = False) -> SnrImage:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.complex(*torch.randn((2, *shape), generator=generator))
    values = 10 + noise
    return SnrImage(values.abs() if magnitude else values, ONE, ONE, "measured", meta={"steps": [{"name": "recon"}]})


def random_denoiser(seed: int = 0) -> method.SnrAware:
    torch.manual_seed(seed)
    net_config = config.NetConfig(channels=(4, 8), cells=1)
    return method.SnrAware(method.SnrAwareNet(net_config).eval(), "random", {"net": dataclasses.asdict(net_config)})


@pytest.mark.parametrize("spec", FILTERS)
def test_filter_product_keeps_the_noise_level(spec: pairs.AxisFilter) -> None:
    response = pairs.axis_response(64, spec)
    assert float(response.square().mean()) == pytest.approx(1, rel=1e-5)
    if spec.partial_fourier < 1:
        lost = 64 - round(64 * spec.partial_fourier)
        cut = response.flip(0)[-lost:] if spec.cut_low else response[-lost:]
        assert float(cut.abs().max()) == 0


def test_noise_sd_is_sigma_g_whatever_the_filters() -> None:
    gmap = 1 + torch.rand(32, 32, generator=torch.Generator().manual_seed(1))
    clean = torch.zeros(200, 32, 32, dtype=torch.complex64)
    for seed, spec in enumerate(FILTERS[::5]):
        draw = pairs.NoiseDraw(3.0, 0, spec, FILTERS[seed], seed)
        pair = pairs.make_pair(clean, gmap, draw)
        sd = (pair.noisy.abs().square().mean(0) / 2).sqrt()
        assert float((sd / pair.noise_sd).mean()) == pytest.approx(1, abs=0.02)
        torch.testing.assert_close(pair.noise_sd, 3 * gmap / 10**0.5)


def test_g_then_filter_keeps_the_mean_power_only() -> None:
    gmap = torch.ones(48, 48)
    gmap[:, 24:] = 4
    draw = pairs.NoiseDraw(1.0, 0, pairs.AxisFilter(2.25), pairs.AxisFilter(2.25), 0)
    clean = torch.zeros(100, 48, 48, dtype=torch.complex64)
    sd = {
        order: (pairs.make_pair(clean, gmap, draw, order=order).noisy.abs().square().mean(0)).sqrt()
        for order in ("filter-then-g", "g-then-filter")
    }
    assert float(sd["g-then-filter"].square().mean()) == pytest.approx(float(gmap.square().mean()), rel=0.05)
    edge = slice(22, 24)
    assert float(sd["g-then-filter"][:, edge].mean()) > 1.2 * float(sd["filter-then-g"][:, edge].mean())


def test_pair_is_the_papers_equation() -> None:
    clean = torch.full((1, 16, 16), 50 + 20j, dtype=torch.complex64)
    draw = pairs.NoiseDraw(2.0, 0, pairs.AxisFilter(), pairs.AxisFilter(), 5)
    pair = pairs.make_pair(clean, torch.ones(16, 16), draw, native_sd=1.0)
    torch.testing.assert_close(pair.target, clean / 5**0.5)
    noise = pairs.filtered_noise(clean.shape, draw)
    torch.testing.assert_close(pair.noisy, (clean + 2 * noise) / 5**0.5)
    torch.testing.assert_close(pair.noise_sd, torch.ones(16, 16))  # sqrt((1 + 4) / 5)


def test_noise_free_pair_is_told_of_noise() -> None:
    draw = pairs.NoiseDraw(3.0, 0, pairs.AxisFilter(), pairs.AxisFilter(), 5, noise_free=True)
    pair = pairs.make_pair(torch.ones(1, 4, 4, dtype=torch.complex64), torch.full((4, 4), 2.0), draw)
    assert torch.equal(pair.noisy, pair.target)
    torch.testing.assert_close(pair.noise_sd, torch.full((4, 4), 6 / 10**0.5))


def test_draws_cover_the_papers_choices_and_replay() -> None:
    settings = config.NoiseConfig()
    draws = [pairs.draw_noise(settings, 8, torch.Generator().manual_seed(k)) for k in range(400)]
    assert {d.gmap for d in draws} == set(range(8))
    assert {d.y.gaussian for d in draws} == set(settings.gaussian)
    assert {d.x.resolution for d in draws} == set(settings.resolution)
    assert 0 <= min(d.sigma for d in draws) < 1 and 31 < max(d.sigma for d in draws) <= 32
    cut = sum(d.y.partial_fourier < 1 for d in draws) / 400
    assert cut == pytest.approx(0.5 * 4 / 5, abs=0.08)
    assert draws[7] == pairs.draw_noise(settings, 8, torch.Generator().manual_seed(7))


def test_simulated_gmaps_grow_with_acceleration() -> None:
    maps = gmaps.simulated_gmaps(1, torch.Generator().manual_seed(0), size=64)
    assert float(maps[0].std()) == 0 and len(maps) >= 3
    medians = [float(m.median()) for m in maps[1:]]
    assert medians == sorted(medians) and medians[-1] > medians[0] + 0.1


def test_patches_depend_on_the_generator_alone() -> None:
    series = corpus.synthetic_series(torch.Generator().manual_seed(0), 2)
    sampler = corpus.PatchSampler([], series, config.DataConfig(patch=(4, 16, 16)))
    a, b, c = (sampler.draw(4, torch.Generator().manual_seed(k)).clean for k in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c)
    assert a.shape == (4, 16, 16) and a.is_complex() and bool(torch.isfinite(a.abs()).all())


def test_volumes_are_cut_along_three_axes_and_repeats_averaged() -> None:
    volume = SnrImage(torch.rand(2, 70, 80, 90), ONE, ONE, "estimated")
    assert [s.frames.shape for s in corpus.clean_series(volume)] == [(35, 40, 45), (40, 35, 45), (45, 35, 40)]
    cine = SnrImage(torch.rand(6, 1, 20, 20), ONE, ONE, "estimated")
    assert [s.frames.shape for s in corpus.clean_series(cine)] == [(6, 20, 20)]


@pytest.mark.parametrize("name", METHODS)
def test_every_room_has_fit_and_load(name: str) -> None:
    assert callable(room(name).fit) and callable(room(name).load)
    with pytest.raises(InputError, match="snraware"):
        room("unheard-of")


@pytest.mark.parametrize("shape", [(5, 1, 24, 20), (1, 6, 24, 20), (1, 1, 17, 23), (3, 2, 16, 16)])
@pytest.mark.parametrize("magnitude", [False, True])
def test_denoiser_keeps_shape_dtype_and_input(shape: tuple[int, ...], magnitude: bool) -> None:
    noisy = image(shape, magnitude=magnitude)
    before = noisy.image.clone()
    result = random_denoiser()(noisy)
    assert result.image.shape == noisy.image.shape and result.image.dtype == noisy.image.dtype
    assert torch.equal(noisy.image, before) and result.noise_sd is noisy.noise_sd
    assert [s["name"] for s in result.meta["steps"]] == ["recon", "denoise"]


def test_denoiser_follows_the_unit_of_the_image() -> None:
    noisy = image()
    scaled = dataclasses.replace(noisy, image=noisy.image * 1e-6, noise_sd=noisy.noise_sd * 1e-6)
    a, b = random_denoiser()(noisy).image, random_denoiser()(scaled).image
    torch.testing.assert_close(b * 1e6, a, rtol=1e-3, atol=1e-3)


def test_zero_noise_map_is_refused() -> None:
    with pytest.raises(InputError, match="needs no denoising"):
        random_denoiser()(dataclasses.replace(image(), noise_sd=0 * ONE))


def test_saved_model_denoises_alike(tmp_path: Path) -> None:
    denoiser, path = random_denoiser(), tmp_path / "m.safetensors"
    method.save(denoiser, path, {"licence": "MIT"})
    loaded = method.load(path)
    torch.testing.assert_close(loaded(image()).image, denoiser(image()).image, rtol=5e-3, atol=5e-3)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match="SHA-256"):
        method.load(path)


def test_unknown_model_is_refused() -> None:
    with pytest.raises(InputError, match="no-such-model"):
        method.load("no-such-model")


def test_tiles_cover_and_join_exactly() -> None:
    x = torch.randn(3, 20, 130, 70)
    joined = tiles.apply(
        lambda c: 2 * c[:2], x, memory_bytes=16 * 60 * 48 * tiles.BYTES_PER_VOXEL, report=lambda *_: None
    )
    torch.testing.assert_close(joined, 2 * x[:2])


def test_too_little_memory_is_said() -> None:
    with pytest.raises(InputError, match="GB of memory"):
        tiles.tile_shape((64, 256, 256), 1e6)


@pytest.mark.parametrize(("length", "tile", "overlap"), [(100, 40, 8), (64, 64, 8), (33, 17, 16), (1000, 48, 16)])
def test_spans_cover_with_overlap(length: int, tile: int, overlap: int) -> None:
    found = tiles.spans(length, tile, overlap)
    assert found[0].start == 0 and found[-1].stop == length
    assert all(a.stop - b.start >= overlap for a, b in itertools.pairwise(found))


def test_settings_are_read_by_type_and_refused_by_name() -> None:
    changed = config.with_settings(config.tiny(), {"loop.steps": "7", "net.channels": "8,16", "loop.bf16": "false"})
    assert (changed.loop.steps, changed.net.channels, changed.loop.bf16) == (7, (8, 16), False)
    for key, text in (("loop.step", "7"), ("steps", "7"), ("loop.steps", "seven")):
        with pytest.raises(InputError):
            config.with_settings(config.tiny(), {key: text})


def test_fit_takes_steps_that_help(tmp_path: Path) -> None:
    settings = config.SnrAwareConfig(
        noise=config.NoiseConfig(gaussian_probability=0.0, partial_fourier_probability=0.0, resolution=(1.0,)),
        net=config.NetConfig(channels=(8, 16), cells=1),
        data=config.DataConfig(patch=(2, 32, 32), batch=2, synthetic=0.0, native_snr=(60.0, 60.0)),
        loop=dataclasses.replace(
            config.tiny().loop, steps=60, learning_rate=3e-3, validate_every=20, average_decay=0.9
        ),
    )
    smooth = SnrImage(torch.nn.functional.avg_pool2d(torch.rand(1, 40, 80, 80), 9, 1, 4), ONE, ONE, "given")
    denoiser = method.fit([smooth], [smooth], settings, 0, gmaps=torch.ones(1, 64, 64), run=tmp_path)
    clean = 8 * smooth.image[:, :1] + 0j
    noise = torch.complex(*torch.randn((2, *clean.shape), generator=torch.Generator().manual_seed(3)))
    error = (denoiser(SnrImage(clean + noise, ONE, ONE, "given")).image - clean).abs().square().mean()
    assert float(error) < 0.5 * float(noise.abs().square().mean())


@pytest.mark.parametrize("spec", FILTERS[::7])
@pytest.mark.parametrize("level", [0.0, 10.0])
def test_noise_is_found_where_it_is(spec: pairs.AxisFilter, level: float) -> None:
    draw = pairs.NoiseDraw(1.0, 0, spec, spec, 3)
    noisy = level + pairs.filtered_noise(torch.Size((4, 96, 96)), draw)
    for series in (noisy, noisy.abs()):
        assert presence.share_present(series, torch.ones(4, 96, 96)) == 1


def test_noise_is_not_found_where_there_is_none() -> None:
    ramp = torch.linspace(5, 40, 96).expand(3, 96, 96) * torch.polar(torch.ones(()), torch.linspace(0, 3, 96)[:, None])
    assert presence.noise_found(ramp, torch.ones(3, 96, 96)) < 0.1
    image = SnrImage(ramp[:, None].contiguous(), ONE, ONE, "given")
    warned = random_denoiser()(image)
    assert any("smoother than its noise level" in w for w in warned.meta["warnings"])
    noise = torch.complex(*torch.randn((2, *image.image.shape), generator=torch.Generator().manual_seed(0)))
    assert not random_denoiser()(dataclasses.replace(image, image=image.image + noise)).meta["warnings"]


def test_zeroed_background_is_no_place_to_look() -> None:
    noisy = (10 + torch.randn(1, 96, 96, generator=torch.Generator().manual_seed(0))).abs()
    noisy[:, :, 40:] = 0
    assert presence.noise_found(noisy, torch.ones(1, 96, 96)) > 0.7
