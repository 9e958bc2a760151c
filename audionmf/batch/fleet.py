"""The recordings of a corpus on the workers of a cluster, and what to do when a worker is lost.

The recordings are shared out once, whole. Each worker keeps the frames of its share and their
activations (`worker`); a round sends the templates out and brings sums back, as `nmf.distributed`
tells. When a worker is lost, its recordings are read again by those that are left, and as
activations follow from the templates of all rounds so far, which the client keeps, they are worked
out again.
"""

from __future__ import annotations

import dataclasses
import os
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.batch import worker
from audionmf.batch.cluster import POLL_SECONDS, dask_distributed, require_workers, threads_of
from audionmf.batch.watch import Watch
from audionmf.errors import AudioNMFWarning, AudioReadError, ClusterError
from audionmf.io.audio import AudioFile
from audionmf.nmf.distributed import Order, Start, Sums
from audionmf.spectra.stft import STFT

__all__ = ["Fleet"]

_REPLAY_BYTES = 4 << 20
_MOST_LOST = 16
_NONE = np.empty(0)


class Fleet:
    """The shares of a corpus on the workers of a cluster, as one `Sharded`."""

    def __init__(
        self,
        client: Any,
        files: Sequence[AudioFile],
        stft: STFT,
        sample_rate: int,
        n_threads: int | None,
        report: Callable[[float], object],
    ) -> None:
        self._watch = Watch(client)
        self._client, self._n_threads, self._report = client, n_threads, report
        self._layout = {**dataclasses.asdict(stft), "sample_rate": sample_rate}
        self._start: tuple[Any, ...] | None = None
        self._history = _History()
        self._measured: tuple[int, NDArray[np.float32]] | None = None
        self._files, self._n_lost = list(files), 0
        self._shares: list[_Share] = []

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        for share in self._shares:
            share.lease.release()  # the workers forget
        self._shares = []
        self._history.close()

    def measure(self) -> tuple[int, NDArray[np.float32]]:
        """Have all recordings read, once; pass on what the readers warned of."""
        if self._measured is None:
            self._shares = self._raise(self._files)
            counts, peaks, messages = zip(*self._ask("measure"), strict=True)
            for message in sorted(text for texts in messages for text in texts):
                warnings.warn(AudioNMFWarning(message), stacklevel=2)
            self._measured = sum(counts), np.max(peaks, axis=0)
        return self._measured

    def begin(self, start: Start) -> NDArray[np.float64]:
        """Make the first activations; return the sum of each bin."""
        values = _values(start)
        bins: NDArray[np.float64] = np.sum(self._ask("begin", *values), axis=0)
        self._start = values
        return bins

    def step(self, order: Order) -> Sums:
        """Do one round on all workers."""
        sums = _added(self._ask("step", *_values(order)), order)
        self._history.append(order)
        return sums

    def certify(self, order: Order) -> tuple[Sums, NDArray[np.float64], NDArray[np.float64]]:
        """Try one more round on all workers."""
        found = self._ask("certify", *_values(order))
        before, change = (np.sum([answer[i] for answer in found], axis=0) for i in (3, 4))
        return _added(found, order), before, change

    def ring_lengths(self) -> NDArray[np.float64]:
        """Return for how many frames each template rings at a time."""
        peaks = np.max(self._ask("ring_peaks"), axis=0)
        lengths, weights = (
            np.sum(part, axis=0) for part in zip(*self._ask("ring_sums", peaks), strict=True)
        )
        mean: NDArray[np.float64] = lengths / np.where(weights > 0, weights, 1)
        return mean

    def _ask(self, request: str, *values: Any) -> list[Any]:
        """Ask every share; what is lost is raised again elsewhere, and asked there."""
        answers, waiting = [], self._shares
        while waiting:
            found, lost = self._round(waiting, request, values)
            answers += found
            self._shares = [share for share in self._shares if share not in lost]
            waiting = self._raise([file for share in lost for file in share.files])
            self._shares += waiting
        self._n_lost = 0
        return answers

    def _raise(self, files: list[AudioFile]) -> list[_Share]:
        """Have recordings read by workers and brought to where the others are."""
        ready: list[_Share] = []
        while files:
            raised = self._share_out(files)
            files = []
            for request, values in self._past():
                _, lost = self._round(raised, request, values)
                files += [file for share in lost for file in share.files]
                raised = [share for share in raised if share not in lost]
            ready += raised
        return ready

    def _past(self) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """Yield what a share must have been asked to be where the others are."""
        yield "hold", ()
        if self._start is not None:
            yield "begin", self._start
        for orders in self._history.parts():
            yield "replay", (orders,)

    def _share_out(self, files: Iterable[AudioFile]) -> list[_Share]:
        """Give the longest recording that is left to the worker that has least for its threads."""
        threads = require_workers(self._client)
        shares = {address: _Share(address, []) for address in threads}
        loads = dict.fromkeys(threads, 0.0)
        for share in self._shares:
            if share.worker in loads:
                loads[share.worker] += share.weight
        for file in sorted(files, key=lambda file: (-file.duration, str(file.path))):
            address = min(loads, key=lambda a: ((loads[a] + file.duration) / threads[a], a))
            shares[address].files.append(file)
            loads[address] += file.duration
        return [share for share in shares.values() if share.files]

    def _round(
        self, shares: Sequence[_Share], request: str, values: tuple[Any, ...]
    ) -> tuple[list[Any], list[_Share]]:
        """Ask shares; return the answers, and those that are lost."""
        futures = [self._submit(share, request, values) for share in shares]
        answers: list[Any] = []
        lost: list[_Share] = []
        for n_done, (share, future) in enumerate(zip(shares, futures, strict=True), 1):
            try:
                answers.append(self._outcome(share, future, request))
            except _LostError:
                lost.append(share)
                future.cancel()
            if request == "hold":
                self._report(n_done / len(shares))
        self._n_lost += len(lost)
        if self._n_lost > _MOST_LOST:
            raise ClusterError(
                f"the cluster lost {self._n_lost} shares of the recordings before it could answer; "
                "perhaps its workers have too little memory"
            )
        return answers, lost

    def _submit(self, share: _Share, request: str, values: tuple[Any, ...]) -> Any:
        options = {"workers": [share.worker], "allow_other_workers": False, "pure": False}
        if request == "hold":
            paths = [str(file.path) for file in share.files]
            share.lease = self._client.submit(
                worker.hold, share.key, paths, self._layout, self._n_threads, **options
            )
            return share.lease
        return self._client.submit(worker.answer, share.key, request, *values, **options)

    def _outcome(self, share: _Share, future: Any, request: str) -> Any:
        """Wait for an answer as long as there is somebody to give it."""
        distributed = dask_distributed()
        while True:
            try:
                if request == "hold":
                    error = future.exception(timeout=POLL_SECONDS)
                    if error is not None:
                        raise error
                    answer: Any = True  # the lease itself stays there
                else:
                    answer = future.result(timeout=POLL_SECONDS)
            except TimeoutError:
                if share.worker not in threads_of(self._client):
                    raise _LostError from None
                self._watch.look()
            except UnboundLocalError:
                # Dask's `sync` passes over the CancelledError of a wait whose answer comes in the very
                # moment in which its time is up, and then returns a variable that was never set. The
                # answer is there now: ask again. If the worker itself failed so, that is the answer.
                if future.status == "error":
                    raise
            except FileNotFoundError as error:
                raise AudioReadError(
                    error.errno,
                    f"{error.filename!r} is here but not on the worker {share.worker}; workers "
                    "read recordings under the same paths, from a shared file system",
                ) from error
            except (distributed.KilledWorker, distributed.client.FutureCancelledError) as error:
                threads_of(self._client)  # is the scheduler still there?
                raise _LostError from error
            else:
                if answer is None:
                    raise _LostError
                return answer


@dataclass(eq=False)
class _Share:
    """Recordings that one worker holds."""

    worker: str
    files: list[AudioFile]
    key: str = dataclasses.field(default_factory=lambda: f"audionmf-share-{uuid.uuid4().hex}")
    lease: Any = None

    @property
    def weight(self) -> float:
        return sum(file.duration for file in self.files)


class _LostError(Exception):
    """A worker is gone, or has forgotten its share."""


class _History:
    """The orders of all rounds so far, in a file without a name."""

    def __init__(self) -> None:
        self._file = TemporaryFile()  # noqa: SIM115
        self._orders: list[tuple[Any, ...]] = []

    def append(self, order: Order) -> None:
        np.save(self._file, order.templates, allow_pickle=False)
        self._orders.append((order.number, order.momentum, order.undo, order.templates.nbytes))

    def parts(self) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the orders again, a few at a time."""
        self._file.seek(0)
        part: list[tuple[Any, ...]] = []
        n_bytes = 0
        for number, momentum, undo, size in self._orders:
            templates = np.load(self._file, allow_pickle=False)
            part.append((number, templates, momentum, undo, _NONE, _NONE, 0.0))
            n_bytes += size
            if n_bytes >= _REPLAY_BYTES:
                yield part
                part, n_bytes = [], 0
        if part:
            yield part
        self._file.seek(0, os.SEEK_END)

    def close(self) -> None:
        self._file.close()


def _values(plain: Start | Order) -> tuple[Any, ...]:
    return tuple(getattr(plain, item.name) for item in dataclasses.fields(plain))


def _added(answers: Sequence[Sequence[Any]], order: Order) -> Sums:
    sums = Sums.zeros(*order.templates.shape)
    for answer in answers:
        sums.add(Sums(*answer[:3]))
    return sums
