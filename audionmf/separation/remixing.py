"""`remix`: a recording with a gain for each of its sources, in memory or as a file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from audionmf.analysis.analysing import analyse, source_names, with_rate
from audionmf.errors import ParameterError
from audionmf.io.audio import Audio, AudioFile, AudioLike, Source, as_audio
from audionmf.io.files import StrPath, make_room, refuse_overwriting
from audionmf.io.formats import check_extension, check_form
from audionmf.io.parts import excerpt, open_part, part_path
from audionmf.rendering.decomposition import Decomposition
from audionmf.rendering.remixing import Gains, mix_blocks, resolve_gains
from audionmf.rendering.stems import StemBlocks, StemFormat, write_stems
from audionmf.sources.score import read_score
from audionmf.sources.templates import Templates
from audionmf.spectra.frames import Progress

__all__ = ["WrittenFile", "remix", "remix_file"]

_NAME = "remix"


@dataclass(frozen=True)
class WrittenFile:
    """One recording that was written.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    gain : float
        The gain of the whole; 1 unless it would have clipped.
    decomposition : Decomposition
        What it was rendered from.
    """

    path: Path
    gain: float
    decomposition: Decomposition


def remix(
    mixture: AudioLike,
    gains: Gains,
    *,
    model: Decomposition | StrPath | None = None,
    start: float = 0.0,
    duration: float | None = None,
    sample_rate: int | None = None,
    progress: Progress | None = None,
    **known: Any,
) -> Audio:
    """Take a recording apart and put it together again with a gain for each source.

    Parameters
    ----------
    mixture : Audio, path, or array of shape (n_channels, n_samples) or (n_samples,)
        The recording.
    gains : mapping of str to float
        Linear gains, 0 to 1000: 0 takes a source out, 1 (default) leaves it as it is. Where no
        source is called ``rest``, that name stands for all that are not named.
    model : Decomposition or path, optional
        What was found in this recording before; nothing is analysed again.
    start, duration : float, optional
        As in `audionmf.separate`: the part of the mixture that is remixed.
    sample_rate : int, optional
        In Hz; needed where the mixture is an array.
    progress : callable, optional
        Told the stage and the share done.
    **known
        What is known of the sources, and options of the analysis, as in `audionmf.separate`; not
        with a model.

    Returns
    -------
    Audio
        Samples of the shape of the mixture, float32. Gains that are all 1 give the mixture to the
        bit. What is louder than full scale is kept; `remix_file` scales it.

    Raises
    ------
    ParameterError
        If there is no such source, a gain is outside its range, or options do not fit.
    AudioNMFError
        As `audionmf.separate` does.
    """
    source = as_audio(excerpt(mixture, start, duration, sample_rate=sample_rate))
    if "examples" in known:
        known["examples"] = with_rate(known["examples"], sample_rate)
    found = _found(source, model, progress, known)
    blocks = list(mix_blocks(source, found, gains, progress or _silent))
    return Audio(np.concatenate(blocks, axis=1), source.sample_rate, source.path, source.subtype)


def remix_file(
    mixture: StrPath,
    path: StrPath,
    gains: Gains,
    *,
    model: StrPath | None = None,
    groups: Mapping[str, tuple[int, ...]] | None = None,
    start: float = 0.0,
    duration: float | None = None,
    subtype: str | None = None,
    progress: Progress | None = None,
    **known: Any,
) -> WrittenFile:
    """Remix a file into a file, block by block; outputs are checked before anything is computed.

    Parameters
    ----------
    mixture : path
        The recording.
    path : path
        Where to; the extension gives the container: wav, flac, aiff, mp3, ogg or opus.
    gains : mapping of str to float
        As in `remix`.
    model : path, optional
        A model file that was made from this recording.
    groups : mapping of str to tuple of int, optional
        With a model: components of each source; what is in no group becomes ``rest``.
    start, duration : float, optional
        As in `remix`.
    subtype : str, optional
        Sample format, such as "PCM_16"; default: that of the recording, where the container has it.
    progress : callable, optional
        Told the stage and the share done.
    **known
        As in `remix`; files of examples may be parts, ``FILE@START-END``.

    Returns
    -------
    WrittenFile
        The file, and the gain of the whole, which is 1 unless it would have clipped.

    Raises
    ------
    ParameterError, AudioNMFError
        As in `remix`.
    TemplateMismatchError
        If the model was made from another recording.
    OutputError
        If the file cannot be written or would overwrite an input; then it is not there, or as it
        was.
    """
    if groups and model is None:
        raise ParameterError("groups are of the components of a model; name its file")
    source = excerpt(AudioFile(Path(mixture)), start, duration)
    prepare_output(source, path, subtype, [mixture, *_files(model, known)])
    known = {**known, "examples": opened_examples(known.get("examples") or {})}
    if model is None:
        resolve_gains(_names(known), gains)
    else:
        loaded = Decomposition.load(model)
        model_found = loaded.regroup(dict(groups)) if groups else loaded
        resolve_gains(model_found.source_names, gains)
        model_found.check_mixture(AudioFile(Path(mixture)))
    found = _found(source, None if model is None else model_found, progress, known)
    resolve_gains(found.source_names, gains)

    def blocks() -> StemBlocks:
        return (b[None] for b in mix_blocks(source, found, gains, progress or _silent))

    form = StemFormat(
        source.sample_rate, source.n_channels, subtype or source.subtype, found.mixture.n_samples
    )
    written = write_stems(blocks, {_NAME: Path(path)}, form)
    return WrittenFile(Path(path), written.gain, found)


def opened_examples(examples: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Open the files among examples, which may be parts."""
    listed = {n: list(e) if isinstance(e, list | tuple) else [e] for n, e in examples.items()}
    return {
        name: [open_part(one) if isinstance(one, str | os.PathLike) else one for one in items]
        for name, items in listed.items()
    }


def prepare_output(
    source: Source, path: StrPath, subtype: str | None, inputs: Iterable[StrPath]
) -> None:
    """Make sure, before anything is computed, that a recording can be written to one file."""
    check_form(check_extension(path), subtype, source.sample_rate, source.n_channels)
    refuse_overwriting([path], inputs)
    make_room([path])


def _found(
    source: Audio | AudioFile,
    model: Decomposition | StrPath | None,
    progress: Progress | None,
    known: Mapping[str, Any],
) -> Decomposition:
    if model is None:
        return analyse(source, progress=progress, **known)
    given = [name for name, value in known.items() if value and name != "settings"]
    if given:
        raise ParameterError(
            f"a model says what the sources are: leave out {', '.join(sorted(given))}"
        )
    return model if isinstance(model, Decomposition) else Decomposition.load(model)


def _names(known: Mapping[str, Any]) -> list[str]:
    """Return the names that sources will have; where they are counted, the most there may be."""
    given = known.get("templates") or ()
    banks = [given] if isinstance(given, Templates | str | os.PathLike) else given
    loaded = [bank if isinstance(bank, Templates) else Templates.load(bank) for bank in banks]
    score = None
    if known.get("midi") is not None:
        score = read_score(
            known["midi"], split=known.get("midi_split", "track"), split_at=known.get("split_at")
        )
    return source_names(
        known.get("n_sources"), loaded, [*(known.get("examples") or {}), *(known.get("solo") or {})],
        known.get("free") or 0, known.get("residual") or "", None, score,
        lead=known.get("lead") or False,
    )  # fmt: skip


def _files(model: StrPath | None, known: Mapping[str, Any]) -> list[StrPath]:
    """Return the files that are read beside the recording."""
    found: list[Any] = [model, known.get("midi")]
    for value in (known.get("templates") or (), *(known.get("examples") or {}).values()):
        found += value if isinstance(value, list | tuple) else [value]
    return [part_path(path) for path in found if isinstance(path, str | os.PathLike)]


def _silent(stage: str, done: float) -> None:
    """Report progress to nobody."""
