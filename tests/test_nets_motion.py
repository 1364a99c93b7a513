"""The blind-spot U-net, the registration net, the warp."""

import pytest
import torch

from clearmr.nets.blind import BlindUNet, dropped
from clearmr.nets.motion import RegistrationNet, roughness, warp


@pytest.mark.parametrize("size", [(32, 32), (17, 45), (1, 3)])
def test_nets_keep_any_size(size: tuple[int, int]) -> None:
    image = torch.randn(2, 3, *size)
    assert BlindUNet(3, 2, width=6, levels=3)(image).shape == (2, 2, *size)
    assert RegistrationNet(3)(image).shape == (2, 2, *size)


def test_the_published_width_has_the_published_channels() -> None:
    net = BlindUNet(2, 1)
    shapes = [tuple(p.shape[:2]) for name, p in net.named_parameters() if name.endswith("weight")]
    encoder = [(48, 2)] + [(48, 48)] * 6
    decoder = [(96, 96), (96, 96)] + [(96, 144), (96, 96)] * 3 + [(64, 98), (32, 64), (1, 32)]
    assert shapes == encoder + decoder


def test_padding_is_cropped_exactly() -> None:
    """Without dropout a shift by the net's period shifts the result: the padding moves no pixel."""
    torch.manual_seed(0)
    net = BlindUNet(1, 1, width=6, levels=2, drop=0.0)
    image = torch.zeros(1, 1, 61, 63)
    image[..., 28, 28] = 1
    moved = image.roll((4, 4), (-2, -1))
    inner = (slice(16, 44), slice(16, 44))
    there = net(moved)[0, 0, 20:48, 20:48]
    torch.testing.assert_close(there, net(image)[0, 0][inner], atol=1e-5, rtol=1e-4)


def test_dropout_stays_on_in_evaluation() -> None:
    net = BlindUNet(1, 1, width=6, levels=2).eval()
    image = torch.randn(1, 1, 16, 16)
    assert not torch.equal(net(image), net(image))
    still = BlindUNet(1, 1, width=6, levels=2, drop=0.0)
    assert torch.equal(still(image), still(image))


def test_a_new_registration_net_moves_nothing() -> None:
    assert RegistrationNet(2)(torch.randn(1, 2, 32, 32)).detach().abs().max() < 1e-2


def test_warp_by_whole_pixels_is_a_shift() -> None:
    image = torch.randn(1, 2, 12, 15)
    flow = torch.zeros(1, 2, 12, 15)
    flow[:, 0], flow[:, 1] = 2, -3
    torch.testing.assert_close(warp(image, flow)[..., :10, 3:], image[..., 2:, :12], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(warp(image, torch.zeros_like(flow)), image, atol=1e-5, rtol=1e-5)


def test_warp_is_bilinear() -> None:
    """A plane is reproduced at any displacement."""
    y, x = torch.meshgrid(torch.arange(9.0), torch.arange(7.0), indexing="ij")
    flow = 0.8 * torch.rand(1, 2, 9, 7, generator=torch.Generator().manual_seed(0))
    flow[:, :, -1], flow[..., -1] = 0, 0
    found = warp((2 * y - 3 * x)[None, None], flow)[0, 0]
    torch.testing.assert_close(found, 2 * (y + flow[0, 0]) - 3 * (x + flow[0, 1]), atol=1e-4, rtol=1e-4)


def test_roughness_is_the_mean_squared_difference_of_neighbours() -> None:
    flow = torch.randn(2, 2, 4, 5, generator=torch.Generator().manual_seed(0))
    down = [float((flow[b, c, y + 1, x] - flow[b, c, y, x]) ** 2)
            for b in range(2) for c in range(2) for y in range(3) for x in range(5)]  # fmt: skip
    across = [float((flow[b, c, y, x + 1] - flow[b, c, y, x]) ** 2)
              for b in range(2) for c in range(2) for y in range(4) for x in range(4)]  # fmt: skip
    assert float(roughness(flow)) == pytest.approx(sum(down) / len(down) + sum(across) / len(across), rel=1e-5)
    assert float(roughness(torch.zeros(1, 2, 1, 1))) == 0


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("shape", [(2, 5, 64, 63), (1, 1, 90, 90)])
def test_dropout_zeroes_its_share_and_keeps_the_mean(shape: tuple[int, ...], layout: torch.memory_format) -> None:
    image = torch.full(shape, 2.0).contiguous(memory_format=layout).requires_grad_()
    torch.manual_seed(3)
    out = dropped(image, 0.3)
    kept = out != 0
    assert abs(float(kept.float().mean()) - (1 - 77 / 256)) < 0.015
    torch.testing.assert_close(out[kept], torch.full_like(out[kept], 2 * 256 / 179))
    out.sum().backward()
    assert image.grad is not None and torch.equal(image.grad, out.detach() / 2)
    again = dropped(image, 0.3)
    torch.manual_seed(3)
    assert torch.equal(dropped(image, 0.3), out) and not torch.equal(again, out)
    beside = kept[..., 1:, :] & kept[..., :-1, :], kept[..., 1:] & kept[..., :-1]
    assert all(abs(float(pair.float().mean()) - (179 / 256) ** 2) < 0.02 for pair in beside)
