"""What a batch has finished, line by line on the disk, for a run that goes on later.

That an output exists is no proof that it is finished, nor that it was made with these settings from
this input. The journal holds what is: a line of JSON for each track, written when all its outputs are
in place, with a key of everything that they depend on and a hash of every output.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audionmf.errors import OutputError
from audionmf.io.control import control_folder, open_control
from audionmf.io.files import StrPath, file_hash

__all__ = ["Entry", "Journal", "OutputHash"]

_MAX_BYTES = 1 << 27
_MAX_LINE = 1 << 22
_MAX_TEXT = 1 << 16
_HEADER = {"format": "audionmf journal", "version": 1}


@dataclass(frozen=True)
class OutputHash:
    """What a finished output holds.

    Parameters
    ----------
    sha256 : str
        Hash of its bytes.
    n_bytes : int
        How many there are.
    """

    sha256: str
    n_bytes: int

    @classmethod
    def of(cls, path: StrPath) -> OutputHash:
        """Take the hash of a file."""
        return cls(file_hash(path), Path(path).stat().st_size)

    @classmethod
    def checked(cls, sha256: Any, n_bytes: Any) -> OutputHash:
        """Make one of values from a file.

        Raises
        ------
        ValueError
            If they are of another type, or no file has so many bytes.
        """
        if type(n_bytes) is not int or not 0 <= n_bytes < 1 << 63:
            raise ValueError("no file has so many bytes")
        return cls(_text(sha256), n_bytes)

    def fits(self, path: StrPath) -> bool:
        """Tell whether a file is there and holds this."""
        try:
            return Path(path).stat().st_size == self.n_bytes and file_hash(path) == self.sha256
        except OSError:
            return False


@dataclass(frozen=True)
class Entry:
    """One finished track.

    Parameters
    ----------
    track : str
        Its manifest, relative to the output folder of the run.
    key : str
        Hash of all that the outputs depend on.
    outputs : mapping of str to OutputHash
        Every output, relative to the output folder of the track.
    """

    track: str
    key: str
    outputs: Mapping[str, OutputHash]

    def verifies(self, folder: StrPath, names: set[str]) -> bool:
        """Tell whether exactly these outputs are in the folder of the track, unchanged."""
        if set(self.outputs) != names:
            return False
        return all(output.fits(Path(folder) / name) for name, output in self.outputs.items())

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that go into JSON."""
        outputs = {name: [o.sha256, o.n_bytes] for name, o in self.outputs.items()}
        return {"track": self.track, "key": self.key, "outputs": outputs}

    @classmethod
    def from_dict(cls, values: Any) -> Entry | None:
        """Make an entry of what `to_dict` gave; None of anything else."""
        try:
            outputs = {
                _text(name): OutputHash.checked(sha256, n_bytes)
                for name, (sha256, n_bytes) in values["outputs"].items()
            }
            return cls(_text(values["track"]), _text(values["key"]), outputs)
        except (AttributeError, KeyError, TypeError, ValueError):
            return None


class Journal:
    """The journal of an output folder, open for adding to it; use as a context manager.

    What is in it already is read first. A line that a killed run left cut off is passed over and
    cleared away. Every line is on the disk itself before `add` returns.

    Parameters
    ----------
    path : path
        Of the journal; made if it is not there.

    Raises
    ------
    OutputError
        If it cannot be opened or written, or is another kind of file.
    """

    def __init__(self, path: StrPath) -> None:
        self.path = Path(path)
        self.entries: dict[str, Entry] = {}
        self._descriptor = -1
        self._n_bytes = 0

    def __enter__(self) -> Journal:
        control_folder(self.path.parent)
        with self._told():
            self._descriptor = open_control(self.path, _MAX_BYTES, os.O_APPEND)
            try:
                self._read()
            except BaseException:
                os.close(self._descriptor)
                raise
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def add(self, entry: Entry) -> None:
        """Write down that a track is finished.

        Raises
        ------
        OutputError
            If it cannot be written; then the journal is as before.
        """
        with self._told():
            self._append(entry.to_dict())
        self.entries[entry.track] = entry

    def _read(self) -> None:
        with open(self._descriptor, "rb", closefd=False) as stream:
            first = stream.readline(_MAX_LINE)
            whole = first.endswith(b"\n")
            ours = _parsed(first) == _HEADER if whole else _line(_HEADER).startswith(first)
            self._require(ours)
            self._n_bytes = len(first) if whole else 0
            while whole and (line := stream.readline(_MAX_LINE)):
                whole = line.endswith(b"\n")
                if not whole:  # the end, as a killed run left it; a line so long no run has written
                    self._require(len(line) < _MAX_LINE)
                    break
                self._n_bytes += len(line)
                entry = Entry.from_dict(_parsed(line))
                if entry is not None:
                    self.entries[entry.track] = entry
        os.ftruncate(self._descriptor, self._n_bytes)
        if not self._n_bytes:
            self._append(_HEADER)

    def _require(self, ours: bool) -> None:
        if not ours:
            raise OutputError(
                errno.EEXIST, f"{str(self.path)!r} is no journal of this version; move it away"
            )

    def _append(self, values: Mapping[str, Any]) -> None:
        line = _line(values)
        if len(line) > _MAX_LINE or self._n_bytes + len(line) > _MAX_BYTES:
            raise OutputError(
                errno.EFBIG,
                f"{str(self.path)!r} is as large as a journal may be; move it away, or write to "
                "another folder",
            )
        try:
            written = os.write(self._descriptor, line)
            if written < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._n_bytes)
            raise
        self._n_bytes += len(line)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OutputError:
            raise
        except OSError as error:
            raise OutputError(
                error.errno or errno.EIO,
                f"{str(self.path)!r} could not be written: {error.strerror}",
            ) from error


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise ValueError("not a text of that length")
    return value


def _line(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values).encode() + b"\n"


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
