"""Noise2Noise on repeats: what each repeat is taught, what comes back, and what is refused."""

import pytest
import torch
from torch import Tensor, nn

from clearmr.baselines import noise2noise
from clearmr.baselines.noise2noise import Noise2Noise
from clearmr.errors import InputError
from clearmr.scan import SnrImage
from clearmr.simulate import rician_noise
from clearmr.train.fine_tuning import Case, FineTuning, Tuned

ONE = torch.ones(1, 1, 1, 1)
TUNING = FineTuning(block=(8, 8, 8), epochs=2, learning_rate=1e-2, validation=0.0, flips=False)
SIZE = (10, 12, 14)


class Mix(nn.Module):
    """a image + c: it can learn to be anything that is as simple."""

    def __init__(self, a: float = 1.0, c: float = 0.0) -> None:
        super().__init__()
        self.a, self.c = nn.Parameter(torch.tensor(a)), nn.Parameter(torch.tensor(c))

    def forward(self, x: Tensor) -> Tensor:
        return self.a * x[:, :1] + self.c


def image(values: Tensor, sd: float = 0.5) -> SnrImage:
    return SnrImage(values, sd * ONE, ONE, "given")


def smooth(seed: int = 0, frames: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, frames, 4, 4, 4, generator=generator)
    return 10 + 10 * torch.nn.functional.interpolate(coarse, SIZE, mode="trilinear")[0]


def noisy(clean: Tensor, seed: int, sd: float = 0.5) -> SnrImage:
    return rician_noise(clean, sd, torch.Generator().manual_seed(seed))


def cases_of(monkeypatch: pytest.MonkeyPatch, *images: SnrImage, **more: Tensor) -> list[Case]:
    """What the network would be taught."""
    seen: list[Case] = []

    def tuned(net: nn.Module, cases: list[Case], *_: object, **__: object) -> Tuned:
        seen.extend(cases)
        return Tuned(net, (0.0,), (), 1)

    monkeypatch.setattr(noise2noise, "fine_tuned", tuned)
    Noise2Noise(Mix(), TUNING).of_repeats(images, **more)  # type: ignore[arg-type]
    return seen


def test_each_repeat_is_taught_every_other_one_frame_by_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [noisy(smooth(frames=2), k) for k in range(3)]
    seen = cases_of(monkeypatch, *images)
    assert len(seen) == 3 * 2 * 2  # repeats, frames, others
    first = seen[0]
    assert torch.allclose(first.inputs[0], images[0].image[0] / 0.5)  # in units of the noise SD
    assert torch.allclose(first.inputs[1], torch.ones(SIZE))  # and told of it
    for case, other in zip(seen[:2], images[1:], strict=True):
        # the other repeat, whose mean and SD differ a little by its noise
        assert torch.corrcoef(torch.stack([case.target.flatten(), other.image[0].flatten()]))[0, 1] > 0.99999
        assert not torch.allclose(case.target[0], first.inputs[0], atol=0.5)
    assert torch.equal(first.weight, torch.ones(SIZE))


def test_targets_are_as_bright_as_the_repeat_inside_the_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = torch.zeros(SIZE)
    mask[2:8, 2:9, 3:11] = 1
    clean = smooth()
    first, second = image(clean), image(1.2 * clean + 3)
    second = image(torch.where(mask > 0, second.image, 500.0))  # outside, anything
    seen = cases_of(monkeypatch, first, second, mask=mask)
    inside = mask > 0
    assert torch.allclose(seen[0].target[0][inside], (clean[0] / 0.5)[inside], atol=1e-3)
    assert torch.allclose(seen[1].target[0][inside], (second.image[0] / 0.5)[inside], atol=1e-3)
    assert torch.equal(seen[0].weight, mask)


def test_a_reference_is_the_target_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    clean = smooth()
    seen = cases_of(monkeypatch, noisy(clean, 1), noisy(clean, 2), reference=clean)
    assert len(seen) == 2
    assert all(torch.allclose(case.target, clean / 0.5) for case in seen)
    assert len(cases_of(monkeypatch, noisy(clean, 1), reference=clean)) == 1  # one repeat is enough then


def test_the_result_is_the_mean_of_the_denoised_repeats() -> None:
    clean = smooth()
    images = [noisy(clean, k) for k in (1, 2)]
    start = Mix()
    made = Noise2Noise(start, TUNING, unbiased=False).of_repeats(images)
    assert start.a.item() == 1.0  # the caller's network is left alone
    assert torch.allclose(made.average.image, (made.each[0].image + made.each[1].image) / 2)
    assert made.average.noise_sd.max() == pytest.approx(0.5 / 2**0.5)
    step = made.each[0].meta["steps"][-1]
    assert step["method"] == "noise2noise" and step["epochs"] == 2
    assert len(made.train) == 2
    again = Noise2Noise(Mix(), TUNING, unbiased=False).of_repeats(images)
    assert torch.equal(made.average.image, again.average.image)


def test_rice_bias_is_taken_off_what_was_learned() -> None:
    clean = torch.full((1, *SIZE), 1.0)
    images = [noisy(clean, k, sd=1.0) for k in (1, 2)]
    net, slow = Mix(a=0.0, c=1.0), FineTuning(block=(10, 12, 14), epochs=300, learning_rate=0.02, validation=0.0)
    found = {u: Noise2Noise(net, slow, unbiased=u).of_repeats(images).average.image.mean() for u in (True, False)}
    assert float(found[False]) == pytest.approx(1.5486, abs=0.04)  # mean of |1 + n| (Rice)
    assert float(found[True]) == pytest.approx(1.0, abs=0.08)


def test_what_learned_from_a_reference_has_no_rice_bias_to_take_off() -> None:
    clean = torch.full((1, *SIZE), 1.0)
    made = [
        Noise2Noise(Mix(a=0.0, c=1.0), TUNING, unbiased=u).of_repeats([noisy(clean, 1, sd=1.0)], reference=clean)
        for u in (True, False)
    ]
    assert torch.equal(made[0].average.image, made[1].average.image)


def test_a_residual_network_is_taught_the_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Case] = []

    def tuned(net: nn.Module, cases: list[Case], *_: object, **__: object) -> Tuned:
        seen.extend(cases)
        return Tuned(net, (0.0,), (), 1)

    monkeypatch.setattr(noise2noise, "fine_tuned", tuned)
    clean = smooth()
    images = (noisy(clean, 1), noisy(clean, 2))
    made = Noise2Noise(Mix(a=0.0), TUNING, residual=True, told=False, unbiased=False).of_repeats(
        images, reference=clean
    )
    assert seen[0].inputs.shape[0] == 1
    assert torch.allclose(seen[0].target + seen[0].inputs, clean / 0.5, atol=1e-4)
    assert torch.allclose(made.each[0].image, images[0].image, atol=1e-4)  # a residual of 0 changes nothing


def test_it_refuses() -> None:
    clean, made = smooth(), Noise2Noise(Mix(), TUNING)
    one = noisy(clean, 1)
    with pytest.raises(InputError, match="two or more repeats"):
        made(one)
    with pytest.raises(InputError, match="two or more repeats"):
        made.of_repeats([one])
    with pytest.raises(InputError, match="one shape"):
        made.of_repeats([one, image(clean[:, :5])])
    with pytest.raises(InputError, match="complex"):
        made.of_repeats([one, image(clean.to(torch.complex64))])
    with pytest.raises(InputError, match="noise_sd"):
        made.of_repeats([image(clean, 0.0), image(clean, 0.0)])
    with pytest.raises(InputError, match="empty"):
        made.of_repeats([one, one], mask=torch.zeros(SIZE))
    with pytest.raises(InputError, match="reference of shape"):
        made.of_repeats([one, one], reference=clean[:, :5])
