"""A manifest in words: what stems were made from, how, and whether they are still there unchanged."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from pathlib import Path
from typing import Any

from audionmf.batch.manifest import MANIFEST_NAME, Manifest, output_folder
from audionmf.batch.outputs import MadeFiles, manifest_kind
from audionmf.batch.regrouped import Regrouping
from audionmf.errors import ParameterError
from audionmf.io.files import StrPath
from audionmf.settings import Settings
from audionmf.sources.known import Told

__all__ = ["describe_manifest", "is_manifest_name", "manifest_text"]

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
        f"{d['path']!r} is a manifest: {len(d['outputs'])} files made {way}.",
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
    again = "audionmf regroup MODEL --group NAME=0,3,7" if regrouped else "audionmf rerun FILE"
    return "\n".join([*lines, f"Make them again:  {again}"])


def _separation_lines(d: dict[str, Any]) -> list[str]:
    lines = []
    if d["start"] or d["duration"] is not None:
        length = "to the end" if d["duration"] is None else f"for {d['duration']:g} s"
        lines.append(f"  part      from {d['start']:g} s, {length}")
    lines.append(f"  sources   {_values(d['known']) or 'found without being told'}")
    lines.append(f"  options   {_values(d['settings']) or 'all at their defaults'}")
    return lines


def _regrouping_lines(d: dict[str, Any]) -> list[str]:
    hints = {
        name: " ".join(",".join(map(str, members)) for members in d[name])
        for name in ("same", "apart")
        if d[name]
    }
    lines = [f"  model     {d['model']!r}", f"  groups    {_values(d['groups'])}"]
    return [*lines, *([f"  hints     {_values(hints)}"] if hints else [])]


def _values(values: dict[str, Any]) -> str:
    text = ", ".join(f"{name} {value}" for name, value in values.items())
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}… (all of it with --json)"
