"""`Decomposition`: what an analysis found, small enough to keep; rendering needs no more than it.

Templates and grouping determine the stems: with the templates fixed, the activations follow from the
mixture frame by frame. Where they are known for the whole mixture they are kept, and rendering
again need not look for them.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf import nmf
from audionmf.archive import Kind, read_archive, write_archive
from audionmf.audio import AudioFile
from audionmf.bands import Bands
from audionmf.errors import ParameterError, TemplateError, TemplateMismatchError
from audionmf.files import StrPath
from audionmf.grouping import Grouping, by_hand
from audionmf.settings import Settings
from audionmf.templates import (
    Templates,
    labels_from_metadata,
    rate_from_metadata,
    stft_from_metadata,
    stft_metadata,
)

__all__ = ["MODEL_KIND", "Decomposition", "Mixture"]

MODEL_KIND = Kind(
    "audionmf model",
    1,
    {"templates": 2, "activations": 2, "penalties": 1, "covariances": 5},
    optional=frozenset({"activations", "penalties", "covariances"}),
    signed=frozenset({"covariances"}),
)

_HASH_BLOCK = 1 << 20
_TOLERANCE = 1e-3


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
    def from_path(cls, path: Path, n_channels: int, n_samples: int) -> Mixture:
        """Describe the recording that was read from a file."""
        return cls(str(path.resolve()), _sha256(path), n_channels, n_samples)


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
    covariances : ndarray, shape (n_sources, n_bins, 2, 2), complex64, optional
        Where each source stands in the stereo image.

    Raises
    ------
    TemplateError
        If activations, penalties or covariances do not fit.
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

    def __post_init__(self) -> None:
        if self.covariances is not None:
            wanted = (len(self.grouping), self.templates.stft.n_bins, 2, 2)
            if self.covariances.shape != wanted or self.mixture.n_channels != 2:
                raise TemplateError(
                    f"spatial covariances of shape {self.covariances.shape} do not fit"
                )
            _check_covariances(self.covariances)
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

    @property
    def n_components(self) -> int:
        """Number of components."""
        return self.templates.n_components

    def activate(self, V: NDArray[np.float32], n_threads: int) -> NDArray[np.float32]:
        """Find the activations of some frames of the mixture, each frame on its own.

        Parameters
        ----------
        V : ndarray, shape (n_bins, n_frames), float32
            Magnitudes, channels pooled.
        n_threads : int
            Threads.

        Returns
        -------
        ndarray, shape (n_components, n_frames), float32
            H.
        """
        W = self.templates.templates
        if self.banded:
            bands = Bands.of(self.templates.stft, self.templates.sample_rate)
            V, W = bands.pool(V), bands.pool(W)
        return nmf.activate(
            V, W, beta=self.settings.beta, n_iter=self.settings.activation_iter,
            penalties=self.penalties, n_threads=n_threads,
        )  # fmt: skip

    def models(self, H: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the magnitude of each source, (n_sources, n_bins, n_frames), bins as neighbours."""
        W = self.templates.templates
        groups = [list(group) for group in self.grouping.values()]
        return np.stack([H[group].T @ W[:, group].T for group in groups]).swapaxes(1, 2)

    def regroup(self, groups: dict[str, tuple[int, ...]]) -> Decomposition:
        """Return the same with other groups; what is in no group becomes the source ``rest``.

        Raises
        ------
        ParameterError
            If a component does not exist or is in two groups.
        """
        regrouped = by_hand(groups, self.n_components)
        return dataclasses.replace(self, grouping=regrouped, covariances=None)

    def check_mixture(self, file: AudioFile) -> None:
        """Make sure that `file` is the recording that the activations belong to.

        Raises
        ------
        TemplateMismatchError
            If its bytes are others.
        """
        if self.mixture.sha256 != _sha256(file.path):
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
        if self.activations is not None:
            arrays["activations"] = self.activations
        if self.penalties is not None:
            arrays["penalties"] = self.penalties
        if self.covariances is not None:
            arrays["covariances"] = np.stack([self.covariances.real, self.covariances.imag])
        metadata = {
            "labels": list(self.templates.labels),
            "sample_rate": self.templates.sample_rate,
            "stft": stft_metadata(self.templates.stft),
            "grouping": [[name, list(group)] for name, group in self.grouping.items()],
            "settings": dataclasses.asdict(self.settings),
            "mixture": dataclasses.asdict(self.mixture),
            "divergence": self.divergence.tolist(),
            "reason": self.reason,
            "banded": self.banded,
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
        covariances = arrays.get("covariances")
        try:
            templates = Templates(
                arrays["templates"],
                labels_from_metadata(metadata, path),
                stft_from_metadata(metadata, path),
                rate_from_metadata(metadata, path),
            )
            return cls(
                templates=templates,
                grouping=_grouping(metadata, templates.n_components),
                settings=Settings.from_options(**metadata["settings"]),
                mixture=_mixture(metadata),
                divergence=_divergence(metadata),
                reason=str(metadata["reason"]),
                activations=None if activations is None else _as_float32(activations),
                penalties=None if penalties is None else _as_float32(penalties),
                banded=_flag(metadata, "banded"),
                covariances=None if covariances is None else _complex(covariances),
            )
        except (TemplateError, ParameterError) as error:
            raise TemplateError(f"{str(path)!r}: {error}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise TemplateError(
                f"{str(path)!r} lacks a part of a model, or has it wrong"
            ) from error


def _complex(parts: NDArray[Any]) -> NDArray[np.complex64]:
    if len(parts) != 2:
        raise TemplateError("spatial covariances need a real and an imaginary part")
    with np.errstate(over="ignore"):  # beyond float32 is infinite, and refused later
        covariances: NDArray[np.complex64] = (parts[0] + 1j * parts[1]).astype(np.complex64)
    return covariances


def _check_covariances(R: NDArray[np.complex64]) -> None:
    """Make sure that (..., 2, 2) matrices are Hermitian, positive semidefinite, of trace 2."""
    with np.errstate(all="ignore"):
        left, right, cross = R[..., 0, 0], R[..., 1, 1], R[..., 0, 1]
        wrong = [
            R - R.conj().swapaxes(-1, -2),
            left + right - 2,
            np.maximum(0, np.abs(cross) ** 2 - (left * right).real),
        ]
    if not all((np.abs(error) < _TOLERANCE).all() for error in wrong):
        raise TemplateError("spatial covariances are not positive semidefinite with trace 2")


def _flag(metadata: dict[str, Any], name: str) -> bool:
    value = metadata[name]
    if not isinstance(value, bool):
        raise TemplateError(f"{name!r} must be true or false, not {value!r}")
    return value


def _grouping(metadata: dict[str, Any], n_components: int) -> Grouping:
    groups = {str(name): tuple(map(int, group)) for name, group in metadata["grouping"]}
    if sorted(k for group in groups.values() for k in group) != list(range(n_components)):
        raise TemplateError("the groups do not hold every component once")
    if len(groups) != len(metadata["grouping"]) or not all(groups):  # a silent source has none
        raise TemplateError("a group has no name, or the name of another")
    return groups


def _divergence(metadata: dict[str, Any]) -> NDArray[np.float64]:
    values = np.asarray(metadata["divergence"], np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise TemplateError("the divergence is not a list of numbers")
    return values


def _as_float32(array: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        converted = array.astype(np.float32)
    if not np.isfinite(converted).all():
        raise TemplateError("activations or penalties have values that are not finite in float32")
    return converted


def _mixture(metadata: dict[str, Any]) -> Mixture:
    mixture = Mixture(**metadata["mixture"])
    counts = (mixture.n_channels, mixture.n_samples)
    if not (type(mixture.path) is type(mixture.sha256) is str):
        raise TemplateError("the description of the mixture makes no sense")
    if not all(type(count) is int and count > 0 for count in counts):
        raise TemplateError("the description of the mixture makes no sense")
    return mixture


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_HASH_BLOCK):
            digest.update(block)
    return digest.hexdigest()
