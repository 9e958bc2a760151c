"""`Voters`: components of the mixture alone, which have a say in the masks.

They know which partials sound together; whose they are is told by the templates, and by what the
components sound like.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf import nmf
from audionmf.errors import TemplateError
from audionmf.rendering.fields import as_float32
from audionmf.settings import Settings
from audionmf.spectra.bands import Bands

__all__ = ["VOTER_ARRAYS", "Voters"]

Matrix = NDArray[np.float32]

_MOST = 30.0

VOTER_ARRAYS = {"voters": 2, "votes": 2, "leanings": 2}
"""Arrays of a model file, and their dimensions."""


@dataclass(frozen=True, eq=False)
class Voters:
    """Components that were learnt from the mixture alone, and what is said of them.

    Parameters
    ----------
    templates : ndarray, shape (n_bins, n_voters), float32
        Their spectra.
    votes : ndarray, shape (n_groups, n_voters), float32, optional
        The share of each that is for each group; they sum to 1 over the groups.
    leanings : ndarray, shape (n_groups, n_voters), float32, optional
        How far each leans to each group, in the natural logarithm of the models of the groups where
        it sounds alone, -30 to 30.
    """

    templates: Matrix
    votes: Matrix | None = None
    leanings: Matrix | None = None

    def check(self, n_groups: int, n_bins: int) -> None:
        """Make sure that they are voters of so many groups and bins.

        Raises
        ------
        TemplateError
            If they are not, or there is none, or nothing is said of them.
        """
        told = [each for each in (self.votes, self.leanings) if each is not None]
        n_voters = self.templates.shape[1]
        fit = [each.shape == (n_groups, n_voters) for each in told]
        if not (n_voters and told and all(fit) and len(self.templates) == n_bins):
            raise TemplateError(
                f"voters of shape {self.templates.shape}, and what is said of them of shape "
                f"{[each.shape for each in told]}, do not fit {n_groups} groups and {n_bins} bins"
            )
        if self.leanings is not None and np.abs(self.leanings).max() > _MOST:
            raise TemplateError(f"voters lean by {_MOST:g} at most")

    def ordered(self, order: Sequence[int]) -> Voters:
        """Return the same for groups in another order."""
        votes, leanings = (
            None if each is None else each[order] for each in (self.votes, self.leanings)
        )
        return dataclasses.replace(self, votes=votes, leanings=leanings)

    def arrays(self) -> dict[str, Matrix]:
        """Return the arrays of a model file."""
        found = {"voters": self.templates, "votes": self.votes, "leanings": self.leanings}
        return {name: array for name, array in found.items() if array is not None}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Voters | None:
        """Return those of a model file, if it has any.

        Raises
        ------
        TemplateError
            If something is said of voters that are not there.
        """
        found = {name: as_float32(arrays[name]) for name in VOTER_ARRAYS if name in arrays}
        if not found:
            return None
        if "voters" not in found:
            raise TemplateError("votes come without voters")
        return cls(found["voters"], found.get("votes"), found.get("leanings"))

    def share(self, models: Matrix, V: Matrix, bands: Bands, settings: Settings) -> Matrix:
        """Return models of the groups in which the voters had their say.

        With votes the shares become those of the geometric mean of both models. They are moved as far
        as what sounds in a bin leans. The sum over the groups stays.

        Parameters
        ----------
        models : ndarray, shape (n_groups, n_bins, n_frames), float32
            By the templates. Not modified.
        V : ndarray, shape (n_bins, n_frames), float32
            Magnitudes of the mixture in these frames.
        bands : Bands
            On which activations of the voters are found.
        settings : Settings
            How.
        """
        W = self.templates
        G = nmf.activate(
            bands.pool(V), bands.pool(W), n_iter=settings.activation_iter,
            n_threads=1, device=settings.device,
        )  # fmt: skip
        one = models.dtype.type(1)
        mean = models / np.where(models.any(axis=0), models.max(axis=0), one)
        if self.votes is not None:
            said = _weighted(G, W, self.votes)
            mean = np.sqrt(mean * (said / np.where(said.any(axis=0), said.max(axis=0), one)))
        if self.leanings is not None:
            leaning, sounds = _weighted(G, W, self.leanings), (G.T @ W.T).T
            heard = sounds > 0
            mean *= np.exp(np.where(heard, leaning / np.where(heard, sounds, one), 0))
        total = mean.sum(axis=0)
        known = total > 0
        shares = np.where(known, mean / np.where(known, total, one), 0)
        shared: Matrix = np.where(known, models.sum(axis=0) * shares, models)
        return shared


def _weighted(G: Matrix, W: Matrix, weights: Matrix) -> Matrix:
    """Return the sums of the components by each row of weights, (n_rows, n_bins, n_frames)."""
    sums: Matrix = np.stack([G.T @ (W * row).T for row in weights]).swapaxes(1, 2)
    return sums
