"""A Dask cluster: how to reach one, or start one on this machine.

`connect` finds the cluster: ``"local"`` starts one on this machine, ``"tls://…"`` and ``"tcp://…"``
name the scheduler of one that runs. The workers have this package installed and see the recordings
under the same paths.

Dask serialises calls itself, with pickle: whoever can talk to a scheduler can run code on its
workers. What this package sends are names of its own functions, plain values and arrays.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import signal
import time
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from audionmf import __version__
from audionmf.batch import worker
from audionmf.batch.watch import scheduler_gone
from audionmf.errors import (
    AudioNMFError,
    AudioNMFWarning,
    ClusterError,
    MissingExtraError,
    ParameterError,
)
from audionmf.io.files import require_file
from audionmf.nmf.checks import thread_count

__all__ = [
    "POLL_SECONDS",
    "TLS",
    "check_scheduler",
    "connect",
    "dask_distributed",
    "first_line",
    "require_workers",
    "threads_of",
]

POLL_SECONDS = 0.5
_CONNECT_SECONDS = 10
_WORKER_SECONDS = 60


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
    distributed = dask_distributed()
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
        require_workers(client)
        _require_same_software(client)
        try:
            yield client
        except AudioNMFError:
            raise
        except Exception as error:  # whatever was asked of a connection that Dask has closed
            gone = scheduler_gone(client)
            if gone is None:
                raise
            raise gone from error


def dask_distributed() -> Any:
    """Return dask.distributed, which is loaded where it is used.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        import distributed
    except ImportError as error:
        raise MissingExtraError(
            "a cluster needs dask.distributed: pip install 'audionmf[cluster]'"
        ) from error
    return distributed


def threads_of(client: Any) -> dict[str, int]:
    """Return the threads of each worker that the scheduler knows."""
    try:
        return dict(client.nthreads())
    except (OSError, RuntimeError, TimeoutError) as error:
        raise ClusterError(f"the scheduler is gone: {first_line(error)}") from error


def require_workers(client: Any) -> dict[str, int]:
    """Return the threads of each worker; wait a while for the first."""
    until = time.monotonic() + _WORKER_SECONDS
    while not (threads := threads_of(client)):
        if time.monotonic() > until:
            raise ClusterError(
                f"the cluster has had no worker for {_WORKER_SECONDS} s; start some: "
                "dask worker ADDRESS"
            )
        with contextlib.suppress(TimeoutError):
            client.wait_for_workers(1, timeout=POLL_SECONDS)
    return threads


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says; its name where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def _require_same_software(client: Any) -> None:
    found = client.run(worker.software, on_error="return")
    for address, version in found.items():
        if isinstance(version, Exception) and "ModuleNotFoundError" in repr(version):
            raise ClusterError(
                f"the worker {address} has no audionmf ({first_line(version)}); install "
                f"audionmf {__version__} there"
            )
        if isinstance(version, str) and version != __version__:
            raise ClusterError(
                f"the worker {address} has audionmf {version}, this is {__version__}; install the "
                "same on both"
            )


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
        cluster = dask_distributed().LocalCluster(
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
    distributed = dask_distributed()
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
        raise ParameterError(f"the certificates cannot be used: {first_line(error)}") from error
    if context is None:
        raise ParameterError(
            f"{scheduler!r} needs certificates: give --tls-ca, --tls-cert and --tls-key, or set "
            "them under distributed.comm.tls in Dask's configuration"
        )
    return security


def _greet(scheduler: str, security: Any) -> None:
    """See that a scheduler answers, before a client that would try again and again is made."""
    open_comm = dask_distributed().comm.connect

    async def greet() -> None:
        options = security.get_connection_args("client")
        comm = await open_comm(scheduler, timeout=_CONNECT_SECONDS, **options)
        await comm.close()

    try:
        with ThreadPoolExecutor(1) as pool:  # this thread may have a loop of its own, in a notebook
            pool.submit(asyncio.run, greet()).result()
    except (OSError, ValueError, MemoryError) as error:
        # Other servers send what, read as lengths, does not fit in memory.
        reason = first_line(error) if isinstance(error, OSError) else "something else is there"
        raise ClusterError(
            f"no Dask scheduler answers at {scheduler!r} ({reason}); check the address, and "
            "whether it is tcp:// or tls://"
        ) from error
