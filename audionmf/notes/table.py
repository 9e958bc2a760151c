"""The notes of a recording as one table, which can be saved and read again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import overload

from audionmf.errors import ParameterError
from audionmf.io.files import StrPath, counted, listed, make_room, write_bytes
from audionmf.notes.events import SourceNote
from audionmf.notes.files import notes_csv, notes_labels, notes_midi, read_notes
from audionmf.notes.tempo import Tempo

__all__ = ["NoteTable"]


@dataclass(frozen=True)
class NoteTable(Sequence[SourceNote]):
    """The notes that the sources of a recording play.

    A sequence of `SourceNote` in the order of their onsets.

    Parameters
    ----------
    notes : tuple of SourceNote
        The notes.
    sources : tuple of str
        All sources, those too that have none.
    tempo : float, optional
        Beats in a minute, in the mean, where they are known.
    changes : tuple of (float, float)
        From which second on there are how many beats in a minute, where the beats were heard.
    """

    notes: tuple[SourceNote, ...]
    sources: tuple[str, ...]
    tempo: float | None = None
    changes: tuple[tuple[float, float], ...] = ()

    def __len__(self) -> int:
        return len(self.notes)

    def __repr__(self) -> str:
        end = f", up to {max(note.offset for note in self.notes):.1f} s" if self.notes else ""
        sources = listed(self.sources) or "nothing"
        return f"<NoteTable: {counted(len(self.notes), 'note')} of {sources}{end}>"

    @overload
    def __getitem__(self, index: int) -> SourceNote: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[SourceNote, ...]: ...
    def __getitem__(self, index: int | slice) -> SourceNote | tuple[SourceNote, ...]:
        return self.notes[index]

    def __iter__(self) -> Iterator[SourceNote]:
        return iter(self.notes)

    def timed(self, tempo: Tempo | None) -> NoteTable:
        """Return the same notes with a tempo; in seconds they stay where they are."""
        bpm, changes = (None, ()) if tempo is None else tempo
        return replace(self, tempo=bpm, changes=changes)

    @property
    def without(self) -> list[str]:
        """The sources without a note."""
        playing = {note.source for note in self.notes}
        return [name for name in self.sources if name not in playing]

    def of(self, source: str) -> list[SourceNote]:
        """Return the notes of one source, in the order of their onsets.

        Raises
        ------
        ParameterError
            If there is no such source.
        """
        if source not in self.sources:
            raise ParameterError(f"there is no source {source!r}, only {', '.join(self.sources)}")
        return [note for note in self.notes if note.source == source]

    def save(self, path: StrPath) -> Path:
        """Write the notes to a file, whole or not at all.

        Parameters
        ----------
        path : path
            Its ending says what is written: ``.mid`` or ``.midi`` a MIDI file with a track for each
            source, ``.txt`` labels for Audacity, ``.csv`` a table.

        Returns
        -------
        pathlib.Path
            The file.

        Raises
        ------
        ParameterError
            If the ending is another.
        MissingExtraError
            If a MIDI file is to be written, and pretty_midi is not installed.
        OutputError
            If it cannot be written.
        """
        target = Path(path)
        content = self._content(target)
        make_room([target])
        return write_bytes(target, content)

    def _content(self, path: Path) -> bytes:
        match path.suffix.lower():
            case ".mid" | ".midi":
                return notes_midi(self.notes, self.sources, self.tempo, self.changes)
            case ".txt":
                return notes_labels(self.notes)
            case ".csv":
                return notes_csv(self.notes)
        raise ParameterError(f"notes are saved as .mid, .txt or .csv, not as {path.name!r}")

    @classmethod
    def read(cls, path: StrPath) -> NoteTable:
        """Read what `save` wrote; see `audionmf.notes.files.read_notes`."""
        found = read_notes(path)
        return cls(tuple(found), tuple(dict.fromkeys(note.source for note in found)))
