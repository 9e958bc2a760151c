"""What examples lack: notes that a mixture has of a source, and its example has not.

Copies of an example at other pitches stand in for such notes, and say so by how much they play.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from audionmf.sources.templates import Templates
from audionmf.spectra.timbre import key_name, pitches

__all__ = ["coverage"]

_TOLD = 0.2
"""Copies that play less than this share of a source are nothing to speak of."""
_A_NOTE = 0.04
_HARDLY = 0.5
_PLACES = 6


def coverage(
    templates: Templates,
    activations: NDArray[np.float32],
    copied: NDArray[np.bool_],
    given: str = "the example holds",
) -> tuple[str, ...]:
    """Say of each source how much of it the example holds, and which notes only copies play.

    Parameters
    ----------
    templates : Templates
        The frames of the examples and the copies, labelled by source.
    activations : ndarray, shape (n_components, n_frames)
        H.
    copied : ndarray, shape (n_components,)
        Which of them are copies at other pitches.
    given : str, default "the example holds"
        What the frames are from, in the words of the line.

    Returns
    -------
    tuple of str
        A line for each source of which copies play at least a fifth. A note is named where copies
        play at least twice as much of it as the frames themselves, and a twenty-fifth of the source.
    """
    played = templates.templates.sum(axis=0, dtype=np.float64) * activations.sum(
        axis=1, dtype=np.float64
    )
    labels = np.array(templates.labels)
    lines = []
    for name in templates.names:
        mine = labels == name
        total = played[mine].sum()
        by_copies = played[mine & copied].sum()
        if total > 0 and by_copies >= _TOLD * total:
            notes = _lacking(templates, np.flatnonzero(mine), played / total, copied)
            lines.append(_told(name, 1 - by_copies / total, notes, given))
    return tuple(lines)


def _lacking(
    templates: Templates,
    members: NDArray[np.int64],
    shares: NDArray[np.float64],
    copied: NDArray[np.bool_],
) -> list[int]:
    """Return the notes, in semitones, that copies play and frames hardly do; rising."""
    stft, rate = templates.stft, templates.sample_rate
    heard = members[shares[members] > 0]
    spectra = stft.on_line(templates.templates[:, heard])
    sums: dict[int, NDArray[np.float64]] = {}
    for k, pitch in zip(heard, pitches(spectra, rate / stft.n_fft), strict=True):
        if pitch is not None:
            own_and_copied = sums.setdefault(_key(pitch.hertz), np.zeros(2))
            own_and_copied[int(copied[k])] += shares[k]
    return sorted(
        key for key, (own, copy) in sums.items() if copy >= _A_NOTE and own <= _HARDLY * copy
    )


def _told(name: str, own: float, notes: Sequence[int], given: str) -> str:
    line = f"{name!r}: {given} {own:.0%} of what it plays here, copies at other pitches the rest"
    return f"{line}; lacking: {_in_words(notes)}" if notes else line


def _key(hertz: float) -> int:
    return round(float(69 + 12 * np.log2(hertz / 440)))


def _in_words(keys: Sequence[int]) -> str:
    """Return notes as ranges of neighbours: ``F4 to A4, C5``; the lowest ones if they are many."""
    runs: list[list[int]] = []
    for key in keys:
        if runs and key == runs[-1][-1] + 1:
            runs[-1].append(key)
        else:
            runs.append([key])
    names = [[key_name(key) for key in run] for run in runs]
    words = [f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(run) for run in names]
    return ", ".join(words[:_PLACES]) + (" and others" if len(words) > _PLACES else "")
