"""One page about one recording: hear its stems together, see them, read how far to trust them.

The stems are those of a separation, of a regrouping, or the components of a decomposition.

The page is one file that a browser opens from the disk, without a network: pictures, styles, the
player and, where it is not too long, the audio are inside, and a content security policy in it
forbids every request. Names from outside are escaped wherever they stand.

*Audio.* Up to 10 minutes of audio, all stems counted together, are embedded as 16-bit FLAC. It is
lossless, so the stems in the page sum to the mixture as the files do; it has no delay of its own,
as MP3 has, so they stay together; every browser of the last years plays it; and it is encoded some
ten times quicker than a lossy format, so that the report does not take longer than the
separation. Beyond that the page plays the stem files themselves, which have to stay where they are.

The pictures need matplotlib; without it the page says so, and has all the rest.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html
import importlib.resources
import io
import json
import os
import shlex
import urllib.parse
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf import __version__, plot
from audionmf.analysis.blind import component_name
from audionmf.errors import AudioNMFWarning, MissingExtraError
from audionmf.io.audio import AudioFile, Samples, Source, open_source
from audionmf.io.files import StrPath, write_bytes
from audionmf.nmf import convolutive
from audionmf.rendering.decomposition import Decomposition
from audionmf.rendering.stems import DEFAULT_PATTERN, StemFiles, stem_paths
from audionmf.rendering.trust import Trust, overlap_words
from audionmf.settings import Settings
from audionmf.sources.templates import describe_stft
from audionmf.spectra.frames import BLOCK_FRAMES, pooled_magnitude
from audionmf.spectra.stft import STFT
from audionmf.spectra.timbre import note_name, timbre

__all__ = [
    "can_embed",
    "describe_sources",
    "embed_flac",
    "is_ungrouped",
    "report_path",
    "strongest_components",
    "write_report",
]

_EMBEDDED_SECONDS = 600.0
_MAX_FLAC_CHANNELS = 8
_MAX_FLAC_RATE = 655_350

_LANE_COLUMNS = 600
_PICTURE_COLUMNS = 1200
_PICTURE_DPI = 100
_MAX_TEMPLATES = 96


def report_path(
    folder: StrPath, track: str, pattern: str = DEFAULT_PATTERN, extension: str = "wav"
) -> Path:
    """Return where the report of a track belongs: where a stem called "report" would, as HTML.

    With the default pattern that is ``report.html`` beside the stems.

    Parameters
    ----------
    folder, track, pattern, extension
        As in `audionmf.stems.stem_paths`.

    Raises
    ------
    ParameterError
        If the pattern or the extension is wrong.
    """
    [path] = stem_paths(folder, track, ["report"], pattern, extension).values()
    return path.with_suffix(".html")


def write_report(
    path: StrPath,
    mixture: Source | StrPath,
    stems: StemFiles,
    decomposition: Decomposition,
    trust: Trust,
    *,
    manifest: Mapping[str, Any] | None = None,
    command: Sequence[str] = (),
) -> Path:
    """Write a page about stems that are on the disk, whole or not at all.

    Parameters
    ----------
    path : path
        The page; beside the stems or near them, because it links to their files.
    mixture : Audio, AudioFile or path
        The recording.
    stems : StemFiles
        What was written.
    decomposition : Decomposition
        What the stems were rendered from.
    trust : Trust
        How far to trust each stem.
    manifest : mapping, optional
        Further facts, values that go into JSON, shown as they are.
    command : sequence of str, optional
        The words of a command line that makes the same stems.

    Returns
    -------
    pathlib.Path
        The page.

    Warns
    -----
    AudioNMFWarning
        If matplotlib is not installed; the page then has no pictures and says so.

    Raises
    ------
    FileNotFoundError, AudioReadError, InvalidAudioError
        If the recording or a stem cannot be read.
    OutputError
        If the page cannot be written.
    """
    path = Path(path)
    source = open_source(mixture)
    stft = decomposition.templates.stft
    files = {name: AudioFile(file) for name, file in stems.paths.items()}
    seen = {name: plot.overview(file, stft) for name, file in files.items()}
    peak = max(each.peak for each in seen.values())
    page = _Page(
        title=source.path.stem if source.path else "mixture",
        source=source,
        links={name: _link(file, path.parent) for name, file in stems.paths.items()},
        flac=_embedded(list(files.values()), min(1.0, 1 / peak) if peak else 1.0),
        loud=peak > 1,
        lanes=plot.relative_levels(seen),
        gain=stems.gain,
        decomposition=decomposition,
        trust=trust,
        pictures=_pictures_or_note(source, seen, decomposition),
        manifest=manifest,
        command=command,
    )
    return write_bytes(path, page.text().encode("utf-8", "replace"))


def embed_flac(source: Source, gain: float = 1.0, max_seconds: float | None = None) -> str:
    """Return a recording as 16-bit FLAC in base64, read block by block.

    Parameters
    ----------
    source : Audio or AudioFile
        The recording: at most 8 channels and 655 350 Hz, which is what FLAC holds.
    gain : float, default 1
        Factor; beyond full scale is clipped.
    max_seconds : float, optional
        Stop there.

    Returns
    -------
    str
        The same for the same samples.
    """
    import soundfile

    content = io.BytesIO()
    left = source.n_samples if max_seconds is None else round(max_seconds * source.sample_rate)
    with soundfile.SoundFile(
        content, "w", source.sample_rate, source.n_channels, "PCM_16", format="FLAC"
    ) as file:
        for block in source.blocks():
            file.write(_sixteen_bits(block[:, :left] * np.float32(gain)).T)
            left -= block.shape[1]
            if left <= 0:
                break
    return base64.b64encode(content.getvalue()).decode("ascii")


def describe_sources(decomposition: Decomposition) -> dict[str, str]:
    """Say of each source how many components it has, or what the only one sounds like.

    Parameters
    ----------
    decomposition : Decomposition
        What an analysis found.

    Returns
    -------
    dict of str to str
        Such as "3 components" or "A4, dark", by the name of the source.
    """
    templates, words = decomposition.templates, {}
    for name, group in decomposition.grouping.items():
        words[name] = f"{len(group)} components"
        if len(group) == 1:
            spectrum = templates.templates[:, group[0]]
            sound = timbre(spectrum, templates.sample_rate / templates.stft.n_fft)
            tone = note_name(sound.pitch.hertz)[0] if sound.pitch else "no pitch"
            words[name] = f"{tone}, {sound.brightness}"
    return words


def is_ungrouped(decomposition: Decomposition) -> bool:
    """Tell whether every component is a source of its own, called ``component00`` and so on."""
    return decomposition.grouping == {
        component_name(k): (k,) for k in range(decomposition.n_components)
    }


def can_embed(n_channels: int, sample_rate: int) -> bool:
    """Return whether FLAC, and so a page, can hold such audio."""
    return n_channels <= _MAX_FLAC_CHANNELS and sample_rate <= _MAX_FLAC_RATE


def strongest_components(W: NDArray[np.float32], H: NDArray[np.float32]) -> list[int]:
    """Return the components with most of the sound, in their order: as many as can be seen.

    Parameters
    ----------
    W : ndarray, shape (n_bins, n_components)
        Templates.
    H : ndarray, shape (n_components, n_frames)
        Activations.
    """
    weights = W.sum(axis=0, dtype=np.float64) * H.sum(axis=1, dtype=np.float64)
    return sorted(np.argsort(-weights, kind="stable")[:_MAX_TEMPLATES].tolist())


@dataclass(frozen=True)
class _Picture:
    """A picture in both themes, with the place of its time axis (see `plot.time_span`)."""

    title: str
    caption: str
    images: dict[str, bytes]
    span: tuple[float, float, float] | None


@dataclass(frozen=True, eq=False)
class _Page:
    """All that the page shows, and how it is put into words and marks."""

    title: str
    source: Source
    links: dict[str, str]
    flac: list[str] | None
    loud: bool
    lanes: dict[str, NDArray[np.floating[Any]]]
    gain: float
    decomposition: Decomposition
    trust: Trust
    pictures: list[_Picture] | str
    manifest: Mapping[str, Any] | None
    command: Sequence[str]

    @property
    def seconds(self) -> float:
        return self.decomposition.mixture.n_samples / self.source.sample_rate

    @property
    def noun(self) -> str:
        """What one of the stems is called."""
        return "component" if is_ungrouped(self.decomposition) else "stem"

    def text(self) -> str:
        """Return the page."""
        style, script = _palette_style() + _asset("page.css"), _asset("player.js")
        body = "\n".join(
            [
                self._header(),
                "<main>",
                self._listen(),
                self._trust(),
                self._look(),
                self._facts(),
                self._settings(),
                self._manifest(),
                "</main>",
                f"<footer>Made by audionmf {__version__}. "
                "This page loads nothing from elsewhere.</footer>",
                *self._data(),
            ]
        )
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{self._policy(style, script)}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="color-scheme" content="light dark">\n'
            '<meta name="referrer" content="no-referrer">\n'
            '<link rel="icon" href="data:,">\n'
            f"<title>{_escape(self.title)} – {self.noun}s</title>\n<style>{style}</style>\n</head>\n"
            f"<body>\n{body}\n<script>{script}</script>\n</body>\n</html>\n"
        )

    def _policy(self, style: str, script: str) -> str:
        media = "'none'" if self.flac is not None else "'self' file:"
        return "; ".join(
            [
                "default-src 'none'",
                f"script-src '{_digest(script)}'",
                f"style-src '{_digest(style)}'",
                "img-src data:",
                f"media-src {media}",
                "base-uri 'none'",
                "form-action 'none'",
            ]
        )

    def _header(self) -> str:
        channels = {1: "mono", 2: "stereo"}.get(
            self.source.n_channels, f"{self.source.n_channels} channels"
        )
        count = f"{len(self.links)} {self.noun}" + ("s" if len(self.links) != 1 else "")
        facts = f"{count} · {_clock(self.seconds)} · {self.source.sample_rate} Hz · {channels}"
        return f'<header><h1>{_escape(self.title)}</h1><p class="facts">{facts}</p></header>'

    def _listen(self) -> str:
        words = describe_sources(self.decomposition)
        tracks = "\n".join(
            self._track(i, name, words.get(name, ""), lane)
            for i, (name, lane) in enumerate(self.lanes.items())
        )
        files = ", ".join(
            f'<a href="{link}">{_escape(name)}</a>' for name, link in self.links.items()
        )
        return f"""<section aria-labelledby="listen">
<h2 id="listen">Listen</h2>
<div class="player">
<div class="row transport" role="group" aria-label="Playback">
<div class="control"><button id="play" type="button">Play</button>
<span id="time">0:00 / {_clock(self.seconds)}</span></div>
<input id="position" type="range" min="0" max="{self.seconds:.6f}" step="0.01" value="0"
 aria-label="Position" autocomplete="off">
</div>
<p id="status" role="status"></p>
<ol class="tracks">
{tracks}
</ol>
{self._explained()}
<div class="more">
<label><input id="loop" type="checkbox" autocomplete="off"> Loop</label>
<label>Volume <input id="volume" type="range" min="0" max="1" step="0.01" value="1"
 autocomplete="off"></label>
<span class="hide-narrow">Keys: <kbd>Space</kbd> play, <kbd>←</kbd> <kbd>→</kbd> 5 seconds,
<kbd>1</kbd>–<kbd>9</kbd> solo, with <kbd>Shift</kbd> mute, <kbd>0</kbd> all</span>
</div>
</div>
<p class="soft">{self._audio_words()} Files: {files}.</p>
<noscript><p class="note">The player needs JavaScript; the files do not.</p></noscript>
</section>"""

    def _track(self, index: int, name: str, words: str, lane: NDArray[Any]) -> str:
        shown = _escape(name)
        audio = "" if self.flac is not None else f'<audio preload="none" src="{self.links[name]}">'
        return f"""<li class="row track c{index % plot.N_COLOURS}">
<div class="control"><span class="chip"></span><span class="names" title="{shown}">
<span class="name">{shown}</span> <span class="words">{_escape(words)}</span></span>
<button type="button" class="solo" aria-pressed="false" aria-label="Solo {shown}">Solo</button>
<button type="button" class="mute" aria-pressed="false" aria-label="Mute {shown}">Mute</button>
<input type="range" class="gain" min="0" max="1" step="0.01" value="1"
 aria-label="Volume of {shown}" autocomplete="off"></div>
<div class="lane" aria-hidden="true">{_lane(lane)}<div class="playhead"></div></div>
{audio}{"</audio>" if audio else ""}</li>"""

    def _explained(self) -> str:
        values = self.trust.explained
        heard = values[~np.isnan(values)]
        if not heard.size:
            return ""
        return (
            '<div class="row explained"><div class="control"><span class="name">how much the '
            "models explain, second by second</span></div>"
            f'<div class="lane" aria-hidden="true">{_curve(values, self.seconds)}'
            '<div class="playhead"></div></div></div>'
        )

    def _audio_words(self) -> str:
        if self.flac is not None:
            words = (
                "The audio is in this page, as 16-bit FLAC, which loses nothing else: all "
                f"{self.noun}s together are the recording."
            )
            if self.loud:
                words += " It is softer here than in the files, which go beyond full scale."
            return words
        return (
            f"Pages embed up to {_EMBEDDED_SECONDS / 60:.0f} minutes of audio, all {self.noun}s "
            "counted together, of at most 8 channels; this is more, so the page plays their files: "
            "keep it beside them."
        )

    def _trust(self) -> str:
        rows = "\n".join(
            f'<tr class="c{i % plot.N_COLOURS}"><th scope="row"><span class="swatch"></span>'
            f"{_escape(name)}</th><td>{_percent(self.trust.energy_share[name])}"
            f"{_bar(self.trust.energy_share[name])}</td>"
            f"<td>{_percent(self.trust.overlap[name])}{_bar(self.trust.overlap[name])}</td>"
            f"<td>{overlap_words(self.trust.overlap[name])}</td></tr>"
            for i, name in enumerate(self.trust.energy_share)
        )
        values = self.trust.explained
        words = ""
        if (heard := values[~np.isnan(values)]).size:
            worst = int(np.nanargmin(values))
            words = (
                f"<p>The models explain {_percent(float(heard.mean()))} of the recording, and "
                f"least at {_clock(worst)} ({_percent(float(values[worst]))}).</p>"
            )
        return f"""<section aria-labelledby="trust">
<h2 id="trust">How far to trust the {self.noun}s</h2>
<p class="soft">Told from the models alone, without the true stems. A {self.noun} that shares little
of its sound with the others comes out clean; what is shared is a guess.</p>
<div class="scroll"><table>
<thead><tr><th scope="col">{"source" if self.noun == "stem" else self.noun}</th>
<th scope="col">share of the energy</th>
<th scope="col">sound in common</th><th scope="col">in words</th></tr></thead>
<tbody>
{rows}
</tbody></table></div>
{words}
</section>"""

    def _look(self) -> str:
        if isinstance(self.pictures, str):
            inner = f'<p class="note">There are no pictures here: {_escape(self.pictures)}.</p>'
        else:
            inner = "\n".join(_figure(picture) for picture in self.pictures)
        return f'<section aria-labelledby="look">\n<h2 id="look">Look</h2>\n{inner}\n</section>'

    def _facts(self) -> str:
        found = self.decomposition
        stopped = f"{found.reason.replace('_', ' ')}" if found.reason else ""
        rows = {
            "recording": str(self.source.path) if self.source.path else "an array of samples",
            "SHA-256": found.mixture.sha256,
            "length": f"{self.seconds:.3f} s ({found.mixture.n_samples} samples)",
            "transform": describe_stft(found.templates.stft),
            "components": str(found.n_components),
            "components of each source": "" if is_ungrouped(found) else _members(found),
            "modelled as": "single frames" if found.patterns is None else "patterns of frames",
            "places in the stereo image": "" if found.covariances is None else "used",
            "iterations stopped by": stopped,
            f"gain of all {self.noun}s": f"{self.gain:.6f}" if self.gain != 1 else "",
        }
        cells = "\n".join(
            f'<tr><th scope="row">{name}</th><td>{_escape(value)}</td></tr>'
            for name, value in rows.items()
            if value
        )
        if self.command:
            line = _escape(shlex.join(self.command))
            cells += f'\n<tr><th scope="row">made again with</th><td><code>{line}</code></td></tr>'
        return f"""<section aria-labelledby="made">
<h2 id="made">How it was made</h2>
<div class="scroll"><table><tbody>
{cells}
</tbody></table></div>
</section>"""

    def _settings(self) -> str:
        settings, defaults = self.decomposition.settings, Settings()
        rows = []
        for field in dataclasses.fields(Settings):
            value, usual = getattr(settings, field.name), getattr(defaults, field.name)
            changed = ' class="changed"' if value != usual else ""
            note = f" (default: {_escape(_setting(usual))})" if value != usual else ""
            rows.append(
                f'<tr{changed}><th scope="row"><code>{field.name}</code></th>'
                f"<td>{_escape(_setting(value))}{note}</td>"
                f'<td class="soft">{_escape(field.metadata["help"])}</td></tr>'
            )
        changed_count = sum("changed" in row for row in rows)
        summary = f"All settings ({changed_count} not the default)"
        return (
            f'<details><summary>{summary}</summary><div class="scroll"><table>'
            '<thead><tr><th scope="col">option</th><th scope="col">value</th>'
            '<th scope="col">what it does</th></tr></thead>'
            f"<tbody>\n{chr(10).join(rows)}\n</tbody></table></div></details>"
        )

    def _manifest(self) -> str:
        if self.manifest is None:
            return ""
        text = json.dumps(self.manifest, indent=2, ensure_ascii=False, default=str)
        return (
            "<details><summary>Manifest: what is needed to make the same stems again</summary>"
            f'<pre tabindex="0">{_escape(text)}</pre></details>'
        )

    def _data(self) -> list[str]:
        facts = {"seconds": self.seconds, "embedded": self.flac is not None}
        data = [f'<script type="application/json" id="page">{json.dumps(facts)}</script>']
        for i, content in enumerate(self.flac or ()):
            data.append(f'<script type="text/plain" id="audio{i}">{content}</script>')
        return data


def _embedded(files: Sequence[AudioFile], gain: float) -> list[str] | None:
    """Return the stems for the page, or None where they are too long for it or FLAC."""
    first = files[0]
    seconds = sum(file.duration for file in files)
    fits = seconds <= _EMBEDDED_SECONDS and can_embed(first.n_channels, first.sample_rate)
    return [embed_flac(file, gain) for file in files] if fits else None


def _sixteen_bits(samples: Samples) -> NDArray[np.int16]:
    steps: NDArray[np.float32] = np.rint(samples * np.float32(32768))
    return np.clip(steps, -32768, 32767).astype(np.int16)


def _pictures_or_note(
    source: Source, seen: Mapping[str, plot.Overview], decomposition: Decomposition
) -> list[_Picture] | str:
    try:
        return _pictures(source, seen, decomposition)
    except MissingExtraError as error:
        warnings.warn(AudioNMFWarning(f"the report has no pictures: {error}"), stacklevel=4)
        return str(error)


def _pictures(
    source: Source, seen: Mapping[str, plot.Overview], decomposition: Decomposition
) -> list[_Picture]:
    plot.figure()  # fails at once where matplotlib is missing
    templates = decomposition.templates
    stft, rate = templates.stft, templates.sample_rate
    V, frames, seconds = _typical_frames(source, stft)
    H, model = _model(decomposition, V, frames)
    labels = {k: name for name, group in decomposition.grouping.items() for k in group}
    n_components, plain = decomposition.n_components, is_ungrouped(decomposition)
    groups = [] if plain else [labels[k] for k in range(n_components)]
    strongest = strongest_components(templates.templates, H)
    order = plot.pitch_order(
        templates.templates[:, strongest], stft, rate, [groups[k] for k in strongest if groups]
    )
    most = (
        ""
        if len(order) == n_components
        else f"the {len(order)} of {n_components} that sound most, "
    )
    whose, arranged = ("component", "") if plain else ("source", "by source and then ")
    title, words = (
        f"Which {whose} has what, and when",
        (
            f"Each part of the spectrogram in the colour of the {whose} that has it; soft parts fade, "
            "mixed colours are shared."
        ),
    )
    if len(seen) > plot.N_COLOURS:
        title, words = f"When each {whose} sounds", "The spectrogram of all of them together."
    pictures = [
        _picture(
            title,
            f"{words} Below, how loud each is.",
            lambda theme: plot.separation(seen, stft, rate, theme=theme),
        ),
        _picture(
            "Templates and activations",
            f"Left the templates, {most}{arranged}by pitch: the sounds that were looked for. Right "
            "the recording, and below it when each template sounds.",
            lambda theme: plot.decomposition(
                V, templates.templates, H, stft, rate, groups=groups,
                order=[strongest[k] for k in order], frame_seconds=seconds, theme=theme,
            ),
        ),
        _picture(
            "What the models explain",
            "The recording, what templates and activations make of it, and what is left: orange "
            "where the recording has more, blue where the models have.",
            lambda theme: plot.reconstruction(
                V, model, stft, rate, frame_seconds=seconds, theme=theme
            ),
        ),
    ]  # fmt: skip
    if len(decomposition.divergence) > 1:
        pictures.append(
            _picture(
                "How the factorisation went",
                "The distance of the models from the recording; it never rises.",
                lambda theme: _axes_figure(plot.convergence, decomposition.divergence, theme),
            )
        )
    return pictures


def _members(decomposition: Decomposition) -> str:
    """Return the components of each source, such as ``bass 0, 3–5; rest 1, 2``."""
    told = []
    for name, group in decomposition.grouping.items():
        numbers = np.array(sorted(group))
        runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
        spans = (str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs)
        told.append(f"{name} {', '.join(spans)}")
    return "; ".join(told)


def _axes_figure(draw: Callable[..., Any], values: Any, theme: str) -> Any:
    picture = plot.figure(11, 3.6, theme)
    draw(picture.add_subplot(), values, theme=theme)
    return picture


def _picture(title: str, caption: str, draw: Callable[[str], Any]) -> _Picture:
    images: dict[str, bytes] = {}
    span = None
    for theme in plot.THEMES:
        drawn = draw(theme)
        span = plot.time_span(drawn)
        drawn.set_layout_engine("none")  # everything has its place now
        images[theme] = plot.png(drawn, _PICTURE_DPI)
    return _Picture(title, caption, images, span)


def _typical_frames(
    source: Source, stft: STFT
) -> tuple[NDArray[np.float32], NDArray[np.intp], float]:
    """Return the loudest frame of each column of a picture, its number, seconds between columns.

    Frames and not maxima of several: what a model makes of a frame can be compared with it.
    """
    step = -(-stft.n_frames(source.n_samples) // _PICTURE_COLUMNS)
    kept: dict[int, tuple[float, int, NDArray[np.float32]]] = {}
    first = 0
    for X in stft.forward_blocks(source.blocks(), BLOCK_FRAMES):
        V = pooled_magnitude(X)
        loudness = V.sum(axis=0, dtype=np.float64)
        for t in range(V.shape[1]):
            column = (first + t) // step
            if column not in kept or loudness[t] > kept[column][0]:
                kept[column] = (float(loudness[t]), first + t, V[:, t].copy())
        first += V.shape[1]
    found = [kept[column] for column in sorted(kept)]
    frames = np.array([frame for _, frame, _ in found])
    return (
        np.stack([V for _, _, V in found], 1),
        frames,
        step * stft.hop_length / source.sample_rate,
    )


def _model(
    decomposition: Decomposition, V: NDArray[np.float32], frames: NDArray[np.intp]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the activations in some frames, and what the templates make of them."""
    W, known = decomposition.templates.templates, decomposition.activations
    if known is not None and decomposition.patterns is not None:
        whole: NDArray[np.float32] = convolutive.model(decomposition.patterns, known)
        return known[:, frames], whole[:, frames]
    if known is not None:
        return known[:, frames], W @ known[:, frames]
    H = np.empty((decomposition.n_components, len(frames)), np.float32)
    runs = np.split(np.arange(len(frames)), np.flatnonzero(np.diff(frames) > 1) + 1)
    if not decomposition.absent:  # then frames need not be neighbours
        runs = [np.arange(len(frames))]
    for run in runs:
        H[:, run] = decomposition.activate(V[:, run], 1, int(frames[run[0]]))
    return H, W @ H


def _figure(picture: _Picture) -> str:
    data = {
        theme: f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"
        for theme, content in picture.images.items()
    }
    timed, place, head = "", "", ""
    if picture.span:
        start, end, seconds = picture.span
        place = f' data-start="{start:.5f}" data-end="{end:.5f}" data-seconds="{seconds:.6f}"'
        timed, head = " timed", '<div class="playhead"></div>'
    return (
        f'<figure class="wide{timed}"{place}><div class="picture wide"><div class="inner">'
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="{data["dark"]}">'
        f'<img src="{data["light"]}" alt="{_escape(picture.title)}. {_escape(picture.caption)}">'
        f"</picture>{head}</div></div>"
        f"<figcaption><strong>{_escape(picture.title)}.</strong> {_escape(picture.caption)}"
        "</figcaption></figure>"
    )


def _lane(level: NDArray[Any]) -> str:
    """Return the level of a stem over time, 0 to 1, as a drawing as wide as it is put."""
    step = -(-len(level) // _LANE_COLUMNS)
    shown = np.maximum.reduceat(level, np.arange(0, len(level), step))
    upper = [f"{x} {50 - 48 * y:.1f}" for x, y in enumerate(shown)]
    lower = [f"{x} {50 + 48 * y:.1f}" for x, y in reversed(list(enumerate(shown)))]
    width = max(1, len(shown) - 1)
    path = f"M{'L'.join([*upper, *lower])}Z"
    return (
        f'<svg viewBox="0 0 {width} 100" preserveAspectRatio="none">'
        f'<path class="level" d="{path}"/></svg>'
    )


def _curve(values: NDArray[np.float64], seconds: float) -> str:
    """Return shares of 0 to 1, one a second, as a drawing as wide as the time they cover."""
    columns = []
    for i, value in enumerate(values):
        if not np.isnan(value):
            height = 100 * float(np.clip(value, 0, 1))
            end = min(i + 1.0, seconds)
            columns.append(f"M{i} 100V{100 - height:.1f}H{end:.3f}V100Z")
    return (
        f'<svg viewBox="0 0 {max(seconds, 1e-3):.3f} 100" preserveAspectRatio="none">'
        f'<path class="share" d="{"".join(columns)}"/></svg>'
    )


def _bar(share: float) -> str:
    width = 100 * min(1.0, max(0.0, share))
    return (
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect width="{width:.1f}" height="10"/></svg>'
    )


def _palette_style() -> str:
    """Return the colours of the sources, the same as in the pictures, as style rules."""
    light, dark = (plot.source_colours(plot.N_COLOURS, theme) for theme in ("light", "dark"))

    def rules(colours: Sequence[str]) -> str:
        return "".join(f".c{i}{{--colour:{colour}}}" for i, colour in enumerate(colours))

    return f"{rules(light)}@media(prefers-color-scheme:dark){{{rules(dark)}}}\n"


def _asset(name: str) -> str:
    return importlib.resources.files("audionmf").joinpath("report_page", name).read_text("utf-8")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"


def _link(file: Path, folder: Path) -> str:
    relative = os.path.relpath(file, folder)
    return urllib.parse.quote(os.fsencode(relative.replace(os.sep, "/")))


def _escape(text: str) -> str:
    return html.escape(text)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _setting(value: Any) -> str:
    if value is None:
        return "automatic"
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 60}:{whole % 60:02d}"
