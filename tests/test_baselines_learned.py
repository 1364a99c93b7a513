"""Networks that learn from the noisy image alone, at toy size: the contract, a measured gain, no look at the answer."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from clearmr import baselines
from clearmr.baselines import dip, learned, noise2void, self2self
from clearmr.denoiser import Denoiser
from clearmr.errors import InputError
from clearmr.evaluate import rician
from clearmr.scan import SnrImage

ONE = torch.ones(1, 1, 1, 1)
SIZE = 48
# Small networks for few steps, and the gain in dB that each must reach: 4.1, 2.0 and 4.4 dB when this was written.
TOY: dict[str, dict[str, Any]] = {
    "dip": {"iterations": 150, "channels": 24, "levels": 3},
    "self2self": {"iterations": 120, "channels": 16, "passes": 20, "learning_rate": 2e-3},
    "noise2void": {"iterations": 60, "channels": 16, "batch": 2, "patch": 48, "learning_rate": 3e-3},
}
GAIN = {"dip": 3.0, "self2self": 1.4, "noise2void": 3.0}
TINY: dict[str, dict[str, Any]] = {
    "dip": {"iterations": 11, "channels": 4, "levels": 2},
    "self2self": {"iterations": 11, "channels": 4, "passes": 3},
    "noise2void": {"iterations": 11, "channels": 4, "batch": 2, "patch": 16},
}
names = pytest.mark.parametrize("name", list(TINY))


def textured(frames: int = 1) -> Tensor:
    """A disc with waves, in noise SDs, (frame, 1, 48, 48)."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, SIZE)] * 2, indexing="ij")
    disc = (x**2 + y**2 < 0.6).float()
    plane = 3 + disc * (5 + 2 * torch.sin(12 * x) * torch.cos(9 * y))
    return plane.expand(frames, 1, SIZE, SIZE).contiguous()


def noise(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.complex(*torch.randn((2, *shape), generator=torch.Generator().manual_seed(seed)))


def given(image: Tensor, sd: float = 1.0) -> SnrImage:
    return SnrImage(image, sd * ONE, ONE, "given")


def tiny(name: str, **more: Any) -> Denoiser:
    return baselines.load(name, **TINY[name], **more)


def error(image: Tensor, clean: Tensor) -> float:
    return float((image - clean).abs().square().mean())


@names
def test_noise_goes(name: str) -> None:
    clean = textured()
    noisy = (clean + noise(clean.shape)).abs()
    result = baselines.load(name, **TOY[name])(given(noisy)).image
    assert 10 * math.log10(error(noisy, clean) / error(result, clean)) > GAIN[name]


@names
@pytest.mark.parametrize("kind", ["complex", "magnitude", "signed"])
def test_the_contract(name: str, kind: str) -> None:
    series = (2, 1, 21, 18)
    noisy = 5 + noise(series)
    image = {"complex": noisy, "magnitude": noisy.abs(), "signed": noisy.imag}[kind]
    kept, calls = image.clone(), []
    denoiser = tiny(name, progress=lambda done, total, **info: calls.append((done, total, info["loss"])), seed=3)
    assert isinstance(denoiser, Denoiser) and denoiser.name == name
    header, affine, meta = object(), np.eye(4), {"steps": [{"name": "a"}]}
    result = denoiser(SnrImage(image, ONE, ONE, "given", (3.0, 2.0, 1.0), affine, header, meta))
    assert torch.equal(image, kept)
    assert result.image.shape == image.shape and result.image.dtype == image.dtype
    assert result.header is header and result.affine is affine and result.spacing == (3.0, 2.0, 1.0)
    assert result.noise_sd is ONE and bool(torch.isfinite(result.image.abs()).all())
    step = result.meta["steps"][-1]
    assert (step["method"], step["package"], step["iterations"], step["seed"]) == (name, "torch", 11, 3)
    networks = (1 if name == "noise2void" else 2) * (2 if kind == "complex" else 1)
    assert calls[-1][:2] == (11 * networks, 11 * networks) and all(math.isfinite(loss) for *_, loss in calls)


@names
def test_the_seed_says_it_all(name: str) -> None:
    image = given((5 + noise((1, 1, 24, 20))).abs())
    torch.manual_seed(1)
    first = tiny(name)(image).image
    state = torch.manual_seed(2).get_state()
    assert torch.equal(tiny(name)(image).image, first)
    assert torch.equal(torch.default_generator.get_state(), state)  # the caller's draws go on as they would
    assert not torch.equal(tiny(name, seed=1)(image).image, first)


@names
def test_units_do_not_matter(name: str) -> None:
    noisy = (textured() + noise((1, 1, SIZE, SIZE))).abs()[..., :24, :24]
    plain = tiny(name)(given(noisy)).image
    torch.testing.assert_close(tiny(name)(given(512 * noisy, sd=512.0)).image, 512 * plain)


@names
def test_magnitudes_lose_their_bias_unless_told(name: str) -> None:
    noisy = (2 + noise((1, 1, 24, 24))).abs()
    with_bias = tiny(name, unbiased=False)(given(noisy)).image
    result = tiny(name)(given(noisy)).image
    np.testing.assert_allclose(result, rician.signal_of_mean(with_bias.numpy()), atol=1e-5)
    assert float((with_bias - result).mean()) > 0.1
    signed = given(noisy - 3)
    assert torch.equal(tiny(name)(signed).image, tiny(name, unbiased=False)(signed).image)


@names
@pytest.mark.parametrize(("option", "value"), [("iterations", 0), ("learning_rate", 0.0), ("learning_rate", math.nan)])
def test_settings_that_cannot_be_are_refused(name: str, option: str, value: float) -> None:
    with pytest.raises(InputError, match="one iteration" if option == "iterations" else "positive learning rate"):
        baselines.load(name, **{option: value})


@names
@pytest.mark.parametrize("size", [(8, 8), (5, 37)])
def test_small_and_odd_images(name: str, size: tuple[int, int]) -> None:
    result = tiny(name)(given((5 + noise((1, 2, *size))).abs())).image
    assert result.shape == (1, 2, *size) and bool(torch.isfinite(result).all())


@names
def test_a_flat_image_stays_finite(name: str) -> None:
    assert bool(torch.isfinite(tiny(name)(given(torch.full((1, 1, 16, 16), 4.0))).image).all())


@pytest.mark.parametrize("name", ["dip", "self2self"])
def test_frames_do_not_see_one_another(name: str) -> None:
    frames = (5 + noise((2, 1, 16, 16))).abs()
    both = tiny(name)(given(frames)).image
    torch.testing.assert_close(tiny(name)(given(frames[1:])).image, both[1:])


def test_blind_pixels_take_a_neighbours_value() -> None:
    patches = torch.arange(3 * 24 * 24.0).reshape(3, 1, 24, 24)
    blinded, where = noise2void._blinded(patches, torch.Generator().manual_seed(0))
    item, _, y, x = where
    changed = blinded != patches
    assert item.numel() == 3 * 9 and int(changed.sum()) == 3 * 9  # one of every 8 x 8, all others kept
    assert bool(changed[where].all())
    took = blinded[where].long() - 24 * 24 * item
    assert bool(((took // 24 - y).abs() <= 2).all()) and bool(((took % 24 - x).abs() <= 2).all())
    assert set((y % 8).flatten().tolist()) | set((x % 8).flatten().tolist()) == set(range(8))


def test_self2self_begins_at_the_mean_of_the_image() -> None:
    dark = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0)) / 10
    network = self2self._PartialUNet(8, dark.mean())
    output = network(dark, torch.ones_like(dark), lambda x: x)
    assert float(output.detach().mean()) == pytest.approx(float(dark.mean()), rel=0.3)


def test_self2self_knows_nothing_of_hidden_pixels() -> None:
    network = self2self._PartialUNet(4, torch.tensor(0.5))
    image, mask = torch.rand(1, 1, 32, 32), (torch.rand(1, 1, 32, 32) > 0.3).float()
    other = torch.where(mask > 0, image, image + 5)
    same = network(image, mask, lambda x: x)
    assert torch.equal(network(other, mask, lambda x: x), same)
    assert not torch.equal(network(other, torch.ones_like(mask), lambda x: x), same)


def test_partial_convolutions_of_known_pixels_are_plain() -> None:
    layer = self2self._Partial(1, 3)
    image = torch.rand(1, 1, 10, 10)
    mask = torch.ones_like(image)
    mask[..., :, 5:] = 0
    out, known = layer(image, mask)
    plain = F.leaky_relu(F.conv2d(image, layer.weight, layer.bias, padding=1), 0.1)
    torch.testing.assert_close(out[..., 1:-1, 1:4], plain[..., 1:-1, 1:4])
    assert bool((out[..., 6:] == 0).all()) and known[0, 0, 0].tolist() == [1] * 6 + [0] * 4


def test_deep_image_prior_forgets_its_first_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean of outputs: plain at first, of the last hundred or so in the end."""
    outputs = iter(torch.arange(1.0, 401.0))
    monkeypatch.setattr(
        dip._Skip, "forward", lambda self, x: self.last.bias.mean() * 0 + next(outputs).expand(1, 1, 8, 8)
    )
    denoiser = dataclasses.replace(dip.load(), iterations=3, channels=2)
    assert float(denoiser._restore(torch.zeros(1, 1, 8, 8), lambda loss: None).mean()) == pytest.approx(2.0)
    denoiser = dataclasses.replace(denoiser, iterations=397)
    assert float(denoiser._restore(torch.zeros(1, 1, 8, 8), lambda loss: None).mean()) == pytest.approx(307, abs=6)


def test_progress_counts_every_network() -> None:
    calls: list[int] = []
    settings = learned.Settings("x", 10, 1.0, progress=lambda done, total, **info: calls.extend((done, total)))

    def restore(frames: Tensor, step: learned.Step) -> Tensor:
        for _ in range(10):
            step(torch.zeros(()))
        return frames

    image = given(noise((3, 2, 8, 8)))
    torch.testing.assert_close(learned.denoise(image, settings, restore, each=True).image, image.image)
    assert calls[-2:] == [120, 120]
    learned.denoise(given(noise((1, 4, 8, 8)).abs()), settings, restore, each=False)
    assert calls[-2:] == [10, 10]
