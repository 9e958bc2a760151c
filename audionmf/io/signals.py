"""The signals that end a run, all of them in the same way: what is half done is cleared away."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["ENDING", "ending_by"]

ENDING = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGXCPU")
    if hasattr(signal, name)
)
"""To end, a terminal that is gone, what batch systems send first, too much processor time."""


@contextlib.contextmanager
def ending_by(end: Callable[..., Any]) -> Iterator[None]:
    """Have `end` called once, whichever of the signals comes; from then on they are passed over.

    One that was ignored before, as `nohup` has it, stays ignored. In another thread than the main
    one nothing is changed.
    """
    before: dict[int, Any] = {}

    def once(number: int, frame: Any) -> None:
        for other in before:
            signal.signal(other, signal.SIG_IGN)  # what is cleared away now is not interrupted
        end(number, frame)

    try:
        for number in ENDING:
            if number == signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, once)
    except ValueError:  # not in the main thread
        before.clear()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
