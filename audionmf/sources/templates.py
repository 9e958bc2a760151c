"""`Templates`: spectral templates with their labels and with how they were analysed.

A template bank only fits audio of the sample rate and STFT that it was made with: both travel with
it, and a mismatch is refused with both values named. `Templates.convert` brings a bank to another
sample rate or STFT.
"""

from __future__ import annotations

import dataclasses
import math
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.errors import ParameterError, TemplateError, TemplateMismatchError
from audionmf.io.archive import Kind, read_archive, write_archive
from audionmf.io.files import StrPath, listed, one_form
from audionmf.sources.struck import (
    MOST_LAGS,
    MOST_PATTERNS,
    Patterns,
    nearest_stft,
    on_bins,
)
from audionmf.spectra.bands import Bands
from audionmf.spectra.log_stft import front_end
from audionmf.spectra.neighbours import Neighbours
from audionmf.spectra.stft import STFT

__all__ = [
    "MOST_COMPONENTS",
    "MOST_SOUND_FRAMES",
    "MOST_SOURCES",
    "TEMPLATES_KIND",
    "Templates",
    "stft_from_metadata",
    "stft_metadata",
]

MOST_COMPONENTS = 1 << 14
"""Templates that a bank may have: four sources of as many as can be asked for."""

MOST_SOURCES = 4096
"""Sources that they may be of."""

MOST_SOUND_FRAMES = 512
"""Frames of a source of which a bank keeps how they went on."""

TEMPLATES_KIND = Kind(
    "audionmf templates",
    3,
    {"templates": 2, "context": 2, "patterns": 3, "sounds": 2},
    optional=frozenset({"context", "patterns", "sounds"}),
    most={
        "templates": (1, MOST_COMPONENTS),
        "patterns": (2, MOST_PATTERNS),
        "sounds": (1, MOST_SOURCES * MOST_SOUND_FRAMES),
    },
    oldest=1,  # before there were a context and patterns, and 2 before there were sounds
)

_MIN_RATE, _MAX_RATE = 1_000, 768_000
_CONVERT = "have them converted: --convert, or convert=True"


@dataclass(frozen=True, eq=False)
class Templates:
    """A bank of spectral templates.

    Parameters
    ----------
    templates : ndarray, shape (n_bins, n_components), float32
        W: non-negative magnitude spectra, one a column.
    labels : tuple of str, length n_components
        The source that each template belongs to.
    stft : STFT
        The transform they were made with.
    sample_rate : int
        In Hz, of the audio they were made from.
    durations : tuple of float, length n_components, optional
        For how many seconds each template typically rings at a time in what it was learnt from,
        where that is known.
    context : ndarray, shape (n_rows, n_components), float32, optional
        What comes before and after each template, as `Neighbours` says it, in the unit of the
        templates: they are then frames of recordings.
    patterns : Patterns, optional
        Courses of those sources that are struck sounds, beside their templates.
    sounds : mapping of str to ndarray, shape (n_bands, 1 to 512), float32, default empty
        Of sources, where it is known: successive frames of what they were learnt from, magnitudes
        on `Bands`. They tell what sounds like a source, not what it is made of.

    Raises
    ------
    TemplateError
        If the parts do not fit each other, or values are negative or not finite.
    """

    templates: NDArray[np.float32]
    labels: tuple[str, ...]
    stft: STFT
    sample_rate: int
    durations: tuple[float, ...] | None = None
    context: NDArray[np.float32] | None = None
    patterns: Patterns | None = None
    sounds: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    def __repr__(self) -> str:
        return (
            f"<Templates: {self.n_components} of {listed(self.names)}, {self.sample_rate} Hz, "
            f"windows of {self.stft.n_fft} samples>"
        )

    def __post_init__(self) -> None:
        with np.errstate(over="ignore"):  # beyond float32 is infinite, and refused below
            templates = np.asarray(self.templates, np.float32)
        if templates.ndim != 2 or templates.shape[0] != self.stft.n_bins:
            raise TemplateError(
                f"templates of shape {templates.shape} do not fit an FFT of {self.stft.n_fft} "
                f"samples: they need {self.stft.n_bins} rows"
            )
        if templates.shape[1] > MOST_COMPONENTS:
            raise TemplateError(
                f"{templates.shape[1]} templates are more than the {MOST_COMPONENTS} that a bank may "
                "have; learn fewer"
            )
        if templates.shape[1] == 0 or len(self.labels) != templates.shape[1]:
            raise TemplateError(f"{templates.shape[1]} templates have {len(self.labels)} labels")
        if not np.isfinite(templates).all() or (templates < 0).any():
            raise TemplateError("templates have values that are negative or not finite")
        object.__setattr__(self, "templates", templates)
        object.__setattr__(self, "labels", tuple(one_form(label) for label in self.labels))
        if len(self.names) > MOST_SOURCES:
            raise TemplateError(
                f"templates of {len(self.names)} sources are in one bank; {MOST_SOURCES} are the most"
            )
        if self.durations is not None:
            try:
                durations = tuple(float(seconds) for seconds in self.durations)
            except OverflowError:
                durations = (math.inf,) * len(self.labels)
            if len(durations) != len(self.labels):
                raise TemplateError(f"{len(self.labels)} templates have {len(durations)} durations")
            if not all(0 <= seconds < math.inf for seconds in durations):
                raise TemplateError("templates have durations that are negative or not finite")
            object.__setattr__(self, "durations", durations)
        self._check_context()
        self._check_patterns()
        self._check_sounds()

    def _check_context(self) -> None:
        if self.context is None:
            return
        with np.errstate(over="ignore"):
            context = np.asarray(self.context, np.float32)
        wanted = (Neighbours.of(self.stft, self.sample_rate).n_rows, self.n_components)
        if context.shape != wanted:
            raise TemplateError(
                f"a context of shape {context.shape} does not fit; needed: {wanted}"
            )
        if not np.isfinite(context).all() or (context < 0).any():
            raise TemplateError("the context has values that are negative or not finite")
        object.__setattr__(self, "context", context)

    def _check_patterns(self) -> None:
        if self.patterns is None:
            return
        if self.patterns.sample_rate != self.sample_rate:
            raise TemplateError("patterns and templates have different sample rates")
        if strange := sorted(set(self.patterns.labels) - set(self.names)):
            raise TemplateError(f"there are patterns of {strange[0]!r}, but no templates")

    def _check_sounds(self) -> None:
        if not self.sounds:
            return
        object.__setattr__(self, "sounds", {one_form(n): V for n, V in self.sounds.items()})
        if strange := sorted(set(self.sounds) - set(self.names)):
            raise TemplateError(f"there is a sound of {strange[0]!r}, but no templates")
        n_bands, checked = len(Bands.of(self.stft, self.sample_rate).edges), {}
        for name, sound in self.sounds.items():
            with np.errstate(over="ignore"):
                checked[name] = np.asarray(sound, np.float32)
            shape = checked[name].shape
            if len(shape) != 2 or shape[0] != n_bands or not 1 <= shape[1] <= MOST_SOUND_FRAMES:
                raise TemplateError(
                    f"the sound of {name!r} has shape {shape}; needed: {n_bands} rows and 1 to "
                    f"{MOST_SOUND_FRAMES} columns"
                )
            if not np.isfinite(checked[name]).all() or (checked[name] < 0).any():
                raise TemplateError(
                    f"the sound of {name!r} has values that are negative or not finite"
                )
        object.__setattr__(self, "sounds", checked)

    @property
    def n_components(self) -> int:
        """Number of templates."""
        return int(self.templates.shape[1])

    @property
    def names(self) -> tuple[str, ...]:
        """The sources, in the order of their first template."""
        return tuple(dict.fromkeys(self.labels))

    def only(self, name: str) -> Templates:
        """Return the templates of one source."""
        if self.names == (name,):
            return self
        kept = [k for k, label in enumerate(self.labels) if label == name]
        bank = dataclasses.replace(
            self,
            patterns=self.patterns and self.patterns.only(name),
            sounds={one: sound for one, sound in self.sounds.items() if one == name},
        )
        return bank._take(kept)

    def thinned(self, most: int) -> Templates:
        """Return at most so many templates of each source, evenly spaced, where they are frames.

        Frames are in the order in which they were played, and bring their context. Other templates
        are not left out: each is needed.
        """
        if self.context is None:
            return self
        kept: list[int] = []
        for name in self.names:
            mine = [k for k, label in enumerate(self.labels) if label == name]
            places = np.linspace(0, len(mine) - 1, min(most, len(mine))).round().astype(int)
            kept += [mine[place] for place in places]
        return self._take(kept)

    def _take(self, kept: list[int]) -> Templates:
        return dataclasses.replace(
            self,
            templates=self.templates[:, kept],
            labels=tuple(self.labels[k] for k in kept),
            durations=self.durations and tuple(self.durations[k] for k in kept),
            context=None if self.context is None else self.context[:, kept],
        )

    def called(self, name: str) -> Templates:
        """Return the same templates as those of one source."""
        return dataclasses.replace(
            self,
            labels=(name,) * self.n_components,
            patterns=self.patterns and self.patterns.called(name),
            sounds=_joined([{name: sound} for sound in self.sounds.values()], {name}),
        )

    def spectra(self) -> Templates:
        """Return the templates alone: without durations, context, patterns and sounds."""
        return dataclasses.replace(self, durations=None, context=None, patterns=None, sounds={})

    def save(self, path: StrPath) -> Path:
        """Write the bank to a ``.npz`` file, whole or not at all; the same bytes each time.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        metadata: dict[str, Any] = {
            "labels": list(self.labels),
            "sample_rate": self.sample_rate,
            "stft": stft_metadata(self.stft),
        }
        if self.durations is not None:
            metadata["durations"] = list(self.durations)
        arrays = {"templates": self.templates}
        if self.context is not None:
            arrays["context"] = self.context
        if self.patterns is not None:
            arrays["patterns"] = self.patterns.patterns
            metadata["patterns"] = {
                "labels": list(self.patterns.labels),
                "stft": stft_metadata(self.patterns.stft),
            }
        if self.sounds:
            arrays["sounds"] = np.concatenate(list(self.sounds.values()), axis=1)
            metadata["sounds"] = [[name, sound.shape[1]] for name, sound in self.sounds.items()]
        return write_archive(path, TEMPLATES_KIND, arrays, metadata)

    @classmethod
    def load(cls, path: StrPath) -> Templates:
        """Read a bank that `save` wrote.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        TemplateError
            If it is not a template file, or damaged, or of another version.
        """
        arrays, metadata = read_archive(path, TEMPLATES_KIND)
        try:
            return cls(
                arrays["templates"],
                labels_from_metadata(metadata, path),
                stft_from_metadata(metadata, path),
                rate_from_metadata(metadata, path),
                _durations_from_metadata(metadata, path),
                arrays.get("context"),
                _patterns_from(arrays.get("patterns"), metadata, path),
                _sounds_from(arrays.get("sounds"), metadata, path),
            )
        except (TemplateError, ParameterError) as error:
            raise TemplateError(f"{str(path)!r}: {error}") from error

    @classmethod
    def merge(cls, banks: Iterable[Templates]) -> Templates:
        """Join banks into one; sources with the same label become one source.

        Durations and the context are kept where every bank has them; patterns, where they have one
        STFT; the sound of a source, where all that have templates of it know it.

        Raises
        ------
        ParameterError
            If there are no banks.
        TemplateMismatchError
            If they were made at different sample rates or with different STFTs.
        """
        banks = list(banks)
        if not banks:
            raise ParameterError("there are no templates to merge")
        for bank in banks[1:]:
            bank.require(banks[0].sample_rate, banks[0].stft, "the first bank")
        durations = [bank.durations for bank in banks if bank.durations is not None]
        contexts = [bank.context for bank in banks if bank.context is not None]
        patterns = [bank.patterns for bank in banks if bank.patterns is not None]
        alike = len({each.stft for each in patterns}) == 1
        return cls(
            np.concatenate([bank.templates for bank in banks], axis=1),
            tuple(label for bank in banks for label in bank.labels),
            banks[0].stft,
            banks[0].sample_rate,
            tuple(d for each in durations for d in each) if len(durations) == len(banks) else None,
            np.concatenate(contexts, axis=1) if len(contexts) == len(banks) else None,
            Patterns.merge(patterns) if alike else None,
            _joined([bank.sounds for bank in banks], _all_heard(banks)),
        )

    def convert(self, sample_rate: int, stft: STFT | None = None) -> Templates:
        """Return the bank for another sample rate or STFT.

        Each template is read between its bins along a cubic spline, never below zero; where the new
        bins lie twice as far apart or more, each old bin is shared out among the two new ones
        beside it instead. Frequencies in Hz stay, and so does the sum of each template (1 for those
        of `learn`). Bins that both grids have keep their shape exactly.

        It cannot make up for what the old analysis did not see. Above half the old rate templates
        are zero. Partials keep their width in Hz, although another window length or another window
        would make them narrower or wider; and what a longer window would tell apart stays one
        lump. Templates that are learnt again from audio are therefore better: by nothing from half
        the rate, by about a decibel from 48 to 44.1 kHz, where the windows differ by a tenth.

        Parameters
        ----------
        sample_rate : int
            In Hz.
        stft : STFT, optional
            Default: a window of the same length in seconds, to the nearest power of two, and a hop
            of the same share of it.

        Returns
        -------
        Templates
            With the same labels. A template that lies wholly above half the new rate is zero. The
            context and sounds are left out, unless nothing changes; patterns are converted too.

        Raises
        ------
        ParameterError
            If the sample rate is no whole number from 1000 to 768000, or there is no such STFT.
        """
        if not _is_rate(sample_rate):
            raise ParameterError(
                f"a sample rate is a whole number from {_MIN_RATE} to {_MAX_RATE}, not {sample_rate!r}"
            )
        target = stft or nearest_stft(self.stft, self.sample_rate, sample_rate)
        if (sample_rate, target) == (self.sample_rate, self.stft):
            return self
        if not self.stft.front_end == target.front_end == "stft":
            raise TemplateMismatchError(
                f"the templates of {', '.join(map(repr, self.names))} were made with "
                f"{describe_stft(self.stft)} at {self.sample_rate} Hz; only those of an STFT can be "
                "converted, to an STFT: learn them again"
            )
        spectra = on_bins(
            self.templates.astype(np.float64),
            self.sample_rate / self.stft.n_fft,
            sample_rate / target.n_fft,
            target.n_bins,
        )
        return dataclasses.replace(
            self,
            templates=spectra.astype(np.float32),
            stft=target,
            sample_rate=sample_rate,
            context=None,
            sounds={},
            patterns=self.patterns
            and self.patterns.convert(sample_rate, self._shorter(sample_rate)),
        )

    def _shorter(self, sample_rate: int) -> STFT:
        """Return the STFT of the patterns at another sample rate."""
        if self.patterns is None:
            return self.stft
        return nearest_stft(self.patterns.stft, self.sample_rate, sample_rate)

    def require(
        self, sample_rate: int, stft: STFT | None, what: str, *, convertible: bool = False
    ) -> None:
        """Make sure that the bank was made at `sample_rate` and, unless None, with `stft`.

        A refusal names conversion as a way out where `convertible`.

        Raises
        ------
        TemplateMismatchError
            If not: names both values and the way out.
        """
        alike = stft is None or self.stft.front_end == stft.front_end == "stft"
        otherwise = f", or {_CONVERT}" if convertible and alike else ""
        source = f"the templates of {', '.join(map(repr, self.names))}"
        if self.sample_rate != sample_rate:
            raise TemplateMismatchError(
                f"{source} were made at {self.sample_rate} Hz, {what} has {sample_rate} Hz; "
                f"learn them again from audio at {sample_rate} Hz{otherwise}"
            )
        if stft is not None and self.stft != stft:
            raise TemplateMismatchError(
                f"{source} were made with {describe_stft(self.stft)}, {what} with "
                f"{describe_stft(stft)}; learn them again with the same settings{otherwise}"
            )


def describe_stft(stft: STFT) -> str:
    """Return an STFT in the words of the options."""
    size = f"n_fft {stft.n_fft}, hop {stft.hop_length}"
    if stft.front_end != "stft":
        return f"front end {stft.front_end}, {size}"
    return f"{size}, window {stft.window}"


def stft_metadata(stft: STFT) -> dict[str, Any]:
    """Return an STFT as it stands in the metadata of a file."""
    fields = {"n_fft": stft.n_fft, "hop_length": stft.hop_length, "window": stft.window}
    return fields if stft.front_end == "stft" else {**fields, "front_end": stft.front_end}


def stft_from_metadata(metadata: dict[str, Any], path: StrPath) -> STFT:
    """Return the STFT of a file's metadata, its fields checked one by one."""
    fields = metadata.get("stft")
    wanted = {"n_fft", "hop_length", "window"}
    if not isinstance(fields, dict) or set(fields) - {"front_end"} != wanted:
        raise TemplateError(f"{str(path)!r} does not say which STFT it was made with")
    n_fft, hop_length, window = fields["n_fft"], fields["hop_length"], fields["window"]
    if not (type(n_fft) is int and type(hop_length) is int and 2 <= n_fft <= 1 << 20):
        raise TemplateError(
            f"{str(path)!r} has an STFT that makes no sense: {reprlib.repr(fields)}"
        )
    if not isinstance(window, str):
        raise TemplateError(
            f"{str(path)!r} has a window that is not a name: {reprlib.repr(window)}"
        )
    kind = fields.get("front_end", "stft")
    if kind not in ("stft", "log"):
        raise TemplateError(
            f"{str(path)!r} was made with a front end that is not known here: {reprlib.repr(kind)}"
        )
    return front_end(kind, n_fft, hop_length, window)


def rate_from_metadata(metadata: dict[str, Any], path: StrPath) -> int:
    """Return the sample rate of a file's metadata."""
    rate: Any = metadata.get("sample_rate")
    if not _is_rate(rate):
        raise TemplateError(
            f"{str(path)!r} has a sample rate that makes no sense: {reprlib.repr(rate)}"
        )
    checked: int = rate
    return checked


def labels_from_metadata(metadata: dict[str, Any], path: StrPath) -> tuple[str, ...]:
    """Return the labels of a file's metadata."""
    labels = metadata.get("labels")
    if not isinstance(labels, list) or not all(isinstance(x, str) and x for x in labels):
        raise TemplateError(f"{str(path)!r} has labels that are not names")
    return tuple(labels)


def _durations_from_metadata(metadata: dict[str, Any], path: StrPath) -> tuple[float, ...] | None:
    durations = metadata.get("durations")
    if durations is None:
        return None
    if not isinstance(durations, list) or not all(type(x) in (int, float) for x in durations):
        raise TemplateError(f"{str(path)!r} has durations that are not numbers")
    return tuple(durations)


def _patterns_from(
    patterns: NDArray[Any] | None, metadata: dict[str, Any], path: StrPath
) -> Patterns | None:
    if patterns is None:
        return None
    fields = metadata.get("patterns")
    if not isinstance(fields, dict):
        raise TemplateError(f"{str(path)!r} does not say what its patterns are of")
    if len(patterns) > MOST_LAGS:
        raise TemplateError(f"{str(path)!r} has patterns of more than {MOST_LAGS} frames")
    return Patterns(
        patterns,
        labels_from_metadata(fields, path),
        stft_from_metadata(fields, path),
        rate_from_metadata(metadata, path),
    )


def _sounds_from(
    frames: NDArray[Any] | None, metadata: dict[str, Any], path: StrPath
) -> dict[str, NDArray[Any]]:
    """Return what sources sound like, cut where the metadata says."""
    if frames is None:
        return {}
    fields = metadata.get("sounds")
    said = isinstance(fields, list) and all(
        isinstance(one, list) and [type(part) for part in one] == [str, int] for one in fields
    )
    if not said or not fields or sum(one[1] for one in fields) != frames.shape[1]:
        raise TemplateError(f"{str(path)!r} does not say whose sounds it holds")
    ends = np.cumsum([one[1] for one in fields])
    parts = np.split(frames, ends[:-1], axis=1)
    return {one[0]: part for one, part in zip(fields, parts, strict=True)}


def _all_heard(banks: Iterable[Templates]) -> set[str]:
    """Return the sources whose sound is known to every bank that has templates of them."""
    known: set[str] = set()
    unknown: set[str] = set()
    for bank in banks:
        known |= set(bank.sounds)
        unknown |= set(bank.names) - set(bank.sounds)
    return known - unknown


def _joined(
    sounds: Iterable[Mapping[str, NDArray[np.float32]]], names: set[str]
) -> dict[str, NDArray[np.float32]]:
    """Return the sounds of some sources, those of one name one after the other, as far as they go."""
    found: dict[str, NDArray[np.float32]] = {}
    for each in sounds:
        for name in each.keys() & names:
            parts = [found[name], each[name]] if name in found else [each[name]]
            found[name] = np.concatenate(parts, axis=1)[:, :MOST_SOUND_FRAMES]
    return dict(sorted(found.items()))


def _is_rate(rate: Any) -> bool:
    return type(rate) is int and _MIN_RATE <= rate <= _MAX_RATE
