"""Components regrouped into an output folder, which then tells of this run and no earlier one."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from audionmf.batch.manifest import refuse_foreign, refuse_replacing, stems_before
from audionmf.batch.outputs import clear_earlier, made_files, place_of, versions
from audionmf.batch.regrouped import Regrouping
from audionmf.io.files import StrPath, file_hash, refuse_overwriting
from audionmf.io.lock import FolderLock
from audionmf.rendering.decomposition import Decomposition
from audionmf.rendering.grouping import Hints
from audionmf.rendering.stems import DEFAULT_PATTERN
from audionmf.separation.decomposing import RegroupedFiles, mixture_of, regroup_file
from audionmf.show.report import clear_report, report_path
from audionmf.spectra.frames import Progress

__all__ = ["regroup_into"]


def regroup_into(
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
    """Render components in other groups and write down what came of it, as a separation does.

    Stems and notes that an earlier run put there are cleared away, unless they were changed since.

    Parameters
    ----------
    model, groups, folder, hints, n_sources, mixture, root, pattern, extension, export, drum_keys, \
    tempo, report, progress
        As in `audionmf.separation.regroup_file`.

    Returns
    -------
    RegroupedFiles
        What was written.

    Raises
    ------
    AudioNMFError
        As `audionmf.separation.regroup_file` does.
    LockedError
        If another run writes to the folder.
    OutputError
        If another program's file is where the manifest goes, or what is read is a stem of an earlier
        run, which this one replaces.

    Warns
    -----
    AudioNMFWarning
        If a file of an earlier run stays that was changed since.
    """
    with FolderLock(folder):
        found = Decomposition.load(model)
        recording = mixture_of(found, model, mixture, root)
        track = recording.stem
        manifest = place_of(folder, track, pattern)
        refuse_overwriting([manifest], [model, recording])
        refuse_foreign(manifest)
        before = stems_before(manifest)
        refuse_replacing([before], [recording])
        made = regroup_file(
            model,
            groups,
            folder,
            hints=hints,
            n_sources=n_sources,
            mixture=mixture,
            root=root,
            pattern=pattern,
            extension=extension,
            export=export,
            drum_keys=drum_keys,
            tempo=tempo,
            report=report,
            progress=progress,
        )
        if before and not report:
            clear_report(report_path(folder, track, pattern, extension))
        clear_earlier(before, [*made.stems.paths.values(), *made.notes.values(), model])
        model_name, mixture_name = (
            os.path.abspath(os.fsdecode(path))  # noqa: PTH100
            for path in (model, recording)
        )
        Regrouping(
            model=model_name,
            mixture=mixture_name,
            groups=made.decomposition.grouping if hints or n_sources else groups or {},
            same=hints.same,
            apart=hints.apart,
            track=track,
            pattern=pattern,
            inputs={model_name: file_hash(model), mixture_name: file_hash(recording)},
            versions=versions(),
            stems=made_files(made.stems.paths, folder),
            notes=made_files(made.notes, folder),
            gain=made.stems.gain,
            trust=made.trust.to_dict(),
        ).save(manifest)
    return made
