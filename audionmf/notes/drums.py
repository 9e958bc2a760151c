"""Which key of General MIDI stands for which drum, by what a source is called.

Reference: General MIDI Level 1, percussion key map.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from audionmf.errors import ParameterError

__all__ = ["DRUMS", "check_keys", "drum_key", "drum_name", "is_kit", "key_by_name", "parse_keys"]

DRUMS = {
    "kick": 36, "side stick": 37, "snare": 38, "clap": 39, "floor tom": 41, "hi-hat": 42,
    "pedal hi-hat": 44, "tom": 45, "open hi-hat": 46, "high tom": 48, "crash": 49, "ride": 51,
    "china": 52, "ride bell": 53, "tambourine": 54, "splash": 55, "cowbell": 56, "bongo": 60,
    "conga": 63, "timbale": 65, "agogo": 67, "maracas": 70, "claves": 75, "wood block": 76,
    "triangle": 81, "shaker": 82,
}  # fmt: skip
"""The key of each drum."""

_WORDS = (  # the first that fits
    (r"open ?(hi ?)?hats?|ohh?", "open hi-hat"),
    (r"(pedal|foot) ?(hi ?)?hats?", "pedal hi-hat"),
    (r"(closed )?(hi ?)?hats?|c?hh", "hi-hat"),
    (r"kicks?|bass ?drums?|bd", "kick"),
    (r"rim ?(shots?|clicks?)?|(side|cross) ?sticks?", "side stick"),
    (r"snares?( ?drums?)?|sd", "snare"),
    (r"(hand ?)?claps?", "clap"),
    (r"(floor|low) ?toms?", "floor tom"),
    (r"hi(gh)? ?toms?", "high tom"),
    (r"tom ?toms?|toms?", "tom"),
    (r"ride ?bell", "ride bell"),
    (r"ride( ?cymbal)?", "ride"),
    (r"china", "china"),
    (r"splash", "splash"),
    (r"crash|cymbals?", "crash"),
    (r"tambourines?", "tambourine"),
    (r"cow ?bells?", "cowbell"),
    (r"bongos?", "bongo"),
    (r"congas?", "conga"),
    (r"timbales?", "timbale"),
    (r"agogos?", "agogo"),
    (r"maracas?", "maracas"),
    (r"claves?", "claves"),
    (r"wood ?blocks?", "wood block"),
    (r"triangles?", "triangle"),
    (r"shakers?", "shaker"),
)
_BY_KEY = {key: name for name, key in DRUMS.items()}
_HIGHEST = 127


def drum_name(key: int) -> str:
    """Return what a key, 0 to 127, stands for; ``drum 87`` where `DRUMS` has no name for it."""
    return _BY_KEY.get(key, f"drum {key}")


def key_by_name(name: str) -> int | None:
    """Return the key that `drum_name` calls so; None if it calls none so."""
    if match := re.fullmatch(r"drum (\d+)", name):
        key = int(match[1])
        return key if key <= _HIGHEST else None
    return DRUMS.get(name)


def drum_key(source: str, keys: Mapping[str, int] | None = None) -> int | None:
    """Return the key of the drum that a source is called after; None if it is after none.

    Parameters
    ----------
    source : str
        Name of the source; capitals, dashes and numbers do not matter.
    keys : mapping of str to int, optional
        The key, 0 to 127, of sources by their exact name; it goes first.
    """
    if keys and source in keys:
        return keys[source]
    words = " ".join(re.findall(r"[^\W\d_]+", source.lower()))
    for pattern, drum in _WORDS:
        if re.search(rf"\b({pattern})\b", words):
            return DRUMS[drum]
    return None


def is_kit(source: str) -> bool:
    """Return whether a source is called after drums in general, such as "drums" or "percussion"."""
    words = " ".join(re.findall(r"[^\W\d_]+", source.lower()))
    return re.search(r"\b(drums?|drum ?(kit|set|loop)|perc(ussions?)?|kit)\b", words) is not None


def parse_keys(texts: Iterable[str]) -> dict[str, int]:
    """Return the keys that ``kick=36`` or ``perc=cowbell`` say, by the name of the source.

    Raises
    ------
    ParameterError
        If one is not so written, or its key is neither 0 to 127 nor among `DRUMS`.
    """
    found = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals):
            raise ParameterError(f"the key of a drum is written NAME=KEY, not {text!r}")
        found[name] = _key(name, int(value) if value.isdecimal() else value)
    return found


def check_keys(keys: Mapping[str, int | str] | None) -> dict[str, int]:
    """Return the keys of drums by the name of the source, names of drums as their keys.

    Raises
    ------
    ParameterError
        As `parse_keys` does.
    """
    return {name: _key(name, value) for name, value in (keys or {}).items()}


def _key(name: str, value: Any) -> int:
    if isinstance(value, str):
        known = drum_key(value)
        if known is not None:
            return known
    elif isinstance(value, int) and 0 <= value <= _HIGHEST:
        return int(value)
    raise ParameterError(
        f"the key of the drum {name!r} is 0 to {_HIGHEST} or one of {', '.join(DRUMS)}, not {value!r}"
    )
