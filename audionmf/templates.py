"""`Templates`: spectral templates with their labels and with how they were analysed.

A template bank only fits audio of the sample rate and STFT that it was made with: both travel with
it, and a mismatch is refused with both values named.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf.archive import Kind, read_archive, write_archive
from audionmf.errors import ParameterError, TemplateError, TemplateMismatchError
from audionmf.files import StrPath
from audionmf.stft import STFT

__all__ = ["TEMPLATES_KIND", "Templates", "stft_from_metadata", "stft_metadata"]

TEMPLATES_KIND = Kind("audionmf templates", 1, {"templates": 2})


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

    Raises
    ------
    TemplateError
        If the parts do not fit each other, or values are negative or not finite.
    """

    templates: NDArray[np.float32]
    labels: tuple[str, ...]
    stft: STFT
    sample_rate: int

    def __post_init__(self) -> None:
        with np.errstate(over="ignore"):  # beyond float32 is infinite, and refused below
            templates = np.asarray(self.templates, np.float32)
        if templates.ndim != 2 or templates.shape[0] != self.stft.n_bins:
            raise TemplateError(
                f"templates of shape {templates.shape} do not fit an FFT of {self.stft.n_fft} "
                f"samples: they need {self.stft.n_bins} rows"
            )
        if templates.shape[1] == 0 or len(self.labels) != templates.shape[1]:
            raise TemplateError(f"{templates.shape[1]} templates have {len(self.labels)} labels")
        if not np.isfinite(templates).all() or (templates < 0).any():
            raise TemplateError("templates have values that are negative or not finite")
        object.__setattr__(self, "templates", templates)
        object.__setattr__(self, "labels", tuple(self.labels))

    @property
    def n_components(self) -> int:
        """Number of templates."""
        return int(self.templates.shape[1])

    @property
    def names(self) -> tuple[str, ...]:
        """The sources, in the order of their first template."""
        return tuple(dict.fromkeys(self.labels))

    def save(self, path: StrPath) -> Path:
        """Write the bank to a ``.npz`` file, whole or not at all; the same bytes each time.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        metadata = {
            "labels": list(self.labels),
            "sample_rate": self.sample_rate,
            "stft": stft_metadata(self.stft),
        }
        return write_archive(path, TEMPLATES_KIND, {"templates": self.templates}, metadata)

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
            )
        except (TemplateError, ParameterError) as error:
            raise TemplateError(f"{str(path)!r}: {error}") from error

    @classmethod
    def merge(cls, banks: Iterable[Templates]) -> Templates:
        """Join banks into one; sources with the same label become one source.

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
        return cls(
            np.concatenate([bank.templates for bank in banks], axis=1),
            tuple(label for bank in banks for label in bank.labels),
            banks[0].stft,
            banks[0].sample_rate,
        )

    def require(self, sample_rate: int, stft: STFT | None, what: str) -> None:
        """Make sure that the bank was made at `sample_rate` and, unless None, with `stft`.

        Raises
        ------
        TemplateMismatchError
            If not: names both values and the way out.
        """
        source = f"the templates of {', '.join(map(repr, self.names))}"
        if self.sample_rate != sample_rate:
            raise TemplateMismatchError(
                f"{source} were made at {self.sample_rate} Hz, {what} has {sample_rate} Hz; "
                f"learn them again from audio at {sample_rate} Hz"
            )
        if stft is not None and self.stft != stft:
            raise TemplateMismatchError(
                f"{source} were made with {describe_stft(self.stft)}, {what} with "
                f"{describe_stft(stft)}; learn them again with the same settings"
            )


def describe_stft(stft: STFT) -> str:
    """Return an STFT in the words of the options."""
    return f"n_fft {stft.n_fft}, hop {stft.hop_length}, window {stft.window}"


def stft_metadata(stft: STFT) -> dict[str, Any]:
    """Return an STFT as it stands in the metadata of a file."""
    return {"n_fft": stft.n_fft, "hop_length": stft.hop_length, "window": stft.window}


def stft_from_metadata(metadata: dict[str, Any], path: StrPath) -> STFT:
    """Return the STFT of a file's metadata, its fields checked one by one."""
    fields = metadata.get("stft")
    if not isinstance(fields, dict) or set(fields) != {"n_fft", "hop_length", "window"}:
        raise TemplateError(f"{str(path)!r} does not say which STFT it was made with")
    n_fft, hop_length, window = fields["n_fft"], fields["hop_length"], fields["window"]
    if not (type(n_fft) is int and type(hop_length) is int and 2 <= n_fft <= 1 << 20):
        raise TemplateError(f"{str(path)!r} has an STFT that makes no sense: {fields}")
    if not isinstance(window, str):
        raise TemplateError(f"{str(path)!r} has a window that is not a name: {window!r}")
    return STFT(n_fft, hop_length, window)


def rate_from_metadata(metadata: dict[str, Any], path: StrPath) -> int:
    """Return the sample rate of a file's metadata."""
    rate = metadata.get("sample_rate")
    if type(rate) is not int or not 1_000 <= rate <= 768_000:
        raise TemplateError(f"{str(path)!r} has a sample rate that makes no sense: {rate!r}")
    return rate


def labels_from_metadata(metadata: dict[str, Any], path: StrPath) -> tuple[str, ...]:
    """Return the labels of a file's metadata."""
    labels = metadata.get("labels")
    if not isinstance(labels, list) or not all(isinstance(x, str) and x for x in labels):
        raise TemplateError(f"{str(path)!r} has labels that are not names")
    return tuple(labels)
