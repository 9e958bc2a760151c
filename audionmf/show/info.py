"""Explain a file in words: audio, templates and patterns, or a model; draw what a bank holds."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np

from audionmf import plot
from audionmf.errors import ParameterError
from audionmf.io.archive import read_kind
from audionmf.io.audio import AudioFile
from audionmf.io.files import StrPath, counted, make_room, refuse_overwriting, require_file
from audionmf.rendering.decomposition import MODEL_KIND, Decomposition
from audionmf.sources.struck import Patterns
from audionmf.sources.templates import TEMPLATES_KIND, Templates, describe_stft
from audionmf.spectra.timbre import Timbre, note_name, timbre

__all__ = ["describe", "draw", "to_text"]

_MOST_LINES = 24


def describe(path: StrPath) -> dict[str, Any]:
    """Return what a file is and holds.

    Parameters
    ----------
    path : path
        An audio file, a template file or a model file.

    Returns
    -------
    dict
        Plain values that go into JSON; ``kind`` is "audio", "templates" or "model".

    Raises
    ------
    FileNotFoundError, AudioReadError, InvalidAudioError, LimitError
        If it is no template or model file, and cannot be read as audio.
    TemplateError
        If it is a template or model file, but damaged or of another version.
    """
    kind = read_kind(require_file(path))
    if kind == TEMPLATES_KIND.name:
        return {"kind": "templates", "path": str(path), **_templates(Templates.load(path))}
    if kind == MODEL_KIND.name:
        return {"kind": "model", "path": str(path), **_model(Decomposition.load(path))}
    return {"kind": "audio", "path": str(path), **_audio(AudioFile(Path(path)))}


def to_text(description: dict[str, Any], *, every: bool = False) -> str:
    """Return a description of `describe` as lines of plain words.

    With `every` a line for each template, however many a bank holds; otherwise for at most 24.
    """
    if description["kind"] == "templates":
        every = every or description["n_components"] <= _MOST_LINES
        return "\n".join(_templates_text(description, every=every))
    writer = {"audio": _audio_text, "model": _model_text}
    return "\n".join(writer[description["kind"]](description))


def draw(path: StrPath, picture: StrPath) -> Path:
    """Draw the templates of a file as PNG: source by source, by pitch, those without pitch last.

    Below them stand its patterns, where it has some, each with its frames from left to right.

    Parameters
    ----------
    path : path
        A template file.
    picture : path
        The PNG file to write.

    Returns
    -------
    pathlib.Path
        The picture.

    Raises
    ------
    ParameterError
        If the picture is not to be a .png file, or the file holds no template bank.
    FileNotFoundError, AudioReadError, TemplateError
        If the file cannot be read.
    MissingExtraError
        If matplotlib is not installed.
    OutputError
        If the picture cannot be written or would overwrite the file.
    """
    out = Path(picture).absolute()
    if out.suffix.lower() != ".png":
        raise ParameterError(f"a picture is written to a .png file, not {str(picture)!r}")
    if read_kind(require_file(path)) != TEMPLATES_KIND.name:
        raise ParameterError(
            f"{str(path)!r} is no template file; audionmf decompose draws what is in a recording"
        )
    refuse_overwriting([out], [path])
    make_room([out])
    bank = Templates.load(path)
    sounds = _timbres(bank)
    order = plot.pitch_order(bank.templates, bank.stft, bank.sample_rate, bank.labels)
    pitches = [sounds[k].pitch for k in order]
    made = plot.figure(height=10) if bank.patterns else plot.figure()
    upper = made.add_subplot(2 if bank.patterns else 1, 1, 1)
    if bank.patterns:
        plot.patterns(
            made.add_subplot(2, 1, 2), bank.patterns.patterns, bank.patterns.stft,
            bank.sample_rate, bank.patterns.labels,
        )  # fmt: skip
    axes = plot.templates(
        upper, bank.templates[:, order], bank.stft, bank.sample_rate,
        [note_name(pitch.hertz)[0] if pitch else "–" for pitch in pitches],
        [bank.labels[k] for k in order],
    )  # fmt: skip
    axes.set(xlabel="template, by its pitch (– has none)")
    return plot.save(made, out)


def _audio(file: AudioFile) -> dict[str, Any]:
    n_samples, peak, energy = 0, 0.0, 0.0
    for block in file.blocks():
        n_samples += block.shape[1]
        peak = max(peak, float(np.abs(block).max(initial=0)))
        energy += float(np.sum(block.astype(np.float64) ** 2))
    return {
        "container": file.container,
        "subtype": file.subtype,
        "sample_rate": file.sample_rate,
        "n_channels": file.n_channels,
        "n_samples": n_samples,
        "duration": n_samples / file.sample_rate,
        "peak": peak,
        "rms": (energy / (n_samples * file.n_channels)) ** 0.5,
    }


def _templates(bank: Templates) -> dict[str, Any]:
    sounds = _timbres(bank)
    durations = bank.durations or (None,) * bank.n_components
    sources: dict[str, dict[str, Any]] = {}
    patterns = bank.patterns
    for name in bank.names:
        members = [k for k, label in enumerate(bank.labels) if label == name]
        sources[name] = {
            "n_components": len(members),
            "centroid_hz": sorted(sounds[k].centroid for k in members),
            "n_patterns": patterns.labels.count(name) if patterns else 0,
            "templates": [_template(k, sounds[k], durations[k]) for k in members],
        }
    return {
        "sample_rate": bank.sample_rate,
        "stft": describe_stft(bank.stft),
        "n_components": bank.n_components,
        "context": bank.context is not None,
        "sounds": sorted(bank.sounds),
        "patterns": patterns and _pattern(patterns),
        "sources": sources,
    }


def _pattern(patterns: Patterns) -> dict[str, Any]:
    """Describe the form of patterns."""
    return {
        "stft": describe_stft(patterns.stft),
        "n_lags": patterns.n_lags,
        "duration": patterns.n_lags * patterns.stft.hop_length / patterns.sample_rate,
    }


def _timbres(bank: Templates) -> list[Timbre]:
    spectra = bank.stft.on_line(bank.templates)
    return [timbre(column, bank.sample_rate / bank.stft.n_fft) for column in spectra.T]


def _template(number: int, sound: Timbre, seconds: float | None) -> dict[str, Any]:
    pitch = None
    if sound.pitch:
        note, cents = note_name(sound.pitch.hertz)
        pitch = {
            "hz": sound.pitch.hertz,
            "note": note,
            "cents": cents,
            "harmonicity": sound.pitch.harmonicity,
        }
    return {
        "component": number,
        "pitch": pitch,
        "brightness": sound.brightness,
        "centroid_hz": sound.centroid,
        "bandwidth_hz": sound.bandwidth,
        "flatness": sound.flatness,
        "duration": seconds,
    }


def _model(model: Decomposition) -> dict[str, Any]:
    peaks = np.argmax(model.templates.templates, axis=0)
    frequencies = model.templates.stft.frequencies(model.templates.sample_rate)
    return {
        "mixture": model.mixture.path or None,
        "n_samples": model.mixture.n_samples,
        "n_channels": model.mixture.n_channels,
        "sample_rate": model.templates.sample_rate,
        "stft": describe_stft(model.templates.stft),
        "n_components": model.n_components,
        "strongest_hz": [float(frequencies[k]) for k in peaks],
        "energy_share": _energy_shares(model),
        "grouping": {name: list(group) for name, group in model.grouping.items()},
        "divergence": model.divergence.tolist(),
        "reason": model.reason,
    }


def _energy_shares(model: Decomposition) -> list[float] | None:
    """Return each component's share of the sum of the model spectrogram, if it is known."""
    if model.activations is None:
        return None
    sums = model.templates.templates.sum(axis=0, dtype=np.float64)
    weights = sums * model.activations.sum(axis=1, dtype=np.float64)
    return [float(w) for w in weights / (weights.sum() or 1.0)]


def _audio_text(d: dict[str, Any]) -> list[str]:
    channels = {1: "mono", 2: "stereo"}.get(d["n_channels"], f"{d['n_channels']} channels")
    return [
        f"{d['path']!r} is an audio file.",
        f"  length    {_clock(d['duration'])} ({d['n_samples']} samples)",
        f"  format    {d['container']}, {d['subtype']}, {channels}, {d['sample_rate']} Hz",
        f"  level     peak {_dbfs(d['peak'])}, mean {_dbfs(d['rms'])}",
        f"Take it apart:  audionmf separate {shlex.quote(d['path'])}",
    ]


def _templates_text(d: dict[str, Any], *, every: bool) -> list[str]:
    lines = [
        f"{d['path']!r} is a template file: {d['n_components']} spectral templates.",
        f"  made at   {d['sample_rate']} Hz, {d['stft']}",
    ]
    if d["context"]:
        lines.append("  context   what comes before and after each template is known")
    if d["sounds"]:
        lines.append(
            "  sounds    how what it was learnt from goes on is known, to tell what sounds like it"
        )
    if shape := d["patterns"]:
        lines.append(
            f"  patterns  {shape['duration']:.2f} s from the stroke on, {shape['n_lags']} frames each, "
            f"{shape['stft']}"
        )
    for name, source in d["sources"].items():
        low, high = source["centroid_hz"][0], source["centroid_hz"][-1]
        lines.append(
            f"  {name!r}: {counted(source['n_components'], 'template')}, "
            f"centre of the spectrum from {low:.0f} to {high:.0f} Hz"
        )
        if count := source["n_patterns"]:
            lines.append(f"    struck: {counted(count, 'pattern')}")
        lines.append(f"    {_summary(source['templates'])}")
        if every:
            lines += [f"    {_template_line(template)}" for template in source["templates"]]
    if not every:
        lines.append(f"A line for each template:  audionmf info {shlex.quote(d['path'])} --all")
    use = f"Use it:  audionmf separate MIXTURE --templates {shlex.quote(d['path'])}"
    return [*lines, use]


def _summary(templates: list[dict[str, Any]]) -> str:
    """Return pitches, brightness and lengths of the templates of a source in words."""
    pitched = sorted((t["pitch"]["hz"], t["pitch"]["note"]) for t in templates if t["pitch"])
    low, high = (pitched[0][1], pitched[-1][1]) if pitched else ("", "")
    if not pitched:
        words = "no pitch"
    else:
        share = "all" if len(pitched) == len(templates) else f"{len(pitched)}"
        words = f"{share} with a pitch, {low}" + (f" to {high}" if low != high else "")
    centroids = sorted((t["centroid_hz"], t["brightness"]) for t in templates)
    first, last = centroids[0][1], centroids[-1][1]
    words += f"; {first}" + (f" to {last}" if first != last else "")
    seconds = [t["duration"] for t in templates if t["duration"] is not None]
    return words + (f"; rings {np.median(seconds):.2f} s at a time (median)" if seconds else "")


def _template_line(t: dict[str, Any]) -> str:
    if not t["centroid_hz"]:
        return f"template {t['component']:3d}  silent"
    pitch = t["pitch"]
    tone = (
        f"{pitch['note']:3s} {pitch['hz']:7.1f} Hz {pitch['cents']:+4.0f} cents"
        if pitch
        else "no pitch"
    )
    length = "" if t["duration"] is None else f", rings {t['duration']:.2f} s"
    return (
        f"template {t['component']:3d}  {tone:25s} {t['brightness']:11s} "
        f"centre {t['centroid_hz']:5.0f} Hz, width {t['bandwidth_hz']:5.0f} Hz, "
        f"flatness {t['flatness']:.3f}{length}"
    )


def _model_text(d: dict[str, Any]) -> list[str]:
    seconds = d["n_samples"] / d["sample_rate"]
    lines = [
        f"{d['path']!r} is a model: a recording of {_clock(seconds)} in "
        f"{counted(d['n_components'], 'component')}.",
        f"  mixture   {d['mixture']!r}",
        f"  made at   {d['sample_rate']} Hz, {d['stft']}",
    ]
    if d["divergence"]:
        lines.append(
            f"  fit       divergence {d['divergence'][0]:.6g} → {d['divergence'][-1]:.6g}, "
            f"stopped by {d['reason']}"
        )
    for name, group in d["grouping"].items():
        for k in group:
            share = "" if d["energy_share"] is None else f"{100 * d['energy_share'][k]:5.1f} %, "
            lines.append(
                f"  component {k:3d}  {share}strongest at {d['strongest_hz'][k]:7.0f} Hz, "
                f"in {name!r}"
            )
    return [*lines, "Group it:  audionmf regroup FILE --group bass=0,3 --group keys=1,2"]


def _clock(seconds: float) -> str:
    return f"{int(seconds // 60)} min {seconds % 60:.2f} s" if seconds >= 60 else f"{seconds:.2f} s"


def _dbfs(level: float) -> str:
    return f"{20 * np.log10(level):.1f} dBFS" if level > 0 else "silent"
