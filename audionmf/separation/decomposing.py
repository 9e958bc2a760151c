"""What decompose and regroup write. Outputs are checked before anything is computed."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf import nmf, plot
from audionmf.analysis.analysing import analyse as analyse_model
from audionmf.errors import AudioNMFWarning, MissingExtraError, ParameterError
from audionmf.io.archive import read_kind
from audionmf.io.audio import AudioFile, AudioLike, needs_rate, open_source
from audionmf.io.earlier import MODEL_NAME, components_in
from audionmf.io.files import (
    StrPath,
    atomic_path,
    find_moved,
    make_room,
    refuse_overwriting,
    safe_name,
)
from audionmf.io.formats import OUTPUT_FORMATS, check_form
from audionmf.io.parts import excerpt
from audionmf.notes.transcription import check_asked, export_names, export_paths, write_exports
from audionmf.rendering.decomposition import MODEL_KIND
from audionmf.rendering.decomposition import Decomposition as Model
from audionmf.rendering.grouping import Hints
from audionmf.rendering.stems import DEFAULT_PATTERN, StemFiles, default_paths
from audionmf.rendering.trust import Trust
from audionmf.separation.separating import Decomposition, render_to_files
from audionmf.settings import Settings
from audionmf.show.report import clear_report, report_path, write_report
from audionmf.sources.known import Known
from audionmf.spectra.frames import Progress

__all__ = [
    "DecomposedFiles",
    "RegroupedFiles",
    "analyse",
    "decompose",
    "decompose_file",
    "mixture_of",
    "plan_decomposition",
    "regroup_file",
]

_REPORT_NAME = "report.html"
_CSV_ROWS = 4096


def analyse(
    mixture: AudioLike,
    sources: Mapping[str, Known] | None = None,
    *,
    components: bool = False,
    sample_rate: int | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
    watch: nmf.Callback | None = None,
    **options: Any,
) -> Decomposition:
    """Find the templates of a recording and how they group into sources.

    Parameters
    ----------
    mixture : Audio, AudioFile, path or array
        The recording; a file is read block by block.
    sources : mapping of str to Known, optional
        What is known of each source.
    components : bool, default False
        Every component a source of its own, and activations for every frame; see `decompose`.
    sample_rate, settings, progress
        As in `audionmf.separate`.
    watch : callable, optional
        Blind: called with the `nmf.State`, which has the divergence, after each iteration;
        returning True ends the factorisation there.
    **options
        As in `audionmf.separate`.

    Returns
    -------
    Decomposition
        It renders stems, groups anew, draws itself and is saved.

    Raises
    ------
    AudioNMFError
        As `audionmf.separate` does.
    """
    source = open_source(mixture, sample_rate)
    given = mixture if needs_rate(mixture) else source
    found = analyse_model(
        given, sources, components=components, sample_rate=sample_rate, settings=settings,
        progress=progress, watch=watch, **options,
    )  # fmt: skip
    return Decomposition.of_model(found, source)


def decompose(
    mixture: AudioLike,
    n_components: int | None = None,
    *,
    start: float = 0.0,
    duration: float | None = None,
    sample_rate: int | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Decomposition:
    """Find the components of a recording, to be looked at and grouped by hand.

    ``decompose("mix.wav", 16).regroup({"bass": [0, 3, 7]}).render().save()`` is what
    ``audionmf decompose`` and ``audionmf regroup`` do.

    Parameters
    ----------
    mixture : Audio, AudioFile, path, binary file object or array
        The recording; a file is read block by block.
    n_components : int, optional
        How many, 1 to 4096; default: as `Settings` says.
    start, duration : float, optional
        In seconds: the part of the recording; default: all of it.
    sample_rate : int, optional
        In Hz; needed where the mixture is an array.
    settings : Settings, optional
        Options of the analysis.
    progress : callable, optional
        Told the stage and the share done; returning True stops the work.
    **options
        Fields of `Settings`, changed from `settings`.

    Returns
    -------
    Decomposition
        Each component a source of its own.

    Raises
    ------
    ParameterError
        If an option is outside its range, or the part is not in the recording.
    FileNotFoundError, AudioReadError, InvalidAudioError, LimitError
        If audio cannot be read or worked on.
    StoppedError
        If `progress` returned True.
    """
    source = excerpt(mixture, start, duration, sample_rate=sample_rate)
    if n_components is not None:
        options["n_components"] = n_components
    return analyse(source, components=True, settings=settings, progress=progress, **options)


@dataclass(frozen=True)
class DecomposedFiles:
    """What `decompose_file` wrote.

    Parameters
    ----------
    folder : pathlib.Path
        The folder of the track.
    model : pathlib.Path
        The model file, which `regroup_file` takes.
    templates, activations : pathlib.Path
        W and H as CSV.
    picture : pathlib.Path or None
        V, W and H as PNG; None if matplotlib is not installed.
    stems : StemFiles
        One file a component.
    decomposition : Decomposition
        The model itself.
    notes : sequence of pathlib.Path
        The files with notes and with when components sound, where they were asked for.
    report : pathlib.Path or None
        The page to hear and see the components, where it was asked for.
    """

    folder: Path
    model: Path
    templates: Path
    activations: Path
    picture: Path | None
    stems: StemFiles
    decomposition: Model
    notes: Sequence[Path] = ()
    report: Path | None = None


@dataclass(frozen=True)
class RegroupedFiles:
    """What `regroup_file` wrote.

    Parameters
    ----------
    stems : StemFiles
        The stems and the common gain.
    decomposition : Decomposition
        The model with the new grouping.
    trust : Trust
        How far to trust each stem.
    report : pathlib.Path or None
        The page to hear and see the stems, where it was asked for.
    notes : mapping of str to pathlib.Path
        The files with notes and with when sources sound, by their kind, where they were asked for.
    remarks : sequence of str, default ()
        What was decided by ear and moved by hints, a line each.
    """

    stems: StemFiles
    decomposition: Model
    trust: Trust
    report: Path | None = None
    notes: Mapping[str, Path] = field(default_factory=dict)
    remarks: Sequence[str] = ()


def plan_decomposition(
    path: StrPath,
    folder: StrPath,
    export: Sequence[str] = (),
    *,
    report: bool = False,
    track: str = "",
) -> dict[str, Path]:
    """Return where `decompose_file` would put what is no audio, by its file name."""
    home = Path(folder).absolute() / safe_name(track or Path(path).stem)
    names = [MODEL_NAME, "templates.csv", "activations.csv", "decomposition.png"]
    names += [_REPORT_NAME] if report else []
    return {name: home / name for name in (*names, *export_names(export).values())}


def decompose_file(
    path: StrPath,
    folder: StrPath = "decomposed",
    *,
    extension: str = "wav",
    export: Sequence[str] = (),
    drum_keys: Mapping[str, int | str] | None = None,
    tempo: str | float | None = None,
    report: bool = False,
    track: str = "",
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> DecomposedFiles:
    """Factorise a file and write all that was found: model, components as audio, CSV, picture.

    Parameters
    ----------
    path : path
        The recording.
    folder : path, default "decomposed"
        The output folder; a folder named after the recording is made in it.
    extension : {"wav", "flac", "aiff", "mp3", "ogg", "opus"}, default "wav"
        Container of the components.
    export : sequence of {"midi", "labels", "csv", "events", "raven"}
        Write the notes that components play, and when they sound; see
        `audionmf.notes.transcription`.
    drum_keys, tempo
        As in `audionmf.transcribe`.
    report : bool, default False
        Write a page to hear and see the components too; see `audionmf.report`.
    track : str, default ""
        What the recording is called; empty for the name of its file.
    settings : Settings, optional
        Options; ``n_components`` says how many components.
    progress : callable, optional
        Told the stage and the share done.

    Returns
    -------
    DecomposedFiles
        What was written. Without matplotlib there is no picture, and a warning says so.

    Raises
    ------
    AudioNMFError
        As `audionmf.analyse` does, and `OutputError` where a file would overwrite an input or
        cannot be written.
    """
    source = AudioFile(Path(path))
    if extension in OUTPUT_FORMATS:  # others are refused with the names of the files
        check_form(extension, None, source.sample_rate, source.n_channels)
    named = plan_decomposition(path, folder, export, report=report, track=track)
    check_asked(drum_keys, tempo)
    home = named[MODEL_NAME].parent
    _prepare(named.values(), [path])
    found = analyse_model(source, components=True, settings=settings, progress=progress)
    paths = default_paths(source, found.grouping, folder, extension=extension, track=track)
    refuse_overwriting(paths.values(), [path])
    stems, trust = render_to_files(source, found, paths, progress=progress)
    _clear_components(named[MODEL_NAME], {*stems.paths.values()})
    if not report:
        clear_report(home / _REPORT_NAME)
    stft, rate = found.templates.stft, found.templates.sample_rate
    H = _known(found.activations)
    _write_csv(
        named["templates.csv"],
        "frequency_hz",
        stft.frequencies(rate),
        found.templates.templates,
        found.templates.labels,
    )
    _write_csv(
        named["activations.csv"],
        "time_s",
        stft.times(H.shape[1], rate),
        H.T,
        found.templates.labels,
    )
    places, played = dict[str, Path](), None
    if export:
        places = {what: named[name] for what, name in export_names(export).items()}
        played = write_exports(
            places, source, found, stems.paths, drum_keys=drum_keys, tempo=tempo, progress=progress
        )
    picture = _draw(source, found, named["decomposition.png"])
    found.save(named[MODEL_NAME])
    if report:
        command = ["audionmf", "decompose", _operand(path), *_form(extension)]
        command += found.settings.to_arguments("decompose")
        write_report(
            named[_REPORT_NAME], source, stems, found, trust,
            command=command, notes=played, progress=progress,
        )  # fmt: skip
    return DecomposedFiles(
        home,
        named[MODEL_NAME],
        named["templates.csv"],
        named["activations.csv"],
        picture,
        stems,
        found,
        list(places.values()),
        named.get(_REPORT_NAME),
    )


def _clear_components(model: Path, kept: set[Path]) -> None:
    """Remove the components that an earlier run left beside its model, but for those changed since."""
    if not model.is_file() or read_kind(model) != MODEL_KIND.name:
        return
    made = model.stat().st_mtime_ns  # the last thing that a run writes
    names = {os.path.realpath(path) for path in kept}
    for path in components_in(model.parent):
        if os.path.realpath(path) in names:
            continue
        if path.stat().st_mtime_ns <= made:
            path.unlink()
        else:
            warnings.warn(
                AudioNMFWarning(
                    f"{str(path)!r} is of an earlier run and changed since: left there"
                ),
                stacklevel=3,
            )


def regroup_file(
    model: StrPath,
    groups: dict[str, tuple[int, ...]] | None = None,
    folder: StrPath = "separated",
    *,
    hints: Hints = Hints(),  # noqa: B008
    n_sources: int | None = None,
    mixture: StrPath | None = None,
    root: StrPath | None = None,
    pattern: str = DEFAULT_PATTERN,
    extension: str = "wav",
    export: Sequence[str] = (),
    drum_keys: Mapping[str, int | str] | None = None,
    tempo: str | float | None = None,
    report: bool = False,
    progress: Progress | None = None,
) -> RegroupedFiles:
    """Render the components of a model file in other groups; nothing is factorised again.

    Parameters
    ----------
    model : path
        A model file that `decompose_file` wrote.
    groups : dict of str to tuple of int, optional
        Components of each source; what is in no group becomes ``rest``.
    hints : Hints, default none
        Which components are in one source, and which are not.
    n_sources : int, optional
        Group them by what is heard of them, into so many sources; see `Decomposition.regroup`.
    folder, pattern, extension, export, drum_keys, tempo, report
        As in `SeparationJob`.
    mixture : path, optional
        Where the recording is now; default: where it was.
    root : path, optional
        A folder in which the recording is looked for if it is not where it was, by name and by the
        hash of its bytes. Default: two folders above that of the model.
    progress : callable, optional
        Told the stage and the share done.

    Returns
    -------
    RegroupedFiles
        What was written.

    Raises
    ------
    ParameterError
        If the groups or the hints do not fit the components, or there are none of them.
    FileNotFoundError
        If the model or the recording is not there.
    TemplateError, TemplateMismatchError
        If the model cannot be read, or was made from another recording.
    OutputError
        If a stem would overwrite an input or cannot be written.
    """
    loaded = Model.load(model)
    source = AudioFile(mixture_of(loaded, model, mixture, root))
    loaded.check_mixture(source)
    found = Decomposition.of_model(loaded, source)
    regrouped = found.regroup(
        groups or None, same=hints.same, apart=hints.apart, n_sources=n_sources, progress=progress
    )
    paths = default_paths(source, regrouped.grouping, folder, pattern, extension)
    page = report_path(folder, source.path.stem, pattern, extension) if report else None
    notes = export_paths(folder, source.path.stem, export, pattern, extension) if export else {}
    check_asked(drum_keys, tempo)
    _prepare([*paths.values(), *notes.values(), *([page] if page else [])], [model, source.path])
    stems, trust = render_to_files(source, regrouped, paths, progress=progress)
    played = None
    if notes:
        played = write_exports(
            notes, source, regrouped, stems.paths,
            drum_keys=drum_keys, tempo=tempo, progress=progress,
        )  # fmt: skip
    if page:
        command = ["audionmf", "regroup", _operand(model), *_form(extension)]
        command += [] if pattern == DEFAULT_PATTERN else ["--filename", pattern]
        command += [] if mixture is None else ["--mixture", _operand(mixture)]
        for name, members in (groups or {}).items():
            command += ["--group", f"{name}={','.join(map(str, members))}"]
        for option, given in (("--same", hints.same), ("--apart", hints.apart)):
            for hint in given:
                command += [option, ",".join(map(str, hint))]
        command += [] if n_sources is None else ["--n-sources", str(n_sources)]
        write_report(
            page, source, stems, regrouped, trust,
            command=command, notes=played, progress=progress,
        )  # fmt: skip
    remarks = regrouped.remarks[len(loaded.remarks) :]
    return RegroupedFiles(stems, regrouped, trust, page, notes, remarks)


def mixture_of(
    found: Model, model: StrPath, mixture: StrPath | None = None, root: StrPath | None = None
) -> Path:
    """Return where the recording is that a model was made from; it need not be there.

    Parameters
    ----------
    found : Decomposition
        The model.
    model : path
        Its file.
    mixture, root
        As in `regroup_file`.

    Raises
    ------
    ParameterError
        If it was made from an array.
    """
    where = mixture or found.mixture.path
    if not where:
        raise ParameterError(
            f"{str(model)!r} was made from an array of samples; name the recording to render"
        )
    if mixture is None and not os.path.exists(where):  # noqa: PTH110
        searched = Path(model).resolve().parent.parent.parent if root is None else root
        where = find_moved(where, found.mixture.sha256, [searched]) or where
    return Path(where)


def _operand(path: StrPath) -> str:
    """Return a path as it stands on a command line; a leading dash would be an option."""
    text = os.fsdecode(path)
    return f"./{text}" if text.startswith("-") else text


def _form(extension: str) -> list[str]:
    return [] if extension == "wav" else ["--format", extension]


def _prepare(outputs: Iterable[Path], inputs: Iterable[StrPath]) -> None:
    """Make sure, before anything is computed, that the outputs can be written."""
    outputs = list(outputs)
    refuse_overwriting(outputs, inputs)
    make_room(outputs)


def _known(activations: NDArray[np.float32] | None) -> NDArray[np.float32]:
    if activations is None:
        raise ParameterError("the decomposition holds no activations")
    return activations


def _draw(source: AudioFile, found: Model, path: Path) -> Path | None:
    templates = found.templates
    stft, rate = templates.stft, templates.sample_rate
    try:
        plot.figure()  # before anything is computed for it
        seen = plot.overview(source, stft)
        picture = plot.decomposition(
            seen.V,
            templates.templates,
            _known(found.activations),
            stft,
            rate,
            order=plot.pitch_order(templates.templates, stft, rate),
            frame_seconds=seen.frame_seconds,
        )
    except MissingExtraError as error:
        warnings.warn(AudioNMFWarning(f"no picture was drawn: {error}"), stacklevel=3)
        return None
    return plot.save(picture, path)


def _write_csv(
    path: Path,
    axis_name: str,
    axis: NDArray[Any],
    columns: NDArray[Any],
    names: Sequence[str],
) -> Path:
    """Write a table some rows at a time: hours of activations are long as text."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(",".join([axis_name, *names]) + "\n")
        for first in range(0, len(axis), _CSV_ROWS):
            rows = slice(first, first + _CSV_ROWS)
            table = np.column_stack([axis[rows], columns[rows]])
            np.savetxt(file, table, fmt="%.6g", delimiter=",")
    return path
