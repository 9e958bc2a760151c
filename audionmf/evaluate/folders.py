"""Compare folders of stems with the true ones: match the files, check them, score them, tell.

`evaluate` has the scores themselves, on plain arrays.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.errors import AudioReadError, AudioWarning, InvalidAudioError, ParameterError
from audionmf.evaluate import measures
from audionmf.evaluate.measures import BssEval, Scores
from audionmf.io.audio import AudioFile, read
from audionmf.io.files import StrPath, counted, require_file, write_bytes

__all__ = [
    "MATCHES",
    "Report",
    "StemReport",
    "audio_files",
    "evaluate_folders",
    "to_csv",
    "to_dict",
    "to_text",
]

MATCHES = ("auto", "name", "best")
"""Ways to find which estimate is which reference."""

_FORMATS = "aif aifc aiff au caf flac mp3 oga ogg opus rf64 snd w64 wav wave"
_SUFFIXES = frozenset(f".{extension}" for extension in _FORMATS.split())
_LENGTHS_MAY_DIFFER = 0.01
_HEADINGS = {
    "si_sdr": "SI-SDR",
    "si_sir": "SI-SIR",
    "si_sar": "SI-SAR",
    "sdr": "SDR",
    "sir": "SIR",
    "sar": "SAR",
}


@dataclass(frozen=True)
class StemReport:
    """One estimate beside its reference.

    Parameters
    ----------
    reference, estimate : pathlib.Path
        The two files.
    scores : Scores
        Scale-invariant scores in dB.
    bss_eval : BssEval or None
        BSS Eval scores in dB, if they were asked for.
    silent : bool
        The reference is silent: the scores, all minus infinity, say nothing about the estimate.
    """

    reference: Path
    estimate: Path
    scores: Scores
    bss_eval: BssEval | None
    silent: bool

    @property
    def name(self) -> str:
        """Name of the reference, without its extension."""
        return self.reference.stem

    @property
    def values(self) -> dict[str, float]:
        """All scores by name: si_sdr, si_sir, si_sar, and sdr, sir, sar if they are there."""
        more = {} if self.bss_eval is None else dataclasses.asdict(self.bss_eval)
        return dataclasses.asdict(self.scores) | more


@dataclass(frozen=True)
class Report:
    """How a set of estimates compares with the references.

    Parameters
    ----------
    references, estimates : pathlib.Path
        The folders or files that were compared.
    match : {"name", "best"}
        How the files were matched.
    sample_rate : int
        In Hz.
    n_channels, n_samples : int
        Channels of each stem, and samples of each channel that were compared.
    stems : tuple of StemReport
        At least one, in order of the references.
    residual : float
        Energy of the difference between the sum of the estimates and that of the references, over
        that of the latter, in dB; less is better, and minus infinity means that they are equal.
    """

    references: Path
    estimates: Path
    match: str
    sample_rate: int
    n_channels: int
    n_samples: int
    stems: tuple[StemReport, ...]
    residual: float

    def __repr__(self) -> str:
        silent = all(stem.silent for stem in self.stems)
        mean = "" if silent else f", SI-SDR {self.mean['si_sdr']:.1f} dB in the mean"
        return f"<Report: {counted(len(self.stems), 'stem')} of {str(self.estimates)!r}{mean}>"

    @property
    def mean(self) -> dict[str, float]:
        """Mean of each score over the stems whose reference is not silent."""
        rows = [stem.values for stem in self.stems if not stem.silent]
        return {name: _mean([row[name] for row in rows]) for name in rows[0]}


def audio_files(path: StrPath) -> list[Path]:
    """Return the audio files of a folder, sorted by name, or the one file that `path` is.

    Hidden files, folders in the folder, and files without an extension of audio are passed over.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    AudioReadError
        If it is neither a folder nor an ordinary file, or may not be read.
    InvalidAudioError
        If the folder holds no audio file.
    """
    path = Path(path)
    try:
        entries = sorted(path.iterdir())
    except PermissionError as error:
        raise AudioReadError(
            error.errno, f"{str(path)!r} may not be read; check its permissions"
        ) from error
    except (OSError, ValueError):  # no folder
        return [require_file(path)]
    found = [file for file in entries if _is_audio(file)]
    if not found:
        raise InvalidAudioError(f"{str(path)!r} holds no audio file; give the folder of the stems")
    return found


def evaluate_folders(
    references: StrPath, estimates: StrPath, match: str = "auto", bss_eval: bool = False
) -> Report:
    """Score the stems in a folder against the true ones in another.

    Parameters
    ----------
    references : path
        A folder of true stems, or one audio file.
    estimates : path
        A folder of estimates, or one audio file.
    match : {"auto", "name", "best"}, default "auto"
        Which estimate is which reference: the one of the same file name without its extension (case
        matters), or that of the assignment with the largest sum of SI-SDR. "auto" goes by name if
        any name is on both sides.
    bss_eval : bool, default False
        Compute BSS Eval as well, which takes longer, more memory, and fast-bss-eval.

    Returns
    -------
    Report
        Scores of each stem that is on both sides, which alone make the span of all references.
        Warnings (`AudioWarning`) name the files that are
        left out, those that are silent, and lengths that differ by up to 1 %, where the shortest
        counts.

    Raises
    ------
    ParameterError
        If `match` is unknown, or "name" is asked for and no name is on both sides.
    FileNotFoundError, AudioReadError, LimitError
        If a file cannot be read.
    InvalidAudioError
        If a file is broken, a folder holds no audio or one name twice, sample rates, channels or
        lengths differ, or all references are silent.
    MissingExtraError
        If BSS Eval is asked for and fast-bss-eval is not installed.
    """
    if match not in MATCHES:
        raise ParameterError(f"match is one of {', '.join(MATCHES)}, not {match!r}")
    truths, guesses = audio_files(references), audio_files(estimates)
    names = {path.stem for path in truths} & {path.stem for path in guesses}
    by_name = match == "name" or (match == "auto" and bool(names))
    compared = (_read_by_name if by_name else _read_by_score)(truths, guesses)
    _warn_left_out(truths, guesses, compared.pairs)
    _, n_channels, n_samples = compared.stems.shape
    return Report(
        Path(references),
        Path(estimates),
        "name" if by_name else "best",
        compared.sample_rate,
        n_channels,
        n_samples,
        _score(compared, bss_eval=bss_eval),
        measures.residual(compared.stems, compared.others),
    )


def to_dict(report: Report) -> dict[str, Any]:
    """Return a report as plain values that go into JSON.

    JSON has no infinity: infinite scores are the strings "inf" and "-inf".
    """
    stems = [
        {
            "name": stem.name,
            "reference": str(stem.reference),
            "estimate": str(stem.estimate),
            "silent": stem.silent,
            **_plain(stem.values),
        }
        for stem in report.stems
    ]
    return {
        "references": str(report.references),
        "estimates": str(report.estimates),
        "match": report.match,
        "sample_rate": report.sample_rate,
        "n_channels": report.n_channels,
        "n_samples": report.n_samples,
        "stems": stems,
        "mean": _plain(report.mean),
        "residual_db": _plain({"": report.residual})[""],
    }


def to_text(report: Report) -> str:
    """Return a report as a table and a few words, for people."""
    titles = [_HEADINGS[name] for name in report.mean]
    rows = [["stem", "estimate", *titles]]
    for stem in report.stems:
        rows.append([_shown(stem.name), _shown(stem.estimate.name), *_decibels(stem.values)])
    rows.append(["mean", "", *_decibels(report.mean)])
    how = "by name" if report.match == "name" else "by the largest sum of SI-SDR"
    return "\n".join(
        [
            f"Matched {how}. In dB; more is better.",
            *_table(rows),
            _residual_text(report.residual),
        ]
    )


def to_csv(report: Report, path: StrPath) -> Path:
    """Write the scores as CSV, a line for each stem, whole or not at all.

    Parameters
    ----------
    report : Report
        As `evaluate_folders` returns it.
    path : path
        The file. Its columns are name, reference, estimate, and each score in dB; infinite ones
        are ``inf`` and ``-inf``.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "reference", "estimate", *report.mean])
    for stem in report.stems:
        values = [f"{value:.6f}" for value in stem.values.values()]
        writer.writerow([stem.name, stem.reference, stem.estimate, *values])
    return write_bytes(path, text.getvalue().encode("utf-8", "surrogateescape"))


def _is_audio(path: Path) -> bool:
    return path.suffix.lower() in _SUFFIXES and not path.name.startswith(".") and not path.is_dir()


@dataclass(frozen=True, eq=False)
class _Compared:
    """Pairs of a reference and its estimate, and their samples (n_pairs, n_channels, n_samples)."""

    pairs: Sequence[tuple[Path, Path]]
    sample_rate: int
    stems: NDArray[np.float32]
    others: NDArray[np.float32]


def _read_by_name(truths: Sequence[Path], guesses: Sequence[Path]) -> _Compared:
    """Read the files whose name is on both sides."""
    named, others = _named(truths), _named(guesses)
    pairs = [(path, others[name]) for name, path in named.items() if name in others]
    if not pairs:
        raise ParameterError(
            f"no name is on both sides: the references are {_listed(truths)}, the estimates "
            f"{_listed(guesses)}; rename them, or match by 'best'"
        )
    return _Compared(pairs, *_read([pair[0] for pair in pairs], [pair[1] for pair in pairs]))


def _read_by_score(truths: Sequence[Path], guesses: Sequence[Path]) -> _Compared:
    """Read all files, and pair them so that the scores are best."""
    sample_rate, stems, others = _read(truths, guesses)
    matched = measures.best_match(stems, others)
    rows, columns = ([pair[side] for pair in matched] for side in (0, 1))
    pairs = [(truths[row], guesses[column]) for row, column in matched]
    return _Compared(pairs, sample_rate, stems[rows], others[columns])


def _named(paths: Sequence[Path]) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for path in paths:
        if path.stem in named:
            raise InvalidAudioError(
                f"{str(named[path.stem])!r} and {str(path)!r} have the same name; take one away"
            )
        named[path.stem] = path
    return named


def _listed(paths: Sequence[Path], most: int = 6) -> str:
    names = [repr(path.stem) for path in paths[:most]]
    return ", ".join([*names, *(["…"] if len(paths) > most else [])])


def _warn_left_out(
    truths: Sequence[Path], guesses: Sequence[Path], pairs: Sequence[tuple[Path, Path]]
) -> None:
    used = {path for pair in pairs for path in pair}
    for side, other, paths in (
        ("reference", "estimate", truths),
        ("estimate", "reference", guesses),
    ):
        if left := [path for path in paths if path not in used]:
            _warn(f"left out, as no {other} belongs to the {side}: {_listed(left)}")


def _check_layout(paths: Sequence[Path]) -> int:
    """Make sure that all files have the same sample rate and channels; return the rate in Hz."""
    first, *others = [AudioFile(path) for path in paths]
    for file in others:
        _check_equal(first, file, "sample_rate", "{} Hz", "resample one of them")
        _check_equal(first, file, "n_channels", "{} channel(s)", "give both as mono or as stereo")
    return first.sample_rate


def _check_equal(first: AudioFile, other: AudioFile, what: str, unit: str, remedy: str) -> None:
    values = [unit.format(getattr(file, what)) for file in (first, other)]
    if values[0] != values[1]:
        raise InvalidAudioError(
            f"{str(first.path)!r} has {values[0]}, {str(other.path)!r} has {values[1]}; {remedy}"
        )


def _read(
    truths: Sequence[Path], guesses: Sequence[Path]
) -> tuple[int, NDArray[np.float32], NDArray[np.float32]]:
    """Return the sample rate of all files, and the samples of references and estimates."""
    paths = [*truths, *guesses]
    sample_rate = _check_layout(paths)
    samples = _cut([read(path).samples for path in paths], paths)
    return sample_rate, samples[: len(truths)], samples[len(truths) :]


def _cut(samples: Sequence[NDArray[np.float32]], paths: Sequence[Path]) -> NDArray[np.float32]:
    """Return the samples of all files as long as the shortest: (n_files, n_channels, n_samples)."""
    lengths = [array.shape[1] for array in samples]
    shortest, longest = int(np.argmin(lengths)), int(np.argmax(lengths))
    least, most = lengths[shortest], lengths[longest]
    if least < most:
        differ = f"{str(paths[shortest])!r} has {least} samples, {str(paths[longest])!r} has {most}"
        if most - least > _LENGTHS_MAY_DIFFER * most:
            raise InvalidAudioError(f"{differ}; cut or pad one, so that they start and end alike")
        _warn(f"{differ}; the first {least} are compared")
    return np.stack([array[:, :least] for array in samples])


def _score(compared: _Compared, *, bss_eval: bool) -> tuple[StemReport, ...]:
    pairs, stems, others = compared.pairs, compared.stems, compared.others
    silent = [_is_silent(stem) for stem in stems]
    if all(silent):
        raise InvalidAudioError(
            f"all references are silent, {str(pairs[0][0])!r} among them; there is nothing to "
            "compare with"
        )
    for (reference, estimate), nothing, other in zip(pairs, silent, others, strict=True):
        if nothing:
            _warn(f"{str(reference)!r} is silent; it does not count in the mean")
        elif _is_silent(other):
            _warn(f"{str(estimate)!r} is silent; its scores are minus infinity")
    filtered: Sequence[BssEval | None] = [None] * len(pairs)
    if bss_eval:
        filtered = measures.bss_eval(stems, others)
    plain = measures.scores(stems, others)
    return tuple(
        StemReport(*pair, score, more, nothing)
        for pair, score, more, nothing in zip(pairs, plain, filtered, silent, strict=True)
    )


def _is_silent(samples: NDArray[np.float32]) -> bool:
    """Tell whether samples are all the same: `Scores` remove the mean."""
    return bool(samples.min() == samples.max())


def _mean(values: Sequence[float]) -> float:
    return -math.inf if -math.inf in values else sum(values) / len(values)


def _plain(values: dict[str, float]) -> dict[str, float | str]:
    return {name: v if math.isfinite(v) else str(v) for name, v in values.items()}


def _decibels(values: dict[str, float]) -> list[str]:
    return [f"{value:.1f}" for value in values.values()]


def _shown(name: str) -> str:
    return name if name.isprintable() else repr(name)


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines: two columns of text, then columns of numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  "
        + "  ".join(
            cell.ljust(width) if k < 2 else cell.rjust(max(width, 6))
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _residual_text(residual: float) -> str:
    if residual == -math.inf:
        return "The estimates sum to what the references sum to, exactly."
    return (
        "The sum of the estimates differs from that of the references by "
        f"{residual:.1f} dB (less is better)."
    )


def _warn(text: str) -> None:
    warnings.warn(AudioWarning(text), stacklevel=3)
