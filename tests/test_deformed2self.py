"""Deformed2Self as a denoiser: motion that is known, what must never happen, bad input."""

import dataclasses
import functools
import math

import pytest
import torch
from torch import Tensor

from clearmr import road
from clearmr.errors import InputError
from clearmr.methods.deformed2self import method, motion, presets, schemes
from clearmr.methods.deformed2self.config import NetConfig
from clearmr.methods.deformed2self.training import Course
from dynamic_series import SD, disc_series, image_of, joint, moved_series, rng, tiny


@pytest.mark.parametrize("left_out", ["single", "registration"])
def test_ablations_run(left_out: str) -> None:
    config = presets.tiny()
    net = dataclasses.replace(config.net, **{left_out: False})
    train = dataclasses.replace(config.train, steps=3, passes=1, held_out=0.0)
    made = dataclasses.replace(method.made(dataclasses.replace(config, net=net, train=train)), keep_fields=True)
    out = made.run(image_of(disc_series(3, 24)))
    assert out.fields is not None and out.fields.shape == (1, 3, 2, 2, 24, 24)
    assert bool((out.fields == 0).all()) == (left_out == "registration")


def test_joint_training_denoises_and_the_same_seed_gives_the_same_bits() -> None:
    clean = disc_series()
    noisy = image_of(clean + SD * torch.randn(clean.shape, generator=rng()))
    denoiser = tiny(steps=60, crop=0, learning_rate=4e-3)
    out = denoiser(noisy).image
    before, after = ((part[:, 0] - clean).square().mean() for part in (noisy.image, out))
    assert float(after) < 0.5 * float(before)
    again = torch.equal(tiny(steps=4)(noisy).image, tiny(steps=4)(noisy).image)
    other = torch.equal(tiny(steps=4)(noisy).image, dataclasses.replace(tiny(steps=4), seed=1)(noisy).image)
    assert again and not other


def test_pure_noise_leaves_nothing() -> None:
    noise = image_of(SD * torch.randn(6, 48, 48, generator=rng()))
    for denoiser in (joint(), tiny(steps=60)):
        left = denoiser(noise).image
        assert float(left.var()) < 0.05 * float(noise.image.var())


def test_one_training_per_target_frame() -> None:
    config = dataclasses.replace(presets.tiny(), scheme="target")
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, steps=2, passes=2, others=2))
    seen: list[tuple[int, int]] = []
    made = dataclasses.replace(method.made(config), progress=lambda done, total, **info: seen.append((done, total)))
    out = made(image_of(disc_series(4, 20) + SD * torch.randn(4, 20, 20, generator=rng())))
    assert out.meta["steps"][-1]["steps"] == [[2, 2, 2, 2]]
    assert seen[-1] == (16, 16) and [done for done, _ in seen[:-1]] == list(range(1, 17))


@pytest.mark.parametrize("kind", ["complex", "signed", "magnitude"])
def test_the_default_takes_any_kind_and_size_and_keeps_it(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(motion, "RegisterConfig", functools.partial(motion.RegisterConfig, steps=3))
    clean = torch.stack([disc_series(4, 33)[..., :29]] * 2, 1)
    noise = SD * torch.randn(2, *clean.shape, generator=rng())
    noisy = torch.complex(clean + noise[0], noise[1])
    noisy = {"complex": noisy, "signed": noisy.real.contiguous(), "magnitude": noisy.abs()}[kind]
    image = image_of(noisy)
    kept = noisy.clone()
    denoiser = dataclasses.replace(joint(), keep_fields=kind == "complex")
    out = denoiser.run(image)
    assert out.image.image.shape == noisy.shape and out.image.image.dtype == noisy.dtype
    assert torch.equal(image.image, kept)
    assert (out.fields is not None) == (kind == "complex")
    assert out.fields is None or out.fields.shape == (2, 4, 3, 2, 33, 29)
    before, after = ((part.abs() - clean).square().mean() for part in (noisy, out.image.image))
    assert float(after) < 0.5 * float(before)


def test_registration_finds_motion_that_is_known() -> None:
    series, fields, inside = moved_series()
    noisy = (series + 0.02 * torch.randn(series.shape, generator=rng())).clamp(0, 1)
    found = motion.register(noisy, motion.RegisterConfig(), Course())[0]
    still = motion.end_point_error(torch.zeros_like(found), fields[1:], inside)
    assert motion.end_point_error(found, fields[1:], inside) < 1 < still


def test_frames_that_do_not_move_have_no_motion() -> None:
    clean = disc_series(1, 32).expand(3, -1, -1)
    noisy = image_of(clean + 0.03 * torch.randn(clean.shape, generator=rng()), 0.03)
    out = dataclasses.replace(joint(), keep_fields=True).run(noisy)
    assert out.fields is not None and float(out.fields.abs().mean()) < 0.25
    assert float((out.image.image[:, 0] - clean).square().mean()) < 0.3 * 0.03**2


def test_a_budget_too_short_gives_the_best_so_far_and_says_so() -> None:
    noisy = image_of(disc_series() + SD * torch.randn(5, 48, 48, generator=rng()))
    for denoiser in (joint(), tiny(steps=100_000), method.load("paper")):
        small = dataclasses.replace(denoiser, budget_s=0.2)
        small = dataclasses.replace(small, config=dataclasses.replace(small.config, net=NetConfig(width=8, levels=2)))
        out = small(noisy)
        assert torch.isfinite(out.image).all() and "best so far" in out.meta["warnings"][-1]


def test_held_out_pixels_stop_a_training() -> None:
    """A learning rate that only does harm: the first check is the best, and patience ends it."""
    noisy = image_of(disc_series() + SD * torch.randn(5, 48, 48, generator=rng()))
    denoiser = tiny(steps=200, learning_rate=1.0, average_decay=0.0, check_every=5, patience=2)
    step = denoiser(noisy).meta["steps"][-1]
    assert step["stopped"] == [["held out"]] and step["steps"][0][0] < 100


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (torch.rand(1, 1, 16, 16), "2 frames"),
        (torch.rand(1, 20, 16, 16), "2 frames"),
        (torch.full((3, 1, 16, 16), math.nan), "finite"),
    ],
)
def test_bad_images_are_refused(values: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        joint()(image_of(values))


def test_bad_settings_are_refused() -> None:
    for changed in ({"strength": 2.0}, {"batch": 0}, {"precision": "half"}, {"along": "depth"}, {"budget_s": 0.0}):
        with pytest.raises(InputError):
            dataclasses.replace(joint(), **changed)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="scheme"):
        method.load("unheard-of")
    with pytest.raises(InputError, match="scratch"):
        method.load()


def test_frames_of_different_size_are_refused_and_others_joined() -> None:
    frames = [image_of(torch.rand(1, 16, 16)) for _ in range(3)]
    assert method.series_of(frames).image.shape == (3, 1, 16, 16)
    with pytest.raises(InputError, match="one size"):
        method.fit([*frames, image_of(torch.rand(1, 16, 17))], presets.tiny(), 0)


def test_constant_frames_are_left_alone_and_said() -> None:
    out = joint()(image_of(torch.full((3, 16, 16), 0.5)))
    assert bool((out.image == 0.5).all()) and "left as they are" in out.meta["warnings"][-1]


def test_strength_and_scale() -> None:
    noisy = image_of(disc_series(4, 32) + SD * torch.randn(4, 32, 32, generator=rng()))
    whole, half = joint()(noisy).image, dataclasses.replace(joint(), strength=0.5)(noisy).image
    torch.testing.assert_close(half, (whole + noisy.image) / 2)
    assert torch.equal(dataclasses.replace(joint(), strength=0.0)(noisy).image, noisy.image)
    larger = joint()(dataclasses.replace(noisy, image=noisy.image * 7, noise_sd=noisy.noise_sd * 7)).image
    torch.testing.assert_close(larger, whole * 7, atol=1e-3, rtol=1e-3)


def test_ticks_are_counted_before() -> None:
    assert schemes.ticks(presets.paper(), 10) == 10 * 4100
    assert schemes.ticks(dataclasses.replace(presets.tiny(), filters=(4,)), 10) == 45


def test_crops_where_memory_is_short() -> None:
    config = presets.paper()
    assert schemes.fitting(config, (224, 224), 3e9) == config
    small = schemes.fitting(config, (512, 400), 3e9).train.crop
    assert 224 <= small < 400 and small % 32 == 0
    assert schemes.fitting(config, (512, 400), 1e9).train.crop < small


def test_the_road_hands_in_the_shipped_network() -> None:
    made = road.denoiser("deformed2self", is_complex=False)
    assert isinstance(made, method.Deformed2Self) and made.prior is not None
    assert made.prior.name == "snraware-small-mag"
