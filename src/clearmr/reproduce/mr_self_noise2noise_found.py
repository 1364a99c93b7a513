"""What the jobs of MR-self Noise2Noise's Table 2 found, asked for by network, reference, figure and level."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from clearmr.reproduce.mr_self_noise2noise_runs import MAIN

Levels = Sequence[Mapping[str, Any]]  # figures of one subject at each level


@dataclass(frozen=True)
class Found:
    """judged, others: names of subjects; levels: of their originals; networks, scans: what each job wrote."""

    judged: tuple[str, ...]
    others: tuple[str, ...]
    levels: Mapping[str, Levels]
    networks: Sequence[Mapping[str, Any]]
    scans: Sequence[Mapping[str, Any]]

    @property
    def nets(self) -> tuple[str, ...]:
        """Networks that are there, in their order."""
        return tuple(one["net"] for one in self.networks)

    def alpha(self, net: str) -> float:
        """The share of the original that its validation chose."""
        return float(self._of(net)["alpha"])

    def original(self, reference: str, key: str, level: int, subjects: Sequence[str] | None = None) -> list[float]:
        """A figure of the original images, by subject (default: those of the table)."""
        return [self.levels[name][level][reference][key] for name in subjects or self.judged]

    def denoised(
        self, net: str, reference: str, key: str, level: int, subjects: Sequence[str] | None = None
    ) -> list[float]:
        """The same of what a network makes of them; empty where it was not trained."""
        if net not in self.nets:
            return []
        return [self._of(net)["subjects"][name][level][reference][key] for name in subjects or self.judged]

    def gains(self, net: str, key: str, level: int, subjects: Sequence[str] | None = None) -> list[float]:
        """Figure after less figure before, against the truth, by subject."""
        after = self.denoised(net, "truth", key, level, subjects)
        return [a - b for a, b in zip(after, self.original("truth", key, level, subjects), strict=False)]

    def by_alpha(self, subject: str, reference: str, level: int) -> list[float]:
        """PSNR of one subject for each alpha."""
        return list(self._of(MAIN)["subjects"][subject][level]["psnr_by_alpha"][reference])

    def mean_by_alpha(self, reference: str, level: int) -> list[float]:
        """The mean over the subjects of the table; empty where the main network was not trained."""
        if MAIN not in self.nets:
            return []
        return [
            fmean(column) for column in zip(*(self.by_alpha(s, reference, level) for s in self.judged), strict=True)
        ]

    def _of(self, net: str) -> Mapping[str, Any]:
        return next(one for one in self.networks if one["net"] == net)
