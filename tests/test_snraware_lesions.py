"""Lesions put into clean patches: where, how large, how bright."""

import dataclasses

import pytest
import torch

from clearmr.methods.snraware import config, lesions, pairs, patches


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _flat(level: float = 100.0, shape: tuple[int, int, int] = (6, 32, 32)) -> torch.Tensor:
    phase = torch.polar(torch.ones(()), torch.linspace(0, 3, shape[-1]))
    return level * phase.expand(shape).clone()


@pytest.mark.parametrize("seed", range(6))
def test_lesions_have_the_contrast_and_the_phase_that_they_should(seed: int) -> None:
    clean, sd = _flat(), torch.full((1, 32, 32), 2.0)
    sd[..., 16:] = 4.0
    before = clean.clone()
    changed = lesions.inserted(clean, sd, _generator(seed))
    assert torch.equal(clean, before)
    added = changed.abs() - clean.abs()
    touched = added.abs() > 0.1
    assert 0 < float(touched.float().mean()) < 0.7
    assert float(added.abs().max()) <= lesions.CONTRAST[1] * 4.0 + 1e-3
    assert float(added.abs().max()) >= 0.9 * lesions.CONTRAST[0] * 2.0 * 0.6  # the smallest ball's centre
    assert torch.allclose(torch.angle(changed * clean.conj()), torch.zeros(()), atol=1e-4)


def test_lesions_stay_in_the_body_and_above_zero() -> None:
    clean = _flat(1.0)
    clean[:, :, 16:] = 0
    for seed in range(20):
        changed = lesions.inserted(clean, torch.ones(1, 1, 1).expand(1, 32, 32), _generator(seed))
        assert torch.equal(changed[:, :, 16:], clean[:, :, 16:])
        assert bool((torch.real(changed * clean.conj()) >= -1e-6).all())


def test_some_go_through_all_frames_and_some_do_not() -> None:
    through = []
    for seed in range(40):
        added = (lesions.inserted(_flat(), torch.ones(1, 32, 32), _generator(seed)) - _flat()).abs()
        through.append(bool(torch.allclose(added[0], added[-1])) and bool(torch.allclose(added[0], added[3])))
    assert 0.25 < sum(through) / len(through) < 0.75


@pytest.mark.parametrize("order", ["filter-then-g", "g-then-filter"])
def test_the_target_of_a_pair_has_the_lesions(order: str) -> None:
    noise = config.NoiseConfig(order=order)  # type: ignore[arg-type]
    data = config.DataConfig(patch=(2, 16, 16), single_frame_probability=0.0, magnitude_probability=0.0, synthetic=0.0)
    series = [patches.Series(torch.ones(1, 40, 40), 0.0)]

    def targets(share: float) -> torch.Tensor:
        chosen = config.SnrAwareConfig(noise=noise, data=dataclasses.replace(data, lesions=share))
        made = pairs.Samples(patches.PatchSampler(series, [], chosen.data), torch.ones(2, 48, 48), chosen, 0)
        return torch.stack([made(step, 0)[1] for step in range(12)])

    without, with_them = targets(0.0), targets(1.0)
    changed = (without != with_them).flatten(1).any(1)
    assert float(changed.float().mean()) > 0.8
