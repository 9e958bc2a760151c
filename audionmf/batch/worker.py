"""What a worker of a cluster does: keep frames and send sums for `learn`, do tasks for `separate`.

*Learning.* A worker reads the recordings of its share once, and keeps their frames in a file without
a name in its own folder: memory holds the activations and one piece of the frames, the system's file
cache what there is room for, and nothing is left behind however the worker ends. `hold` does that,
and `answer` gives the sums that a round needs. Both take and give plain values and arrays.

What is held goes when the `Lease` that `hold` returned goes: Dask keeps it as the result of the call
for as long as somebody is interested, and lets it go when the client is gone.

*Separating.* `separate` is `tasks.perform`, one at a time in a process, with news of how it goes.
"""

from __future__ import annotations

import threading
import time
import warnings
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, overload

import numpy as np
from numpy.typing import NDArray

from audionmf.analysis.learning import at_rate
from audionmf.errors import AudioNMFWarning, OutputError
from audionmf.io.audio import open_source, warn_if_unusual
from audionmf.nmf.distributed import Order, Shard, Start, Sums
from audionmf.spectra.frames import BLOCK_FRAMES, describe_source, pooled_magnitude
from audionmf.spectra.stft import STFT
from audionmf.spectra.timbre import ring_peaks, ring_sums

__all__ = [
    "PIECE_FRAMES",
    "DiskFrames",
    "Lease",
    "answer",
    "hold",
    "is_busy",
    "separate",
    "software",
]

Matrix = NDArray[np.float32]

PIECE_FRAMES = 2048
"""Frames that are worked on at a time; a recording begins a new piece."""


class Lease:
    """Stands for what a worker holds; when it goes, that goes.

    Parameters
    ----------
    key : str
        Name of the share.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        weakref.finalize(self, _drop, key)

    def __reduce__(self) -> tuple[Any, ...]:
        """Become the bare name elsewhere: a copy stands for nothing."""
        return str, (self.key,)


class DiskFrames(Sequence[Matrix]):
    """Pieces of frames in a file without a name.

    Parameters
    ----------
    n_bins : int
        Bins of a frame.
    folder : str, optional
        Where the file is; default: the system's folder for temporary files.
    """

    def __init__(self, n_bins: int, folder: str | None = None) -> None:
        self.recordings: list[int] = []
        """Frames of each recording."""
        self._folder = folder
        self._pieces: list[tuple[int, int]] = []
        self._file: IO[bytes] = TemporaryFile(dir=folder)  # noqa: SIM115
        self._buffer = np.empty((PIECE_FRAMES, n_bins), np.float32)

    def __len__(self) -> int:
        return len(self._pieces)

    @overload
    def __getitem__(self, i: int) -> Matrix: ...
    @overload
    def __getitem__(self, i: slice) -> Sequence[Matrix]: ...
    def __getitem__(self, i: int | slice) -> Matrix | Sequence[Matrix]:
        """Return a piece, shape (n_bins, n_frames); it is overwritten when the next is asked for."""
        if isinstance(i, slice):
            return [self[j].copy(order="F") for j in range(*i.indices(len(self)))]
        first, n_frames = self._pieces[i]
        frames = self._buffer[:n_frames]
        self._file.seek(first * self._buffer.strides[0])
        self._file.readinto(frames.data.cast("B"))  # type: ignore[attr-defined]
        return frames.T

    def add(self, blocks: Iterator[Matrix]) -> None:
        """Add the frames of a recording, which come in blocks of shape (n_bins, ≤ BLOCK_FRAMES).

        Raises
        ------
        OutputError
            If the folder has no room for them.
        """
        begin = first = sum(self.recordings)
        for V in blocks:
            try:
                self._file.write(np.ascontiguousarray(V.T).data.cast("B"))
                self._file.flush()
            except OSError as error:
                raise OutputError(
                    error.errno,
                    f"the worker cannot keep its frames in {self._folder!r}: {error.strerror}; "
                    "start it with --local-directory at a folder with room, or use more workers",
                ) from error
            begin += V.shape[1]
            while begin - first >= PIECE_FRAMES:
                self._pieces.append((first, PIECE_FRAMES))
                first += PIECE_FRAMES
        if begin > first:
            self._pieces.append((first, begin - first))
        self.recordings.append(begin - sum(self.recordings))

    def close(self) -> None:
        """Let the file go."""
        self._file.close()


class _Held:
    """The share of a worker."""

    def __init__(self, frames: DiskFrames, messages: list[str], n_threads: int) -> None:
        self.frames, self.messages = frames, messages
        self.shard = Shard(frames, n_threads)
        self.lock = threading.Lock()

    def measure(self) -> tuple[int, Matrix, list[str]]:
        n_frames, peaks = self.shard.measure()
        return n_frames, peaks.astype(np.float32), self.messages

    def begin(self, *values: Any) -> Any:
        return self.shard.begin(Start(*values))

    def step(self, *values: Any) -> tuple[Any, ...] | None:
        order = Order(*values)
        if order.number - self.shard.n_rounds not in (0, 1):
            return None  # begun anew: what came before is missing
        return _plain(self.shard.step(order))

    def replay(self, orders: Sequence[Sequence[Any]]) -> bool:
        self.shard.replay(Order(*values) for values in orders)
        return True

    def certify(self, *values: Any) -> tuple[Any, ...]:
        sums, before, change = self.shard.certify(Order(*values))
        return *_plain(sums), before, change

    def ring_peaks(self) -> Any:
        return ring_peaks(self.shard.activations)

    def ring_sums(self, peaks: Any) -> tuple[Any, Any]:
        edges = np.cumsum(self.frames.recordings)[:-1]
        found = [ring_sums(H, peaks) for H in np.split(self.shard.activations, edges, axis=1)]
        return tuple(np.sum(part, axis=0) for part in zip(*found, strict=True))


_held: dict[str, _Held] = {}
_listening = threading.Lock()
_REPORT_SECONDS = 0.2


def hold(key: str, paths: Sequence[str], layout: Mapping[str, Any], n_threads: int | None) -> Lease:
    """Read recordings and keep their frames.

    Parameters
    ----------
    key : str
        Name of the share, used once.
    paths : sequence of str
        The recordings.
    layout : mapping
        ``n_fft``, ``hop_length``, ``window`` and ``sample_rate``.
    n_threads : int or None
        Threads; None: those that the worker has.

    Returns
    -------
    Lease
        To be kept as long as the frames are needed.

    Raises
    ------
    FileNotFoundError, AudioReadError, InvalidAudioError, LimitError
        If a recording cannot be read.
    OutputError
        If the worker has no room for the frames.
    """
    from distributed import get_worker

    worker = get_worker()
    stft = STFT(layout["n_fft"], layout["hop_length"], layout["window"])
    count = n_threads or worker.state.nthreads
    frames = DiskFrames(stft.n_bins, worker.local_directory or None)
    messages: list[str] = []
    try:
        for path in paths:
            found = _blocks(path, stft, layout["sample_rate"], count)
            # Warnings are the business of the whole process: one reader at a time listens to them.
            with _listening, warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("ignore")
                warnings.simplefilter("always", AudioNMFWarning)
                frames.add(found)
            messages += [str(warning.message) for warning in caught]
    except BaseException:
        frames.close()
        raise
    _held[key] = _Held(frames, messages, count)
    return Lease(key)


def answer(key: str, request: str, *values: Any) -> Any:
    """Do what a round asks of a share that is held.

    Parameters
    ----------
    key : str
        Name of the share.
    request : {"measure", "begin", "step", "replay", "certify", "ring_peaks", "ring_sums"}
        A method of `Shard`, or a part of `ring_lengths`.
    *values
        Its arguments, plain values and arrays: the fields of `Start` or `Order`.

    Returns
    -------
    object
        Plain values and arrays; None if this process does not hold the share, or not all of what
        came before.
    """
    share = _held.get(key)
    if share is None:
        return None
    with share.lock:
        return getattr(share, request)(*values)


def separate(task: Mapping[str, Any], topic: str, number: int) -> Mapping[str, Any]:
    """Do a task of a batch.

    Parameters
    ----------
    task : mapping
        For `tasks.perform`.
    topic : str
        Where the client listens to how it goes.
    number : int
        What the client calls the task.

    Returns
    -------
    mapping
        As `tasks.perform` gives it.
    """
    from distributed import get_worker

    from audionmf.batch.perform import perform

    here = get_worker()
    call = here.get_current_task()
    told = 0.0

    def progress(stage: str, done: float) -> None:
        nonlocal told
        if _is_unwanted(here, call):
            raise _UnwantedError
        if done >= 1 or time.monotonic() - told > _REPORT_SECONDS:
            told = time.monotonic()
            here.log_event(topic, {"number": number, "stage": stage, "done": done})

    n_threads = task["job"]["settings"]["n_threads"] or here.state.nthreads
    with _listening:  # warnings are the business of the whole process
        return perform({**task, "n_threads": n_threads}, progress)


def is_busy() -> bool:
    """Tell whether a task of a batch, or a recording, is being worked on where this is called."""
    return _listening.locked()


def software() -> str:
    """Return the version of this package where it is called."""
    from audionmf import __version__

    return __version__


class _UnwantedError(BaseException):
    """The client takes no interest any more; what was begun is cleared away."""


def _is_unwanted(here: Any, call: Any) -> bool:
    task = here.state.tasks.get(call)
    return task is None or task.state == "cancelled"


def _plain(sums: Sums) -> tuple[Any, ...]:
    return sums.numerators, sums.denominators, sums.divergence


def _drop(key: str) -> None:
    share = _held.pop(key, None)
    if share is not None:
        share.frames.close()


def _blocks(path: str, stft: STFT, sample_rate: int, n_threads: int) -> Iterator[Matrix]:
    """Yield the frames of a recording as an analysis sees them, channels pooled."""
    source = at_rate(open_source(Path(path)), sample_rate)
    n_samples, peak = 0, 0.0

    def heard() -> Iterator[Matrix]:
        nonlocal n_samples, peak
        for block in source.blocks():
            n_samples += block.shape[1]
            peak = max(peak, float(np.abs(block).max(initial=0)))
            yield block

    for X in stft.forward_blocks(heard(), BLOCK_FRAMES, n_threads):
        yield pooled_magnitude(X)
    warn_if_unusual(describe_source(source), n_samples, stft.n_fft, peak)
