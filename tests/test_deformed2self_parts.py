"""Deformed2Self: the equations against plain loops, where gradients go."""

import dataclasses

import pytest
import torch

from clearmr.bench import deformed2self as bench
from clearmr.methods.deformed2self import draws, losses, model, presets
from clearmr.methods.deformed2self.config import LossConfig, NetConfig, TrainConfig
from dynamic_series import rng


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


def test_the_benchmark_s_two_ways_are_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "SIZE", 32)
    config = dataclasses.replace(presets.paper(), net=NetConfig(width=6, levels=2, drop=0.0))
    net = model.build(config.net, channels=1, others=4, seed=0)
    own, plain = bench.batched(net, config, bf16=False), bench.frame_by_frame(net, config)
    torch.testing.assert_close(own, plain)
