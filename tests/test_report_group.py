"""The page of a group: every scan with its verdict and figures, a page of each beside it, whole or not at all."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clearmr.cli import main
from clearmr.errors import InputError
from clearmr.report import render, write_group
from clearmr.report.group import thumbnails
from clearmr.report.layers import layers
from clearmr.report.pictures import Coding
from test_report import Reader, make_results, save, text_of

CHECKS = [
    {"name": "lesion", "title": "A small lesion survives", "verdict": "fail", "said": "61 % of its contrast is left."},
    {
        "name": "bias",
        "title": "Signal kept",
        "verdict": "pass",
        "said": "Changed by +0.02 %.",
        "figures": {"bias": 2e-4},
    },
]


def group(folder: Path) -> list[Path]:
    """Three results folders: one doubted by a check, one plain and old, one estimated without an SNR after."""
    first = make_results(title="Scan <b>1</b>", trust=CHECKS, warnings=[], snr={"before": 5.0, "after": 20.0})
    second = make_results(title="Scan 10", warnings=[], snr={"before": 9.0, "after": 12.0}, statistics={"sd": 0.7})
    third = make_results(title="Scan 2", noise_source="estimated", snr={"before": 4.0}, statistics={"sd": 1.2})
    return [save(results, folder / f"r{i}") for i, results in enumerate((first, second, third))]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("group")
    return write_group(group(folder), folder / "all.html")


def test_every_scan_is_there_with_its_verdict_and_figures(made: Path) -> None:
    text = text_of(made.read_text(encoding="utf-8"))
    for said in ("3 scans", "2 of 3 want a second look", "1 fail, 2 not run", "median gain of SNR 2.67"):
        assert said in text
    for said in ("SNR rises from 5 to 20", "fail: A small lesion survives", "more than noise alone", "24.1", "31.8"):
        assert said in text
    assert "<b>" not in made.read_text(encoding="utf-8") and "Scan <b>1</b>" in text


def test_the_page_of_each_scan_lies_beside_and_leads_back(made: Path) -> None:
    page = made.read_text(encoding="utf-8")
    links = re.findall(r'<a href="([^"]+)"', page)
    assert len(links) == 3 and all(link.startswith("all_pages/") for link in links)
    for link, title in zip(links, ("Scan &lt;b&gt;1", "Scan 10", "Scan 2"), strict=True):
        single = (made.parent / link).read_text(encoding="utf-8")
        assert f"<h1>{title}" in single and '<a href="../all.html">All scans</a>' in single
    assert not Reader(page).open and not Reader(page).inline and "https:" not in page


def test_a_broken_folder_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    folders = group(tmp_path)
    (folders[1] / "arrays.npz").write_bytes(b"")
    with pytest.raises(InputError, match="r1") as raised:
        write_group(folders, tmp_path / "all.html")
    assert "\n" not in str(raised.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r0", "r1", "r2"]
    folders[1] = save(make_results(noise_sd=np.ones((1, 1, 24, 20), np.float32)), tmp_path / "r1b")
    (folders[1] / "results.json").write_text((folders[0] / "results.json").read_text().replace("measured", "guessed"))
    with pytest.raises(InputError, match=r"guessed.*r1b"):
        write_group(folders, tmp_path / "all.html")


def test_pages_that_are_there_are_kept_unless_forced(tmp_path: Path) -> None:
    folders = group(tmp_path)
    (tmp_path / "all_pages").mkdir()
    (tmp_path / "all_pages" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="--force"):
        write_group(folders, tmp_path / "all.html")
    assert (tmp_path / "all_pages" / "mine.txt").read_text() == "mine" and not (tmp_path / "all.html").exists()
    write_group(folders[:2], tmp_path / "all.html", force=True)
    assert len(list((tmp_path / "all_pages").iterdir())) == 2


def test_the_command_takes_one_folder_or_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [str(folder) for folder in group(tmp_path)]
    one, many = (str(tmp_path / name) for name in ("one.html", "many.html"))
    assert main(["report", folders[0], "-o", one, "-q"]) == 0
    assert main(["report", *folders, "-o", many]) == 0
    assert "many_pages: 3 pages" in capsys.readouterr().err
    assert not (tmp_path / "one_pages").exists() and len(list((tmp_path / "many_pages").iterdir())) == 3
    (tmp_path / "many.html").unlink()
    assert main(["report", *folders, "-o", many]) == 2 and "many_pages" in capsys.readouterr().err
    assert main(["report", "-o", many]) == 2


def test_trust_checks_come_first_the_worst_before_the_others() -> None:
    page = render(make_results(trust=CHECKS[::-1], warnings=[]))
    body = page[page.index("<body>") :]
    words = [
        "<h1>",
        'class="trust"',
        'class="badge is-fail"',
        "A small lesion survives",
        "Signal kept",
        "SNR rises",
        "<canvas",
    ]
    places = [body.index(word) for word in words]
    assert places == sorted(places)
    assert 'class="verdict care"' in page and "fail Trust checks: do not trust this result" in text_of(page)
    assert "bias 0.0002" in text_of(page) and "61 % of its contrast is left." in text_of(page)


def test_what_is_nested_in_a_check_is_told_apart() -> None:
    figures = {"by_gmap": [{"g_low": 1.0, "sd": 0.9}, {"g_low": 2.0, "sd": 0.8}], "range": [1, 2]}
    page = render(make_results(trust=[CHECKS[0] | {"figures": figures, "limits": {}}]))
    assert "by gmap [g low 1; SD 0.9] [g low 2; SD 0.8]" in text_of(page) and "range 1, 2" in text_of(page)


def test_folders_of_before_the_checks_are_shown_without_them() -> None:
    assert "Trust checks" not in render(make_results())


@pytest.mark.parametrize(
    "trust",
    [[{"title": "x", "verdict": "good"}], [{"verdict": "pass"}], [{"title": "x", "verdict": ["pass"]}]],
)
def test_a_check_that_is_none_is_refused(trust: list) -> None:
    with pytest.raises(InputError, match="trust check"):
        make_results(trust=trust)
    with pytest.raises(InputError, match="trust_verdict"):
        make_results(trust=CHECKS, trust_verdict="good")


def test_an_uncertainty_map_is_a_pane_in_units_of_the_noise() -> None:
    results = make_results(uncertainty=np.full((1, 1, 1, 1), 0.5, np.float32))
    page = render(results)
    assert 'data-layer="uncertainty"' in page and "Uncertainty / noise SD" in page
    left = layers(results, Coding())["uncertainty"].values
    np.testing.assert_allclose(left, 0.5 / results.noise_sd, rtol=1e-6)
    with pytest.raises(InputError, match="uncertainty"):
        make_results(uncertainty=np.ones((1, 1, 5, 5), np.float32))


def test_thumbnails_are_before_after_and_removed_in_the_shape_of_the_body() -> None:
    uris = thumbnails(make_results(spacing=[8.0, 2.0, 1.0]), 48)
    pictures = [np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))).astype(float) for uri in uris]
    assert [picture.shape for picture in pictures] == [(48, 20), (48, 20), (48, 20, 3)]
    assert pictures[0][:4].mean() > 3 * pictures[1][:4].mean()  # above the body there is noise, and then a tenth of it
