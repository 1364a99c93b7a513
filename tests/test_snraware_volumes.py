"""Boxes cut from volumes: where they come from, what they keep, and how patches use them."""

import dataclasses

import pytest
import torch

from clearmr.methods.snraware import config, pairs, patches, volumes
from clearmr.scan import SnrImage

ONE = torch.ones(1, 1, 1, 1)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _image(shape: tuple[int, ...], spacing: tuple[float, float, float]) -> SnrImage:
    return SnrImage(torch.rand(shape, generator=_generator()), ONE, ONE, "given", spacing=spacing)


def test_a_fine_volume_is_blurred_and_a_coarse_one_kept() -> None:
    fine = volumes.clean_volumes(_image((1, 40, 40, 40), (0.7, 0.7, 0.7)))
    (coarse,) = volumes.clean_volumes(_image((1, 40, 40, 40), (2.0, 2.0, 2.0)))
    assert len(fine) == len(volumes.BLURS)
    assert [float(v.values.std()) for v in fine] == sorted((float(v.values.std()) for v in fine), reverse=True)
    assert max(float(v.values.std()) for v in fine) < 0.7 * float(coarse.values.std())


def test_stacks_series_and_complex_images_are_no_volumes() -> None:
    image = _image((1, 8, 40, 40), (1.0, 1.0, 1.0))
    assert volumes.clean_volumes(image) == []
    whole = _image((1, 40, 40, 40), (1.0, 1.0, 1.0))
    assert volumes.clean_volumes(dataclasses.replace(whole, image=whole.image.to(torch.complex64))) == []


def test_the_frames_of_a_volume_are_averaged() -> None:
    repeats = _image((4, 20, 20, 20), (2.0, 2.0, 2.0))
    (volume,) = volumes.clean_volumes(repeats)
    mean = repeats.image.mean(0)
    ratio = volume.values / mean
    assert torch.allclose(ratio, ratio.flatten()[0].expand_as(ratio), rtol=1e-4)


def test_a_box_of_a_linear_volume_is_linear_with_the_step_drawn() -> None:
    """Inside, interpolation is exact for a plane: one gradient everywhere, of length step over spacing."""
    axis = torch.arange(200.0)
    plane = (axis[:, None, None] + torch.zeros(200, 200, 200)) / 200
    volume = volumes.Volume(plane, (1.0, 1.0, 1.0))
    boxes = [volumes.box(volume, 6, (16, 16), _generator(seed)) for seed in range(30)]
    whole = [box for box in boxes if float(box.min()) > 0.05 and float(box.max()) < 0.95]
    assert len(whole) > 5
    for box in whole:
        gradients = [torch.diff(box, dim=dim) for dim in range(3)]
        assert all(torch.allclose(g, g.flatten()[0].expand_as(g), atol=2e-6) for g in gradients)
        length = 200 * float(torch.stack([g.flatten()[0] for g in gradients]).norm())
        assert volumes.STEPS_OF_FINE[0] * 0.99 <= length <= volumes.STEPS_OF_FINE[1] * volumes.THICK * 1.01


def test_boxes_differ_by_draw_and_repeat_by_seed() -> None:
    (volume,) = volumes.leaf_volumes(_generator(), 1)
    first, again, other = (volumes.box(volume, 4, (16, 16), _generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_leaf_volumes_have_structure_in_all_three_directions() -> None:
    (volume,) = volumes.leaf_volumes(_generator(3), 1)
    assert float(volume.values.min()) >= 0 and float(volume.values.max()) <= 1
    for dim in range(3):
        steps = torch.diff(volume.values, dim=dim).abs()
        assert float(steps.max()) > 0.1 and float((steps < 0.01).float().mean()) > 0.5


def _samples(share: float, **data: float) -> pairs.Samples:
    made = config.SnrAwareConfig(
        net=config.NetConfig(image="magnitude"),
        data=config.DataConfig(patch=(4, 16, 16), single_frame_probability=0.0, volumes=share, synthetic=0.0, **data),
        noise=config.NoiseConfig(gaussian_probability=0.0, partial_fourier_probability=0.0, resolution=(1.0,)),
    )
    flat = volumes.Volume(torch.ones(40, 40, 40), (1.0, 1.0, 1.0))
    series = patches.Series(torch.zeros(1, 40, 40), 0.0)
    sampler = patches.PatchSampler([series], [], made.data, volumes=[flat])
    return pairs.Samples(sampler, torch.ones(1, 64, 64), made, 0)


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0.0), (1.0, 1.0)])
def test_the_share_of_volumes_is_kept(share: float, expected: float) -> None:
    samples = _samples(share)
    bright = [float(samples(step, 0)[1].amax()) > 0 for step in range(20)]
    assert sum(bright) / len(bright) == expected


def test_signed_patches_have_gaussian_noise_of_the_told_sd() -> None:
    samples = _samples(1.0, signed=1.0)
    deviations = []
    for step in range(60):
        inputs, target = samples(step, 0)
        deviations.append(((inputs[:, :1] - target) / inputs[:, 1:])[0])
    noise_units = torch.stack(deviations)
    assert abs(float(noise_units.mean())) < 0.01
    assert abs(float(noise_units.std()) - 1) < 0.01
    assert abs(float(noise_units.square().mean() * 3 - noise_units.pow(4).mean() / noise_units.square().mean())) < 0.15


def test_unsigned_patches_are_magnitudes() -> None:
    samples = _samples(1.0, signed=0.0)
    assert all(float(samples(step, 0)[0].min()) >= 0 for step in range(10))
