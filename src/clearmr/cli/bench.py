"""`clearmr bench`: speed and memory, peers in the same run."""

from pathlib import Path
from typing import Annotated, Any

import typer

from clearmr.cli import common

NAME = "bench"
EXAMPLE = "clearmr bench recon maps --json bench.json"


def run(
    names: Annotated[list[str] | None, typer.Argument(help="recon, maps, cine, denoise; all if none is named.")] = None,
    model: Annotated[str | None, typer.Option(help="Model of the denoise entry.")] = None,
    out: Annotated[Path | None, typer.Option("--json", help="Write the figures here too.")] = None,
    threads: common.Threads = 0,
    force: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """Measure speed and memory here, against the peers that are installed (ismrmrd-python-tools, pygrappa)."""
    common.refuse_existing([out] if out else [], force=force)
    import platform

    import torch

    from clearmr import bench

    common.set_up("cpu", threads)
    chosen = bench.chosen(names or [])
    results: dict[str, Any] = {}
    with common.progress_bar("bench", quiet=quiet) as progress:
        for done, name in enumerate(chosen, 1):
            results[name] = bench.run(name, bench.Options(threads, model))
            progress(done, len(chosen))
    machine = {"processor": platform.processor() or platform.machine(), "threads": torch.get_num_threads()}
    results |= {"machine": {**machine, "torch": torch.__version__}, "provenance": common.provenance()}
    common.emit(results)
    if out:
        common.write_json(results, out, force=force)
