"""What leaves the studio: stems, a bank, a model, and the command line and the script for them."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import shlex
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from audionmf.errors import ParameterError
from audionmf.io.files import safe_name
from audionmf.notes.transcription import export_names, notes_of, write_exports
from audionmf.rendering.decomposition import Decomposition
from audionmf.rendering.stems import StemFormat, stem_paths, write_stems
from audionmf.separation.separating import render_to_files
from audionmf.sources.known import REST
from audionmf.sources.templates import Templates
from audionmf.spectra.frames import Progress
from audionmf.studio.models import Model
from audionmf.studio.project import write_project
from audionmf.studio.sources import Group
from audionmf.studio.ways import script_arguments, shell_options, written

__all__ = [
    "FORMATS",
    "Delivery",
    "bank",
    "commands",
    "discard",
    "grouped",
    "model_file",
    "note_file",
    "project_file",
    "rolls",
    "saved_model",
    "script",
    "stem_files",
    "stems",
    "track",
]

FORMATS = ("wav", "flac")
_STEMS = "stems-"


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

    Without sources every part is one. Parts that are whole sources stay what they are, with other
    names, as long as each source has one of them.
    """
    wanted = model.members({g.name: g.components for g in groups})
    if model.stems is None:
        named = {name: parts for name, parts in wanted.items() if name != REST}
        return model.parts.regroup(named) if named else model.parts
    names = {parts[0]: name for name, parts in wanted.items()}
    if all(len(parts) == 1 for parts in wanted.values()):
        return _renamed(model.parts, [names[k] for k in range(len(names))])
    own = list(model.parts.grouping.values())
    joined = {
        name: tuple(sorted(k for part in parts if part < len(own) for k in own[part]))
        for name, parts in wanted.items()
        if name != REST
    }
    return model.parts.regroup(joined)


def _renamed(found: Decomposition, names: list[str]) -> Decomposition:
    """Return what was found, with these names for its sources, the residual last."""
    owners = dict(zip(found.source_names, names, strict=True))
    templates = found.templates
    labels = tuple(owners.get(label, label) for label in templates.labels)
    score = found.score
    if score is not None:
        parts = [dataclasses.replace(p, name=owners.get(p.name, p.name)) for p in score.parts]
        score = dataclasses.replace(score, parts=tuple(parts))
    return dataclasses.replace(
        found,
        templates=dataclasses.replace(templates, labels=labels),
        grouping={owners[name]: group for name, group in found.grouping.items()},
        absent={owners.get(name, name): runs for name, runs in found.absent.items()},
        residual=owners.get(found.residual, ""),
        score=score,
    )


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
    called = track(model)
    paths = _stem_files(model, groups, folder, extension, progress)
    try:
        target = folder / f"{secrets.token_hex(8)}.zip"
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
            for path in paths:
                archive.write(path, f"{called}/{path.name}")
    finally:
        discard(paths)
    return Delivery(target, f"{called}-stems.zip")


def stem_files(
    model: Model,
    groups: tuple[Group, ...],
    folder: Path,
    extension: str,
    progress: Progress,
) -> list[Delivery]:
    """Render the stems as files of their own; errors as of `stems`."""
    paths = _stem_files(model, groups, folder, extension, progress)
    return [Delivery(path, path.name) for path in paths]


def discard(paths: Iterable[Path]) -> None:
    """Delete files that were delivered, and the folder that they were in, if it was theirs."""
    for path in paths:
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # others lie there still, as in the folder of the studio
            if path.parent.name.startswith(_STEMS):
                path.parent.rmdir()


def _stem_files(
    model: Model, groups: tuple[Group, ...], folder: Path, extension: str, progress: Progress
) -> list[Path]:
    if extension not in FORMATS:
        raise ParameterError(f"stems are exported as {' or '.join(FORMATS)}")
    home = folder / f"{_STEMS}{secrets.token_hex(8)}"
    names = list(model.members({g.name: g.components for g in groups}))
    paths = stem_paths(home, track(model), names, "{source}.{ext}", extension)
    home.mkdir(mode=0o700)
    try:
        _write(model, groups, paths, progress)
    except BaseException:
        discard(paths.values())
        raise
    return list(paths.values())


def _write(
    model: Model, groups: tuple[Group, ...], paths: dict[str, Path], progress: Progress | None
) -> None:
    """Write the stems of the sources of a page; of whole sources, the sums of those that there are."""
    audio = model.recording.audio
    if model.stems is None:
        render_to_files(audio, grouped(model, groups), paths, progress=progress)
        return
    wanted = model.members({g.name: g.components for g in groups})
    whole = model.stems
    whole.render(progress)
    form = StemFormat(
        audio.sample_rate, audio.n_channels, audio.subtype, audio.n_samples, audio.tags
    )
    write_stems(lambda: whole.blocks(list(wanted.values())), {n: paths[n] for n in wanted}, form)


def bank(model: Model, groups: tuple[Group, ...], folder: Path) -> Delivery:
    """Save the templates of all sources as a bank for next time; those in no source stay out.

    Without sources every component is kept under its own name.
    """
    templates = model.parts.templates
    owner = {k: name for name, ks in grouped(model, groups).grouping.items() for k in ks}
    named = [k for k in range(templates.n_components) if owner[k] != REST]
    kept = named or range(templates.n_components)
    labels = [owner[k] for k in range(templates.n_components)]
    made = Templates(
        templates.templates[:, list(kept)],
        tuple(labels[k] for k in kept),
        templates.stft,
        templates.sample_rate,
    )
    path = made.save(folder / f"{secrets.token_hex(8)}.npz")
    return Delivery(path, f"{track(model)}-templates.npz")


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


def project_file(model: Model, arranged: Mapping[str, Any], folder: Path) -> Delivery:
    """Save all that was made of a recording, to go on with it another day; see `write_project`."""
    path = folder / f"{secrets.token_hex(8)}.audionmf"
    write_project(path, model.recording, model.way, arranged, saved_model(model, folder))
    return Delivery(path, f"{track(model)}.audionmf")


def saved_model(model: Model, folder: Path) -> Path:
    """Return a file of the parts of a model, which is written once."""
    path = folder / f"{model.id}.model"
    if not path.exists():
        model.parts.save(path)
    return path


def rolls(
    model: Model, groups: tuple[Group, ...], folder: Path, progress: Progress
) -> dict[str, list[list[Any]]]:
    """Return the notes of each source, heard from its stem, as a page draws them.

    Each is onset and offset in seconds, key, velocity, whether it is a drum, and its name.
    """
    decomposition = grouped(model, groups)
    with _rendered(model, groups, folder, progress) as paths:
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
    with _rendered(model, groups, folder) as paths:
        write_exports({kind: path}, audio, decomposition, paths)
    return Delivery(path, f"{track(model)}-{name}")


@contextlib.contextmanager
def _rendered(
    model: Model, groups: tuple[Group, ...], folder: Path, progress: Progress | None = None
) -> Iterator[dict[str, Path]]:
    """Give the files of the stems, which are gone afterwards."""
    with tempfile.TemporaryDirectory(dir=folder) as home:
        names = model.members({g.name: g.components for g in groups})
        paths = {name: Path(home, f"{i}.wav") for i, name in enumerate(names)}
        _write(model, groups, paths, progress)
        yield paths


def model_name(model: Model) -> str:
    """Return what the model file is called when it is saved."""
    return f"{track(model)}-model.npz"


def commands(model: Model, groups: tuple[Group, ...], extension: str) -> list[str]:
    """Return the command lines that make the same stems, quoted for the shell.

    Where marks or an early stop had a part in the model, they start from the exported model file;
    otherwise from the recording. Empty where no command line can: `script` can.
    """
    filled = [group for group in groups if group.components]
    form = [] if extension == "wav" else ["--format", extension]
    recording, asked = written(model.recording), shell_options(model.way)
    if model.stems is not None:
        return _stem_commands(
            model, groups, [*(asked or []), *form], extension, known=asked is not None
        )
    if asked is not None and model.way.named and not model.way.by_hand and _as_found(model, filled):
        return [shlex.join(["audionmf", "separate", recording, *asked, *form])]
    by_hand = model.way.named or model.way.by_hand
    grouping = grouped(model, groups).grouping if filled or by_hand else {}
    members = [f"{n}={','.join(map(str, ks))}" for n, ks in grouping.items() if n != REST]
    named = [text for member in members for text in ("--group", member)]
    if by_hand:
        given = [] if model.recording.given else ["--mixture", recording]
        regroup = ["audionmf", "regroup", model_name(model), *given, *named, *form]
        return [shlex.join(regroup)]
    decompose = ["audionmf", "decompose", recording, *(asked or [])]
    file = f"decomposed/{track(model)}/model.npz"
    lines = [shlex.join([*decompose, *([] if named else form)])]
    if named:
        lines.append(shlex.join(["audionmf", "regroup", file, *named, *form]))
    return lines


def _stem_commands(
    model: Model, groups: tuple[Group, ...], options: list[str], extension: str, *, known: bool
) -> list[str]:
    """Return the command line of whole sources, and how their files get the names of the page."""
    wanted = model.members({g.name: g.components for g in groups})
    if not known or model.way.by_hand or any(len(parts) > 1 for parts in wanted.values()):
        return []
    separate = ["audionmf", "separate", written(model.recording), *options]
    folder = f"separated/{track(model)}"
    moves = [
        [f"{folder}/{safe_name(found)}.{extension}", f"{folder}/{safe_name(name)}.{extension}"]
        for name, (k,) in wanted.items()
        if (found := model.names[k]) != name
    ]
    if {move[1] for move in moves} & {f"{folder}/{safe_name(n)}.{extension}" for n in model.names}:
        return []  # two names were exchanged
    return [shlex.join(separate), *(shlex.join(["mv", "--", *move]) for move in moves)]


def script(model: Model, groups: tuple[Group, ...], extension: str) -> str:
    """Return a Python script that makes the same stems, byte for byte.

    Where marks or an early stop had a part in the model, it starts from the exported model file.
    """
    wanted = model.members({g.name: g.components for g in groups})
    recording, form = (
        written(model.recording),
        "" if extension == "wav" else f", extension={extension!r}",
    )
    arguments = ", ".join([repr(recording), *script_arguments(model.way)])
    lines = ["import audionmf"]
    if "Known(" in arguments:
        lines.append("from audionmf import Known, Templates")
    lines.append("")
    if model.stems is None:
        lines += _component_lines(model, groups, recording, arguments)
    elif model.way.by_hand:
        lines.append(f"found = audionmf.Decomposition.load({model_name(model)!r})")
        lines.append(f"stems = audionmf.render({recording!r}, found)")
    else:
        lines.append(f"stems = audionmf.separate({arguments})")
        if list(wanted) != model.names or any(len(parts) > 1 for parts in wanted.values()):
            sums = {
                name: " + ".join(f"found[{model.names[k]!r}]" for k in parts)
                for name, parts in wanted.items()
            }
            lines.insert(0, "import dataclasses\n")
            lines.append("found = stems.sources")
            lines.append("sources = {")
            lines += [f"    {name!r}: {text}," for name, text in sums.items()]
            lines += ["}", "stems = dataclasses.replace(stems, sources=sources)"]
    folder = f"separated/{track(model)}"
    return "\n".join([*lines, f"stems.save({folder!r}{form})", ""])


def _component_lines(
    model: Model, groups: tuple[Group, ...], recording: str, arguments: str
) -> list[str]:
    """Return the lines of a script that find components, group them and render them."""
    if model.way.by_hand:
        return [
            f"found = audionmf.Decomposition.load({model_name(model)!r})",
            f"stems = audionmf.render({recording!r}, found)",
        ]
    wanted = {g.name: g.components for g in groups if g.components}
    if model.way.named and _as_found(model, [g for g in groups if g.components]):
        return [f"stems = audionmf.separate({arguments})"]
    call = "analyse" if model.way.named else "decompose"
    lines = [f"found = audionmf.{call}({arguments})" + ".activated()" * model.way.named]
    named = {name: list(ks) for name, ks in wanted.items() if name != REST}
    if named:
        lines.append(f"found = found.regroup({named!r})")
    return [*lines, f"stems = audionmf.render({recording!r}, found)"]


def _as_found(model: Model, groups: list[Group]) -> bool:
    """Tell whether every component is still in the source that it was found for."""
    labels = model.parts.templates.labels
    owned = {k: g.name for g in groups for k in g.components}
    return owned == {k: name for k, name in enumerate(labels) if name != REST}


def track(model: Model) -> str:
    """Return what files of a recording are called, without what follows the last dot."""
    return safe_name(Path(model.recording.name).stem)
