"""MR-self Noise2Noise's denoiser: the contract of a method, orientations, the blend, bounds on memory, model files."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from clearmr.denoiser import Denoiser
from clearmr.errors import InputError
from clearmr.methods import room
from clearmr.methods.mr_self_noise2noise import cards, inference
from clearmr.methods.mr_self_noise2noise.config import NetConfig
from clearmr.methods.mr_self_noise2noise.inference import SelfNoise2Noise
from clearmr.methods.mr_self_noise2noise.model import build
from clearmr.scan import SnrImage
from laws import complex_noise
from self_noise2noise_stubs import ONE, method, of, stubbed

SHAPE = (1, 9, 24, 20)


def noisy(shape: tuple[int, ...] = SHAPE, *, level: float = 10.0, seed: int = 0, image: str = "magnitude") -> SnrImage:
    values = level + complex_noise(*shape, seed=seed)
    made = of(values, affine=None, spacing=(1.0, 1.0, 1.2), meta={"steps": [{"name": "recon"}]})
    return method.magnitude(made) if image == "magnitude" else made


def denoiser(seed: int = 0, *, alpha: float = 0.0, net: NetConfig | None = None, **options: object) -> SelfNoise2Noise:
    torch.manual_seed(seed)
    config = net or NetConfig(channels=(4, 8))
    made = build(config).eval()
    torch.nn.init.normal_(made.tail.weight, std=0.3)
    card = {"net": dataclasses.asdict(config), "orientations": "all", "alpha": alpha}
    return SelfNoise2Noise(made, "random", card, **{"precision": "float32", **options})  # type: ignore[arg-type]


@pytest.mark.parametrize("image", ["magnitude", "complex"])
def test_the_contract_of_a_denoiser(image: str) -> None:
    made = denoiser(net=NetConfig(image=image, channels=(4, 8)))  # type: ignore[arg-type]
    given = noisy(image=image)
    kept = given.image.clone()
    first, second = made(given), made(given)
    assert isinstance(made, Denoiser) and torch.equal(first.image, second.image)
    assert (first.image.shape, first.image.dtype) == (given.image.shape, given.image.dtype)
    assert (first.spacing, first.header, first.noise_sd is given.noise_sd) == (given.spacing, given.header, True)
    assert torch.equal(given.image, kept) and not torch.equal(first.image, kept)
    assert [step["name"] for step in first.meta["steps"]] == ["recon", "denoise"]
    if image == "magnitude":
        assert float(first.image.min()) >= 0


@pytest.mark.parametrize("config", [NetConfig(channels=(4, 8)), NetConfig(channels=(4, 8), bias=True, scale="peak")])
def test_an_image_in_another_unit_gives_the_same_in_that_unit(config: NetConfig) -> None:
    made, given = denoiser(net=config), noisy()
    other = dataclasses.replace(given, image=250 * given.image, noise_sd=250 * given.noise_sd)
    torch.testing.assert_close(made(other).image, 250 * made(given).image, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_alpha_and_strength_mix_as_equation_1_says(alpha: float, strength: float) -> None:
    halved = stubbed(lambda x: x / 2, card={"alpha": alpha}, strength=strength)
    given = noisy()
    share = strength * (1 - alpha)
    torch.testing.assert_close(halved(given).image, (1 - share / 2) * given.image)
    torch.testing.assert_close(halved.output(given), given.image / 2)
    assert halved(given).meta["steps"][-1]["alpha"] == alpha


def test_strength_0_gives_the_image_back() -> None:
    made = stubbed(lambda x: x / 2, strength=0.0)
    assert torch.equal(made(noisy()).image, noisy().image) and not made.net.given


def test_slices_reach_the_network_mirrored_at_the_ends() -> None:
    made = stubbed(lambda x: x, along="depth")
    values = torch.arange(1.0, 10)[:, None, None].expand(*SHAPE[1:])[None]
    made.output(of(values.contiguous()))
    seen = torch.cat(made.net.given)[:, 0, :, 0, 0]
    assert seen[0].tolist() == [4, 3, 2, 1, 2, 3, 4] and seen[8].tolist() == [6, 7, 8, 9, 8, 7, 6]
    assert seen[4].tolist() == [2, 3, 4, 5, 6, 7, 8] and len(seen) == 9


def test_all_orientations_are_turned_back_and_averaged() -> None:
    made = stubbed(lambda x: x, along="volume")
    given = noisy()
    torch.testing.assert_close(made.output(given), given.image)
    assert [tuple(x.shape[-2:]) for x in made.net.given[:: len(made.net.given) - 1]] == [(24, 20), (9, 24)]
    assert len(made.net.given) == 9 + 24 + 20
    real, along_z = denoiser(along="volume"), denoiser(along="depth")
    by_hand = [along_z.output(given)]
    for there, back in (((0, 2, 1, 3), (0, 2, 1, 3)), ((0, 3, 1, 2), (0, 2, 3, 1))):
        turned = dataclasses.replace(given, image=given.image.permute(there).contiguous())
        by_hand.append(along_z.output(turned).permute(back))
    torch.testing.assert_close(real.output(given), torch.stack(by_hand).mean(0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("orientations", "spacing", "shape", "expected"),
    [
        ("all", (1.0, 1.0, 1.2), SHAPE, "volume"),
        ("all", (3.0, 1.0, 1.0), SHAPE, "depth"),
        ("all", (1.0, 1.0, 1.0), (1, 5, 24, 20), "depth"),
        ("z", (1.0, 1.0, 1.0), SHAPE, "depth"),
    ],
)
def test_auto_is_what_was_trained_and_what_fits(
    orientations: str, spacing: tuple[float, float, float], shape: tuple[int, ...], expected: str
) -> None:
    made = stubbed(lambda x: x, card={"orientations": orientations})
    given = dataclasses.replace(noisy(shape), spacing=spacing)
    assert made(given).meta["steps"][-1]["along"] == expected


def test_frames_are_denoised_one_by_one() -> None:
    made = denoiser(along="depth")
    both = torch.cat((noisy(seed=0).image, 3 * noisy(seed=1).image))
    level = torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1)
    series = made(of(both, level))
    for k in range(2):
        alone = made(of(both[k, None], level[k, None]))
        torch.testing.assert_close(series.image[k], alone.image[0])


def test_a_batch_of_slices_gives_what_each_gives() -> None:
    given = noisy()
    one, several = (denoiser(batch=n, along="depth")(given).image for n in (1, 4))
    torch.testing.assert_close(one, several, rtol=1e-4, atol=1e-4)
    made = stubbed(lambda x: x, batch=4, along="depth")
    made(given)
    assert [len(x) for x in made.net.given] == [4, 4, 1]


def test_memory_bounds_the_slices_at_once() -> None:
    made = stubbed(lambda x: x, batch=8, along="depth")
    each = 24 * 20 * inference.CHANNEL_BYTES * 32
    beside = inference.PROCESS_BYTES + inference.IMAGE_BYTES * noisy().image.numel()
    bounded = dataclasses.replace(made, memory_bytes=beside + 3.5 * each)
    assert bounded(noisy()).meta["steps"][-1]["batch"] == 3 and max(len(x) for x in made.net.given) == 3
    with pytest.raises(InputError, match="GB of memory"):
        dataclasses.replace(made, memory_bytes=beside + 0.5 * each)(noisy())


def test_progress_reaches_its_end() -> None:
    seen: list[tuple[int, int]] = []
    stubbed(lambda x: x, progress=lambda done, total, **_: seen.append((done, total)))(noisy())
    assert seen[-1] == (300, 300) and seen == sorted(seen)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (noisy(image="complex"), "a magnitude image"),
        (noisy((1, 1, 24, 20)), "at least 4 slices along z"),
        (noisy((1, 3, 24, 20)), "use --method snraware"),
        (dataclasses.replace(noisy(), image=noisy().image / 0), "finite voxels"),
        (dataclasses.replace(noisy(), noise_sd=0 * ONE), "a positive noise_sd"),
    ],
)
def test_images_that_do_not_fit_are_refused_in_one_line(image: SnrImage, said: str) -> None:
    with pytest.raises(InputError, match=said) as refused:
        denoiser()(image)
    assert "\n" not in str(refused.value)


def test_a_complex_network_refuses_magnitudes() -> None:
    with pytest.raises(InputError, match=r"net\.image=magnitude"):
        stubbed(lambda x: x, image="complex")(noisy())


@pytest.mark.parametrize(
    "option", [{"along": "time"}, {"along": "none"}, {"strength": 1.1}, {"batch": 0}, {"precision": "half"}]
)
def test_wrong_options_are_refused(option: dict[str, object]) -> None:
    with pytest.raises(InputError, match=f"--{next(iter(option))}"):
        dataclasses.replace(denoiser(), **option)  # type: ignore[arg-type]


def test_a_noise_free_image_stays_nearly_as_it_is() -> None:
    y, x = torch.meshgrid(torch.linspace(-3, 3, 72), torch.linspace(-3, 3, 64), indexing="ij")
    clean = (30 * torch.exp(-(x**2 + y**2) / 4)).expand(1, 8, -1, -1).contiguous()
    worst = stubbed(lambda values: 0.8 * values)(of(clean))
    assert float((worst.image - clean).norm() / clean.norm()) < 0.04
    assert any("smoother than its noise level" in w for w in worst.meta["warnings"])


def test_what_the_card_warns_of_is_said_with_each_image() -> None:
    warned = stubbed(lambda x: x, card={"warnings": ["the training SNR was low"]})(noisy())
    assert "the training SNR was low" in warned.meta["warnings"]


def test_bf16_differs_by_little_of_what_is_removed() -> None:
    given = noisy(level=80.0)
    full, half = (denoiser(precision=p)(given).image for p in ("float32", "bf16"))
    assert 0 < float((full - half).norm()) < 0.02 * float((full - given.image).norm())


def saved(folder: Path, **card: object) -> Path:
    method.save(denoiser(alpha=0.3), folder / "mine.safetensors", {"licence": "MIT", **card})
    return folder / "mine.safetensors"


def test_a_model_file_gives_the_same_denoiser(tmp_path: Path) -> None:
    for name in (saved(tmp_path), tmp_path):
        loaded = room("mr-self-noise2noise").load(name)
        assert (loaded.name, loaded.alpha, loaded.card["licence"]) == ("mine", 0.3, "MIT")
        again = dataclasses.replace(loaded, precision="float32")(noisy()).image
        torch.testing.assert_close(again, denoiser(alpha=0.3)(noisy()).image, rtol=1e-2, atol=2e-2)
    assert json.loads(saved(tmp_path).with_suffix(".json").read_text())["method"] == "mr_self_noise2noise"


def test_no_model_ships_and_others_are_refused(tmp_path: Path) -> None:
    assert cards.bundled() == ()
    with pytest.raises(InputError, match="clearmr train mr-self-noise2noise"):
        cards.load()
    with pytest.raises(InputError, match="run's folder"):
        cards.load("no-such-model")
    with pytest.raises(InputError, match="--method mr-self-noise2noise"):
        room("snraware").load(saved(tmp_path))
    path = saved(tmp_path)
    card = path.with_suffix(".json")
    text = card.read_text()
    for changed in (text.replace('"image"', '"picture"'), text.replace('"alpha": 0.3', '"alpha": "much"'), "{}", "["):
        card.write_text(changed)
        with pytest.raises(InputError, match="card"):
            cards.load(path)
    card.write_text(text.replace('"sha256": "', '"sha256": "0'))
    with pytest.raises(InputError, match="SHA-256"):
        cards.load(path)
    card.unlink()
    with pytest.raises(InputError, match="keep both files together"):
        cards.load(path)


def test_a_denoiser_of_known_shrinkage_lowers_the_error() -> None:
    """Averaging the seven slices of a volume that is the same in each is the best there is: 1 / 7 of the variance."""

    class Mean(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[:, :1].mean(2, keepdim=True)

    made = SelfNoise2Noise(Mean(), "mean", {"net": dataclasses.asdict(NetConfig())}, along="depth")
    given = noisy((1, 40, 32, 32), level=50.0)
    before, after = ((i.image - 50).square().mean() for i in (given, made(given)))
    assert abs(float(before / after) - 7) < 1.2
