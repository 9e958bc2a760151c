"""A manifest in words: what stems were made from, how, and whether they are still there unchanged."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from audionmf.batch.manifest import MANIFEST_NAME, Manifest, manifest_in, output_folder
from audionmf.batch.outputs import MadeFiles, manifest_kind
from audionmf.batch.regrouped import Regrouping
from audionmf.errors import ParameterError
from audionmf.io.files import StrPath, counted
from audionmf.io.foreign import is_folder
from audionmf.settings import Settings
from audionmf.show import info
from audionmf.sources.known import Told

__all__ = ["describe", "describe_manifest", "is_manifest_name", "manifest_text"]

_MOST_TEXT = 300


def is_manifest_name(path: StrPath) -> bool:
    """Tell by its name whether a file is a manifest."""
    return Path(os.fsdecode(path)).name.endswith(MANIFEST_NAME)


def describe_manifest(path: StrPath) -> dict[str, Any]:
    """Return what a manifest tells.

    Parameters
    ----------
    path : path
        A manifest beside stems.

    Returns
    -------
    dict
        Plain values that go into JSON; ``kind`` is "manifest", or "regrouping" where components were
        regrouped. The ``state`` of each output is
        "unchanged", "changed" or "gone", or "moved away" where the manifest does not lie where it was
        written.

    Raises
    ------
    FileNotFoundError, AudioReadError, TemplateError
        If it cannot be read or is no manifest.
    """
    if manifest_kind(path) == "regrouping":
        return _describe_regrouping(path)
    then = Manifest.load(path)
    try:
        root: Path | None = output_folder(Path(path), then)
    except ParameterError:
        root = None
    job = then.recipe.to_job("")
    told = {field.name: field.default for field in dataclasses.fields(Told)}
    known = {
        name: value
        for name, value in then.recipe.job.items()
        if name in told and value and value != told[name]
    }
    changed = {
        field.name: getattr(job.settings, field.name)
        for field in dataclasses.fields(Settings)
        if getattr(job.settings, field.name) != field.default
    }
    return {
        "kind": "manifest",
        "path": os.fsdecode(path),
        "mixture": job.input,
        "start": job.start,
        "duration": job.duration,
        "only": job.only,
        "known": known,
        "settings": changed,
        "inputs": list(then.recipe.inputs),
        "outputs": _outputs(root, {**then.stems, **then.notes}),
        "gain": then.gain,
        "versions": dict(then.recipe.versions),
    }


def _describe_regrouping(path: StrPath) -> dict[str, Any]:
    made = Regrouping.load(path)
    root: Path | None = None
    with contextlib.suppress(ParameterError):
        root = made.folder(Path(path))
    return {
        "kind": "regrouping",
        "path": os.fsdecode(path),
        "mixture": made.mixture,
        "model": made.model,
        "groups": {name: list(members) for name, members in made.groups.items()},
        "same": [list(members) for members in made.same],
        "apart": [list(members) for members in made.apart],
        "inputs": list(made.inputs),
        "outputs": _outputs(root, {**made.stems, **made.notes}),
        "gain": made.gain,
        "versions": dict(made.versions),
    }


def _outputs(root: Path | None, files: MadeFiles) -> dict[str, Any]:
    return {
        name: {"file": file, "n_bytes": output.n_bytes, "state": _state(root, file, output)}
        for name, (file, output) in files.items()
    }


def _state(root: Path | None, file: str, output: Any) -> str:
    if root is None:
        return "moved away"
    if not os.path.lexists(root / file):
        return "gone"
    return "unchanged" if output.fits(root / file) else "changed"


def manifest_text(d: dict[str, Any]) -> str:
    """Return a description of `describe_manifest` as lines of plain words."""
    regrouped = d["kind"] == "regrouping"
    way = "by regrouping components" if regrouped else "by a separation"
    lines = [
        f"{d['path']!r} is a manifest: {counted(len(d['outputs']), 'file')} made {way}.",
        f"  mixture   {d['mixture']!r}",
    ]
    lines += _regrouping_lines(d) if regrouped else _separation_lines(d)
    lines += [
        f"  {name!r}: {output['file']!r}, {output['n_bytes']} bytes, {output['state']}"
        for name, output in d["outputs"].items()
    ]
    if d["gain"] != 1:
        lines.append(f"  all stems were scaled by {d['gain']:.6f}")
    lines.append(f"  made with {_values(d['versions'])}")
    again = f"audionmf rerun {shlex.quote(d['path'])}"
    if regrouped:
        groups = (f"{name}={','.join(map(str, members))}" for name, members in d["groups"].items())
        again = f"audionmf regroup {shlex.join([d['model'], *_options('--group', groups)])}"
    return "\n".join([*lines, f"Make them again:  {again}"])


def _separation_lines(d: dict[str, Any]) -> list[str]:
    lines = []
    if d["start"] or d["duration"] is not None:
        length = "to the end" if d["duration"] is None else f"for {d['duration']:g} s"
        lines.append(f"  part      from {d['start']:g} s, {length}")
    if not d["known"]:
        lines.append("  sources   found without being told")
    for name, value in d["known"].items():
        shown = "sources" if name == "n_sources" else name.replace("_", " ")
        lines.append(f"  {shown:8s}  {_plain(value)}")
    lines.append(f"  options   {_values(d['settings']) or 'all at their defaults'}")
    return lines


def _regrouping_lines(d: dict[str, Any]) -> list[str]:
    hints = {
        name: " ".join(",".join(map(str, members)) for members in d[name])
        for name in ("same", "apart")
        if d[name]
    }
    lines = [f"  model     {d['model']!r}", f"  groups    {_plain(d['groups'])}"]
    return [*lines, *([f"  hints     {_plain(hints)}"] if hints else [])]


def _values(values: dict[str, Any]) -> str:
    text = ", ".join(f"{name} {_plain(value)}" for name, value in values.items())
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}… (all of it with --json)"


def _options(name: str, values: Iterable[str]) -> list[str]:
    return [word for value in values for word in (name, value)]


def _plain(value: Any) -> str:
    """Return a value as people write it: no brackets, ranges with a dash, names behind a colon."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        text = "; ".join(f"{name}: {_plain(one)}" for name, one in value.items())
    elif isinstance(value, list | tuple):
        spans = [isinstance(one, list | tuple) and len(one) == 2 for one in value]
        text = ", ".join(
            f"{_plain(one[0])}–{_plain(one[1])} s" if span and isinstance(one[0], float | int)
            else _plain(one)
            for one, span in zip(value, spans, strict=True)
        )  # fmt: skip
    else:
        text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}… (all of it with --json)"


def describe(path: StrPath) -> dict[str, Any]:
    """Return what a file is and holds, or what the stems in a folder were made from.

    Parameters
    ----------
    path : path
        An audio file, a template file, a model file, a manifest, or a folder of stems with one.

    Returns
    -------
    dict
        Plain values that go into JSON; ``kind`` is "audio", "templates", "model", "manifest" or
        "regrouping".

    Raises
    ------
    FileNotFoundError, AudioReadError, InvalidAudioError, LimitError
        If it is none of these, and cannot be read as audio; or a folder without a manifest.
    TemplateError
        If it is a template or model file or a manifest, but damaged or of another version.
    ParameterError
        If a folder has several manifests.
    """
    if is_folder(path):
        path = manifest_in(path)
    return describe_manifest(path) if is_manifest_name(path) else info.describe(path)
