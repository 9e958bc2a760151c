"""Take a recording apart: source separation and spectral templates with NMF.

The names below are the public face; each is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from audionmf import evaluate, nmf, plot
    from audionmf.analysis import analyse, learn
    from audionmf.audio import Audio, AudioFile, read, write
    from audionmf.decomposition import Decomposition
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
        TemplateError,
        TemplateMismatchError,
    )
    from audionmf.live import LiveSeparator, stream
    from audionmf.separation import Separation, render, separate
    from audionmf.settings import Settings
    from audionmf.stft import STFT
    from audionmf.templates import Templates

_HOME = {
    "Audio": "audio",
    "AudioFile": "audio",
    "AudioNMFError": "errors",
    "AudioNMFWarning": "errors",
    "AudioReadError": "errors",
    "AudioWarning": "errors",
    "ClusterError": "errors",
    "Decomposition": "decomposition",
    "InvalidAudioError": "errors",
    "LimitError": "errors",
    "LiveSeparator": "live",
    "LockedError": "errors",
    "MissingExtraError": "errors",
    "OutputError": "errors",
    "ParameterError": "errors",
    "STFT": "stft",
    "ScoreError": "errors",
    "Separation": "separation",
    "Settings": "settings",
    "TemplateError": "errors",
    "TemplateMismatchError": "errors",
    "Templates": "templates",
    "analyse": "analysis",
    "learn": "analysis",
    "read": "audio",
    "render": "separation",
    "separate": "separation",
    "stream": "live",
    "write": "audio",
}
_MODULES = ("evaluate", "nmf", "plot")

__all__ = [
    "STFT",
    "Audio",
    "AudioFile",
    "AudioNMFError",
    "AudioNMFWarning",
    "AudioReadError",
    "AudioWarning",
    "ClusterError",
    "Decomposition",
    "InvalidAudioError",
    "LimitError",
    "LiveSeparator",
    "LockedError",
    "MissingExtraError",
    "OutputError",
    "ParameterError",
    "ScoreError",
    "Separation",
    "Settings",
    "TemplateError",
    "TemplateMismatchError",
    "Templates",
    "analyse",
    "evaluate",
    "learn",
    "nmf",
    "plot",
    "read",
    "render",
    "separate",
    "stream",
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
