"""How a separation or a decomposition shows itself in a notebook: players and a picture, as HTML.

Jupyter asks an object for `_repr_html_`; nothing of Jupyter is needed for the answer. It stands on
its own card of light colours, because a notebook does not say which it has. There are no scripts in
it, which a notebook would not run before it is trusted.

It is bounded: players hold the first seconds, as 16-bit FLAC, and at most 16 sources are shown.
"""

from __future__ import annotations

import base64
import html
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from audionmf import plot
from audionmf.errors import AudioNMFError, MissingExtraError
from audionmf.io.audio import Audio, AudioFile, Samples
from audionmf.io.files import counted
from audionmf.rendering.blocks import render_blocks
from audionmf.rendering.trust import Trust
from audionmf.show.embedding import can_embed, embed_flac
from audionmf.show.pictures import strongest_components
from audionmf.show.rolls import roll_notes
from audionmf.show.tones import tones
from audionmf.show.words import describe_sources, is_ungrouped
from audionmf.sources.templates import describe_stft

if TYPE_CHECKING:
    from audionmf.notes.table import NoteTable
    from audionmf.rendering.decomposition import Decomposition
    from audionmf.spectra.stft import STFT

__all__ = ["decomposition_html", "separation_html"]

_MAX_PLAYERS = 16
_MAX_ROLLS = 8
_MAX_SECONDS = 30.0
_ALL_SECONDS = 120.0
_DPI = 80
_CARD = (
    "background:#ffffff;color:#1c1e22;border:1px solid #d5d8dd;border-radius:10px;"
    "padding:1em;max-width:62em;font:14px/1.5 system-ui,sans-serif"
)
_CELL = "text-align:left;vertical-align:middle;padding:0.2em 1em 0.2em 0;border:0;background:none"

_DOT = "display:inline-block;width:0.7em;height:0.7em;border-radius:50%;margin-right:0.5em"


class Stems(Protocol):
    """Stems as `audionmf.separate` returns them."""

    @property
    def sources(self) -> Mapping[str, Samples]:
        """The stem of each source."""

    @property
    def sample_rate(self) -> int:
        """In Hz."""

    @property
    def decomposition(self) -> Decomposition:
        """What they were rendered from."""

    @property
    def heard(self) -> NoteTable | None:
        """The notes of the stems, where they were asked for."""

    @property
    def trust(self) -> Trust:
        """How far to trust each."""


def separation_html(separation: Stems) -> str:
    """Return stems as HTML: a player and the trust figures of each, and a picture.

    Parameters
    ----------
    separation : Separation or the like
        The stems.

    Returns
    -------
    str
        One element; names in it are escaped.
    """
    sources, rate = separation.sources, separation.sample_rate
    stft = separation.decomposition.templates.stft
    n_samples = next(iter(sources.values())).shape[1]
    track = Path(separation.decomposition.mixture.path).stem or "separation"

    def draw() -> Any:
        shown = {name: plot.overview(stem, stft, rate) for name, stem in sources.items()}
        return plot.separation(shown, stft, rate)

    notes = {}
    trust = separation.trust
    for name in sources.keys() & trust.overlap.keys():
        share, words = trust.energy_share[name], trust.words(name)
        notes[name] = f"{share:.0%} of the energy; {words}"
    return _card(
        f"{track}: {counted(len(sources), 'stem')}, {n_samples / rate:.1f} s",
        _players(list(sources), list(sources.values()), rate, n_samples, notes),
        *(_note(told) for told in separation.decomposition.remarks),
        _picture(draw, "which source has what, and how loud each stem is"),
        _rolls(separation, stft),
    )


def _rolls(separation: Stems, stft: STFT) -> str:
    """Return the notes under the spectrogram of each source, and players of the notes alone."""
    heard, rate = separation.heard, separation.sample_rate
    if heard is None:
        return _note("Call notes() and show this again to see what each source plays, and hear it.")
    stems = {name: stem for name, stem in separation.sources.items() if name in heard.sources}
    played = {name: mine for name in stems if (mine := heard.of(name))}
    played = dict(itertools.islice(played.items(), _MAX_ROLLS))
    if not played:
        return _note("No notes were found: the sources have neither a pitch nor strokes.")
    seconds = min(next(iter(stems.values())).shape[1] / rate, _seconds(len(played)))
    names = list(separation.sources)
    colours = dict(zip(names, plot.source_colours(len(names)), strict=True))

    def draw() -> Any:
        seen = {name: plot.overview(stems[name], stft, rate) for name in played}
        return plot.rolls(
            seen, {name: roll_notes(mine) for name, mine in played.items()}, stft, rate,
            colours=colours,
        )  # fmt: skip

    rows = "".join(
        _row(name, tones(mine, seconds), counted(len(mine), "note") + " as tones", colours[name])
        for name, mine in played.items()
    )
    without = ", ".join(name for name in heard.without if name in stems)
    words = f"No notes of {without}: neither a pitch nor strokes were found." if without else ""
    players = f"<table>{rows}</table>{_note(words) if words else ''}"
    return _picture(draw, "the notes of each source under its spectrogram") + players


def _row(name: str, sound: Audio, words: str, colour: str, gain: float = 1.0) -> str:
    """Return a row of a table: a name, a player, words."""
    shown = html.escape(name)
    whole = shown.replace("-", "\u2011")  # a hyphen that no line breaks at
    return (
        f'<tr><th style="{_CELL}"><span style="{_DOT};background:{colour}"></span>{whole}</th>'
        f'<td style="{_CELL}">'
        f'<audio controls preload="metadata" style="height:2.4em" aria-label="{shown}" '
        f'src="data:audio/flac;base64,{embed_flac(sound, gain)}"></audio></td>'
        f'<td style="{_CELL}">{html.escape(words)}</td></tr>'
    )


def decomposition_html(decomposition: Decomposition) -> str:
    """Return a decomposition as HTML: a player a source, templates and activations.

    The players are rendered from the first seconds of the recording, if it is still where it was.

    Parameters
    ----------
    decomposition : Decomposition
        What an analysis found.

    Returns
    -------
    str
        One element; names in it are escaped.
    """
    templates, mixture = decomposition.templates, decomposition.mixture
    names = decomposition.source_names
    seconds = mixture.n_samples / templates.sample_rate
    parts = counted(decomposition.n_components, "component")
    if not is_ungrouped(decomposition):
        parts = f"{counted(len(names), 'source')} of {parts}"
    title = (
        f"{Path(mixture.path).stem or 'decomposition'}: {parts}, {seconds:.1f} s, "
        f"{describe_stft(templates.stft)}"
    )
    return _card(
        title,
        _rendered(decomposition, describe_sources(decomposition)),
        _picture(lambda: _draw(decomposition), "templates and activations"),
    )


def _rendered(decomposition: Decomposition, notes: dict[str, str]) -> str:
    names, rate = decomposition.source_names, decomposition.templates.sample_rate
    n_samples = decomposition.mixture.n_samples
    if not decomposition.mixture.path:
        return _note("It was made from an array of samples; render it to hear it.")
    try:
        file = AudioFile(Path(decomposition.mixture.path))
        decomposition.check_mixture(file)
        stems = _beginning(file, decomposition, round(_seconds(len(names)) * rate))
    except (AudioNMFError, OSError) as error:
        return _note(f"There is nothing to hear: {error}.")
    return _players(names, stems, rate, n_samples, notes)


def _beginning(file: AudioFile, decomposition: Decomposition, n_samples: int) -> Sequence[Samples]:
    """Render no more blocks than the first samples need."""
    blocks = render_blocks(file, decomposition, lambda stage, done: None)
    kept: list[Samples] = []
    for block in blocks:
        kept.append(block)
        if sum(each.shape[-1] for each in kept) >= n_samples:
            break
    return list(np.concatenate(kept, axis=-1)[..., :n_samples])


def _draw(decomposition: Decomposition) -> Any:
    templates, H = decomposition.templates, decomposition.activations
    W, stft, rate = templates.templates, templates.stft, templates.sample_rate
    shown = strongest_components(W, np.ones((W.shape[1], 1), np.float32) if H is None else H)
    owners = {k: name for name, group in decomposition.grouping.items() for k in group}
    groups = [owners[k] for k in range(decomposition.n_components)]
    alone = len(set(groups)) == len(groups)  # every component a source of its own
    places = plot.pitch_order(W[:, shown], stft, rate, [] if alone else [groups[k] for k in shown])
    options: dict[str, Any] = {"order": [shown[k] for k in places]}
    if not alone:
        options["groups"] = groups
    picture = plot.figure(11, 4.5)
    if H is None:
        plot.templates(picture.add_subplot(), W, stft, rate, **options)
        return picture
    left, right = picture.subplots(1, 2, width_ratios=(1, 2))
    plot.templates(left, W, stft, rate, **options)
    plot.activations(right, H, stft, rate, **options)
    return picture


def _players(
    names: Sequence[str],
    stems: Sequence[Samples],
    sample_rate: int,
    n_samples: int,
    notes: dict[str, str],
) -> str:
    seconds = _seconds(len(names))
    n_shown = round(seconds * sample_rate)
    if not can_embed(stems[0].shape[0], sample_rate):
        return _note("Browsers play up to 8 channels and 655 kHz; save the stems to hear them.")
    peak = max(float(np.abs(stem[:, :n_shown]).max(initial=0)) for stem in stems)
    gain = min(1.0, 1 / peak) if peak else 1.0
    colours = plot.source_colours(len(names))
    rows = []
    for name, stem, colour in itertools.islice(
        zip(names, stems, colours, strict=True), _MAX_PLAYERS
    ):
        sound = Audio(stem[:, :n_shown], sample_rate)
        rows.append(_row(name, sound, notes.get(name, ""), colour, gain))
    words = []
    if n_samples > n_shown:
        words.append(f"Players hold the first {seconds:g} s.")
    if len(names) > _MAX_PLAYERS:
        words.append(f"Here are {_MAX_PLAYERS} of {len(names)}.")
    return f"<table>{''.join(rows)}</table>{_note(' '.join(words)) if words else ''}"


def _seconds(n_stems: int) -> float:
    """Return how much of each stem is shown: less of each where there are many."""
    return min(_MAX_SECONDS, round(_ALL_SECONDS / min(n_stems, _MAX_PLAYERS), 1))


def _picture(draw: Any, text: str) -> str:
    try:
        content = base64.b64encode(plot.png(draw(), _DPI)).decode("ascii")
    except MissingExtraError as error:
        return _note(f"There is no picture: {error}.")
    return (
        f'<img alt="{html.escape(text)}" style="max-width:100%" '
        f'src="data:image/png;base64,{content}">'
    )


def _card(title: str, *parts: str) -> str:
    return f'<div style="{_CARD}"><strong>{html.escape(title)}</strong>{"".join(parts)}</div>'


def _note(text: str) -> str:
    return f'<p style="margin:0.4em 0;color:#5b606a">{html.escape(text)}</p>'
