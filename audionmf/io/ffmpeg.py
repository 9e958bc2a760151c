"""Recordings that libsndfile cannot read, through ffmpeg where it is installed.

What a file is, its first bytes say. ffmpeg decodes it once to samples in a temporary file, which the
package reads block by block; the files decoded last are kept until the process ends.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import re
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import IO

from audionmf.errors import AudioReadError, LimitError, OutputError
from audionmf.io.foreign import conversion_line, foreign_kind
from audionmf.io.spool import MAX_SPOOLED

__all__ = ["readable", "said_of"]

_BLOCK = 1 << 20
_MOST_KEPT = 4

_Stamp = tuple[str, int, int, int]
_kept: dict[_Stamp, Path] = {}
_said: dict[Path, str] = {}
"""What ffmpeg complained of, by what it decoded to, though it went on to the end."""
_SPEAKER = re.compile(r"^\[[^\]]* @ 0x[0-9a-f]+\] ")
_lock = threading.Lock()


def readable(path: Path) -> Path:
    """Return a file that libsndfile can read: the same one, or what ffmpeg made of it.

    Parameters
    ----------
    path : pathlib.Path
        An ordinary file.

    Returns
    -------
    pathlib.Path
        An AU file of 32-bit floating point for what `foreign_kind` knows. It is there until
        three further files were decoded, so ask again before it is opened again.

    Raises
    ------
    AudioReadError
        If ffmpeg is needed and not installed, or cannot make anything of the file.
    LimitError
        If the file holds more than 8 GiB of samples.
    OutputError
        If the folder for temporary files cannot be written to.
    """
    kind = foreign_kind(path)
    if kind is None:
        return path
    program = shutil.which("ffmpeg")
    if program is None:
        raise AudioReadError(
            errno.ENOENT,
            f"{str(path)!r} is {kind}, which needs ffmpeg, and that is not installed: install it, or "
            f"convert the file elsewhere: {conversion_line(path)}",
        )
    with _lock:
        status = path.stat()
        stamp = (str(path.resolve()), status.st_ino, status.st_size, status.st_mtime_ns)
        if stamp in _kept:
            _kept[stamp] = _kept.pop(stamp)  # the last to go
            return _kept[stamp]
        while len(_kept) >= _MOST_KEPT:
            _remove(_kept.pop(next(iter(_kept))))
        _kept[stamp] = _decoded(program, path, kind)
        return _kept[stamp]


def said_of(path: Path) -> str:
    """Return what ffmpeg first complained of in a file that it decoded; empty if of nothing."""
    return _said.get(readable(path), "")


def _decoded(program: str, path: Path, kind: str) -> Path:
    """Decode a file to a temporary one, in a folder of its own that nobody else may look into."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="audionmf-"))
    except OSError as error:
        raise _no_room(path, error) from error
    made = folder / "decoded.au"
    try:
        _decode(program, path, kind, made)
    except BaseException:
        _remove(made)
        raise
    return made


def _decode(program: str, path: Path, kind: str, made: Path) -> None:
    # AU says of itself that its length is unknown, as a stream has to.
    command = [program, "-nostdin", "-v", "error", "-protocol_whitelist", "file,pipe"]
    command += ["-i", f"file:{path.absolute()}", "-map", "0:a:0"]
    command += ["-c:a", "pcm_f32be", "-f", "au", "pipe:1"]
    with (
        tempfile.TemporaryFile() as spoken,
        subprocess.Popen(  # noqa: S603 (a list, and no shell)
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=spoken
        ) as process,
    ):
        try:
            n_bytes = _copy(process.stdout, path, made)
        except BaseException:
            process.kill()
            raise
        code = process.wait()
        spoken.seek(0)
        lines = spoken.read(_BLOCK).decode("utf-8", "replace").split("\n")
    said = [_SPEAKER.sub("", line.strip()) for line in lines if line.strip()]
    if code or not n_bytes:
        reason = said[-1] if said else "it is empty"
        raise AudioReadError(
            errno.EINVAL, f"{str(path)!r} is {kind} that ffmpeg cannot read: {reason}"
        )
    if said:
        _said[made] = said[0]


def _copy(stream: IO[bytes] | None, path: Path, made: Path) -> int:
    """Copy what ffmpeg gives to a file; return how much it is."""
    n_bytes = 0
    try:
        with made.open("xb") as file:
            while stream and (block := stream.read(_BLOCK)):
                n_bytes += len(block)
                if n_bytes > MAX_SPOOLED:
                    raise LimitError(
                        f"{str(path)!r} holds more than {MAX_SPOOLED} bytes of samples, the most that "
                        f"is decoded on the way; convert it first: {conversion_line(path)}"
                    )
                file.write(block)
    except OSError as error:
        raise _no_room(path, error) from error
    return n_bytes


def _no_room(path: Path, error: OSError) -> OutputError:
    where = tempfile.gettempdir()
    return OutputError(
        error.errno or errno.EIO,
        f"{str(path)!r} could not be decoded into {where!r}: {error.strerror}; make room there, or "
        "name another folder in TMPDIR",
    )


def _remove(made: Path) -> None:
    _said.pop(made, None)
    shutil.rmtree(made.parent, ignore_errors=True)


@atexit.register
def _remove_all() -> None:
    with contextlib.suppress(OSError):
        for made in _kept.values():
            _remove(made)
    _kept.clear()


if hasattr(os, "register_at_fork"):  # a child that ends must not take away its parent's files
    os.register_at_fork(after_in_child=_kept.clear)
