"""A number of sources that takes minutes: told from the first seconds of the work itself.

What a source costs depends on the machine, the length and the model; so nothing is reckoned before,
and each stage is measured while it goes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

__all__ = ["forewarning"]

_log = logging.getLogger("audionmf")

_FEW = 8
"""As many sources are no reason to warn: what takes long then is the length of the recording."""
_MEASURED_SECONDS = 3.0
_LONG_SECONDS = 60.0


def forewarning(
    progress: Callable[[str, float], None], n_sources: int | None
) -> Callable[[str, float], None]:
    """Return what passes progress on, and logs once where many sources will take minutes.

    Parameters
    ----------
    progress : callable
        Told of stages and the share of them that is done, 0 to 1.
    n_sources : int or None
        How many sources are asked for; None: they are counted later, and there are few.

    Returns
    -------
    callable
        After 3 s of a stage it reckons, by the share that is done, how long the stage takes. If
        that is a minute or more, for more than 8 sources, the logger ``audionmf`` has a warning.
    """
    if n_sources is None or n_sources <= _FEW:
        return progress
    current, begun, told = "", 0.0, False

    def tell(stage: str, done: float) -> None:
        nonlocal current, begun, told
        progress(stage, done)
        now = time.monotonic()
        if stage != current:
            current, begun = stage, now
        elapsed = now - begun
        if told or elapsed < _MEASURED_SECONDS or not 0 < done < 1:
            return
        seconds = elapsed / done
        if seconds >= _LONG_SECONDS:
            told = True
            _log.warning(
                "%d sources: %r alone takes about %s on this machine; fewer sources take less",
                n_sources, stage, _minutes(seconds),
            )  # fmt: skip

    return tell


def _minutes(seconds: float) -> str:
    minutes = round(seconds / 60)
    return "a minute" if minutes == 1 else f"{minutes} minutes"
