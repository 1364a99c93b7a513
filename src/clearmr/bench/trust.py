"""The table of the trust checks: which catches which fault, and whether right denoisers pass.

On a Gaussian random field, where the Wiener filter is exactly right, complex and real; and, with the same faults, on
the simulated heart (complex) and head (magnitude) under the default model.
"""

import dataclasses
import hashlib
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from clearmr import evaluate, road
from clearmr.bench import quality_trust, trust_cases
from clearmr.bench.entrants import level
from clearmr.bench.quality_data import Sizes
from clearmr.bench.timing import Options
from clearmr.denoiser import Denoiser
from clearmr.scan import SnrImage

SIZES = Sizes(plane=96, frames=4, brain=36)
SNR = 10.0  # of the simulated scenes: mean over the object
SEED = 5
FIGURES = {  # what the table shows of a check that found a fault
    "removed_noise": ("sd", "removed SD {:.2f}"),
    "residual_edges": ("edges", "power at edges {:.2f}"),
    "residual_pattern": ("share", "structure {:.0%} of the noise"),
    "residual_places": ("worst", "worst place {:.1f}"),
    "noise_level": ("found", "noise found {:.2f}"),
    "noise_map": ("down", "noise lower by {:.2f} in parts"),
    "signal": ("bias", "signal {:+.1%}"),
    "lesion": ("kept", "lesion kept {:.0%}"),
    "error_left": ("squared", "squared error {:.2f}"),
    "pure_noise": ("left", "pure noise left {:.2f}"),
}


def run(options: Options, *, scenes: bool = True) -> dict[str, Any]:
    """{"rows": a dict per case, "right": how many verdicts are as they should be, "of": cases, "markdown": the table}.

    Raises InputError for an unknown model.
    """
    todo = list(_cases(options, scenes))
    rows = []
    for done, (data, case) in enumerate(todo, 1):
        rows.append(row(data, case))
        options.progress(done, len(todo))
    return {"rows": rows, "right": sum(r["ok"] for r in rows), "of": len(rows), "markdown": markdown(rows)}


def _cases(options: Options, scenes: bool) -> Iterator[tuple[str, trust_cases.Case]]:
    for name, is_complex in (("Gaussian field, complex", True), ("Gaussian field, real", False)):
        for case in trust_cases.cases(SEED, is_complex=is_complex):
            yield name, case
    for scene in quality_trust.scenes(SIZES) if scenes else ():
        if scene.name == "brain, complex":
            continue
        noisy = SnrImage(quality_trust.add_noise(SNR * scene.clean, SEED), level(1.0), level(1.0), "measured")
        right = _Remembering(road.denoiser(model=options.model, is_complex=scene.clean.is_complex()))
        yield scene.name, trust_cases.Case(f"{right.name}, as it is", True, noisy, right)
        for case in trust_cases.faults(noisy, right):
            yield scene.name, case


class _Remembering:
    """A denoiser that runs once for each image: the faults are laid on one and the same result."""

    def __init__(self, denoiser: Denoiser) -> None:
        self.denoiser, self.name = denoiser, denoiser.name
        self._known: dict[str, Tensor] = {}

    def __call__(self, image: SnrImage) -> SnrImage:
        told = (image.image, image.noise_sd, image.gmap)
        key = hashlib.sha256(b"".join(values.numpy().tobytes() for values in told)).hexdigest()
        if key not in self._known:
            self._known[key] = self.denoiser(image).image
        return dataclasses.replace(image, image=self._known[key])


def row(data: str, case: trust_cases.Case) -> dict[str, Any]:
    """The verdict of a case and of each check; "ok": right ones pass, faults fail."""
    checks = evaluate.trust(case.noisy, case.denoiser(case.noisy), denoiser=case.denoiser)
    verdict = evaluate.verdict_of(checks)
    return {
        "data": data,
        "case": case.name,
        "right": case.right,
        "verdict": verdict,
        "ok": verdict == "pass" if case.right else verdict == "fail",
        "failed": [_told(check) for check in checks if check.verdict == "fail"],
        "checks": {check.name: check.verdict for check in checks},
        "figures": {check.name: check.as_dict()["figures"] for check in checks},
    }


def _told(check: evaluate.Check) -> str:
    key, form = FIGURES.get(check.name, ("", ""))
    return f"{check.name} ({form.format(check.figures[key])})" if key in check.figures else check.name


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table for the docs."""
    lines = ["| data | case | verdict | caught by |", "|---|---|---|---|"]
    for one in rows:
        caught = ", ".join(one["failed"]) or "-"
        lines.append(f"| {one['data']} | {one['case']} | {one['verdict']} | {caught} |")
    return "\n".join(lines)
