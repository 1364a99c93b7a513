"""MR-self Noise2Noise: the law of its samples, alpha, the noise floor, and training that helps."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from clearmr.errors import InputError
from clearmr.evaluate.rician import mean_magnitude
from clearmr.methods.mr_self_noise2noise import blend, model, presets, store
from clearmr.methods.mr_self_noise2noise.config import HalfPair, NetConfig
from clearmr.methods.mr_self_noise2noise.rician import rician_bias, some
from clearmr.methods.mr_self_noise2noise.samples import TURNS, Draw, Samples, cut
from clearmr.scan import SnrImage
from clearmr.simulate.brain import brain
from clearmr.train.settings import with_settings
from clearmr.train.stopping import Interrupted
from laws import complex_noise
from self_noise2noise_stubs import ONE, brain_pair, method, of, pair_of, settings

PLAIN = Draw(0, False, 0, (10, 0, 0), (False, False, False), 0.0, 0.0, 7)


def flat(level: complex = 0.0, shape: tuple[int, ...] = (1, 20, 48, 44)) -> Tensor:
    return torch.full(shape, level, dtype=torch.complex64)


def rows(image: Tensor, axis: int) -> Tensor:
    return image[0].permute(TURNS[axis][0])


@pytest.mark.parametrize("orientations", ["z", "all"])
@pytest.mark.parametrize("image", ["magnitude", "complex"])
def test_a_sample_is_a_function_of_seed_step_and_index(orientations: str, image: str) -> None:
    config = settings(image=image, orientations=orientations)
    cases = [brain_pair(0), brain_pair(1, matrix=(21, 33, 30))]
    one, same, other = (Samples(cases, config, seed) for seed in (3, 3, 4))
    for a, b in zip(one(5, 1), same(5, 1), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(one(5, 1)[0], one(5, 2)[0]) and not torch.equal(one(5, 1)[0], other(5, 1)[0])
    parts = 2 if image == "complex" else 1
    assert one(5, 1)[0].shape == (1, parts + 1, 7, 24, 24) and one(5, 1)[1].shape == (1, parts, 1, 24, 24)
    draws = [one.draw(step, 0) for step in range(60)]
    assert {draw.axis for draw in draws} == ({0} if orientations == "z" else {0, 1, 2})
    assert {draw.swapped for draw in draws} == {True, False} and {draw.subject for draw in draws} == {0, 1}


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_input_and_target_are_the_two_halves_at_one_place(axis: int) -> None:
    pair = brain_pair(0)
    samples = Samples([pair], settings(image="complex"), 0)
    inputs, target = samples.apply(dataclasses.replace(PLAIN, axis=axis, corner=(9, 2, 3)))
    window = (slice(6, 13), slice(2, 26), slice(3, 27))
    given, label = rows(pair.first.image, axis)[window], rows(pair.second.image, axis)[9, 2:26, 3:27]
    length = given.shape[-2]  # a shorter axis is mirrored further on
    torch.testing.assert_close(inputs[0, 0, :, :length], given.real)
    torch.testing.assert_close(inputs[0, 1, :, :length], given.imag)
    torch.testing.assert_close(target[0, 1, 0, :length], label.imag)
    swapped = samples.apply(dataclasses.replace(PLAIN, axis=axis, corner=(9, 2, 3), swapped=True))
    torch.testing.assert_close(swapped[1][0, 0, 0, :length], rows(pair.first.image, axis)[9, 2:26, 3:27].real)


def test_beyond_the_ends_slices_rows_and_columns_are_mirrored() -> None:
    assert model.mirrored(torch.arange(-3, 6), 4).tolist() == [3, 2, 1, 0, 1, 2, 3, 2, 1]
    assert model.mirrored(torch.arange(-3, 4), 2).tolist() == [1, 0, 1, 0, 1, 0, 1]
    assert model.mirrored(torch.arange(-3, 4), 1).tolist() == [0] * 7
    values = torch.arange(4.0)[None, :, None, None].expand(1, 4, 10, 10)
    pair = pair_of(values + 0j, 1e-9)
    inputs, target = Samples([pair], settings(image="complex"), 0).apply(dataclasses.replace(PLAIN, corner=(0, 0, 0)))
    told = 1e-9 * inputs[0, 0, :, 0, 0]
    torch.testing.assert_close(told, torch.tensor([3.0, 2, 1, 0, 1, 2, 3]), atol=1e-6, rtol=0)
    assert inputs.shape[-2:] == target.shape[-2:] == (24, 24)


def test_flips_and_phase_change_input_and_target_alike() -> None:
    samples = Samples([pair_of(25 * brain_truth(), 1e-6)], settings(image="complex", added_noise=0.0), 0)
    draw = dataclasses.replace(PLAIN, flips=(True, True, False), phase=1.3, corner=(9, 2, 3))
    inputs, target = samples.apply(draw)
    torch.testing.assert_close(inputs[:, :2, 3:4], target, rtol=1e-4, atol=20.0)  # in units of a noise of 1e-6
    plain = samples.apply(dataclasses.replace(draw, flips=(False, False, False), phase=0.0))[0]
    turned = torch.complex(*plain[0, :2]).flip(0, 1) * torch.polar(torch.ones(()), torch.tensor(1.3))
    torch.testing.assert_close(torch.complex(*inputs[0, :2]), turned)


def brain_truth() -> Tensor:
    return brain((24, 40, 36), seed=0)


@pytest.mark.parametrize("level", [0.0, 0.7, 2.0])
def test_noise_is_added_to_the_input_alone_by_its_law(level: float) -> None:
    sd = torch.linspace(0.5, 2, 44).reshape(1, 1, 1, 44)
    pair = pair_of(flat(30), sd)
    samples = Samples([pair], dataclasses.replace(settings(image="complex"), data=settings(patch=40).data), 0)
    unit = samples.units[0][0]
    draws = [dataclasses.replace(PLAIN, level=level, noise=seed) for seed in range(40)]
    made = [samples.apply(draw) for draw in draws]
    values = torch.stack([torch.complex(*inputs[0, :2]) for inputs, _ in made])
    told = made[0][0][0, 2]
    torch.testing.assert_close(told * unit, (sd[0, :, :, :40] * (1 + level**2) ** 0.5).expand(7, 40, 40))
    if level:
        spread = (0.5 * (values.real.var(0) + values.imag.var(0))).sqrt() * unit / sd[0, :, :, :40]
        assert abs(float(spread.mean()) / level - 1) < 0.01
    for _, target in made:  # the other half, as it was measured
        torch.testing.assert_close(target[0, 0, 0] * unit, pair.second.image[0, 10, :40, :40].real)


def test_magnitudes_are_taken_after_the_noise_was_added() -> None:
    samples = Samples([pair_of(flat())], settings(patch=40), 0)
    inputs = torch.cat([samples.apply(dataclasses.replace(PLAIN, level=2.0, noise=k))[0] for k in range(9)])
    ratio = float(inputs[:, 0].mean() / inputs[:, 1].mean())
    assert abs(ratio - float(mean_magnitude(0.0))) < 0.02  # Rayleigh's mean, in the SD of all the noise


def test_target_noise_is_independent_of_the_input() -> None:
    samples = Samples([pair_of(flat())], settings(image="complex", patch=40, batch=1), 0)
    both = [samples(step, 0) for step in range(60)]
    given, label = (torch.cat([part[k][:, :2].flatten(1) for part in both]) for k in (0, 1))
    centre = torch.cat([part[0][:, :2, 3].flatten(1) for part in both])
    assert abs(float(torch.corrcoef(torch.stack((centre.flatten(), label.flatten())))[0, 1])) < 0.01
    assert given.std() > label.std()


def test_only_the_patch_is_read() -> None:
    class Watched:
        shape, seen = (1, 20, 48, 44), 0

        def __getitem__(self, window: tuple[int | slice, ...]) -> Tensor:
            self.seen += (part := torch.zeros(self.shape)[window]).numel()
            return part

    watched = Watched()
    cut(watched, (torch.arange(5, 12), torch.arange(3, 19), torch.arange(20, 36)), 2)
    assert watched.seen == 7 * 16 * 16


def test_pairs_on_disk_give_the_samples_of_pairs_in_memory(tmp_path: Path) -> None:
    pair = brain_pair(0)
    stored = store.write([pair], tmp_path, "0" * 64, name="one", provenance={})
    here, there = (Samples(cases, settings(), 0) for cases in ([pair], stored))
    for step in range(6):
        for a, b in zip(here(step, 0), there(step, 0), strict=True):
            assert torch.equal(a, b)


def test_pairs_that_cannot_be_learned_from_are_refused() -> None:
    pair = brain_pair(0)
    magnitudes = HalfPair(*(method.magnitude(i) for i in (pair.first, pair.second, pair.original)))
    quiet = dataclasses.replace(pair, first=dataclasses.replace(pair.first, noise_sd=0 * ONE))
    other = dataclasses.replace(pair, second=brain_pair(0, matrix=(20, 40, 36)).second)
    for cases in ([], [magnitudes], [quiet], [other]):
        with pytest.raises(InputError):
            Samples(cases, settings(), 0)


def test_a_clean_target_is_never_the_input() -> None:
    samples = Samples([pair_of(25 * brain_truth(), clean=True)], settings(), 0)
    assert not any(samples.draw(step, 0).swapped for step in range(40))


def alpha_of(mode: str, truth: Tensor, kept: float, *, seed: int = 0) -> blend.Search:
    """By a network that removes all but `kept` of the noise, which it could not know but we do."""

    def output(image: SnrImage) -> Tensor:
        return truth + kept * (image.image - truth)

    pairs = [pair_of(truth, seed=seed + k) for k in range(2)]
    return blend.search(output, pairs, image=mode, kind=lambda image: image)  # type: ignore[arg-type]


def test_alpha_from_halves_is_unbiased_and_from_the_original_is_not() -> None:
    truth = 20 * brain_truth()
    assert alpha_of("halves", truth, 0.0).alpha == 0.0
    # The original's noise is the mean of both halves': its covariance with the label's is half a variance, and so is
    # its own variance. |a n - m|^2, m the label's noise, is least at a = 1.
    assert alpha_of("original", truth, 0.0).alpha == 1.0


def test_alpha_makes_up_for_a_network_that_removes_too_much() -> None:
    truth = 20 * brain_truth()

    def output(image: SnrImage) -> Tensor:  # the noise with its sign turned: 0.3 of the original undoes it
        return truth - 3 / 7 * (image.image - truth)

    found = blend.search(output, [pair_of(truth)], image="halves", kind=lambda image: image)
    assert found.alpha == 0.3 and len(found.psnr) == 11 and max(found.psnr) == found.psnr[3]


def test_the_blend_is_equation_1() -> None:
    original, output = torch.tensor([10.0, 3]), torch.tensor([4.0, 3])
    torch.testing.assert_close(blend.blend(original, output, 0.3), torch.tensor([5.8, 3]))
    assert torch.equal(blend.blend(original, output, 0.0), output)
    assert torch.equal(blend.blend(original, output, 1.0), original)


def test_at_most_eight_pairs_spread_evenly_tell_of_all() -> None:
    assert some(list(range(100))) == [0, 13, 26, 39, 52, 65, 78, 91]
    assert some([1, 2, 3]) == [1, 2, 3]
    assert len(some(list(range(9)))) <= 8


@pytest.mark.parametrize(("snr", "warned"), [(1.0, True), (2.0, True), (10.0, False)])
def test_the_rician_bias_is_what_theory_says(snr: float, warned: bool) -> None:
    found = rician_bias(pair_of(flat(3 * snr * torch.exp(torch.tensor(1j)).item()), 3.0))
    expected = float(mean_magnitude(snr)) / snr - 1
    assert abs(found.bias - expected) < 0.05 * expected + 0.001
    assert abs(found.snr / snr - 1) < 0.03
    assert (found.warning() is not None) == warned
    if warned:
        assert f"{100 * found.bias:.1f} %" in str(found.warning())
    measured = pair_of(flat(3 * snr), 3.0).first.image.abs().mean() / (3 * snr) - 1
    assert abs(found.bias - float(measured)) < 0.05 * expected + 0.001


def test_the_fraction_of_low_snr_is_of_the_foreground() -> None:
    truth = torch.cat((flat(10.0), flat(1.5), flat(0.0)), dim=2)
    found = rician_bias(pair_of(truth))
    assert 0.4 < found.low < 0.6


def test_scales_are_the_noise_or_the_peak() -> None:
    ramp = torch.linspace(0, 100, 10_000).reshape(1, 10, 25, 40)
    sd = torch.cat((torch.zeros(1, 5, 25, 40), torch.full((1, 5, 25, 40), 4.0)), dim=1)
    assert model.unit_of(ramp, sd, net=NetConfig()) == 4.0
    assert abs(model.unit_of(ramp, sd, net=NetConfig(scale="peak")) - 99.9) < 0.1
    assert model.unit_of(ramp, 0 * sd, net=NetConfig()) == 0


@pytest.mark.parametrize("name", sorted(presets.PRESETS))
def test_presets_make_a_network_and_samples(name: str) -> None:
    config = presets.PRESETS[name]()
    for image, parts in (("magnitude", 1), ("complex", 2)):
        changed = with_settings(config, {"net.image": image, "net.channels": "4,8"})
        inputs, target = Samples([brain_pair(0)], changed, 0)(0, 0)
        assert inputs.shape[1] == parts + config.net.noise_map and target.shape[1] == parts
        assert model.build(changed.net)(inputs[..., :16, :16]).shape == (1, parts, 1, 16, 16)
    assert model.parameters(config.net) > 10**5


def test_networks_that_cannot_be_are_refused() -> None:
    for name, value in (("slices", 6), ("image", "phase"), ("scale", "none"), ("channels", ())):
        wrong = NetConfig()
        object.__setattr__(wrong, name, value)  # as --set may, where no types are checked
        with pytest.raises(InputError, match=name):
            model.build(wrong)


def weights(denoiser: method.SelfNoise2Noise) -> Tensor:
    return torch.cat([p.flatten() for p in denoiser.net.parameters()])


class Stop(Exception):
    """Ends a run in the middle."""


def test_an_interrupted_run_ends_in_the_same_bits(tmp_path: Path) -> None:
    short = settings(steps=8)

    def stop(done: int, total: int, **_: object) -> None:
        if done == 6:
            raise Stop

    cases = [brain_pair(0)], [brain_pair(1)]
    unbroken = method.fit(*cases, short, 0, run=tmp_path / "a")
    with pytest.raises((Stop, Interrupted)):
        method.fit(*cases, short, 0, run=tmp_path / "b", progress=stop)
    resumed = method.fit(*cases, short, 0, run=tmp_path / "b", resume=True)
    assert torch.equal(weights(unbroken), weights(resumed)) and unbroken.card == resumed.card
    other = method.fit(*cases, settings(steps=1), 1, run=tmp_path / "c")
    assert not torch.equal(weights(unbroken), weights(other))


def test_what_was_learned_is_told_of(tmp_path: Path) -> None:
    noisy = [brain_pair(k, peak=3.0) for k in (0, 1)]
    alone = method.fit(noisy, [], settings(steps=2), 0, run=tmp_path / "a")
    assert any("% brighter than the signal" in w for w in alone.card["warnings"])
    assert any("trained on" in w and "validated" in w for w in alone.card["warnings"])
    assert len(alone.card["alpha_psnr"]) == 11 and alone.card["alpha"] in blend.ALPHAS
    complex_one = method.fit(noisy, noisy, settings(steps=2, image="complex"), 0, run=tmp_path / "b")
    assert complex_one.card["warnings"] == [] and complex_one.card["rician"]["bias"] > 0.02
    clean = [pair_of(25 * brain_truth(), clean=True)]
    assert "rician" not in method.fit(clean, clean, settings(steps=2), 0, run=tmp_path / "c").card


def test_a_model_may_begin_with_another_s_weights(tmp_path: Path) -> None:
    cases = [brain_pair(0)], [brain_pair(1)]
    made = method.fit(*cases, settings(steps=2), 0, run=tmp_path / "a")
    method.save(made, tmp_path / "m.safetensors", {})
    again = method.fit(*cases, settings(steps=1), 0, run=tmp_path / "b", start=tmp_path / "m.safetensors")
    assert float((weights(again) - weights(made)).abs().max()) < 0.01
    with pytest.raises(InputError, match="same architecture"):
        method.fit(*cases, settings(image="complex"), 0, run=tmp_path / "c", start=tmp_path / "m.safetensors")


@pytest.mark.parametrize("image", ["magnitude", "complex"])
def test_a_minute_of_training_helps_an_unseen_brain(image: str, tmp_path: Path) -> None:
    config, size = settings(steps=80, image=image, patch=32, batch=4), {"matrix": (32, 48, 40), "peak": 10.0}
    loop = dataclasses.replace(config.loop, learning_rate=4e-3, save_every=80, validate_every=40, bf16=True)
    config = dataclasses.replace(config, net=dataclasses.replace(config.net, channels=(16, 32)), loop=loop)
    denoiser = method.fit([brain_pair(k, **size) for k in range(2)], [brain_pair(8, **size)], config, 0, run=tmp_path)
    truth = 10 * brain((32, 48, 40), seed=77)
    noisy = of(truth + complex_noise(*truth.shape, seed=99))
    if image == "magnitude":
        noisy, truth = method.magnitude(noisy), truth.abs()
    inside = truth.abs() > 2  # where lifting the Rician floor is no gain
    before, after = (float((i.image - truth)[inside].abs().square().mean()) for i in (noisy, denoiser(noisy)))
    assert 10 * np.log10(before / after) > 1.0
    assert denoiser.alpha <= 0.5
