"""`Decomposition`: what an analysis found, small enough to keep; rendering needs no more than it.

Templates and grouping determine the stems: with the templates fixed, the activations follow from the
mixture frame by frame. Where they are known for the whole mixture they are kept, and rendering
again need not look for them.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from audionmf import nmf
from audionmf.errors import ParameterError, ScoreError, TemplateError, TemplateMismatchError
from audionmf.io.archive import Kind, read_archive, write_archive
from audionmf.io.audio import AudioFile, Source
from audionmf.io.files import StrPath, counted, file_hash, listed
from audionmf.nmf.solver import thread_count
from audionmf.rendering.absent import Absent, absent_frames, alike, within
from audionmf.rendering.fields import (
    MAX_SAMPLES,
    absent_of,
    as_float32,
    check_covariances,
    check_shares,
    complex_of,
    divergence_of,
    flag_of,
    grouping_of,
    keys_of,
    margin_of,
    number_of,
    score_of,
    text_of,
    weight_of,
    word_of,
)
from audionmf.rendering.grouping import Grouping, by_hand, by_label
from audionmf.rendering.voters import VOTER_ARRAYS, Voters
from audionmf.settings import CPU, Settings
from audionmf.sources.templates import (
    MOST_COMPONENTS,
    Templates,
    labels_from_metadata,
    rate_from_metadata,
    stft_from_metadata,
    stft_metadata,
)
from audionmf.spectra.bands import Bands
from audionmf.spectra.device import masks_on, models_on
from audionmf.spectra.frames import BLOCK_FRAMES, Progress, pooled_magnitude, silent
from audionmf.spectra.masks import ratio_masks
from audionmf.spectra.medians import median_masks, median_models, median_sizes
from audionmf.spectra.neighbours import REACH, Neighbours
from audionmf.spectra.spatial import estimate_covariances

if TYPE_CHECKING:
    from audionmf.sources.score import Score

__all__ = ["MODEL_KIND", "Absent", "Decomposition", "Mixture", "absent_frames", "within"]

Matrix = NDArray[np.float32]

MODEL_KIND = Kind(
    "audionmf model",
    1,
    {
        "templates": 2,
        "activations": 2,
        "penalties": 1,
        "covariances": 5,
        "patterns": 3,
        "context": 2,
        "shares": 2,
        **VOTER_ARRAYS,
    },
    optional=frozenset(
        {"activations", "penalties", "covariances", "patterns", "context", "shares", *VOTER_ARRAYS}
    ),
    most={"templates": (1, MOST_COMPONENTS), "penalties": (0, MOST_COMPONENTS)},
    signed=frozenset({"covariances", "leanings", "later_leanings"}),
)

_MAX_CHANNELS = 64
_MOST_POWERS = 12 << 20
"""Numbers (float32) that are kept from one pass over the mixture to the next."""
_MOST_PLACED = 1024
"""Frames by which sources are placed: spread over a longer recording they tell what all would."""


@dataclass(frozen=True)
class Mixture:
    """Which recording a decomposition was made from.

    Parameters
    ----------
    path : str
        Absolute path of the file; empty for samples that came as an array.
    sha256 : str
        Hash of the file's bytes; empty for an array.
    n_channels : int
        Number of channels.
    n_samples : int
        Samples in each channel.
    """

    path: str
    sha256: str
    n_channels: int
    n_samples: int

    @classmethod
    def of(cls, source: Source, n_samples: int) -> Mixture:
        """Describe a recording of which `n_samples` were read."""
        if source.path is None:
            return cls("", "", source.n_channels, n_samples)
        path = source.path
        return cls(str(path.resolve()), file_hash(path), source.n_channels, n_samples)


@dataclass(frozen=True, eq=False)
class Decomposition:
    """Templates, how they are grouped into sources, and what they were found in.

    Parameters
    ----------
    templates : Templates
        W, with labels, STFT and sample rate.
    grouping : dict of str to tuple of int
        Components of each source.
    settings : Settings
        What the analysis was made with.
    mixture : Mixture
        The recording.
    divergence : ndarray, shape (n_evaluations,), float64
        How the divergence fell while templates were learnt; empty if none were.
    reason : str
        Why the factorisation stopped; empty if there was none.
    activations : ndarray, shape (n_components, n_frames), float32, optional
        H for every frame of the mixture, where it is known.
    penalties : ndarray, shape (n_components,), float32, optional
        L1 weight on the activations of each component.
    banded : bool, default False
        Activations are found on the sums over `Bands`, not on the single bins.
    patterns : ndarray, shape (n_lags, n_bins, n_components), float32, optional
        Components are patterns of several frames, and activations say where they start; the
        templates are then what the patterns are on the whole.
    covariances : ndarray, shape (n_sources, n_bins, 2, 2), complex64, optional
        Where each source stands in the stereo image.
    residual : str, default ""
        Name of a further source that gets what no model explains; none if it is empty.
    absent : mapping of str to sequence of (int, int), default {}
        Frames of the mixture, from the first to before the last, in which the templates with this
        label, or the residual of this name, are known not to play.
    score : Score, optional
        What was known to be played, by the clock of the recording.
    remarks : tuple of str, default ()
        What the analysis decided by itself, a line each.
    keys : sequence of int, default ()
        With a score or a lead: the MIDI key of each component, -1 where none is known.
    context : ndarray, shape (n_rows, n_components), float32, optional
        What comes before and after each template, as `Neighbours` says it, in the unit of the
        templates. Activations then follow from a frame and its neighbours.
    neighbour_weight : float, default 1
        How much each of the neighbours counts beside the frame itself, above 0 to 1.
    voters : Voters, optional
        Components that were learnt from the mixture alone: they have a say in the masks.
    shares : ndarray, shape (n_sources, n_components), float32, optional
        How much of each component each source has, where it is in doubt whose it is: at least 0, and
        they sum to 1 over the sources. The groups then say who has most of it. None: all of it.
    margin : float, optional
        The two sources are the harmonic and the percussive sound, told apart by medians with this
        margin, 1 to 1000; the templates are then what these sound like on the whole.

    Raises
    ------
    TemplateError
        If activations, penalties, covariances, context, voters, shares or frames do not fit.
    """

    templates: Templates
    grouping: Grouping
    settings: Settings
    mixture: Mixture
    divergence: NDArray[np.float64]
    reason: str
    activations: NDArray[np.float32] | None = None
    penalties: NDArray[np.float32] | None = None
    banded: bool = False
    covariances: NDArray[np.complex64] | None = None
    patterns: NDArray[np.float32] | None = None
    residual: str = ""
    absent: Absent = field(default_factory=dict)
    score: Score | None = None
    remarks: tuple[str, ...] = ()
    keys: Sequence[int] = ()
    context: NDArray[np.float32] | None = None
    neighbour_weight: float = 1.0
    voters: Voters | None = None
    margin: float | None = None
    shares: NDArray[np.float32] | None = None

    def __repr__(self) -> str:
        mixture = self.mixture
        where = f" of {Path(mixture.path).name!r}" if mixture.path else ""
        seconds = mixture.n_samples / self.templates.sample_rate
        return (
            f"<Decomposition{where}: {counted(self.n_components, 'component')}, sources "
            f"{listed(self.source_names)}, {seconds:.2f} s>"
        )

    def __post_init__(self) -> None:
        n_frames = self.templates.stft.n_frames(self.mixture.n_samples)
        if not all(0 <= a < b <= n_frames for runs in self.absent.values() for a, b in runs):
            raise TemplateError(
                f"absent sources need runs of frames within the {n_frames} there are"
            )
        self._check_patterns()
        self._check_exemplars()
        if self.margin is not None and (len(self.grouping), self.n_components) != (2, 2):
            raise TemplateError("harmonic and percussive sound are two sources of a template each")
        if len(self.keys) not in (0, self.n_components):
            raise TemplateError(f"{len(self.keys)} keys do not fit {self.n_components} components")
        if self.covariances is not None:
            wanted = (len(self.grouping), self.templates.stft.n_bins, 2, 2)
            if self.covariances.shape != wanted or self.mixture.n_channels != 2:
                raise TemplateError(
                    f"spatial covariances of shape {self.covariances.shape} do not fit"
                )
            check_covariances(self.covariances)
        if self.penalties is not None and self.penalties.shape != (self.n_components,):
            raise TemplateError(f"penalties of shape {self.penalties.shape} do not fit")
        if self.activations is None:
            return
        shape = (self.templates.n_components, self.templates.stft.n_frames(self.mixture.n_samples))
        if self.activations.shape != shape:
            raise TemplateError(
                f"activations of shape {self.activations.shape} do not fit a mixture and templates "
                f"that need {shape}"
            )

    def _check_patterns(self) -> None:
        if self.patterns is None:
            return
        wanted = (self.templates.stft.n_bins, self.n_components)
        if self.patterns.shape[1:] != wanted or not len(self.patterns) or self.activations is None:
            raise TemplateError(
                f"patterns of shape {self.patterns.shape} do not fit, or come without activations"
            )

    @classmethod
    def of(
        cls,
        source: Source,
        n_samples: int,
        templates: Templates,
        settings: Settings,
        model: nmf.NMF | None = None,
    ) -> Decomposition:
        """Make one of templates alone: each label is a source.

        Parameters
        ----------
        source : Audio or AudioFile
            The recording.
        n_samples : int
            Samples that were found in it.
        templates : Templates
            What it is made of.
        settings : Settings
            Options.
        model : NMF, optional
            The factorisation that the templates come from.
        """
        return cls(
            templates=templates,
            grouping=by_label(templates),
            settings=settings,
            mixture=Mixture.of(source, n_samples),
            divergence=np.empty(0) if model is None else model.divergence,
            reason="" if model is None else model.reason,
        )

    def _check_exemplars(self) -> None:
        if self.context is not None:
            stft, rate = self.templates.stft, self.templates.sample_rate
            wanted = (Neighbours.of(stft, rate).n_rows, self.n_components)
            if self.context.shape != wanted or not self.banded:
                raise TemplateError(
                    f"a context of shape {self.context.shape} does not fit, or comes without bands"
                )
        if self.patterns is not None and not (self.voters is None and self.shares is None):
            raise TemplateError("voters and shares come without patterns")
        if self.shares is not None:
            check_shares(self.shares, len(self.grouping), self.n_components)
        if self.voters is None:
            return
        self.voters.check(len(self.grouping), self.templates.stft.n_bins)

    viewer: ClassVar[Callable[[Decomposition], str] | None] = None
    """How a notebook shows it; pictures are made above this wing, which puts it here."""

    def _repr_html_(self) -> str | None:
        """Show players and a picture in a notebook."""
        return Decomposition.viewer(self) if Decomposition.viewer else None

    @property
    def source_names(self) -> list[str]:
        """The names of the stems, in their order."""
        return [*self.grouping, *([self.residual] if self.residual else [])]

    @property
    def n_components(self) -> int:
        """Number of components."""
        return self.templates.n_components

    @property
    def reach(self) -> int:
        """Frames of margin that the model of a frame depends on: 0 if activations are kept."""
        if self.margin is not None:
            return median_sizes(self.templates.stft, self.templates.sample_rate)[0] // 2
        return REACH if self.context is not None and self.activations is None else 0

    @property
    def heeds(self) -> bool:
        """Whether `source_models` depends on the magnitudes it is given; else on their number only."""
        kept = self.activations is not None and self.voters is None and self.margin is None
        return not kept or bool(self.residual)

    def activate(
        self,
        V: NDArray[np.float32],
        n_threads: int,
        first: int = 0,
        margins: tuple[int, int] | None = None,
    ) -> NDArray[np.float32]:
        """Find the activations of some frames of the mixture, each frame on its own.

        Templates that are absent from a frame take no part in it. Without `margins` frames need not
        be neighbours, and the context is left out.

        Parameters
        ----------
        V : ndarray, shape (n_bins, n_frames), float32
            Magnitudes, channels pooled.
        n_threads : int
            Threads.
        first : int, default 0
            The first of the frames, behind the margin.
        margins : (int, int), optional
            Frames of V at the start and the end that are there for the context only: `reach`, fewer
            at the ends of the recording.

        Returns
        -------
        ndarray, shape (n_components, n_frames - margins), float32
            H.
        """
        W = self.templates.templates
        if self.banded:
            V, W = self._pooled(V, margins)
        elif margins is not None:
            V = V[:, margins[0] : V.shape[1] - margins[1]]
        solve = partial(
            nmf.activate, beta=self.settings.beta, n_iter=self.settings.activation_iter,
            n_threads=n_threads, device=self.settings.device,
        )  # fmt: skip
        if not self.absent:
            return solve(V, W, penalties=self.penalties)
        H = np.zeros((W.shape[1], V.shape[1]), np.float32)
        absent = absent_frames(self.absent, self.templates.labels, range(first, first + V.shape[1]))
        for frames, playing in alike(absent):
            penalties = None if self.penalties is None else self.penalties[playing]
            H[np.ix_(playing, frames)] = solve(V[:, frames], W[:, playing], penalties=penalties)
        return H

    def _pooled(self, V: Matrix, margins: tuple[int, int] | None) -> tuple[Matrix, Matrix]:
        """Return frames and templates as activations see them, stacked with what is around them."""
        stft, rate = self.templates.stft, self.templates.sample_rate
        bands = Bands.of(stft, rate)
        if margins is None:
            return bands.pool(V), self._banded_templates[0]
        before, after = margins
        own = bands.pool(V[:, before : V.shape[1] - after])
        if self.context is None:
            return own, self._banded_templates[0]
        near = Neighbours.of(stft, rate, self.neighbour_weight)
        stacked = near.stacked(own, near.of_frames(V, before, after))
        return stacked, self._banded_templates[1]

    @cached_property
    def _banded_templates(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Templates on the bands, without and with their context; every block asks for them."""
        W = Bands.of(self.templates.stft, self.templates.sample_rate).pool(self.templates.templates)
        around = self.context
        weighed = [] if around is None else [np.float32(self.neighbour_weight) * around]
        return W, np.concatenate([W, *weighed])

    def models(self, H: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the magnitude of each group, (n_groups, n_bins, n_frames), bins as neighbours."""
        W = self.templates.templates
        if self.settings.device != CPU:
            groups = [list(group) for group in self.grouping.values()]
            if self.shares is not None:  # one after the other, as if they were other components
                stops = np.cumsum([len(own) for own, _ in self.parts]).tolist()
                groups = [list(range(*ab)) for ab in itertools.pairwise([0, *stops])]
                W = np.concatenate([part for _, part in self.parts], axis=1)
                H = np.concatenate([H[own] for own, _ in self.parts])
            return models_on(W, H, groups, self.settings.device)
        models = np.empty((len(self.grouping), H.shape[1], len(W)), np.float32)
        for model, (own, part) in zip(models, self.parts, strict=True):
            product = np.multiply if len(own) == 1 else np.matmul  # alike, the first quicker
            product(H[own].T, part.T, out=model)
        return models.swapaxes(1, 2)

    @cached_property
    def parts(self) -> list[tuple[list[int], NDArray[np.float32]]]:
        """Of each group, its components and what it has of their templates, (n_bins, n_own)."""
        W = self.templates.templates
        if self.shares is None:
            return [(list(group), W[:, list(group)]) for group in self.grouping.values()]
        owned = [(np.flatnonzero(share), share) for share in self.shares]
        return [(own.tolist(), W[:, own] * share[own]) for own, share in owned]

    def source_models(self, first: int, V: Matrix, margins: tuple[int, int] = (0, 0)) -> Matrix:
        """Return the magnitude of each source in some frames of the mixture.

        Parameters
        ----------
        first : int
            The first of the frames, behind the margin.
        V : ndarray, shape (n_bins, n_frames), float32
            Their magnitudes, channels pooled.
        margins : (int, int), default (0, 0)
            Frames at the start and the end that are there for `activate` only.

        Returns
        -------
        ndarray, shape (n_sources, n_bins, n_frames - margins), float32
            Of the sources of `source_names`, bins as neighbours; what medians leave has none.
        """
        if self.margin is not None:
            sizes = median_sizes(self.templates.stft, self.templates.sample_rate)
            return median_models(V, sizes, *margins).astype(np.float32, copy=False)
        kept, n_frames = self.activations, V.shape[1] - sum(margins)
        H = self.activate(V, 1, first, margins) if kept is None else kept[:, first:][:, :n_frames]
        V = V[:, margins[0] : margins[0] + n_frames]
        models = self.models(H) if self.patterns is None else self._pattern_models(first, H)
        models = self.voted(models, V, slice(first, first + n_frames))
        if self.residual:
            unexplained = np.maximum(V - models.sum(axis=0), 0)
            models = np.concatenate([models, unexplained[None]])
        return self._without_absent(models, first) if self.absent else models

    def masks(self, models: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the share of each source in frames of which `source_models` gave the models."""
        exponent = self.settings.mask_exponent
        if self.margin is not None:
            return median_masks(models, self.margin, exponent).astype(np.float32, copy=False)
        return masks_on(models, exponent, self.settings.mask, self.settings.device)

    def voted(self, models: Matrix, V: Matrix, frames: slice | None = None) -> Matrix:
        """Return models of the groups in which the voters, if any, had their say in some `frames`."""
        if self.voters is None:
            return models
        bands = Bands.of(self.templates.stft, self.templates.sample_rate)
        return self.voters.share(models, V, bands, self.settings, frames)

    def _pattern_models(self, first: int, H: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the magnitude of each group where components are patterns that started before."""
        if self.patterns is None or self.activations is None:
            raise ParameterError("the decomposition holds no patterns with their activations")
        from audionmf.nmf import convolutive

        start = max(0, first - len(self.patterns) + 1)
        before = self.activations[:, start : first + H.shape[1]]
        groups = [list(group) for group in self.grouping.values()]
        models = [
            convolutive.model(self.patterns[:, :, group], before[group]).T[first - start :]
            for group in groups
        ]
        return np.stack(models).swapaxes(1, 2)

    def with_covariances(
        self, X: NDArray[np.complex64], H: Matrix, progress: Progress = silent, step: int = 1
    ) -> Decomposition:
        """Return the same with covariances: where each source stands in the stereo image.

        Parameters
        ----------
        X : ndarray, shape (2, n_bins, n_frames), complex64
            Frames of the mixture, all or some.
        H : ndarray, shape (n_components, n_frames), float32
            Their activations.
        progress : callable, optional
            Told of the stage "place in stereo" and the share of it that is done.
        step : int, default 1
            So far apart in the mixture the frames are.
        """
        progress("place in stereo", 0.0)
        if self.patterns is None:
            apart = -(-X.shape[-1] // _MOST_PLACED)
            X, H, step = X[..., ::apart], H[:, ::apart], step * apart
        n_kept = _MOST_POWERS // (len(self.grouping) * len(X[0]) * BLOCK_FRAMES)
        kept: dict[int, NDArray[np.float32]] = {}

        def block(i: int) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
            frames = slice(i * BLOCK_FRAMES, (i + 1) * BLOCK_FRAMES)
            powers = kept.get(i)
            if powers is None:
                powers = powers_of(frames)
            if i < n_kept:  # each pass asks for them again
                kept[i] = powers
            return X[..., frames], powers

        def powers_of(frames: slice) -> NDArray[np.float32]:
            if self.patterns is None:
                places = slice(frames.start * step, frames.stop * step, step)
                models = self.models(H[:, frames])
                models = self.voted(models, pooled_magnitude(X[..., frames]), places)
            else:
                models = self._pattern_models(frames.start, H[:, frames])
            return ratio_masks(models, self.settings.mask_exponent)

        on_card = self.settings.device != CPU
        learnt = estimate_covariances(
            block, -(-X.shape[-1] // BLOCK_FRAMES), len(self.grouping), self.templates.stft.n_bins,
            n_threads=1 if on_card else thread_count(self.settings.n_threads),
            progress=partial(progress, "place in stereo"),
        )  # fmt: skip
        return dataclasses.replace(self, covariances=learnt)

    def _without_absent(self, models: NDArray[np.float32], first: int) -> NDArray[np.float32]:
        """Silence sources where they are absent; where that leaves nothing, the others share.

        Where all are absent nothing is known, and they all share.
        """
        frames = range(first, first + models.shape[-1])
        labels = {name: [name] for name in self.source_names}  # of a source without components
        for name, group in self.grouping.items():
            labels[name] = [self.templates.labels[k] for k in group] or labels[name]
        silent = np.stack(
            [absent_frames(self.absent, found, frames).all(axis=0) for found in labels.values()]
        )
        models = models * ~silent[:, None]
        nothing = ~models.any(axis=0) & silent.any(axis=0)
        models += np.finfo(np.float32).tiny * (nothing & ~silent[:, None])
        return models

    def source_covariances(self) -> NDArray[np.complex64]:
        """Return the spatial covariances of all sources; the residual may come from anywhere."""
        if self.covariances is None:
            raise ParameterError("the decomposition knows no places in a stereo image")
        if not self.residual:
            return self.covariances
        anywhere = np.tile(np.eye(2, dtype=np.complex64), (1, self.templates.stft.n_bins, 1, 1))
        return np.concatenate([self.covariances, anywhere])

    def regroup(self, groups: dict[str, tuple[int, ...]]) -> Decomposition:
        """Return the same with other groups; what is in no group becomes the source ``rest``.

        Raises
        ------
        ParameterError
            If a component does not exist or is in two groups.
        """
        if self.margin is not None:
            raise ParameterError(
                "harmonic and percussive sound have no components that could be grouped"
            )
        regrouped = by_hand(groups, self.n_components)
        return self.of_groups(regrouped)

    def of_groups(
        self, grouping: Grouping, shares: NDArray[np.float32] | None = None
    ) -> Decomposition:
        """Return the same with other groups, of which nothing is known but perhaps their shares."""
        alone = dataclasses.replace(self, covariances=None, voters=None, shares=None)
        return dataclasses.replace(alone, grouping=grouping, shares=shares)

    def check_mixture(self, file: AudioFile) -> None:
        """Make sure that `file` is the recording that the activations belong to.

        Raises
        ------
        TemplateMismatchError
            If its bytes or channels are others.
        """
        same_layout = self.mixture.n_channels == file.n_channels
        if not same_layout or self.mixture.sha256 != file_hash(file.path):
            raise TemplateMismatchError(
                f"{str(file.path)!r} is not the recording that the model was made from, or was "
                "changed since; decompose it again"
            )

    def save(self, path: StrPath) -> Path:
        """Write the model to a ``.npz`` file, whole or not at all; the same bytes each time.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        arrays: dict[str, NDArray[Any]] = {"templates": self.templates.templates}
        for name in ("activations", "penalties", "patterns", "context", "shares"):
            if (array := getattr(self, name)) is not None:
                arrays[name] = array
        if self.voters is not None:
            arrays |= self.voters.arrays()
        if self.covariances is not None:
            arrays["covariances"] = np.stack([self.covariances.real, self.covariances.imag])
        metadata = {
            "labels": list(self.templates.labels),
            "sample_rate": self.templates.sample_rate,
            "stft": stft_metadata(self.templates.stft),
            "grouping": [[name, list(group)] for name, group in self.grouping.items()],
            # A card that is here may not be where this is read.
            "settings": dataclasses.asdict(dataclasses.replace(self.settings, device=CPU)),
            "mixture": dataclasses.asdict(self.mixture),
            "divergence": self.divergence.tolist(),
            "reason": self.reason,
            "banded": self.banded,
            "neighbour_weight": self.neighbour_weight,
            "absent": [[name, [list(run) for run in runs]] for name, runs in self.absent.items()],
            "residual": self.residual,
            "score": None if self.score is None else self.score.to_dict(),
            "remarks": list(self.remarks),
            "keys": list(self.keys),
            "margin": self.margin,
        }
        return write_archive(path, MODEL_KIND, arrays, metadata)

    @classmethod
    def load(cls, path: StrPath) -> Decomposition:
        """Read a model that `save` wrote.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        TemplateError
            If it is not a model file, or damaged, or of another version.
        """
        arrays, metadata = read_archive(path, MODEL_KIND)
        activations, penalties = arrays.get("activations"), arrays.get("penalties")
        covariances, context = arrays.get("covariances"), arrays.get("context")
        try:
            templates = Templates(
                arrays["templates"],
                labels_from_metadata(metadata, path),
                stft_from_metadata(metadata, path),
                rate_from_metadata(metadata, path),
            )
            return cls(
                templates=templates,
                grouping=grouping_of(metadata, templates.n_components),
                settings=Settings.from_options(**metadata["settings"]),
                mixture=_mixture(metadata),
                divergence=divergence_of(metadata),
                reason=word_of(metadata["reason"]),
                activations=None if activations is None else as_float32(activations),
                penalties=None if penalties is None else as_float32(penalties),
                banded=flag_of(metadata, "banded"),
                absent=absent_of(metadata),
                covariances=None if covariances is None else complex_of(covariances),
                patterns=as_float32(arrays["patterns"]) if "patterns" in arrays else None,
                residual=text_of(metadata["residual"]),
                score=score_of(metadata.get("score")),
                remarks=tuple(text_of(line) for line in metadata.get("remarks", [])),
                keys=keys_of(metadata),
                margin=margin_of(metadata),
                context=None if context is None else as_float32(context),
                neighbour_weight=weight_of(metadata),
                shares=as_float32(arrays["shares"]) if "shares" in arrays else None,
                voters=Voters.of_arrays(arrays),
            )
        except (TemplateError, ParameterError, ScoreError) as error:
            raise TemplateError(f"{str(path)!r}: {error}") from error
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise TemplateError(
                f"{str(path)!r} lacks a part of a model, or has it wrong"
            ) from error


def _mixture(metadata: dict[str, Any]) -> Mixture:
    mixture = Mixture(**metadata["mixture"])
    counts = (mixture.n_channels, mixture.n_samples)
    if not (type(mixture.path) is type(mixture.sha256) is str):
        raise TemplateError("the description of the mixture makes no sense")
    for count, most in zip(counts, (_MAX_CHANNELS, MAX_SAMPLES), strict=True):
        number_of(count, 1, most)
    return mixture
