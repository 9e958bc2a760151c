"""Stems become files: their names, one common gain where clipping threatens, all or none.

Stems of a PCM file could need more than full scale even where the mixture does not. One gain for
all stems of a file then keeps both their balance and their sum; it is reported, never silent.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from audionmf.errors import OutputError, ParameterError
from audionmf.io.audio import AudioWriter, Source
from audionmf.io.files import StrPath, Together, make_room, safe_name
from audionmf.io.formats import OUTPUT_FORMATS, check_form, output_subtype, quantisation_step
from audionmf.io.tags import Tags

__all__ = [
    "DEFAULT_PATTERN",
    "StemFiles",
    "StemFormat",
    "default_paths",
    "stem_paths",
    "write_stems",
]

StemBlocks = Iterator[NDArray[np.float32]]

DEFAULT_PATTERN = "{track}/{source}.{ext}"
"""Where stems go below the output folder."""

_MAX_NAME_BYTES = 255
_FIELDS = ("track", "source", "ext")


@dataclass(frozen=True)
class StemFormat:
    """How stems are written.

    Parameters
    ----------
    sample_rate : int
        In Hz.
    n_channels : int
        Number of channels.
    subtype : str
        Sample format asked for, or that of the input; kept where the container has it.
    n_samples : int
        Samples in each channel.
    tags : Tags, default none
        What the input says of itself; written where the container has a place for it.
    """

    sample_rate: int
    n_channels: int
    subtype: str
    n_samples: int
    tags: Tags = field(default_factory=Tags)


@dataclass(frozen=True)
class StemFiles:
    """What was written.

    Parameters
    ----------
    paths : dict of str to pathlib.Path
        The file of each source.
    gain : float
        The common gain of all stems; 1 unless one of them would have clipped.
    """

    paths: dict[str, Path]
    gain: float


def default_paths(
    source: Source,
    names: Iterable[str],
    folder: StrPath,
    pattern: str = DEFAULT_PATTERN,
    extension: str = "wav",
    subtype: str | None = None,
    track: str = "",
) -> dict[str, Path]:
    """Return the file of each source of a recording below `folder`; see `stem_paths`.

    Raises
    ------
    ParameterError
        As `stem_paths` does, and if files of this extension cannot hold the recording, or not in
        the sample format `subtype`.
    """
    if extension in OUTPUT_FORMATS:
        check_form(extension, subtype, source.sample_rate, source.n_channels)
    track = track or (source.path.stem if source.path else "mixture")
    return stem_paths(folder, track, list(names), pattern, extension)


def stem_paths(
    folder: StrPath,
    track: str,
    sources: Sequence[str],
    pattern: str = DEFAULT_PATTERN,
    extension: str = "wav",
) -> dict[str, Path]:
    """Return the file of each source, below `folder`.

    Parameters
    ----------
    folder : path
        The output folder.
    track : str
        Name of the mixture, without extension.
    sources : sequence of str
        Names of the sources.
    pattern : str
        With the fields ``{track}``, ``{source}`` and ``{ext}`` and no others.
    extension : {"wav", "flac", "aiff", "mp3", "ogg", "opus"}
        The container.

    Raises
    ------
    ParameterError
        If the pattern has other fields, leads out of the folder, gives two sources one name, or
        the extension is not one that stems are written with, or a name is too long for a file.
    OutputError
        If a link in the folder leads out of it.
    """
    if extension not in OUTPUT_FORMATS:
        raise ParameterError(f"stems are written as {', '.join(OUTPUT_FORMATS)}, not {extension!r}")
    fields = re.findall(r"\{(.*?)\}", pattern)
    if any(field not in _FIELDS for field in fields) or "source" not in fields or "\0" in pattern:
        raise ParameterError(
            f"the file name pattern {pattern!r} must hold {{source}} and may hold "
            "{track} and {ext}, and nothing else in braces"
        )
    if any(unicodedata.category(c) == "Cc" for c in pattern):
        raise ParameterError(f"the file name pattern {pattern!r} holds control characters")
    root = Path(os.path.realpath(folder))
    paths: dict[str, Path] = {}
    owners: dict[Path, str] = {}
    for source in sources:
        name = _fill(pattern, track=track, source=source, ext=extension)
        path = Path(os.path.normpath(root / name))
        if root not in path.parents:
            raise ParameterError(f"the file name pattern {pattern!r} leads out of {str(folder)!r}")
        if path.suffix.lower() != f".{extension}":
            raise ParameterError(f"the file name pattern {pattern!r} must end in .{{ext}}")
        if any(len(os.fsencode(part)) > _MAX_NAME_BYTES for part in path.relative_to(root).parts):
            raise ParameterError(
                f"the file name pattern {pattern!r} gives a name of more than {_MAX_NAME_BYTES} "
                "bytes, which no file may have; shorten it"
            )
        if root not in (real := Path(os.path.realpath(path.parent)), *real.parents):
            raise OutputError(
                errno.EEXIST,
                f"{str(path.parent)!r} leads out of the output folder by a link; remove it, or "
                "choose another folder",
            )
        if path in owners:
            raise ParameterError(
                f"the sources {owners[path]!r} and {source!r} would both be written to "
                f"{str(path)!r}"
            )
        paths[source], owners[path] = path, source
    return paths


def _fill(pattern: str, **fields: str) -> str:
    """Put names into a pattern: only these fields, and none of what `str.format` would do."""
    return re.sub(r"\{(.*?)\}", lambda match: safe_name(fields[match[1]]), pattern)


def write_stems(
    make_blocks: Callable[[], StemBlocks], paths: dict[str, Path], form: StemFormat
) -> StemFiles:
    """Write all stems, or none.

    Parameters
    ----------
    make_blocks : callable
        Returns the stems as blocks of shape (n_sources, n_channels, n), from the start. It is
        called a second time if a stem would clip and everything has to be scaled.
    paths : dict of str to path
        The file of each source, in the order of the blocks.
    form : StemFormat
        How they are written.

    Returns
    -------
    StemFiles
        The files and the gain.

    Raises
    ------
    OutputError
        If anything cannot be written; then no stem is left behind.
    """
    make_room(paths.values())
    step = _coarsest_step(paths.values(), form)
    load = _write(make_blocks(), paths.values(), form, 1.0, step)
    gain = 1.0 if load is None else float(np.float32(1 / load))
    if load is not None:
        _write(make_blocks(), paths.values(), form, gain, 0.0)
    return StemFiles(dict(paths), gain)


def _write(
    blocks: StemBlocks, paths: Iterable[Path], form: StemFormat, gain: float, step: float
) -> float | None:
    """Write the blocks; if they would clip, write nothing and return the share of full scale.

    With a `step` of 0 nothing clips.
    """
    load = 0.0
    with contextlib.suppress(_WouldClipError), contextlib.ExitStack() as stack:
        together = stack.enter_context(Together())
        writers = [
            stack.enter_context(
                AudioWriter(
                    path,
                    form.sample_rate,
                    form.n_channels,
                    _subtype(path, form),
                    form.n_samples,
                    together,
                    form.tags,
                )
            )
            for path in paths
        ]
        for block in blocks:
            if step:
                load = max(load, block.max(initial=0) / (1 - step), -block.min(initial=0))
            if load <= 1 + step / 2:
                for writer, samples in zip(writers, block, strict=True):
                    writer.write(samples if gain == 1 else samples * np.float32(gain))
        if load > 1 + step / 2:
            raise _WouldClipError
        for writer in writers:
            writer.finish()
    return load if load > 1 + step / 2 else None


class _WouldClipError(Exception):
    """Leaves the writers without a file in place."""


def _subtype(path: Path, form: StemFormat) -> str:
    return output_subtype(form.subtype, path.suffix[1:].lower())


def _coarsest_step(paths: Iterable[Path], form: StemFormat) -> float:
    """Return the coarsest quantisation step among the files; 0 if all are float."""
    return max((quantisation_step(_subtype(path, form)) for path in paths), default=0.0)
