"""Whole files or none: outputs appear under their name only when they are complete and verified.

An output is written under a temporary name in its own folder, checked, flushed to the disk and then
renamed. Whatever goes wrong before that leaves the folder as it was.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from audionmf.errors import AudioNMFError, AudioReadError, OutputError

__all__ = [
    "StrPath",
    "atomic_path",
    "flush",
    "make_folder",
    "make_room",
    "refuse_overwriting",
    "require_file",
    "safe_name",
    "space_error",
    "write_bytes",
]

StrPath = str | os.PathLike[str]

_TEMPORARY_PREFIX = ".audionmf-"
_MAX_NAME_BYTES = 120
_RESERVED = {"con", "prn", "aux", "nul", *(f"{d}{i}" for d in ("com", "lpt") for i in range(1, 10))}


def require_file(path: StrPath) -> Path:
    """Return `path` if it is an ordinary file; say what it is otherwise.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    AudioReadError
        If it is a folder, a pipe, a device, a looping link, or may not be read.
    """
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, "no such file", str(path)) from None
    except OSError as error:
        raise AudioReadError(error.errno, f"{str(path)!r}: {error.strerror}") from error
    except ValueError as error:
        raise AudioReadError(errno.EINVAL, f"{str(path)!r} is no name of a file") from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "not an ordinary file"
        raise AudioReadError(errno.EINVAL, f"{str(path)!r} is {kind}; give an ordinary file")
    if not os.access(path, os.R_OK):
        raise AudioReadError(errno.EACCES, f"{str(path)!r} may not be read; check its permissions")
    return path


def make_folder(folder: StrPath) -> Path:
    """Make a folder, with its parents, and make sure that files can be made in it.

    Raises
    ------
    OutputError
        If it cannot be made or written to.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / _temporary_name("probe")
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise _output_error(folder, error) from error
    return folder


def make_room(outputs: Iterable[StrPath]) -> None:
    """Make the folders of outputs, and make sure that no folder has the name of one.

    Raises
    ------
    OutputError
        If an output cannot be put in place.
    """
    paths = [Path(output) for output in outputs]
    for folder in dict.fromkeys(path.parent for path in paths):
        make_folder(folder)
    for output in paths:
        if output.is_dir():
            raise OutputError(
                errno.EISDIR, f"{str(output)!r} could not be written: it is a folder; rename it"
            )


def refuse_overwriting(outputs: Iterable[StrPath], inputs: Iterable[StrPath]) -> None:
    """Make sure that no output is one of the inputs, by whatever name, and none is named twice.

    Raises
    ------
    OutputError
        If an output is the same file (device and inode) as an input, or two outputs are one.
    """
    taken = {_identity(path) for path in inputs} - {None}
    seen: set[str] = set()
    for output in map(Path, outputs):
        key = os.path.normcase(os.path.realpath(output))
        if key in seen:
            raise OutputError(
                errno.EEXIST, f"two outputs would be the same file {str(output)!r}; rename one"
            )
        seen.add(key)
        if _identity(output) in taken:
            raise OutputError(
                errno.EEXIST,
                f"the output {str(output)!r} would overwrite the input; choose another folder",
            )


@contextlib.contextmanager
def atomic_path(path: StrPath) -> Iterator[Path]:
    """Give a temporary name beside `path` to write to; rename it on success, remove it otherwise.

    Yields
    ------
    pathlib.Path
        The temporary name, with the suffix of `path`. Nothing is there yet.

    Raises
    ------
    OutputError
        If the folder cannot be written to, or the file cannot be put in place.
    """
    path = Path(path)
    temporary = path.parent / _temporary_name(path.suffix)
    try:
        yield temporary
        flush(temporary)
        temporary.replace(path)
    except AudioNMFError:
        raise
    except OSError as error:
        raise _output_error(path, error) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


def write_bytes(path: StrPath, content: bytes) -> Path:
    """Write a whole file or none.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    path = Path(path)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    return path


def flush(path: Path) -> None:
    """Have a file on the disk itself before anything relies on it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def safe_name(name: str) -> str:
    """Return `name` as a file name that every usual file system takes.

    Separators, control characters and characters that Windows refuses become ``_``; a name with
    nothing left is ``unnamed``.
    """
    cleaned = "".join("_" if c in '<>:"/\\|?*' or not c.isprintable() else c for c in name)
    kept = cleaned.strip(" .").encode("utf-8", "replace")[:_MAX_NAME_BYTES]
    cleaned = kept.decode("utf-8", "ignore").rstrip(" .")
    if not cleaned:
        return "unnamed"
    return f"_{cleaned}" if cleaned.partition(".")[0].lower() in _RESERVED else cleaned


def space_error(path: StrPath, reason: str) -> OutputError:
    """Make the error for a write that failed without an errno, finding the errno by trying.

    libsndfile reports a full disk without one; a small write of our own to the same file system
    fails with it.
    """
    path = Path(path)
    probe = path.parent / _temporary_name("probe")
    try:
        descriptor = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            for _ in range(16):
                os.write(descriptor, bytes(65536))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        return _output_error(path, error)
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
    return OutputError(errno.EIO, f"{str(path)!r} could not be written: {reason}")


def _output_error(path: Path, error: OSError) -> OutputError:
    return OutputError(
        error.errno or errno.EIO, f"{str(path)!r} could not be written: {error.strerror or error}"
    )


def _temporary_name(suffix: str) -> str:
    return f"{_TEMPORARY_PREFIX}{secrets.token_hex(8)}.tmp{suffix}"


def _identity(path: StrPath) -> tuple[int, int] | None:
    """Return device and inode; None where no file is."""
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
