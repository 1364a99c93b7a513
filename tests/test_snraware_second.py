"""What a second network learns from, and where it begins."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import pytest
import torch

from clearmr.errors import InputError
from clearmr.methods.snraware import leaves, method, model, presets, second, volumes
from clearmr.methods.snraware.config import NetConfig, SecondConfig, SnrAwareConfig
from snraware_stubs import denoiser

SMALL = {
    "complex": NetConfig(channels=(4, 8), cells=1),
    "magnitude": NetConfig(channels=(4, 8), cells=1, image="magnitude"),
}


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def settings(image: str, **changes: object) -> SnrAwareConfig:
    """Cases of 24 x 24 frames and 16^3, of all kinds."""
    base = presets.small_second() if image == "complex" else presets.small_mag_second()
    cases = SecondConfig(size=24, side=16, frames=(3, 5), volumes=0.3, scans=0.4)
    data = dataclasses.replace(base.data, patch=(4, 16, 16), batch=2, synthetic=1.0, lesions=0.0)
    net = dataclasses.replace(SMALL[image], pilots=True)
    return dataclasses.replace(base, net=net, data=data, second=dataclasses.replace(cases, **changes))


@pytest.fixture(autouse=True)
def few_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaves, "synthetic_series", functools.partial(leaves.synthetic_series, n=2))
    monkeypatch.setattr(volumes, "leaf_volumes", functools.partial(volumes.leaf_volumes, n=2))


@pytest.fixture(params=["complex", "magnitude"])
def cases(request: pytest.FixtureRequest, tmp_path: Path) -> second.Cases:
    config = settings(request.param)
    return second.Cases(denoiser(SMALL[request.param]), [], torch.ones(1, 32, 32), config, 5, tmp_path / "cases")


def test_cases_of_every_kind_are_made_once_and_stay_the_same(cases: second.Cases, tmp_path: Path) -> None:
    again = dataclasses.replace(cases.config)
    other = second.Cases(cases.first, [], cases.gmaps, again, 5, tmp_path / "others")
    kinds = set()
    for k in range(12):
        case = cases[k]
        assert len(case.target) == model.channels_out(cases.config.net)
        assert len(case.noise_sd) == len(case.filtered) == 1
        assert {v.shape[-3:] for v in vars(case).values()} == {case.noisy.shape[1:]}
        assert case.noisy.shape[1] == cases.frames(k)
        noise = (case.noisy - case.target) / case.noise_sd.clamp_min(1e-6)
        assert 0.3 < float(noise.std()) < 1.7 or float(noise.abs().max()) == 0  # pairs without noise are there too
        assert not torch.equal(case.filtered[0], case.network)
        assert all(torch.equal(a, b) for a, b in zip(vars(case).values(), vars(other[k]).values(), strict=True))
        kinds.add(cases._drawn(k))
    assert kinds == {("volume", 16), *((kind, n) for kind in ("scan", "series") for n in (3, 5))}
    files = {path: path.stat().st_mtime_ns for path in cases.folder.iterdir()}
    cases[0]
    assert files == {path: path.stat().st_mtime_ns for path in cases.folder.iterdir()}


def test_windows_are_in_units_of_the_filtered_image_s_error(cases: second.Cases) -> None:
    samples = second.Samples(cases, cases.config, 1, 8)
    lengths = set()
    for step in range(12):
        inputs, target = samples.whole(step)
        n = target.shape[1]
        assert inputs.shape[1] == 3 * n + 1 and inputs.shape[2:] == target.shape[2:]
        error = (inputs[:, -n:] - target).square().mean((1, 2, 3, 4))
        assert bool((error < 1.0001).all()) and float(error.max()) > 0.3
        torch.testing.assert_close(samples.whole(step)[0], inputs, rtol=0, atol=0)
        lengths.add(inputs.shape[2])
    assert lengths == {second.SHORTEST}


def test_a_phase_turns_all_complex_images_alike() -> None:
    parts = [torch.randn(c, 2, 4, 4, generator=rng(c)) for c in (2, 1, 2)]
    turned = second._phased(parts, rng(3))
    assert turned[1] is parts[1]
    for part, other in zip(parts, turned, strict=True):
        torch.testing.assert_close(part.square().sum(0), other.square().sum(0))
    inner = [(a * b).sum() for a, b in ((parts[0], parts[2]), (turned[0], turned[2]))]
    torch.testing.assert_close(*inner)


def test_where_there_is_a_second_network_cases_are_of_both_stages_and_training_goes_on_from_it(tmp_path: Path) -> None:
    config, net = settings("complex", volumes=0.0), second.begun(denoiser(SMALL["complex"]))
    with torch.no_grad():
        net.noise.tail.weight.normal_(std=0.1, generator=rng())  # type: ignore[union-attr]
    both = dataclasses.replace(denoiser(SMALL["complex"]), second=net)
    cases = second.Cases(both, [], torch.ones(1, 32, 32), config, 5, tmp_path / "cases")
    k = next(k for k in range(20) if cases.frames(k) == 5)
    case = cases[k]
    assert case.filtered.shape == (2, *case.target.shape) and not torch.allclose(*case.filtered, atol=0.01)
    went_on = second.begun(both)
    assert all(torch.equal(a, b) for a, b in zip(went_on.parameters(), net.parameters(), strict=True))
    went_on.noise.tail.weight.data.zero_()  # type: ignore[union-attr, operator]
    assert bool(net.noise.tail.weight.any())  # type: ignore[union-attr, operator]


@pytest.mark.parametrize("image", ["complex", "magnitude"])
def test_a_second_network_begins_at_the_filtered_image(image: str) -> None:
    first = denoiser(SMALL[image])
    net = second.begun(first)
    given = torch.randn(1, model.channels_in(settings(image).net), 3, 16, 16, generator=rng())
    torch.testing.assert_close(net(given), given[:, -model.channels_out(SMALL[image]) :])
    inside = first.net.noise.encoder[0][0].first.weight  # type: ignore[union-attr, index]
    assert torch.equal(net.noise.encoder[0][0].first.weight, inside)  # type: ignore[union-attr, index]
    assert all(parameter.requires_grad for parameter in net.parameters())


@pytest.mark.parametrize(
    ("changes", "card", "said"),
    [
        ({"net": SMALL["magnitude"]}, {}, "after random"),
        ({}, {"told": "gmap"}, "told the noise SD"),
        ({"second": SecondConfig(side=12)}, {}, "hold a patch"),
    ],
)
def test_what_does_not_go_together_is_refused(changes: dict[str, Any], card: dict[str, str], said: str) -> None:
    first = denoiser(SMALL["complex"])
    first = dataclasses.replace(first, card={**first.card, **card})
    method.refuse_apart(denoiser(SMALL["complex"]), settings("complex"))
    with pytest.raises(InputError, match=said):
        method.refuse_apart(first, dataclasses.replace(settings("complex"), **changes))


def test_training_lowers_the_filtered_image_s_error(tmp_path: Path) -> None:
    config = settings("complex", cases=4, held_out=1)
    loop = dataclasses.replace(config.loop, steps=150, learning_rate=1e-3, validate_every=50, bf16=False)
    first = denoiser(SMALL["complex"])
    both = method.fit_second(
        first, [], [], dataclasses.replace(config, loop=loop), 5, gmaps=torch.ones(1, 32, 32), run=tmp_path
    )
    cases = second.Cases(first, [], torch.ones(1, 32, 32), config, 5, tmp_path / method.CASES)
    samples = second.Samples(cases, config, 9, 4)
    assert both.second is not None
    assert sum(second.gain(both.second, samples.whole(k)) for k in range(6)) / 6 > 0.1
