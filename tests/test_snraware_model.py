"""The 14 networks of Table 2 and our own: counts, training, saving, sizes, precision, equivariance."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from clearmr.errors import InputError
from clearmr.methods.snraware import model
from clearmr.methods.snraware.config import NetConfig
from clearmr.methods.snraware.model import ARCHITECTURES, TABLE2_ARCHITECTURES, TABLE2_PARAMETERS, build, table2
from clearmr.train import checkpoint
from cli_runs import done


def small(name: str, *, norm: str = "pixel", **settings: object) -> torch.nn.Module:
    torch.manual_seed(0)
    cells = 2 if "swin" in name else 1  # plain and shifted windows
    config = NetConfig(name, channels=(8, 16), cells=cells)
    return build(dataclasses.replace(config, norm=norm, **settings)).eval()  # type: ignore[arg-type]


def noisy(*size: int, channels: int = 3, batch: int = 1) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(batch, channels, *size)


@pytest.mark.parametrize("name", TABLE2_ARCHITECTURES)
def test_counts_are_those_of_table_2(name: str) -> None:
    assert model.parameters(table2(name)) == TABLE2_PARAMETERS[name]


def test_table_2_is_whole() -> None:
    assert len(TABLE2_ARCHITECTURES) == 14 and set(TABLE2_ARCHITECTURES) == set(TABLE2_PARAMETERS)
    assert sum(TABLE2_PARAMETERS.values()) == 424_811_342
    assert set(ARCHITECTURES) - set(TABLE2_ARCHITECTURES) == {"unet-residual3d"}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_one_step_lowers_the_loss_and_weights_survive_a_file(name: str, tmp_path: Path) -> None:
    net = small(name, norm="patch")
    x = noisy(2, 64, 64)
    target = 0.5 * x[:, :2]

    def error() -> Tensor:
        return (net(x) - target).square().mean()

    optimizer = torch.optim.SGD(net.parameters(), lr=1e-4)
    before = error()
    before.backward()
    optimizer.step()
    with torch.no_grad():
        assert error() < before
        checkpoint.save_tensors(net.state_dict(), tmp_path / "net.safetensors")
        again = small(name, norm="patch")
        again.load_state_dict(checkpoint.load_tensors(tmp_path / "net.safetensors"))
        out = again(x)
        assert out.dtype == torch.float32 and torch.equal(out, net(x))


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("norm", ["patch", "pixel"])
def test_every_parameter_meant_to_learn_gets_a_gradient(name: str, norm: str) -> None:
    net = small(name, norm=norm)
    net(noisy(2, 64, 64) if norm == "patch" else noisy(2, 16, 24)).square().sum().backward()
    still = {k for k, p in net.named_parameters() if p.grad is None or not p.grad.abs().max() > 0}
    spare = {"loss_weight"} if name in TABLE2_ARCHITECTURES and norm == "patch" else set()
    if spare and "cnnt" not in name:
        spare |= {k for k, _ in net.named_parameters() if ".norm2." in k}
        assert len(spare) == 1 + 2 * (10 if "swin" in name else 5)
    assert still == spare == {k for k, p in net.named_parameters() if not p.requires_grad}


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("size", [(1, 64, 64), (3, 17, 23), (1, 3, 5), (2, 1, 40), (17, 9, 12)])
def test_any_size_goes_through_in_bf16_too(name: str, size: tuple[int, int, int]) -> None:
    net, x = small(name), noisy(*size)
    assert net.tile is None
    with torch.no_grad():
        plain = net(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = net(x.contiguous(memory_format=torch.channels_last_3d))
    assert half.dtype == plain.dtype == torch.float32 and plain.shape == (1, 2, *size)
    assert torch.isfinite(half).all()
    assert (half - plain).norm() < 0.03 * plain.norm()


@pytest.mark.parametrize("name", TABLE2_ARCHITECTURES)
def test_channels_last_weights_change_nothing(name: str) -> None:
    net, x = small(name), noisy(3, 16, 16)
    with torch.no_grad():
        before = net(x)
        after = net.to(memory_format=torch.channels_last_3d)(x.contiguous(memory_format=torch.channels_last_3d))  # type: ignore[call-overload]
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_gradients_do_not_depend_on_the_way_without_them(name: str) -> None:
    net, x = small(name), noisy(4, 24, 20)
    with torch.no_grad():
        without = net(x)
    torch.testing.assert_close(net(x), without, rtol=1e-4, atol=1e-4)


def test_patch_norm_takes_64_by_64_only_and_says_so() -> None:
    net = small("hrnet-conv2d", norm="patch")
    assert net.tile == (64, 64) and net(noisy(3, 64, 64)).shape == (1, 2, 3, 64, 64)
    with pytest.raises(InputError, match="64 x 64"):
        net(noisy(3, 64, 48))


@pytest.mark.parametrize("name", ["unet-cnnt", "hrnet-conv3d", "unet-residual3d"])
@pytest.mark.parametrize(
    ("image", "noise_map", "channels"),
    [("complex", True, (3, 2)), ("complex", False, (2, 2)), ("magnitude", True, (2, 1)), ("magnitude", False, (1, 1))],
)
def test_channels_are_what_the_input_is(name: str, image: str, noise_map: bool, channels: tuple[int, int]) -> None:
    net = small(name, image=image, noise_map=noise_map)
    assert net(noisy(2, 16, 16, channels=channels[0])).shape == (1, channels[1], 2, 16, 16)


@pytest.mark.parametrize("name", ["hrnet-cnnt", "hrnet-vit2d", "unet-conv2d", "unet-cnnt-large"])
def test_layers_of_frames_do_not_know_their_order(name: str) -> None:
    net, x = small(name), noisy(5, 16, 24)
    order = torch.tensor([3, 0, 4, 1, 2])
    with torch.no_grad():
        torch.testing.assert_close(net(x[:, :, order]), net(x)[:, :, order], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["hrnet-vit2d", "unet-conv2d"])
def test_two_dimensional_networks_see_one_frame(name: str) -> None:
    net, x = small(name), noisy(3, 16, 24)
    with torch.no_grad():
        torch.testing.assert_close(net(x[:, :, 1:2]), net(x)[:, :, 1:2], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_samples_of_a_batch_are_alone(name: str) -> None:
    net, x = small(name), noisy(3, 16, 16, batch=2)
    with torch.no_grad():
        torch.testing.assert_close(net(x)[1:], net(x[1:]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["hrnet-conv2d", "unet-conv3d", "hrnet-swin3d"])
def test_a_tile_on_the_alignment_sees_what_the_whole_sees(name: str) -> None:
    """Away from the tile's border: windows and 2 x 2 pixels of a tile are those of the whole."""
    net, x = small(name, cells=1), noisy(2, 16, 112)
    with torch.no_grad():
        tile = net(x[..., net.alignment :])
        torch.testing.assert_close(tile[..., 64:], net(x)[..., net.alignment + 64 :], rtol=1e-4, atol=1e-4)


def test_the_start_is_near_the_identity() -> None:
    net, x = small("hrnet-cnnt"), 100 * noisy(4, 32, 32)
    with torch.no_grad():
        assert (net(x) - x[:, :2]).norm() < 0.15 * x[:, :2].norm()


def test_unknown_names_are_refused() -> None:
    with pytest.raises(InputError, match="hrnet-cnnt"):
        table2("hrnet")
    with pytest.raises(InputError, match="unet-residual3d"):
        build(NetConfig("resnet"))
    with pytest.raises(InputError, match="two resolutions"):
        build(NetConfig("unet-cnnt"))


def test_models_lists_and_shows_the_table() -> None:
    rows = {row["name"]: row for row in json.loads(done("models", "list", "--json").out)}
    for name, count in TABLE2_PARAMETERS.items():
        assert rows[name]["parameters"] == count and rows[name]["bundled"] is False
    shown = json.loads(done("models", "show", "hrnet-cnnt").out)
    assert shown["parameters"] == shown["table 2"] == 27_485_139
    assert (shown["channels in"], shown["channels out"]) == (3, 2)
    assert NetConfig(**{**shown["net"], "channels": tuple(shown["net"]["channels"])}) == table2("hrnet-cnnt")
