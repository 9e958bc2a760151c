"""Samples of drums as an SFZ file, which samplers play.

A key has layers of velocity, 3 dB apart: in each the cleanest take of about that level. Velocity
127 is the loudest take of the source, and half of that 12 dB below, as in the notes of this package;
within a layer the level goes on along the same curve.

Reference: the SFZ format, version 1, Cakewalk 2004.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from audionmf.notes.drums import DRUMS
from audionmf.notes.events import velocity_of

__all__ = ["sfz_text"]

_LAYER_DB = 3.0
_LOUDEST = 127
_POINTS = 5
_HATS = (DRUMS["hi-hat"], DRUMS["pedal hi-hat"], DRUMS["open hi-hat"])


def sfz_text(
    kit: Mapping[str, Sequence[tuple[str, float]]], keys: Mapping[str, int], title: str
) -> str:
    """Return a kit as the text of an SFZ file.

    Parameters
    ----------
    kit : mapping of str to sequence of (str, float)
        For each source the files of its takes, the best first, and their levels in dB relative to
        the loudest of the source, 0 or less.
    keys : mapping of str to int
        The MIDI key of each source, 0 to 127.
    title : str
        What the first line says, after ``//``.
    """
    lines = [f"// {title}", "<global>", "loop_mode=one_shot"]
    for source, takes in kit.items():
        if not takes:
            continue
        key = keys[source]
        choked = ["group=1", "off_by=1", "off_mode=normal"] if key in _HATS else []
        lines += ["", "<group>", f"key={key}", *choked]
        for file, low, high, velocity in _layers(takes):
            lines += ["<region>", f"sample={file}", f"lovel={low} hivel={high}"]
            lines += [_curve(low, high, velocity)]
    return "\n".join(lines) + "\n"


def _layers(takes: Sequence[tuple[str, float]]) -> list[tuple[str, int, int, int]]:
    """Return the file, the lowest and highest velocity and that of the take, the loudest first."""
    best: dict[int, tuple[str, int]] = {}
    for file, level in takes:
        best.setdefault(int(-level // _LAYER_DB), (file, velocity_of(level)))
    chosen = [best[layer] for layer in sorted(best)]
    highs = [_LOUDEST, *(velocity for _, velocity in chosen[1:])]
    lows = [*(high + 1 for high in highs[1:]), 1]
    return [
        (file, low, high, velocity)
        for (file, velocity), low, high in zip(chosen, lows, highs, strict=True)
        if low <= high
    ]


def _curve(low: int, high: int, velocity: int) -> str:
    """Return the gain at some velocities: 1 at that of the take and above."""
    steps = {round(low + (high - low) * i / (_POINTS - 1)) for i in range(_POINTS)}
    if low <= velocity <= high:
        steps.add(velocity)
    return " ".join(f"amp_velcurve_{v}={min(1, v / velocity) ** 2:.4f}" for v in sorted(steps))
