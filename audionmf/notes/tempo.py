"""How fast the beats are.

Reference: Ellis, "Beat tracking by dynamic programming", Journal of New Music Research 36(1), 2007.
"""

from __future__ import annotations

import math

import numpy as np

from audionmf.errors import ParameterError
from audionmf.io.audio import Source

__all__ = ["LEAST_BPM", "MOST_BPM", "beats_per_minute", "parse_tempo"]

LEAST_BPM, MOST_BPM = 20.0, 400.0
"""Between these a tempo may be given."""

_HEARD_SECONDS = 120.0
_LEAST_SECONDS = 2.0


def parse_tempo(text: str | float | None) -> str | float | None:
    """Return a tempo as a number, "auto", or None where none is given.

    Raises
    ------
    ParameterError
        If it is neither "auto" nor 20 to 400.
    """
    if text is None or text == "auto":
        return text
    try:
        tempo = float(text)
    except (TypeError, ValueError):
        tempo = math.nan
    if not LEAST_BPM <= tempo <= MOST_BPM:
        raise ParameterError(
            f"the tempo is 'auto' or {LEAST_BPM:.0f} to {MOST_BPM:.0f} beats a minute, not {text!r}"
        )
    return tempo


def beats_per_minute(source: Source) -> float | None:
    """Return how many beats a recording has in a minute, by its first two minutes.

    Parameters
    ----------
    source : Audio or AudioFile
        The recording.

    Returns
    -------
    float or None
        Of the even beats that fit those heard best; None if there are none, or it is shorter
        than 2 s.
    """
    import librosa

    rate, held, count = source.sample_rate, [], 0
    for block in source.blocks():
        held.append(block.mean(axis=0, dtype=np.float32))
        count += held[-1].size
        if count >= _HEARD_SECONDS * rate:
            break
    x = np.concatenate(held)[: round(_HEARD_SECONDS * rate)]
    if len(x) < _LEAST_SECONDS * rate or not x.any():
        return None
    _, beats = librosa.beat.beat_track(y=x, sr=rate, units="time")
    if len(beats) < 3:
        return None
    tempo = 60 / float(np.polyfit(np.arange(len(beats)), beats, 1)[0])
    return tempo if LEAST_BPM <= tempo <= MOST_BPM else None
