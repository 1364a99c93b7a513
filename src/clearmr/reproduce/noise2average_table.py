"""What Noise2Average's two tables share: rows and labels, checks, notes of who wins, seconds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from clearmr.reproduce.kept import Found
from clearmr.reproduce.noise2average_data import Setting
from clearmr.reproduce.noise2average_methods import ROUNDS
from clearmr.reproduce.noise2average_runs import Job, absent
from clearmr.reproduce.results import Cell, Check, Results, Spread, Table
from clearmr.train.fine_tuning import FineTuning

NO_PAPER = (
    "Only the abstract of Noise2Average (Li et al. 2026) was at hand: no numbers of the paper can stand beside these. "
    "Its claims: sharper and nearer than Noise2Noise, BM4D and AONLM, a little below supervised learning."
)
AONLM = "AONLM is adaptive soft matching of DIPY (the adaptive optimised non-local means of Coupé et al. 2008, 2012)."
NETWORKS = (
    "All networks begin at snraware-small-mag, which the package ships and which has seen none of these subjects; the "
    "published rounds are run with it, not with the reference's MU-Net. Noise2Noise, the published rounds and the "
    "supervised bounds are tuned alike ({tuning}); the latter are given the clean images of the very subject, as no "
    "user can be: of each repeat, then averaged; of the average; and of the average that our default makes, tuned as "
    "that is but on every block and three times as long. No round is left out where one is worse; where the run would "
    "have stopped is said below."
)
# label of the result: what it is called
LABELS = {
    "noisy": "one noisy repeat",
    "average": "average of the repeats",
    "bm4d-each": "BM4D of each, averaged",
    "bm4d-average": "BM4D of the average",
    "asm-each": "AONLM of each, averaged",
    "asm-average": "AONLM of the average",
    "mppca-each": "MP-PCA of each, averaged",
    "mppca-average": "MP-PCA of the average",
    "net": "shipped network of the average, not tuned",
    "noise2noise": "Noise2Noise",
    **{f"published-{k}": f"Noise2Average as published, round {k}" for k in range(1, ROUNDS + 1)},
    "ours-0": "Noise2Average, our default, round 0 (not tuned)",
    **{f"ours-{k}": f"Noise2Average, our default, round {k}" for k in range(1, ROUNDS + 1)},
    "supervised-each": "supervised, of each, averaged",
    "supervised-average": "supervised, of the average",
    "supervised-ours": "supervised, our default's average and tuning",
}
CLASSICAL = tuple(f"{peer}-{of}" for peer in ("bm4d", "asm", "mppca") for of in ("each", "average"))
SUPERVISED = ("supervised-each", "supervised-average", "supervised-ours")
DEFAULT_ROUND = 2  # of both schemes, where nothing stops earlier: what is compared
Figures = Mapping[str, float]
Parts = Mapping[tuple[str, Setting], Mapping[str, Figures]]  # of a subject in a setting, by label


@dataclass(frozen=True)
class Kind:
    """What one of the two tables has of its own; figures: (name, digits, factor) of each column after the first."""

    name: str
    title: str
    notes: tuple[str, ...]
    columns: tuple[str, ...]
    figures: tuple[tuple[str, int, float], ...]
    checks: Callable[[Sequence[Found], str, Setting, Mapping[str, Figures]], Sequence[Check]]
    winners: Callable[[Parts], tuple[str, ...]]


def results(kind: Kind, made: Sequence[Job], found: Sequence[Found], scale: str) -> Results:
    """A part for every subject in every setting, each with its checks; the rounds by the kind's first figure."""
    parts = {(job.who, job.setting): figures_of(found, job.who, job.setting.name) for job in made}
    parts = {key: there for key, there in parts.items() if there}
    (first, here), *others = parts.items()
    more = [Table(title(*key), kind.columns, rows(there, kind.figures)) for key, there in others]
    more += [rounds_table(found, kind.figures[0][0], kind.columns[1]), seconds_table(found)]
    networks = NETWORKS.format(tuning=tuning_note(made[0].lengths.tuning))
    return Results(
        name=kind.name,
        scale=scale,
        title=f"{kind.title}: {title(*first)}",
        notes=(*kind.notes, networks, settings_note(made, scale), *kind.winners(parts), *missing(made)),
        columns=kind.columns,
        rows=rows(here, kind.figures),
        checks=tuple(c for (who, setting), there in parts.items() for c in kind.checks(found, who, setting, there)),
        figures={"runs": [{key: one[key] for key in one if key != "settings"} for one in found]},
        more=tuple(more),
    )


def figures_of(found: Sequence[Found], who: str, setting: str) -> dict[str, Figures]:
    """Figures by label of one subject in one setting, in the order of LABELS."""
    there: dict[str, Figures] = {}
    for one in found:
        if (one["subject"], one["setting"]) == (who, setting):
            there |= one["figures"]
    return {label: there[label] for label in LABELS if label in there}


def rows(there: Mapping[str, Figures], columns: Sequence[tuple[str, int, float]]) -> tuple[tuple[Cell, ...], ...]:
    """A row for each label; columns: (figure, digits, factor)."""
    return tuple(
        (LABELS[label], *(f"{one[key] * factor:.{digits}f}" for key, digits, factor in columns))
        for label, one in there.items()
    )


def chosen(found: Sequence[Found], who: str, setting: str, scheme: str) -> str | None:
    """The label of the round that a run keeps: it stops at the first that is worse, or after two."""
    rounds = _rounds(found, who, setting, scheme)
    if not rounds:
        return None
    kept = 0
    for k in range(1, len(rounds)):
        if rounds[k]["round"] > DEFAULT_ROUND or rounds[k]["held_out_error"] > rounds[kept]["held_out_error"]:
            break
        kept = k
    return f"{scheme}-{rounds[kept]['round']}"


def better(
    claim: str, one: str | None, others: Sequence[str], there: Mapping[str, Figures], key: str, *,
    more: bool = True, factor: float = 1.0, unit: str = "", digits: int = 2,
) -> Check | None:  # fmt: skip
    """Holds where a label's figure is above (or, not `more`, below) that of every other that there is; by the least."""
    values = [there[label][key] for label in others if label in there]
    if one is None or one not in there or not values:
        return None
    sign = 1.0 if more else -1.0
    gain = min(sign * (there[one][key] - value) for value in values) * factor
    return Check(f"{claim}{f' ({unit})' if unit else ''}", gain > 0, Spread.of([gain]), digits)


def round_checks(found: Sequence[Found], who: str, setting: str, said: str) -> list[Check]:
    """Round 2 no worse than round 1 on blocks that nothing was learned from, of both schemes."""
    checks = []
    for scheme, name in (("published", "as published"), ("ours", "our default")):
        rounds = {one["round"]: one["held_out_error"] for one in _rounds(found, who, setting, scheme)}
        if 1 in rounds and 2 in rounds:
            gain = 100 * (1 - rounds[2] / rounds[1])
            claim = (
                f"{said}: round 2 {name} no worse than round 1 on held-out blocks (% of its error; a worse one stops)"
            )
            checks.append(Check(claim, gain >= 0, Spread.of([gain]), 3))
    return checks


def _rounds(found: Sequence[Found], who: str, setting: str, scheme: str) -> list[dict[str, Any]]:
    for one in found:
        if (one["method"], one["subject"], one["setting"]) == (scheme, who, setting):
            return list(one["rounds"])
    return []


def rounds_table(found: Sequence[Found], key: str, name: str) -> Table:
    """Round by round: the error on held-out blocks, and a figure of the result."""
    made: list[tuple[Cell, ...]] = []
    for one in found:
        if one["method"] not in ("published", "ours"):
            continue
        for told in one["rounds"]:
            label = f"{one['method']}-{told['round']}"
            error, figure = told["held_out_error"], one["figures"][label][key]
            made.append((one["subject"], one["setting"], LABELS[label], f"{error:.5f}", f"{figure:.3f}"))
    columns = ("subject", "setting", "round", "held-out error (normalised)", name)
    return Table(
        "Rounds: each denoised repeat against the others as they came, on held-out blocks", columns, tuple(made)
    )


def seconds_table(found: Sequence[Found]) -> Table:
    """CPU seconds by method."""
    made: list[tuple[Cell, ...]] = []
    for method in dict.fromkeys(one["method"] for one in found):
        times = [one["cpu_seconds"] for one in found if one["method"] == method]
        made.append((method, f"{fmean(times):.1f}"))
    return Table(
        "CPU seconds of one subject in one setting (ours, published: all rounds), as other work let them be",
        ("method", "seconds"),
        tuple(made),
    )


def winner(there: Mapping[str, Figures], key: str, *, more: bool = True) -> str:
    """Who is best of all that a user can have, in words."""
    usable = {label: one[key] for label, one in there.items() if label not in SUPERVISED}
    best = (max if more else min)(usable, key=lambda label: usable[label])
    return LABELS[best]


def missing(made: Sequence[Job]) -> tuple[str, ...]:
    """A line for each peer that could not be run, and for what this scale leaves out."""
    peers = {label: why for label in CLASSICAL if (why := absent(label))}
    kinds = {job.kind for job in made}
    return tuple(
        f"{LABELS[label]} is left out: {why}." for label, why in peers.items() if "dti" in kinds or "mppca" not in label
    )


def settings_note(made: Sequence[Job], scale: str) -> str:
    """Sizes and lengths of what was run."""
    job = made[0]
    sizes, tuning = job.sizes, job.lengths.tuning
    crops = [
        f"{who}: {' x '.join(map(str, job.data().clean.shape[1:]))} voxels of "
        f"{' x '.join(f'{s:.2g}' for s in job.data().spacing)} mm (z, y, x)"
        for who, job in {job.who: job for job in made}.items()
    ]
    return (
        f"Scale {scale}. {'; '.join(crops)}. {sizes.repeats} repeats, Rician noise of SD {sizes.level:.0%} of "
        f"{'white matter' if job.kind == 't1w' else 'fluid without weighting'}. Tuning: {tuning_note(tuning)}."
    )


def tuning_note(tuning: FineTuning) -> str:
    """Of what is tuned, in words."""
    steps = f" of at most {tuning.steps} steps" if tuning.steps else ""
    block = " x ".join(map(str, tuning.block))
    return f"{tuning.epochs} epochs{steps}, Adam {tuning.learning_rate:g}, blocks of {block}"


def title(who: str, setting: Setting) -> str:
    """Of one subject's part."""
    return f"{who}: {setting.label}"
