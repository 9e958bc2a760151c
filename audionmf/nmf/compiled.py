"""Machine code that numba keeps on disk: without it everything works too, only later.

Code that cannot be read or written, because the disk is full, there is no folder for it, it is
somebody else's or a machine went down while it was written, is made anew each time. numba has no
setting for that: it raises.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

__all__ = [
    "Compiling",
    "OptionalCache",
    "count_kernel",
    "going_on",
    "keeping_optional",
    "listen_to_compiling",
    "without_collection",
]

_log = logging.getLogger("audionmf")


@dataclasses.dataclass(frozen=True)
class Compiling:
    """How far the compiling of kernels is.

    Attributes
    ----------
    n_done, n_kernels : int
        Kernels that are ready, and those that there are.
    seconds : float
        What compiling took in this process so far.
    going : bool
        Whether a kernel is being compiled now.
    """

    n_done: int
    n_kernels: int
    seconds: float
    going: bool


class OptionalCache:
    """Goes before a cache of numba in the bases of a class, and leaves out what cannot be kept."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return what is kept; None where that cannot be had."""
        from numba.core.runtime.nrt import rtsys

        # numba would fill its tables of all functions it knows first; only compiling needs them,
        # while its runtime, which holds arrays that go in, is needed by all.
        rtsys.initialize(target_context)
        kept = _loaded(self._load_overload, sig, target_context)  # type: ignore[attr-defined]
        if kept is None:
            _clock.begin(id(self))
        else:
            _clock.count()
        return kept

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep machine code where it can be kept."""
        _save(self, super().save_overload, sig, data)  # type: ignore[misc]
        _clock.end(id(self))


class _Clock:
    """Measures what compiling takes: a kernel that another one calls is compiled within that one."""

    def __init__(self) -> None:
        self._open: list[int] = []
        self._begun = self._seconds = 0.0
        self.n_kernels = self._n_done = 0
        self._lock = threading.RLock()

    def count(self) -> None:
        """Hear of a kernel that is ready."""
        with self._lock:
            self._n_done += 1

    def begin(self, kernel: int) -> None:
        """Hear of a kernel that is about to be compiled."""
        with self._lock:
            if not self._open:
                self._begun = time.monotonic()
            self._open.append(kernel)
        self._tell()

    def end(self, kernel: int) -> None:
        """Hear of a kernel that was compiled; those that were begun within it are given up."""
        with self._lock:
            if kernel not in self._open:
                return
            del self._open[self._open.index(kernel) :]
            self._n_done += 1
            took = time.monotonic() - self._begun if not self._open else 0.0
            self._seconds += took
        self._tell(took)

    def _tell(self, took: float = 0.0) -> None:
        with self._lock:
            now = time.monotonic() - self._begun if self._open else 0.0
            n_kernels = max(self.n_kernels, self._n_done)
            state = Compiling(self._n_done, n_kernels, self._seconds + now, bool(self._open))
        if not _tell_listeners(state):
            _write_log(state, took)


_clock = _Clock()
_listeners: list[weakref.WeakMethod[Callable[[Compiling], None]]] = []


def count_kernel() -> None:
    """Count a kernel among those that there are."""
    _clock.n_kernels += 1


@contextlib.contextmanager
def going_on() -> Iterator[None]:
    """Count what is done within this as the compiling of one kernel: another process does it."""
    token = object()
    _clock.begin(id(token))
    try:
        yield
    finally:
        _clock.end(id(token))


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """Let no garbage be collected: a compiler makes so many objects that it takes a twelfth of it."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def listen_to_compiling(tell: Callable[[Compiling], None]) -> None:
    """Have a method called, from any thread, each time that a kernel is about to be or was compiled.

    It is forgotten with the object that it belongs to. As long as nobody listens, the logger
    ``audionmf`` is told when compiling begins, and what it took.
    """
    _listeners.append(weakref.WeakMethod(tell))


def _tell_listeners(state: Compiling) -> bool:
    for reference in list(_listeners):
        tell = reference()
        if tell is None:
            _listeners.remove(reference)
        else:
            tell(state)
    return bool(_listeners)


def _write_log(state: Compiling, took: float) -> None:
    if state.going and state.seconds < _BEGINNING:
        _log.warning("audionmf compiles its kernels, once on this machine; it takes some seconds")
    elif took >= _WORTH_SAYING:
        _log.warning("audionmf has compiled kernels in %.0f s", state.seconds)


_BEGINNING = 1e-3
"""Seconds of compiling within which it has only begun."""
_WORTH_SAYING = 1.0
"""Seconds that a kernel takes, with those in it, from which on they are told."""

_lock, _depth = threading.Lock(), 0
_METHODS = ("__init__", "load_overload", "save_overload")


@contextlib.contextmanager
def keeping_optional() -> Iterator[None]:
    """Let what other packages compile within this go without being kept, where it cannot be.

    librosa compiles functions when it is loaded, and others when they are called.
    """
    global _depth
    from numba.core.caching import Cache

    with _lock:
        _depth += 1
        if _depth == 1:
            _replaced.update({name: getattr(Cache, name) for name in _METHODS})
            for name, method in zip(_METHODS, (_make, _load, _keep), strict=True):
                setattr(Cache, name, method)
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                for name, method in _replaced.items():
                    setattr(Cache, name, method)


_replaced: dict[str, Callable[..., Any]] = {}


def _make(self: Any, py_func: Any) -> None:
    from numba.core.caching import NullCache

    try:
        _replaced["__init__"](self, py_func)
    except (OSError, RuntimeError):  # no folder for it can be written
        self.__class__ = NullCache


def _load(self: Any, sig: Any, target_context: Any) -> Any:
    return _loaded(_replaced["load_overload"].__get__(self), sig, target_context)


def _keep(self: Any, sig: Any, data: Any) -> None:
    _save(self, _replaced["save_overload"].__get__(self), sig, data)


def _loaded(load: Callable[..., Any], sig: Any, target_context: Any) -> Any:
    try:
        return load(sig, target_context)
    except Exception:  # unpickling a damaged file raises anything
        return None


def _save(cache: Any, save: Callable[..., None], sig: Any, data: Any) -> None:
    try:
        save(sig, data)
    except Exception:
        # The index is written before the code: it could stand for code of an older source.
        with contextlib.suppress(OSError):
            Path(cache._cache_file._index_path).unlink()
