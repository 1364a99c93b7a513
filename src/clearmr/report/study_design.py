"""The design of a reader study: which picture each reader sees when, drawn at random, and the key that tells.

Pictures and readings have random tokens for names; arms, cases and files are in the key alone. The tokens and orders
are functions of the seed and of how many cases, arms and readers there are, never of a name or of what a picture
shows: studies of other names have the same page.

Balance: in each round a reader sees every case once, in one arm; each arm comes first in an equal number of cases
(within one). Two rounds keep the halves of the order, so a case comes again after about half a round at the earliest.
A share of the pictures is shown a second time near the end, to tell how far a reader agrees with himself.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from clearmr.errors import InputError
from clearmr.report.study_items import Item

KEY_FORMAT = "clearmr-study-key"
VERSION = 1
_LETTERS = np.array(list("abcdefghjkmnpqrstuvwxyz23456789"))
MOST_READERS = 20
MOST_SIDE_BY_SIDE = 6  # arms on one screen


@dataclass(frozen=True)
class Picture:
    """What a token of the page stands for: places in Design.cases and Design.arms."""

    token: str
    case: int
    arm: int


@dataclass(frozen=True)
class Reading:
    """What is on the screen at once: one picture, or one of each arm from left to right; `repeats` an earlier one."""

    id: str
    pictures: tuple[str, ...]
    repeats: str | None = None


@dataclass(frozen=True)
class Design:
    """A study. `orders` has one order of readings per reader (reader 1 first); `pictures` lie in the page's order."""

    study: str
    cases: tuple[str, ...]
    arms: tuple[str, ...]
    items: tuple[Item, ...]
    side_by_side: bool
    pictures: tuple[Picture, ...]
    orders: tuple[tuple[Reading, ...], ...]

    def picture(self, token: str) -> Picture:
        return next(picture for picture in self.pictures if picture.token == token)


def draw(
    cases: Sequence[str],
    arms: Sequence[str],
    items: Sequence[Item],
    *,
    readers: int = 2,
    repeat_share: float = 0.1,
    side_by_side: bool = False,
    seed: int,
) -> Design:
    """A design for these cases and arms; the same seed gives the same one.

    repeat_share: of the readings, how many are shown twice (rounded up), from 0 to 1. Raises InputError where a
    number is out of its range or a name comes twice.
    """
    _check(cases, arms, readers, repeat_share)
    if side_by_side and len(arms) > MOST_SIDE_BY_SIDE:
        raise InputError(f"{MOST_SIDE_BY_SIDE} arms or fewer side by side", str(len(arms)), "show one image at a time")
    generator = np.random.default_rng(seed)
    study = _tokens(generator, 1, 12)[0]
    places = [(case, arm) for case in range(len(cases)) for arm in range(len(arms))]
    tokens = _tokens(generator, len(places), 8)
    named = {place: token for place, token in zip(places, tokens, strict=True)}
    orders = tuple(_order(generator, named, len(cases), len(arms), repeat_share, side_by_side) for _ in range(readers))
    pictures = sorted((Picture(token, *place) for place, token in named.items()), key=lambda picture: picture.token)
    return Design(study, tuple(cases), tuple(arms), tuple(items), side_by_side, tuple(pictures), orders)


def _check(cases: Sequence[str], arms: Sequence[str], readers: int, share: float) -> None:
    for what, names, least in (("case", cases, 1), ("arm", arms, 2)):
        if len(names) < least or len(set(names)) != len(names):
            raise InputError(
                f"{least} or more {what}s, each once", ", ".join(names) or "none", f"name each {what} once"
            )
    if not 1 <= readers <= MOST_READERS:
        raise InputError(f"1 to {MOST_READERS} readers", str(readers), "correct --readers")
    if not 0 <= share <= 1:
        raise InputError("a share of repeats from 0 to 1", str(share), "correct --repeat-share")


def _tokens(generator: np.random.Generator, n: int, length: int) -> list[str]:
    """`n` different random words."""
    found: dict[str, None] = {}
    while len(found) < n:
        found["".join(_LETTERS[generator.integers(len(_LETTERS), size=length)])] = None
    return list(found)


Named = Mapping[tuple[int, int], str]


def _order(
    generator: np.random.Generator, named: Named, n_cases: int, n_arms: int, share: float, side_by_side: bool
) -> tuple[Reading, ...]:
    """One reader's readings."""
    rows = _arm_orders(generator, n_cases, n_arms)
    shown = _side_by_side(generator, rows) if side_by_side else _rounds(generator, rows)
    ids = iter(_tokens(generator, 2 * len(shown), 10))
    readings = [Reading(next(ids), tuple(named[place] for place in places)) for places in shown]
    case_of = {token: case for (case, _), token in named.items()}
    again = sorted(generator.permutation(len(readings))[: int(np.ceil(share * len(readings) - 1e-9))].tolist())
    for first in [readings[k] for k in again]:
        pictures = tuple(first.pictures[k] for k in generator.permutation(len(first.pictures)))
        repeat = Reading(next(ids), pictures, first.id)
        readings.insert(_place(generator, readings, first, case_of), repeat)
    return tuple(readings)


def _arm_orders(generator: np.random.Generator, n_cases: int, n_arms: int) -> list[list[int]]:
    """Per case an order of the arms: rows of Latin squares, so that each arm has each place equally often."""
    rows: list[list[int]] = []
    while len(rows) < n_cases:
        names = generator.permutation(n_arms)
        rows += [np.roll(names, shift).tolist() for shift in range(n_arms)]
    return [rows[k] for k in generator.permutation(n_cases)]


def _side_by_side(generator: np.random.Generator, rows: list[list[int]]) -> list[list[tuple[int, int]]]:
    return [[(case, arm) for arm in rows[case]] for case in generator.permutation(len(rows)).tolist()]


def _rounds(generator: np.random.Generator, rows: list[list[int]]) -> list[list[tuple[int, int]]]:
    """Every case once a round; each half of a round's order is drawn anew in the next round."""
    order = generator.permutation(len(rows))
    half = (len(rows) + 1) // 2
    shown: list[list[tuple[int, int]]] = []
    for turn in range(len(rows[0])):
        shown += [[(case, rows[case][turn])] for case in order.tolist()]
        order = np.concatenate([generator.permutation(order[:half]), generator.permutation(order[half:])])
    return shown


def _place(
    generator: np.random.Generator, readings: Sequence[Reading], first: Reading, case_of: Mapping[str, int]
) -> int:
    """Where to put the repeat of `first`: behind the middle, and as far from its case as chance leaves room."""
    case = case_of[first.pictures[0]]
    same = [k for k, reading in enumerate(readings) if case_of[reading.pictures[0]] == case]
    begin = readings.index(first)

    def far(place: int) -> float:
        apart = min(k - place + 1 if k >= place else place - k for k in same)
        return apart + 0.5 * (place > begin + 1)  # in the smallest studies: at least not the same picture at once

    places = range(max(begin + 1, len(readings) // 2), len(readings) + 1)
    enough = min(4.0, max(map(far, places)))
    return int(generator.choice([place for place in places if far(place) >= enough]))


def to_key(design: Design, **more: Any) -> dict[str, Any]:
    """The key that tells which token is what, as JSON; `more` (seed, provenance) is added. Not for the readers."""
    plain = asdict(design)
    return {"format": KEY_FORMAT, "version": VERSION, **plain, **more}


def from_key(key: Any, name: str) -> Design:
    """The design of a key that `to_key` made. Raises InputError, with the file's `name`, for anything else."""
    if not isinstance(key, dict) or key.get("format") != KEY_FORMAT or key.get("version") != VERSION:
        raise InputError("the key.json of clearmr study make", f"another file, {name}", "give the study's key first")
    try:
        items = tuple(Item(**item) for item in key["items"])
        pictures = tuple(Picture(**picture) for picture in key["pictures"])
        orders = tuple(tuple(_reading(reading) for reading in order) for order in key["orders"])
        cases, arms = (tuple(map(str, key[name])) for name in ("cases", "arms"))
        design = Design(str(key["study"]), cases, arms, items, bool(key["side_by_side"]), pictures, orders)
        _check_key(design)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError("a whole key.json", f"a broken one, {name}", "take the one that study make wrote") from error
    return design


def _reading(plain: Mapping[str, Any]) -> Reading:
    return Reading(plain["id"], tuple(plain["pictures"]), plain["repeats"])


def _check_key(design: Design) -> None:
    """Raise ValueError where a token, a place or a repeat leads nowhere."""
    known = {picture.token for picture in design.pictures}
    used = {token for reading in _all(design) for token in reading.pictures}
    ids = {reading.id for reading in _all(design)}
    repeats = {reading.repeats for reading in _all(design)} - {None}
    inside = all(p.case in range(len(design.cases)) and p.arm in range(len(design.arms)) for p in design.pictures)
    if not (used <= known and repeats <= ids and inside and design.items and design.orders):
        raise ValueError("a key that does not hold together")


def _all(design: Design) -> Iterable[Reading]:
    return (reading for order in design.orders for reading in order)
