"""What a run of MR-self Noise2Noise learns from, kept in its folder: a resumed run is held to it."""

import dataclasses
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clearmr.cli import common, train_inputs
from clearmr.errors import InputError

if TYPE_CHECKING:
    from clearmr.methods.mr_self_noise2noise.config import SelfNoise2NoiseConfig
    from clearmr.methods.mr_self_noise2noise.store import StoredPair

    PairCase = train_inputs.Case[StoredPair]

RECORD = "data.json"
FIXED = ("split", "net", "data", "blend")  # settings that a resumed run keeps; those of the loop are in its state


@dataclass(frozen=True)
class Learned:
    """The pairs to train on and to validate on; the files that were skipped, and why."""

    cases: list["PairCase"]
    checks: list["PairCase"]
    skipped: dict[str, str]


def card_of(learned: Learned, config: "SelfNoise2NoiseConfig", origin: dict[str, Any]) -> dict[str, Any]:
    """What a model's card says of its data. Raw archives are large: their hash is that of the pairs' keys."""
    cases = learned.cases
    hashes = [case.data.key for case in cases if case.data.frame == 0]
    return {
        "config": dataclasses.asdict(config),
        "data": {**train_inputs.described(cases), "skipped": learned.skipped},
        "validation": train_inputs.described(learned.checks),
        "provenance": {**origin, "input": [str(path) for path in train_inputs.sources(cases)], "input_keys": hashes},
    }


def _settings(config: "SelfNoise2NoiseConfig") -> dict[str, Any]:
    """Settings that are kept, as JSON gives them back."""
    kept = {f"{part}.{name}": value for part in FIXED for name, value in vars(getattr(config, part)).items()}
    return common.plain(kept)  # type: ignore[no-any-return]


def _rows(cases: list["PairCase"]) -> list[list[Any]]:
    return [[case.subject, str(case.source), case.data.key, case.data.frame] for case in cases]


@contextmanager
def kept(learned: Learned, config: "SelfNoise2NoiseConfig", out: Path, *, resume: bool) -> Iterator[None]:
    """A new run's record is written, and taken back where it is refused before a step; a resumed run is held to it."""
    from clearmr.train import checkpoint

    path, pairs = out / RECORD, {"training": _rows(learned.cases), "validation": _rows(learned.checks)}
    if resume and path.is_file():
        _hold_to_pairs(_read(path), pairs)
        yield
        return
    new = not out.exists()
    out.mkdir(exist_ok=True)
    common.write_json({**pairs, "skipped": learned.skipped, "settings": _settings(config)}, path, force=True)
    try:
        yield
    except InputError:
        if not checkpoint.begun(out):
            shutil.rmtree(out) if new else path.unlink()
        raise


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {part: found[part] for part in ("training", "validation", "settings")}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"a run's record in {path}", repr(error), "delete it and resume again") from error


def hold_to_settings(out: Path, config: "SelfNoise2NoiseConfig", *, resume: bool) -> None:
    """Raise InputError where a resumed run's settings are not those that it began with."""
    if resume and (out / RECORD).is_file():
        before = _read(out / RECORD)["settings"]
        for name, value in _settings(config).items():
            if before.get(name) != value:
                _refuse_change(f"{name} {json.dumps(before.get(name))}", json.dumps(value))


def _hold_to_pairs(before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise InputError where a resumed run's pairs are not those that it began with: by their keys, not their names."""
    for part in ("training", "validation"):
        old, new = ({(row[2], row[3]): row[1] for row in given[part]} for given in (before, now))
        if list(old) != list(new):
            odd = sorted({old.get(key) or new[key] for key in old.keys() ^ new.keys()})
            found = f"{len(new)}, other: {', '.join(odd[:2])}" if odd else "them in another order"
            _refuse_change(f"{len(old)} pairs for {part}", found)


def _refuse_change(before: str, now: str) -> None:
    todo = "resume with the run's own scans and settings, or start a new one"
    raise InputError(f"the run's own {before}", now, todo)
