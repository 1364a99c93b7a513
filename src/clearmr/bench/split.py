"""MR-self Noise2Noise's halves of one 32-coil 128x128x96 scan at R = 2x1, 24x24 ACS lines: both, and the original."""

import time
from typing import Any

from clearmr.bench.timing import Options, peak_gb
from clearmr.methods.mr_self_noise2noise.config import SplitConfig
from clearmr.methods.mr_self_noise2noise.pairs import split
from clearmr.simulate import simulate

MATRIX, COILS, ACS = (96, 128, 128), 32, 24


def run(options: Options) -> dict[str, Any]:
    """Seconds of one split by default, and of one by the paper's lines and kernel; no peer does this."""
    scan = simulate("brain", matrix=MATRIX, n_coils=COILS, acceleration=(2, 1), acs=ACS, seed=0).scan
    entry: dict[str, Any] = {}
    for name, config in (("clearmr", SplitConfig()), ("as published", SplitConfig.paper())):
        began = time.perf_counter()
        split(scan, config)
        entry[name] = {"seconds": time.perf_counter() - began, "process peak GB": peak_gb()}
    return entry
