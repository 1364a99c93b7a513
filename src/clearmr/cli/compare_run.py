"""One entrant of a comparison in a process of its own: its time and its memory, and no fault that stops the others."""

import dataclasses
import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clearmr.cli import common
from clearmr.cli.compare_entrants import Entrant
from clearmr.errors import InputError

if TYPE_CHECKING:
    from clearmr.denoiser import Denoiser, Progress
    from clearmr.scan import SnrImage

OFTEN = 0.2  # seconds between two signs of progress, at the least
DONE, REFUSED, STEP = "done", "refused", "step"


@dataclass(frozen=True)
class Given:
    """What every entrant is given, as files that any process can read.

    noisy: the image (of repeats their average); repeats: each of them, none for one; mask, reference: where there are.
    quick: no checks that run a denoiser again.
    """

    noisy: Path
    repeats: tuple[Path, ...] = ()
    reference: Path | None = None
    mask: Path | None = None
    device: str = "cpu"
    threads: int = 0
    seed: int = 0
    memory: str = "3G"
    quick: bool = False


@dataclass(frozen=True)
class Ended:
    """How it ended: figures where it is done, else the reason in one line."""

    figures: dict[str, Any] | None
    reason: str = ""


Work = Callable[[Given, Entrant, Path, "Progress"], dict[str, Any]]


def apart(work: Work, given: Given, entrant: Entrant, out: Path, progress: "Progress", *, limit: float | None) -> Ended:
    """`work` in a fresh process; `limit` seconds until it is stopped. It must pickle, as what it gives back."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_inside, args=(there, work, given, entrant, out), daemon=True)
    end = None if limit is None else time.monotonic() + limit
    process.start()
    there.close()
    try:
        ended = _listen(here, process, progress, end, out)
    finally:
        if process.is_alive():
            process.kill()
        process.join()
    if not ended.reason.startswith("failed"):
        log_of(out).unlink(missing_ok=True)
    return ended


def _listen(here: Connection, process: Any, progress: "Progress", end: float | None, out: Path) -> Ended:
    """Hands progress on until the process has said how it ended, or has died."""
    while True:
        left = None if end is None else max(0.0, end - time.monotonic())
        if not here.poll(left):
            return Ended(None, "stopped: it took longer than --timeout")
        try:
            kind, value = here.recv()
        except EOFError:
            process.join()
            return Ended(None, _fault(out, process.exitcode))
        if kind == STEP:
            done, total, info = value
            progress(done, total, **info)
            continue
        process.join()  # its last memory is given back before the next one begins
        return Ended(value) if kind == DONE else Ended(None, value)


def _inside(there: Connection, work: Work, given: Given, entrant: Entrant, out: Path) -> None:
    """In the new process. What it or a library prints goes to a log, and so does the traceback of a fault."""
    log = os.open(log_of(out), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(log, stream)
    last = 0.0

    def step(done: int, total: int, **info: Any) -> None:
        nonlocal last
        if time.monotonic() - last > OFTEN:
            last = time.monotonic()
            there.send((STEP, (done, total, {key: float(value) for key, value in info.items()})))

    try:
        there.send((DONE, work(given, entrant, out, step)))
    except InputError as error:
        there.send((REFUSED, str(error)))


def log_of(out: Path) -> Path:
    """Where an entrant's own words go; it is kept only where it has failed."""
    return out.with_name(f"{out.name}.log")


def _fault(out: Path, code: int | None) -> str:
    """Why a process ended without a word: the last line of its traceback, or the signal that killed it."""
    text = log_of(out).read_text(encoding="utf-8", errors="replace") if log_of(out).exists() else ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if code == 1 and lines:
        return f"failed: {lines[-1][:300]} (all of it in {log_of(out).name})"
    return f"its process died (exit code {code}): out of memory, or a fault of a library"


def entered(given: Given, entrant: Entrant, out: Path, progress: "Progress") -> dict[str, Any]:
    """Denoise, write `out` (.npz), judge: its figures, seconds and peak memory in GB of 2^30 bytes."""
    from clearmr import road
    from clearmr.cli import compare_judge

    common.set_up(given.device, given.threads)
    noisy, repeats = image_of(given.noisy), [image_of(path) for path in given.repeats]
    options: dict[str, Any] = {"model": entrant.model, "device": given.device, "seed": given.seed, "progress": progress}
    if entrant.budget_s is not None:
        options["budget_s"] = entrant.budget_s
    denoiser = road.denoiser(entrant.method, **options, memory=given.memory, is_complex=noisy.is_complex)
    noisy = road.fitting(noisy, denoiser)
    began = time.perf_counter()
    denoised = _denoised(denoiser, noisy, repeats, mask_of(given))
    seconds, memory = time.perf_counter() - began, peak_gb()
    road.save(dataclasses.replace(denoised, header=None), out, force=True)
    found = compare_judge.judged(given, noisy, denoised, denoiser=None if given.quick else denoiser, progress=progress)
    said = [w for w in denoised.meta.get("warnings", []) if w not in noisy.meta.get("warnings", [])]
    return {**found, "seconds": seconds, "memory_gb": memory, "warnings": said, "step": _last_step(denoised)}


def _denoised(denoiser: "Denoiser", noisy: "SnrImage", repeats: "list[SnrImage]", mask: Any) -> "SnrImage":
    """Of one image; a method that learns from repeats gets each of them. Raises InputError where there are none."""
    of_repeats: Any = getattr(denoiser, "of_repeats", None)
    if of_repeats is None:
        return denoiser(noisy)
    if len(repeats) < 2:
        raise InputError("at least two repeats of one subject", "one image", "give the repeats as inputs")
    found: SnrImage = of_repeats(repeats, mask=None if mask is None else mask[0]).average
    return found


def image_of(path: Path) -> "SnrImage":
    """An image file as it is."""
    from clearmr import formats
    from clearmr.scan import SnrImage

    loaded = formats.load(path)
    if not isinstance(loaded, SnrImage):
        raise InputError("an image", f"raw data in {path}", "reconstruct it first: clearmr recon")
    return loaded


def mask_of(given: Given) -> Any:
    """Where to judge: bool, broadcastable to the image; None for everywhere."""
    return None if given.mask is None else image_of(given.mask).image.abs() > 0


def _last_step(image: "SnrImage") -> dict[str, Any]:
    steps = image.meta.get("steps", [])
    plain: dict[str, Any] = common.plain(steps[-1]) if steps else {}
    return plain


def peak_gb() -> float:
    """The most memory that this process has held, in GB of 2^30 bytes.

    Of Linux's VmHWM: getrusage counts what the parent held when it started this process, too.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**20
    from clearmr.bench.timing import peak_gb as of_rusage

    return of_rusage()
