"""The ``.npz`` files of this package: self-describing, versioned, the same bytes each time.

An archive holds the arrays of one kind of object and one JSON string, ``metadata``, with the format,
its version and everything that is not an array. `numpy.load` opens it without pickle. Files may come
from strangers: sizes are checked from the archive's directory and the array headers before anything
is unpacked, and only the members that the kind has are accepted.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import reprlib
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from audionmf.errors import AudioReadError, TemplateError
from audionmf.io.files import StrPath, empty_file, open_ordinary, require_file, write_bytes

__all__ = ["ARCHIVE_DAMAGE", "Kind", "read_archive", "read_kind", "small", "write_archive"]

_METADATA = "metadata"
_MAX_BYTES = 1 << 30
_MAX_METADATA_BYTES = 1 << 24
_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
_MAGIC = b"PK\x03\x04"
_END_MAGIC, _END_BYTES = b"PK\x05\x06", 22
_LOCATOR_MAGIC, _LOCATOR_BYTES = b"PK\x06\x07", 20
_MAX_DIRECTORY_BYTES = 1 << 16
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ARCHIVE_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    tokenize.TokenError,
    EOFError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    UnicodeDecodeError,
)
"""What `zipfile` and NumPy raise for damaged files, beside `ValueError`."""


@dataclass(frozen=True)
class Kind:
    """One kind of archive.

    Parameters
    ----------
    name : str
        Value of ``format`` in the metadata, such as "audionmf templates".
    version : int
        The version that is written.
    arrays : mapping of str to int
        Names of the arrays and their number of dimensions. All are float.
    optional : frozenset of str
        Arrays that may be missing.
    signed : frozenset of str
        Arrays that may hold negative values.
    most : mapping of str to (int, int)
        Of some arrays an axis, and how long it may be at most.
    oldest : int, default 0
        The oldest version that is read; 0: only the one that is written.
    """

    name: str
    version: int
    arrays: Mapping[str, int]
    optional: frozenset[str] = frozenset()
    signed: frozenset[str] = frozenset()
    most: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    oldest: int = 0

    @property
    def versions(self) -> range:
        """The versions that are read."""
        return range(self.oldest or self.version, self.version + 1)


def write_archive(
    path: StrPath, kind: Kind, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any]
) -> Path:
    """Write an archive, whole or not at all.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    text = json.dumps(
        {"format": kind.name, "version": kind.version, **metadata},
        sort_keys=True,
        ensure_ascii=True,
    )
    content = io.BytesIO()
    members: dict[str, Any] = {_METADATA: np.array(text)}
    members |= {name: np.asarray(array, order="C") for name, array in arrays.items()}
    np.savez_compressed(content, **members)
    return write_bytes(path, content.getvalue())


def read_kind(path: StrPath) -> str | None:
    """Return the format that a file says it has; None if it is no archive at all.

    Raises
    ------
    FileNotFoundError, AudioReadError
        If there is no such file, or no ordinary one.
    TemplateError
        If it is an archive, but damaged or not of this package.
    """
    file = require_file(path)
    with open_ordinary(file) as stream:
        if stream.read(4) != _MAGIC:
            return None
    name = repr(str(path))
    with _opened(file, f"{name} is an archive that is damaged or not of audionmf") as archive:
        return str(_read_metadata(archive, name).get("format"))


def read_archive(
    path: StrPath, kind: Kind
) -> tuple[dict[str, NDArray[np.floating[Any]]], dict[str, Any]]:
    """Read an archive of one kind.

    Returns
    -------
    arrays : dict of str to ndarray
        Finite, ≥ 0, float32 or float64, with the number of dimensions that the kind says.
    metadata : dict
        Without the format and the version.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TemplateError
        If the file is not such an archive, was made by another version, is damaged, or would
        unpack to more than 1 GiB.
    """
    name = repr(str(path))
    try:
        file = require_file(path)
    except AudioReadError as error:
        raise TemplateError(str(error)) from error
    refusal = f"{name} is not an {kind.name} file, or it is damaged; make it again"
    with _opened(file, refusal) as archive:
        return _read(archive, kind, name)


@contextlib.contextmanager
def _opened(file: Path, refusal: str) -> Iterator[zipfile.ZipFile]:
    """Open an archive; whatever is wrong with it, now or while it is read, is a refusal."""
    if told := empty_file(file):
        raise TemplateError(told)
    try:
        with open_ordinary(file) as stream, zipfile.ZipFile(small(stream, refusal)) as archive:
            if any(m.compress_type not in _COMPRESSIONS for m in archive.infolist()):
                raise TemplateError(refusal)
            yield archive
    except ARCHIVE_DAMAGE as error:
        raise TemplateError(refusal) from error


def small(stream: BinaryIO, refusal: str) -> BinaryIO:
    """Refuse an archive with a directory of more members than any of ours, before that is read.

    The end of a file says how large its directory is; where more than that is said, in a comment or
    in a second place for archives of many gigabytes, it is not of this package.
    """
    size = stream.seek(0, io.SEEK_END)
    stream.seek(max(0, size - _END_BYTES - _LOCATOR_BYTES))
    end = stream.read()
    directory = int.from_bytes(end[-_END_BYTES + 12 :][:4], "little")
    if (
        size > _MAX_BYTES
        or not end[-_END_BYTES:].startswith(_END_MAGIC)
        or end.startswith(_LOCATOR_MAGIC)
        or directory > _MAX_DIRECTORY_BYTES
    ):
        raise TemplateError(refusal)
    stream.seek(0)
    return stream


def _read(
    archive: zipfile.ZipFile, kind: Kind, name: str
) -> tuple[dict[str, NDArray[np.floating[Any]]], dict[str, Any]]:
    total = sum(member.file_size for member in archive.infolist())
    if total > _MAX_BYTES:
        raise TemplateError(f"{name} would unpack to {total} bytes; {_MAX_BYTES} is the most")
    metadata = _read_metadata(archive, name)
    if metadata.pop("format", None) != kind.name:
        raise TemplateError(f"{name} is not an {kind.name} file")
    version = metadata.pop("version", None)
    if type(version) is not int or version not in kind.versions:
        read = f"versions {kind.versions[0]} to {kind.version}"
        if len(kind.versions) == 1:
            read = f"version {kind.version}"
        raise TemplateError(
            f"{name} has version {reprlib.repr(version)}; this audionmf reads {read}: "
            "make the file again, or use the audionmf that made it"
        )
    found = archive.namelist()
    expected = {f"{member}.npy" for member in (_METADATA, *kind.arrays)}
    required = expected - {f"{member}.npy" for member in kind.optional}
    if len(set(found)) != len(found) or not required <= set(found) <= expected:
        raise TemplateError(f"{name} does not hold exactly the members of an {kind.name} file")
    arrays = {
        member: _read_array(archive, member, n_dims, name, kind)
        for member, n_dims in kind.arrays.items()
        if f"{member}.npy" in found
    }
    return arrays, metadata


def _read_metadata(archive: zipfile.ZipFile, name: str) -> dict[str, Any]:
    try:
        member = archive.getinfo(f"{_METADATA}.npy")
    except KeyError:
        raise TemplateError(f"{name} holds no metadata; it was not made by audionmf") from None
    if member.file_size > _MAX_METADATA_BYTES:
        raise TemplateError(f"{name} holds metadata of {member.file_size} bytes, which is too much")
    try:
        shape, dtype = _read_header(archive, member)
        if shape != () or dtype.kind != "U":
            raise ValueError("the metadata is not one string")
        metadata = json.loads(str(_read_content(archive, member)[()]))
        if not isinstance(metadata, dict):
            raise ValueError("the metadata is not an object")
    except (ValueError, RecursionError) as error:
        raise TemplateError(f"{name} holds metadata that cannot be read") from error
    return metadata


def _read_array(
    archive: zipfile.ZipFile, member: str, n_dims: int, name: str, kind: Kind
) -> NDArray[np.floating[Any]]:
    info = archive.getinfo(f"{member}.npy")
    try:
        shape, dtype = _read_header(archive, info)
        if dtype not in _DTYPES or len(shape) != n_dims:
            raise TemplateError(
                f"{name}: {member} must be {n_dims}-dimensional float32 or float64, "
                f"not {dtype} of shape {shape}"
            )
        axis, most = kind.most.get(member, (0, _MAX_BYTES))
        if shape[axis] > most:
            raise TemplateError(
                f"{name}: {member} has {shape[axis]} components; {most} is the most"
            )
        array = _read_content(archive, info)
    except TemplateError:
        raise
    except ValueError as error:
        raise TemplateError(f"{name}: {member} is damaged") from error
    if not np.isfinite(array).all() or (member not in kind.signed and (array < 0).any()):
        raise TemplateError(f"{name}: {member} has values that are negative or not finite")
    return array


_NO_HEADER = (TypeError, LookupError, AttributeError, MemoryError)
"""What NumPy, which takes a header for a literal of Python, raises beside what damage does."""


def _read_header(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo
) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and dtype of a member, once they agree with its size in the directory."""
    with archive.open(info) as stream:
        first = np.lib.format.read_magic(stream) == (1, 0)
        read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
        try:
            with warnings.catch_warnings():  # Python's own, of a header that is badly written
                warnings.simplefilter("ignore")
                shape, _, dtype = read(stream)
        except _NO_HEADER as error:
            raise ValueError("its header is not that of an array") from error
        if not all(0 <= length <= _MAX_BYTES for length in shape):
            raise ValueError("a side has no length that fits in memory")
        if math.prod(shape) * dtype.itemsize != info.file_size - stream.tell():
            raise ValueError(f"shape {shape} of {dtype} does not fit {info.file_size} bytes")
    return shape, dtype


def _read_content(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(info) as stream:
        array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    return array
