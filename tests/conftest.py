"""Shared sounds and helpers: short, synthetic, the same on every run."""

from __future__ import annotations

import compileall
import gc
import importlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

import audionmf
from audionmf.settings import Settings

pytest_plugins = ["studio_server", "studio_browser"]

RATE = 8000
TINY_OPTIONS = ("--n-fft", "256", "--max-iter", "5", "--n-threads", "1")
TINY = Settings(n_fft=256, max_iter=5, activation_iter=5, n_threads=1, names="plain")


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Shells start jobs in the background so, and children would inherit it: none could be interrupted.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Compile the package to byte code once, or each of the many children of tests would do it."""
    if not hasattr(config, "workerinput"):
        compileall.compile_dir(Path(audionmf.__file__).parent, quiet=2, optimize=[0])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have one of two workers begin where machine code is made, the other where none is needed.

    Each begins with its half of the list. Both would compile the same where nothing is kept yet.
    """
    items.sort(key=lambda item: item.path.parent.name != "nmf")  # the second half is from `io` on


def pytest_collection_finish() -> None:
    """Have the garbage collector leave out what stays to the end: tests, and what they import."""
    gc.collect()
    gc.freeze()


def tone(hertz: float, n_samples: int = 4000, level: float = 0.25) -> NDArray[np.float64]:
    """Return a note with two overtones that starts at once and dies away."""
    seconds = np.arange(n_samples) / RATE
    partials = sum(np.sin(2 * np.pi * hertz * k * seconds) / k for k in (1, 2, 3))
    return level * partials * np.exp(-3 * seconds)


def two_notes(n_channels: int = 1, n_samples: int = 4000) -> NDArray[np.float64]:
    """Return two overlapping notes, shape (n_channels, n_samples), the channels at own levels."""
    mixed = tone(330, n_samples)
    half = n_samples // 2
    mixed[half:] += tone(880, n_samples - half)
    return np.stack([mixed * (1 - 0.1 * c / n_channels) for c in range(n_channels)])


def sound(path: Path, samples: NDArray[Any], subtype: str = "PCM_16", **options: Any) -> Path:
    """Write samples of shape (n_channels, n_samples) as the tests' own input; return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rate = options.pop("rate", RATE)
    options.setdefault("format", {".flac": "FLAC", ".aiff": "AIFF"}.get(path.suffix, "WAV"))
    soundfile.write(bytes(path), np.atleast_2d(samples).T, rate, subtype, **options)
    return path


def steps(path: Path) -> NDArray[np.float64]:
    """Return the samples of a file as exact float64, shape (n_channels, n_samples)."""
    return soundfile.read(bytes(path), dtype="float64", always_2d=True)[0].T


def files_below(folder: Path) -> list[str]:
    """Return every file below a folder, hidden and temporary ones as well."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())


def child(*code_or_arguments: str, **options: Any) -> Any:
    """Run this Python with arguments and return what it printed and its exit code.

    It writes no byte code (-B): under a file-size limit that would be cut off, and stay so.
    """
    return subprocess.run(
        [sys.executable, "-B", *code_or_arguments],
        capture_output=True,
        timeout=60,
        check=False,
        **options,
    )


@pytest.fixture
def mixture(tmp_path: Path) -> Path:
    """Two notes in 16-bit mono."""
    return sound(tmp_path / "in" / "mix.wav", two_notes())


@pytest.fixture
def settings() -> Settings:
    """Settings that are quick, not good."""
    return TINY


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., tuple[int, str, str]]]:
    """Run the command line in this process: exit code, standard output, standard error.

    It may take any time without a line of progress, for machines differ.
    """
    from audionmf.cli import main, progress

    monkeypatch.setattr(progress, "_LINE_SECONDS", float("inf"))

    def call(*arguments: object) -> tuple[int, str, str]:
        try:
            code = main([str(a) for a in arguments])
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def plain_librosa(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have librosa, where it says what is right, run as plain Python: compiling it takes far longer."""
    for place, name in (
        ("librosa.sequence", "_viterbi"),
        ("librosa.core.spectrum", "__overlap_add"),
        ("librosa.filters", "__window_ss_fill"),
    ):
        module = importlib.import_module(place)
        compiled = getattr(module, name)
        monkeypatch.setattr(module, name, getattr(compiled, "py_func", compiled))


@pytest.fixture
def code_folder(tmp_path: Path) -> Iterator[Path]:
    """Have numba keep compiled code in a folder of its own.

    By the environment: numba reads all of it anew, and forgets what is only in its settings, when it
    compiles after any variable of its own has changed.
    """
    import numba

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kept"))
        numba.config.reload_config()
        yield tmp_path / "kept"
    numba.config.reload_config()
