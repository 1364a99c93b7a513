"""Models in files: weights and card keep together, old cards load, the default follows the kind of image."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from clearmr import road
from clearmr.errors import InputError
from clearmr.methods.snraware import cards
from clearmr.methods.snraware.config import NetConfig
from clearmr.methods.snraware.inference import SnrAware
from clearmr.methods.snraware.model import build
from clearmr.scan import SnrImage
from laws import complex_noise

ONE = torch.ones(1, 1, 1, 1)
SMALL = NetConfig(channels=(4, 8), cells=1)


def image(*, magnitude: bool = False) -> SnrImage:
    values = 10 + complex_noise(4, 1, 24, 20, seed=0)
    return SnrImage(values.abs() if magnitude else values, ONE, ONE, "measured")


def saved(path: Path, net: NetConfig = SMALL, **card: object) -> Path:
    torch.manual_seed(0)
    cards.save(SnrAware(build(net).eval(), path.stem, {"net": dataclasses.asdict(net)}), path, dict(card))
    return path


@pytest.mark.parametrize(
    "net",
    [
        SMALL,
        NetConfig(channels=(4, 8, 8), cells=2, image="magnitude", noise_map=False),
        NetConfig("unet-conv3d", channels=(4, 8), cells=1, norm="patch"),
        NetConfig("hrnet-cnnt", channels=(64, 128), cells=1, norm="pixel"),
    ],
)
def test_a_card_keeps_every_field_of_the_network(tmp_path: Path, net: NetConfig) -> None:
    path = saved(tmp_path / "m.safetensors", net, told="gmap", licence="MIT")
    loaded = cards.load(path)
    assert NetConfig(**loaded.card["net"]) == net
    assert loaded.card["told"] == "gmap" and loaded.card["licence"] == "MIT"
    torch.manual_seed(0)
    for a, b in zip(build(net).state_dict().values(), loaded.net.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def test_weights_and_card_go_together(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.safetensors")
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match="SHA-256"):
        cards.load(path)
    path.with_suffix(".json").unlink()
    with pytest.raises(InputError, match="card beside the weights"):
        cards.load(path)


def test_a_card_of_before_the_networks_had_names_loads(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.safetensors")
    card = json.loads(path.with_suffix(".json").read_text())
    card["net"] = {"channels": [4, 8], "cells": 1}
    card["config"] = {"noise": {"told": "gmap"}}
    path.with_suffix(".json").write_text(json.dumps(card))
    loaded = cards.load(path)
    assert loaded.card["net"]["architecture"] == "unet-residual3d" and loaded.card["told"] == "gmap"


@pytest.mark.parametrize(
    ("net", "said"),
    [
        ({"channels": [4, 8], "cells": 1, "wings": 2}, "wings"),
        ({"architecture": "resnet"}, "resnet"),
        ({"channels": [4, 16], "cells": 1}, "weights of the network that the card names"),
        ([1], "model card"),
    ],
)
def test_a_card_that_does_not_fit_is_said_in_one_line(tmp_path: Path, net: object, said: str) -> None:
    path = saved(tmp_path / "m.safetensors")
    card = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps({**card, "net": net}))
    with pytest.raises(InputError, match=said):
        cards.load(path)


def test_the_folder_of_a_run_will_do(tmp_path: Path) -> None:
    saved(tmp_path / "mine.safetensors")
    (tmp_path / "best.safetensors").write_bytes(b"")
    (tmp_path / "state.safetensors").write_bytes(b"")
    (tmp_path / "state.json").write_text('{"step": 3}')
    assert cards.load(tmp_path).name == "mine"
    saved(tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="found 2 in"):
        cards.load(tmp_path)


def test_whole_numbers_stay_whole(tmp_path: Path) -> None:
    made = SnrAware(build(SMALL), "m", {"net": dataclasses.asdict(SMALL)})
    made.net.register_buffer("index", torch.tensor([4097, 70000]))
    made.net.register_buffer("large", torch.tensor([1e6]))
    cards.save(made, tmp_path / "m.safetensors", {})
    stored = cards.checkpoint.load_tensors(tmp_path / "m.safetensors")
    assert stored["index"].tolist() == [4097, 70000] and float(stored["large"]) == 1e6
    assert stored["noise.tail.weight"].dtype == torch.float16


def test_the_default_follows_the_kind_of_image() -> None:
    assert _names() == ("snraware-small", "snraware-small-mag")
    assert cards.bundled() == ("snraware-small", "snraware-small-mag")


def _names() -> tuple[str, ...]:
    """The models that the road takes for a complex and for a magnitude image."""
    return tuple(road.denoise(image(magnitude=m)).meta["steps"][-1]["model"] for m in (False, True))


def test_unknown_model_is_refused() -> None:
    with pytest.raises(InputError, match="no-such-model"):
        cards.load("no-such-model")
