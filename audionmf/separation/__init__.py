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

from audionmf.rendering.decomposition import Decomposition as Model
from audionmf.rendering.stems import default_paths
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
from audionmf.separation.separating import (
    Decomposition,
    Separation,
    render,
    render_to_files,
    separate,
)


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
