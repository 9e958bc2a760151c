"""Threads that make the same calls side by side, again and again.

Where calls lie ready as numbers, threads wait for the next time in machine code, for about as long as
there is nothing for them to do between two iterations, and sleep where nothing comes. Elsewhere a
pool is told each time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from audionmf.nmf.calls import ENDED, STRIDE, Calls, calls
from audionmf.nmf.ready import Call

__all__ = ["Crew"]


class Crew:
    """Threads that share work by a counter: who is late finds nothing left. A context manager.

    Parameters
    ----------
    own : Call
        What the thread that uses it calls.
    others : sequence of Call
        One for each thread beside it. They begin when they are first needed.
    """

    def __init__(self, own: Call, others: Sequence[Call]) -> None:
        self._own, self._others = own, others
        self._pool: ThreadPoolExecutor | None = None
        self._gate: _Gate | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool:
            self._pool.shutdown()
        if self._gate:
            self._gate.end()
        self._pool = self._gate = None

    def take(self, arguments: Sequence[Sequence[Any]]) -> None:
        """Take other arguments for all calls, the own one first."""
        for call, others in zip((self._own, *self._others), arguments, strict=True):
            call.take(*others)

    def work(self) -> None:
        """Make all calls, and return when they are done."""
        made = calls()
        if not self._others:
            self._own()
        elif made and all(call.place for call in (self._own, *self._others)):
            self._gate = self._gate or _Gate(made, self._others)
            self._gate.work(self._own)
        else:
            self._pool = self._pool or ThreadPoolExecutor(len(self._others))
            futures = [self._pool.submit(call) for call in self._others]
            self._own()
            for future in futures:
                if not future.cancel():
                    future.result()


class _Gate:
    """Threads that make their calls each time that a gate opens, and the states of these threads."""

    def __init__(self, made: Calls, others: Sequence[Call]) -> None:
        self._made, self._opened = made, 0
        self._lines = np.zeros((1 + len(others), STRIDE), np.int64)  # the gate first
        places = [self._lines.ctypes.data + 8 * STRIDE * i for i in range(len(self._lines))]
        self._gate, self._states = places[0], (places[1], len(others))
        self._wake = [threading.Semaphore(0) for _ in others]
        self._threads = [
            threading.Thread(
                target=_serve, args=(made, call, self._lines, place, wake), daemon=True
            )
            for call, place, wake in zip(others, places[1:], self._wake, strict=True)
        ]
        for thread in self._threads:
            thread.start()

    def work(self, own: Call) -> None:
        """Make all calls."""
        self._opened += 1
        self._open(self._opened)
        try:
            own()
        finally:
            while self._made.close_gate(self._gate, *self._states):
                time.sleep(0)  # one still works, on a core that others want
        if self._lines[1:, 1].any():
            raise RuntimeError("a kernel failed")

    def end(self) -> None:
        """Let the threads go."""
        self._open(ENDED)
        for thread in self._threads:
            thread.join()

    def __del__(self) -> None:  # nobody waits for what was not ended
        self._open(ENDED)

    def _open(self, to: int) -> None:
        asleep = self._made.open_gate(self._gate, to, *self._states)
        for i, wake in enumerate(self._wake):
            if asleep >> i & 1:
                wake.release()


def _serve(
    made: Calls, call: Call, lines: NDArray[np.int64], state: int, wake: threading.Semaphore
) -> None:
    gate, seen = lines.ctypes.data, 0  # they stay as long as this looks at them
    while (seen := made.serve(call.place, call.block, gate, state, seen)) != ENDED:
        wake.acquire()
