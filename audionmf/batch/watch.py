"""Whether a cluster still moves: its scheduler answers, and its workers are heard of.

A scheduler that was killed is tried again and again by Dask, and what was asked of workers that are
stopped, or all gone, is waited for without an end. Here both have one.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

from audionmf.errors import ClusterError

__all__ = ["Watch", "scheduler_gone"]

_SILENT_SECONDS = 30.0
"""For how long a scheduler may say nothing."""

_STILL_SECONDS = 120.0
"""For how long none of the workers may be heard of, or none be there."""

_LOOK_SECONDS = 1.0
_ADVICE = "see to the cluster and run it again; a batch goes on with --resume"


def scheduler_gone(client: Any) -> ClusterError | None:
    """Return the error to raise once Dask has given the scheduler up; None before that."""
    if client.status not in ("closing", "closed"):
        return None
    return ClusterError(f"the scheduler is gone: the connection to it is closed; {_ADVICE}")


class Watch:
    """Watches a cluster.

    Parameters
    ----------
    client : distributed.Client
        The connection.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._ended = threading.Event()
        self._heard: dict[str, Any] | None = None
        self._answered = self._moved = time.monotonic()

    def look(self) -> None:
        """See what has changed since the last look.

        Raises
        ------
        ClusterError
            If Dask has given the scheduler up, or it has not answered for 30 seconds, or no worker
            been heard of for two minutes.
        """
        if (gone := scheduler_gone(self._client)) is not None:
            raise gone
        heard = self._ask()
        now = time.monotonic()
        if heard is not None:
            self._answered = now
            if heard != self._heard:
                self._heard, self._moved = heard, now
        if now - self._answered > _SILENT_SECONDS:
            raise ClusterError(
                f"the scheduler is gone: it has not answered for {_SILENT_SECONDS:g} s; {_ADVICE}"
            )
        if now - self._moved > _STILL_SECONDS:
            raise ClusterError(
                f"no worker of the cluster has been heard of for {_STILL_SECONDS:g} s; {_ADVICE}"
            )

    def start(self, give_up: Callable[[ClusterError], None]) -> None:
        """Look again and again in a thread; call `give_up` once when there is nothing to wait for."""
        threading.Thread(target=self._go, args=(give_up,), daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._ended.set()

    def _go(self, give_up: Callable[[ClusterError], None]) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            try:
                self.look()
            except ClusterError as error:
                give_up(error)
                return

    def _ask(self) -> dict[str, Any] | None:
        """Return when the scheduler heard of each worker last; None where it does not answer."""
        if self._client.status != "running":
            return None
        loop = self._client.loop.asyncio_loop
        asked = asyncio.run_coroutine_threadsafe(self._identity(), loop)
        try:
            workers = asked.result(_LOOK_SECONDS * 5)["workers"]
        except Exception:  # whatever it is, there is no answer
            asked.cancel()
            return None
        return {address: worker["last_seen"] for address, worker in workers.items()}

    async def _identity(self) -> Any:
        return await self._client.scheduler.identity()
