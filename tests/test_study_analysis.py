"""Analysis of reader studies: the figures of hand-made scores, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from clearmr.cli import study_statistics
from clearmr.report import study_answers, study_design, study_tables
from clearmr.report.study_design import Design
from cli_runs import done, refused, run
from small_study import Rule, answers, design, pairs, written

pytest.importorskip("sklearn", reason="scikit-learn is absent")


def found(of: Design, folder: Path, *rules: Rule, repeat: Rule | None = None, **options: Any) -> dict[str, Any]:
    files = [written(folder / f"r{k}.json", answers(of, k, rule, repeat=repeat)) for k, rule in enumerate(rules, 1)]
    return study_statistics.analyse(of, study_answers.read_answers(files, of), **options)


def row(of: dict[str, Any], item: str, reader: int | str) -> dict[str, Any]:
    (one,) = [one for one in of["rows"] if one["item"] == item and one["reader"] == reader]
    return one


def test_means_and_wilcoxon_by_hand(tmp_path: Path) -> None:
    """Arm A always 1, arm B 2 to 5: differences 1 to 4, so the sum of the lesser ranks is 0 and p = 2 / 2^4."""
    told = found(design(4), tmp_path, lambda case, arm, item: case + 2 if arm else 1)
    arms = row(told, "overall", 1)["arms"]
    assert arms["A"] == {"mean": 1.0, "sd": 0.0, "n": 4}
    assert arms["B"] == {"mean": 3.5, "sd": pytest.approx((5 / 3) ** 0.5), "n": 4}
    (test,) = row(told, "overall", 1)["tests"]
    assert (test["arm"], test["against"], test["n"]) == ("B", "A", 4)
    assert test["statistic"] == 0 and test["p"] == pytest.approx(0.125) and test["difference"] == 2.5
    assert test["p_holm"] == pytest.approx(0.25)  # two items


def test_holm_never_falls_below_an_earlier_step() -> None:
    tests = [{"p": 0.04}, {"p": 0.01}, {"p": None}, {"p": 0.03}]
    study_statistics._holm(tests)
    assert [test.get("p_holm") for test in tests] == pytest.approx([0.06, 0.03, None, 0.06])


def test_readers_are_averaged_per_case_and_never_counted_as_cases(tmp_path: Path) -> None:
    def one(case: int, arm: int, item: str) -> int:
        return case + 2 if arm else 1

    def two(case: int, arm: int, item: str) -> int | None:
        return None if case == 0 else (case + 1 if arm else 1)

    told = found(design(4), tmp_path, one, two)
    together = row(told, "overall", study_statistics.ALL)
    assert together["arms"]["B"] == {"mean": pytest.approx(3.5), "sd": 1.0, "n": 3}  # 2.5, 3.5, 4.5
    assert together["tests"][0]["n"] == 3 and row(told, "overall", 1)["tests"][0]["n"] == 4


def test_kappa_between_readers_by_hand(tmp_path: Path) -> None:
    """Scores 1 2 3 4 5 against 1 2 3 4 4: 1 squared step, where chance makes 85 / 5 of them: 1 - 1/17."""
    of = design(5, repeat_share=0.0)

    def one(case: int, arm: int, item: str) -> int | None:
        return case + 1 if arm == 0 and item == "overall" else None

    told = found(of, tmp_path, one, lambda *place: None if (score := one(*place)) is None else min(score, 4))
    agreement = {entry["item"]: entry for entry in told["agreement"]}
    assert agreement["overall"]["kappa"] == pytest.approx(1 - 1 / 17)
    assert agreement["overall"]["said"] == "almost perfect" and agreement["overall"]["n"] == 5
    assert agreement["overall"]["equal"] == 0.8 and agreement[None]["kappa"] == agreement["overall"]["kappa"]
    assert agreement["lesions"] == {
        "readers": [1, 2], "item": "lesions", "kappa": None, "said": "no image scored twice", "equal": None, "n": 0,
    }  # fmt: skip
    linear = found(of, tmp_path, one, lambda *p: None if one(*p) is None else min(one(*p), 4), weights="linear")
    chance = sum(abs(i - j) for i in (1, 2, 3, 4, 5) for j in (1, 2, 3, 4, 4)) / 5
    assert linear["agreement"][0]["kappa"] == pytest.approx(1 - 1 / chance)


def test_a_constant_score_has_no_kappa(tmp_path: Path) -> None:
    told = found(design(3), tmp_path, lambda *_: 4, lambda *_: 4)
    assert told["agreement"][0]["kappa"] is None and told["agreement"][0]["said"] == "one score throughout"
    assert row(told, "overall", 1)["tests"][0]["p"] == 1.0
    json.dumps(told, allow_nan=False)


def test_repeats_tell_agreement_with_oneself_and_count_nowhere_else(tmp_path: Path) -> None:
    of = design(10, repeat_share=0.5)

    def rule(case: int, arm: int, item: str) -> int:
        return 1 + (case + 2 * arm) % 5

    same = found(of, tmp_path, rule)
    assert same["repeats"][0] == {"reader": 1, "kappa": 1.0, "said": "almost perfect", "equal": 1.0, "n": 20}
    other = found(of, tmp_path, rule, repeat=lambda *place: 6 - rule(*place))
    assert other["repeats"][0]["kappa"] < 0 and other["repeats"][0]["said"] == "worse than chance"
    assert same["rows"] == other["rows"]


def test_the_words_for_kappa_are_the_papers() -> None:
    borders = {1.0: "almost perfect", 0.81: "almost perfect", 0.8: "substantial", 0.61: "substantial"}
    borders |= {0.6: "moderate", 0.41: "moderate", 0.4: "fair", 0.21: "fair", 0.2: "poor", 0.0: "poor"}
    borders |= {0.604: "moderate", -0.1: "worse than chance"}
    assert {kappa: study_statistics.words(kappa) for kappa in borders} == borders


def test_missing_and_nothing_to_score_are_counted_apart(tmp_path: Path) -> None:
    def rule(case: int, arm: int, item: str) -> Any:
        return {0: None, 1: "none"}.get(case, 3) if item == "lesions" else 3

    told = found(design(4, repeat_share=0.0), tmp_path, rule)
    assert told["answered"] == [{"reader": 1, "asked": 16, "missing": 2, "none": 2, "seconds": None}]
    assert row(told, "lesions", 1)["arms"]["A"]["n"] == 2 and row(told, "overall", 1)["arms"]["A"]["n"] == 4


def test_the_time_of_a_reading_is_the_median_of_what_can_be_one(tmp_path: Path) -> None:
    of = design(4, repeat_share=0.0)
    plain = answers(of, 1, lambda *_: 3)
    plain["seconds"] = dict(zip((r.id for r in of.orders[0]), [10, 20.5, 60, -1, -2, 0, "5", 1e9], strict=True))
    told = study_statistics.analyse(of, study_answers.read_answers([written(tmp_path / "r.json", plain)], of))
    assert told["answered"][0]["seconds"] == 20.5 and "20 s" in study_tables.markdown(told | {"warnings": []})


def test_three_arms_against_a_chosen_one(tmp_path: Path) -> None:
    of = design(5, arms=("A", "B", "C"))
    told = found(of, tmp_path, lambda case, arm, item: 2 + arm, against=2)
    assert [(t["arm"], t["difference"]) for t in row(told, "overall", 1)["tests"]] == [("A", -2.0), ("B", -1.0)]
    assert "A: difference" in study_tables.markdown(told | {"warnings": []})


def test_side_by_side_answers_follow_their_pictures(tmp_path: Path) -> None:
    told = found(design(6, side_by_side=True, repeat_share=0.5), tmp_path, lambda case, arm, item: 5 if arm else 2)
    assert row(told, "overall", 1)["arms"]["A"]["mean"] == 2 and row(told, "overall", 1)["arms"]["B"]["mean"] == 5


# ---- the command ------------------------------------------------------------------------------------------------
@pytest.fixture
def study(tmp_path: Path) -> tuple[Path, Design]:
    """A made study in tmp_path / "s": its key and design."""
    done(
        "study", "make", *pairs(tmp_path / "in", 6), "-o", tmp_path / "s", "-q", "--seed", "2", "--items", "snr,lesions"
    )
    key = tmp_path / "s" / "key.json"
    return key, study_answers.read_key(key)


def rule(case: int, arm: int, item: str) -> int:
    return min(5, 2 + arm + case % 3)


def test_tables_page_and_json(tmp_path: Path, study: tuple[Path, Design]) -> None:
    key, of = study
    files = [written(tmp_path / f"{k}.json", answers(of, k, rule)) for k in (1, 2)]
    told = json.loads(done("study", "analyse", key, *files, "-o", tmp_path / "a", "--json", "-q").out)
    table = (tmp_path / "a" / "table.md").read_text()
    assert json.loads((tmp_path / "a" / "results.json").read_text())["rows"] == told["rows"]
    assert "| Perceived SNR | Reader 1 | 3.00 ± 0.89 | 4.00 ± 0.89 | +1.00 |" in table
    assert "| Perceived SNR | All readers | 3.00 ± 0.89 | 4.00 ± 0.89 | +1.00 |" in table
    assert "| All items | 1 and 2 | 1.000 | almost perfect | 100 % |" in table
    page = (tmp_path / "a" / "table.html").read_text()
    assert "4.00 ± 0.89" in page and "<script" not in page and "http" not in page.replace("http-equiv", "")
    assert done("study", "analyse", key, *files, "-q").out == table
    assert told["provenance"]["input_sha256"] and told["warnings"] == []


def test_names_from_outside_are_text(tmp_path: Path) -> None:
    of = design(3, arms=("<i>a|b", "B"))
    told = found(of, tmp_path, rule) | {"warnings": ["<u>"]}
    assert "<i>" not in study_tables.page(told) and "<u>" not in study_tables.page(told)
    assert "&lt;i>a\\|b" in study_tables.markdown(told)


def test_incomplete_answers_and_absent_readers_are_told(tmp_path: Path, study: tuple[Path, Design]) -> None:
    key, of = study
    half = written(tmp_path / "1.json", answers(of, 1, lambda case, arm, item: None if case < 2 else 3))
    said = done("study", "analyse", key, half).err
    assert "no answers of reader 2" in said and "scores missing" in said


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "another study": ({"study": "zzz"}, "another one"),
    "no such reader": ({"reader": 3}, "reader from 1 to 2"),
    "a reader in words": ({"reader": "1"}, "reader from 1 to 2"),
    "true is no reader": ({"reader": True}, "reader from 1 to 2"),
    "another format": ({"format": "x"}, "downloaded"),
    "another version": ({"version": 2}, "downloaded"),
    "no answers": ({"answers": {}}, "at least one answer"),
    "answers in a list": ({"answers": []}, "answers"),
    "an unknown reading": ({"answers": {"zz": [{}]}}, "unknown reading"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_files_that_are_not_of_this_study_are_refused(tmp_path: Path, study: tuple[Path, Design], change: str) -> None:
    key, of = study
    values, word = CHANGES[change]
    file = written(tmp_path / "bad.json", answers(of, 1, rule) | values)
    assert word in refused(tmp_path, "study", "analyse", key, file, "-o", tmp_path / "a")


@pytest.mark.parametrize("score", [0, 6, 3.5, "4", True, [3], "none", float("nan")])
def test_answers_outside_one_to_five_are_refused(tmp_path: Path, study: tuple[Path, Design], score: Any) -> None:
    key, of = study
    given = answers(of, 1, rule)
    next(iter(given["answers"].values()))[0]["snr"] = score
    said = refused(tmp_path, "study", "analyse", key, written(tmp_path / "bad.json", given), "-o", tmp_path / "a")
    assert "scores of snr from 1 to 5" in said


def test_other_wrong_inputs_are_refused(tmp_path: Path, study: tuple[Path, Design]) -> None:
    key, of = study
    good = written(tmp_path / "1.json", answers(of, 1, rule))
    twice = written(tmp_path / "again.json", answers(of, 1, rule))
    text = tmp_path / "no.json"
    text.write_text("{")
    odd = answers(of, 1, rule)
    next(iter(odd["answers"].values()))[0]["beauty"] = 3
    short = answers(of, 1, rule)
    short["answers"][next(iter(short["answers"]))] = []
    cases = {
        "both of reader 1": (key, good, twice),
        "existing file": (key, tmp_path / "absent.json"),
        "JSON": (key, text),
        "key.json": (good, good),
        "downloaded": (key, key),
        "others in": (key, written(tmp_path / "odd.json", odd)),
        "per picture": (key, written(tmp_path / "short.json", short)),
        "--against": (key, good, "--against", "peer"),
        "weights": (key, good, written(tmp_path / "2.json", answers(of, 2, rule)), "--weights", "cubic"),
    }
    for word, args in cases.items():
        assert word in refused(tmp_path, "study", "analyse", *args, "-o", tmp_path / "a")
    assert run("study", "analyse", key, good, "-o", tmp_path / "a", "-q").code == 0
    assert "exist" in refused(tmp_path, "study", "analyse", key, good, "-o", tmp_path / "a")


def test_a_key_made_by_hand_must_hold_together(tmp_path: Path, study: tuple[Path, Design]) -> None:
    key, _ = study
    plain = json.loads(key.read_text())
    plain["pictures"][0]["case"] = 99
    assert "broken" in refused(tmp_path, "study", "analyse", written(tmp_path / "k.json", plain), key)
    assert study_design.from_key(json.loads(key.read_text()), "key.json").arms == ("original", "denoised")
