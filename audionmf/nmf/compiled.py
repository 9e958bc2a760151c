"""Machine code that numba keeps on disk: without it everything works too, only later.

Code that cannot be read or written, because the disk is full, there is no folder for it, it is
somebody else's or a machine went down while it was written, is made anew each time. numba has no
setting for that: it raises.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

__all__ = ["OptionalCache", "keeping_optional", "listen_to_compiling"]


class OptionalCache:
    """Goes before a cache of numba in the bases of a class, and leaves out what cannot be kept."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return what is kept; None where that cannot be had."""
        kept = _loaded(super().load_overload, sig, target_context)  # type: ignore[misc]
        if kept is None:
            _tell_listeners()
        return kept

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep machine code where it can be kept."""
        _save(self, super().save_overload, sig, data)  # type: ignore[misc]


_listeners: list[weakref.WeakMethod[Callable[[], None]]] = []


def listen_to_compiling(tell: Callable[[], None]) -> None:
    """Have a method called, from any thread, each time that a kernel is about to be compiled.

    It is forgotten with the object that it belongs to.
    """
    _listeners.append(weakref.WeakMethod(tell))


def _tell_listeners() -> None:
    for reference in list(_listeners):
        tell = reference()
        if tell is None:
            _listeners.remove(reference)
        else:
            tell()


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
