"""What the readers of a study score: items on a five-point scale, after Jung et al. 2022 (Tables S1, S2).

The paper names the items; the words of its five points are in a supplement that is not public, so the words here are
ours. As there, a high score always means a better image.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from clearmr.errors import InputError

SCORES = (1, 2, 3, 4, 5)
NONE = "none"  # the answer where there is nothing to score: no lesion in this image
MOST = 20  # items: more do not fit a reader's patience, nor the page


@dataclass(frozen=True)
class Item:
    """One thing to score: its key in files, its title, the words for 1 and 5, and whether it may be absent."""

    name: str
    title: str
    worst: str
    best: str
    absent: bool = False


_ROUGH, _WHOLE = "not diagnostic", "excellent"
QUALITY = (
    Item("overall", "Overall image quality", _ROUGH, _WHOLE),
    Item("snr", "Perceived SNR", "noise hides the anatomy", "no noise to be seen"),
    Item("contrast", "Contrast", "tissues not told apart", _WHOLE),
    Item("sharpness", "Sharpness", "blurred", "every edge sharp"),
    Item("artifacts", "Artifacts", "hide the anatomy", "none"),
)
STRUCTURES = (Item("structures", "Fine structures", "not seen", "delineated throughout"),)
LESIONS = (Item("lesions", "Lesion conspicuity", "hardly seen", "plain, with clear margins", absent=True),)
# The regions that the paper names (it speaks of nine and lists these eight).
BRAIN = tuple(
    Item(title.lower().replace(" ", "-"), title, "not seen", "delineated throughout", absent=True)
    for title in (
        "Hippocampus", "Mammillothalamic tract", "Anterior thalamic nuclei", "Putamen tail",
        "Periaqueductal gray", "Claustrum", "Substantia nigra", "Entorhinal cortex",
    )
)  # fmt: skip
SETS = {"quality": QUALITY, "structures": STRUCTURES, "lesions": LESIONS, "brain-structures": BRAIN}
DEFAULT = "quality,structures,lesions"


def choose(words: str) -> tuple[Item, ...]:
    """The items that `words` name, in that order: sets, items, or `name=Title` for one of your own, with commas.

    Raises InputError for an unknown word, an item named twice, none or more than MOST.
    """
    items: list[Item] = []
    for word in filter(None, (part.strip() for part in words.split(","))):
        items += _named(word)
    names = [item.name for item in items]
    if len(set(names)) != len(names) or not 0 < len(items) <= MOST:
        raise InputError(f"1 to {MOST} items, each once", ", ".join(names) or "none", "correct --items")
    return tuple(items)


def _named(word: str) -> Sequence[Item]:
    name, own, title = (part.strip() for part in word.partition("="))
    if own and name and title:
        return [Item(name, title, _ROUGH, _WHOLE, absent=True)]
    known = {item.name: [item] for items in SETS.values() for item in items} | {k: list(v) for k, v in SETS.items()}
    if word not in known:
        raise InputError(f"items among {', '.join(known)}", word, 'name your own as "key=Title"')
    return known[word]
