"""Work on a Dask cluster: templates from a corpus that fits on no machine, and separations.

`connect` finds the cluster: ``"local"`` starts one on this machine, ``"tls://…"`` and ``"tcp://…"``
name the scheduler of one that runs. The workers have this package installed and see the recordings
under the same paths.

*Learning.* The recordings are shared out once, whole. Each worker keeps the frames of its share and
their activations (`worker`); a round sends the templates out and brings sums back, as
`nmf.distributed` tells. Which worker holds what is in `_Fleet`, and so is what to do when one is
lost: its recordings are read again by those that are left, and as activations follow from the
templates of all rounds so far, which the client keeps, they are worked out again. The sums are
exact, so that the result has the same bits whether or not a worker was lost, and for any number of
workers of one kind of processor.

Dask serialises calls itself, with pickle: whoever can talk to a scheduler can run code on its
workers. What this package sends are names of its own functions, plain values and arrays.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ipaddress
import logging
import os
import signal
import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from audionmf import __version__
from audionmf.batch import worker
from audionmf.batch.job import SeparationJob
from audionmf.batch.processes import WorkerLostError
from audionmf.batch.watch import Watch
from audionmf.errors import (
    AudioNMFWarning,
    AudioReadError,
    ClusterError,
    InvalidAudioError,
    MissingExtraError,
    ParameterError,
)
from audionmf.io.audio import AudioFile
from audionmf.io.files import StrPath, require_file
from audionmf.nmf.checks import thread_count
from audionmf.nmf.distributed import Order, Start, Sums, fit_sharded
from audionmf.nmf.solver import NMF, State
from audionmf.settings import Settings
from audionmf.sources.templates import Templates
from audionmf.spectra.frames import Progress
from audionmf.spectra.stft import STFT

__all__ = ["TLS", "ClusterExecutor", "check_scheduler", "connect", "learn"]

_CONNECT_SECONDS = 10
_WORKER_SECONDS = 60
_POLL_SECONDS = 0.5
_GRACE_SECONDS = 1.5
_REPLAY_BYTES = 4 << 20
_DEFAULT_COMPONENTS = 40
_MOST_LOST = 16


@dataclass(frozen=True)
class TLS:
    """Certificates for ``tls://``, each the path of a PEM file.

    Parameters
    ----------
    ca : str
        The authority that signed the certificates of the cluster.
    cert : str
        The certificate that this client shows.
    key : str, optional
        Its private key; default: it is in the file of the certificate.
    """

    ca: str
    cert: str
    key: str | None = None


def check_scheduler(scheduler: str, tls: TLS | None = None) -> None:
    """Refuse what is no address of a scheduler; warn where anybody could listen.

    Parameters
    ----------
    scheduler : str
        "local", or the address of a scheduler: ``tls://HOST:PORT`` or ``tcp://HOST:PORT``.
    tls : TLS, optional
        Certificates.

    Raises
    ------
    ParameterError
        If it is neither, or certificates do not go with it.

    Warns
    -----
    AudioNMFWarning
        If it is ``tcp://`` to another host.
    """
    if scheduler == "local":
        if tls is not None:
            raise ParameterError("a local cluster makes its own certificates; give none")
        return
    protocol, host = _address(scheduler)
    if tls is not None and protocol != "tls":
        raise ParameterError(f"certificates go with tls://, not with {scheduler!r}")
    if protocol == "tcp" and not _is_loopback(host):
        warnings.warn(
            AudioNMFWarning(
                f"{scheduler!r} is neither encrypted nor authenticated: names of files and "
                "templates can be read and changed on the way, and whoever reaches the scheduler "
                "can run code on its workers; use tls://"
            ),
            stacklevel=3,
        )


@contextlib.contextmanager
def connect(
    scheduler: str,
    *,
    n_workers: int | None = None,
    n_threads: int = 1,
    tls: TLS | None = None,
) -> Iterator[Any]:
    """Connect to a cluster, or start one on this machine for as long as the context lasts.

    Parameters
    ----------
    scheduler : str
        "local", or the address of a scheduler: ``tls://HOST:PORT`` or ``tcp://HOST:PORT``.
    n_workers : int, optional
        Processes of a local cluster; default: one for each core that this process may use.
    n_threads : int, default 1
        Threads of each of them.
    tls : TLS, optional
        Certificates for ``tls://``; default: those of Dask's configuration.

    Yields
    ------
    distributed.Client
        The connection.

    Raises
    ------
    ClusterError
        If the scheduler does not answer, has no worker, or a worker has another version of this
        package.
    MissingExtraError
        If dask.distributed is not installed.
    ParameterError
        If `scheduler` is no address, or certificates do not go with it.

    Warns
    -----
    AudioNMFWarning
        If it is ``tcp://`` to another host.
    """
    check_scheduler(scheduler, tls)
    distributed = _distributed()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_quiet())
        if scheduler == "local":
            options = {"security": distributed.Security.temporary()}
            target = stack.enter_context(
                _local_cluster(n_workers or thread_count(None), n_threads, **options)
            )
        else:
            target, options = scheduler, {"security": _security(scheduler, tls)}
            _greet(scheduler, options["security"])
        client = stack.enter_context(
            distributed.Client(target, timeout=_CONNECT_SECONDS, set_as_default=False, **options)
        )
        _require_workers(client)
        _require_same_software(client)
        yield client


def learn(
    recordings: StrPath | Sequence[StrPath],
    name: str | None = None,
    n_components: int | None = None,
    *,
    client: Any,
    sample_rate: int | None = None,
    method: str = "accelerated",
    settings: Settings | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Templates:
    """Learn spectral templates of a source from a corpus, on a cluster.

    Every frame of every recording counts, and none leaves its worker. The result is that of
    `nmf.fit_shards` over the frames of all recordings.

    Parameters
    ----------
    recordings : path or sequence of paths
        Recordings of the source alone, which this machine and all workers see.
    name : str, optional
        Label of the source; default: the name of the first file.
    n_components : int, optional
        Templates; default: ``settings.n_components``, else 40.
    client : distributed.Client
        The cluster, from `connect`.
    sample_rate : int, optional
        In Hz, the rate that the templates are for; recordings of another rate are converted, each
        in the memory of its worker. Default: the rate of the first recording.
    method : {"accelerated", "plain"}, default "accelerated"
        As in `nmf.fit_shards`.
    settings : Settings, optional
        Options of the analysis. ``n_threads`` are those of each worker, by default what it was
        started with; ``dictionary`` and ``max_frames`` mean nothing here.
    progress : callable, optional
        Told the stage and the share done.
    **options
        Fields of `Settings`, changed from `settings`.

    Returns
    -------
    Templates
        The bank, each template summing to 1, with how long each rings at a time.

    Raises
    ------
    ParameterError
        If there are fewer frames than components, or options do not fit.
    InvalidAudioError
        If the recordings are silent.
    FileNotFoundError, AudioReadError, LimitError
        If a recording cannot be read, here or on a worker.
    OutputError
        If a worker has no room for its frames.
    ClusterError
        If no worker is left, or one after the other is lost.

    Warns
    -----
    AudioWarning
        Of a recording that is silent, short or cut off.
    """
    config = Settings.from_options(settings, **options)
    if config.beta != 1:
        raise ParameterError("on a cluster, templates are learnt with beta 1")
    given = [recordings] if isinstance(recordings, str | os.PathLike) else recordings
    files = [AudioFile(Path(os.path.abspath(path))) for path in given]  # noqa: PTH100
    if not files:
        raise ParameterError("there is no recording to learn from")
    label = name or files[0].path.stem
    rate = sample_rate or files[0].sample_rate
    stft = STFT(config.n_fft_at(rate), config.hop_length_at(rate), config.window)
    report = progress or (lambda _stage, _done: None)
    read = partial(report, f"read {label}")
    with _Fleet(client, files, stft, rate, config.n_threads, read) as fleet:
        model = _fit(fleet, label, n_components or config.n_components, method, config, report)
        seconds = fleet.ring_lengths() * stft.hop_length / rate
    durations = tuple(round(float(s), 3) for s in seconds)
    return Templates(model.templates, (label,) * model.n_components, stft, rate, durations)


def _fit(
    fleet: _Fleet,
    label: str,
    wanted: int | None,
    method: str,
    config: Settings,
    report: Progress,
) -> NMF:
    n_frames, peaks = fleet.measure()
    if not peaks.any():
        raise InvalidAudioError(f"the recordings of {label!r} are silent; nothing can be learnt")
    if wanted is not None and wanted > n_frames:
        raise ParameterError(
            f"{wanted} components cannot be learnt from the {n_frames} frames of {label!r}; "
            "ask for fewer, give longer recordings, or take a smaller hop"
        )

    def callback(state: State) -> None:
        report(f"learn {label}", state.iteration / state.max_iter)

    count = wanted or min(_DEFAULT_COMPONENTS, n_frames)
    model = fit_sharded(
        fleet, count, max_iter=config.max_iter, tol=config.tol, method=method, seed=config.seed,
        callback=callback,
    )  # fmt: skip
    report(f"learn {label}", 1.0)
    return model


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
        self.n_workers = len(_require_workers(client))
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
        call = self._client.submit(
            worker.separate,
            absolute,
            self._topic,
            number,
            pure=False,
            key=f"{self._topic}-{number}",
        )
        self._running[call] = outcome

        def finish(call: Any) -> None:
            if self._running.pop(call, None) is None:
                return  # given up
            try:
                found = _named_as_given(call.result(), given, absolute["job"]["input"])
            except Exception as error:
                lost = WorkerLostError(f"the cluster lost what had the task: {_first_line(error)}")
                outcome.set_exception(lost)
            else:
                outcome.set_result(found)

        call.add_done_callback(finish)
        return outcome

    def close(self, *, now: bool) -> None:
        """Listen no more; with `now`, have what is being done given up, and see that it is."""
        self._watch.stop()
        if self._gone is not None:
            return  # nobody hears
        if now:
            until = time.monotonic() + _GRACE_SECONDS
            self._client.cancel(list(self._running), force=True)
            while time.monotonic() < until and True in self._busy():
                pass
        self._client.unsubscribe_topic(self._topic)

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


class _Fleet:
    """The shares of a corpus on the workers of a cluster, as one `Sharded`."""

    def __init__(
        self,
        client: Any,
        files: Sequence[AudioFile],
        stft: STFT,
        sample_rate: int,
        n_threads: int | None,
        report: Callable[[float], None],
    ) -> None:
        self._watch = Watch(client)
        self._client, self._n_threads, self._report = client, n_threads, report
        self._layout = {**dataclasses.asdict(stft), "sample_rate": sample_rate}
        self._start: tuple[Any, ...] | None = None
        self._history = _History()
        self._measured: tuple[int, NDArray[np.float32]] | None = None
        self._files, self._n_lost = list(files), 0
        self._shares: list[_Share] = []

    def __enter__(self) -> _Fleet:
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
        threads = _require_workers(self._client)
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
        distributed = _distributed()
        while True:
            try:
                if request == "hold":
                    error = future.exception(timeout=_POLL_SECONDS)
                    if error is not None:
                        raise error
                    answer: Any = True  # the lease itself stays there
                else:
                    answer = future.result(timeout=_POLL_SECONDS)
            except TimeoutError:
                if share.worker not in _threads(self._client):
                    raise _LostError from None
                self._watch.look()
            except FileNotFoundError as error:
                raise AudioReadError(
                    error.errno,
                    f"{error.filename!r} is here but not on the worker {share.worker}; workers "
                    "read recordings under the same paths, from a shared file system",
                ) from error
            except (distributed.KilledWorker, distributed.client.FutureCancelledError) as error:
                _threads(self._client)  # is the scheduler still there?
                raise _LostError from error
            else:
                if answer is None:
                    raise _LostError
                return answer


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


_NONE = np.empty(0)


def _values(plain: Start | Order) -> tuple[Any, ...]:
    return tuple(getattr(plain, item.name) for item in dataclasses.fields(plain))


def _added(answers: Sequence[Sequence[Any]], order: Order) -> Sums:
    sums = Sums.zeros(*order.templates.shape)
    for answer in answers:
        sums.add(Sums(*answer[:3]))
    return sums


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise MissingExtraError(
            "a cluster needs dask.distributed: pip install 'audionmf[cluster]'"
        ) from error
    return distributed


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask from logging to standard error; what matters comes as an exception."""
    import dask
    import distributed  # noqa: F401  its defaults must be there to be changed

    names = [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]
    levels = {logging.getLogger(name): logging.getLogger(name).level for name in names}
    environment = "distributed.nanny.pre-spawn-environ"
    settings: Mapping[str, Any] = {
        environment: {**dask.config.get(environment, {}), "DASK_LOGGING__DISTRIBUTED": "critical"},
        "distributed.scheduler.http.routes": [],  # pages that any user of the machine could read
        "distributed.worker.http.routes": [],
        "distributed.admin.large-graph-warning-threshold": "1 GB",
    }
    with dask.config.set(settings):
        for logger in levels:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in levels.items():
                logger.setLevel(level)


@contextlib.contextmanager
def _local_cluster(n_workers: int, n_threads: int, **options: Any) -> Iterator[Any]:
    with _interrupts_held_back():
        cluster = _distributed().LocalCluster(
            n_workers=n_workers,
            threads_per_worker=n_threads,
            host="tls://127.0.0.1",
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
            memory_limit=0,
            **options,
        )
    with cluster:
        try:
            yield cluster
        except BaseException:
            # Nobody waits for what they are doing; to ask them to end would.
            for nanny in cluster.workers.values():
                nanny.auto_restart = False
                if nanny.pid:
                    os.kill(nanny.pid, signal.SIGKILL)
            raise


@contextlib.contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Have threads and processes that are started leave Ctrl-C at a terminal to this thread."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _address(scheduler: str) -> tuple[str, str]:
    """Return protocol and host of an address."""
    try:
        parts = urlsplit(scheduler)
        complete = parts.scheme in ("tcp", "tls") and parts.hostname and parts.port
    except ValueError:
        complete = None
    if not complete:
        raise ParameterError(
            "a scheduler is 'local', or an address as tls://HOST:PORT or tcp://HOST:PORT, not "
            f"{scheduler!r}"
        )
    return parts.scheme, str(parts.hostname)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _security(scheduler: str, tls: TLS | None) -> Any:
    distributed = _distributed()
    if tls is not None:
        files = [str(require_file(path)) for path in (tls.ca, tls.cert, tls.key or tls.cert)]
        options = dict(
            zip(("tls_ca_file", "tls_client_cert", "tls_client_key"), files, strict=True)
        )
        security = distributed.Security(require_encryption=True, **options)
    else:
        security = distributed.Security()
    if not scheduler.startswith("tls:"):
        return security
    try:
        context = security.get_connection_args("client").get("ssl_context")
    except OSError as error:
        raise ParameterError(f"the certificates cannot be used: {_first_line(error)}") from error
    if context is None:
        raise ParameterError(
            f"{scheduler!r} needs certificates: give --tls-ca, --tls-cert and --tls-key, or set "
            "them under distributed.comm.tls in Dask's configuration"
        )
    return security


def _greet(scheduler: str, security: Any) -> None:
    """See that a scheduler answers, before a client that would try again and again is made."""
    open_comm = _distributed().comm.connect

    async def greet() -> None:
        options = security.get_connection_args("client")
        comm = await open_comm(scheduler, timeout=_CONNECT_SECONDS, **options)
        await comm.close()

    try:
        with ThreadPoolExecutor(1) as pool:  # this thread may have a loop of its own, in a notebook
            pool.submit(asyncio.run, greet()).result()
    except (OSError, ValueError, MemoryError) as error:
        # Other servers send what, read as lengths, does not fit in memory.
        reason = _first_line(error) if isinstance(error, OSError) else "something else is there"
        raise ClusterError(
            f"no Dask scheduler answers at {scheduler!r} ({reason}); check the address, and "
            "whether it is tcp:// or tls://"
        ) from error


def _threads(client: Any) -> dict[str, int]:
    """Return the threads of each worker that the scheduler knows."""
    try:
        return dict(client.nthreads())
    except (OSError, RuntimeError, TimeoutError) as error:
        raise ClusterError(f"the scheduler is gone: {_first_line(error)}") from error


def _require_workers(client: Any) -> dict[str, int]:
    """Return the threads of each worker; wait a while for the first."""
    until = time.monotonic() + _WORKER_SECONDS
    while not (threads := _threads(client)):
        if time.monotonic() > until:
            raise ClusterError(
                f"the cluster has no workers, nor had any for {_WORKER_SECONDS} s; start some: "
                "dask worker ADDRESS"
            )
        with contextlib.suppress(TimeoutError):
            client.wait_for_workers(1, timeout=_POLL_SECONDS)
    return threads


def _require_same_software(client: Any) -> None:
    found = client.run(worker.software, on_error="return")
    for address, version in found.items():
        if isinstance(version, Exception) and "ModuleNotFoundError" in repr(version):
            raise ClusterError(
                f"the worker {address} has no audionmf ({_first_line(version)}); install "
                f"audionmf {__version__} there"
            )
        if isinstance(version, str) and version != __version__:
            raise ClusterError(
                f"the worker {address} has audionmf {version}, this is {__version__}; install the "
                "same on both"
            )


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
