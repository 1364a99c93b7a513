"""From file to SNR-unit image: a 30-frame 192x160 cine, 16 coils, R = 4, as MRD."""

import tempfile
from pathlib import Path
from typing import Any

from clearmr import formats, recon
from clearmr.bench.timing import Options, best_of
from clearmr.scan import RawScan
from clearmr.simulate import simulate

FRAMES, MATRIX, COILS, R = 30, (1, 192, 160), 16, 4


def write(folder: Path) -> Path:
    """The simulated cine as an MRD file."""
    path = folder / "cine.h5"
    formats.save_raw(
        simulate("cine", matrix=MATRIX, n_frames=FRAMES, n_coils=COILS, acceleration=R, snr=20.0).scan, path
    )
    return path


def run(options: Options) -> dict[str, Any]:
    """Seconds from the file to the image in SNR units, imports not counted."""
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder))

        def road() -> tuple[int, ...]:
            scan = formats.load(path)
            assert isinstance(scan, RawScan)
            return tuple(recon.reconstruct(scan).image.shape)

        seconds, shape = best_of(road, runs=3)
    return {"clearmr": {"seconds": seconds, "shape": list(shape)}}
