"""A stream becomes a file for a while: what comes through a pipe can be read more than once."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from audionmf.errors import AudioReadError, LimitError, OutputError

__all__ = ["MAX_SPOOLED", "spooled"]

MAX_SPOOLED = 1 << 33
"""Most bytes of a stream that are kept: 8 GiB, 13 hours of stereo in CD quality."""

_BLOCK = 1 << 20


@contextlib.contextmanager
def spooled(stream: BinaryIO, name: str = "stdin", max_bytes: int = MAX_SPOOLED) -> Iterator[Path]:
    """Copy a stream to a temporary file, which is gone when the context is left.

    Parameters
    ----------
    stream : binary file
        Read to its end, once.
    name : str, default "stdin"
        Name of the file, in a folder of its own that nobody else may look into.
    max_bytes : int, default 8 GiB
        Most bytes to take.

    Yields
    ------
    pathlib.Path
        The file.

    Raises
    ------
    AudioReadError
        If the stream is a terminal, is empty or cannot be read.
    LimitError
        If it holds more than `max_bytes`; it is read no further.
    OutputError
        If the temporary file cannot be written, with the errno.
    """
    if stream.isatty():
        raise AudioReadError(errno.EINVAL, "standard input is a terminal; give it a file or a pipe")
    try:
        folder = tempfile.mkdtemp(prefix="audionmf-")
    except OSError as error:
        raise _output_error(tempfile.gettempdir(), error) from error
    try:
        path = Path(folder) / name
        if not _copy(stream, path, max_bytes):
            raise AudioReadError(errno.ENODATA, "standard input is empty; nothing came through it")
        yield path
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy(stream: BinaryIO, path: Path, max_bytes: int) -> int:
    """Copy a stream to a file and return its length."""
    n_bytes = 0
    try:
        with path.open("xb") as file:
            while block := _read(stream):
                n_bytes += len(block)
                if n_bytes > max_bytes:
                    raise LimitError(
                        f"standard input holds more than {max_bytes} bytes, the most that is taken "
                        "from a pipe; save it as a file first"
                    )
                file.write(block)
    except AudioReadError:
        raise
    except OSError as error:
        raise _output_error(path, error) from error
    return n_bytes


def _read(stream: BinaryIO) -> bytes:
    try:
        return stream.read(_BLOCK)
    except OSError as error:
        reason = f"standard input cannot be read: {error.strerror}"
        raise AudioReadError(error.errno, reason) from error


def _output_error(path: str | os.PathLike[str], error: OSError) -> OutputError:
    reason = f"standard input could not be kept in {str(path)!r}: {error.strerror}"
    return OutputError(error.errno or errno.EIO, reason)
