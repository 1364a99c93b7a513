"""Whose data a file is, and which subjects are held out for validation."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

HELD_OUT = 0.05  # of the subjects (Xue et al. 2025)


def subject_of(path: Path) -> str:
    """Whose image a file is: the last BIDS `sub-XX` in its path, or the file's name up to its first dot."""
    found = re.findall(r"(?:^|[/_])(sub-[A-Za-z0-9]+)", path.as_posix())
    return found[-1] if found else path.name.split(".")[0]


def held_out(subjects: Iterable[str], *, fraction: float = HELD_OUT) -> frozenset[str]:
    """The subjects to validate on: `fraction` of them, those whose names have the lowest SHA-256.

    The same names give the same split, in any order. At least one of two or more subjects; none of one.
    """
    ranked = sorted(set(subjects), key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    count = max(1, round(fraction * len(ranked))) if len(ranked) > 1 else 0
    return frozenset(ranked[:count])
