"""Networks: shapes, homogeneity, and that every parameter learns."""

import pytest
import torch

from clearmr.nets import ResidualConv3d, UNet
from clearmr.nets.cells import Conv3x3x3


def small_unet() -> UNet:
    torch.manual_seed(0)
    return UNet(3, 2, channels=(4, 8, 8), cells=1, cell=ResidualConv3d)


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 16, 20), (3, 17, 23), (1, 2, 3), (2, 64, 5)])
def test_unet_keeps_any_size(shape: tuple[int, int, int]) -> None:
    assert small_unet()(torch.randn(2, 3, *shape)).shape == (2, 2, *shape)


def test_unet_is_positively_homogeneous() -> None:
    net, x = small_unet(), torch.randn(1, 3, 4, 12, 12)
    torch.testing.assert_close(net(7.5 * x), 7.5 * net(x), rtol=1e-4, atol=1e-5)


def test_every_parameter_gets_a_gradient() -> None:
    net = small_unet()
    net(torch.randn(1, 3, 4, 16, 16)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())


def test_single_frame_convolution_equals_the_three_dimensional_one() -> None:
    torch.manual_seed(0)
    conv, x = Conv3x3x3(3, 5), torch.randn(2, 3, 1, 9, 8)
    expected = torch.nn.functional.conv3d(x, conv.weight, padding=1)
    torch.testing.assert_close(conv(x), expected, rtol=1e-5, atol=1e-6)
