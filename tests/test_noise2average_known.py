"""Rounds where the noise is known: Rice's bias, motion, weights by noise, recorrupted pairs, a series of volumes."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from clearmr.methods.noise2average import known_noise, pairs, presets, rigid
from clearmr.methods.noise2average.course import Course, held_out_error
from clearmr.methods.noise2average.pairs import Repeat
from clearmr.methods.noise2average.readings import Told
from clearmr.scan import SnrImage
from clearmr.train.fine_tuning import Case, FineTuning, Tuned
from noise2average_stubs import Prior, denoiser, repeat, small, truth

WEIGHT = torch.ones(20, 20, 20)


def meeting(images: list[SnrImage], weight: torch.Tensor = WEIGHT, **known: object) -> known_noise.Meeting:
    config = small("known-noise")
    config = dataclasses.replace(config, known=dataclasses.replace(config.known, **known))  # type: ignore[arg-type]
    repeats = [Repeat(image.image, image.noise_sd) for image in images]
    return known_noise.meeting(Told(Prior()), repeats, weight, Course(config), spacing=images[0].spacing, rician=True)


def test_recorrupted_pairs_have_independent_noise_of_the_told_sd() -> None:
    generator = torch.Generator().manual_seed(0)
    sd = torch.full((1, 40, 40, 40), 0.5)
    sd[:, :20] = 2.0
    y = sd * torch.randn(sd.shape, generator=generator)  # noise alone
    inputs, target = known_noise.recorrupted(torch.cat([y, sd]), y, generator, alpha=0.7)
    for part in (slice(0, 20), slice(20, 40)):
        a, b, told = inputs[0, part], target[0, part], inputs[1, part]
        assert float(a.std()) == pytest.approx(float(told.mean()), rel=0.02)  # what the network is told is true
        assert abs(float((a * b).mean() / (a.std() * b.std()))) < 0.02
    assert float(target.std()) > float(y.std())


def test_round_k_learns_k_times_as_long_from_the_first_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[object, int, int]] = []
    true = known_noise.fine_tuned

    def spy(net: object, cases: Sequence[Case], config: FineTuning, **how: Any) -> Tuned:
        seen.append((net, config.steps, how["seed"]))
        assert torch.equal(cases[0].target[0] * 0 + cases[0].inputs[0], cases[0].target[0])  # the average, both times
        return true(net, cases, config, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(known_noise, "fine_tuned", spy)
    prior, settings = Prior(), small("known-noise", rounds=2)
    settings = dataclasses.replace(settings, tuning=dataclasses.replace(settings.tuning, steps=3))
    repeats = [Repeat(i.image, i.noise_sd) for i in (repeat(truth(), 0.1, k) for k in range(2))]
    course = Course(settings, seed=7)
    met = known_noise.meeting(Told(prior), repeats, WEIGHT, course, spacing=(1.0, 1.0, 1.0), rician=True)
    for number in (0, 1, 2):
        known_noise.one_round(Told(prior), met, WEIGHT, course, number)
    # One seed: the blocks that are held out are those that the rounds are compared by.
    assert [(net is prior.net, steps, seed) for net, steps, seed in seen] == [(True, 3, 7), (True, 6, 7)]


def test_the_average_has_no_rician_bias_and_tells_its_noise() -> None:
    clean = torch.full((20, 20, 20), 0.2)
    clean[:10] = 1.0
    images = [repeat(clean, 0.1, k) for k in range(4)]
    met = meeting(images, half_way=False)
    plain = torch.stack([i.image for i in images]).mean(0)
    inner = (slice(None), slice(12, 19), slice(2, 18), slice(2, 18))
    assert float(plain[inner].mean()) > 0.22
    assert float(met.average.values[inner].mean()) == pytest.approx(0.2, abs=0.008)
    told = float(met.average.noise_sd.expand(plain.shape)[inner].mean())
    assert told == pytest.approx(float(met.average.values[inner].std()), rel=0.1)
    assert told == pytest.approx(0.1 / 2, rel=0.15)


def test_noisier_repeats_count_less() -> None:
    clean = truth()
    met = meeting([repeat(clean, 0.03, 0), repeat(clean, 0.2, 1)], half_way=False)
    error = float((met.average.values - clean).std())
    assert error < 0.04  # a plain average: 0.1
    assert float(met.average.noise_sd.mean()) == pytest.approx(error, rel=0.15)


def test_repeats_meet_half_way() -> None:
    clean = truth(32)
    motion = rigid.Motion((0.0, 0.6, -0.4), (1.0, 0.0, 0.0))
    there, back = (rigid.moved(clean, rigid.Motion().plus(motion, f)) for f in (1.0, -1.0))
    images = [repeat(there, 0.003, 0), repeat(back, 0.003, 1)]
    weight = torch.zeros(32, 32, 32)
    weight[3:-3, 3:-3, 3:-3] = 1
    met, apart = meeting(images, weight), meeting(images, weight, half_way=False)
    assert np.allclose(np.array(met.motions[0].vector()), -np.array(motion.vector()), atol=0.06)
    inner = (slice(None), slice(4, -4), slice(4, -4), slice(4, -4))
    errors = [float((m.average.values - clean)[inner].square().mean()) for m in (met, apart)]
    assert errors[0] < 0.5 * errors[1]
    assert all(m == rigid.Motion() for m in apart.motions)


def test_repeats_that_lie_still_are_left_as_they_are() -> None:
    clean = truth(32)
    met = meeting([repeat(clean, 0.002, k) for k in range(2)], torch.ones(32, 32, 32))
    assert all(m == rigid.Motion() for m in met.motions)


def test_the_result_is_as_bright_as_a_plain_average_of_repeats_of_other_brightness() -> None:
    images = [repeat(truth(), 0.02, 0, gain=0.9), repeat(truth(), 0.02, 1, gain=1.1)]
    found = denoiser("known-noise").of_repeats(images)
    assert float(found.average.image.mean()) == pytest.approx(float(found.noisy.image.mean()), rel=0.01)
    assert float(found.each[1].image.mean() / found.each[0].image.mean()) == pytest.approx(1.1 / 0.9, rel=0.01)


def test_round_zero_is_the_network_as_it_came_and_no_round_kept_is_worse() -> None:
    found = denoiser("known-noise").of_repeats([repeat(truth(), 0.1, k) for k in range(2)])
    assert found.rounds[0]["round"] == 0 and found.rounds[0]["target"].startswith("none")
    assert [r["target"] for r in found.rounds[1:3]] == ["average", "average"][: len(found.rounds) - 1]
    kept = next(r for r in found.rounds if r["kept"])
    assert kept["held_out_error"] <= found.rounds[0]["held_out_error"]
    plain = float((found.noisy.image - truth()).square().mean())
    assert float((found.average.image - truth()).square().mean()) < 0.5 * plain


def test_the_same_seed_gives_the_same_bits() -> None:
    images = [repeat(truth(), 0.1, k) for k in range(2)]
    one, same, other = (denoiser("known-noise", seed=s).of_repeats(images).average.image for s in (3, 3, 4))
    assert torch.equal(one, same) and not torch.equal(one, other)


@pytest.mark.parametrize("n_volumes", [1, 8])
def test_volumes_are_filtered_by_what_they_share_or_each_by_itself(n_volumes: int) -> None:
    weights = torch.linspace(1.0, 0.3, 8)[:n_volumes].view(-1, 1, 1, 1)
    clean = weights * truth(24)[None]
    images = [repeat(clean, 0.08, k) for k in range(2)]
    settings = small("known-noise", rounds=1)
    with_, without = (
        dataclasses.replace(
            denoiser("known-noise"),
            config=dataclasses.replace(settings, known=dataclasses.replace(settings.known, share=share)),
        )
        for share in (0.85, 0.0)
    )
    errors = [float((d.of_repeats(images).average.image - clean).square().mean()) for d in (with_, without)]
    assert errors[0] < 0.85 * errors[1]


def test_the_filter_is_told_that_rice_bias_is_out_and_has_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, bool]] = []

    def seven(noisy: torch.Tensor, *_: object, rician: bool) -> torch.Tensor:
        told.append((len(noisy), rician))
        return torch.full_like(noisy, 7.0)

    monkeypatch.setattr(known_noise.collaborative, "refined", seven)
    depth = len(truth())
    for n_volumes, expected in ((6, [(6, False)] * depth), (2, [(depth, False)] * 2)):
        told.clear()
        met = meeting([repeat(truth()[None].expand(n_volumes, -1, -1, -1), 0.1, k) for k in range(2)], half_way=False)
        average = torch.zeros_like(met.average.values)
        found = known_noise.filtered(average, met, Course(small("known-noise")))
        torch.testing.assert_close(found, torch.full_like(found, 0.85 * 7))
        assert told == expected


def test_magnitudes_have_less_noise_where_there_is_no_signal() -> None:
    dark = torch.zeros(20, 20, 20)
    dark[10:] = 1
    met = meeting([repeat(dark, 0.1, k) for k in range(2)], half_way=False)
    low, high = (float(met.repeats[0].noise_sd[:, part].mean()) for part in (slice(2, 8), slice(12, 18)))
    assert high == pytest.approx(0.1, rel=0.02) and low < 0.85 * high


def test_rounds_are_compared_inside_the_mask() -> None:
    weight = WEIGHT.clone()
    weight[:, :, 10:] = 0
    course, reading = Course(small("known-noise")), Told(Prior())
    met = meeting([repeat(truth(), 0.1, k) for k in range(2)], weight, half_way=False)
    state = known_noise.one_round(reading, met, weight, course, 0)
    of_mask = held_out_error(state.each, met.repeats, met.scales, weight, course.config, course.seed)
    assert state.rounds[0]["held_out_error"] == of_mask


def test_scales_are_of_what_is_left_without_bias_and_noise() -> None:
    met = meeting([repeat(truth(), 0.15, k) for k in range(2)], half_way=False)
    assert float(met.scale.sd) == pytest.approx(float(pairs.scale_of(truth()[None], WEIGHT).sd), rel=0.1)


def test_the_default_is_ours_and_stays_small() -> None:
    found = presets.default()
    assert found.scheme == "known-noise" and found.tuning.turns and found.known.half_way
    assert found.tuning.epochs * found.tuning.steps * sum(range(found.rounds + 1)) <= 400  # 15 minutes on 2 cores
