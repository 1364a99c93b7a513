"""The engine of fine-tuning: blocks, turns, weights, held-out blocks, the best epoch."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from clearmr.errors import InputError
from clearmr.train import blocks, fine_tuning
from clearmr.train.fine_tuning import Case, FineTuning, fine_tuned, predicted


class Gain(nn.Module):
    """The first channel times one number."""

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :1] * self.value


class Neighbour(nn.Module):
    """What lies one voxel to the right (zero beyond the border)."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x[..., 1:], torch.zeros_like(x[..., :1])], -1)


def volume(n: int = 12, seed: int = 0, channels: int = 1) -> Tensor:
    return torch.randn(channels, n, n, n, generator=torch.Generator().manual_seed(seed))


def case(target_gain: float = 2.0, n: int = 12) -> Case:
    x = volume(n)
    return Case(x, target_gain * x, torch.ones(n, n, n))


def test_turned_back_undoes_every_turn() -> None:
    x = torch.arange(2 * 3 * 4 * 5.0).view(2, 3, 4, 5)
    for order in itertools.permutations(range(3)):
        for mirror in blocks.MIRRORS:
            turn = (order, mirror)
            assert torch.equal(blocks.turned_back(blocks.turned(x, turn), turn), x)  # type: ignore[arg-type]
    assert blocks.turned(x, ((2, 0, 1), ())).shape == (2, 5, 3, 4)


def test_blocks_cover_the_box_round_the_mask_evenly_and_nothing_far_from_it() -> None:
    weight = torch.zeros(20, 20, 40)
    weight[2:18, 3:5, 5:35] = 1
    found = blocks.blocks_of(weight, (8, 8, 8))
    covered = torch.zeros_like(weight)
    for box in found:
        assert all(s.stop - s.start == 8 for s in box)
        covered[box] = 1
    assert bool((covered[weight > 0] == 1).all())
    assert sorted({b[2].start for b in found}) == [5, 12, 20, 27]
    assert not covered[:, :, :5].any() and not covered[:, :, 35:].any()


def test_a_volume_smaller_than_a_block_is_one_block() -> None:
    assert blocks.blocks_of(torch.ones(5, 6, 7), (64, 64, 64)) == [(slice(0, 5), slice(0, 6), slice(0, 7))]


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(InputError, match="mask with voxels inside"):
        blocks.blocks_of(torch.zeros(4, 4, 4), (2, 2, 2))


@pytest.mark.parametrize(("n", "share", "held"), [(10, 0.2, 2), (3, 0.2, 1), (1, 0.2, 0), (10, 0.0, 0), (2, 0.9, 1)])
def test_a_share_of_the_blocks_is_held_out(n: int, share: float, held: int) -> None:
    boxes = [(slice(k, k + 1),) * 3 for k in range(n)]
    kept, out = blocks.split_blocks(boxes, share, 3)
    assert len(out) == held and len(kept) == n - held
    assert not {str(b) for b in kept} & {str(b) for b in out}


@pytest.mark.parametrize(("tile", "fade"), [((0, 0, 0), 0), ((5, 6, 7), 0), ((6, 6, 6), 3), ((64, 64, 64), 4)])
def test_what_an_identity_predicts_is_the_volume(tile: tuple[int, int, int], fade: int) -> None:
    config = FineTuning(block=(5, 5, 5), tile=tile, fade=fade)
    torch.testing.assert_close(predicted(nn.Identity(), volume(channels=2), config), volume(channels=2))


def test_the_prediction_is_the_mean_over_the_mirrored_volume_too() -> None:
    x = volume()
    right, left = torch.zeros_like(x), torch.zeros_like(x)
    right[..., :-1], left[..., 1:] = x[..., 1:], x[..., :-1]
    whole = FineTuning(block=(12, 12, 12))
    torch.testing.assert_close(predicted(Neighbour(), x, whole), (right + left) / 2)
    torch.testing.assert_close(predicted(Neighbour(), x, FineTuning(block=(12, 12, 12), flips=False)), right)


def test_turns_average_over_every_axis() -> None:
    config = FineTuning(block=(12, 12, 12), turns=True, views=3)
    x = volume()
    means = [torch.zeros_like(x) for _ in range(3)]
    for turn, mean in zip(blocks.views_of(config), means, strict=True):
        mean += blocks.turned_back(Neighbour()(blocks.turned(x, turn)), turn)
    torch.testing.assert_close(predicted(Neighbour(), x, config), sum(means) / 3)  # type: ignore[arg-type]
    assert {turn[0][0] for turn in blocks.views_of(config)} == {0, 1, 2}


def test_a_residual_is_added_to_the_input() -> None:
    x = volume()
    torch.testing.assert_close(predicted(Gain(0.5), x, FineTuning(block=(12, 12, 12)), residual=True), 1.5 * x)


def test_it_learns_and_leaves_the_given_network_alone() -> None:
    net = Gain(0.0)
    config = FineTuning(block=(6, 6, 6), epochs=40, learning_rate=0.05)
    tuned = fine_tuned(net, [case()], config, seed=0)
    assert float(tuned.net.value.detach()) == pytest.approx(2.0, abs=0.1)  # type: ignore[arg-type]
    assert float(net.value.detach()) == 0.0 and not tuned.net.training
    assert len(tuned.train) == len(tuned.validation) == 40
    assert tuned.train[0] > 10 * tuned.train[-1]


def test_nothing_is_learned_where_there_is_no_weight() -> None:
    weight = torch.zeros(12, 12, 12)
    weight[:, :, :6] = 1
    x = volume()
    wrong = 2 * x
    wrong[..., 6:] = 1e3
    config = FineTuning(block=(12, 12, 12), epochs=80, learning_rate=0.1, flips=False)
    one, other = (fine_tuned(Gain(), [Case(x, t, weight)], config, seed=0).net for t in (2 * x, wrong))
    assert float(one.value) == float(other.value) == pytest.approx(2.0, abs=0.2)  # type: ignore[arg-type]
    two = fine_tuning.weighted_error(torch.ones(1, 2, 3, 3, 3), torch.zeros(1, 2, 3, 3, 3), torch.ones(1, 3, 3, 3))
    assert float(two) == 1
    half = fine_tuning.weighted_error(x[None], torch.zeros_like(x)[None], weight[None])
    assert float(half) == pytest.approx(float(x[..., :6].square().mean()), rel=1e-5)


def test_the_best_epoch_is_kept_not_the_last() -> None:
    config = FineTuning(block=(6, 6, 6), epochs=25, learning_rate=0.9)  # so large that it swings round the target
    tuned = fine_tuned(Gain(), [case()], config, seed=1)
    assert tuned.best == 1 + min(range(25), key=lambda k: tuned.validation[k]) and tuned.best < 25
    error = (float(tuned.net.value.detach()) - 2.0) ** 2  # type: ignore[arg-type]
    assert error * float(case().inputs.square().mean()) == pytest.approx(min(tuned.validation), rel=0.3, abs=1e-6)


def test_held_out_blocks_are_not_learned_from() -> None:
    x, weight = volume(), torch.ones(12, 12, 12)
    config = FineTuning(block=(6, 6, 6), epochs=1, learning_rate=0.1)
    held = blocks.split_blocks(blocks.blocks_of(weight, config.block), config.validation, 5)[1]
    other = 2 * x
    for box in held:
        other[(slice(None), *box)] = -100.0
    nets = [fine_tuned(Gain(), [Case(x, t, weight)], config, seed=5).net for t in (2 * x, other)]
    assert float(nets[0].value) == float(nets[1].value) != 0.0  # type: ignore[arg-type]


def test_flips_double_the_blocks_of_an_epoch() -> None:
    counts = []
    for flips in (True, False):
        n = [0]

        def tick(n: list[int] = n) -> None:
            n[0] += 1

        fine_tuned(Gain(), [case(), case()], FineTuning(block=(6, 6, 6), epochs=1, flips=flips), seed=0, tick=tick)
        counts.append(n[0])
    assert counts == [2 * 2 * 6, 2 * 6]


def test_half_of_an_epoch_is_mirrored() -> None:
    seen = []

    class Seeing(Gain):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.detach().clone())
            return super().forward(x)

    x = volume(4)
    config = FineTuning(block=(4, 4, 4), epochs=1, flip_axis=1)
    fine_tuned(Seeing(), [Case(x, x, torch.ones(4, 4, 4))], config, seed=0)
    assert {torch.equal(s[0], x) for s in seen} == {True, False}
    assert all(torch.equal(s[0], x) or torch.equal(s[0], x.flip(2)) for s in seen)


def test_steps_go_through_the_blocks_again_and_again() -> None:
    n = [0]

    def tick() -> None:
        n[0] += 1

    fine_tuned(Gain(), [case()], FineTuning(block=(6, 6, 6), epochs=2, steps=17, turns=True), seed=0, tick=tick)
    assert n[0] == 34


def test_what_is_made_fresh_is_learned_and_the_same_seed_gives_the_same_bits() -> None:
    def fresh(x: Tensor, t: Tensor, g: torch.Generator) -> tuple[Tensor, Tensor]:
        return x, 3 * x + 0.1 * torch.randn(x.shape, generator=g)

    config = FineTuning(block=(6, 6, 6), epochs=30, learning_rate=0.1, turns=True, average_decay=0.5)
    nets = [fine_tuned(Gain(), [case()], config, seed=s, fresh=fresh).net for s in (4, 4, 5)]
    assert float(nets[0].value) == pytest.approx(3.0, abs=0.2)  # type: ignore[arg-type]
    assert torch.equal(nets[0].value, nets[1].value) and not torch.equal(nets[0].value, nets[2].value)  # type: ignore[arg-type]


def test_what_is_kept_is_the_running_mean_of_the_weights() -> None:
    config = FineTuning(block=(12, 12, 12), epochs=1, flips=False, learning_rate=0.1)
    averaged = FineTuning(block=(12, 12, 12), epochs=1, flips=False, learning_rate=0.1, average_decay=0.9)
    last, mean = (float(fine_tuned(Gain(), [case()], c, seed=0).net.value.detach()) for c in (config, averaged))  # type: ignore[arg-type]
    assert mean == pytest.approx(0.9 * last) and last > 0  # after one step a tenth of what was


def test_statistics_of_a_batch_norm_are_kept_with_the_weights() -> None:
    class Normed(Gain):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm3d(1)

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(self.norm(x))

    shifted = Case(5 + volume(), volume(), torch.ones(12, 12, 12))
    tuned = fine_tuned(Normed(), [shifted], FineTuning(block=(6, 6, 6), epochs=2), seed=0)
    assert float(tuned.net.norm.running_mean) > 3  # type: ignore[arg-type, union-attr]


def test_validation_is_of_all_held_out_voxels_by_their_weight_and_the_same_at_each_epoch() -> None:
    x = volume()
    target, weight = x.clone(), torch.ones(12, 12, 12)
    target[..., 6:], weight[..., 6:] = 9 * x[..., 6:], 0.1
    config = FineTuning(block=(6, 6, 6), epochs=3, learning_rate=0.0, validation=0.5)

    def fresh(x: Tensor, t: Tensor, g: torch.Generator) -> tuple[Tensor, Tensor]:
        return x, t + 0.01 * torch.randn(t.shape, generator=g)

    found = fine_tuned(Gain(), [Case(x, target, weight)], config, seed=2, fresh=fresh).validation
    held = torch.zeros(12, 12, 12)
    for box in blocks.split_blocks(blocks.blocks_of(weight, config.block), 0.5, 2)[1]:
        held[box] = weight[box]
    expected = fine_tuning.weighted_error(torch.zeros_like(target)[None], target[None], held[None])
    assert len(set(found)) == 1 and found[0] == pytest.approx(float(expected), rel=0.01)


def test_a_batch_that_is_not_full_is_learned_from_too() -> None:
    n = [0]

    def tick() -> None:
        n[0] += 1

    fine_tuned(Gain(), [case()], FineTuning(block=(6, 6, 6), epochs=1, flips=False, batch=4), seed=0, tick=tick)
    assert n[0] == 2  # of six blocks


def test_patience_and_time_stop_it() -> None:
    flat = Case(volume(), torch.zeros(1, 12, 12, 12), torch.ones(12, 12, 12))  # nothing to learn: never better
    stopped = fine_tuned(Gain(), [flat], FineTuning(block=(6, 6, 6), epochs=50, patience=3, learning_rate=0.1), seed=0)
    assert len(stopped.train) < 50
    late = fine_tuned(Gain(), [case()], FineTuning(block=(6, 6, 6)), seed=0, late=lambda: True)
    assert late.late and late.train == () and float(late.net.value.detach()) == 0.0  # type: ignore[arg-type]


@pytest.mark.parametrize(("length", "side", "fade"), [(181, 88, 8), (217, 96, 8), (20, 7, 0), (20, 8, 3), (9, 9, 2)])
def test_blocks_of_a_prediction_cover_it_and_fade_over_what_they_share(length: int, side: int, fade: int) -> None:
    found = [box[0] for box in blocks._covering((length, 4, 4), (side, 4, 4), fade)]
    assert found[0].start == 0 and found[-1].stop == length
    assert all(s.stop - s.start <= side for s in found)
    assert all(a.stop - b.start >= fade for a, b in itertools.pairwise(found))
    if fade:
        assert sum(s.stop - s.start for s in found) <= length + len(found) * (fade + 8)
        assert all((s.stop - s.start) % 8 == 0 for s in found) or len(found) == 1
