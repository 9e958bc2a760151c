"""Take a recording apart: source separation and spectral templates with NMF.

The names below are the public face; each is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from audionmf import evaluate, nmf, plot
    from audionmf.analysis.learning import learn
    from audionmf.batch.described import describe
    from audionmf.batch.folders import separate_files
    from audionmf.batch.rerun import rerun
    from audionmf.errors import (
        AudioNMFError,
        AudioNMFWarning,
        AudioReadError,
        AudioWarning,
        ClusterError,
        InvalidAudioError,
        LimitError,
        LockedError,
        MissingExtraError,
        OutputError,
        ParameterError,
        ScoreError,
        StoppedError,
        TemplateError,
        TemplateMismatchError,
    )
    from audionmf.evaluate.folders import evaluate_folders
    from audionmf.io.audio import Audio, AudioFile, read, write
    from audionmf.io.parts import excerpt
    from audionmf.live.denoiser import LiveDenoiser
    from audionmf.live.separator import LiveSeparator, stream
    from audionmf.notes.events import Activity, SourceNote
    from audionmf.notes.table import NoteTable
    from audionmf.separation.decomposing import analyse, decompose
    from audionmf.separation.denoising import denoise
    from audionmf.separation.kits import Kit, oneshots
    from audionmf.separation.morphing import morph
    from audionmf.separation.mosaicking import mosaic
    from audionmf.separation.noting import transcribe
    from audionmf.separation.remixing import remix
    from audionmf.separation.reporting import report
    from audionmf.separation.separating import Decomposition, Separation, render, separate
    from audionmf.settings import Settings
    from audionmf.sources.known import Known
    from audionmf.sources.labels import read_labels
    from audionmf.sources.templates import Templates
    from audionmf.spectra.stft import STFT

_HOME = {
    "Activity": "notes.events",
    "Audio": "io.audio",
    "AudioFile": "io.audio",
    "AudioNMFError": "errors",
    "AudioNMFWarning": "errors",
    "AudioReadError": "errors",
    "AudioWarning": "errors",
    "ClusterError": "errors",
    "Decomposition": "separation.separating",
    "InvalidAudioError": "errors",
    "Kit": "separation.kits",
    "Known": "sources.known",
    "LimitError": "errors",
    "LiveDenoiser": "live.denoiser",
    "LiveSeparator": "live.separator",
    "LockedError": "errors",
    "MissingExtraError": "errors",
    "NoteTable": "notes.table",
    "OutputError": "errors",
    "ParameterError": "errors",
    "STFT": "spectra.stft",
    "ScoreError": "errors",
    "Separation": "separation.separating",
    "Settings": "settings",
    "SourceNote": "notes.events",
    "StoppedError": "errors",
    "TemplateError": "errors",
    "TemplateMismatchError": "errors",
    "Templates": "sources.templates",
    "analyse": "separation.decomposing",
    "decompose": "separation.decomposing",
    "denoise": "separation.denoising",
    "describe": "batch.described",
    "evaluate_folders": "evaluate.folders",
    "excerpt": "io.parts",
    "learn": "analysis.learning",
    "morph": "separation.morphing",
    "mosaic": "separation.mosaicking",
    "oneshots": "separation.kits",
    "read": "io.audio",
    "read_labels": "sources.labels",
    "remix": "separation.remixing",
    "render": "separation.separating",
    "report": "separation.reporting",
    "rerun": "batch.rerun",
    "separate": "separation.separating",
    "separate_files": "batch.folders",
    "stream": "live.separator",
    "transcribe": "separation.noting",
    "write": "io.audio",
}
_MODULES = ("evaluate", "nmf", "plot")

__all__ = [
    "STFT",
    "Activity",
    "Audio",
    "AudioFile",
    "AudioNMFError",
    "AudioNMFWarning",
    "AudioReadError",
    "AudioWarning",
    "ClusterError",
    "Decomposition",
    "InvalidAudioError",
    "Kit",
    "Known",
    "LimitError",
    "LiveDenoiser",
    "LiveSeparator",
    "LockedError",
    "MissingExtraError",
    "NoteTable",
    "OutputError",
    "ParameterError",
    "ScoreError",
    "Separation",
    "Settings",
    "SourceNote",
    "StoppedError",
    "TemplateError",
    "TemplateMismatchError",
    "Templates",
    "analyse",
    "decompose",
    "denoise",
    "describe",
    "evaluate",
    "evaluate_folders",
    "excerpt",
    "learn",
    "morph",
    "mosaic",
    "nmf",
    "oneshots",
    "plot",
    "read",
    "read_labels",
    "remix",
    "render",
    "report",
    "rerun",
    "separate",
    "separate_files",
    "stream",
    "transcribe",
    "write",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"audionmf.{name}")
    if name in _HOME:
        return getattr(importlib.import_module(f"audionmf.{_HOME[name]}"), name)
    raise AttributeError(f"module 'audionmf' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
