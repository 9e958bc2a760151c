"""One recording written to one file, block by block: what a remix and a denoised recording share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from audionmf.io.audio import Samples, Source
from audionmf.io.files import StrPath, make_room, refuse_overwriting
from audionmf.io.formats import check_extension, check_form
from audionmf.rendering.decomposition import Decomposition
from audionmf.rendering.stems import StemFormat, write_stems

__all__ = ["WrittenFile", "prepare_output", "write_one"]


@dataclass(frozen=True)
class WrittenFile:
    """One recording that was written.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    gain : float
        The gain of the whole; 1 unless it would have clipped.
    decomposition : Decomposition or None
        What it was rendered from, where it was rendered from one.
    """

    path: Path
    gain: float
    decomposition: Decomposition | None


def prepare_output(
    source: Source,
    path: StrPath,
    subtype: str | None,
    inputs: Iterable[StrPath],
    *,
    n_channels: int | None = None,
) -> None:
    """Make sure, before anything is computed, that a recording can be written to one file.

    Raises
    ------
    ParameterError
        If the container does not exist or cannot hold the samples.
    OutputError
        If the file would overwrite an input, or its folder cannot be made.
    """
    check_form(check_extension(path), subtype, source.sample_rate, n_channels or source.n_channels)
    refuse_overwriting([path], inputs)
    make_room([path])


def write_one(
    blocks: Callable[[], Iterator[Samples]],
    path: StrPath,
    source: Source,
    found: Decomposition | None,
    subtype: str | None,
    *,
    n_channels: int | None = None,
    n_samples: int | None = None,
) -> WrittenFile:
    """Write blocks of (n_channels, n) float32 to a file, whole or not at all.

    Parameters
    ----------
    blocks : callable
        Gives the blocks from the start, each time it is called.
    path : path
        Where to.
    source : Audio or AudioFile
        The recording, whose rate, channels and tags the file has.
    found : Decomposition or None
        What the blocks were rendered from.
    subtype : str or None
        Sample format; None: that of the recording.
    n_channels, n_samples : int, optional
        Of the file; default: those of the recording.

    Raises
    ------
    OutputError
        If it cannot be written; then it is not there, or as it was.
    """
    length = found.mixture.n_samples if found is not None else source.n_samples
    form = StemFormat(
        source.sample_rate, n_channels or source.n_channels, subtype or source.subtype,
        n_samples or length, source.tags,
    )  # fmt: skip
    target = Path(path)
    written = write_stems(lambda: (b[None] for b in blocks()), {target.stem: target}, form)
    return WrittenFile(target, written.gain, found)
