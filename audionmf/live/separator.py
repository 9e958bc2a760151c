"""Live: blocks of a signal come as they are played, and blocks of each source go out.

The activations of known templates need no more than their own frame, so that what `render` does can
be done frame by frame, at a delay of one window or less. What needs the whole recording cannot be
done: equalisers and pitch-shifted copies fitted to the mixture, the places of sources in the stereo
image, one gain for all stems. A `Decomposition` that was made of another recording of the same
sources (the sound check, say) brings the first three with it.

Every frame is worked on alone and in the same way, so that the stems do not depend on how the signal
is cut into blocks.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from audionmf.analysis.learning import SINGLE_FRAMES
from audionmf.errors import InvalidAudioError, ParameterError, TemplateMismatchError
from audionmf.io.audio import Audio, AudioFile, AudioLike, Samples, open_source
from audionmf.io.files import StrPath
from audionmf.nmf.activating import FrameActivator
from audionmf.rendering.blocks import stem_names
from audionmf.rendering.decomposition import Decomposition, Mixture
from audionmf.rendering.grouping import by_label
from audionmf.settings import Settings
from audionmf.sources.templates import Templates, describe_stft
from audionmf.spectra.bands import Bands
from audionmf.spectra.frames import pooled_magnitude
from audionmf.spectra.live_stft import LiveSTFT, Transform
from audionmf.spectra.spatial import wiener_filter

__all__ = ["LiveSeparator", "stream"]

Known = Decomposition | Templates | StrPath | Sequence[Templates | StrPath]
"""What is known of the sources: template banks, or the analysis of another recording of them."""

_FILE_BLOCK = 1 << 14
_LEAST_WINDOW = 16
_STEP = 4


class LiveSeparator:
    """Takes a signal apart while it is played.

    Parameters
    ----------
    templates : Templates or path, several of them, or Decomposition
        Banks that `audionmf.learn` made, each label a source: their templates are used as they are,
        of frames 100 a source (``example_frames``), evenly spaced; patterns need the whole
        recording and are left out. Or what `audionmf.analyse` found in another recording, with its
        equalisers and places.
    n_channels : int
        Channels of the signal.
    sample_rate : int, optional
        Of the signal, in Hz. Default: that of the templates; another one is refused.
    latency : float, optional
        The longest delay in seconds. Default: one window, 93 ms for templates learnt with the
        defaults. A shorter one takes an asymmetric window of the same length, and costs more: it
        has four hops in the delay.
    only : str, optional
        Give this source and the ``rest``, instead of all sources.
    residual : str, default ""
        Name of a further source that gets what no template explains; none if it is empty.
    settings : Settings, optional
        ``beta``, ``activation_iter``, ``mask``, ``mask_exponent`` and ``example_frames`` are used,
        unless a `Decomposition` brings its own.
    **options
        Fields of `Settings`, changed from `settings`.

    Attributes
    ----------
    names : list of str
        The sources, in the order of what `push` returns.
    latency : int
        Most samples that are in and not yet out. After n samples at least ``n - latency`` are out.
    decomposition : Decomposition
        What the stems follow from. Where no `latency` was asked for, `audionmf.render` makes the
        same stems of it, but for rounding, once its ``mixture`` says how long the recording is.

    Raises
    ------
    ParameterError
        If options do not fit, or there is no source `only`.
    TemplateError, TemplateMismatchError
        If templates cannot be read, or are for another sample rate, channels or STFT.
    """

    def __init__(
        self,
        templates: Known,
        n_channels: int = 1,
        *,
        sample_rate: int | None = None,
        latency: float | None = None,
        only: str | None = None,
        residual: str = "",
        settings: Settings | None = None,
        **options: Any,
    ) -> None:
        if n_channels < 1:
            raise ParameterError(f"a signal has 1 channel or more, not {n_channels}")
        found = _known(templates, n_channels, residual, settings, options)
        bank = found.templates
        if bank.stft.front_end != "stft":
            raise TemplateMismatchError(
                f"the templates were made with {describe_stft(bank.stft)}, whose filters are too long "
                "for a signal that is still being played: learn them with the front end 'stft'"
            )
        if sample_rate is not None:
            bank.require(sample_rate, None, "the stream")
        self.decomposition, self.n_channels = found, n_channels
        self.names = stem_names(found, only)
        self._rendered = [found.source_names.index(name) for name in self.names[:-1]]
        self._groups = [(own, np.ascontiguousarray(part.T)) for own, part in found.parts]
        self._bands = Bands.of(bank.stft, bank.sample_rate) if found.banded else None
        self._covariances = None if found.covariances is None else found.source_covariances()
        self._activator = FrameActivator(
            self._bands.pool(bank.templates) if self._bands else bank.templates,
            beta=found.settings.beta,
            n_iter=found.settings.activation_iter,
            penalties=found.penalties,
        )
        n_synthesis = _synthesis_length(latency, bank)
        self._stft = LiveSTFT(bank.stft, n_channels, self._parts, len(self._rendered), n_synthesis)
        self.latency = self._stft.latency
        self._parts(np.zeros((n_channels, bank.stft.n_bins), np.complex64))  # makes machine code
        self._mixture = np.zeros((n_channels, 0), np.float32)
        self._n_in = 0
        self._ended = False

    def push(self, block: ArrayLike) -> dict[str, Samples]:
        """Take the next samples of the signal.

        Parameters
        ----------
        block : array, shape (n_channels, n), or (n,) where there is one channel
            Any number of samples, also none. Not modified.

        Returns
        -------
        dict of str to ndarray, shape (n_channels, m), float32
            The next samples of each source, as many as are finished; they sum to the signal.

        Raises
        ------
        ParameterError
            If it has another shape or type, or the stream was flushed.
        InvalidAudioError
            If samples are not finite. They are not taken.
        """
        if self._ended:
            raise ParameterError("the stream was flushed; make another LiveSeparator for the next")
        samples = self._checked(block)
        self._n_in += samples.shape[1]
        self._mixture = np.concatenate([self._mixture, samples], axis=1)
        return self._stems(self._stft.push(samples))

    def flush(self) -> dict[str, Samples]:
        """End the stream; return what was not yet out of it."""
        if self._ended or self._n_in == 0:
            self._ended = True
            return self._stems(())
        self._ended = True
        return self._stems(self._stft.finish())

    def _checked(self, block: ArrayLike) -> Samples:
        given = np.asarray(block)
        if given.ndim == 1 and self.n_channels == 1:
            given = given[None]
        if given.ndim != 2 or len(given) != self.n_channels or given.dtype.kind not in "fiu":
            raise ParameterError(
                f"a block must be real samples of shape ({self.n_channels}, n), "
                f"not {given.dtype} of shape {given.shape}"
            )
        with np.errstate(over="ignore"):
            samples: Samples = given.astype(np.float32, copy=False)
        if not np.isfinite(samples).all():
            first = self._n_in + int(np.argmax(~np.isfinite(samples).all(axis=0)))
            raise InvalidAudioError(f"sample {first} of the stream is not finite")
        return samples

    def _stems(self, finished: Iterable[Samples]) -> dict[str, Samples]:
        """Join finished samples of the stems but the last, which is what they leave."""
        empty = np.zeros((len(self._rendered), self.n_channels, 0), np.float32)
        stems = np.concatenate([empty, *finished], axis=-1)
        n = stems.shape[-1]
        rest = self._mixture[:, :n] - stems.sum(axis=0)
        self._mixture = self._mixture[:, n:]
        return dict(zip(self.names, [*stems, rest], strict=True))

    def _parts(self, X: Transform) -> Transform:
        """Return the parts of a frame (n_channels, n_bins) that the sources have in it."""
        V = pooled_magnitude(X[..., None])[:, 0]
        masks = self.decomposition.masks(self._models(V))
        if self._covariances is None:
            return X * masks[self._rendered, None]
        given = X[..., None], masks[..., None], self._covariances
        return wiener_filter(*given, self._rendered)[..., 0]

    def _models(self, V: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the magnitude of each source (n_sources, n_bins)."""
        pooled = V if self._bands is None else self._bands.pool(V[:, None])[:, 0]
        H = self._activator.activate(pooled)
        models = [H[group] @ W for group, W in self._groups]
        if self.decomposition.residual:
            models.append(np.maximum(V - np.sum(models, axis=0), 0))
        return np.stack(models)


def stream(
    blocks: AudioLike | Iterable[ArrayLike], templates: Known, **options: Any
) -> Iterator[dict[str, Samples]]:
    """Take a signal apart as its blocks come.

    Parameters
    ----------
    blocks : iterable of array, or Audio, AudioFile or path
        The signal in order: blocks of shape (n_channels, n) with any n, or (n,) for one channel.
    templates, **options
        As in `LiveSeparator`; `n_channels` is that of the first block.

    Yields
    ------
    dict of str to ndarray, shape (n_channels, m), float32
        For each block what is finished of every source, which may be nothing yet; the rest at last.
        They sum to the signal.

    Raises
    ------
    AudioNMFError
        As `LiveSeparator` and its `push` do.
    """
    if isinstance(blocks, Audio | AudioFile | str | os.PathLike):
        source = open_source(blocks)
        options.setdefault("sample_rate", source.sample_rate)
        blocks = source.blocks(_FILE_BLOCK)
    separator: LiveSeparator | None = None
    for block in blocks:  # type: ignore[union-attr]  # what has no blocks is an iterable
        samples = np.atleast_2d(np.asarray(block))
        if separator is None:
            separator = LiveSeparator(templates, len(samples), **options)
        yield separator.push(samples)
    if separator is not None:
        yield separator.flush()


def _known(
    templates: Known,
    n_channels: int,
    residual: str,
    settings: Settings | None,
    options: dict[str, Any],
) -> Decomposition:
    """Return what is known as a decomposition of a recording that has yet to come."""
    if isinstance(templates, Decomposition):
        return _of_another(templates, n_channels, residual)
    given = [templates] if isinstance(templates, Templates | str | os.PathLike) else templates
    banks = [bank if isinstance(bank, Templates) else Templates.load(bank) for bank in given]
    config = Settings.from_options(settings, **options)
    most = config.example_frames or SINGLE_FRAMES  # more take longer than there is time
    bank = Templates.merge([bank.thinned(most).spectra() for bank in banks])
    if residual in bank.names:
        raise ParameterError(f"the residual {residual!r} needs a name that no source has")
    return Decomposition(
        templates=bank,
        grouping=by_label(bank),
        settings=config,
        mixture=Mixture("", "", n_channels, 1),
        divergence=np.empty(0),
        reason="",
        banded=config.beta == 1,
        residual=residual,
    )


def _of_another(found: Decomposition, n_channels: int, residual: str) -> Decomposition:
    if found.patterns is not None:
        raise ParameterError(
            "patterns of several frames need the whole recording: not for a stream"
        )
    if found.covariances is not None and n_channels != 2:
        raise ParameterError(
            f"the model is of a stereo recording, the stream has {n_channels} channel(s)"
        )
    if residual and residual in found.source_names:
        raise ParameterError(f"the residual {residual!r} needs a name that no source has")
    return dataclasses.replace(
        found,
        mixture=Mixture("", "", n_channels, 1),
        activations=None,
        absent={},
        context=None,
        voters=None,
        residual=residual or found.residual,
    )


def _synthesis_length(latency: float | None, bank: Templates) -> int | None:
    """Return the longest synthesis window for a delay in seconds; None for the whole window."""
    if latency is None:
        return None
    least = _LEAST_WINDOW / bank.sample_rate
    if not least <= latency:
        raise ParameterError(
            f"the latency must be {1000 * least:.2f} ms or more, not {latency!r} s"
        )
    length = min(bank.stft.n_fft, int(latency * bank.sample_rate) + 1) // _STEP * _STEP
    return length if length < bank.stft.n_fft else None
