"""`separate_files` as people call it: recordings and folders of them, one account of the sources."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from audionmf.batch import run
from audionmf.batch.job import SeparationJob
from audionmf.batch.perform import Outcome
from audionmf.batch.run import BatchReport, State
from audionmf.errors import ParameterError
from audionmf.io.files import StrPath
from audionmf.rendering.stems import DEFAULT_PATTERN
from audionmf.settings import Settings
from audionmf.sources.known import Told

__all__ = ["separate_files"]


def separate_files(
    inputs: StrPath | Iterable[StrPath],
    folder: StrPath = "separated",
    *,
    jobs: int = 1,
    resume: bool = False,
    fail_fast: bool = False,
    strict: bool = False,
    only: str | None = None,
    start: float = 0.0,
    duration: float | None = None,
    pattern: str = DEFAULT_PATTERN,
    extension: str = "wav",
    subtype: str | None = None,
    report: bool = False,
    export: Sequence[str] = (),
    drum_keys: Mapping[str, int | str] | None = None,
    tempo: str | float | None = None,
    settings: Settings | None = None,
    done: Callable[[Outcome], None] | None = None,
    progress: Callable[[State], bool | None] | None = None,
    **options: Any,
) -> BatchReport:
    """Separate files and folders of files into stems on disk; one that fails stops no other.

    What ``audionmf separate`` does: beside the stems of each recording lies a manifest.

    Parameters
    ----------
    inputs : path or iterable of path
        Recordings, and folders to search for them; what is in a subfolder goes to a subfolder.
    folder : path, default "separated"
        The output folder. It is locked, and with several files it has a journal and a report.
    jobs : int, default 1
        So many files at a time, 1 to 256, in processes that share the cores out. The stems do not
        depend on it.
    resume : bool, default False
        Pass over what an earlier run finished, if it is there unchanged.
    fail_fast : bool, default False
        Begin no more files when one has failed.
    strict : bool, default False
        A warning is a failure.
    only, start, duration
        As in `audionmf.separate`.
    pattern : str, default "{track}/{source}.{ext}"
        Names of the stems below the folder.
    extension : {"wav", "flac", "aiff", "mp3", "ogg", "opus"}, default "wav"
        Their container.
    subtype : str, optional
        Their sample format, such as "PCM_16"; default: that of the recording.
    report : bool, default False
        Write a page beside the stems to hear and see them.
    export : sequence of {"midi", "labels", "csv", "events", "raven"}
        Write notes, and when sources sound, too.
    drum_keys, tempo
        As in `audionmf.transcribe`.
    settings : Settings, optional
        Options of the analysis.
    done : callable, optional
        Told the `Outcome` of each file when it is done with.
    progress : callable, optional
        Told the `State` of the whole: files, share of the work, seconds left. Returning True stops
        it; ``resume=True`` goes on from there.
    **options
        Fields of `Settings`, and short forms as in `audionmf.separate`; templates and examples are
        paths here, and examples may be folders, or parts written ``FILE@START-END``.

    Returns
    -------
    BatchReport
        What came of each file: ``report.outcomes``, ``report.count("failed")``.

    Raises
    ------
    ParameterError
        If options do not fit, or there is nothing to separate.
    AudioReadError
        If a folder cannot be read, or has no audio file in it.
    OutputError, LockedError
        If two outputs would be one file or overwrite an input, or the folder cannot be used.
    StoppedError
        If `progress` returned True.
    """
    paths = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
    found = run.find_audio(paths, folder)
    told, others = Told.split(options)
    known = {
        name: getattr(told, name)
        for name, value in options.items()
        if name not in others and value is not None
    }
    for name in known.keys() & {"templates", "examples"}:
        known[name] = _PATHS[name](known[name])
    tracks = [
        SeparationJob(
            input=path, folder=str(Path(os.fsdecode(folder), below)), track=track, only=only,
            start=start, duration=duration, pattern=pattern, extension=extension, subtype=subtype,
            report=report, export=export, drum_keys=drum_keys or {}, tempo=tempo,
            settings=Settings.from_options(settings, **others), **known,
        )
        for (path, below), track in zip(found, run.distinct_tracks(found), strict=True)
    ]  # fmt: skip
    many = len(tracks) > 1 or resume
    return run.separate_files(
        tracks, folder, workers=jobs, journal=many, resume=resume, fail_fast=fail_fast,
        strict=strict, report=run.report_path(folder) if many else None,
        done=done, progress=progress,
    )  # fmt: skip


def _paths(given: Any, what: str) -> list[str]:
    """Return one path or several as a list."""
    several = list(given) if isinstance(given, list | tuple) else [given]
    for path in several:
        if not isinstance(path, str | os.PathLike):
            raise ParameterError(
                f"{what} of separate_files are paths, as its workers and manifests need, not "
                f"{type(path).__name__}; write it to a file first"
            )
    return [os.fsdecode(path) for path in several]


def _examples(given: Any) -> dict[str, list[str]]:
    if not isinstance(given, Mapping):
        raise ParameterError(
            "examples are a mapping from names to recordings, such as {'violin': 'violin.wav'}, "
            f"not {type(given).__name__}"
        )
    return {name: _paths(files, "examples") for name, files in given.items()}


_PATHS: dict[str, Callable[[Any], Any]] = {
    "templates": lambda given: _paths(given, "templates"),
    "examples": _examples,
}
