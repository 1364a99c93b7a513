"""Runs side by side in processes of one thread each; what is done is kept, and not done again."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

from clearmr.denoiser import Progress, no_progress

Job = TypeVar("Job")


def run_all(
    function: Callable[[Job], dict[str, Any]], jobs: Sequence[Job], *, workers: int, progress: Progress = no_progress
) -> list[dict[str, Any]]:
    """`function` of every job, in their order. It and the jobs must pickle, unless workers is 1: then it runs here.

    An error in one job ends the others that have not begun, and is raised. Here too on one thread, so that the number
    of workers changes no bit.
    """
    if workers <= 1 or len(jobs) <= 1:
        with one_thread():
            return [result for _, result in _here(function, jobs, progress)]
    results: dict[int, dict[str, Any]] = {}
    for index, result in _beside(function, jobs, workers):
        results[index] = result
        progress(len(results), len(jobs))
    return [results[index] for index in range(len(jobs))]


def _here(
    function: Callable[[Job], dict[str, Any]], jobs: Sequence[Job], progress: Progress
) -> Iterator[tuple[int, dict[str, Any]]]:
    for index, job in enumerate(jobs):
        yield index, function(job)
        progress(index + 1, len(jobs))


def _beside(
    function: Callable[[Job], dict[str, Any]], jobs: Sequence[Job], workers: int
) -> Iterator[tuple[int, dict[str, Any]]]:
    # Spawned, not forked: a fork would inherit torch's threads in a state that may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context, initializer=_one_thread) as pool:
        futures = {pool.submit(function, job): index for index, job in enumerate(jobs)}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # after an error: what has not begun does not begin


def devices(device: str) -> list[str]:
    """What jobs can be spread over: every GPU for "cuda", else the device itself."""
    if device != "cuda":
        return [device]
    return [f"cuda:{k}" for k in range(torch.cuda.device_count())]


@contextmanager
def one_thread() -> Iterator[None]:
    """Within it torch uses one CPU thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _one_thread() -> None:
    torch.set_num_threads(1)
