"""What an analysis found, as the functions that draw take it beside plain arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

from audionmf.errors import ParameterError
from audionmf.plot.cells import Matrix
from audionmf.plot.overviews import Overview, overview

if TYPE_CHECKING:
    from audionmf.io.audio import Samples, Source
    from audionmf.spectra.stft import STFT

__all__ = ["Bank", "Found", "Stems", "bank_of", "found_in", "groups_of", "is_bank", "overviews_of"]


class Bank(Protocol):
    """Templates as `audionmf.learn` returns them."""

    @property
    def templates(self) -> Matrix:
        """W, (n_bins, n_components)."""

    @property
    def labels(self) -> Sequence[str]:
        """Source of each template."""

    @property
    def stft(self) -> STFT:
        """The transform that they belong to."""

    @property
    def sample_rate(self) -> int:
        """In Hz."""


class Found(Protocol):
    """A decomposition as `audionmf.decompose` returns it."""

    @property
    def templates(self) -> Bank:
        """W, with what it belongs to."""

    @property
    def activations(self) -> Matrix | None:
        """H, where it is known."""

    @property
    def grouping(self) -> Mapping[str, Sequence[int]]:
        """Components of each source."""

    def recorded(self) -> Source:
        """Return the recording."""


class Stems(Protocol):
    """Stems as `audionmf.separate` returns them."""

    @property
    def sources(self) -> Mapping[str, Samples]:
        """The stem of each source."""

    @property
    def sample_rate(self) -> int:
        """In Hz."""

    @property
    def decomposition(self) -> Found:
        """What they were rendered from."""


def found_in(given: Any) -> Found | None:
    """Return the decomposition that is given, alone or with its stems; None if it is something else."""
    given = getattr(given, "decomposition", given)
    return given if hasattr(given, "grouping") and hasattr(given, "recorded") else None


def is_bank(given: Any) -> TypeGuard[Bank]:
    """Tell whether templates are given with what they belong to."""
    return all(hasattr(given, name) for name in ("templates", "labels", "stft", "sample_rate"))


def bank_of(given: Any, what: str) -> Bank:
    """Return the templates of what is given.

    Raises
    ------
    ParameterError
        If it has none; `what` is what was to be drawn.
    """
    found = found_in(given)
    bank = given if found is None else found.templates
    if not is_bank(bank):
        raise ParameterError(
            f"{what} are drawn of a Decomposition, a Separation or Templates alone, or of an array "
            f"with its STFT and sample rate, not of {type(given).__name__}"
        )
    return bank


def groups_of(found: Found | None, bank: Bank) -> list[str]:
    """Return the group of each component; none where each is a source of its own."""
    groups = list(bank.labels)
    if found is not None:
        owners = {k: name for name, members in found.grouping.items() for k in members}
        groups = [owners.get(k, groups[k]) for k in range(len(groups))]
    return [] if len(set(groups)) == len(groups) else groups


def overviews_of(stems: Stems) -> dict[str, Overview]:
    """Return what a picture needs of each stem."""
    stft, rate = stems.decomposition.templates.stft, stems.sample_rate
    return {name: overview(stem, stft, rate) for name, stem in stems.sources.items()}
