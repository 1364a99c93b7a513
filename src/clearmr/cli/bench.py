"""`clearmr bench`: speed and memory, peers in the same run."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from clearmr import bench
from clearmr.cli import common

NAME = "bench"
EXAMPLE = "clearmr bench recon maps --json bench.json"


def run(
    names: Annotated[list[str] | None, typer.Argument(help=f"{', '.join(bench.BENCHES)}; none: all.")] = None,
    model: Annotated[str | None, typer.Option(help="Model of the denoise and quality entries.")] = None,
    data: Annotated[
        list[Path] | None, typer.Option(help="For quality and series: volume, series, repeats or PNG folder.")
    ] = None,
    levels: Annotated[
        bool, typer.Option("--levels", help="For series: Gaussian and Rician noise of 5, 10 and 15 % too.")
    ] = False,
    out: Annotated[Path | None, typer.Option("--json", help="Write the figures here too.")] = None,
    threads: common.Threads = 0,
    force: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """Measure speed, memory and quality here, against the peers that are installed.

    Peers: ismrmrd-python-tools, pygrappa (pip install "clearmr\\[bench]"); BM4D, DIPY (pip install
    "clearmr\\[baselines]").
    """
    common.refuse_existing([out] if out else [], force=force)
    import platform

    _limit_numpy(threads)
    import torch

    common.set_up("cpu", threads)
    chosen = bench.chosen(names or [])
    results: dict[str, Any] = {}
    with common.progress_bar("bench", quiet=quiet) as progress:
        for done, name in enumerate(chosen, 1):
            results[name] = bench.run(name, bench.Options(threads, model, tuple(data or ()), levels, progress))
            progress(done, len(chosen))
    machine = {"processor": platform.processor() or platform.machine(), "threads": torch.get_num_threads()}
    results |= {"machine": {**machine, "torch": torch.__version__}, "provenance": common.provenance()}
    common.emit(results)
    if not quiet:
        _show(results)
    if out:
        common.write_json(results, out, force=force)


def _show(results: dict[str, Any]) -> None:
    """Tables for people, of the entries that have one."""
    if "trust" in results:
        common.say(results["trust"]["markdown"])
    if not {"quality", "series"} & set(results):
        return
    from clearmr.cli import quality_table

    if "quality" in results:
        quality_table.show(results["quality"])
    if "series" in results:
        quality_table.show_series(results["series"]["rows"])


def _limit_numpy(threads: int) -> None:
    """As many threads for the peers' numpy as for torch: its BLAS reads the environment when it is imported."""
    if threads > 0:
        os.environ |= {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
