"""Drum kits: folders of samples, a subfolder or a file for each source; and the kit that is shipped.

The shipped kit are one-shots of General MIDI drums (FluidR3, MIT licence; see ``kit/LICENSE``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from audionmf.errors import AudioReadError, ParameterError
from audionmf.io.files import one_form
from audionmf.io.foreign import audio_in, is_folder

__all__ = ["SHIPPED_KIT", "has_subfolders", "is_bank", "kit_files", "samples_of_key"]

SHIPPED_KIT = Path(__file__).with_name("kit")
"""The folder of the kit that is shipped: kick, snare, hats, toms, cymbals."""

_KEYS = {
    "kick": (35, 36),
    "snare": (38, 40),
    "hats": (42, 44, 46),
    "toms": (41, 43, 45, 47, 48, 50),
    "cymbals": (49, 51, 52, 53, 55, 57, 59),
}
"""The drums of General MIDI that each of its sources stands for."""


def kit_files(kit: Any) -> dict[str, list[str]]:
    """Return the samples of each source of a kit.

    Parameters
    ----------
    kit : True, path or mapping of str to sequence of paths
        True: the kit that is shipped. A folder: each subfolder with audio files in it is a source,
        and each audio file that lies in no subfolder; they are called like it. Or the samples
        themselves.

    Returns
    -------
    dict of str to list of str
        In the order of their names.

    Raises
    ------
    ParameterError
        If it is no folder.
    AudioReadError
        If it cannot be read, or there is no audio file in it.
    """
    if isinstance(kit, Mapping):
        return {one_form(name): [os.fsdecode(path) for path in kit[name]] for name in kit}
    folder = Path(SHIPPED_KIT if kit is True else os.fsdecode(kit))
    if not folder.exists():
        raise FileNotFoundError(f"there is no kit {str(folder)!r}")
    if not is_folder(str(folder)):
        raise ParameterError(
            f"a kit is a folder of samples or a bank (.npz), not {str(folder)!r}; a recording to take "
            "apart is named before --kit"
        )
    found: dict[str, list[str]] = {}
    for file in map(Path, audio_in(str(folder))):
        inside = file.relative_to(folder).parts
        name = one_form(inside[0] if len(inside) > 1 else file.stem)
        found.setdefault(name, []).append(str(file))
    if not found:
        raise AudioReadError(0, f"{str(folder)!r} is a folder without audio files")
    return dict(sorted(found.items())) if kit is not True else _in_usual_order(found)


def samples_of_key(key: int) -> list[str]:
    """Return the samples of the shipped kit for a drum of General MIDI.

    Parameters
    ----------
    key : int
        The MIDI key.

    Returns
    -------
    list of str
        Those of this key, else those of the drums that sound like it; none for drums that the kit
        lacks, such as a cowbell.
    """
    name = next((name for name, keys in _KEYS.items() if key in keys), "")
    files = kit_files(True).get(name, [])
    return [file for file in files if file.endswith(f"-{key}.ogg")] or files


def has_subfolders(folder: str) -> bool:
    """Tell whether there are audio files in subfolders of a folder."""
    return any(Path(file).parent != Path(folder) for file in audio_in(folder))


def is_bank(kit: Any) -> bool:
    """Tell whether a kit is given as a bank file."""
    return isinstance(kit, str | bytes | os.PathLike) and os.fsdecode(kit).lower().endswith(".npz")


def _in_usual_order(found: dict[str, list[str]]) -> dict[str, list[str]]:
    usual = ("kick", "snare", "hats", "toms", "cymbals")
    return {name: found[name] for name in usual}
