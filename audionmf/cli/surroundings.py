"""What a process finds around it: closed streams, odd variables, no folder for compiled code."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from pathlib import Path

from audionmf.io.private import any_writable, private_folder

__all__ = ["keep_code", "share_memory", "tidy"]

_CODE_FOLDER = "NUMBA_CACHE_DIR"
_ARENAS, _MOST_ARENAS, _ARENAS_ASKED_FOR = -8, 2, "MALLOC_ARENA_MAX"
"""What glibc calls the most arenas (``malloc.h``), how many, and the variable where others say it."""
_IDLE_THREADS = "OPENBLAS_THREAD_TIMEOUT", "4"
"""For how many ticks of the processor, as a power of two, threads of OpenBLAS look for work before they
sleep: the fewest it knows. By its own 2^26 each looks for 30 ms, first when NumPy is loaded."""


def tidy() -> None:
    """Open the standard streams that are closed, and forget variables that libraries fail over.

    What libraries are told by variables has to be said before they are loaded.
    """
    _open_streams()
    _end_at_once()
    os.environ.setdefault(*_IDLE_THREADS)
    os.environ.pop("MPLBACKEND", None)  # pictures are drawn without a screen
    os.environ.pop("NUMBA_DISABLE_JIT", None)  # the kernels are code for no interpreter
    threads = os.environ.get("NUMBA_NUM_THREADS", "1").strip()
    if not (threads.isascii() and threads.isdigit() and int(threads[:9]) > 0):
        del os.environ["NUMBA_NUM_THREADS"]


def _end_at_once() -> None:
    """Let Python not look for circles among all objects when it ends: the memory goes with it anyway.

    That takes as long as to load a tenth of the package. Threads, files and what is registered for the
    end are still waited for, closed and called.
    """
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)


def share_memory() -> bool:
    """Let threads share what they gave back; return whether the system's allocator knows how.

    That of glibc has an arena for each of a dozen threads, and what is free in one is of no use to the
    others: a tenth of what a separation needs.
    """
    if os.environ.get(_ARENAS_ASKED_FOR):
        return True
    import ctypes

    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False  # another library, or another system
    return bool(set_option(_ARENAS, _MOST_ARENAS))


def _open_streams() -> None:
    """Put nothing in the place of a closed stream: the next file would get its number, and its text."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            mode = "w" if number else "r"
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def keep_code() -> str:
    """Find a folder for compiled code where numba would have none; return a word if there is none.

    numba keeps it beside the source, else in the user's cache. Where neither can be written, as in a
    container, each run would compile everything again.
    """
    if os.environ.get(_CODE_FOLDER):
        return ""
    beside = Path(__file__).resolve().parent.parent / "nmf" / "__pycache__"
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path("~", ".cache").expanduser())  # or no home
    if any_writable([beside, Path(cache, "numba")]):
        return ""
    folder = private_folder()
    if folder is not None:
        os.environ[_CODE_FOLDER] = str(folder)
        return ""
    return (
        "there is no folder to keep compiled code in, so that each run compiles it again; name one "
        f"in {_CODE_FOLDER}"
    )
