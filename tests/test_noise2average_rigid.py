"""Small motions: noise stays white, what was moved is found again; repeats that lie apart are refused or registered."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform, gaussian_filter
from scipy.spatial.transform import Rotation
from torch import Tensor

from clearmr.errors import InputError
from clearmr.methods.noise2average import alignment, rigid
from clearmr.methods.noise2average.rigid import Motion
from clearmr.scan import SnrImage

ONE = torch.ones(1, 1, 1, 1)


def blobs(n: int = 40, seed: int = 0) -> Tensor:
    """A smooth volume with structure in all directions, dark at its borders."""
    values = gaussian_filter(np.random.default_rng(seed).normal(size=(n, n, n)), 2.5)
    axis = np.hanning(n)
    return torch.from_numpy((values / values.std() + 3) * axis[:, None, None] * axis[:, None] * axis).float()


def image(volume: Tensor, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> SnrImage:
    return SnrImage(volume[None], 0.05 * ONE, ONE, "given", spacing)


def test_white_noise_stays_white_and_of_its_sd() -> None:
    noise = torch.randn(30, 33, 36, generator=torch.Generator().manual_seed(0))
    moved = rigid.moved(noise, Motion((0.5, -0.3, 0.4), (1.0, -0.7, 0.5)))
    inner = moved[4:-4, 4:-4, 4:-4]
    assert float(inner.std()) == pytest.approx(float(noise[4:-4, 4:-4, 4:-4].std()), rel=0.04)
    neighbours = float((inner[1:] * inner[:-1]).mean())
    assert abs(neighbours - float((noise[5:-4, 4:-4, 4:-4] * noise[4:-5, 4:-4, 4:-4]).mean())) < 0.03


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.5, 1.0, 0.8)])
def test_moved_is_a_rotation_about_the_centre_and_a_shift(spacing: tuple[float, float, float]) -> None:
    motion = Motion((0.6, -0.4, 0.3), (2.0, -1.5, 1.0))
    volume = blobs()
    turn = Rotation.from_euler("XYZ", motion.rotation, degrees=True).as_matrix()
    scale, centre = np.diag(spacing), (np.array(volume.shape) - 1) / 2
    matrix = np.linalg.inv(scale) @ turn @ scale
    offset = centre - matrix @ centre + np.linalg.inv(scale) @ turn @ np.array(motion.shift)
    wanted = affine_transform(volume.numpy(), matrix, offset=offset, order=5, mode="nearest")
    found = rigid.moved(volume, motion, spacing=spacing).numpy()
    inner = (slice(5, -5),) * 3
    assert np.abs(found - wanted)[inner].max() < 0.01 * np.ptp(wanted)


def test_nothing_moved_is_the_volume_itself() -> None:
    assert torch.equal(rigid.moved(blobs(), Motion()), blobs())


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.5, 1.0, 0.8)])
def test_motion_between_repeats_is_measured_whatever_their_brightness(spacing: tuple[float, float, float]) -> None:
    motion, volume = Motion((0.5, -0.3, 0.4), (0.6, -0.4, 0.5)), blobs(48)
    other = 2.5 * rigid.moved(volume, motion, spacing=spacing) + 7
    found = rigid.measured([volume, other], torch.ones(volume.shape), spacing=spacing)
    total = np.array(found[1].vector()) - np.array(found[0].vector())
    np.testing.assert_allclose(-total, motion.vector(), atol=0.03)
    np.testing.assert_allclose(np.sum([m.vector() for m in found], 0), 0, atol=1e-9)


def test_motion_of_several_voxels_is_measured() -> None:
    volume = blobs(48)
    found = rigid.measured([volume, rigid.moved(volume, Motion((2.5, 0.0, -2.0)))], torch.ones(volume.shape))
    assert found[0].plus(found[1], -1.0).distance == pytest.approx(np.hypot(2.5, 2.0), abs=0.2)


@pytest.mark.parametrize("n", [8, 12, 20])
def test_motion_of_a_slab_of_few_slices_is_measured(n: int) -> None:
    whole, motion = blobs(48), Motion((0.0, 2.0, 0.0), (1.5, 0.0, 0.0))
    slab, other = (v[24 - n // 2 : 24 + n // 2] for v in (whole, rigid.moved(whole, motion)))
    found = alignment.apart([image(slab), image(other)], torch.ones(slab.shape)).motions[0]
    np.testing.assert_allclose(found.vector(), motion.vector(), atol=0.2)


def test_repeats_that_lie_apart_are_refused_with_the_number() -> None:
    volume = blobs(48)
    far = [image(volume), image(rigid.moved(volume, Motion((0.0, 2.0, 0.0))))]
    with pytest.raises(InputError, match=r"repeat 2 moved by (1\.9|2\.0)\d mm.*--register"):
        alignment.refuse(far, torch.ones(volume.shape))
    with pytest.raises(InputError, match=r"; align them with your own tool$"):
        alignment.refuse(far, torch.ones(volume.shape), tried=True)
    turned = [image(volume), image(rigid.moved(volume, Motion(rotation=(0.0, 0.0, 2.5))))]
    with pytest.raises(InputError, match=r"turned by 2\.\d+ degrees"):
        alignment.refuse(turned, torch.ones(volume.shape))
    near = [image(volume), image(rigid.moved(volume, Motion((0.0, 0.4, 0.0), (0.0, 0.5, 0.0))))]
    assert alignment.refuse(near, torch.ones(volume.shape)).motions[0].distance == pytest.approx(0.4, abs=0.05)


def test_a_voxel_is_counted_in_mm() -> None:
    volume, spacing = blobs(48), (2.0, 2.0, 2.0)
    pair = [image(volume, spacing), image(rigid.moved(volume, Motion((0.0, 1.6, 0.0)), spacing=spacing), spacing)]
    assert alignment.refuse(pair, torch.ones(volume.shape)).motions[0].distance == pytest.approx(1.6, abs=0.1)


def test_another_contrast_is_refused() -> None:
    pair = [image(blobs()), image(blobs(seed=1))]
    inner = torch.zeros(40, 40, 40)
    inner[10:30, 10:30, 10:30] = 1
    with pytest.raises(InputError, match="one contrast"):
        alignment.refuse(pair, inner)
    alignment.refuse([image(blobs()), image(3 * blobs() + 1)], inner)


def test_repeats_that_differ_by_more_than_motion_are_told() -> None:
    volume, inside = blobs(48), torch.zeros(48, 48, 48)
    inside[8:40, 8:40, 8:40] = 1
    noisy = (
        3 * rigid.moved(volume, Motion((0.3, 0.2, 0.0)))
        + 0.3 * torch.randn(volume.shape, generator=torch.Generator().manual_seed(0))
        + 2
    )
    other = 0.5 * volume + blobs(48, seed=1)
    same, different = (alignment.apart([image(volume), image(v)], inside) for v in (noisy, other))
    assert alignment.warnings(same) == []
    (said,) = alignment.warnings(different)
    assert f"repeats 1 and 2 have a correlation of {different.alike[0]:.2f}" in said and "distortion" in said


def test_dipy_registers_what_lay_apart() -> None:
    pytest.importorskip("dipy")
    volume = blobs(48)
    other = rigid.moved(volume, Motion((4.0, -3.0, 2.0), (8.0, -6.0, 4.0)))
    pair = [image(volume), dataclasses.replace(image(other), meta={"steps": [{"name": "before"}]})]
    before = alignment.apart(pair, torch.ones(volume.shape)).motions[0]
    there, motions = alignment.registered(pair)
    left = alignment.apart(there, torch.ones(volume.shape)).motions[0]
    assert before.distance > 4 and left.distance < 0.3 and left.angle < 0.5
    assert float((there[1].image[0] - volume)[8:40, 8:40, 8:40].std()) < 0.02  # 0.65 before
    assert motions[0].distance > 1 and [s["name"] for s in there[1].meta["steps"]] == ["before", "register"]
