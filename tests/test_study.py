"""Reader studies: the design is balanced and blind, and the page tells nothing."""

import base64
import hashlib
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from clearmr.errors import InputError
from clearmr.report import study_design, study_items, study_page
from cli_runs import done, refused
from small_study import AFFINE, design, pairs, save, volume


# ---- the design -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("arms", [("A", "B"), ("A", "B", "C")])
def test_every_round_shows_every_case_once_and_no_arm_is_earlier(arms: tuple[str, ...]) -> None:
    drawn = design(9, arms=arms, repeat_share=0.0)
    for order in drawn.orders:
        shown = [drawn.picture(reading.pictures[0]) for reading in order]
        assert len({(p.case, p.arm) for p in shown}) == len(shown) == 9 * len(arms)
        for turn in range(len(arms)):
            part = shown[9 * turn : 9 * turn + 9]
            assert sorted(p.case for p in part) == list(range(9))
            counts = Counter(p.arm for p in part)
            assert max(counts.values()) - min(counts[k] for k in range(len(arms))) <= 1
        gaps = [b - a for case in range(9) for a, b in zip(*[places(shown, case)[k:] for k in (0, 1)], strict=False)]
        assert min(gaps) >= 5


def places(shown: list[study_design.Picture], case: int) -> list[int]:
    return [k for k, picture in enumerate(shown) if picture.case == case]


def test_readers_have_different_orders_and_the_seed_draws_them() -> None:
    drawn = design(8)
    assert drawn == design(8) != design(8, seed=6)
    first, second = ([r.pictures for r in order] for order in drawn.orders)
    assert first != second
    ids = [r.id for order in drawn.orders for r in order]
    assert len(set(ids)) == len(ids)


def test_no_place_tells_the_arm() -> None:
    """Over many seeds each arm is first in the page, first on the screen, on the left and repeated half of the time."""
    n = 400
    seen = Counter()
    for seed in range(n):
        one, two = design(2, seed=seed, repeat_share=0.25), design(2, seed=seed, side_by_side=True, repeat_share=0.5)
        seen["page"] += one.pictures[0].arm
        seen["screen"] += one.picture(one.orders[0][0].pictures[0]).arm
        seen["left"] += two.picture(two.orders[1][0].pictures[0]).arm
        (repeat,) = [r for r in one.orders[0] if r.repeats]
        seen["repeated"] += one.picture(repeat.pictures[0]).arm
    sd = np.sqrt(n) / 2
    for what, count in seen.items():
        assert abs(count - n / 2) < 4 * sd, what
    assert len(seen) == 4


def test_repeats_are_second_looks_well_apart() -> None:
    drawn = design(10, repeat_share=0.15)
    for order in drawn.orders:
        again = [(k, r) for k, r in enumerate(order) if r.repeats]
        assert len(again) == 3
        for k, repeat in again:
            first = next(j for j, r in enumerate(order) if r.id == repeat.repeats)
            assert first < k and order[first].pictures == repeat.pictures
            case = drawn.picture(repeat.pictures[0]).case
            near = [drawn.picture(r.pictures[0]).case for r in order[max(0, k - 2) : k + 3]]
            assert near.count(case) == 1


def test_side_by_side_shows_all_arms_in_balanced_places() -> None:
    drawn = design(10, side_by_side=True, repeat_share=0.0)
    for order in drawn.orders:
        left = [drawn.picture(r.pictures[0]) for r in order]
        assert sorted(p.case for p in left) == list(range(10)) and Counter(p.arm for p in left) == {0: 5, 1: 5}
        assert all(drawn.picture(r.pictures[1]).arm == 1 - p.arm for r, p in zip(order, left, strict=True))


def test_the_key_comes_back_as_it_was() -> None:
    drawn = design(4, side_by_side=True)
    plain = json.loads(json.dumps(study_design.to_key(drawn, seed=5)))
    assert study_design.from_key(plain, "key.json") == drawn and plain["seed"] == 5


@pytest.mark.parametrize(
    "change",
    [
        {"format": "x"}, {"version": 2}, {"pictures": []}, {"orders": [[{"id": "a"}]]}, {"items": 3}, {"cases": []},
    ],
)  # fmt: skip
def test_a_broken_key_is_refused(change: dict) -> None:
    plain = json.loads(json.dumps(study_design.to_key(design(3)))) | change
    with pytest.raises(InputError, match="key"):
        study_design.from_key(plain, "key.json")


@pytest.mark.parametrize(
    "wrong", [{"readers": 0}, {"repeat_share": 1.5}, {"arms": ("A",)}, {"arms": ("A", "A")},
              {"arms": tuple("ABCDEFG"), "side_by_side": True}]
)  # fmt: skip
def test_numbers_out_of_range_are_refused(wrong: dict) -> None:
    with pytest.raises(InputError):
        design(3, **wrong)


def test_items_by_set_by_name_and_of_your_own() -> None:
    names = [item.name for item in study_items.choose(study_items.DEFAULT)]
    assert names == ["overall", "snr", "contrast", "sharpness", "artifacts", "structures", "lesions"]
    own = study_items.choose("snr, tip=Catheter tip")
    assert [item.title for item in own] == ["Perceived SNR", "Catheter tip"]
    for wrong in ("", "beauty", "snr,quality"):
        with pytest.raises(InputError, match="items"):
            study_items.choose(wrong)


# ---- the page ---------------------------------------------------------------------------------------------------
def made(folder: Path, given: list[str], *more: str | Path) -> tuple[str, dict]:
    done("study", "make", *given, "-o", folder, "--seed", "7", "-q", *more)
    return (folder / "study.html").read_text(), json.loads((folder / "key.json").read_text())


def test_two_studies_of_other_names_have_the_same_page(tmp_path: Path) -> None:
    plain, key = made(tmp_path / "one", pairs(tmp_path / "a", 3))
    renamed, other = made(tmp_path / "two", pairs(tmp_path / "secret-arm", 3, names=("vendorx", "methody")))
    assert plain == renamed and key["files"] != other["files"]


def test_the_page_holds_no_name_no_hash_and_no_record(tmp_path: Path) -> None:
    given = pairs(tmp_path / "in", 3, names=("vendorx", "methody"))
    files = [Path(part) for pair in given for part in pair.split("=")]
    (tmp_path / "arms.csv").write_text(
        "case,zebra,walrus\n" + "".join(f"pat{k},{p.replace('=', ',')}\n" for k, p in enumerate(given))
    )
    page, key = made(tmp_path / "s", [], "--pairs", tmp_path / "arms.csv")
    told = ["zebra", "walrus", "vendorx", "methody", "pat0", "pat1", "nii", str(tmp_path), 'sha256":']
    told += [hashlib.sha256(path.read_bytes()).hexdigest()[:12] for path in files]
    told += [
        key["provenance"]["input_sha256"][:12],
        key["provenance"]["date"][:10],
        key["provenance"]["version"],
        "--pairs",
    ]
    bare = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", page)
    for word in told:
        assert word.lower() not in bare.lower(), word
    assert "repeats" not in bare and '"case"' not in bare and '"arm"' not in bare and '"seed"' not in bare
    assert key["arms"] == ["zebra", "walrus"] and key["cases"] == ["pat0", "pat1", "pat2"]


def test_the_pictures_carry_pixels_and_nothing_else(tmp_path: Path) -> None:
    page, _ = made(tmp_path / "s", pairs(tmp_path / "in", 2), "--slices", "2")
    found = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", page)
    assert len(found) == 8
    for text in found:
        data = base64.b64decode(text)
        kinds, at = set(), 8
        while at < len(data):
            size = int.from_bytes(data[at : at + 4], "big")
            kinds.add(data[at + 4 : at + 8])
            at += size + 12
        assert kinds == {b"IHDR", b"IDAT", b"IEND"}


def test_every_token_of_the_key_shows_its_own_image(tmp_path: Path) -> None:
    """Noise tells the arms of this study apart: the key must be right about each picture."""
    page, key = made(tmp_path / "s", pairs(tmp_path / "in", 3))
    blocks = dict(re.findall(r'id="p-(\w+)">(.*?)</script>', page))
    sizes: dict[tuple[int, int], int] = {(p["case"], p["arm"]): len(blocks[p["token"]]) for p in key["pictures"]}
    assert len(blocks) == 6 and list(blocks) == sorted(blocks)
    for case in range(3):
        assert sizes[case, 0] > 1.1 * sizes[case, 1]  # more noise, longer PNG


def test_nothing_can_be_loaded_or_sent(tmp_path: Path) -> None:
    page, _ = made(tmp_path / "s", pairs(tmp_path / "in", 1))
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy.startswith("default-src 'none'; img-src data:;") and "unsafe" not in policy
    for kind, tag in (("script", "script"), ("style", "style")):
        body = re.findall(rf"<{tag}>(.*?)</{tag}>", page, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(body[0].encode()).digest()).decode()
        assert len(body) == 1 and f"{kind}-src 'sha256-{digest}'" in policy
    assert not re.search(r"https?://|src=|href=|fetch\(|XMLHttpRequest|sendBeacon|WebSocket|innerHTML|eval\(", page)


def test_a_title_is_text_and_may_not_unblind(tmp_path: Path) -> None:
    given = pairs(tmp_path / "in", 1)
    page, _ = made(tmp_path / "s", given, "--title", "<b>Knee</b> & more")
    assert "&lt;b&gt;Knee&lt;/b&gt; &amp; more" in page and "<b>Knee" not in page
    said = refused(tmp_path, "study", "make", *given, "-o", tmp_path / "t", "--title", "Denoised or not")
    assert "--title" in said


def test_a_page_too_large_is_refused() -> None:
    with pytest.raises(InputError, match="--slices"):
        study_page.check_size(["x" * 60, "y" * 60], most=100)
    assert study_page.check_size(["x" * 60]) == 60


# ---- the command ------------------------------------------------------------------------------------------------
def test_folders_of_three_arms(tmp_path: Path) -> None:
    for arm, noise in (("raw", 15), ("ours", 4), ("peer", 6)):
        for case in range(2):
            save(tmp_path / arm / f"s{case}.nii.gz", volume(case, noise=noise))
        save(tmp_path / arm / "s0_gmap.nii.gz", volume(0, noise=0))
        (tmp_path / arm / "s0.json").write_text("{}")
    folders = [word for arm in ("raw", "ours", "peer") for word in ("--arm", f"{arm}={tmp_path / arm}")]
    done("study", "make", *folders, "-o", tmp_path / "s", "--key", tmp_path / "apart.json", "-q")
    key = json.loads((tmp_path / "apart.json").read_text())
    assert key["arms"] == ["raw", "ours", "peer"] and key["cases"] == ["s0.nii.gz", "s1.nii.gz"]
    assert [p.name for p in (tmp_path / "s").iterdir()] == ["study.html"] and len(key["pictures"]) == 6
    (tmp_path / "peer" / "s1.nii.gz").unlink()
    assert "s1.nii.gz" in refused(tmp_path, "study", "make", *folders, "-o", tmp_path / "t")


def test_without_a_seed_each_study_is_another_one(tmp_path: Path) -> None:
    given = pairs(tmp_path / "in", 1)
    for name in ("a", "b"):
        done("study", "make", *given, "-o", tmp_path / name, "-q")
    keys = [json.loads((tmp_path / name / "key.json").read_text()) for name in ("a", "b")]
    assert keys[0]["study"] != keys[1]["study"] and keys[0]["seed"] != keys[1]["seed"]
    done("study", "make", *given, "-o", tmp_path / "c", "-q", "--seed", str(keys[0]["seed"]))
    assert (tmp_path / "c" / "study.html").read_bytes() == (tmp_path / "a" / "study.html").read_bytes()


def test_arms_of_unequal_brightness_are_told_of(tmp_path: Path) -> None:
    bright = save(tmp_path / "bright.nii.gz", 10 * volume(0, noise=4))
    plain = save(tmp_path / "plain.nii.gz", volume(0, noise=4))
    found = done("study", "make", f"{plain}={bright}", "-o", tmp_path / "s")
    assert (
        "brightness" in found.err
        and "--own-window" in found.err
        and "plain.nii" not in (tmp_path / "s" / "study.html").read_text()
    )
    assert "brightness" not in done("study", "make", f"{plain}={bright}", "-o", tmp_path / "t", "--own-window").err


@pytest.mark.parametrize(
    ("args", "word"),
    [
        ((), "--pairs"),
        (("a.nii.gz",), "ORIGINAL=DENOISED"),
        (("a.nii.gz=b.nii.gz",), "not there"),
        (("{in}/noisy_0.nii.gz={in}/noisy_0.nii.gz",), "different file"),
        (("{in}/noisy_0.nii.gz={in}/small.nii.gz",), "grid"),
        (("{in}/noisy_0.nii.gz={in}/turned.nii.gz",), "grid"),
        (("{ok}", "--slices", "0"), "--slices"),
        (("{ok}", "--view", "oblique"), "--view"),
        (("{ok}", "--items", "beauty"), "items"),
        (("{ok}", "--readers", "0"), "--readers"),
        (("{ok}", "--repeat-share", "2"), "--repeat-share"),
        (("{ok}", "--seed", "-1"), "--seed"),
        (("{ok}", "{ok}"), "each once"),
        (("--pairs", "{in}/bad.csv"), "case,original,denoised"),
        (("--pairs", "{in}/none.csv"), "existing CSV"),
        (("--arm", "a={in}", "--arm", "b"), "--arm NAME=FOLDER"),
    ],
)
def test_wrong_input_is_one_line_and_leaves_nothing(tmp_path: Path, args: tuple[str, ...], word: str) -> None:
    (ok,) = pairs(tmp_path / "in", 1)
    save(tmp_path / "in" / "small.nii.gz", volume(0, noise=1, shape=(16, 24, 6)))
    save(tmp_path / "in" / "turned.nii.gz", volume(0, noise=1)[:, :, ::-1], AFFINE[:, [1, 0, 2, 3]])
    (tmp_path / "in" / "bad.csv").write_text("original\nx.nii.gz\n")
    given = [arg.replace("{ok}", ok).replace("{in}", str(tmp_path / "in")) for arg in args]
    assert word in refused(tmp_path, "study", "make", *given, "-o", tmp_path / "out")
