"""What components became when they were regrouped, written down beside the stems.

It has the name and the place of a separation's manifest, so that one folder tells of one run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audionmf.batch.outputs import (
    MadeFiles,
    checked_files,
    folder_of,
    head,
    mapping,
    plain_files,
    read_values,
    real,
    text,
    word,
    write_values,
)
from audionmf.errors import TemplateError
from audionmf.io.files import StrPath

__all__ = ["Regrouping"]

_MAX_COMPONENT = 1 << 14


@dataclass(frozen=True)
class Regrouping:
    """What `Regrouping.save` writes beside the stems.

    Parameters
    ----------
    model, mixture : str
        The model file and the recording, absolute.
    groups : mapping of str to sequence of int
        The components of each source, as they were asked for, or as they came out of hints.
    track, pattern : str
        After what the outputs are named, and how.
    inputs : mapping of str to str
        SHA-256 of the model and of the recording, by path.
    versions : mapping of str to str
        Of what computed.
    stems, notes : mapping of str to (str, OutputHash)
        The file of each source, relative to the output folder, and what it holds; the files with
        notes likewise, by their kind.
    gain : float
        The common gain of all stems.
    trust : mapping
        How far to trust each stem, as `Trust.to_dict` gives it.
    same, apart : sequence of sequences of int, default ()
        The hints that were given: which components are in one source, and which are not.
    """

    model: str
    mixture: str
    groups: Mapping[str, Sequence[int]]
    track: str
    pattern: str
    inputs: Mapping[str, str]
    versions: Mapping[str, str]
    stems: MadeFiles
    notes: MadeFiles
    gain: float
    trust: Mapping[str, Any]
    same: Sequence[Sequence[int]] = ()
    apart: Sequence[Sequence[int]] = ()

    @classmethod
    def load(cls, path: StrPath) -> Regrouping:
        """Read what was written.

        Raises
        ------
        FileNotFoundError, AudioReadError
            If it is not there or not an ordinary file.
        TemplateError
            If it is not the manifest of a regrouping, of this version.
        """
        values = read_values(path, "regrouping")
        try:
            return cls(
                text(values["model"]), text(values["mixture"]),
                {text(name): _members(one) for name, one in mapping(values["groups"]).items()},
                text(values["track"]), text(values["pattern"]),
                {text(name): word(one) for name, one in mapping(values["inputs"]).items()},
                {word(name): word(one) for name, one in mapping(values["versions"]).items()},
                checked_files(values["stems"]), checked_files(values["notes"]),
                real(values["gain"], 0.0, 1.0), mapping(values["trust"]),
                _hints(values.get("same", [])), _hints(values.get("apart", [])),
            )  # fmt: skip
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise TemplateError(f"{str(path)!r} is not a manifest that audionmf wrote") from error

    def save(self, path: StrPath) -> Path:
        """Write it, whole or not at all; the same bytes each time.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        values = {
            **head("regrouping"),
            "versions": dict(self.versions),
            "inputs": dict(self.inputs),
            "model": self.model,
            "mixture": self.mixture,
            "groups": {name: list(members) for name, members in self.groups.items()},
            "track": self.track,
            "pattern": self.pattern,
            "stems": plain_files(self.stems),
            "notes": plain_files(self.notes),
            "gain": self.gain,
            "trust": dict(self.trust),
        }
        hints = {"same": self.same, "apart": self.apart}
        values |= {name: [list(h) for h in given] for name, given in hints.items() if given}
        return write_values(path, values)

    def folder(self, path: Path) -> Path:
        """Return the output folder that it was written for at `path`.

        Raises
        ------
        ParameterError
            If it was moved away from there.
        """
        return folder_of(path, self.track, self.pattern)


def _hints(value: Any) -> tuple[tuple[int, ...], ...]:
    if not isinstance(value, list) or len(value) > _MAX_COMPONENT:
        raise TypeError("not so many hints")
    return tuple(map(_members, value))


def _members(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) > _MAX_COMPONENT:
        raise TypeError("not so many components")
    if any(type(one) is not int or not 0 <= one < _MAX_COMPONENT for one in value):
        raise ValueError("not the number of a component")
    return tuple(value)
