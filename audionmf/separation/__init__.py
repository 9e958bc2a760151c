"""One recording: separated or decomposed, in memory or into files.

A file imports only from those that are named before it:

- `separating`: a recording becomes stems
- `reporting`: a page to hear and see what was found
- `one_file`: one recording written to one file
- `remixing`: a recording with a gain for each of its sources
- `denoising`: a recording with a steady noise made softer
- `mosaicking`: a recording retold with the grains of others
- `morphing`: the sound between two recordings
- `decomposing`: a recording becomes a model and files of its components
- `noting`: a recording becomes notes
- `kits`: the strokes of a loop as samples
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from audionmf.rendering.decomposition import Decomposition as Model
from audionmf.rendering.stems import default_paths
from audionmf.separation.separating import (
    Decomposition,
    Separation,
    render,
    render_to_files,
    separate,
)

if TYPE_CHECKING:
    from audionmf.separation.decomposing import (
        DecomposedFiles,
        RegroupedFiles,
        analyse,
        decompose,
        decompose_file,
        plan_decomposition,
        regroup_file,
    )
    from audionmf.separation.denoising import denoise, denoise_file
    from audionmf.separation.kits import Kit, KitFiles, oneshots, oneshots_file
    from audionmf.separation.morphing import morph, morph_file
    from audionmf.separation.mosaicking import mosaic, mosaic_file
    from audionmf.separation.noting import NotedFiles, note_file, transcribe
    from audionmf.separation.one_file import WrittenFile
    from audionmf.separation.remixing import remix, remix_file

_HOME = {
    "DecomposedFiles": "decomposing",
    "Kit": "kits",
    "KitFiles": "kits",
    "NotedFiles": "noting",
    "RegroupedFiles": "decomposing",
    "WrittenFile": "one_file",
    "analyse": "decomposing",
    "decompose": "decomposing",
    "decompose_file": "decomposing",
    "denoise": "denoising",
    "denoise_file": "denoising",
    "morph": "morphing",
    "morph_file": "morphing",
    "mosaic": "mosaicking",
    "mosaic_file": "mosaicking",
    "note_file": "noting",
    "oneshots": "kits",
    "oneshots_file": "kits",
    "plan_decomposition": "decomposing",
    "regroup_file": "decomposing",
    "remix": "remixing",
    "remix_file": "remixing",
    "transcribe": "noting",
}
"""What is loaded when it is first used: a separation needs none of them."""


def _show(found: Model) -> str:
    """Show a decomposition in a notebook; pictures are loaded when they are asked for."""
    from audionmf.show.display import decomposition_html

    return decomposition_html(found)


Model.viewer = _show

__all__ = [
    "DecomposedFiles",
    "Decomposition",
    "Kit",
    "KitFiles",
    "NotedFiles",
    "RegroupedFiles",
    "Separation",
    "WrittenFile",
    "analyse",
    "decompose",
    "decompose_file",
    "default_paths",
    "denoise",
    "denoise_file",
    "morph",
    "morph_file",
    "mosaic",
    "mosaic_file",
    "note_file",
    "oneshots",
    "oneshots_file",
    "plan_decomposition",
    "regroup_file",
    "remix",
    "remix_file",
    "render",
    "render_to_files",
    "separate",
    "transcribe",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"audionmf.separation.{_HOME[name]}"), name)
    raise AttributeError(f"module 'audionmf.separation' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
