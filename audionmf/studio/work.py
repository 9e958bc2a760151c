"""One job at a time, in a thread of its own: its progress, its divergence, how to stop it."""

from __future__ import annotations

import logging
import math
import secrets
import threading
import warnings
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

from audionmf import nmf
from audionmf.errors import AudioNMFError, AudioNMFWarning, LockedError

__all__ = ["Job", "StoppedError", "Worker"]

_LOG = logging.getLogger(__name__)

_LATEST = 32

Outcome = Literal["running", "done", "failed", "stopped"]


class StoppedError(Exception):
    """The job was told to stop, and nothing is to be kept."""


@dataclass(eq=False)
class Job:
    """A piece of work that a page waits for.

    Parameters
    ----------
    kind : {"analyse", "queue", "open", "refine", "try", "notes", "export"}
        What it does.
    id : str
        Random.
    stage : str
        What it is doing now.
    share : float
        How much of the stage is done, 0 to 1.
    divergence : list of float
        Its value after each iteration.
    outcome : {"running", "done", "failed", "stopped"}
        How it is, or ended.
    error : str
        What went wrong, in a line for people.
    notes : list of str
        Warnings, likewise.
    result : dict
        What the page is told when it is done.
    """

    kind: str
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    stage: str = "start"
    share: float = 0.0
    divergence: list[float] = field(default_factory=list)
    outcome: Outcome = "running"
    error: str = ""
    notes: list[str] = field(default_factory=list)
    result: dict[str, Any] = field(default_factory=dict)
    _told: tuple[int, float] = (0, math.nan)
    _halt: threading.Event = field(default_factory=threading.Event)
    _enough: threading.Event = field(default_factory=threading.Event)

    def progress(self, stage: str, share: float) -> None:
        """Note how far it is; the `Progress` of an analysis.

        Raises
        ------
        StoppedError
            If the job was told to stop.
        """
        if self._halt.is_set():
            raise StoppedError
        self.stage, self.share = stage, float(share)

    def watch(self, state: nmf.State) -> bool:
        """Note the divergence of an iteration; tell whether that is enough.

        Within an iteration that takes long it is told again, and before the first one it is NaN.
        """
        told = (state.iteration, state.divergence)
        if math.isfinite(state.divergence) and told != self._told:
            self.divergence.append(float(state.divergence))
        self._told = told
        return self._enough.is_set()

    def stop(self, *, keep: bool = False) -> None:
        """End the job; with `keep` go on from where the iterations are, if there are any."""
        (self._enough if keep and self.divergence else self._halt).set()

    @property
    def cut_short(self) -> bool:
        """Whether the iterations were ended by hand."""
        return self._enough.is_set()

    def told(self, since: int) -> dict[str, Any]:
        """Return what a page wants to know, the divergence from iteration `since` on."""
        return {
            "id": self.id,
            "kind": self.kind,
            "stage": self.stage,
            "share": self.share,
            "divergence": self.divergence[max(0, since) :],
            "iterations": len(self.divergence),
            "outcome": self.outcome,
            "error": self.error,
            "notes": self.notes,
            "result": self.result,
        }


class Worker:
    """Runs jobs one after the other; refuses a second one while one runs.

    Parameters
    ----------
    explain : callable
        Makes the line for people of an exception.
    """

    def __init__(self, explain: Callable[[BaseException], str]) -> None:
        self._explain = explain
        self._pool = ThreadPoolExecutor(1, "audionmf-job")
        self._lock = threading.Lock()
        self.job: Job | None = None
        self._latest: deque[Job] = deque(maxlen=_LATEST)
        self._future: Future[None] | None = None

    def start(self, kind: str, work: Callable[[Job], dict[str, Any]]) -> Job:
        """Start a job; its result is what `work` returns. One that only tries something gives way.

        Raises
        ------
        LockedError
            If another one is still running.
        """
        with self._lock:
            busy = self._future is not None and not self._future.done()
            if busy and self.job is not None and self.job.kind == "try":
                self.job.stop()  # and the one thread goes on with the other
            elif busy:
                raise LockedError("something is being worked on already; wait for it, or stop it")
            self.job = Job(kind)
            self._latest.append(self.job)
            self._future = self._pool.submit(self._run, self.job, work)
            return self.job

    def find(self, key: str) -> Job | None:
        """Return one of the latest jobs: a page may ask for one that gave way to another still."""
        with self._lock:
            return next((job for job in self._latest if job.id == key), None)

    def close(self) -> None:
        """Stop what runs, and wait until it has ended."""
        if self.job is not None:
            self.job.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, job: Job, work: Callable[[Job], dict[str, Any]]) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", AudioNMFWarning)
            try:
                job.result = work(job)
                job.outcome = "done"
            except StoppedError:
                job.outcome = "stopped"
            except Exception as error:
                job.error, job.outcome = self._explain(error), "failed"
                if not isinstance(error, AudioNMFError):
                    _LOG.exception("a job of the studio failed")
            finally:
                job.notes = [
                    self._explain(w.message)
                    for w in caught
                    if isinstance(w.message, AudioNMFWarning)
                ]
