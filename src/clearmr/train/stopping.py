"""Being asked to stop: the step in work is finished and saved."""

import signal
import threading
from types import FrameType
from typing import Any


class Interrupted(Exception):
    """Training was asked to stop and has saved its state after `step` of `steps`. signal: the number of the signal."""

    def __init__(self, step: int, steps: int, number: int) -> None:
        self.step, self.steps, self.signal = step, steps, number
        super().__init__(f"stopped after step {step} of {steps} and saved: --resume goes on from there")

    def __reduce__(self) -> tuple[type["Interrupted"], tuple[int, int, int]]:
        """Pickled whole, so that a worker process can raise it."""
        return type(self), (self.step, self.steps, self.signal)


class Watch:
    """Within `with Watch() as watch`, `watch.signal` is the SIGTERM or SIGINT that came, else 0.

    A second Ctrl-C is not waited for. Outside the main thread signals cannot be watched: it stays 0.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Watch":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.signal = number
        if number == signal.SIGINT:
            signal.signal(number, self._before[number])
