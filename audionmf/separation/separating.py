"""`separate` takes a recording apart: analyse, then render; `Separation` is what comes out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from audionmf.analysis.activations import with_activations
from audionmf.analysis.analysing import analyse_account
from audionmf.errors import ParameterError
from audionmf.io.audio import Audio, AudioFile, AudioLike, Samples, Source, as_audio, open_source
from audionmf.io.decode import in_one
from audionmf.io.files import (
    StrPath,
    listed,
    make_room,
    one_form,
    refuse_overwriting,
    safe_name,
)
from audionmf.io.formats import check_form
from audionmf.io.parts import excerpt
from audionmf.io.tags import Tags
from audionmf.rendering.blocks import render_blocks, stem_names
from audionmf.rendering.decomposition import Decomposition as Model
from audionmf.rendering.remixing import Gains, mix, resolve_gains
from audionmf.rendering.stems import StemBlocks, StemFiles, StemFormat, stem_paths, write_stems
from audionmf.rendering.trust import Trust, TrustMeter
from audionmf.settings import Settings
from audionmf.sources.known import Known, Told
from audionmf.spectra.frames import Progress, heard

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from audionmf.notes.events import Activity
    from audionmf.notes.table import NoteTable

__all__ = [
    "Decomposition",
    "Separation",
    "render",
    "render_to_files",
    "separate",
    "stem_blocks",
    "tell_offset",
]


@dataclass(frozen=True, eq=False)
class Separation:
    """The stems of a recording.

    Parameters
    ----------
    sources : dict of str to ndarray, shape (n_channels, n_samples), float32
        The stems by name. They sum to the mixture.
    sample_rate : int
        In Hz.
    decomposition : Decomposition
        What they were rendered from.
    subtype : str
        Sample format of the mixture, in which `save` writes them.
    trust : Trust
        How far to trust each stem, told without the true stems.
    mixture : ndarray, shape (n_channels, n_samples), float32
        The recording that the stems sum to.
    tags : Tags, default none
        What the mixture says of itself; what `save` writes says it too.
    examples : mapping of str to sequence of Audio or AudioFile
        What the sources were told by; `notes` listens to them too.
    """

    sources: dict[str, Samples]
    sample_rate: int
    decomposition: Decomposition
    subtype: str
    trust: Trust
    mixture: Samples
    tags: Tags = field(default_factory=Tags)
    examples: Mapping[str, Sequence[Source]] = field(default_factory=dict, repr=False)
    _heard: list[NoteTable] = field(default_factory=list, init=False, repr=False)

    @property
    def heard(self) -> NoteTable | None:
        """What `notes` returned last; None before."""
        return self._heard[-1] if self._heard else None

    def __repr__(self) -> str:
        seconds = self.mixture.shape[1] / self.sample_rate
        channels = self.mixture.shape[0]
        return (
            f"<Separation: {listed(self.sources)}; {channels} × {self.mixture.shape[1]} samples at "
            f"{self.sample_rate} Hz, {seconds:.2f} s>"
        )

    def remix(self, gains: Gains) -> Audio:
        """Put the stems together again, with a gain for each.

        Parameters
        ----------
        gains : mapping of str to float
            Linear gains, 0 to 1000: 0 takes a source out, 1 (default) leaves it as it is. Where no
            stem is called ``rest``, that name stands for all that are not named.

        Returns
        -------
        Audio
            Samples of shape (n_channels, n_samples), float32. Gains that are all 1 give the mixture
            to the bit. What is louder than full scale is kept; scale it before it is written as PCM.

        Raises
        ------
        ParameterError
            If there is no such source, or a gain is outside its range.
        """
        every = resolve_gains(list(self.sources), gains)
        mixed = mix(self.mixture, list(self.sources.values())[:-1], every)
        path = Path(self.decomposition.mixture.path) if self.decomposition.mixture.path else None
        return Audio(mixed, self.sample_rate, path, self.subtype, self.tags)

    def _repr_html_(self) -> str:
        """Show players and a picture in a notebook."""
        from audionmf.show.display import separation_html

        return separation_html(self)

    def plot(self, *, theme: str = "light") -> Figure:
        """Draw which stem has what part of the spectrogram, and how loud each is over time.

        Parameters
        ----------
        theme : {"light", "dark"}, default "light"
            Colours.

        Returns
        -------
        matplotlib.figure.Figure
            `audionmf.plot.save` writes it.

        Raises
        ------
        MissingExtraError
            If matplotlib is not installed.
        """
        from audionmf import plot

        return plot.separation(self, theme=theme)

    def report(self, folder: StrPath | None = None) -> Path:
        """Write the stems, and beside them a page to hear and see them.

        Parameters
        ----------
        folder : path, optional
            As in `save`.

        Returns
        -------
        pathlib.Path
            The page, ``report.html``; it opens from disk, without a network.

        Raises
        ------
        OutputError
            If a file cannot be written or would overwrite the mixture.

        Warns
        -----
        AudioNMFWarning
            If matplotlib is not installed; the page then has no pictures.
        """
        from audionmf.show.report import write_report

        stems = self.save(folder)
        page = next(iter(stems.paths.values())).parent / "report.html"
        path = Path(self.decomposition.mixture.path) if self.decomposition.mixture.path else None
        mixture = Audio(self.mixture, self.sample_rate, path, self.subtype, self.tags)
        return write_report(page, mixture, stems, self.decomposition, self.trust)

    def save(
        self,
        folder: StrPath | None = None,
        pattern: str = "{source}.{ext}",
        extension: str = "wav",
        subtype: str | None = None,
    ) -> StemFiles:
        """Write the stems, all or none.

        Parameters
        ----------
        folder : path, optional
            Where to; made if it is missing. Default: ``separated/TRACK``, as at the shell.
        pattern : str, default "{source}.{ext}"
            Name of each file below the folder; ``{track}`` is the mixture's name.
        extension : {"wav", "flac", "aiff", "mp3", "ogg", "opus"}, default "wav"
            The container. In the last three the stems sum to the mixture only roughly.
        subtype : str, optional
            Sample format: "PCM_16", "PCM_24", "FLOAT", …; default: that of the mixture, where the
            container has it.

        Returns
        -------
        StemFiles
            The files, and the common gain, which is 1 unless a stem would have clipped.

        Raises
        ------
        ParameterError
            If the pattern or the extension is wrong, or such files cannot hold the stems.
        OutputError
            If a file cannot be written or would overwrite the mixture; then none is left.
        """
        mixture = self.decomposition.mixture
        track = Path(mixture.path).stem or "mixture"
        folder = Path("separated", safe_name(track)) if folder is None else folder
        paths = stem_paths(folder, track, list(self.sources), pattern, extension)
        refuse_overwriting(paths.values(), [mixture.path] if mixture.path else [])
        check_form(extension, subtype, self.sample_rate, mixture.n_channels)
        wanted = subtype or self.subtype
        form = StemFormat(
            self.sample_rate, mixture.n_channels, wanted, mixture.n_samples, self.tags
        )
        stacked = np.stack(list(self.sources.values()))
        return write_stems(lambda: iter([stacked]), paths, form)

    def notes(
        self,
        *,
        drum_keys: Mapping[str, int | str] | None = None,
        tempo: str | float | None = None,
    ) -> NoteTable:
        """Return the notes that the sources play: those of the score, or those that the stems tell.

        A notebook that shows the stems afterwards shows them too, as piano rolls.

        Parameters
        ----------
        drum_keys, tempo
            As in `audionmf.transcribe`.

        Raises
        ------
        ParameterError
            If the key of a drum or the tempo is wrong.

        Warns
        -----
        AudioNMFWarning
            If a source has neither a pitch nor strokes.
        """
        from audionmf.notes.transcription import notes_of, tempo_of, warn_of_none

        stems = self._stems()
        found = notes_of(self.decomposition, stems, alone=self.examples, drum_keys=drum_keys)
        warn_of_none(found, self.decomposition)
        found = found.timed(tempo_of(Audio(self.mixture, self.sample_rate), tempo))
        self._heard[:] = [found]
        return found

    def activity(self) -> list[Activity]:
        """Return when each source sounds, in the order of time."""
        from audionmf.notes.transcription import activity_of

        return activity_of(self._stems())

    def _stems(self) -> dict[str, Audio]:
        return {name: Audio(stem, self.sample_rate) for name, stem in self.sources.items()}


@dataclass(frozen=True, eq=False, repr=False)
class Decomposition(Model):
    """What a recording is made of, and what can be made of that: stems, notes, pictures, a page.

    Parameters
    ----------
    recording : Audio or AudioFile, optional
        The recording; not saved. Default: the file that it was, if it still is where it was.
    **fields
        Those of `audionmf.rendering.decomposition.Decomposition`.
    """

    recording: Source | None = None

    @classmethod
    def of_model(cls, model: Model, recording: Source | None = None) -> Decomposition:
        """Return what an analysis found, together with its recording."""
        values = {item.name: getattr(model, item.name) for item in dataclasses.fields(Model)}
        return cls(**values, recording=recording)

    def recorded(self) -> Source:
        """Return the recording.

        Raises
        ------
        ParameterError
            If it was made from an array, or a part of a file, and that is not at hand any more.
        FileNotFoundError, AudioReadError
            If the file is not where it was.
        TemplateMismatchError
            If the file was changed.
        """
        if self.recording is not None:
            return self.recording
        if not self.mixture.path:
            raise ParameterError(
                "this was made from an array of samples, which a model file does not hold; give it "
                "to audionmf.render(samples, found, sample_rate=...)"
            )
        file = AudioFile(Path(self.mixture.path))
        self.check_mixture(file)
        if file.n_samples < self.mixture.n_samples or file.n_samples - self.mixture.n_samples > 1:
            raise ParameterError(
                f"this was made from a part of {self.mixture.path!r}; give that part to "
                "audionmf.render(audionmf.excerpt(path, start, duration), found)"
            )
        return file

    def regroup(
        self,
        groups: Mapping[str, Iterable[int]] | None = None,
        *,
        same: Sequence[Sequence[int]] = (),
        apart: Sequence[Sequence[int]] = (),
        n_sources: int | None = None,
        progress: Progress | None = None,
    ) -> Decomposition:
        """Return the same with other groups, by hand, or by ear and corrected by hints.

        Parameters
        ----------
        groups : mapping of str to iterable of int, optional
            Components of each source: ``{"bass": [0, 3, 7], "keys": range(8, 12)}``; what is in no
            group becomes the source ``rest``.
        same : sequence of sequences of int, default ()
            Components of one source: the first of each stays, the others come to it.
        apart : sequence of sequences of int, default ()
            Components of different sources: the first of each stays, and the others leave its
            source for the one that they sound most like. After either, components that sound much
            like those that moved go along, but for the loudest of each source; not where `groups`
            are given.
        n_sources : int, optional
            Group all components anew by what is heard of them, into so many sources. Default: groups
            stay but for what is said; components that are a source each are grouped into as many as
            there seem to be.
        progress : callable, optional
            Told the stage and the share done, where the recording is read.

        Raises
        ------
        ParameterError
            If nothing is said, a component does not exist or is in two groups, or hints contradict
            each other; with `same`, `apart` or `n_sources` also as `recorded` does, for these need
            the recording.
        FileNotFoundError, AudioReadError, TemplateMismatchError
            As `recorded` does.
        """
        from audionmf.rendering.grouping import Hints

        hints = Hints.of(same, apart)
        if groups is not None and n_sources is not None:
            raise ParameterError("groups by hand have a number of their own: leave n_sources out")
        if groups is None and n_sources is None and not hints:
            raise ParameterError("say how: groups, same, apart or n_sources")
        changed: Model = self
        if groups is not None:
            changed = super().regroup({name: tuple(members) for name, members in groups.items()})
        if hints or n_sources is not None:
            from audionmf.analysis.hinted import regroup_by_ear

            changed = regroup_by_ear(
                self.recorded(), changed, hints, n_sources, progress, draw=groups is None
            )
        return Decomposition.of_model(changed, self.recording)

    def render(self, *, only: str | None = None, progress: Progress | None = None) -> Separation:
        """Render the stems; parameters and errors as in `audionmf.render` and `recorded`."""
        return render(self.recorded(), self, only=only, progress=progress)

    def save(self, path: StrPath | None = None) -> Path:
        """Write the model to a ``.npz`` file, whole or not at all; the same bytes each time.

        Parameters
        ----------
        path : path, optional
            Default: ``decomposed/TRACK/model.npz``, as at the shell.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        if path is None:
            track = safe_name(Path(self.mixture.path).stem or "mixture")
            path = Path("decomposed", track, "model.npz")
            make_room([path])
        return super().save(path)

    def report(self, folder: StrPath | None = None) -> Path:
        """Write the stems and a page to hear and see them; as `Separation.report`."""
        return self.render().report(folder)

    def notes(
        self,
        *,
        drum_keys: Mapping[str, int | str] | None = None,
        tempo: str | float | None = None,
    ) -> NoteTable:
        """Return the notes that the sources play; as `Separation.notes`."""
        return self.render().notes(drum_keys=drum_keys, tempo=tempo)

    def activated(self, progress: Progress | None = None) -> Decomposition:
        """Return the same with the activations of every frame, which only some analyses keep."""
        whole = with_activations(self.recorded(), self, progress)
        return Decomposition.of_model(whole, self.recording)

    def plot(self, *, theme: str = "light") -> Figure:
        """Draw the spectrogram, the templates beside it and the activations below it.

        Parameters
        ----------
        theme : {"light", "dark"}, default "light"
            Colours.

        Returns
        -------
        matplotlib.figure.Figure
            `audionmf.plot.save` writes it.

        Raises
        ------
        MissingExtraError
            If matplotlib is not installed.
        ParameterError, AudioNMFError
            As `recorded` does.
        """
        from audionmf import plot

        return plot.decomposition(self.activated(), theme=theme)

    def plot_templates(self, *, theme: str = "light") -> Axes:
        """Draw the templates, by source and pitch; as `audionmf.plot.templates`."""
        from audionmf import plot

        return plot.templates(self, theme=theme)

    def plot_activations(self, *, theme: str = "light") -> Axes:
        """Draw when each component plays; as `audionmf.plot.activations`."""
        from audionmf import plot

        return plot.activations(self.activated(), theme=theme)


def separate(
    mixture: AudioLike,
    sources: Mapping[str, Known] | None = None,
    *,
    only: str | None = None,
    start: float = 0.0,
    duration: float | None = None,
    sample_rate: int | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Separation:
    """Take a recording apart into stems.

    Say what is known of the sources: of each by itself (`sources`), or in the short forms below; they
    may come together. Say nothing, and their number is chosen. Of a single source there are two
    stems: it and the ``rest``.

    Parameters
    ----------
    mixture : Audio, path, binary file object, or array of shape (n_channels, n_samples) or \
    (n_samples,)
        The recording. A constant offset is left out of the analysis; it goes with the last stem.
    sources : mapping of str to Known, optional
        What is known of each source: ``{"violin": Known(example="violin.wav")}``.
    only : str, optional
        Give this source and the ``rest``, instead of all sources.
    start, duration : float, optional
        Separate a part of the mixture only, both in seconds; default: from its start, to its end.
        All other times count from the start of the part. The stems are those of a file that was cut
        there.
    sample_rate : int, optional
        In Hz; needed where the mixture is an array, and then holds for arrays among the examples.
    settings : Settings, optional
        Options of the analysis.
    progress : callable, optional
        Told the stage and the share done.
    **options
        Fields of `Settings`, changed from `settings`, and these short forms:

    n_sources : int
        Blind: components are grouped into so many sources by timbre.
    templates : Templates or path, or several
        Banks that `audionmf.learn` made; each label becomes a source.
    examples : mapping of str to audio or a list of audio
        Recordings of each source alone, seconds are enough; a folder is all audio files in it;
        another sample rate is converted.
    free : int, default 0
        Further components, learnt from the mixture with the templates fixed; they become the
        source ``other``.
    residual : str, default ""
        Name of a further stem that gets what no template explains; none if it is empty.
    solo : mapping of str to sequence of (float, float)
        Where sources play alone in the mixture itself, as starts and ends in seconds, for example
        ``{"violin": [(12.0, 20.5)]}``: there all other stems are silent.
    absent : mapping of str to sequence of (float, float)
        Where sources do not play, likewise: their stems are silent there, but for half a window at
        the borders. Not for a blind separation.
    convert : bool, default False
        Convert templates of another sample rate or STFT, instead of refusing them.
    same, apart : sequence of sequences of float
        Blind: hints about moments, in seconds. What sounds loudest at those of ``same=[(1.5, 4.0)]``
        is one source; what does at the later ones of ``apart=[(1.5, 6.0)]`` is not in that of the
        first.
    midi : path
        The score, a Standard MIDI file, aligned first: each track becomes a source. An example of
        the same name says how a part sounds.
    midi_split : {"track", "channel", "key"}, default "track"
        Whether tracks, channels, or tracks and the single drums become sources; see
        `audionmf.sources.score.read_score`.
    split_at : str or int
        A pitch such as "C4", at which pitched parts of the score are split into "high" and "low".
    lead : bool or str, default False
        One voice leads, such as a singer or a soloist: it becomes ``lead``, or what is said here,
        everything else
        ``accompaniment``. For recordings up to 25 minutes.
    harmonic_percussive : bool, default False
        The sources are ``harmonic``, what holds a tone, and ``percussive``, what is struck, told
        apart by medians over time and over frequency.
    margin : float, default 1
        With `harmonic_percussive`: by what factor one has to be above the other, 1 to 1000; more
        than 1 makes a third stem of what is neither, ``residual``.
    kit : bool, path or mapping of str to sequence of paths, default False
        Drums, up to 3 minutes: True finds ``kick``, ``snare``, ``hats``, ``toms`` and ``cymbals``,
        those that are heard, by a kit that is shipped. Or your own: a folder of samples, or its bank.

    Returns
    -------
    Separation
        ``sources`` maps each name to float32 samples of shape (n_channels, n_samples).

    Raises
    ------
    ParameterError
        If options do not fit, the part or ranges are not inside the mixture, ranges contradict each
        other, or one where a source plays alone is shorter than a window.
    FileNotFoundError, AudioReadError, InvalidAudioError, LimitError
        If audio cannot be read or worked on.
    TemplateError, TemplateMismatchError
        If templates cannot be read, or are for another sample rate or STFT.
    ScoreError
        If the score cannot be read, holds no notes, or none within the recording.
    """
    source = as_audio(excerpt(mixture, start, duration, sample_rate=sample_rate))
    told, others = Told.split(options, sources)
    account = told.account(sources, sample_rate=sample_rate)
    config = Settings.from_options(settings, **others)
    found = analyse_account(account, source, config, progress)
    made = render(source, tell_offset(source, found), only=only, progress=progress)
    return dataclasses.replace(made, examples=account.examples)


def tell_offset(source: Source, decomposition: Model) -> Model:
    """Return the decomposition with a remark about a constant offset that was left out."""
    if not (offset := source.offset).any():
        return decomposition
    most = float(offset[np.abs(offset).argmax()])
    text = f"a constant offset of {most:.2g} was left out of the analysis; it is in the last stem"
    return dataclasses.replace(decomposition, remarks=(*decomposition.remarks, text))


def render(
    mixture: AudioLike,
    decomposition: Model,
    *,
    only: str | None = None,
    sample_rate: int | None = None,
    progress: Progress | None = None,
) -> Separation:
    """Render the stems of a recording in memory.

    Parameters
    ----------
    mixture : Audio, path, or array of shape (n_channels, n_samples) or (n_samples,)
        The recording.
    decomposition : Decomposition
        Templates and grouping, as `audionmf.analyse` gives them.
    only : str, optional
        Give this source and the ``rest``, instead of all sources.
    sample_rate : int, optional
        In Hz; needed where the mixture is an array.
    progress : callable, optional
        Told the stage and the share done.

    Returns
    -------
    Separation
        The stems.

    Raises
    ------
    TemplateMismatchError
        If the recording has another sample rate than the templates.
    """
    source = as_audio(mixture, sample_rate)
    meter = TrustMeter.of(decomposition)
    stems = in_one(stem_blocks(source, decomposition, progress, only, meter), source.n_samples)
    sources = dict(zip(stem_names(decomposition, only), stems, strict=True))
    return Separation(
        sources, source.sample_rate, Decomposition.of_model(decomposition, source), source.subtype,
        _trust(meter, only), source.samples, source.tags,
    )  # fmt: skip


def stem_blocks(
    source: Source,
    decomposition: Model,
    progress: Progress | None = None,
    only: str | None = None,
    meter: TrustMeter | None = None,
) -> StemBlocks:
    """Yield blocks of the stems of `stem_names`; a constant offset is in the last one."""
    level = source.without_offset()
    blocks = render_blocks(level, decomposition, heard(progress), only, meter)
    if level is source:
        yield from blocks
        return
    for block in blocks:
        block[-1] += source.offset[:, None]
        yield block


def render_to_files(
    mixture: Source | StrPath,
    decomposition: Model,
    paths: dict[str, Path],
    *,
    only: str | None = None,
    subtype: str | None = None,
    progress: Progress | None = None,
) -> tuple[StemFiles, Trust]:
    """Render the stems of a recording into files, block by block, all or none.

    Parameters
    ----------
    mixture : Audio, AudioFile or path
        The recording.
    decomposition : Decomposition
        Templates and grouping, as `audionmf.analyse` gives them.
    paths : dict of str to path
        The file of each stem, as `stem_paths` gives them.
    only : str, optional
        Write this source and the ``rest``, instead of all sources.
    subtype : str, optional
        Sample format, such as "PCM_16"; default: that of the recording, where the container has it.
    progress : callable, optional
        Told the stage and the share done.

    Returns
    -------
    StemFiles
        The files, and the common gain, which is 1 unless a stem would have clipped.
    Trust
        How far to trust each stem.

    Raises
    ------
    OutputError
        If a file cannot be written; then none is left.
    """
    source = open_source(mixture)
    form = StemFormat(
        source.sample_rate, source.n_channels, subtype or source.subtype,
        decomposition.mixture.n_samples, source.tags,
    )  # fmt: skip
    ordered = {name: paths[name] for name in stem_names(decomposition, only)}
    meters: list[TrustMeter] = []

    def blocks() -> StemBlocks:
        meters.append(TrustMeter.of(decomposition))
        return stem_blocks(source, decomposition, progress, only, meters[-1])

    return write_stems(blocks, ordered, form), _trust(meters[-1], only)


def _trust(meter: TrustMeter, only: str | None) -> Trust:
    """Return the figures of the stems that there are."""
    return meter.result() if only is None else meter.result().against_rest(one_form(only))
