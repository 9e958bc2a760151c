"""Explain a file in words: audio, templates or a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from audionmf.archive import read_kind
from audionmf.audio import AudioFile
from audionmf.decomposition import MODEL_KIND, Decomposition
from audionmf.files import StrPath, require_file
from audionmf.templates import TEMPLATES_KIND, Templates, describe_stft

__all__ = ["describe", "to_text"]


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


def to_text(description: dict[str, Any]) -> str:
    """Return a description of `describe` as lines of plain words."""
    writer = {"audio": _audio_text, "templates": _templates_text, "model": _model_text}
    return "\n".join(writer[description["kind"]](description))


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
    frequencies = bank.stft.frequencies(bank.sample_rate)
    sums = bank.templates.sum(axis=0, dtype=np.float64)
    centroids = frequencies @ bank.templates / np.where(sums > 0, sums, 1)
    labels = np.array(bank.labels)
    return {
        "sample_rate": bank.sample_rate,
        "stft": describe_stft(bank.stft),
        "n_components": bank.n_components,
        "sources": {
            name: {
                "n_components": int((labels == name).sum()),
                "centroid_hz": [float(f) for f in np.sort(centroids[labels == name])],
            }
            for name in bank.names
        },
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
        "Take it apart:  audionmf separate FILE --n-sources 3",
    ]


def _templates_text(d: dict[str, Any]) -> list[str]:
    lines = [
        f"{d['path']!r} is a template file: {d['n_components']} spectral templates.",
        f"  made at   {d['sample_rate']} Hz, {d['stft']}",
    ]
    for name, source in d["sources"].items():
        low, high = source["centroid_hz"][0], source["centroid_hz"][-1]
        lines.append(
            f"  {name!r}: {source['n_components']} templates, "
            f"centre of the spectrum from {low:.0f} to {high:.0f} Hz"
        )
    return [*lines, "Use it:  audionmf separate MIXTURE --templates FILE [FILE ...]"]


def _model_text(d: dict[str, Any]) -> list[str]:
    seconds = d["n_samples"] / d["sample_rate"]
    lines = [
        f"{d['path']!r} is a model: a recording of {_clock(seconds)} in "
        f"{d['n_components']} components.",
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
