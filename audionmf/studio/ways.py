"""How a recording is taken apart: what is said of its sources, as an analysis takes it.

A page names files by ids; here they become what `audionmf.analyse` takes, the options of
``audionmf separate``, and the arguments of `audionmf.separate` in a script. What may be known is not
written down again: it goes to the one account, see `audionmf.sources.known`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from audionmf.errors import ParameterError
from audionmf.sources.known import ACCOMPANIMENT, LEAD, MOST_SOURCES, Account, Known, Told
from audionmf.sources.templates import Templates
from audionmf.studio.given import Given
from audionmf.studio.recordings import Recording

__all__ = [
    "MAX_COMPONENTS",
    "Said",
    "Way",
    "as_stems",
    "blind",
    "informed",
    "script_arguments",
    "seconds",
    "shell_options",
    "written",
]

MAX_COMPONENTS = 64
_MAX_SECONDS = 1e9
_LINEAR = {"mask_exponent": 1.0}
_LINEAR_NAMED = _LINEAR | {
    "dictionary": "nmf", "pitch_shifts": 0, "spatial": False, "model": "frames",
    "exemplars": False,
}  # fmt: skip

Spans = tuple[tuple[float, float], ...]


@dataclass(frozen=True, kw_only=True)
class Said:
    """What is said of one source; the fields of `Known`, with files that the studio holds.

    Parameters
    ----------
    name : str
        What it is called.
    examples : tuple of Recording
        Recordings of it alone.
    banks : tuple of (Given, str)
        Banks, and the label in each that it is; an empty one is all of the bank.
    notes : (Given, str), optional
        A score, and the part in it that it plays.
    alone, absent : tuple of (float, float)
        Where it plays alone, and where it does not play, in seconds.
    voice : bool
        It is one voice that leads.
    """

    name: str
    examples: tuple[Recording, ...] = ()
    banks: tuple[tuple[Given, str], ...] = ()
    notes: tuple[Given, str] | None = None
    alone: Spans = ()
    absent: Spans = ()
    voice: bool = False

    @property
    def known(self) -> bool:
        """Whether anything is said of it that an analysis goes by."""
        return bool(self.examples or self.banks or self.notes or self.alone or self.voice)

    @property
    def files(self) -> list[Recording | Given]:
        """The files that it is known by."""
        score = [self.notes[0]] if self.notes else []
        return [*self.examples, *(bank for bank, _ in self.banks), *score]

    def told(self) -> dict[str, Any]:
        """Return what a page needs to know, in the form in which it says it."""
        return {
            "name": self.name,
            "examples": [recording.told() for recording in self.examples],
            "banks": [[bank.told(), label] for bank, label in self.banks],
            "notes": [self.notes[0].told(), self.notes[1]] if self.notes else None,
            "alone": [list(span) for span in self.alone],
            "absent": [list(span) for span in self.absent],
            "voice": self.voice,
        }


@dataclass(frozen=True)
class Way:
    """How a recording is taken apart, enough to write down how that is done again.

    Parameters
    ----------
    settings : dict
        The options that are not at their defaults.
    sources : tuple of Said
        What is known of each source; nothing: they are found.
    free : int
        Further components.
    n_sources : int, optional
        So many sources, of which nothing is known.
    kit : bool
        They are the drums of the kit that is shipped.
    harmonic_percussive : bool
        They are what holds a tone, and what is struck.
    components : bool
        Every component is a part, to be grouped; or every source is one, as good as the shell's.
    by_hand : bool
        Marks or an early end had a part in it, or it came as a file: no option does that again.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    sources: tuple[Said, ...] = ()
    free: int = 0
    n_sources: int | None = None
    kit: bool = False
    harmonic_percussive: bool = False
    components: bool = True
    by_hand: bool = False

    @property
    def named(self) -> bool:
        """Whether the sources were known before."""
        return bool(self.sources)

    @property
    def plain(self) -> bool:
        """Whether the short forms of the command line say all of it."""
        named_so = [
            sorted(said.name for said in self.sources if (file, said.name) in said.banks)
            == sorted(file.parts)
            for file in {bank for said in self.sources for bank, _ in said.banks}
        ]
        whole = all(label == said.name for said in self.sources for _, label in said.banks)
        voices = [said.name for said in self.sources if said.voice]
        return (
            whole
            and all(named_so)
            and self._plain_score()
            and len(voices) <= 1
            and ACCOMPANIMENT not in voices
        )

    def _plain_score(self) -> bool:
        played = {said.name: said.notes for said in self.sources if said.notes}
        scores = {score for score, _ in played.values()}
        if not scores:
            return True
        (score, *more) = scores
        own = all(part == name for name, (_, part) in played.items())
        return own and not more and sorted(played) == sorted(score.parts)

    @property
    def counts(self) -> dict[str, Any]:
        """What is said of all sources together, as keywords of `audionmf.separate`."""
        told = {
            "free": self.free, "kit": self.kit, "n_sources": self.n_sources,
            "harmonic_percussive": self.harmonic_percussive,
        }  # fmt: skip
        return {name: value for name, value in told.items() if value}

    def short(
        self, audio: Callable[[Recording], Any], file: Callable[[Given], Any]
    ) -> dict[str, Any]:
        """Return what is known of the sources in the short forms, where these say all of it.

        Parameters
        ----------
        audio, file : callable
            What stands for a recording, and for another file.
        """
        banks = dict.fromkeys(bank for said in self.sources for bank, _ in said.banks)
        scores = dict.fromkeys(said.notes[0] for said in self.sources if said.notes)
        told = {
            "midi": next(map(file, scores), None),
            "templates": [file(bank) for bank in banks],
            "examples": {
                s.name: [audio(r) for r in s.examples] for s in self.sources if s.examples
            },
            "solo": {s.name: list(s.alone) for s in self.sources if s.alone},
            "absent": {s.name: list(s.absent) for s in self.sources if s.absent},
            "lead": next((s.name == LEAD or s.name for s in self.sources if s.voice), False),
        }
        return {name: value for name, value in told.items() if value}

    def account(self) -> Account:
        """Return what is known, with files read; see `audionmf.sources.known`.

        Raises
        ------
        ParameterError
            If it contradicts itself.
        AudioNMFError
            If a file cannot be read any more.
        """
        if self.plain:
            return Told(**self.short(lambda r: r.audio, lambda g: g.path), **self.counts).account()
        return Told(**self.counts).account({said.name: _known(said) for said in self.sources})

    def told(self) -> dict[str, Any]:
        """Return what a page needs to know."""
        return {
            "sources": [said.told() for said in self.sources],
            "free": self.free,
            "number": self.n_sources or 0,
            "kit": self.kit,
            "harmonic_percussive": self.harmonic_percussive,
            "result": "components" if self.components else "stems",
            "components": self.settings.get("n_components", 0),
        }


def blind(n_components: int) -> Way:
    """Ask for a number of components.

    Raises
    ------
    ParameterError
        If the number is out of its range.
    """
    if type(n_components) is not int or not 2 <= n_components <= MAX_COMPONENTS:
        raise ParameterError(f"the number of components is from 2 to {MAX_COMPONENTS}")
    return Way({"n_components": n_components, **_LINEAR})


def informed(n_components: int, sources: Sequence[Said], free: int = 0) -> Way:
    """Ask for components of sources that are known from examples, or from where each plays alone.

    Raises
    ------
    ParameterError
        If numbers are out of their range, or something else is known.
    """
    counts = (n_components, free)
    if not all(type(n) is int for n in counts) or n_components < 1 or free < 0:
        raise ParameterError("numbers of components are whole, 1 or more")
    _check_known(sources)
    if any(said.banks or said.notes or said.voice for said in sources):
        raise ParameterError(
            "components to group are found by examples and by where sources play alone; with banks, "
            "notes or a voice that leads ask for stems"
        )
    if n_components * len(sources) + free > MAX_COMPONENTS:
        raise ParameterError(
            f"{n_components} components for each of {len(sources)} sources are more than the "
            f"{MAX_COMPONENTS} that the studio shows; take fewer"
        )
    return Way({"n_components": n_components, **_LINEAR_NAMED}, tuple(sources), free)


def as_stems(
    sources: Sequence[Said] = (),
    *,
    free: int = 0,
    n_sources: int | None = None,
    kit: bool = False,
    harmonic_percussive: bool = False,
) -> Way:
    """Ask for stems as the command line makes them, by whatever is known.

    Raises
    ------
    ParameterError
        If a number is out of its range, or something is said that goes with nothing.
    """
    if type(free) is not int or not 0 <= free <= MAX_COMPONENTS:
        raise ParameterError(f"free components are a number from 0 to {MAX_COMPONENTS}")
    if n_sources is not None and not 1 <= n_sources <= MOST_SOURCES:
        raise ParameterError(f"the number of sources is from 1 to {MOST_SOURCES}")
    if sources:
        _check_known(sources)
    return Way(
        {}, tuple(sources), free, n_sources, kit, harmonic_percussive, components=False
    )  # fmt: skip


def _check_known(sources: Sequence[Said]) -> None:
    unknown = [said.name for said in sources if not said.known]
    if not sources or unknown:
        raise ParameterError(
            "name at least one source, by an example, a bank, its notes or where it plays alone"
            if not sources
            else f"nothing is known of {unknown[0]!r}; give it something, or take it away"
        )


def seconds(value: Any) -> float:
    """Return a time.

    Raises
    ------
    ParameterError
        If it is not a number of seconds.
    """
    if type(value) not in (int, float) or not 0 <= value <= _MAX_SECONDS:
        raise ParameterError("a time is a number of seconds, 0 or more")
    return round(float(value), 3)


def _known(said: Said) -> Known:
    """Return what is said of a source, with files read."""
    banks = [(Templates.load(bank.path), label) for bank, label in said.banks]
    return Known(
        example=[recording.audio for recording in said.examples] or None,
        bank=[bank.only(label) if label else bank for bank, label in banks] or None,
        notes=(said.notes[0].path, said.notes[1]) if said.notes else None,
        alone=said.alone,
        absent=said.absent,
        voice=said.voice,
    )


def _known_text(said: Said) -> str:
    """Return what is said of a source as it stands in a script."""
    banks = [
        f"Templates.load({written(bank)!r})" + (f".only({label!r})" if label else "")
        for bank, label in said.banks
    ]
    fields = {
        "example": repr([written(recording) for recording in said.examples]),
        "bank": f"[{', '.join(banks)}]",
        "notes": repr((written(said.notes[0]), said.notes[1])) if said.notes else "",
        "alone": repr(list(said.alone)),
        "absent": repr(list(said.absent)),
        "voice": "True" if said.voice else "",
    }
    kept = [f"{name}={text}" for name, text in fields.items() if text not in ("", "[]")]
    return f"Known({', '.join(kept)})"


def written(item: Recording | Given) -> str:
    """Return a file as it stands on a command line; a leading dash would be an option."""
    name = (item.given if isinstance(item, Recording) else item.written) or item.name
    return f"./{name}" if name.startswith("-") else name


def shell_options(way: Way) -> list[str] | None:
    """Return the options of the command line; None where it has none for what is known."""
    if not way.plain or any(said.absent for said in way.sources):
        return None
    told = way.short(written, written)
    lead = told.get("lead", False)
    options = ["--lead" if lead is True else f"--lead={lead}"] if lead else []
    options += ["--kit"] * way.kit
    options += ["--harmonic-percussive"] * way.harmonic_percussive
    if way.n_sources:
        options += ["--n-sources", str(way.n_sources)]
    if "midi" in told:
        options += ["--midi", told["midi"]]
    if "templates" in told:
        options += ["--templates", *told["templates"]]
    for name, files in told.get("examples", {}).items():
        for file in files:
            options += ["--example", f"{name}={file}"]
    for name, spans in told.get("solo", {}).items():
        for start, end in spans:
            options += ["--solo", f"{name}={start:.6g}-{end:.6g}"]
    if way.free:
        options += ["--free", str(way.free)]
    for name, value in way.settings.items():
        option = name.replace("_", "-")
        options += [f"--no-{option}"] if value is False else [f"--{option}", str(value)]
    return options


def script_arguments(way: Way) -> list[str]:
    """Return what is known, and the settings, as arguments of a call in Python."""
    if way.plain:
        arguments = {name: repr(value) for name, value in way.short(written, written).items()}
    else:
        known = [f"{said.name!r}: {_known_text(said)}" for said in way.sources]
        arguments = {"sources": f"{{{', '.join(known)}}}"}
    more = {name: repr(value) for name, value in (way.counts | dict(way.settings)).items()}
    return [f"{name}={text}" for name, text in (arguments | more).items()]
