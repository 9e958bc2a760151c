"""What is known of the sources of a recording: the account that an analysis goes by.

`Known` says what is known of one source: recordings of it alone, a bank of templates, ranges where it
plays alone or not at all, its notes, that it is a voice, or nothing but that it is there. Any of them
may come together. `Told` holds the short forms in which people say such things of all sources at once
(``examples={"bird": "bird.wav"}``, ``midi="trio.mid"``); the arguments of `audionmf.separate`, the
jobs of a batch and their manifests all are these fields. `Account` is what both come to: a `Known` for
every source that there will be a stem of.

A new kind of knowledge is one field of `Known`, and one of `Told` if it has a short form.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audionmf.errors import ParameterError
from audionmf.io.audio import AudioLike, Source, needs_rate, open_source
from audionmf.io.files import StrPath, one_form, require_file
from audionmf.io.foreign import audio_in
from audionmf.io.parts import open_part, part_path
from audionmf.sources.kits import is_bank, kit_files
from audionmf.sources.labels import Labels, Moments, Ranges, check_moments
from audionmf.sources.mistakes import (
    NAMED,
    check_examples,
    is_whole,
    refuse_empty,
    refuse_unknown,
)
from audionmf.sources.templates import Templates

if TYPE_CHECKING:
    from audionmf.sources.score import Part, Score, SplitBy

__all__ = [
    "ACCOMPANIMENT",
    "HARMONIC",
    "LEAD",
    "MAX_MARGIN",
    "MOST_SOURCES",
    "OTHER",
    "PERCUSSIVE",
    "REST",
    "Account",
    "Banks",
    "Examples",
    "Known",
    "Told",
    "folder_name",
    "one_and_rest",
    "recordings_of",
    "source_name",
]

Examples = Mapping[str, AudioLike | Sequence[AudioLike]]
Banks = Templates | StrPath | Sequence[Templates | StrPath]
Spans = Sequence[tuple[float, float]]

OTHER = "other"
"""Name of the source of the free components that were asked for."""

REST = "rest"
"""Name of the source of what is in no other."""

LEAD, ACCOMPANIMENT = "lead", "accompaniment"

HARMONIC, PERCUSSIVE, RESIDUAL = "harmonic", "percussive", "residual"

MAX_MARGIN = 1000.0
"""The largest margin between harmonic and percussive sound."""

MOST_SOURCES = 6
"""Most sources that an analysis finds by itself."""

_SPANS = ("alone", "absent")
_MOST_SHOWN = 60
"""Characters of one value in a repr."""

_REST_COMPONENTS = 8
"""Free components of what a single source leaves."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Known:
    """What is known of one source. All of it may come together, and nothing need be known.

    Parameters
    ----------
    example : audio, or a sequence of them, optional
        Recordings of it alone, as paths, `Audio`, or arrays at the rate of the mixture.
    bank : Templates or path, or a sequence of them, optional
        Templates that `audionmf.learn` made, whatever their labels.
    alone, absent : sequence of (float, float), optional
        Where it plays alone in the mixture itself, and where it does not play: starts and ends in
        seconds.
    notes : Part or (path, str), optional
        What it plays: a part of a score, or a MIDI file and the name of the part in it.
    voice : bool, default False
        It is one voice with one pitch at a time, such as a singer, that leads.
    free : int, default 0
        Components that are learnt from the mixture itself, 0 or more.
    texture : {"", "harmonic", "percussive"}, default ""
        It is all that holds a tone, or all that is struck; one source of each, and no others.

    Raises
    ------
    ParameterError
        If `free` is no such number, or there is no such texture.
    """

    example: AudioLike | Sequence[AudioLike] | None = None
    bank: Banks | None = None
    alone: Spans = ()
    absent: Spans = ()
    notes: Part | tuple[StrPath, str] | None = None
    voice: bool = False
    free: int = 0
    texture: str = ""

    def __post_init__(self) -> None:
        if not is_whole(self.free) or self.free < 0:
            raise ParameterError(f"free components are a number, 0 or more, not {self.free!r}")
        if self.texture not in ("", HARMONIC, PERCUSSIVE):
            raise ParameterError(
                f"a texture is {HARMONIC!r} or {PERCUSSIVE!r}, not {self.texture!r}"
            )

    def __repr__(self) -> str:
        """Name what is known, and say of an array or a list only that it is there."""
        said = []
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if value is not item.default and not (isinstance(value, tuple) and not value):
                plain = isinstance(value, str | os.PathLike | int) or item.name in _SPANS
                text = repr(value) if plain else "…"
                said.append(f"{item.name}={text if len(text) <= _MOST_SHOWN else '…'}")
        return f"Known({', '.join(said)})"

    @property
    def recordings(self) -> list[Any]:
        """The recordings of it alone."""
        return [] if self.example is None else _listed(self.example)

    @functools.cached_property
    def opened(self) -> list[Source]:
        """The recordings of it alone, opened once; see `recordings_of`."""
        return recordings_of(self.recordings) if self.recordings else []

    @property
    def banks(self) -> list[Templates]:
        """The banks, loaded.

        Raises
        ------
        FileNotFoundError, TemplateError
            If one cannot be read.
        """
        return [] if self.bank is None else _loaded(self.bank)

    def part(self, name: str) -> Part | None:
        """Return its notes as a part of that name; None if they are not known.

        Raises
        ------
        ScoreError, ParameterError
            If the score cannot be read, or has no such part.
        """
        if self.notes is None:
            return None
        from audionmf.sources.score import Part, read_score

        if isinstance(self.notes, Part):
            return dataclasses.replace(self.notes, name=name)
        path, wanted = self.notes
        score = read_score(path)
        for part in score.parts:
            if _same(part.name, wanted):
                return dataclasses.replace(part, name=name)
        raise ParameterError(
            f"{os.fspath(path)!r} has no part {wanted!r}; its parts are "
            f"{', '.join(map(repr, score.names))}"
        )

    @property
    def sounds(self) -> bool:
        """Whether it is known what it sounds like: from recordings, templates, or where it is alone."""
        return bool(self.recordings or self.bank is not None or self.alone)

    def and_(self, other: Known) -> Known:
        """Return what both say together."""
        return Known(
            example=[*self.recordings, *other.recordings] or None,
            bank=[*self.banks, *other.banks] or None,
            alone=(*self.alone, *other.alone),
            absent=(*self.absent, *other.absent),
            notes=other.notes if self.notes is None else self.notes,
            voice=self.voice or other.voice,
            free=self.free + other.free,
            texture=self.texture or other.texture,
        )


@dataclass(frozen=True, kw_only=True)
class Told:
    """What is said of the sources of a recording, in the short forms.

    Parameters
    ----------
    n_sources : int, optional
        So many, of which nothing else is known.
    templates : Templates or path, or several
        Banks; each label becomes a source.
    examples : mapping of str to audio or a list of audio
        Recordings of each source alone.
    free : int, default 0
        Components learnt from the mixture, which become the source ``other``.
    residual : str, default ""
        Name of a further stem that gets what no model explains; none if it is empty.
    solo, absent : mapping of str to sequence of (float, float)
        Where sources play alone in the mixture itself, and where they do not play, in seconds.
    convert : bool, default False
        Convert templates of another sample rate or STFT.
    midi : path, optional
        The score; each of its parts becomes a source, or tells of the source of that name.
    midi_split, split_at
        How the score is split into parts; see `audionmf.separate`.
    lead : bool or str, default False
        One voice leads; its name, "lead" if it is only True.
    harmonic_percussive : bool, default False
        The sources are what holds a tone, and what is struck.
    margin : float, default 1
        With harmonic and percussive sound: by what factor one has to be above the other, 1 to 1000;
        with more than 1 what is neither becomes a further stem, ``residual``.
    kit : bool, path or mapping, default False
        The recording are struck sounds of a kit, of which those are found that are heard: True, the
        drum kit that is shipped; or a folder of samples, see `kit_files`, or a bank.
    same, apart : sequence of sequences of float, default ()
        Blind: what sounds loudest at these moments, in seconds, is one source; what does at the
        later ones of them is not in the source of the first.
    """

    n_sources: int | None = None
    templates: Any = ()
    examples: Any = field(default_factory=dict)
    free: int = 0
    residual: str = ""
    solo: Ranges = field(default_factory=dict)
    absent: Ranges = field(default_factory=dict)
    convert: bool = False
    midi: Any = None
    midi_split: SplitBy = "track"
    split_at: str | int | None = None
    lead: bool | str = False
    harmonic_percussive: bool = False
    margin: float = 1.0
    kit: Any = False
    same: Moments = ()
    apart: Moments = ()

    @classmethod
    def split(
        cls, options: Mapping[str, Any], sources: Mapping[str, Known] | None = None
    ) -> tuple[Told, dict[str, Any]]:
        """Return what options say of the sources, and the options that say something else.

        Raises
        ------
        ParameterError
            If there is no such option, or an empty one, `sources` among them, stands alone: what
            was forgotten would be a blind separation otherwise.
        """
        names = {item.name for item in dataclasses.fields(Told)}
        refuse_unknown(options, names)
        told = {
            name: value
            for name, value in options.items()
            if name in names and not (value is None and name in NAMED)
        }
        refuse_empty({"sources": sources, **told})
        others = {name: value for name, value in options.items() if name not in names}
        return Told(**told), others

    def account(
        self,
        sources: Mapping[str, Known] | None = None,
        *,
        sample_rate: int | None = None,
        banks: Sequence[Templates] | None = None,
    ) -> Account:
        """Return what is known of each source.

        Parameters
        ----------
        sources : mapping of str to Known, optional
            What is known besides, by the name of the source.
        sample_rate : int, optional
            In Hz, of arrays among the examples.
        banks : sequence of Templates, optional
            The templates, where they are loaded already.

        Raises
        ------
        ParameterError
            If it contradicts itself.
        FileNotFoundError, AudioReadError, TemplateError, ScoreError
            If something cannot be read.
        """
        self._check()
        _check_sources(sources)
        gathered = _Gathered()
        score = None
        if self.midi is not None:
            from audionmf.sources.score import read_score

            score = read_score(self.midi, split=self.midi_split, split_at=self.split_at)
            for part in score.parts:
                gathered.add(part.name, Known(notes=part))
        for bank in _loaded(self.templates) if banks is None else banks:
            for name in bank.names:
                gathered.add(name, Known(bank=bank.only(name)))
        kit = self._kit()
        for name, known in kit.items():
            gathered.add(name, known)
        for name, example in (self.examples or {}).items():
            gathered.add(name, Known(example=_with_rate(example, sample_rate)))
        for name, known in (sources or {}).items():
            gathered.add(name, dataclasses.replace(
                known,
                example=_with_rate(known.recordings, sample_rate) or None,
                bank=[bank.called(name) for bank in known.banks] or None,
                notes=known.part(name),
            ))  # fmt: skip
        labels = Labels.of(self.solo, self.absent)
        for solo in labels.solo:
            gathered.add(solo.name, Known(alone=[(solo.start, solo.end)]))
        for absent in labels.absent:
            gathered.silence(absent.name, (absent.start, absent.end))
        if self.lead:
            gathered.add(self.lead if isinstance(self.lead, str) else LEAD, Known(voice=True))
        if self.harmonic_percussive:
            gathered.add(HARMONIC, Known(texture=HARMONIC))
            gathered.add(PERCUSSIVE, Known(texture=PERCUSSIVE))
        return dataclasses.replace(Account.of(gathered, self, score), kit=tuple(kit))

    def _kit(self) -> dict[str, Known]:
        """Return what is known of the sources of the kit."""
        if is_bank(self.kit):
            bank = Templates.load(self.kit)
            return {name: Known(bank=bank.only(name)) for name in bank.names}
        if not self.kit:
            return {}
        return {name: Known(example=files) for name, files in kit_files(self.kit).items()}

    def _check(self) -> None:
        if self.n_sources is not None and not (is_whole(self.n_sources) and self.n_sources >= 1):
            raise ParameterError(
                "the number of sources is a whole number, 1 or more (None: it is chosen), not "
                f"{self.n_sources!r}"
            )
        check_examples(self.examples)
        if self.midi is None and (self.split_at is not None or self.midi_split != "track"):
            raise ParameterError("a way to split a score needs a score: give midi too")
        if not is_whole(self.free) or self.free < 0:
            raise ParameterError(
                "free components are a number, 0 or more, that goes with templates"
            )
        number = isinstance(self.margin, int | float) and not isinstance(self.margin, bool)
        if not number or not 1 <= self.margin <= MAX_MARGIN:
            raise ParameterError(
                f"the margin is a number from 1 to {MAX_MARGIN:g}, not {self.margin!r}"
            )
        if self.lead == ACCOMPANIMENT or not isinstance(self.lead, bool | str):
            raise ParameterError(
                f"lead is True or a name for it, but not {self.lead!r}; {ACCOMPANIMENT!r} is the "
                "name of all else"
            )
        check_moments({"same": self.same, "apart": self.apart})


def _check_sources(sources: Any) -> None:
    if sources is None:
        return
    if not isinstance(sources, Mapping):
        hint = f"n_sources={sources}" if is_whole(sources) else "examples= for recordings"
        raise ParameterError(
            "sources are a mapping such as {'violin': Known(example='violin.wav')}, not "
            f"{type(sources).__name__}; or give {hint}"
        )
    for name, known in sources.items():
        if not isinstance(known, Known):
            raise ParameterError(
                f"what is known of {name!r} is a Known, such as Known(example='{name}.wav'), not "
                f"{type(known).__name__}; or give examples={{{name!r}: …}}"
            )


class _Gathered:
    """Sources as they are gathered: names are one where they differ by case or Unicode form alone."""

    def __init__(self) -> None:
        self.sources: dict[str, Known] = {}
        self.silent: dict[str, list[tuple[float, float]]] = {}
        self._names: dict[str, str] = {}

    def add(self, name: str, known: Known) -> None:
        name = one_form(name)
        own = self._names.setdefault(_folded(name), name)
        before = self.sources.get(own)
        self.sources[own] = known if before is None else before.and_(known)

    def silence(self, name: str, span: tuple[float, float]) -> None:
        self.silent.setdefault(one_form(name), []).append(span)


@dataclass(frozen=True, eq=False)
class Account:
    """What is known of the sources of a recording.

    Parameters
    ----------
    sources : dict of str to Known
        Every source there will be a stem of, in their order. Empty: nothing is known.
    n_sources : int or None
        Their number, if nothing else is known of them; None if it is to be found.
    residual : str
        Name of a further stem of what the models leave; empty for none.
    labels : Labels
        The ranges of all sources.
    score : Score or None
        The notes of all sources that have some.
    convert : bool
        Convert templates of another sample rate or STFT.
    margin : float
        Between harmonic and percussive sound.
    kit : tuple of str
        The sources that come from a kit: there need not be stems of all.
    same, apart : sequence of sequences of float
        Blind: moments of one source, and of different ones; see `Told`.
    """

    sources: dict[str, Known]
    n_sources: int | None = None
    residual: str = ""
    labels: Labels = field(default_factory=lambda: Labels((), ()))
    score: Score | None = None
    convert: bool = False
    margin: float = 1.0
    kit: tuple[str, ...] = ()
    same: Moments = ()
    apart: Moments = ()

    @property
    def examples(self) -> dict[str, list[Source]]:
        """The examples of each source that has some, opened."""
        return {name: known.opened for name, known in self.sources.items() if known.recordings}

    @classmethod
    def of(cls, gathered: _Gathered, told: Told, score: Score | None) -> Account:
        """Check what was gathered, and add the sources that follow from it."""
        sources = dict(gathered.sources)
        named = bool(sources)
        if told.n_sources is not None and named:
            raise ParameterError(
                "the number of sources is for a blind separation: leave it out with templates, "
                "examples or ranges, a score or a lead, which bring their own"
            )
        if named and (told.same or told.apart):
            raise ParameterError(
                "hints about moments are for a blind separation; of named sources say where they "
                "play alone and where not (solo, absent)"
            )
        if told.free and not named:
            raise ParameterError(
                "free components are a number, 0 or more, that goes with templates"
            )
        if gathered.silent and not named:
            raise ParameterError(
                "ranges where a source does not play go with templates, examples or solo ranges"
            )
        if told.residual and not named:
            raise ParameterError(
                "a residual is what templates leave: it goes with templates or examples"
            )
        textured = _check_textures(sources, told)
        if not textured:
            _add_implied(sources, told)
        residual = RESIDUAL if textured and told.margin > 1 else one_form(told.residual)
        if residual in sources:
            raise ParameterError(f"the residual {residual!r} needs a name that no source has")
        return cls(
            sources, told.n_sources, residual, _labels(sources, gathered.silent),
            _score(sources, score), told.convert, float(told.margin),
            same=told.same, apart=told.apart,
        )  # fmt: skip

    @property
    def names(self) -> list[str]:
        """Names of the stems; where their number is to be found, of the most there may be."""
        if not self.sources:
            return [source_name(i) for i in range(self.n_sources or MOST_SOURCES)]
        return [*self.sources, *([self.residual] if self.residual else [])]

    def names_with(self, only: str | None) -> list[str]:
        """Names of the stems if one source is set against the rest; None: as they are.

        Raises
        ------
        ParameterError
            If there is no source `only`.
        """
        return self.names if only is None else one_and_rest(self.names, only)

    @property
    def free(self) -> dict[str, int]:
        """Number of free components of each source that has some."""
        return {name: known.free for name, known in self.sources.items() if known.free}

    @property
    def sounding(self) -> dict[str, Known]:
        """The sources of which it is known what they sound like."""
        return {name: known for name, known in self.sources.items() if known.sounds}

    @property
    def textures(self) -> dict[str, str]:
        """The sources that are harmonic or percussive sound, by their texture."""
        return {known.texture: name for name, known in self.sources.items() if known.texture}

    @property
    def voices(self) -> list[str]:
        """The sources that are voices."""
        return [name for name, known in self.sources.items() if known.voice]


def _check_textures(sources: dict[str, Known], told: Told) -> bool:
    """Tell whether the sources are harmonic and percussive sound; then nothing else may be said."""
    textures = [known.texture for known in sources.values() if known.texture]
    if not textures:
        if told.margin != 1:
            raise ParameterError("a margin goes with harmonic and percussive sound")
        return False
    plain = all(
        known.texture and not (known.sounds or known.absent or known.notes or known.voice)
        for known in sources.values()
    )
    if sorted(textures) != [HARMONIC, PERCUSSIVE] or not plain or told.free or told.residual:
        raise ParameterError(
            "harmonic and percussive sound are two sources that share all there is: leave out "
            "templates, examples, ranges, a score, a lead, free components and a residual "
            "(a margin of more than 1 makes one)"
        )
    return True


def _add_implied(sources: dict[str, Known], told: Told) -> None:
    """Add what nobody named: free components that were asked for, an accompaniment, a rest."""
    if told.free:
        if OTHER in sources:
            raise ParameterError(
                f"free components become {OTHER!r}, a name that the templates have"
            )
        sources[OTHER] = Known(free=told.free)
    elif len(sources) == 1 and not told.residual:
        (known,) = sources.values()
        if known.voice:
            sources[ACCOMPANIMENT] = Known()
        else:
            if REST in sources:
                raise ParameterError(
                    f"{REST!r} is the name of what a single source leaves; call it something else"
                )
            sources[REST] = Known(free=_REST_COMPONENTS)


def _labels(sources: dict[str, Known], silent: Mapping[str, Spans]) -> Labels:
    """Return all ranges; those of sources that do not exist are refused where they are used."""
    alone = {name: known.alone for name, known in sources.items() if known.alone}
    absent: dict[str, list[tuple[float, float]]] = {
        name: list(known.absent) for name, known in sources.items() if known.absent
    }
    for name, spans in silent.items():
        own = next((known for known in sources if _same(known, name)), name)
        absent.setdefault(own, []).extend(spans)
    return Labels.of(alone, absent)


def _score(sources: dict[str, Known], score: Score | None) -> Score | None:
    """Return the notes of all sources as one score."""
    if all(known.notes is None for known in sources.values()):
        return None
    from audionmf.sources.score import Part, Score

    parts = [
        dataclasses.replace(known.notes, name=name)
        for name, known in sources.items()
        if isinstance(known.notes, Part)
    ]
    return Score(tuple(parts), score.path if score else "") if parts else None


def source_name(source: int) -> str:
    """Return the name of a source that was found blind, counted from 0: ``source1`` and so on."""
    return f"source{source + 1}"


def one_and_rest(names: Sequence[str], only: str) -> list[str]:
    """Return the names of a source that is set against all the others, and of these.

    Raises
    ------
    ParameterError
        If there is no source `only`, or it is called like the rest.
    """
    only = one_form(only)
    if only not in names:
        raise ParameterError(
            f"there is no source {only!r}; there are {', '.join(map(repr, names))}"
        )
    if only == REST:
        raise ParameterError(f"a source called {REST!r} cannot be set against the rest; rename it")
    return [only, REST]


def recordings_of(source: AudioLike | Sequence[AudioLike], rate: int | None = None) -> list[Source]:
    """Return recordings, opened, without constant offsets; a folder is all audio files in it.

    ``FILE@START-END`` is a part of a file. Arrays among them have the sample rate `rate` in Hz.

    Raises
    ------
    ParameterError
        If there is none.
    FileNotFoundError, AudioReadError
        If one cannot be read.
    """
    opened = []
    for item in _listed(source):
        for file in audio_in(os.fspath(item)) if _is_folder(item) else [item]:
            if isinstance(file, str | os.PathLike):
                found: Source = open_part(file)
            else:
                found = open_source(file, rate if needs_rate(file) else None)
            opened.append(found.without_offset())
    if not opened:
        raise ParameterError("there is no recording to learn from")
    return opened


def _with_rate(source: Any, rate: int | None) -> list[Any]:
    """Return recordings with arrays among them as `Audio`.

    Files have to be there, and are not opened before their turn: a plan needs only their names.
    """
    found = []
    for item in _listed(source):
        if isinstance(item, str | os.PathLike) and not _is_folder(item):
            require_file(part_path(item))
        found.append(open_source(item, rate) if rate is not None and needs_rate(item) else item)
    return found


def folder_name(source: Any) -> str:
    """Return the name of the folder that a recording is, or the first of them; empty otherwise."""
    first = next(iter(_listed(source)), None)
    return Path(first).resolve().name if first is not None and _is_folder(first) else ""


def _listed(given: Any) -> list[Any]:
    """Return a list of recordings as it is, and a single one as a list."""
    pair = isinstance(given, tuple) and any(isinstance(item, int | float) for item in given)
    return list(given) if isinstance(given, list | tuple) and not pair else [given]


def _is_folder(source: Any) -> bool:
    return isinstance(source, str | os.PathLike) and os.path.isdir(source)  # noqa: PTH112


def _loaded(banks: Banks) -> list[Templates]:
    given: Iterable[Any] = (
        [banks] if isinstance(banks, Templates | str | bytes | os.PathLike) else banks
    )
    return [bank if isinstance(bank, Templates) else Templates.load(bank) for bank in given]


def _folded(name: str) -> str:
    return one_form(name).casefold().strip()


def _same(one: str, other: str) -> bool:
    return _folded(one) == _folded(other)
