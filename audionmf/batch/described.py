"""A manifest in words: what stems were made from, how, and whether they are still there unchanged."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from audionmf.batch.manifest import MANIFEST_NAME, Manifest, output_folder
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
        Plain values that go into JSON; ``kind`` is "manifest". The ``state`` of each output is
        "unchanged", "changed" or "gone", or "moved away" where the manifest does not lie where it was
        written.

    Raises
    ------
    FileNotFoundError, AudioReadError, TemplateError
        If it cannot be read or is no manifest.
    """
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
    outputs = {
        name: {"file": file, "n_bytes": output.n_bytes, "state": _state(root, file, output)}
        for name, (file, output) in {**then.stems, **then.notes}.items()
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
        "outputs": outputs,
        "gain": then.gain,
        "versions": dict(then.recipe.versions),
    }


def _state(root: Path | None, file: str, output: Any) -> str:
    if root is None:
        return "moved away"
    if not os.path.lexists(root / file):
        return "gone"
    return "unchanged" if output.fits(root / file) else "changed"


def manifest_text(d: dict[str, Any]) -> str:
    """Return a description of `describe_manifest` as lines of plain words."""
    lines = [
        f"{d['path']!r} is a manifest: {len(d['outputs'])} files made by a separation.",
        f"  mixture   {d['mixture']!r}",
    ]
    if d["start"] or d["duration"] is not None:
        length = "to the end" if d["duration"] is None else f"for {d['duration']:g} s"
        lines.append(f"  part      from {d['start']:g} s, {length}")
    lines.append(f"  sources   {_values(d['known']) or 'found without being told'}")
    lines.append(f"  options   {_values(d['settings']) or 'all at their defaults'}")
    lines += [
        f"  {name!r}: {output['file']!r}, {output['n_bytes']} bytes, {output['state']}"
        for name, output in d["outputs"].items()
    ]
    if d["gain"] != 1:
        lines.append(f"  all stems were scaled by {d['gain']:.6f}")
    lines.append(f"  made with {_values(d['versions'])}")
    return "\n".join([*lines, "Make them again:  audionmf rerun FILE"])


def _values(values: dict[str, Any]) -> str:
    text = ", ".join(f"{name} {value}" for name, value in values.items())
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}… (all of it with --json)"
