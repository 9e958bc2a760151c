"""What people say of sources by mistake, refused in one line each."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sized
from numbers import Integral
from typing import Any

from audionmf.errors import ParameterError
from audionmf.settings import Settings

__all__ = ["NAMED", "check_examples", "is_whole", "refuse_empty", "refuse_unknown"]

NAMED = ("sources", "templates", "examples", "solo", "absent", "kit")
"""What names sources one by one, and can be empty."""

_WAYS = (*NAMED, "n_sources", "free", "midi", "lead", "harmonic_percussive", "same", "apart")


def is_whole(value: Any) -> bool:
    """Tell whether a value is a whole number, of Python or NumPy; True and False are none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def refuse_unknown(options: Mapping[str, Any], told: set[str]) -> None:
    """Refuse an option that says nothing of the sources and is no setting either."""
    import difflib

    every = {*told, "quality", *(item.name for item in dataclasses.fields(Settings))}
    for name in options:
        if name not in every and (close := difflib.get_close_matches(name, every, 1)):
            raise ParameterError(f"there is no option {name!r}; did you mean {close[0]!r}?")


def refuse_empty(told: Mapping[str, Any]) -> None:
    """Refuse what names no source where nothing else tells of the sources."""
    empty = [n for n in NAMED if isinstance(told.get(n), Sized) and not len(told[n])]
    if empty and not any(_is_said(told.get(name)) for name in _WAYS):
        raise ParameterError(
            f"{empty[0]}= is empty, and nothing else tells of the sources: name one in it; or leave "
            "it out (None), and the sources are found without being told"
        )


def _is_said(value: Any) -> bool:
    return bool(len(value) if isinstance(value, Sized) else value)


def check_examples(examples: Any) -> None:
    """Refuse examples that are no mapping from names to recordings."""
    if examples is None:
        return
    if not isinstance(examples, Mapping):
        raise ParameterError(
            "examples are a mapping from names to recordings, such as {'violin': 'violin.wav'}, "
            f"not {type(examples).__name__}"
        )
    for name, example in examples.items():
        if example is None or (isinstance(example, list | tuple) and not example):
            raise ParameterError(
                f"the example of {name!r} is empty; give a recording of it alone, or leave it out"
            )
