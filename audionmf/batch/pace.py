"""How far a separation is: its stages weighted by what they cost, and the time left, which never rises.

Rendering costs in proportion to the recording, an analysis hardly more for hours than for minutes:
on 2 cores half of the time is rendering at four minutes, most of it at ten. Within the analysis each
stage has the place that it was measured to have, in separations of 60 s in stereo by seven ways. On
those the share told is off by a sixth at most where sources are known by examples, blind or led by
a voice, by a third with a score or one example, by two fifths harmonic and percussive. Hearing notes
and drawing a page come after that, and may take longer than the separation itself.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["TimeLeft", "share_done", "work_after"]

_EVEN_SECONDS = 240.0
"""Length of a recording whose rendering costs as much as its analysis."""

_PLACES = {
    "align": (0.0, 0.3),
    "read": (0.03, 0.08),
    "factorise": (0.1, 0.45),
    "fit the score": (0.3, 0.75),
    "try patterns": (0.1, 0.1),
    "fit all sources": (0.1, 0.75),
    "adapt": (0.12, 0.4),
    "vote": (0.4, 0.48),
    "compare": (0.5, 0.8),
    "notes": (0.8, 0.92),
    "group": (0.45, 0.5),
    "activate": (0.6, 0.9),
    "place in stereo": (0.5, 1.0),
}
"""Where in an analysis each stage begins and ends."""

_WHOLE = frozenset({"morph", "mosaic"})
"""Stages that are all of the work of a command."""

_NOTES_SECONDS = 15.0
"""Length of a recording whose notes take as long to hear as its analysis."""

_PAGE = 0.7
"""What a page costs, as a multiple of an analysis."""

_HEARD_SECONDS = 60.0
"""A page hears the notes of stems that are two minutes long together: at least two stems."""

_LEAST_SHARE = 0.1


def work_after(seconds: float, *, notes: bool, page: bool) -> dict[str, float]:
    """Return what comes after rendering: stages in their order, each in multiples of an analysis.

    Parameters
    ----------
    seconds : float
        Length of the recording.
    notes : bool
        Whether notes are written.
    page : bool
        Whether a page is written; it hears the notes of short recordings too.
    """
    heard = notes or (page and seconds <= _HEARD_SECONDS)
    return {
        **({"notes": seconds / _NOTES_SECONDS} if heard else {}),
        **({"page": _PAGE} if page else {}),
    }


def share_done(
    stage: str, done: float, seconds: float = 60.0, after: Mapping[str, float] | None = None
) -> float:
    """Return the share of a separation that is done.

    Parameters
    ----------
    stage : str
        The stage that was heard of.
    done : float
        Share of it that is done, 0 to 1.
    seconds : float, default 60
        Length of the recording.
    after : mapping of str to float, optional
        What comes after rendering, as `work_after` gives it. Default: nothing.

    Returns
    -------
    float
        0 to 1; 0 for a stage whose place is not known.
    """
    if stage in _WHOLE:
        return done
    costs = {"render": seconds / _EVEN_SECONDS, **(after or {})}
    analysis = 1 / (1 + sum(costs.values()))
    passed = 1.0
    for name, cost in costs.items():
        if stage == name:
            return min(1.0, analysis * (passed + cost * done))
        passed += cost
    if stage.startswith("read "):  # an example
        return 0.03 * analysis * done
    begin, end = _PLACES.get(stage, (0.0, 0.0))
    return analysis * (begin + (end - begin) * done)


class TimeLeft:
    """Reckons the time left from the share done and the time it took; what it says never rises."""

    def __init__(self) -> None:
        self._said: float | None = None

    def after(self, elapsed: float, worked: float, open_: float) -> float | None:
        """Return the seconds left; None as long as a tenth of the work is not done.

        Parameters
        ----------
        elapsed : float
            Seconds since the begin.
        worked, open_ : float
            How much was worked on in that time, and how much is left, in any unit.
        """
        if worked <= 0 or (open_ > 0 and worked < _LEAST_SHARE * (worked + open_)):
            return None
        left = elapsed * open_ / worked
        self._said = left if self._said is None else min(self._said, left)
        return self._said
