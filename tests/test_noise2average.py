"""The published rounds to the letter, when they stop, how they resume, and what is refused."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from clearmr.errors import InputError
from clearmr.methods.noise2average import config, course, masks, method, pairs, presets, published, readings
from clearmr.methods.noise2average.pairs import Repeat
from clearmr.nets.volumes import ConvChain, MuNet
from clearmr.scan import SnrImage
from clearmr.train import blocks
from clearmr.train.fine_tuning import Case, FineTuning, Tuned
from noise2average_stubs import Blur, Prior, denoiser, repeat, small, truth

WEIGHT = torch.ones(20, 20, 20)
WEIGHT[:4] = 0


def repeats(gains: Sequence[float] = (1.0, 1.0), sd: float = 0.08) -> list[Repeat]:
    images = [repeat(truth(), sd, k, gain=gain) for k, gain in enumerate(gains)]
    return [Repeat(image.image, image.noise_sd) for image in images]


class Spy:
    """In place of `fine_tuned`: keeps what it was given; the network becomes one of another share each time."""

    def __init__(self) -> None:
        self.nets: list[nn.Module] = []
        self.cases: list[list[Case]] = []
        self.configs: list[FineTuning] = []

    def __call__(self, net: nn.Module, cases: Sequence[Case], config: FineTuning, **_: Any) -> Tuned:
        self.nets.append(net)
        self.cases.append(list(cases))
        self.configs.append(config)
        return Tuned(Blur(0.8 + 0.05 * len(self.nets)), (1.0,), (1.0,), 1)


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    found = Spy()
    monkeypatch.setattr(published, "fine_tuned", found)
    return found


def test_a_repeat_is_normalised_by_its_own_mean_and_sd_inside_the_mask() -> None:
    values = repeats()[0].values
    values[:, :4] = 1e3  # outside
    normalised = pairs.scale_of(values, WEIGHT).normalised(values)[:, 4:]
    assert float(normalised.mean()) == pytest.approx(0, abs=1e-5)
    assert float(normalised.std(unbiased=False)) == pytest.approx(1, abs=1e-5)


def test_each_volume_has_a_scale_of_its_own() -> None:
    values = torch.cat([truth()[None], 0.3 * truth(seed=1)[None] + 4])
    scale = pairs.scale_of(values, WEIGHT)
    assert scale.mean.shape == (2, 1, 1, 1)
    torch.testing.assert_close(scale.normalised(values)[:, 4:].mean((1, 2, 3)), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(scale.back(scale.normalised(values)), values)


def test_targets_are_in_the_unit_of_each_repeat() -> None:
    """Of repeats that differ by brightness and offset alone, each is its own target: nothing is to be learned."""
    a, b = truth()[None], 1.4 * truth()[None] + 0.3
    scales = [pairs.scale_of(v, WEIGHT) for v in (a, b)]
    for own, target in zip((a, b), pairs.targets([a, b], [a, b], scales, scales), strict=True):
        torch.testing.assert_close(target, own, atol=1e-5, rtol=1e-5)


def test_noise_is_taken_off_the_contrast_that_a_scale_is_of() -> None:
    clean = truth()[None]
    noisy = clean + 0.2 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    told = pairs.scale_of(noisy, WEIGHT, noise_variance=torch.full((1, 1, 1, 1), 0.04))
    assert float(told.sd) == pytest.approx(float(pairs.scale_of(clean, WEIGHT).sd), rel=0.03)
    assert float(pairs.scale_of(noisy, WEIGHT).sd) > 1.3 * float(told.sd)


def test_round_one_is_onto_the_average_of_all_from_each_repeat(spy: Spy) -> None:
    given = repeats((1.0, 1.3, 0.8))
    published.run(readings.Told(Prior()), given, WEIGHT, course.Course(small(rounds=1)))
    assert len(spy.cases) == 1 and len(spy.cases[0]) == 3
    parts = [r.values[0, 4:] for r in given]
    average = sum((p - p.mean()) / p.std(unbiased=False) for p in parts) / 3
    for r, case, part in zip(given, spy.cases[0], parts, strict=True):
        unit = float(r.noise_sd)
        torch.testing.assert_close(case.inputs[0], r.values[0] / unit)
        torch.testing.assert_close(case.inputs[1], torch.ones_like(case.inputs[1]))
        wanted = (average * part.std(unbiased=False) + part.mean()) / unit
        torch.testing.assert_close(case.target[0, 4:], wanted, atol=1e-3, rtol=1e-4)
        assert torch.equal(case.weight, WEIGHT)


def test_round_two_is_from_the_originals_onto_the_average_of_the_denoised(spy: Spy) -> None:
    given, prior = repeats((1.0, 1.3)), Prior()
    plain = dataclasses.replace(small(), tuning=FineTuning(block=(20, 20, 20), flips=False))
    state = published.run(readings.Told(prior), given, WEIGHT, course.Course(plain))
    assert len(spy.cases) == 2 and len(state.rounds) == 2
    denoised = [Blur(0.85)(r.values[None])[0].detach() for r in given]
    parts = [d[0, 4:] for d in denoised]
    average = sum((p - p.mean()) / p.std(unbiased=False) for p in parts) / 2
    for r, first, second in zip(given, spy.cases[0], spy.cases[1], strict=True):
        assert torch.equal(first.inputs, second.inputs)  # the ORIGINAL repeat again
        own, unit = r.values[0, 4:], float(r.noise_sd)
        wanted = (average * own.std(unbiased=False) + own.mean()) / unit
        torch.testing.assert_close(second.target[0, 4:], wanted, atol=1e-3, rtol=1e-4)
        assert not torch.allclose(first.target, second.target)
    assert all(net is prior.net for net in spy.nets)  # every round from the pretrained weights


def test_the_result_is_the_average_of_the_denoised_repeats_as_bright_as_they_are(spy: Spy) -> None:
    given = repeats((1.0, 1.2))
    state = published.run(readings.Told(Prior()), given, WEIGHT, course.Course(small(rounds=1)))
    scales = [pairs.scale_of(v, WEIGHT) for v in state.each]
    torch.testing.assert_close(state.average, pairs.common_scale(scales).back(pairs.averaged(state.each, scales)))
    middle = sum(v[:, 4:].mean() for v in state.each) / 2
    assert float(state.average[:, 4:].mean()) == pytest.approx(float(middle), rel=1e-4)


def test_residual_networks_are_given_normalised_repeats_and_learn_what_to_add(spy: Spy) -> None:
    given = repeats()
    scales = [pairs.scale_of(r.values, WEIGHT) for r in given]
    target = pairs.targets([r.values for r in given], [r.values for r in given], scales, scales)[0]
    case = readings.Residual(nn.Identity()).cases(given[0], scales[0], target, WEIGHT)[0]
    torch.testing.assert_close(case.inputs, scales[0].normalised(given[0].values))
    average = pairs.averaged([r.values for r in given], scales)
    torch.testing.assert_close(case.target, average - case.inputs, atol=1e-4, rtol=1e-4)


def test_a_residual_is_added_in_normalised_intensities() -> None:
    class Half(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return -0.5 * x

    given = repeats()[0]
    scale = pairs.scale_of(given.values, WEIGHT)
    for together in (False, True):
        out = readings.Residual(Half(), together=together).denoised(Half(), given, scale, FineTuning())
        torch.testing.assert_close(out, scale.mean + 0.5 * (given.values - scale.mean), atol=1e-4, rtol=1e-4)


def test_a_chain_takes_all_volumes_at_once() -> None:
    values = torch.cat([truth()[None], truth(seed=1)[None], truth(seed=2)[None]])
    given, scale = Repeat(values, torch.ones(1, 1, 1, 1)), pairs.scale_of(values, WEIGHT)
    together = readings.Residual(nn.Identity(), together=True).cases(given, scale, values, WEIGHT)
    apart = readings.Residual(nn.Identity()).cases(given, scale, values, WEIGHT)
    assert [len(c.inputs) for c in together] == [3] and [len(c.inputs) for c in apart] == [1, 1, 1]


def test_settings_are_those_of_the_reference() -> None:
    for name in ("published", "paper", "paper-dwi"):
        found = presets.PRESETS[name]()
        tuning = found.tuning
        assert found.scheme == "published" and found.rounds == 2
        assert (tuning.block, tuning.epochs, tuning.learning_rate, tuning.batch) == ((64, 64, 64), 20, 5e-5, 1)
        assert (tuning.validation, tuning.flips, tuning.turns, tuning.steps, tuning.patience) == (
            0.2,
            True,
            False,
            0,
            0,
        )


def test_networks_are_those_of_the_reference() -> None:
    net = method.build(presets.paper().net)
    assert isinstance(net, MuNet)
    layers = [m for m in net.modules() if isinstance(m, nn.Conv3d)]
    assert [m.out_channels for m in layers] == [64] * 18 + [1] and all(m.kernel_size == (3, 3, 3) for m in layers)
    assert [m.in_channels for m in layers[10::2][:4]] == [128] * 4
    assert sum(isinstance(m, nn.ReLU) for m in net.modules()) == 18
    dwi = method.build(dataclasses.replace(presets.paper_dwi().net, volumes=5))
    assert isinstance(dwi, ConvChain)
    chain = [m for m in dwi.modules() if isinstance(m, nn.Conv3d)]
    assert [m.out_channels for m in chain] == [*[192] * 8, 96, 48, 5] and chain[0].in_channels == 5
    assert sum(isinstance(m, nn.BatchNorm3d) for m in dwi.modules()) == 10
    assert MuNet(width=4, pairs=3)(torch.zeros(1, 1, 6, 7, 8)).shape == (1, 1, 6, 7, 8)


def state(error: float, number: int) -> course.State:
    values = torch.full((1, 2, 2, 2), float(number))
    return course.State(values, (values,), nn.Identity(), ({"round": number, "held_out_error": error},))


def test_each_level_up_is_given_the_features_of_its_level_down() -> None:
    net, down, up = MuNet(width=3, pairs=3), [], []
    for block in net.down:
        block.register_forward_hook(lambda _, __, out: down.append(out))
    for block in net.up:
        block.register_forward_pre_hook(lambda _, given: up.append(given[0][:, 3:]))
    net(torch.randn(1, 1, 4, 4, 4))
    assert [torch.equal(a, b) for a, b in zip(up, down[1::-1], strict=True)] == [True, True]


def test_the_run_stops_at_a_worse_round_and_keeps_the_better_one() -> None:
    first = course.better(None, state(1.0, 1))
    second = course.better(first, state(0.8, 2))
    assert not second.stopped and float(second.average.mean()) == 2
    third = course.better(second, state(0.9, 3))
    assert third.stopped and float(third.average.mean()) == 2
    assert [(r["round"], r["kept"]) for r in third.rounds] == [(1, False), (2, True), (3, False)]


def test_a_round_as_good_as_the_one_before_is_kept() -> None:
    assert not course.better(course.better(None, state(1.0, 1)), state(1.0, 2)).stopped


def test_one_block_is_what_rounds_are_compared_on_where_there_is_no_other() -> None:
    given, settings = repeats(), small()
    settings = dataclasses.replace(settings, tuning=dataclasses.replace(settings.tuning, block=(20, 20, 20)))
    scales = [pairs.scale_of(r.values, WEIGHT) for r in given]
    assert course.held_out_error([r.values for r in given], given, scales, WEIGHT, settings, 0) > 0


def test_another_noise_level_is_another_run() -> None:
    given, told = repeats(), course.Course(small())
    other = [Repeat(r.values, 2 * r.noise_sd) for r in given]
    marks = {course.fingerprint(told, g, WEIGHT, Blur()) for g in (given, given, other)}
    assert len(marks) == 2


def test_no_round_follows_a_worse_one(monkeypatch: pytest.MonkeyPatch, spy: Spy) -> None:
    errors = iter([1.0, 2.0, 0.1])
    monkeypatch.setattr(course, "held_out_error", lambda *_: next(errors))
    found = published.run(readings.Told(Prior()), repeats(), WEIGHT, course.Course(small(rounds=3)))
    assert [r["held_out_error"] for r in found.rounds] == [1.0, 2.0] and found.stopped and len(spy.nets) == 2


def test_rounds_are_compared_by_the_other_repeats_on_held_out_blocks() -> None:
    given = repeats((1.0, 1.0, 1.0))
    scales = [pairs.scale_of(r.values, WEIGHT) for r in given]
    settings = small()

    def error(values: Sequence[Tensor]) -> float:
        return course.held_out_error(values, given, scales, WEIGHT, settings, 0)

    clean = truth()[None]
    assert error([clean] * 3) < error([r.values for r in given])
    held = blocks.split_blocks(blocks.blocks_of(WEIGHT, settings.tuning.block), 0.2, 0)[1]
    parts = [(r.values[0] - s.mean[0]) / s.sd[0] for r, s in zip(given, scales, strict=True)]
    where = torch.zeros_like(WEIGHT)
    for box in held:
        where[box] = WEIGHT[box]
    wanted = [(where * (p - (sum(parts) - p) / 2).square()).sum() / where.sum() for p in parts]
    assert error([r.values for r in given]) == pytest.approx(float(sum(wanted)) / 3, rel=1e-4)
    elsewhere = [r.values.clone() for r in given]
    for values in elsewhere:
        kept = [values[(slice(None), *box)].clone() for box in held]
        values += 100
        for box, part in zip(held, kept, strict=True):
            values[(slice(None), *box)] = part
    assert error(elsewhere) == pytest.approx(error([r.values for r in given]), rel=1e-5)


@pytest.mark.parametrize("scheme", ["published", "known-noise"])
def test_a_killed_run_resumes_at_its_round(scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from clearmr.methods.noise2average import known_noise

    module = published if scheme == "published" else known_noise
    images = [repeat(truth(), 0.08, k) for k in range(2)]
    whole = denoiser(scheme).of_repeats(images)
    true, calls = module.fine_tuned, []

    def killed(*args: Any, **kwargs: Any) -> Tuned:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return true(*args, **kwargs)

    monkeypatch.setattr(module, "fine_tuned", killed)
    with pytest.raises(KeyboardInterrupt):
        denoiser(scheme, work=tmp_path / "work").of_repeats(images)
    with pytest.raises(InputError, match="--resume"):
        denoiser(scheme, work=tmp_path / "work").of_repeats(images)
    again = denoiser(scheme, work=tmp_path / "work", resume=True).of_repeats(images)
    assert len(calls) == 3  # round 1 was not done again
    assert torch.equal(again.average.image, whole.average.image)
    assert [r["round"] for r in again.rounds] == [r["round"] for r in whole.rounds]
    for a, b in zip(again.each, whole.each, strict=True):
        assert torch.equal(a.image, b.image)
    other = [repeat(truth(), 0.08, k + 5) for k in range(2)]
    with pytest.raises(InputError, match="the run's own repeats"):
        denoiser(scheme, work=tmp_path / "work", resume=True).of_repeats(other)


def test_rounds_lessen_the_error() -> None:
    images = [repeat(truth(), 0.1, k) for k in range(2)]
    found = denoiser().of_repeats(images, mask=WEIGHT)
    plain = (found.noisy.image - truth()).square().mean()
    assert float((found.average.image - truth()).square().mean()) < 0.6 * float(plain)
    step = found.average.meta["steps"][-1]
    assert step["name"] == "denoise" and step["method"] == "noise2average" and step["mask"] == "given"
    assert len(step["rounds"]) == 2 and step["apart_mm"][0] < 0.5
    torch.testing.assert_close(found.average.noise_sd, torch.full((1, 1, 1, 1), 0.1 / 2**0.5))


def test_strength_is_part_of_the_way() -> None:
    images = [repeat(truth(), 0.1, k) for k in range(2)]
    whole, none, half = (denoiser(strength=s).of_repeats(images) for s in (1.0, 0.0, 0.5))
    torch.testing.assert_close(none.average.image, none.noisy.image)
    torch.testing.assert_close(half.average.image, (whole.average.image + none.average.image) / 2)


def test_the_axis_from_left_to_right_is_the_affines() -> None:
    from clearmr.methods.noise2average import inference

    image = repeat(truth(8), 0.1, 0)
    assert inference.left_right(image) == 2
    for axis in range(3):
        affine = np.eye(4)[[*np.roll(range(3), axis), 3]]
        assert inference.left_right(dataclasses.replace(image, affine=affine)) == 2 - int(
            np.abs(affine[0, :3]).argmax()
        )


def many(n: int = 2) -> list[SnrImage]:
    return [repeat(truth(), 0.08, k) for k in range(n)]


def test_bad_repeats_are_refused_in_one_line() -> None:
    ready, good = denoiser(), many()
    cases = {
        "at least 2 repeats": good[:1],
        "at most 20 repeats": [good[0]] * 21,
        "repeats of one shape": [good[0], repeat(truth(16), 0.08, 1)],
        "one affine": [dataclasses.replace(g, affine=np.diag([1, 1, 1 + k, 1.0])) for k, g in enumerate(good)],
        "repeats with one affine": [good[0], dataclasses.replace(good[1], spacing=(1.0, 1.0, 2.0))],
        "repeats of one kind": [good[0], dataclasses.replace(good[1], image=good[1].image - 1)],
        "finite voxels": [good[0], dataclasses.replace(good[1], image=good[1].image / 0)],
        "at least 8 voxels": [dataclasses.replace(g, image=g.image[:, :7]) for g in good],
        "one contrast": [good[0], repeat(truth(seed=9), 0.02, 1)],
    }
    for expected, images in cases.items():
        with pytest.raises(InputError, match=expected):
            ready.of_repeats(images)
    with pytest.raises(InputError, match="at least 2 repeats"):
        ready(good[0])


def test_bad_masks_are_refused() -> None:
    for mask, expected in ((torch.zeros(20, 20, 20), "an empty one"), (torch.ones(5, 5, 5), "a mask of shape")):
        with pytest.raises(InputError, match=expected):
            denoiser().of_repeats(many(), mask=mask)


def test_a_mask_is_made_where_none_is_given() -> None:
    volume = torch.zeros(24, 24, 24)
    volume[6:18, 6:18, 6:18] = 1.0
    found, how = masks.mask_for([repeat(volume, 0.03, k) for k in range(2)], None)
    assert how == "foreground"
    assert float(found[8:16, 8:16, 8:16].min()) == 1 and float(found[:3].max()) == 0


def test_each_frame_is_told_its_own_noise() -> None:
    given = Repeat(torch.ones(2, 8, 8, 8), torch.tensor([1.0, 4.0]).view(2, 1, 1, 1))
    inside = torch.ones(8, 8, 8)
    found = readings.Told(Prior()).cases(given, pairs.scale_of(given.values, inside), given.values, inside)
    assert [float(case.inputs[0].mean()) for case in found] == [1.0, 0.25]  # in units of the noise


def test_the_brain_is_taken_of_a_whole_head_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, cropped = np.zeros((100, 100, 100), bool), np.zeros((100, 100, 100), bool)
    whole[5:95, 5:95, 5:95] = True
    cropped[:60, :, 5:95] = True  # 540 ml, of which a tenth is on borders
    head = repeat(torch.ones(100, 100, 100), 0.1, 0)
    found = {}
    for name, brain in (("whole", whole), ("cropped", cropped)):
        monkeypatch.setattr(masks, "brain_mask", lambda *_, brain=brain, **__: brain)
        found[name] = masks.mask_for([head], None)[1]
    assert found == {"whole": "brain", "cropped": "foreground"}
    series = dataclasses.replace(head, image=head.image.expand(2, -1, -1, -1))
    assert masks.mask_for([series], None)[1] == "foreground"


def test_dim_tissue_is_foreground() -> None:
    volume = np.zeros((20, 20, 20))
    volume[1:19, 1:10, 1:19], volume[1:19, 10:19, 1:19] = 1.0, 0.45
    assert masks.foreground(volume)[6:14, 6:14, 6:14].all()


def test_complex_repeats_are_taken_as_magnitudes_and_it_is_said() -> None:
    images = [dataclasses.replace(i, image=i.image * torch.exp(torch.tensor(0.7j))) for i in many()]
    found = denoiser().of_repeats(images)
    assert not found.average.is_complex
    assert any("phase is not kept" in warning for warning in found.average.meta["warnings"])
    torch.testing.assert_close(found.average.image, denoiser().of_repeats(many()).average.image, atol=1e-4, rtol=1e-4)


def test_three_repeats_are_better_than_two() -> None:
    errors = [float((denoiser().of_repeats(many(n)).average.image - truth()).square().mean()) for n in (2, 4)]
    assert errors[1] < 0.8 * errors[0]


def test_what_load_takes_and_refuses(tmp_path: Path) -> None:
    assert method.load(prior=Prior()).config == presets.default()  # type: ignore[arg-type]
    assert method.load("published", prior=Prior()).config.scheme == "published"  # type: ignore[arg-type]
    with pytest.raises(InputError, match="clearmr train noise2average"):
        method.load("paper")
    with pytest.raises(InputError, match="a scheme among default, published"):
        method.load("unheard-of", prior=Prior())  # type: ignore[arg-type]
    with pytest.raises(InputError, match="a denoiser that Noise2Average begins at"):
        method.load()
    with pytest.raises(InputError, match="--rounds"):
        denoiser(rounds=0)
    with pytest.raises(InputError, match="--work"):
        denoiser(resume=True)
    assert config.NetConfig().kind == "given"
