"""Coil maps by Inati's iteration: 16 coils, 256x256."""

import importlib.util
from typing import Any

from clearmr.bench.recon import PEER_RUNS, problem
from clearmr.bench.timing import Options, best_of, ratios
from clearmr.fourier import to_image
from clearmr.recon import estimate_csm


def run(options: Options) -> dict[str, Any]:
    """Seconds of clearmr and, where it is installed, of ismrmrd-python-tools' calculate_csm_inati_iter."""
    images = to_image(problem().kspace, (-2, -1))
    seconds, _ = best_of(lambda: estimate_csm(images, method="inati"), runs=5)
    entry: dict[str, Any] = {"clearmr": {"seconds": seconds}}
    if importlib.util.find_spec("ismrmrdtools") is None:
        entry["ismrmrd-python-tools"] = {"skipped": "ismrmrdtools is not installed"}
    else:
        from ismrmrdtools.coils import calculate_csm_inati_iter

        array = images[:, 0].numpy()
        seconds, _ = best_of(lambda: calculate_csm_inati_iter(array, thresh=0), runs=PEER_RUNS)
        entry["ismrmrd-python-tools"] = {"seconds": seconds}
    return {**entry, "times slower than clearmr": ratios(entry)}
