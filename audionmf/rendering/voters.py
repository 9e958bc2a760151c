"""`Voters`: components of the mixture alone, which have a say in the masks.

They know which partials sound together; whose they are is told by the templates, and by what the
components sound like.
"""

from __future__ import annotations

import dataclasses
import functools
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
from audionmf.spectra.fused import FramePass, exponential, maximum, root, where_zero

__all__ = ["VOTER_ARRAYS", "Voters"]

Matrix = NDArray[np.float32]

_MOST = 30.0

_THEN = "later_"
VOTER_ARRAYS = {
    f"{prefix}{name}": 2 for prefix in ("", _THEN) for name in ("voters", "votes", "leanings")
} | {"evidence": 2}
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
    then : Voters, optional
        Others, who have their say when these have had theirs.
    evidence : ndarray, shape (2, n_groups), float32, optional
        Of what each group has of them: the share that their sound alone confirms, 0 to 1, and how far
        they lean in the mean, 0 to 30. It tells how likely a stem is to be wrong.
    activations : ndarray, shape (n_voters, n_frames), float32, optional
        Theirs in every frame of the mixture, where they are known; no part of a model file, as they
        are found again.
    """

    templates: Matrix
    votes: Matrix | None = None
    leanings: Matrix | None = None
    then: Voters | None = None
    evidence: Matrix | None = None
    activations: Matrix | None = None

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
        if self.evidence is not None:
            fits = self.evidence.shape == (2, n_groups) and (self.evidence >= 0).all()
            if not fits or (self.evidence > np.array([[1], [_MOST]])).any():
                raise TemplateError(
                    f"evidence of {n_groups} groups is a share and a number of each"
                )
        if self.then is not None:
            self.then.check(n_groups, n_bins)

    def ordered(self, order: Sequence[int]) -> Voters:
        """Return the same for groups in another order."""
        votes, leanings = (
            None if each is None else each[order] for each in (self.votes, self.leanings)
        )
        then = None if self.then is None else self.then.ordered(order)
        evidence = None if self.evidence is None else self.evidence[:, order]
        return dataclasses.replace(
            self, votes=votes, leanings=leanings, then=then, evidence=evidence
        )

    def arrays(self) -> dict[str, Matrix]:
        """Return the arrays of a model file."""
        found = {
            "voters": self.templates, "votes": self.votes, "leanings": self.leanings,
            "evidence": self.evidence,
        }  # fmt: skip
        later = {} if self.then is None else self.then.arrays()
        return {
            **{name: array for name, array in found.items() if array is not None},
            **{_THEN + name: array for name, array in later.items()},
        }

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
        later = {name.removeprefix(_THEN): a for name, a in found.items() if name.startswith(_THEN)}
        then = cls.of_arrays(later)
        votes, leanings, evidence = map(found.get, ("votes", "leanings", "evidence"))
        return cls(found["voters"], votes, leanings, then, evidence)

    def share(
        self,
        models: Matrix,
        V: Matrix,
        bands: Bands,
        settings: Settings,
        frames: slice | None = None,
    ) -> Matrix:
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
        frames : slice, optional
            Which frames of the mixture they are. Default: not known, so that activations are found.
        """
        W = self.templates
        if self.activations is None or frames is None:
            G = nmf.activate(
                bands.pool(V), bands.pool(W), n_iter=settings.activation_iter,
                n_threads=1, device=settings.device,
            )  # fmt: skip
        else:
            G = self.activations[:, frames]
        weighing = [
            *([] if self.votes is None else self.votes),
            *([] if self.leanings is None else [*self.leanings, np.ones(W.shape[1], np.float32)]),
        ]
        # One product of them all: what it takes of the templates is laid out once.
        rows = (G.T * np.stack(weighing)[:, None]).reshape(-1, W.shape[1])
        weighted = (rows @ W.T).reshape(len(weighing), -1, len(W))  # (n_rows, n_frames, n_bins)
        shared = np.empty((len(models), V.shape[1], len(V)), np.float32)
        share = _sharing_pass(len(models), self.votes is not None, self.leanings is not None)
        share([*models.swapaxes(1, 2), *weighted], [*shared])
        agreed = shared.swapaxes(1, 2)
        then = self.then
        return agreed if then is None else then.share(agreed, V, bands, settings, frames)


@functools.lru_cache(maxsize=32)
def _sharing_pass(n_groups: int, voting: bool, leaning: bool) -> FramePass:
    """Return what gives the models of a bin in which voters had their say."""

    def shared(*given: Any) -> list[Any]:
        models, told = given[:n_groups], given[n_groups:]
        mean = _relative(models)
        if voting:
            said = _relative(told[:n_groups])
            mean = [root(a * b) for a, b in zip(mean, said, strict=True)]
        if leaning:
            *leanings, sounds = told[-n_groups - 1 :]
            heard = where_zero(sounds, 1.0, sounds)
            moves = [exponential(where_zero(sounds, 0.0, each / heard)) for each in leanings]
            mean = [a * b for a, b in zip(mean, moves, strict=True)]
        total, whole = sum(mean[1:], mean[0]), sum(models[1:], models[0])
        known = where_zero(total, 1.0, total)
        return [
            where_zero(total, model, whole * (one / known))
            for model, one in zip(models, mean, strict=True)
        ]

    n_told = n_groups * voting + (n_groups + 1) * leaning
    return FramePass(shared, "f" * (n_groups + n_told), "f" * n_groups)


def _relative(models: Sequence[Any]) -> list[Any]:
    """Return models relative to the greatest, so that no power of them leaves the range."""
    top = functools.reduce(maximum, models)
    top = where_zero(top, 1.0, top)
    return [model / top for model in models]
