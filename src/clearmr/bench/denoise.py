"""`clearmr denoise` of a complex 30x192x160 cine with the default model, as a process of its own: time and memory."""

import contextlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from clearmr import formats, recon, road
from clearmr.bench.cine import write
from clearmr.bench.timing import Options
from clearmr.scan import RawScan

POLL_SECONDS = 0.02


def run(options: Options) -> dict[str, Any]:
    """Wall seconds, imports counted, and peak resident memory in GB (None where /proc does not tell).

    Raises InputError for an unknown model.
    """
    road.denoiser(model=options.model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scan = formats.load(write(folder))
        assert isinstance(scan, RawScan)
        formats.save(recon.reconstruct(scan), folder / "image.npz")
        files = [str(folder / "image.npz"), "-o", str(folder / "clean.npz")]
        flags = ["--quiet", "--threads", str(options.threads), *(["--model", options.model] if options.model else [])]
        command = [sys.executable, "-m", "clearmr", "denoise", *files, *flags]
        began = time.perf_counter()
        process = subprocess.Popen(command)
        peak_gb = _peak_gb(process)
        seconds = time.perf_counter() - began
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode}")
    return {"clearmr": {"seconds": seconds, "peak_gb": peak_gb}}


def _peak_gb(process: subprocess.Popen[bytes]) -> float | None:
    """Waits for the end; the largest resident memory seen, None where the system does not tell.

    Not from `wait4`: a child's ru_maxrss begins at its parent's peak.
    """
    status, peak = Path(f"/proc/{process.pid}/status"), None
    while process.poll() is None:
        with contextlib.suppress(OSError, StopIteration):
            line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
            peak = int(line.split()[1]) * 1024 / 1e9
        time.sleep(POLL_SECONDS)
    return peak
