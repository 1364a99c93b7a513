"""The four terms of the loss, against closed forms."""

import hashlib
import math
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from clearmr.errors import InputError
from clearmr.train import losses, perceptual


def constant(value: complex, shape: tuple[int, int, int] = (1, 2, 2)) -> Tensor:
    """(1, 2, T, H, W) of one complex value."""
    return torch.tensor([float(value.real), float(value.imag)]).reshape(1, 2, 1, 1, 1).expand(1, 2, *shape).clone()


def polar(size: float, degrees: float) -> complex:
    return size * complex(math.cos(math.radians(degrees)), math.sin(math.radians(degrees)))


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_charbonnier_is_the_mean_modulus() -> None:
    assert float(losses.charbonnier(constant(0), constant(3 + 4j))) == pytest.approx(5, rel=1e-6)
    x, y = random(2, 2, 3, 4, 5), random(2, 2, 3, 4, 5, seed=1)
    slow = (torch.view_as_complex((x - y).movedim(1, -1).contiguous()).abs() ** 2 + 0.25).sqrt().mean()
    torch.testing.assert_close(losses.charbonnier(x, y, epsilon=0.5), slow)


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [(0, 0.0), (30, 2.0), (90, 4.0), (150, 8.0 - 2.0), (180, 8.0), (-30, 2.0), (-150, 6.0)],
)
def test_perpendicular_grows_with_the_phase_error_to_twice_the_modulus(degrees: float, expected: float) -> None:
    """|Y| = 4 and |X| = 4: |Y| sin(phase error), and 2 |Y| - that beyond 90 degrees."""
    target = polar(4, 20)
    value = losses.perpendicular(constant(polar(4, 20 + degrees)), constant(target), epsilon=1e-4)
    assert float(value) == pytest.approx(expected, abs=1e-3)


def test_perpendicular_has_its_magnitude_term() -> None:
    """At equal phase only | |X| - |Y| | is left; at 30 degrees the rejection is of Y, whatever |X|."""
    assert float(losses.perpendicular(constant(polar(7, 50)), constant(polar(4, 50)))) == pytest.approx(3, abs=1e-3)
    assert float(losses.perpendicular(constant(polar(7, 80)), constant(polar(4, 50)))) == pytest.approx(5, abs=1e-3)


@pytest.mark.parametrize(("x", "y"), [(0, 3 + 1j), (0, 0), (2, 2), (1e-20, 5j)])
def test_perpendicular_has_a_finite_gradient_everywhere(x: complex, y: complex) -> None:
    prediction = constant(x).requires_grad_()
    value = losses.perpendicular(prediction, constant(y))
    value.backward()
    assert math.isfinite(float(value.detach())) and prediction.grad is not None
    assert bool(torch.isfinite(prediction.grad).all())
    assert float(losses.perpendicular(constant(y), constant(y))) == pytest.approx(0, abs=1e-6)


def test_perpendicular_descends_to_the_target() -> None:
    """With a little of another term, since its slope vanishes at a phase error of 90 degrees."""
    x, y = random(1, 2, 1, 4, 4).requires_grad_(), random(1, 2, 1, 4, 4, seed=1)
    optimizer, loss = torch.optim.Adam([x], lr=0.03), losses.combined(charbonnier=0.2, perpendicular=1.0)
    for _ in range(400):
        optimizer.zero_grad()
        loss(x, y).backward()
        optimizer.step()
    assert float((x.detach() - y).abs().max()) < 0.05


def test_perpendicular_of_one_channel_is_refused() -> None:
    with pytest.raises(InputError, match=r"loss\.perpendicular=0"):
        losses.perpendicular(torch.ones(1, 1, 1, 2, 2), torch.ones(1, 1, 1, 2, 2))


def test_gradient_of_a_ramp_is_its_slopes() -> None:
    t, h, w = torch.meshgrid(torch.arange(3.0), torch.arange(4.0), torch.arange(5.0), indexing="ij")
    ramp = (0.5 * t + 2 * h - 3 * w)[None, None]
    zero = torch.zeros_like(ramp)
    assert float(losses.gradient(ramp, zero)) == pytest.approx(5.5)
    assert float(losses.gradient(ramp[:, :, :1], zero[:, :, :1])) == pytest.approx(5)  # one frame has none in time
    assert float(losses.gradient(ramp + 7, ramp)) == pytest.approx(0)


def test_combined_is_the_weighted_sum() -> None:
    x, y = random(1, 2, 2, 4, 4), random(1, 2, 2, 4, 4, seed=1)
    value = losses.combined(charbonnier=0.5, perpendicular=2.0, gradient=3.0, epsilon=0.1)(x, y)
    parts = losses.charbonnier(x, y, epsilon=0.1), losses.perpendicular(x, y), losses.gradient(x, y)
    torch.testing.assert_close(value, 0.5 * parts[0] + 2 * parts[1] + 3 * parts[2])
    one = losses.combined(charbonnier=1.0, gradient=1.0)(x[:, :1], y[:, :1])  # a magnitude image
    assert math.isfinite(float(one))


@pytest.mark.parametrize("weights", [{"charbonnier": 0.0}, {"gradient": -1.0}])
def test_no_term_or_a_negative_one_is_refused(weights: dict[str, float]) -> None:
    with pytest.raises(InputError, match="weights of the loss"):
        losses.combined(**weights)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights under torchvision's names, with a layer that the features do not use."""
    torch.manual_seed(0)
    state = perceptual.Vgg16().state_dict()
    path = tmp_path_factory.mktemp("vgg") / "vgg16.pth"
    torch.save({**state, "features.24.weight": torch.zeros(2), "classifier.0.bias": torch.zeros(3)}, path)
    return path


def test_vgg_features_are_those_of_the_plain_chain(vgg_file: Path) -> None:
    """torchvision's `features`, written out, cut after modules 3, 8, 15 and 22."""
    with pytest.warns(UserWarning, match="397923af"):
        vgg = perceptual.load_vgg16(vgg_file)
    state = torch.load(vgg_file, weights_only=True)
    x, expected, module = random(2, 3, 16, 16), [], 0
    for block in ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512)):
        for _ in block:
            x_ = torch.nn.functional.conv2d(
                x, state[f"features.{module}.weight"], state[f"features.{module}.bias"], padding=1
            )
            x, module = x_.relu(), module + 2
        expected.append((module - 1, x))
        x, module = torch.nn.functional.max_pool2d(x, 2, 2), module + 1
    assert [after for after, _ in expected] == [3, 8, 15, 22]
    for found, (_, wanted) in zip(vgg(random(2, 3, 16, 16)), expected, strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.filterwarnings("ignore:.*397923af")
def test_perceptual_sees_magnitudes_of_any_unit(vgg_file: Path) -> None:
    loss = losses.combined(charbonnier=0.0, perceptual=1.0, vgg=vgg_file)
    x, y = random(1, 2, 2, 16, 16).requires_grad_(), random(1, 2, 2, 16, 16, seed=1)
    value = loss(x, y)
    value.backward()
    assert x.grad is not None and bool(torch.isfinite(x.grad).all()) and float(x.grad.abs().max()) > 0
    turned = torch.stack([-y[:, 1], y[:, 0]], 1)  # another phase, the same magnitude
    assert float(loss(turned, y)) == pytest.approx(0, abs=1e-5)
    assert float(loss(50 * x.detach(), 50 * y)) == pytest.approx(float(value.detach()), rel=1e-4)
    with pytest.raises(InputError, match="8 x 8"):
        loss(x[..., :4], y[..., :4])


def test_perceptual_is_of_vgg16_with_the_right_hash(
    vgg_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "vgg.safetensors"
    save_file(torch.load(vgg_file, weights_only=True), path)
    monkeypatch.setattr(perceptual, "HASH", hashlib.sha256(path.read_bytes()).hexdigest()[:8])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(perceptual.load_vgg16(path).features) == 10


@pytest.mark.filterwarnings("ignore:.*397923af")
@pytest.mark.parametrize("kind", ["none", "missing", "broken", "broken tensors", "another", "pickled"])
def test_other_files_than_vgg16_are_one_clear_line(kind: str, tmp_path: Path) -> None:
    path = tmp_path / ("w.safetensors" if kind == "broken tensors" else "w.pth")
    if kind.startswith("broken"):
        path.write_bytes(b"nothing of the kind")
    elif kind == "another":
        torch.save({"features.0.weight": torch.zeros(4, 3, 3, 3)}, path)
    elif kind == "pickled":
        torch.save({"features.0.weight": tmp_path}, path)  # an object, which weights_only refuses
    with pytest.raises(InputError, match="VGG16") as error:
        losses.combined(perceptual=1.0, vgg="" if kind == "none" else path)
    assert "\n" not in str(error.value) and "loss.perceptual=0" in str(error.value)
