"""The options that name a cluster."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from audionmf.errors import ParameterError

if TYPE_CHECKING:
    from audionmf.batch.cluster import TLS
    from audionmf.batch.cluster_executor import ClusterExecutor

__all__ = ["add_scheduler", "tls_of", "workplace"]


def add_scheduler(parser: argparse.ArgumentParser, text: str) -> None:
    """Add the options; `text` says what the cluster does."""
    group = parser.add_argument_group("cluster")
    group.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help=f"{text} on a Dask cluster: tls://HOST:PORT or tcp://HOST:PORT of its scheduler, or "
        "'local' for one on this machine; workers see the files under the same paths",
    )
    group.add_argument(
        "--tls-ca", metavar="FILE", help="for tls://: who signed the cluster's certificates (PEM)"
    )
    group.add_argument("--tls-cert", metavar="FILE", help="for tls://: the certificate to show")
    group.add_argument(
        "--tls-key", metavar="FILE", help="its private key (default: in the file of --tls-cert)"
    )


def tls_of(options: argparse.Namespace) -> TLS | None:
    """Return the certificates that the options name; None leaves them to Dask's configuration."""
    given = (options.tls_ca, options.tls_cert, options.tls_key)
    if given == (None, None, None):
        return None
    if options.scheduler is None:
        raise ParameterError("--tls-ca, --tls-cert and --tls-key go with --scheduler")
    if options.tls_ca is None or options.tls_cert is None:
        raise ParameterError("certificates are given by --tls-ca and --tls-cert together")
    from audionmf.batch.cluster import TLS

    return TLS(*given)


@contextlib.contextmanager
def workplace(options: argparse.Namespace) -> Iterator[Callable[[Any], ClusterExecutor] | None]:
    """Yield what makes the executor of a batch on a cluster; None where no cluster is asked for.

    A local cluster has as many workers as ``--jobs`` says, another one those that it has.
    """
    tls = tls_of(options)
    if options.scheduler is None:
        yield None
        return
    n_workers = options.jobs if options.jobs > 1 else None
    if n_workers is not None and options.scheduler != "local":
        raise ParameterError("a cluster has its own number of workers; leave out --jobs")
    from audionmf.batch.cluster import connect
    from audionmf.batch.cluster_executor import ClusterExecutor

    with connect(options.scheduler, n_workers=n_workers, tls=tls) as client:
        yield lambda _lock: ClusterExecutor(client)
