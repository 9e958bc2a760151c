"""A page to hear and see what was found of a recording."""

from __future__ import annotations

from pathlib import Path

from audionmf.errors import ParameterError
from audionmf.io.files import StrPath
from audionmf.rendering.decomposition import Decomposition as Model
from audionmf.separation.separating import Decomposition, Separation

__all__ = ["report"]


def report(found: Separation | Model, folder: StrPath | None = None) -> Path:
    """Write stems and a page to hear and see them; what ``--report`` does at the shell.

    Parameters
    ----------
    found : Separation or Decomposition
        What `audionmf.separate`, `audionmf.analyse` or `audionmf.decompose` returned, or
        `audionmf.Decomposition.load` read.
    folder : path, optional
        Where to; default: ``separated/TRACK``.

    Returns
    -------
    pathlib.Path
        The page; it opens from disk, without a network.

    Raises
    ------
    ParameterError
        If it is neither of them.
    OutputError
        If a file cannot be written or would overwrite the mixture.
    """
    if isinstance(found, Separation | Decomposition):
        return found.report(folder)
    if isinstance(found, Model):
        return Decomposition.of_model(found).report(folder)
    raise ParameterError(
        f"a report is of a Separation or a Decomposition, not of {type(found).__name__}; "
        "separate_files(..., report=True) writes one for each file"
    )
