"""Convolutions, norms and cells: borders, any size, bf16, and what is drawn in training only."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from clearmr.errors import InputError
from clearmr.nets import HRNet, Place, PreNormCell, SkipUNet
from clearmr.nets.cells import ConvLayer, Mixer
from clearmr.nets.convolutions import VOXELS_AT_ONCE, FrameConv, VolumeConv, mirrored
from clearmr.nets.norms import FrameNorm, VoxelNorm

SIZES = [(1, 1, 1), (1, 5, 7), (2, 1, 6), (3, 2, 2), (5, 9, 4)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_borders_are_mirrored(size: tuple[int, int, int], layout: torch.memory_format) -> None:
    x = torch.randn(2, 3, *size).contiguous(memory_format=layout)
    expected = x
    for axis, n in enumerate(size):
        sides = [1 if axis == a else 0 for a in (2, 2, 1, 1, 0, 0)]
        expected = F.pad(expected, sides, mode="reflect" if n > 1 else "replicate")
    assert torch.equal(mirrored(x, (1, 1, 1)), expected)
    with torch.no_grad():
        assert torch.equal(mirrored(x, (1, 1, 1)), expected)


def test_frame_convolution_is_torchs_on_each_frame() -> None:
    torch.manual_seed(0)
    conv, x = FrameConv(3, 5), torch.randn(2, 3, 4, 7, 6)
    expected = torch.stack(
        [F.conv2d(F.pad(x[:, :, t], (1, 1, 1, 1), mode="reflect"), conv.weight[:, :, 0], conv.bias) for t in range(4)],
        dim=2,
    )
    torch.testing.assert_close(conv(x), expected, rtol=1e-5, atol=1e-5)


def test_volume_convolution_is_torchs_and_one_frame_is_a_still_series() -> None:
    torch.manual_seed(0)
    conv, x = VolumeConv(3, 5), torch.randn(2, 3, 4, 7, 6)
    expected = F.conv3d(F.pad(x, (1,) * 6, mode="reflect"), conv.weight, conv.bias)
    torch.testing.assert_close(conv(x), expected, rtol=1e-5, atol=1e-5)
    still = x[:, :, :1].expand(-1, -1, 3, -1, -1)
    torch.testing.assert_close(conv(x[:, :, :1]), conv(still)[:, :, 1:2], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("frames", [1, 2, 3, 4])
def test_volume_convolution_has_no_nan_in_bf16(frames: int) -> None:
    torch.manual_seed(0)
    conv, x = VolumeConv(32, 32), torch.randn(1, 32, frames, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = conv(x.contiguous(memory_format=torch.channels_last_3d))
    torch.testing.assert_close(out.float(), conv(x), rtol=0.05, atol=0.05)


def test_frames_in_portions_equal_all_at_once() -> None:
    torch.manual_seed(0)
    side = int((VOXELS_AT_ONCE / 2.5) ** 0.5)
    x, mixer = torch.randn(1, 2, 5, side, side), Mixer(2)
    with torch.no_grad():
        portions = mixer(x)
    torch.testing.assert_close(portions, mixer(x), rtol=1e-5, atol=1e-6)


def test_voxel_norm_is_over_channels() -> None:
    x = torch.randn(2, 6, 3, 4, 5)
    mean, variance = x.mean(1, keepdim=True), x.var(1, unbiased=False, keepdim=True)
    torch.testing.assert_close(VoxelNorm(6)(x), (x - mean) / (variance + 1e-5).sqrt(), rtol=1e-4, atol=1e-5)


def test_frame_norm_is_over_each_frame_and_bound_to_its_size() -> None:
    x = torch.randn(2, 6, 3, 4, 5) * torch.tensor([1.0, 10.0, 100.0])[:, None, None]
    out = FrameNorm(6, (4, 5))(x)
    torch.testing.assert_close(out.std((1, 3, 4), unbiased=False), torch.ones(2, 3), rtol=1e-3, atol=1e-3)
    with pytest.raises(InputError, match="4 x 5"):
        FrameNorm(6, (4, 5))(x[..., :4])


def _cell(mixer: bool = True) -> PreNormCell:
    place = Place(4, 4, (8, 8), 0)
    norm = lambda channels, size: VoxelNorm(channels)  # noqa: E731
    return PreNormCell(place, layer=ConvLayer(place, conv=FrameConv, norm=norm), norm=norm, mixer=mixer)


def test_branches_are_left_out_for_one_sample_in_ten_in_training_only() -> None:
    torch.manual_seed(0)
    cell, x = _cell(mixer=False), torch.randn(1, 4, 1, 8, 8).expand(2000, -1, -1, -1, -1)
    with torch.no_grad():
        branch = cell.eval()(x[:1]) - x[:1]
        drawn = cell.train()(x) - x
    left_out = drawn.abs().amax((1, 2, 3, 4)) == 0
    assert 0.07 < float(left_out.float().mean()) < 0.13
    torch.testing.assert_close(drawn[~left_out], (branch / 0.9).expand_as(drawn[~left_out]), rtol=1e-4, atol=1e-5)


def test_training_draws_from_torchs_generator() -> None:
    cell, x = _cell(), torch.randn(16, 4, 1, 8, 8)
    torch.manual_seed(5)
    first = cell(x)
    assert not torch.equal(first, cell(x))
    torch.manual_seed(5)
    assert torch.equal(first, cell(x))


def test_a_spare_norm_neither_learns_nor_matters() -> None:
    place = Place(4, 4, (8, 8), 0)
    norm = lambda channels, size: VoxelNorm(channels)  # noqa: E731
    cell = PreNormCell(place, layer=nn.Identity(), norm=norm, mixer=False, spare_norm=True).eval()
    x = torch.randn(1, 4, 1, 8, 8)
    before = cell(x)
    with torch.no_grad():
        cell.norm2.weight.fill_(float("nan"))
    assert torch.equal(cell(x), before)
    assert not any(p.requires_grad for p in cell.norm2.parameters())


@pytest.mark.parametrize(("backbone", "channels_out"), [(HRNet, 12), (SkipUNet, 4)])
def test_backbones_ask_for_cells_where_they_stand(backbone: type[HRNet] | type[SkipUNet], channels_out: int) -> None:
    places: list[Place] = []

    def cell(place: Place) -> nn.Module:
        places.append(place)
        return nn.Conv3d(place.channels_in, place.channels_out, 1)

    net = backbone(channels=(4, 8), cells=2, cell=cell, size=(64, 48))
    assert net.channels_out == channels_out
    assert net(torch.randn(2, 4, 3, 8, 12)).shape == (2, channels_out, 3, 8, 12)
    assert len(places) == 10 and {p.index for p in places} == {0, 1}
    assert {p.size for p in places} == ({(64, 48), (32, 24)} | ({(16, 12)} if backbone is SkipUNet else set()))
    assert all(p.channels_in == p.channels_out for p in places if p.index)
