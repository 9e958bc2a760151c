"""What a source does: a note that it plays, a stretch in which it sounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from audionmf.notes.drums import drum_name
from audionmf.spectra.timbre import key_name

__all__ = ["Activity", "Heard", "SourceNote", "level_of", "velocity_of"]

_LOUDEST = 127


@dataclass(frozen=True)
class SourceNote:
    """A note that a source plays.

    Parameters
    ----------
    source : str
        The source.
    component : int
        The component that plays it, where a source is one or the score says so; otherwise -1.
    pitch : int
        MIDI key, 0 to 127; of a drum that of General MIDI.
    onset, offset : float
        In seconds from the start of the recording, 0 or more.
    velocity : int
        1 to 127: 127 at the loudest note of all sources, half of that 12 dB below.
    level_db : float
        How loud it is where it is loudest, over 40 ms, relative to the loudest note of all sources;
        0 or less.
    drum : bool, default False
        Whether the key stands for a drum.
    """

    source: str
    component: int
    pitch: int
    onset: float
    offset: float
    velocity: int
    level_db: float
    drum: bool = False

    @property
    def name(self) -> str:
        """The pitch in letters, or which drum."""
        return drum_name(self.pitch) if self.drum else key_name(self.pitch)


@dataclass(frozen=True)
class Activity:
    """A stretch in which a source sounds.

    Parameters
    ----------
    source : str
        The source.
    begin, end : float
        In seconds from the start of the recording, 0 or more.
    low, high : float
        In Hz: 90 % of the energy lies between them, 5 % below and 5 % above.
    level_db : float
        The mean power in dB; 0 for a sine at full scale.
    """

    source: str
    begin: float
    end: float
    low: float
    high: float
    level_db: float


class Heard(NamedTuple):
    """A note or a stroke as one stem tells it.

    Parameters
    ----------
    onset, offset : float
        In seconds.
    key : int
        MIDI key.
    level_db : float
        How loud it is where it is loudest, over 40 ms; 0 for a sine at full scale.
    """

    onset: float
    offset: float
    key: int
    level_db: float


def velocity_of(level_db: float) -> int:
    """Return the velocity, 1 to 127, of a note so many dB (0 or less) below the loudest."""
    return int(min(_LOUDEST, max(1, round(_LOUDEST * 10 ** (level_db / 40)))))


def level_of(velocity: int) -> float:
    """Return how many dB, 0 or less, a velocity of 1 to 127 is below the loudest."""
    return 40 * float(np.log10(velocity / _LOUDEST))
