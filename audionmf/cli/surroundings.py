"""What a process finds around it: closed streams, odd variables, no folder for compiled code."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

__all__ = ["keep_code", "tidy"]

_CODE_FOLDER = "NUMBA_CACHE_DIR"


def tidy() -> None:
    """Open the standard streams that are closed, and forget variables that libraries fail over."""
    _open_streams()
    os.environ.pop("MPLBACKEND", None)  # pictures are drawn without a screen
    os.environ.pop("NUMBA_DISABLE_JIT", None)  # the kernels are code for no interpreter
    threads = os.environ.get("NUMBA_NUM_THREADS", "1").strip()
    if not (threads.isascii() and threads.isdigit() and int(threads[:9]) > 0):
        del os.environ["NUMBA_NUM_THREADS"]


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
    if _any_writable([beside, Path(cache, "numba")]):
        return ""
    owner = os.getuid() if hasattr(os, "getuid") else "user"
    folder = Path(tempfile.gettempdir(), f"audionmf-code-{owner}")
    if _private(folder):
        os.environ[_CODE_FOLDER] = str(folder)
        return ""
    return (
        "there is no folder to keep compiled code in, so that each run compiles it again; name one "
        f"in {_CODE_FOLDER}"
    )


def _any_writable(folders: Iterable[Path]) -> bool:
    for folder in folders:
        with contextlib.suppress(OSError, RuntimeError):
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return True
    return False


def _private(folder: Path) -> bool:
    """Make a folder that nobody else can put code into; False if it is anybody else's."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return False
    if not stat.S_ISDIR(status.st_mode) or not _any_writable([folder]):
        return False
    return not hasattr(os, "getuid") or (
        status.st_uid == os.getuid() and not status.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    )
