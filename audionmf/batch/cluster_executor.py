"""A batch on a cluster: its workers separate one file each at a time."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from audionmf.batch import worker
from audionmf.batch.cluster import first_line, require_workers
from audionmf.batch.job import SeparationJob
from audionmf.batch.processes import WorkerLostError
from audionmf.batch.watch import Watch, scheduler_gone
from audionmf.errors import ClusterError
from audionmf.spectra.frames import Progress

__all__ = ["ClusterExecutor"]

_GRACE_SECONDS = 1.5


class ClusterExecutor:
    """Has the tasks of a batch done by the workers of a cluster; an `Executor` of `audionmf.batch`.

    Each worker does one task at a time, with all its threads. A task whose worker is lost is done
    again by another one; only when that was the end of several workers, the batch hears of it.

    Parameters
    ----------
    client : distributed.Client
        The cluster, from `connect`.
    """

    def __init__(self, client: Any) -> None:
        self.n_workers = len(require_workers(client))
        self._client = client
        self._topic = f"audionmf-batch-{uuid.uuid4().hex}"
        self._listeners: dict[int, Progress] = {}
        self._running: dict[Any, Future[Mapping[str, Any]]] = {}
        self._gone: ClusterError | None = None
        self._watch = Watch(client)
        self._watch.start(self._give_up)
        client.subscribe_topic(self._topic, self._hear)

    def submit(self, task: Mapping[str, Any], progress: Progress) -> Future[Mapping[str, Any]]:
        """Have one of the workers do the task.

        The future fails with `ClusterError` if the cluster is gone or stands still.
        """
        outcome: Future[Mapping[str, Any]] = Future()
        if self._gone is not None:
            outcome.set_exception(self._gone)
            return outcome
        number = len(self._listeners)
        self._listeners[number] = progress
        given, absolute = task["job"]["input"], _absolute(task)
        try:
            call = self._client.submit(
                worker.separate,
                absolute,
                self._topic,
                number,
                pure=False,
                key=f"{self._topic}-{number}",
            )
        except Exception as error:  # Dask may close the connection before the watch looks again
            gone = scheduler_gone(self._client)
            if gone is None:
                raise
            gone.__cause__ = error
            outcome.set_exception(gone)
            return outcome
        self._running[call] = outcome

        def finish(call: Any) -> None:
            if self._running.pop(call, None) is None:
                return  # given up
            try:
                found = _named_as_given(call.result(), given, absolute["job"]["input"])
            except Exception as error:
                lost = WorkerLostError(f"the cluster lost what had the task: {first_line(error)}")
                outcome.set_exception(scheduler_gone(self._client) or lost)
            else:
                outcome.set_result(found)

        call.add_done_callback(finish)
        return outcome

    def close(self, *, now: bool) -> None:
        """Listen no more; with `now`, have what is being done given up, and see that it is."""
        self._watch.stop()
        if self._gone is not None:
            return  # nobody hears
        try:
            if now:
                self._give_up_tasks()
            self._client.unsubscribe_topic(self._topic)
        except Exception:
            if scheduler_gone(self._client) is None:
                raise

    def _give_up_tasks(self) -> None:
        until = time.monotonic() + _GRACE_SECONDS
        self._client.cancel(list(self._running), force=True)
        while time.monotonic() < until and True in self._busy():
            pass

    def _give_up(self, error: ClusterError) -> None:
        self._gone = error
        while self._running:
            with contextlib.suppress(KeyError):  # one was finished meanwhile
                self._running.popitem()[1].set_exception(error)

    def _busy(self) -> list[Any]:
        return list(self._client.run(worker.is_busy, on_error="return").values())

    def _hear(self, event: tuple[float, Mapping[str, Any]]) -> None:
        news = event[1]
        self._listeners[news["number"]](news["stage"], news["done"])


def _absolute(task: Mapping[str, Any]) -> dict[str, Any]:
    """Return a task with names that hold in the folder of any process."""
    job = SeparationJob.from_dict(task["job"]).absolute()
    folder = os.path.realpath(task["job"]["folder"])
    return {**task, "job": {**job.to_dict(), "folder": folder}}


def _named_as_given(outcome: Mapping[str, Any], given: str, absolute: str) -> dict[str, Any]:
    """Return an outcome that calls its input what the user calls it."""

    def renamed(text: str) -> str:
        return text.replace(repr(absolute), repr(given))

    warned = [renamed(text) for text in outcome["warnings"]]
    return {**outcome, "input": given, "message": renamed(outcome["message"]), "warnings": warned}
