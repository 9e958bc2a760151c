"""What earlier runs of this package left in a folder: stems are no recordings to take apart again."""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path
from typing import Any

from audionmf.errors import AudioNMFError
from audionmf.io.control import read_small
from audionmf.io.files import StrPath

__all__ = ["MANIFESTS", "MANIFEST_NAME", "MODEL_NAME", "components_in", "stems_in"]

MANIFEST_NAME = "manifest.json"
"""What manifests are called, or what their names end in."""

MANIFESTS = {"separation": "audionmf manifest", "regrouping": "audionmf regrouping"}
"""What stands in a manifest, by what it tells of."""

MODEL_NAME = "model.npz"
"""What models are called that lie beside their components."""

_COMPONENT = re.compile(r"component\d{2,}\.\w+")
_MAX_BYTES = 1 << 23


def stems_in(folder: str) -> set[str]:
    """Return the stems that manifests in a folder tell of, and components beside a model.

    Returns
    -------
    set of str
        Real paths; a manifest names its stems from an output folder above it, so that some of them
        may not be there.
    """
    made: set[str] = set()
    with contextlib.suppress(OSError):
        for path in Path(folder).glob(f"*{MANIFEST_NAME}"):
            files = _named(path)
            depth = max((len(Path(file).parts) for file in files), default=1)
            roots = [path.parent, *path.parent.parents][:depth]  # one of them is the output's
            made |= {os.path.realpath(root / file) for root in roots for file in files}
        if Path(folder, MODEL_NAME).is_file():
            made |= {os.path.realpath(path) for path in components_in(folder)}
    return made


def components_in(folder: StrPath) -> list[Path]:
    """Return the files that `audionmf decompose` calls its components, sorted."""
    return sorted(path for path in Path(folder).iterdir() if _COMPONENT.fullmatch(path.name))


def _named(manifest: Path) -> list[str]:
    """Return the files that a manifest names; nothing of what is none."""
    with contextlib.suppress(
        AudioNMFError, OSError, AttributeError, KeyError, RecursionError, TypeError, ValueError
    ):
        values: Any = json.loads(read_small(manifest, _MAX_BYTES) or b"")
        if values["format"] in MANIFESTS.values():
            return [str(one["file"]) for one in values["stems"].values()]
    return []
