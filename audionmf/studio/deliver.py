"""What leaves the studio: stems, a bank of templates, a model, and the command line for them."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import shlex
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from audionmf.errors import ParameterError
from audionmf.io.files import safe_name
from audionmf.notes.transcription import export_names, notes_of, write_exports
from audionmf.rendering.decomposition import Decomposition
from audionmf.rendering.stems import stem_paths
from audionmf.separation.separating import render_to_files
from audionmf.sources.known import REST
from audionmf.sources.templates import Templates
from audionmf.spectra.frames import Progress
from audionmf.studio.models import Model
from audionmf.studio.recordings import Recording
from audionmf.studio.sources import Group

__all__ = ["FORMATS", "Delivery", "bank", "commands", "model_file", "note_file", "rolls", "stems"]

FORMATS = ("wav", "flac")


@dataclass(frozen=True)
class Delivery:
    """A file that a page may fetch.

    Parameters
    ----------
    path : pathlib.Path
        Where it is.
    name : str
        What it is called when it is saved.
    id : str
        Random.
    """

    path: Path
    name: str
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))

    def told(self) -> dict[str, Any]:
        """Return what a page needs to know."""
        return {"id": self.id, "name": self.name, "bytes": self.path.stat().st_size}


def grouped(model: Model, groups: tuple[Group, ...]) -> Decomposition:
    """Return the model with the sources of a page; what is in none is ``rest``.

    Without sources every component is one.
    """
    filled = {g.name: g.components for g in groups if g.components}
    return model.parts.regroup(filled) if filled else model.parts


def stems(
    model: Model,
    groups: tuple[Group, ...],
    folder: Path,
    extension: str,
    progress: Progress,
) -> Delivery:
    """Render the stems, and put them together in a zip archive; without sources, all components.

    Raises
    ------
    ParameterError
        If the format is not offered, or two names would give one file.
    OutputError
        If they cannot be written.
    """
    if extension not in FORMATS:
        raise ParameterError(f"stems are exported as {' or '.join(FORMATS)}")
    decomposition, track = grouped(model, groups), _track(model)
    home = folder / secrets.token_hex(8)
    paths = stem_paths(home, track, decomposition.source_names, "{source}.{ext}", extension)
    home.mkdir(mode=0o700)
    try:
        render_to_files(model.recording.audio, decomposition, paths, progress=progress)
        target = folder / f"{secrets.token_hex(8)}.zip"
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
            for path in paths.values():
                archive.write(path, f"{track}/{path.name}")
    finally:
        for path in paths.values():
            path.unlink(missing_ok=True)
        home.rmdir()
    return Delivery(target, f"{track}-stems.zip")


def bank(model: Model, groups: tuple[Group, ...], folder: Path) -> Delivery:
    """Save the templates of all sources as a bank for next time; those in no source stay out.

    Without sources every component is kept under its own name.
    """
    owner = {k: group.name for group in groups for k in group.components}
    templates = model.parts.templates
    kept = [k for k in range(templates.n_components) if k in owner] or range(templates.n_components)
    labels = tuple(owner.get(k, name) for k, name in enumerate(model.parts.grouping))
    made = Templates(
        templates.templates[:, list(kept)],
        tuple(labels[k] for k in kept),
        templates.stft,
        templates.sample_rate,
    )
    path = made.save(folder / f"{secrets.token_hex(8)}.npz")
    return Delivery(path, f"{_track(model)}-templates.npz")


def model_file(model: Model, groups: tuple[Group, ...], folder: Path) -> Delivery:
    """Save the model that ``audionmf regroup`` takes, with its grouping.

    Its recording is named by path only if it was given on the command line; the other ones were
    sent by the page, which has no paths.
    """
    decomposition = grouped(model, groups)
    given = model.recording.given
    where = os.path.realpath(given) if given else ""
    mixture = dataclasses.replace(decomposition.mixture, path=where)
    decomposition = dataclasses.replace(decomposition, mixture=mixture)
    path = decomposition.save(folder / f"{secrets.token_hex(8)}.npz")
    return Delivery(path, model_name(model))


def rolls(
    model: Model, groups: tuple[Group, ...], folder: Path, progress: Progress
) -> dict[str, list[list[Any]]]:
    """Return the notes of each source, heard from its stem, as a page draws them.

    Each is onset and offset in seconds, key, velocity, whether it is a drum, and its name.
    """
    decomposition = grouped(model, groups)
    with _rendered(model, decomposition, folder, progress) as paths:
        found = notes_of(decomposition, paths, progress=progress)
    return {
        name: [
            [round(n.onset, 4), round(n.offset, 4), n.pitch, n.velocity, n.drum, n.name]
            for n in found.of(name)
        ]
        for name in found.sources
    }


def note_file(model: Model, groups: tuple[Group, ...], folder: Path, kind: str) -> Delivery:
    """Save what the sources play, heard from their stems, as MIDI or as labels for an audio editor.

    Raises
    ------
    MissingExtraError
        If MIDI is asked for and pretty_midi is not installed.
    """
    decomposition = grouped(model, groups)
    name = export_names([kind])[kind]
    path = folder / f"{secrets.token_hex(8)}-{name}"
    audio = model.recording.audio
    with _rendered(model, decomposition, folder) as paths:
        write_exports({kind: path}, audio, decomposition, paths)
    return Delivery(path, f"{_track(model)}-{name}")


@contextlib.contextmanager
def _rendered(
    model: Model, decomposition: Decomposition, folder: Path, progress: Progress | None = None
) -> Iterator[dict[str, Path]]:
    """Give the files of the stems, which are gone afterwards."""
    with tempfile.TemporaryDirectory(dir=folder) as home:
        paths = {s: Path(home, f"{i}.wav") for i, s in enumerate(decomposition.source_names)}
        stems, _ = render_to_files(model.recording.audio, decomposition, paths, progress=progress)
        yield dict(stems.paths)


def model_name(model: Model) -> str:
    """Return what the model file is called when it is saved."""
    return f"{_track(model)}-model.npz"


def commands(model: Model, groups: tuple[Group, ...], extension: str) -> list[str]:
    """Return the command lines that make the same stems, quoted for the shell.

    Where marks or an early stop had a part in the model, they start from the exported model file;
    otherwise from the recording.
    """
    filled = [group for group in groups if group.components]
    form = [] if extension == "wav" else ["--format", extension]
    recording = _written(model.recording)
    if model.way.named and not model.way.by_hand and _as_found(model, filled):
        return [shlex.join(["audionmf", "separate", recording, *_asked(model), *form])]
    by_hand = model.way.named or model.way.by_hand
    grouping = grouped(model, groups).grouping if filled or by_hand else {}
    members = [f"{n}={','.join(map(str, ks))}" for n, ks in grouping.items() if n != REST]
    named = [text for member in members for text in ("--group", member)]
    if by_hand:
        given = [] if model.recording.given else ["--mixture", recording]
        regroup = ["audionmf", "regroup", model_name(model), *given, *named, *form]
        return [shlex.join(regroup)]
    decompose = ["audionmf", "decompose", recording, *_asked(model)]
    file = f"decomposed/{_track(model)}/model.npz"
    lines = [shlex.join([*decompose, *([] if named else form)])]
    if named:
        lines.append(shlex.join(["audionmf", "regroup", file, *named, *form]))
    return lines


def _asked(model: Model) -> list[str]:
    """Return the options of an analysis."""
    way = model.way
    options = []
    for name, recordings in way.examples.items():
        for recording in recordings:
            options += ["--example", f"{name}={_written(recording)}"]
    for name, ranges in way.solo.items():
        for start, end in ranges:
            options += ["--solo", f"{name}={start:.6g}-{end:.6g}"]
    if way.free:
        options += ["--free", str(way.free)]
    for name, value in way.settings.items():
        option = name.replace("_", "-")
        options += [f"--no-{option}"] if value is False else [f"--{option}", str(value)]
    return options


def _as_found(model: Model, groups: list[Group]) -> bool:
    """Tell whether every component is still in the source that it was found for."""
    labels = model.parts.templates.labels
    owned = {k: g.name for g in groups for k in g.components}
    return owned == {k: name for k, name in enumerate(labels) if name != REST}


def _written(recording: Recording) -> str:
    """Return a recording as it stands on a command line; a leading dash would be an option."""
    name = recording.given or recording.name
    return f"./{name}" if name.startswith("-") else name


def _track(model: Model) -> str:
    return safe_name(Path(model.recording.name).stem)
