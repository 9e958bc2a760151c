"""Whole files or none: outputs appear under their name only when they are complete and verified.

An output is written under a temporary name in its own folder, checked, flushed to the disk and then
renamed. Whatever goes wrong before that leaves the folder as it was. Files that belong together are
renamed together; if one cannot be, the others go back to what they were.

A process that is killed leaves its temporary files. Each is locked by the process that writes it, so
that a later run can tell what nobody writes any more, and clear it away.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import stat
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from audionmf.errors import (
    AudioNMFError,
    AudioNMFWarning,
    AudioReadError,
    OutputError,
    ParameterError,
)

__all__ = [
    "StrPath",
    "Together",
    "atomic_path",
    "clear_temporaries",
    "counted",
    "empty_file",
    "file_hash",
    "find_moved",
    "flush",
    "hold",
    "in_a_line",
    "listed",
    "make_folder",
    "make_room",
    "no_such_file",
    "one_form",
    "open_ordinary",
    "refuse_overwriting",
    "require_file",
    "safe_name",
    "space_error",
    "write_bytes",
]

StrPath = str | os.PathLike[str]

_TEMPORARY_PREFIX = ".audionmf-"
_TEMPORARY = re.compile(r"\.audionmf-[0-9a-f]{16}\.tmp.*", re.DOTALL)
_POSIX = os.name == "posix"
_NO_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
_MAX_NAME_BYTES = 120
_LONG_NAME = 40
_HASH_BLOCK = 1 << 20
_MOST_SEARCHED = 100_000
_MOST_COMPARED = 1000
_NEAR = 0.6
"""How alike names are of which one may be meant, as for commands and options."""
_RESERVED = {"con", "prn", "aux", "nul", *(f"{d}{i}" for d in ("com", "lpt") for i in range(1, 10))}


def in_a_line(error: BaseException, *, little_memory: str, unexpected: str = "") -> str:
    """Return what an exception says, in one line.

    Parameters
    ----------
    error : BaseException
        Of this package or not.
    little_memory : str
        What to do where memory was too little.
    unexpected : str, default ""
        What to do where nobody expected it.
    """
    if isinstance(error, AudioNMFError | AudioNMFWarning):
        text = str(error)
    elif isinstance(error, FileNotFoundError) and not isinstance(error.filename, str | bytes):
        text = "the current folder is not there any more; change to another one and run again"
    elif isinstance(error, FileNotFoundError):
        text = no_such_file(error.filename)
    elif isinstance(error, MemoryError):
        text = f"there is not enough memory; {little_memory}"
    else:
        text = f"unexpected {type(error).__name__}: {error}{unexpected}"
    return " ".join(text.splitlines())


def no_such_file(path: StrPath | bytes) -> str:
    """Say in one line that a file is not there, and which one beside it may be meant."""
    wanted = Path(os.fsdecode(path))
    said = f"{os.fsdecode(path)!r}: there is no such file"
    try:
        with os.scandir(wanted.parent) as entries:
            there = [entry.name for entry, _ in zip(entries, range(_MOST_COMPARED), strict=False)]
    except OSError:
        return f"{said}; check the path"
    near = _nearest(wanted.name, there)
    return f"{said}; did you mean {near!r}?" if near else f"{said}; check the path"


def _nearest(name: str, there: Iterable[str]) -> str | None:
    """Return the name that was probably meant: without their endings, which are few, both are near."""
    import difflib

    wanted = name.casefold()
    alike = difflib.SequenceMatcher(b=Path(wanted).stem)
    close = []
    for other in sorted(there):
        alike.set_seq1(Path(other.casefold()).stem)
        if alike.quick_ratio() >= _NEAR and alike.ratio() >= _NEAR:
            whole = difflib.SequenceMatcher(None, other.casefold(), wanted).ratio()
            close.append((alike.ratio(), whole, other))
    return max(close, key=lambda found: found[:2])[2] if close else None


def empty_file(path: StrPath, name: str | None = None) -> str:
    """Say in one line that a file, by its name, has not a single byte; nothing where it has some."""
    if Path(path).stat().st_size:
        return ""
    return f"{name or str(path)!r} is empty (0 bytes); was it copied or downloaded to its end?"


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
    if not os.access(path, os.R_OK):
        raise AudioReadError(errno.EACCES, f"{str(path)!r} may not be read; check its permissions")
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "not an ordinary file"
        raise AudioReadError(errno.EINVAL, f"{str(path)!r} is {kind}; give an ordinary file")
    return path


@contextlib.contextmanager
def open_ordinary(path: StrPath) -> Iterator[BinaryIO]:
    """Open an ordinary file to read it; what became a pipe or a device meanwhile is not waited for.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    AudioReadError
        If it is no ordinary file, or cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | _NO_WAIT)
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, "no such file", str(path)) from None
    except OSError as error:
        raise AudioReadError(error.errno, f"{str(path)!r}: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise AudioReadError(
                errno.EINVAL, f"{str(path)!r} is not an ordinary file; give an ordinary file"
            )
        yield stream


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
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise _output_error(folder, error) from error
    return folder


def make_room(outputs: Iterable[StrPath]) -> None:
    """Make the folders of outputs, and make sure that no folder has the name of one.

    What killed runs left in these folders is cleared away.

    Raises
    ------
    OutputError
        If an output cannot be put in place.
    """
    paths = [Path(output) for output in outputs]
    folders = list(dict.fromkeys(path.parent for path in paths))
    for folder in folders:
        make_folder(folder)
    clear_temporaries(folders)
    for output in paths:
        if os.path.isdir(output):  # noqa: PTH112 (which takes any name)
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
def atomic_path(path: StrPath, together: Together | None = None) -> Iterator[Path]:
    """Give a temporary name beside `path` to write to; rename it on success, remove it otherwise.

    Parameters
    ----------
    path : path
        The name in the end.
    together : Together, optional
        Rename it when this is left, with the other files of it.

    Yields
    ------
    pathlib.Path
        The temporary name, with the suffix of `path`: an empty file to be opened and filled.

    Raises
    ------
    OutputError
        If the folder cannot be written to, nothing was written, or the file cannot be put in place.
    """
    path = Path(path)
    with contextlib.ExitStack() as stack:
        try:
            temporary = _Temporary(path)
            stack.callback(temporary.discard)
            yield temporary.path
            temporary.finish()
            if together is None:
                temporary.path.replace(path)
            else:
                together.add(temporary)
                stack.pop_all()
        except AudioNMFError:
            raise
        except OSError as error:
            raise _output_error(path, error) from error


class Together:
    """Files that belong together are put in place when this is left: all of them, or none.

    Use as a context manager around those of `atomic_path`. Leaving it with an exception leaves all
    folders as they were. Only a process that is killed between two renames leaves some in place.

    Raises
    ------
    OutputError
        If a file cannot be put in place; then those that were there before are there again.
    """

    def __init__(self) -> None:
        self._waiting: list[_Temporary] = []

    def __enter__(self) -> Together:
        return self

    def add(self, temporary: _Temporary) -> None:
        """Take a finished temporary file in."""
        self._waiting.append(temporary)

    def __exit__(self, *details: Any) -> None:
        replaced: list[_Replaced] = []
        try:
            if details[0] is None:
                for temporary in self._waiting:
                    replaced.append(_Replaced(temporary.target))
                    replaced[-1].put(temporary)
        except BaseException as error:
            for file in reversed(replaced):
                file.restore()
            if isinstance(error, OSError) and not isinstance(error, AudioNMFError):
                raise _output_error(replaced[-1].path, error) from error
            raise
        finally:
            for file in replaced:
                file.forget()
            for temporary in self._waiting:
                temporary.discard()


class _Replaced:
    """What was at a path before, kept beside it until all files are in place."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept = path.parent / _temporary_name(path.suffix)
        self._existed = os.path.lexists(path)
        self._descriptor: int | None = None

    def put(self, temporary: _Temporary) -> None:
        if self.path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder; rename it")
        if self._existed:
            try:
                os.link(self.path, self._kept, follow_symlinks=False)
            except OSError:  # a file system without hard links
                self.path.replace(self._kept)
            self._descriptor = _held_or_none(self._kept)
        temporary.path.replace(self.path)

    def restore(self) -> None:
        if self._kept.is_symlink() or self._kept.exists():
            self._kept.replace(self.path)
        elif not self._existed:
            self.path.unlink(missing_ok=True)

    def forget(self) -> None:
        with contextlib.suppress(OSError):
            self._kept.unlink()
        if self._descriptor is not None:
            os.close(self._descriptor)


class _Temporary:
    """A temporary file beside its target, locked for as long as it is being written."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self._descriptor: int | None = None
        while not self._made():
            self._close()

    def _made(self) -> bool:
        """Make the file; False if another run took it for a stale one before it was locked."""
        self.path = self.target.parent / _temporary_name(self.target.suffix)
        self._descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        if not _POSIX:  # an open file cannot be removed there, which protects it as well
            self._close()
            return True
        with contextlib.suppress(OSError):  # where there are no locks, nothing is cleared either
            hold(self._descriptor)
        with contextlib.suppress(FileNotFoundError):
            os.utime(self.path, ns=(0, 0))  # whatever is written later changes this
            return True
        return False

    def finish(self) -> None:
        """Have the file on the disk; it must have been written."""
        if self.path.stat().st_mtime_ns == 0:
            raise OSError(errno.ENOENT, "nothing was written")
        flush(self.path)

    def discard(self) -> None:
        """Remove what was not put in place."""
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        self._close()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def hold(descriptor: int) -> bool:
    """Lock an open file for this process; the lock goes with the process, however it ends.

    Parameters
    ----------
    descriptor : int
        Of a file open for writing. Children that inherit it hold the lock too.

    Returns
    -------
    bool
        False if someone else holds it.

    Raises
    ------
    OSError
        If the file system knows no locks.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def clear_temporaries(folders: Iterable[StrPath]) -> list[Path]:
    """Remove the temporary files that killed processes of this package left in some folders.

    Those that a living process is writing stay, and so does what has another name.

    Parameters
    ----------
    folders : iterable of path
        Folders; those that are not there are passed over. Folders in them are not searched.

    Returns
    -------
    list of pathlib.Path
        What was removed.
    """
    removed = []
    for folder in dict.fromkeys(Path(folder) for folder in folders):
        with contextlib.suppress(OSError):
            found = [p for p in folder.iterdir() if _TEMPORARY.fullmatch(p.name)]
            removed += [path for path in found if _remove_unheld(path)]
    return removed


def _remove_unheld(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    try:
        if not _POSIX:
            path.unlink()
            return True
        descriptor = _held_or_none(path)
        if descriptor is None:
            return False
        try:
            path.unlink()
        finally:
            os.close(descriptor)
    except OSError:
        return False
    return True


def _held_or_none(path: Path) -> int | None:
    """Open and lock a file; None if it is held by someone else or cannot be locked."""
    if not _POSIX or path.is_symlink():
        return None
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return None
    with contextlib.suppress(OSError):
        if hold(descriptor):
            return descriptor
    os.close(descriptor)
    return None


def file_hash(path: StrPath) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal digits."""
    digest = hashlib.sha256()
    with open_ordinary(path) as stream:
        while block := stream.read(_HASH_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def find_moved(path: StrPath, sha256: str, folders: Iterable[StrPath]) -> Path | None:
    """Look for a file that was moved: one of the same name and the same bytes.

    Parameters
    ----------
    path : path
        Where it was.
    sha256 : str
        Hash of its bytes.
    folders : iterable of path
        Where to look, through and through, one after the other; what is hidden is passed over. No
        more than 100,000 names are looked at in each.

    Returns
    -------
    pathlib.Path or None
        None if it is in none of them.
    """
    wanted = one_form(Path(path).name)
    for folder in folders:
        n_seen = 0
        for where, inside, names in os.walk(folder):
            inside[:] = sorted(name for name in inside if name[0] != ".")
            n_seen += len(inside) + len(names)
            for name in names:
                found = Path(where, name)
                if one_form(name) == wanted and found.is_file():
                    with contextlib.suppress(OSError):
                        if file_hash(found) == sha256:
                            return found
            if n_seen > _MOST_SEARCHED:
                break
    return None


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


def counted(number: int, thing: str) -> str:
    """Return a number of things in words: ``1 source``, ``3 sources``."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def listed(names: Iterable[str], most: int = 4) -> str:
    """Return names for one line: the first of them, and how many more there are."""
    names = [name if len(name) <= _LONG_NAME else f"{name[: _LONG_NAME - 1]}…" for name in names]
    more = [f"{len(names) - most} more"] if len(names) > most else []
    return ", ".join([*map(repr, names[:most]), *more])


def one_form(name: str) -> str:
    """Return a name in the composed form of Unicode (NFC), in which equal names are equal.

    Raises
    ------
    ParameterError
        If it is no text.
    """
    if not isinstance(name, str):
        raise ParameterError(f"a name is text, such as {str(name)!r}, not {name!r}")
    return unicodedata.normalize("NFC", name)


def safe_name(name: str) -> str:
    """Return `name` as a file name that every usual file system takes.

    Separators, control characters and characters that Windows refuses become ``_``; a name with
    nothing left is ``unnamed``. The result is in the composed form of Unicode. Of a name of more
    than 120 bytes the start is kept, with a mark that differs where the names do.
    """
    name = one_form(name)
    cleaned = "".join("_" if c in '<>:"/\\|?*' or not c.isprintable() else c for c in name)
    kept = cleaned.strip(" .").encode("utf-8", "replace")
    if len(kept) > _MAX_NAME_BYTES:
        mark = b"~" + hashlib.sha256(kept).hexdigest()[:8].encode()
        start = kept[: _MAX_NAME_BYTES - len(mark)].decode("utf-8", "ignore").rstrip(" .")
        kept = start.encode("utf-8") + mark
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
