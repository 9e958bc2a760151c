"""`oneshots`: the strokes of a loop as samples, one by one, and a kit that plays them."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from audionmf.analysis.analysing import analyse_account
from audionmf.errors import InvalidAudioError, ParameterError
from audionmf.io.audio import AudioFile, AudioLike, AudioWriter, Source
from audionmf.io.files import (
    StrPath,
    Together,
    atomic_path,
    make_room,
    refuse_overwriting,
    safe_name,
)
from audionmf.io.formats import OUTPUT_FORMATS, check_form, output_subtype, quantisation_step
from audionmf.io.parts import excerpt
from audionmf.notes.drums import check_keys, drum_key
from audionmf.notes.hearing import hear
from audionmf.notes.sfz import sfz_text
from audionmf.notes.takes import Take, cut_takes
from audionmf.rendering.blocks import stem_names
from audionmf.rendering.decomposition import Decomposition
from audionmf.separation.remixing import files_read
from audionmf.separation.separating import render_to_files
from audionmf.settings import Settings
from audionmf.sources.known import Known, Told
from audionmf.spectra.frames import Progress

__all__ = ["LONGEST", "TAKES", "Kit", "KitFiles", "oneshots", "oneshots_file"]

TAKES = 16
"""Takes of a source that are kept, unless something else is asked for."""

LONGEST = 3.0
"""Seconds of a take at most, unless something else is asked for."""

_MOST_TAKES, _MOST_SECONDS = 64, 30.0
_FREE_KEYS = (*range(60, 128), *range(60))
"""Where sources go whose key is not known, or is another's: from middle C upwards."""


@dataclass(frozen=True)
class KitFiles:
    """The files of a kit.

    Parameters
    ----------
    paths : dict of str to tuple of pathlib.Path
        The samples of each source, the best take first.
    sfz : pathlib.Path or None
        The kit, where it was asked for.
    gain : float
        The common gain of all samples; 1 unless one of them would have clipped.
    """

    paths: dict[str, tuple[Path, ...]]
    sfz: Path | None
    gain: float


@dataclass(frozen=True, eq=False)
class Kit:
    """The strokes of the sources of a recording.

    Parameters
    ----------
    takes : dict of str to tuple of Take
        Of each source, the cleanest first: the one that others sound over least.
    keys : dict of str to int
        The MIDI key of each source, 0 to 127: that of General MIDI where it is called after a drum
        or sounds like a kick, a snare or a hi-hat.
    sample_rate : int
        In Hz.
    subtype : str
        Sample format of the recording.
    title : str
        The name of the recording.
    decomposition : Decomposition
        What the stems were rendered from.
    """

    takes: dict[str, tuple[Take, ...]]
    keys: dict[str, int]
    sample_rate: int
    subtype: str
    title: str
    decomposition: Decomposition

    def save(
        self,
        folder: StrPath,
        *,
        extension: str = "wav",
        subtype: str | None = None,
        kit: bool = True,
    ) -> KitFiles:
        """Write ``NAME-01.wav``, the best take of a source, and so on, all or none.

        Parameters
        ----------
        folder : path
            Where to.
        extension : {"wav", "flac", "aiff", "mp3", "ogg", "opus"}
            The container.
        subtype : str, optional
            Sample format, such as "PCM_16"; default: that of the recording, where the container has
            it.
        kit : bool, default True
            Write ``TITLE.sfz`` too, the kit as samplers load it.

        Raises
        ------
        ParameterError
            If the container does not exist or cannot hold the samples, or two sources would have
            files of one name.
        OutputError
            If a file cannot be written; then all are as they were before.
        """
        return self._save(folder, extension, subtype, (), kit=kit)

    def _save(
        self,
        folder: StrPath,
        extension: str,
        subtype: str | None,
        inputs: tuple[StrPath, ...],
        *,
        kit: bool,
    ) -> KitFiles:
        _check_container(extension, subtype, self.sample_rate, self._n_channels)
        paths, sfz = self._paths(Path(folder), extension), None
        if kit:
            sfz = Path(folder, f"{safe_name(self.title)}.sfz")
        every = [path for mine in paths.values() for path in mine] + ([sfz] if sfz else [])
        refuse_overwriting(every, inputs)
        make_room(every)
        form = output_subtype(subtype or self.subtype, extension)
        gain = self._gain(quantisation_step(form))
        with Together() as together:
            for name, mine in paths.items():
                for path, take in zip(mine, self.takes[name], strict=True):
                    self._write(path, take, form, gain, together)
            if sfz:
                with atomic_path(sfz, together) as temporary:
                    temporary.write_bytes(self._sfz(paths).encode("utf-8"))
        return KitFiles(paths, sfz, gain)

    @property
    def _n_channels(self) -> int:
        return next(len(take.samples) for mine in self.takes.values() for take in mine)

    def _paths(self, folder: Path, extension: str) -> dict[str, tuple[Path, ...]]:
        stems = {name: _file_name(name) for name in self.takes}
        if len(set(stems.values())) < len(stems):
            raise ParameterError(
                f"the samples of {', '.join(map(repr, stems))} would have files of one name; give "
                "the sources names that differ in letters and digits"
            )
        return {
            name: tuple(folder / f"{stems[name]}-{i + 1:02d}.{extension}" for i in range(len(mine)))
            for name, mine in self.takes.items()
        }

    def _gain(self, step: float) -> float:
        """Return the gain of all samples with which none clips."""
        peak = max(float(np.abs(t.samples).max()) for mine in self.takes.values() for t in mine)
        return 1.0 if not step or peak <= 1 - step else float(np.float32((1 - step) / peak))

    def _write(self, path: Path, take: Take, form: str, gain: float, together: Together) -> None:
        n_channels, n_samples = take.samples.shape
        with AudioWriter(path, self.sample_rate, n_channels, form, n_samples, together) as writer:
            writer.write(take.samples * np.float32(gain))

    def _sfz(self, paths: Mapping[str, tuple[Path, ...]]) -> str:
        kit = {
            name: [(p.name, take.level_db) for p, take in zip(mine, self.takes[name], strict=True)]
            for name, mine in paths.items()
        }
        return sfz_text(kit, self.keys, f"{safe_name(self.title)}: strokes cut out of a recording")


def oneshots(
    mixture: AudioLike,
    sources: Mapping[str, Known] | None = None,
    *,
    takes: int = TAKES,
    longest: float = LONGEST,
    drum_keys: Mapping[str, int | str] | None = None,
    start: float = 0.0,
    duration: float | None = None,
    sample_rate: int | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Kit:
    """Cut the strokes of each source of a loop out of its stem, the cleanest first.

    The recording is taken apart as `audionmf.separate` does; in each stem strokes are found (Böck
    and Widmer 2013). A take begins 2 ms before its sound rises, and ends where it has died away by
    50 dB or the next stroke of the source begins. It is the cleaner, the more of its power lies
    where the stems of the others have none, and the further it has died away at its end.

    Parameters
    ----------
    mixture : Audio, path, or array of shape (n_channels, n_samples) or (n_samples,)
        The recording; a file is read block by block, and its stems are on disk meanwhile.
    sources, start, duration, settings, **options
        As in `audionmf.separate`.
    takes : int, default 16
        Most takes of a source, 1 to 64.
    longest : float, default 3
        Most seconds of a take, more than 0 and up to 30.
    drum_keys : mapping of str to int or str, optional
        MIDI keys of sources, 0 to 127, or names of drums such as "cowbell". Default: by the names
        of the sources, else kick, snare or hi-hat by their sound, else a free key from 60 upwards.
    sample_rate : int, optional
        In Hz; needed where the mixture is an array.
    progress : callable, optional
        Told the stage and the share done.

    Returns
    -------
    Kit
        Takes and keys; `Kit.save` writes the samples and an SFZ file.

    Raises
    ------
    ParameterError
        If a number is outside its range, or options do not fit.
    InvalidAudioError
        If no stroke was found in any stem.
    AudioNMFError
        As `audionmf.separate` does.
    """
    keys = _check(takes, longest, drum_keys)
    source = excerpt(mixture, start, duration, sample_rate=sample_rate)
    told, others = Told.split(options, sources)
    account = told.account(sources, sample_rate=sample_rate)
    config = Settings.from_options(settings, **others)
    found = analyse_account(account, source, config, progress)
    with tempfile.TemporaryDirectory(prefix="audionmf-") as home:
        paths = {s: Path(home, f"{i}.wav") for i, s in enumerate(stem_names(found))}
        render_to_files(source, found, paths, subtype="FLOAT", progress=progress)
        stems = {name: AudioFile(path) for name, path in paths.items()}
        cut, heard = _cut(stems, takes, longest, progress)
    if not any(cut.values()):
        raise InvalidAudioError(
            f"{_title(source)!r}: no stroke was found in any source; is something struck in it?"
        )
    return Kit(
        {name: mine for name, mine in cut.items() if mine}, _keys(cut, heard, keys),
        source.sample_rate, source.subtype, _title(source), found,
    )  # fmt: skip


def oneshots_file(
    mixture: StrPath,
    folder: StrPath,
    *,
    extension: str = "wav",
    subtype: str | None = None,
    kit: bool = True,
    **options: Any,
) -> KitFiles:
    """Cut the strokes of a file into files; format and folder are checked before anything is computed.

    Parameters
    ----------
    mixture : path
        The recording.
    folder : path
        Where to.
    extension, subtype, kit
        As in `Kit.save`.
    **options
        As in `oneshots`.

    Returns
    -------
    KitFiles
        What was written.

    Raises
    ------
    ParameterError, AudioNMFError
        As in `oneshots`.
    OutputError
        If a file cannot be written or would overwrite an input; then none is there, or all are as
        they were.
    """
    source = AudioFile(Path(mixture))
    _check_container(extension, subtype, source.sample_rate, source.n_channels)
    make_room([Path(folder, "kit.sfz")])
    found = oneshots(mixture, **options)
    inputs = (mixture, *files_read(None, options))
    return found._save(folder, extension, subtype, inputs, kit=kit)


def _cut(
    stems: Mapping[str, AudioFile], takes: int, longest: float, progress: Progress | None
) -> tuple[dict[str, tuple[Take, ...]], dict[str, int]]:
    """Return the takes of each stem, and the drum that it sounds like most often."""
    cut: dict[str, tuple[Take, ...]] = {}
    heard: dict[str, int] = {}
    for i, (name, stem) in enumerate(stems.items()):
        strokes = hear(stem, kit=True).notes
        cut[name] = cut_takes(name, stems, strokes, most=takes, longest=longest)
        found = [stroke.key for stroke in strokes]
        if found:
            heard[name] = max(sorted(set(found)), key=found.count)
        if progress is not None:
            progress("strokes", (i + 1) / len(stems))
    return cut, heard


def _keys(
    cut: Mapping[str, tuple[Take, ...]], heard: Mapping[str, int], chosen: Mapping[str, int]
) -> dict[str, int]:
    """Return the key of each source: as told, by its name, by its sound, or a free one."""
    keys = {name: chosen[name] for name in cut if name in chosen}
    for guess in (drum_key, heard.get):
        for name in cut:
            key = guess(name)
            if name not in keys and key is not None and key not in keys.values():
                keys[name] = key
    for name in cut:
        if name not in keys:
            keys[name] = next(key for key in _FREE_KEYS if key not in keys.values())
    return {name: keys[name] for name in cut if cut[name]}


def _check(takes: int, longest: float, drum_keys: Mapping[str, int | str] | None) -> dict[str, int]:
    """Return the keys that were given; refuse numbers outside their range."""
    if not (isinstance(takes, int | np.integer) and 1 <= takes <= _MOST_TAKES):
        raise ParameterError(f"takes must be a whole number from 1 to {_MOST_TAKES}, not {takes!r}")
    if not (isinstance(longest, int | float | np.number) and 0 < longest <= _MOST_SECONDS):
        raise ParameterError(
            f"longest must be more than 0 and up to {_MOST_SECONDS:g} seconds, not {longest!r}"
        )
    return check_keys(drum_keys)


def _check_container(extension: str, subtype: str | None, rate: int, n_channels: int) -> None:
    if extension not in OUTPUT_FORMATS:
        raise ParameterError(
            f"samples are written as {', '.join(OUTPUT_FORMATS)}, not {extension!r}"
        )
    check_form(extension, subtype, rate, n_channels)


def _file_name(source: str) -> str:
    """Return a name without what has a meaning in an SFZ file."""
    return re.sub(r"[^\w .+-]", "_", safe_name(source))


def _title(source: Source) -> str:
    return source.path.stem if source.path else "kit"
