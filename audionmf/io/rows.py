"""Rows of a long matrix on the disk: hours of activations are more than memory should hold."""

from __future__ import annotations

import errno
import tempfile
import weakref
from collections.abc import Sequence
from typing import IO, overload

import numpy as np
from numpy.typing import NDArray

from audionmf.errors import OutputError

__all__ = ["Rows"]

Row = NDArray[np.float32]

_ITEM = np.dtype(np.float32).itemsize


class Rows(Sequence[Row]):
    """A matrix in a temporary file without a name: columns come in, rows go out.

    Parameters
    ----------
    n_rows, n_columns : int
        Its shape. Columns that never come are zero.

    Raises
    ------
    OutputError
        If the system's folder for temporary files takes no file.
    """

    def __init__(self, n_rows: int, n_columns: int) -> None:
        self.shape = n_rows, n_columns
        self._n_done = 0
        try:
            self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # it goes with the rows
        except OSError as error:
            raise _no_room(error) from error
        weakref.finalize(self, self._file.close)

    def add(self, columns: NDArray[np.float32]) -> None:
        """Add columns, shape (n_rows, n).

        Raises
        ------
        OutputError
            If there is no room for them.
        """
        try:
            for i, part in enumerate(columns):
                self._file.seek((i * self.shape[1] + self._n_done) * _ITEM)
                self._file.write(np.ascontiguousarray(part, np.float32).data.cast("B"))
            self._file.flush()
        except OSError as error:
            raise _no_room(error) from error
        self._n_done += columns.shape[1]

    def __len__(self) -> int:
        return self.shape[0]

    @overload
    def __getitem__(self, i: int) -> Row: ...
    @overload
    def __getitem__(self, i: slice) -> Sequence[Row]: ...
    def __getitem__(self, i: int | slice) -> Row | Sequence[Row]:
        """Read a row, shape (n_columns,)."""
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        if not 0 <= i < len(self):
            raise IndexError(i)
        row = np.zeros(self.shape[1], np.float32)
        self._file.seek(i * self.shape[1] * _ITEM)
        content = self._file.read(self._n_done * _ITEM)
        row[: len(content) // _ITEM] = np.frombuffer(content, np.float32)
        return row


def _no_room(error: OSError) -> OutputError:
    where = tempfile.gettempdir()
    return OutputError(
        error.errno or errno.EIO,
        f"the activations could not be kept in {where!r}: {error.strerror}; set TMPDIR to a folder "
        "with room",
    )
