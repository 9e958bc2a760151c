"""The page of a report: what it says and shows, put into HTML.

A content security policy in it forbids every request. Names from outside are escaped wherever they
stand.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html
import importlib.resources
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audionmf import __version__, plot
from audionmf.io.audio import Source
from audionmf.rendering.decomposition import Decomposition
from audionmf.rendering.trust import Trust
from audionmf.settings import Settings
from audionmf.show.drawings import bar, curve, lane
from audionmf.show.embedding import EMBEDDED_SECONDS, Embedded
from audionmf.show.pictures import Picture
from audionmf.show.rolls import Roll, time_axis
from audionmf.show.words import describe_sources, is_ungrouped, members
from audionmf.sources.templates import describe_stft

__all__ = ["GENERATOR", "Page"]

GENERATOR = '<meta name="generator" content="audionmf report">'
"""By which a page is known as one of ours."""


@dataclass(frozen=True, eq=False)
class Page:
    """All that the page shows, and how it is put into words and marks."""

    title: str
    source: Source
    links: dict[str, str]
    audio: Embedded | None
    loud: bool
    lanes: dict[str, NDArray[np.floating[Any]]]
    gain: float
    decomposition: Decomposition
    trust: Trust
    pictures: list[Picture] | str
    rolls: list[Roll]
    silent: str
    manifest: Mapping[str, Any] | None
    command: Sequence[str]

    @property
    def seconds(self) -> float:
        """Length of the recording."""
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
                self._notes(),
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
            f"{GENERATOR}\n"
            '<link rel="icon" href="data:,">\n'
            f"<title>{_escape(self.title)} – {self.noun}s</title>\n<style>{style}</style>\n</head>\n"
            f"<body>\n{body}\n<script>{script}</script>\n</body>\n</html>\n"
        )

    def _policy(self, style: str, script: str) -> str:
        media = "'none'" if self.audio is not None else "'self' file:"
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
            self._track(i, name, words.get(name, ""), level)
            for i, (name, level) in enumerate(self.lanes.items())
        )
        files = ", ".join(
            f'<a href="{link}">{_escape(name)}</a>' for name, link in self.links.items()
        )
        mix = "" if self.audio is None else '<button type="button" id="mix">Save the mix</button>'
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
<button id="original" type="button" aria-pressed="false"
 title="All of it, as it was recorded, to compare with what is chosen">Original</button>
<label><input id="loop" type="checkbox" autocomplete="off"> Loop</label>
<label>Volume <input id="volume" type="range" min="0" max="1" step="0.01" value="1"
 autocomplete="off"></label>
{mix}
<span class="hide-narrow">Keys: <kbd>Space</kbd> play, <kbd>←</kbd> <kbd>→</kbd> 5 seconds,
<kbd>1</kbd>–<kbd>9</kbd> solo, with <kbd>Shift</kbd> mute, <kbd>0</kbd> all,
<kbd>A</kbd> original</span>
</div>
</div>
<p class="soft">{self._audio_words()} Files: {files}.</p>
<noscript><p class="note">The player needs JavaScript; the files do not.</p></noscript>
</section>"""

    def _track(self, index: int, name: str, words: str, level: NDArray[Any]) -> str:
        shown = _escape(name)
        audio = "" if self.audio is not None else f'<audio preload="none" src="{self.links[name]}">'
        most = 1 if audio else 2  # an element of a page plays no louder than its file
        return f"""<li class="row track c{index % plot.N_COLOURS}">
<div class="control"><span class="chip"></span><span class="names" title="{shown}">
<span class="name">{shown}</span> <span class="words">{_escape(words)}</span></span>
<button type="button" class="solo" aria-pressed="false" aria-label="Solo {shown}">Solo</button>
<button type="button" class="mute" aria-pressed="false" aria-label="Mute {shown}">Mute</button>
<input type="range" class="gain" min="0" max="{most}" step="0.01" value="1"
 aria-label="Volume of {shown}" autocomplete="off"></div>
<div class="lane" aria-hidden="true">{lane(level)}<div class="playhead"></div></div>
{audio}{"</audio>" if audio else ""}</li>"""

    def _explained(self) -> str:
        values = self.trust.explained
        heard = values[~np.isnan(values)]
        if not heard.size:
            return ""
        return (
            '<div class="row explained"><div class="control"><span class="name">how much the '
            "models explain, second by second</span></div>"
            f'<div class="lane" aria-hidden="true">{curve(values, self.seconds)}'
            '<div class="playhead"></div></div></div>'
        )

    def _audio_words(self) -> str:
        if self.audio is not None:
            words = (
                "The audio is in this page, as 16-bit FLAC, which loses nothing else: all "
                f"{self.noun}s together are the recording."
                if self.audio.lossless
                else "The audio is in this page, as Ogg Vorbis, so that the page can be passed on as "
                "one file under 20 MB: nearly what the files hold."
            )
            if self.loud:
                words += " It is softer here than in the files, which go beyond full scale."
            return words
        return (
            f"Pages embed up to {EMBEDDED_SECONDS / 60:.0f} minutes of audio, all {self.noun}s "
            "counted together, of at most 8 channels and 15 MB; this is more, so the page plays "
            "their files: keep it beside them."
        )

    def _notes(self) -> str:
        rolls = "\n".join(self._roll(roll) for roll in self.rolls)
        hint = (
            "Click a note to hear its stem alone from there; <kbd>0</kbd>, or <em>Solo</em> above, "
            "brings the others back."
        )
        if self.audio is not None:
            hint += " <em>Tones</em> plays the notes themselves in place of the sound."
        axis = (
            '<div class="row score"><div class="control"></div><svg class="times" role="presentation">'
            f"{time_axis(self.seconds)}</svg></div>"
        )
        inner = f'<p class="soft">{hint}</p>\n<div class="player">{rolls}\n{axis}</div>'
        silent = f'<p class="soft">{_escape(self.silent)}</p>' if self.silent else ""
        return (
            '<section aria-labelledby="notes">\n<h2 id="notes">Notes</h2>\n'
            f"{inner if self.rolls else ''}{silent}</section>"
        )

    def _roll(self, roll: Roll) -> str:
        shown = _escape(roll.name)
        button = "" if self.audio is None else (
            f'<button type="button" class="tones" aria-pressed="false" data-track="{roll.index}"'
            f' aria-label="Tones in place of {shown}">Tones</button>'
        )  # fmt: skip
        picture = "" if not roll.strips else (
            '<div class="strip lane"><picture><source media="(prefers-color-scheme: dark)" '
            f'srcset="data:image/png;base64,{roll.strips["dark"]}">'
            f'<img src="data:image/png;base64,{roll.strips["light"]}" alt="Spectrogram of {shown}">'
            f'</picture>{roll.frequencies}<div class="playhead"></div></div>'
        )  # fmt: skip
        return f"""<div class="row score c{roll.index % plot.N_COLOURS}">
<div class="control"><span class="chip"></span><span class="names" title="{shown}">
<span class="name">{shown}</span> <span class="words">{roll.words}</span></span>{button}</div>
<div>{picture}<div class="roll lane" data-track="{roll.index}" role="img"
 aria-label="Piano roll of {shown}: {roll.words}">
{roll.drawing}<div class="playhead"></div></div></div></div>"""

    def _trust(self) -> str:
        rows = "\n".join(
            f'<tr class="c{i % plot.N_COLOURS}"><th scope="row"><span class="swatch"></span>'
            f"{_escape(name)}</th><td>{_percent(self.trust.energy_share[name])}"
            f"{bar(self.trust.energy_share[name])}</td>"
            f"<td>{_percent(self.trust.overlap[name])}{bar(self.trust.overlap[name])}</td>"
            f"<td>{self.trust.words(name)}</td></tr>"
            for i, name in enumerate(self.trust.energy_share)
        )
        words = "\n".join(
            f"<p>{_escape(_sentence(told))}</p>" for told in self.decomposition.remarks
        )
        if (summary := self.trust.summary()) is not None:
            whole, worst, least = summary
            words += (
                f"\n<p>The models explain {_percent(whole)} of the recording, and "
                f"least at {_clock(worst)} ({_percent(least)}).</p>"
            )
        return f"""<section aria-labelledby="trust">
<h2 id="trust">How far to trust the {self.noun}s</h2>
<p class="soft">Told from the models alone, without the true stems. What a {self.noun}
shares with others is divided by a guess. Not every sound that is in the wrong {self.noun} shows in
these figures: listen.</p>
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
            "components of each source": "" if is_ungrouped(found) else members(found),
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
        notes = {roll.index: roll.data for roll in self.rolls}
        facts = {
            "seconds": self.seconds, "embedded": self.audio is not None, "notes": notes,
            "rate": self.source.sample_rate, "mix": f"{self.title}-mix.wav",
        }  # fmt: skip
        told = json.dumps(facts).replace("<", "\\u003c")  # a title must not end the script
        data = [f'<script type="application/json" id="page">{told}</script>']
        for i, content in enumerate(self.audio.contents if self.audio else ()):
            data.append(f'<script type="text/plain" id="audio{i}">{content}</script>')
        return data


def _figure(picture: Picture) -> str:
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


def _palette_style() -> str:
    """Return the colours of the sources, the same as in the pictures, as style rules."""
    light, dark = (plot.source_colours(plot.N_COLOURS, theme) for theme in ("light", "dark"))

    def rules(colours: Sequence[str]) -> str:
        return "".join(f".c{i}{{--colour:{colour}}}" for i, colour in enumerate(colours))

    return f"{rules(light)}@media(prefers-color-scheme:dark){{{rules(dark)}}}\n"


def _asset(name: str) -> str:
    return importlib.resources.files("audionmf").joinpath("show", "page", name).read_text("utf-8")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"


def _escape(text: str) -> str:
    return html.escape(text)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _sentence(told: str) -> str:
    """Return what an analysis tells in a line of its own as a sentence."""
    return f"{told[:1].upper()}{told[1:].rstrip('.')}."


def _setting(value: Any) -> str:
    if value is None:
        return "automatic"
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 60}:{whole % 60:02d}"
