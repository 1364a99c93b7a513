"""Deformed2Self: the equations against plain loops, motion that is known, what must never happen, bad input."""

import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from clearmr.bench import deformed2self as bench
from clearmr.denoiser import Denoiser
from clearmr.errors import InputError
from clearmr.methods.deformed2self import collaborative, draws, losses, method, model, motion, presets, rice, schemes
from clearmr.methods.deformed2self.config import LossConfig, NetConfig, TrainConfig
from clearmr.methods.deformed2self.training import Course
from clearmr.nets.motion import warp
from clearmr.scan import SnrImage

SD = 0.1


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def image_of(series: Tensor, sd: float = SD) -> SnrImage:
    """(T, y, x) or (T, z, y, x) with known noise."""
    values = series[:, None] if series.ndim == 3 else series
    return SnrImage(values, torch.full((1, 1, 1, 1), sd), torch.ones(1, 1, 1, 1), "given")


def disc_series(n_frames: int = 5, size: int = 48) -> Tensor:
    """A textured disc that beats: (T, y, x) in [0, 1]."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    frames = []
    for t in range(n_frames):
        radius = size / 4 + 2 * math.sin(2 * math.pi * t / n_frames)
        away = ((y - size / 2) ** 2 + (x - size / 2) ** 2).sqrt() / radius
        frames.append(0.15 + 0.6 * torch.sigmoid(12 * (1 - away)) * (0.8 + 0.2 * torch.cos(5 * away)))
    return torch.stack(frames)


def tiny(**changes: Any) -> method.Deformed2Self:
    config = presets.tiny()
    return method.made(dataclasses.replace(config, train=dataclasses.replace(config.train, **changes)))


class Smoother:
    """A prior that knows no motion: 3 x 3 means."""

    name = "smoother"

    def __call__(self, image: SnrImage) -> SnrImage:
        real = torch.view_as_real(image.image).movedim(-1, 1) if image.is_complex else image.image[:, None]
        flat = torch.nn.functional.avg_pool2d(real.flatten(0, 2)[:, None], 3, 1, 1, count_include_pad=False)
        back = flat.view(real.shape).movedim(1, -1).contiguous()
        return dataclasses.replace(image, image=torch.view_as_complex(back) if image.is_complex else back[..., 0])


def joint() -> method.Deformed2Self:
    prior: Denoiser = Smoother()
    return method.load(prior=prior)


def test_equations_3_and_5_are_means_over_dropped_pixels() -> None:
    denoised, noisy = torch.rand(2, 3, 2, 4, 5, generator=rng(1)), torch.rand(2, 3, 2, 4, 5, generator=rng(2))
    mask = (torch.rand(2, 3, 1, 4, 5, generator=rng(3)) > 0.3).float()
    total, count = 0.0, 0
    for b, k, c, y, x in torch.cartesian_prod(*map(torch.arange, (2, 3, 2, 4, 5))).tolist():
        if mask[b, k, 0, y, x] == 0:
            total += float((denoised[b, k, c, y, x] - noisy[b, k, c, y, x]) ** 2)
            count += 1
    assert float(losses.single_loss(denoised, noisy, mask)) == pytest.approx(total / count, rel=1e-5)
    own = float(losses.multi_loss(denoised[:, 0], noisy[:, 0], mask[:, 0]))
    assert own == pytest.approx(float(losses.single_loss(denoised[:, :1], noisy[:, :1], mask[:, :1])), rel=1e-6)
    assert float(losses.multi_loss(denoised[:, 0], noisy[:, 0], torch.ones(2, 1, 4, 5))) == 0


@pytest.mark.parametrize("crossed", [False, True])
def test_equation_4_is_similarity_and_smoothness(crossed: bool) -> None:
    warped, target = torch.rand(1, 2, 2, 1, 3, 4, generator=rng(1)), torch.rand(1, 2, 1, 3, 4, generator=rng(2))
    flow = torch.randn(1, 2, 2, 3, 4, generator=rng(3))
    similar, other, n = 0.0, 0.0, 2 * 2 * 3 * 4
    for k, j, y, x in torch.cartesian_prod(*map(torch.arange, (2, 2, 3, 4))).tolist():
        similar += float((warped[0, k, j, 0, y, x] - target[0, j, 0, y, x]) ** 2) / n
        other += float((warped[0, k, j, 0, y, x] - target[0, 1 - j, 0, y, x]) ** 2) / n
    rough = sum(float(flow.diff(dim=axis).square().mean()) for axis in (-1, -2))
    found = losses.registration_loss(warped, target, flow, smoothness=0.1, crossed=crossed)
    assert float(found) == pytest.approx(similar + crossed * other + 0.1 * rough, rel=1e-5)


def test_the_total_loss_is_the_weighted_sum() -> None:
    terms = losses.total_loss(*torch.tensor([1.0, 10.0, 100.0]), weights=LossConfig(single=2.0, registration=3.0))
    assert float(terms.total) == 2 + 30 + 100
    assert losses.mean_terms([terms, terms])["registration"] == 10


def test_the_paper_s_settings() -> None:
    config = presets.paper()
    train = config.train
    assert (train.others, train.steps, train.passes, train.mask, train.learning_rate) == (4, 4000, 100, 0.3, 1e-4)
    assert (config.net.width, config.net.levels, config.net.drop, train.clip) == (48, 5, 0.3, 100)
    assert (config.loss.single, config.loss.registration, config.loss.smoothness) == (1, 1, 0.1)
    assert config.scheme == "target" and not config.filters and not train.crop


def test_neighbours_in_the_middle_and_at_the_ends() -> None:
    assert draws.others_of(5, 10, 4) == (3, 4, 6, 7)
    assert draws.others_of(0, 10, 4) == (1, 2, 3, 4)
    assert draws.others_of(8, 10, 4) == (5, 6, 7, 9)
    assert draws.others_of(1, 3, 4) == (0, 2)


def test_masks_drop_their_share_and_shared_ones_agree() -> None:
    drawn = draws.draw((1, 2), (40, 50), TrainConfig(shared_mask=True, crop=32), rng(), others=2)
    assert drawn.masks.shape == (1, 3, 1, 32, 32) and torch.equal(drawn.masks[:, 0], drawn.mask)
    assert 0.25 < 1 - float(drawn.masks.mean()) < 0.35
    apart = draws.draw((1, 2), (40, 50), TrainConfig(), rng(), others=2)
    assert apart.size == (40, 50) and not torch.equal(apart.masks[:, 0], apart.mask)


def test_gradients_go_where_the_figure_says() -> None:
    """Equation 3 alone trains f_s, equation 4 alone f_r, equation 5 alone f_m."""
    net = model.build(NetConfig(width=4, levels=2), channels=1, others=2, seed=0)
    noisy, mask = torch.rand(1, 3, 1, 16, 16), torch.ones(1, 3, 1, 16, 16)
    mask[..., ::2] = 0
    for part, weights in (("single", (1, 0, 0)), ("registration", (0, 1, 0)), ("multi", (0, 0, 1))):
        net.zero_grad()
        stages = net(noisy, mask, mask[:, 0])
        config = LossConfig(*map(float, weights))
        model.losses_of(net, stages, noisy, mask, mask[:, 0], config).total.backward()
        moved = {name.split(".")[0] for name, p in net.named_parameters() if p.grad is not None and p.grad.any()}
        assert moved == {part}


def test_the_target_s_dropped_pixels_reach_no_output() -> None:
    """Where both masks agree, the result does not depend on a pixel that they drop."""
    config = NetConfig(width=4, levels=2, drop=0.0, registration=False)
    net = model.build(config, channels=1, others=2, seed=0)
    noisy, mask = torch.rand(1, 3, 1, 16, 16, generator=rng()), torch.ones(1, 3, 1, 16, 16)
    mask[:, 0, :, 5, 6] = 0
    changed = noisy.clone()
    changed[:, 0, :, 5, 6] += 1
    first, second = (net(part, mask, mask[:, 0]).multi for part in (noisy, changed))
    torch.testing.assert_close(first, second)


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
    made = dataclasses.replace(method.made(config), progress=lambda done, total: seen.append((done, total)))
    out = made(image_of(disc_series(4, 20) + SD * torch.randn(4, 20, 20, generator=rng())))
    assert out.meta["steps"][-1]["steps"] == [[2, 2, 2, 2]]
    assert seen[-1] == (16, 16) and [done for done, _ in seen[:-1]] == list(range(1, 17))


@pytest.mark.parametrize("kind", ["complex", "signed", "magnitude"])
def test_the_default_takes_any_kind_and_size_and_keeps_it(kind: str) -> None:
    clean = torch.stack([disc_series(4, 33)[..., :29]] * 2, 1)
    noise = SD * torch.randn(2, *clean.shape, generator=rng())
    noisy = torch.complex(clean + noise[0], noise[1])
    noisy = {"complex": noisy, "signed": noisy.real.contiguous(), "magnitude": noisy.abs()}[kind]
    image = image_of(noisy)
    kept = noisy.clone()
    denoiser = dataclasses.replace(joint(), keep_fields=True)
    out = denoiser.run(image)
    assert out.image.image.shape == noisy.shape and out.image.image.dtype == noisy.dtype
    assert torch.equal(image.image, kept)
    assert out.fields is not None and out.fields.shape == (2, 4, 3, 2, 33, 29)
    before, after = ((part.abs() - clean).square().mean() for part in (noisy, out.image.image))
    assert float(after) < 0.5 * float(before)


def test_the_filter_follows_the_known_noise() -> None:
    """Less noise told, less taken away; none told, nothing."""
    noisy = disc_series(4, 32)[:, None] + SD * torch.randn(4, 1, 32, 32, generator=rng())
    pilot = disc_series(4, 32)[:, None]
    told = [collaborative.filtered(noisy, pilot, torch.full_like(noisy, v)) for v in (1e-12, 1e-4, SD**2)]
    removed = [float((part - noisy).square().mean()) for part in told]
    assert removed[0] < removed[1] < removed[2] and removed[2] == pytest.approx(SD**2, rel=0.15)


def test_the_filter_is_the_linear_one_of_least_error() -> None:
    noisy, pilot = torch.randn(1, 12, 5, generator=rng(1)), torch.randn(1, 12, 5, generator=rng(2))
    variance = torch.full((1, 12, 5), 0.3)
    covariance = torch.cov(pilot[0].T)
    gain = covariance @ torch.linalg.inv(covariance + 0.3 * torch.eye(5))
    mean = noisy[0].mean(0)
    expected = mean + (noisy[0] - mean) @ gain.T
    torch.testing.assert_close(collaborative.estimate(noisy, pilot, variance)[0], expected, atol=1e-4, rtol=1e-4)


def test_long_series_are_filtered_in_overlapping_parts() -> None:
    parts = collaborative.parts_of(37)
    assert sorted({k for part in parts for k in range(37)[part]}) == list(range(37))
    assert all(part.stop - part.start == collaborative.FRAMES for part in parts)
    assert collaborative.parts_of(5) == [slice(0, 5)]


def test_rice_s_mean_and_variance() -> None:
    signal = torch.tensor([0.0, 1.0, 3.0, 20.0])
    noise = torch.randn(2, 200_000, 4, generator=rng())
    magnitude = torch.hypot(signal + noise[0], noise[1])
    corrected, variance = rice.as_gaussian(magnitude, signal.expand(magnitude.shape))
    torch.testing.assert_close(corrected.mean(0), signal, atol=0.01, rtol=0)
    torch.testing.assert_close(variance[0], magnitude.var(0), atol=0.01, rtol=0.01)
    torch.testing.assert_close(rice.signal_of_mean(magnitude.mean(0))[1:], signal[1:], atol=0.03, rtol=0)


def moved_series(size: int = 40) -> tuple[Tensor, Tensor, Tensor]:
    """Frames that show a texture at known displacements: series (T, 1, H, W), fields (T, 2, H, W) of frame 0 onto them.

    Frame t is frame 0 seen at p - d_t, so that frame t at p + d_t shows what frame 0 shows at p.
    """
    y, x = torch.meshgrid(torch.arange(float(size)), torch.arange(float(size)), indexing="ij")
    bump = torch.exp(-((y - size / 2) ** 2 + (x - size / 2) ** 2) / (2 * (size / 4) ** 2))
    texture = torch.randn(1, 1, size, size, generator=rng(5))
    for _ in range(6):
        texture = torch.nn.functional.avg_pool2d(texture, 5, 1, 2)
    still = (0.5 + 0.15 * texture / texture.std()) * bump
    shifts = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [-1.5, 1.5]])
    fields = shifts[:, :, None, None].expand(-1, -1, size, size).contiguous()
    return warp(still.expand(4, -1, -1, -1), -fields), fields, bump > 0.5


def test_registration_finds_motion_that_is_known() -> None:
    series, fields, inside = moved_series()
    noisy = (series + 0.02 * torch.randn(series.shape, generator=rng())).clamp(0, 1)
    found = motion.register(noisy, motion.RegisterConfig(), Course())[0]
    still = motion.end_point_error(torch.zeros_like(found), fields[1:], inside)
    assert motion.end_point_error(found, fields[1:], inside) < 1 < still


def test_frames_that_do_not_move_have_no_motion() -> None:
    clean = disc_series(1).expand(4, -1, -1)
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


def test_the_benchmark_s_two_ways_are_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "SIZE", 32)
    config = dataclasses.replace(presets.paper(), net=NetConfig(width=6, levels=2, drop=0.0))
    net = model.build(config.net, channels=1, others=4, seed=0)
    own, plain = bench.batched(net, config, bf16=False), bench.frame_by_frame(net, config)
    torch.testing.assert_close(own, plain)


def test_crops_where_memory_is_short() -> None:
    config = presets.paper()
    assert schemes.fitting(config, (224, 224), 3e9) == config
    small = schemes.fitting(config, (512, 400), 3e9).train.crop
    assert 224 <= small < 400 and small % 32 == 0
    assert schemes.fitting(config, (512, 400), 1e9).train.crop < small
