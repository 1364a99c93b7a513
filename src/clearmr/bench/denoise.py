"""`clearmr denoise` of a complex 30x192x160 cine with the default model, as a process of its own: time and memory."""

import os
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


def run(options: Options) -> dict[str, Any]:
    """Wall seconds, imports counted, and peak resident memory in GB. Raises InputError for an unknown model."""
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
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode}")
    return {"clearmr": {"seconds": seconds, "peak_gb": usage.ru_maxrss / 1e6}}
