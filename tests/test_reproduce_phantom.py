"""The phantom test of SNRAware: regions in water, g that rises with R, and what is checked."""

import dataclasses
from pathlib import Path

import pytest
import torch

from clearmr import reproduce, road
from clearmr.reproduce import results, snraware_phantom
from clearmr.reproduce.snraware_phantom import TOLD, UNTOLD, Found, Scale, Untold
from clearmr.scan import SnrImage

MICRO = Scale(48, 2, 8, 40.0, 1, 8)


@dataclasses.dataclass(frozen=True)
class Listens:
    """Keeps the mean of rows, and of the rest what is above the noise that it is told of."""

    name: str = "listens"

    def __call__(self, image: SnrImage) -> SnrImage:
        mean = image.image.mean(-1, keepdim=True)
        rest = image.image - mean
        keep = 1 - (image.noise_sd.square() / rest.abs().square().mean(0, keepdim=True).clamp_min(1e-9)).clamp(max=1)
        return dataclasses.replace(image, image=mean + rest * keep)


@dataclasses.dataclass(frozen=True)
class Halves:
    """Halves the image, and keeps what it was given."""

    name: str = "halves"
    told: list[SnrImage] = dataclasses.field(default_factory=list)

    def __call__(self, image: SnrImage) -> SnrImage:
        self.told.append(image)
        return dataclasses.replace(image, image=image.image / 2)


def test_regions_lie_in_plain_water() -> None:
    water, masks = snraware_phantom.water(96, 2), snraware_phantom.regions(96, 2)
    assert (
        water.shape == (2, 1, 96, 96) and float(water.min()) == 0 and float(water.max()) == pytest.approx(1, abs=1e-6)
    )
    assert list(masks) == ["centre", "halfway", "edge"]
    for mask in masks.values():
        assert int(mask.sum()) > 50 and torch.all(water[mask] > 0.999)
    assert len({round(float(v), 1) for v in water.unique()}) > 4  # the tubes are there


def test_the_one_level_is_the_power_of_the_noise_in_the_water() -> None:
    denoiser = Halves()
    noise_sd = torch.ones(1, 1, 4, 4)
    noise_sd[..., :2, :] = 7.0
    inside = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    inside[..., 1:3, :] = True
    image = SnrImage(torch.ones(1, 1, 4, 4), noise_sd, noise_sd, "measured")
    done = Untold(denoiser, inside)(image)
    (told,) = denoiser.told
    assert torch.allclose(told.noise_sd[inside], torch.tensor(5.0)) and torch.equal(told.gmap, told.noise_sd)
    assert torch.equal(told.noise_sd[~inside], noise_sd[~inside])
    assert torch.equal(done.noise_sd, noise_sd) and torch.all(done.image == 0.5)


def test_a_small_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(snraware_phantom.SCALES, "tiny", MICRO)
    monkeypatch.setattr(road, "denoiser", lambda *_, **__: Listens())
    found = reproduce.room("snraware-phantom").run(reproduce.Options(tmp_path, "tiny"))
    rows = {row[:3]: row for row in found.rows}
    assert len(rows) == 12 and rows["R=4", TOLD, "centre"][4] == 2.52
    g = {r: float(str(rows[r, TOLD, "centre"][3]).split()[0]) for r in ("R=2", "R=4")}
    assert 1.0 < g["R=2"] < 1.4 < g["R=4"]
    snr = [float(str(rows[r, TOLD, "centre"][5]).split()[0]) for r in ("R=2", "R=4")]
    assert snr[0] > 1.5 * snr[1]  # by sqrt(2) and by g
    text = results.markdown(found)
    assert "2.52" in text and "## Noise in the centre over noise at the edge" in text and len(found.checks) == 7


def made(snr_told: float, snr_untold: float, *, g: float = 2.5, signal: float = 1.0) -> snraware_phantom.Figures:
    """Figures of one coil array: noise in the centre 2 before and 1 after when told, at the edge 1 always."""
    found = {}
    for r, told in ((r, told) for r in ("R=2", "R=4") for told in (TOLD, UNTOLD)):
        after = snr_told if told == TOLD else snr_untold
        high = g if r == "R=4" else 1.1
        found[r, told, "centre"] = [Found(high, (5.0, after), (2.0, 1.0 if told == TOLD else 1.8), signal)]
        found[r, told, "edge"] = [Found(1.0, (10.0, after), (1.0, 1.0), signal)]
    return found


def test_checks_hold_and_fail() -> None:
    assert all(check.holds for check in snraware_phantom.checks(made(20.0, 15.0)))
    for worse, word in (
        (made(15.0, 20.0), "than told one level"),
        (made(9.0, 8.0), "SNR rises"),
        (made(20.0, 15.0, g=0.9), "g is higher"),
        (made(20.0, 15.0, signal=0.97), "mean signal"),
    ):
        assert [word in check.claim for check in snraware_phantom.checks(worse) if not check.holds] == [True]
