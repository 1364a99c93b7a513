"""The 2.5D U-net: shapes, homogeneity, and that every slice of its input counts."""

import pytest
import torch

from clearmr.nets import SlicesUNet


def net(*, bias: bool = False, slices: int = 7, seed: int = 0, channels_in: int = 2) -> SlicesUNet:
    torch.manual_seed(seed)
    made = SlicesUNet(channels_in, 1, slices=slices, channels=(6, 8, 10), bias=bias).eval()
    torch.nn.init.normal_(made.tail.weight)
    return made


def slabs(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [(32, 32), (33, 18), (5, 7), (1, 1), (3, 64)])
@pytest.mark.parametrize("slices", [3, 7])
def test_any_size_comes_back_as_one_slice(size: tuple[int, int], slices: int) -> None:
    assert net(slices=slices)(slabs(2, 2, slices, *size)).shape == (2, 1, 1, *size)


def test_without_bias_it_is_positively_homogeneous() -> None:
    x = slabs(1, 2, 7, 24, 20)
    torch.testing.assert_close(net()(37.0 * x), 37.0 * net()(x), rtol=1e-4, atol=1e-3)
    biased = net(bias=True)
    torch.nn.init.normal_(biased.head.bias)
    assert float((biased(37.0 * x) - 37.0 * biased(x)).detach().abs().max()) > 0.1


def test_it_begins_near_the_identity() -> None:
    torch.manual_seed(0)
    fresh, x = SlicesUNet(2, 1, slices=7, channels=(16, 32)), slabs(2, 2, 7, 32, 32)
    removed = fresh(x)[:, 0, 0] - x[:, 0, 3]
    assert 0 < float(removed.detach().std()) < 0.5


def test_every_slice_and_channel_is_looked_at() -> None:
    x = slabs(1, 2, 7, 16, 16).requires_grad_()
    made = net()
    (made(x)[0, 0, 0, 8, 8] - x[0, 0, 3, 8, 8]).backward()
    assert x.grad is not None and bool((x.grad.abs().sum((0, 3, 4)) > 0).all())


def test_a_padded_size_is_cropped_to_its_own_place() -> None:
    """A size that the strides divide is not padded: what lies far from the border is the same in both."""
    x = slabs(1, 2, 7, 64, 64)
    whole, cut = net()(x), net()(x[..., :62, :63])
    torch.testing.assert_close(whole[..., :36, :36], cut[..., :36, :36], rtol=1e-4, atol=1e-4)


def test_bf16_keeps_the_image_itself_exact() -> None:
    x = 1000 + slabs(1, 2, 7, 32, 32)
    x[:, :, :3], x[:, :, 4:] = 0.01, 0.01
    made = SlicesUNet(2, 1, slices=7, channels=(8, 16)).eval()
    torch.nn.init.zeros_(made.tail.weight)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(made(x)[:, 0, 0], x[:, 0, 3])


def test_layouts_that_training_uses_give_the_same() -> None:
    x = slabs(2, 2, 7, 24, 24)
    plain = net()(x)
    other = net().to(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(other(x.contiguous(memory_format=torch.channels_last_3d)), plain, rtol=1e-4, atol=1e-5)
