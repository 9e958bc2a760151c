"""Files that somebody else may have put there: opened so that they can be nothing but files.

What a run keeps for itself in an output folder, its lock and its journal, may have been made by
whoever may write there. A link would have its target cut and overwritten, a pipe would never answer,
a device never end, and a file of many gigabytes, none of which need be on the disk, not fit in memory.
So links are not followed, what is open must be an ordinary file with one name, and of no more bytes
than such a file has.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from audionmf.errors import OutputError
from audionmf.io.files import StrPath, make_folder, open_ordinary

__all__ = ["control_folder", "open_control", "read_small"]

_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
_FOLDER = getattr(os, "O_DIRECTORY", 0)


def control_folder(folder: StrPath) -> Path:
    """Make a folder, if it is not there, and make sure that it is no link to another.

    Raises
    ------
    OutputError
        If it is a link or no folder, or cannot be made or written to.
    """
    folder = Path(folder)
    try:
        mode = folder.lstat().st_mode
    except FileNotFoundError:
        return make_folder(folder)
    except OSError as error:
        raise _unusable(folder, error) from error
    if not stat.S_ISDIR(mode):
        raise OutputError(
            errno.ENOTDIR,
            f"{str(folder)!r} is {_kind(mode)} and no folder; remove it, or choose another folder",
        )
    return make_folder(folder)


def open_control(path: StrPath, most_bytes: int, flags: int = 0) -> int:
    """Open a file of this package's own for reading and writing; make it if it is not there.

    Parameters
    ----------
    path : path
        The file; its folder must be there and no link.
    most_bytes : int
        The most that such a file has.
    flags : int, default 0
        Further flags of `os.open`.

    Returns
    -------
    int
        The descriptor.

    Raises
    ------
    FileNotFoundError
        If the folder is not there.
    OutputError
        If it is a link, has another name too, is larger, is no ordinary file, or may not be opened.
    """
    path = Path(path)
    flags |= os.O_RDWR | os.O_CREAT | _NO_LINK | _NO_WAIT
    try:
        with _folder(path.parent) as descriptor:
            if descriptor is None:
                _refuse_link(path)
                opened = os.open(path, flags, 0o644)
            else:
                opened = os.open(path.name, flags, 0o644, dir_fd=descriptor)
    except FileNotFoundError:
        raise
    except OSError as error:
        try:
            there = path.lstat()
        except OSError:
            raise _unusable(path, error) from error
        _refuse(path, there, most_bytes)  # a link, a folder: said as what it is
        raise _unusable(path, error) from error
    try:
        _refuse(path, os.fstat(opened), most_bytes)
    except BaseException:
        os.close(opened)
        raise
    return opened


def read_small(path: StrPath, most_bytes: int) -> bytes | None:
    """Return the bytes of an ordinary file; None if it has more than that.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    AudioReadError
        If it is no ordinary file, whatever it was a moment ago, or cannot be read.
    """
    with open_ordinary(path) as stream:
        content = stream.read(most_bytes + 1)
    return None if len(content) > most_bytes else content


@contextlib.contextmanager
def _folder(folder: Path) -> Iterator[int | None]:
    """Hold a folder open, so that it is not exchanged for a link while a file in it is opened."""
    if os.open not in os.supports_dir_fd or not _FOLDER:
        yield None
        return
    descriptor = os.open(folder, os.O_RDONLY | _FOLDER | _NO_LINK)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _refuse(path: Path, status: os.stat_result, most_bytes: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        what = f"is {_kind(status.st_mode)} and no ordinary file"
    elif status.st_nlink > 1:
        what = "has another name too, under which it would change"
    elif status.st_size > most_bytes:
        what = f"has {status.st_size} bytes, where {most_bytes} are the most"
    else:
        return
    raise OutputError(
        errno.EEXIST, f"{str(path)!r} {what}; remove it, or choose another output folder"
    )


def _refuse_link(path: Path) -> None:
    """Stand in for O_NOFOLLOW where the system has none."""
    if path.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _kind(mode: int) -> str:
    kinds = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe"}
    return kinds.get(stat.S_IFMT(mode), "a device" if stat.S_ISCHR(mode) else "something else")


def _unusable(path: Path, error: OSError) -> OutputError:
    return OutputError(
        error.errno or errno.EIO, f"{str(path)!r} could not be written: {error.strerror}"
    )
