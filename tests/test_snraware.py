"""SNRAware's room: the noise law of its pairs, the laws of a method, and the room's own choices."""

import dataclasses
import itertools
from pathlib import Path

import pytest
import torch

from clearmr.errors import InputError
from clearmr.evaluate import presence
from clearmr.methods import METHODS, room
from clearmr.methods.snraware import config, method, model, presets, schemes
from clearmr.methods.snraware.noise import AxisFilter, NoiseDraw, draw_noise, filtered_noise
from clearmr.scan import SnrImage
from clearmr.train import losses, settings

ONE = torch.ones(1, 1, 1, 1)
FILTERS = [
    AxisFilter(*values) for values in itertools.product((0.0, 0.8, 2.25), (1.0, 0.7, 0.55), (False, True), (1.0, 0.65))
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


@pytest.mark.parametrize("name", METHODS)
def test_every_room_has_fit_and_load(name: str) -> None:
    assert callable(room(name).fit) and callable(room(name).load)
    with pytest.raises(InputError, match="snraware"):
        room("unheard-of")


def test_settings_are_read_by_type_and_refused_by_name() -> None:
    changed = settings.with_settings(presets.tiny(), {"loop.steps": "7", "net.channels": "8,16", "loop.bf16": "false"})
    assert (changed.loop.steps, changed.net.channels, changed.loop.bf16) == (7, (8, 16), False)
    for key, text in (("loop.step", "7"), ("steps", "7"), ("loop.steps", "seven")):
        with pytest.raises(InputError):
            settings.with_settings(presets.tiny(), {key: text})


def test_fit_takes_steps_that_help(tmp_path: Path) -> None:
    settings = config.SnrAwareConfig(
        noise=config.NoiseConfig(gaussian_probability=0.0, partial_fourier_probability=0.0, resolution=(1.0,)),
        net=config.NetConfig(channels=(8, 16), cells=1),
        data=config.DataConfig(patch=(2, 32, 32), batch=2, synthetic=0.0, native_snr=(60.0, 60.0)),
        loop=dataclasses.replace(
            presets.tiny().loop, steps=60, learning_rate=3e-3, validate_every=20, average_decay=0.9
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
def test_noise_is_found_where_it_is(spec: AxisFilter, level: float) -> None:
    draw = NoiseDraw(1.0, 0, spec, spec, 3)
    noisy = level + filtered_noise(torch.Size((4, 96, 96)), draw)
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


@pytest.mark.parametrize("name", presets.PRESETS)
def test_every_preset_names_a_network_that_can_be_built(name: str) -> None:
    chosen = presets.PRESETS[name]()
    assert model.parameters(chosen.net) > 1e6
    magnitudes = schemes.scheme(chosen, "without-recon")
    assert model.channels_in(magnitudes.net) == (3 if magnitudes.net.pilots else 1)
    loss = losses.combined(**dataclasses.asdict(magnitudes.loss))
    assert float(loss(torch.ones(1, 1, 2, 8, 8), torch.zeros(1, 1, 2, 8, 8))) > 0


def test_the_papers_presets_are_the_papers() -> None:
    assert set(model.TABLE2_ARCHITECTURES) <= set(presets.PRESETS)
    chosen = presets.paper("hrnet-cnnt")
    assert (chosen.noise.sigma_max, chosen.data.patch, chosen.loop.optimizer) == (32.0, (16, 64, 64), "sophia")
    assert (chosen.noise.white_probability, chosen.noise.clean_probability, chosen.loop.learning_rate) == (0, 0, 1e-5)


def test_some_pairs_stay_white() -> None:
    drawn = [draw_noise(config.NoiseConfig(white_probability=0.6), 3, _generator(seed)) for seed in range(400)]
    white = [d.y == AxisFilter() and d.x == AxisFilter() for d in drawn]
    assert 0.5 < sum(white) / len(white) < 0.7


def test_training_begins_with_the_weights_of_another_model(tmp_path: Path) -> None:
    settings = config.SnrAwareConfig(
        net=config.NetConfig(channels=(8, 16), cells=1),
        data=config.DataConfig(patch=(2, 32, 32), batch=1),
        loop=dataclasses.replace(presets.tiny().loop, steps=1, learning_rate=1e-12, weight_decay=0.0),
    )
    given = random_denoiser()
    method.save(given, tmp_path / "given.safetensors", {})

    def fit(net: config.NetConfig) -> method.SnrAware:
        chosen = dataclasses.replace(settings, net=net)
        folder = tmp_path / f"run{net.cells}"
        folder.mkdir()
        maps = torch.ones(1, 64, 64)
        return method.fit([], [], chosen, 0, gmaps=maps, run=folder, start=tmp_path / "given.safetensors")

    trained = fit(given.config)
    kept = zip(trained.net.parameters(), given.net.parameters(), strict=True)
    assert all(torch.allclose(a, b, atol=1e-3) for a, b in kept)
    with pytest.raises(InputError, match="same architecture"):
        fit(dataclasses.replace(given.config, cells=given.config.cells + 1))


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
