"""One run at a time in an output folder.

The lock is one of the operating system on a file in the folder: it goes with the process that holds
it, however that ends, so that a run that was killed does not keep the next one out.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

from audionmf.errors import AudioNMFWarning, LockedError, OutputError
from audionmf.io.control import control_folder, open_control, read_small
from audionmf.io.files import StrPath, hold, safe_name

__all__ = ["CONTROL_FOLDER", "FolderLock"]

CONTROL_FOLDER = ".audionmf"
"""What a run keeps for itself in the output folder: its lock, journal and report."""

_NAME = "lock"
_PATIENCE_SECONDS = 5.0
_POLL_SECONDS = 0.02
_MAX_NOTE_BYTES = 4096
_MAX_PID = (1 << 31) - 1


class FolderLock:
    """Holds an output folder for one run; use as a context manager.

    The folder is made if it is not there. What the lock needs in it is removed in the end.

    Parameters
    ----------
    folder : path
        The output folder.

    Raises
    ------
    LockedError
        If another run holds it.
    OutputError
        If the folder cannot be made or written to.

    Warns
    -----
    AudioNMFWarning
        If the file system knows no locks; the run goes on without.
    """

    def __init__(self, folder: StrPath) -> None:
        self.folder = Path(folder)
        self._path = self.folder / CONTROL_FOLDER / _NAME
        self._descriptor: int | None = None

    def __enter__(self) -> FolderLock:
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _wait(self) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not self._acquired():
            # The workers of a run that was just killed need a moment to notice it.
            if time.monotonic() > deadline or _is_alive(self._note()):
                raise LockedError(
                    f"{str(self.folder)!r} is in use by another run{self._holder()}; wait for it, "
                    "or choose another folder"
                )
            time.sleep(_POLL_SECONDS)

    def __exit__(self, *_: object) -> None:
        if self._descriptor is None:
            return
        if os.name == "posix":  # removed while held, so that nobody can lock what goes away
            self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
        else:
            os.close(self._descriptor)
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
        self._descriptor = None
        with contextlib.suppress(OSError):
            self._path.parent.rmdir()  # only if nothing else is kept there

    @property
    def descriptor(self) -> int:
        """The open file; a child that inherits it holds the lock too."""
        if self._descriptor is None:
            raise LockedError(f"{str(self.folder)!r} is not locked")
        return self._descriptor

    def _acquired(self) -> bool:
        """Try once."""
        control_folder(self._path.parent)
        try:
            descriptor = open_control(self._path, _MAX_NOTE_BYTES)
        except FileNotFoundError:  # a run that ended has just removed the folder
            return False
        try:
            if hold(descriptor) and _is_at(self._path, descriptor):
                self._sign(descriptor)
                self._descriptor = descriptor
                return True
        except OSError as error:
            if error.errno == errno.ENOSPC:
                os.close(descriptor)
                raise OutputError(
                    error.errno, f"{str(self._path)!r} could not be written: {error.strerror}"
                ) from error
            _warn_without_locks(self.folder, error)
            self._descriptor = descriptor
            return True
        os.close(descriptor)
        return False

    def _sign(self, descriptor: int) -> None:
        note = json.dumps({"pid": os.getpid(), "host": platform.node()}).encode()
        os.ftruncate(descriptor, 0)
        os.write(descriptor, note)

    def _note(self) -> dict[str, Any]:
        """Return what the holder wrote down about itself."""
        with contextlib.suppress(OSError, RecursionError, ValueError):
            note = json.loads(read_small(self._path, _MAX_NOTE_BYTES) or b"")
            if not isinstance(note, dict):
                return {}
            pid, host = note.get("pid"), note.get("host")
            if type(pid) is int and 0 < pid <= _MAX_PID and isinstance(host, str) and host:
                return {"pid": pid, "host": safe_name(host)}
        return {}

    def _holder(self) -> str:
        note = self._note()
        return f" (process {note['pid']} on {note['host']})" if {"pid", "host"} <= set(note) else ""


def _is_at(path: Path, descriptor: int) -> bool:
    """Tell whether the open file is still the one of that name."""
    try:
        there, held = path.stat(), os.fstat(descriptor)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino)


def _is_alive(note: dict[str, Any]) -> bool:
    """Tell whether the process that signed still lives, as far as this machine can tell."""
    pid = note.get("pid")
    if os.name != "posix" or pid is None or note["host"] != safe_name(platform.node()):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _warn_without_locks(folder: Path, error: OSError) -> None:
    import warnings

    text = f"the file system of {str(folder)!r} knows no locks ({error.strerror})"
    warnings.warn(AudioNMFWarning(f"{text}; start no second run there"), stacklevel=4)
