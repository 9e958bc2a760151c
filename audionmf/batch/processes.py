"""Run tasks in this process, or in processes of its own that live as long as the batch.

A worker process is a fresh interpreter that reads a task a line from its standard input and writes
what it has to say, as JSON, to its standard output. One that dies takes nothing with it but the task
it had. One whose parent has died stops by itself: its standard input ends.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from concurrent.futures import Future
from typing import IO, Any, NoReturn

from audionmf.errors import AudioNMFError
from audionmf.io.signals import ENDING
from audionmf.spectra.frames import Progress

__all__ = ["InProcess", "LocalProcesses", "WorkerLostError", "serve"]

Plain = Mapping[str, Any]

_GRACE_SECONDS = 1.0
_REPORT_SECONDS = 0.1
_START = (
    "import sys; sys.path[:] = sys.argv[1:]; from audionmf.batch.processes import serve; serve()"
)
_THREAD_LIMITS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_TERMINATED = 143
_POSIX = os.name == "posix"


class WorkerLostError(AudioNMFError):
    """The process or machine that had a task is gone."""


class InProcess:
    """Does each task at once, in this process; an `Executor` of `audionmf.batch`."""

    n_workers = 1

    def submit(self, task: Plain, progress: Progress) -> Future[Plain]:
        """Do the task; the future that is returned is done."""
        from audionmf.batch.perform import perform

        future: Future[Plain] = Future()
        future.set_result(perform(task, progress))
        return future

    def close(self, *, now: bool) -> None:
        """Nothing is left to end."""


class LocalProcesses:
    """Worker processes on this machine; an `Executor` of `audionmf.batch`.

    Parameters
    ----------
    n_workers : int
        How many; each is started when there is something to do for it.
    n_threads : int
        Threads that each may compute with.
    inherited : sequence of int
        Open files, such as that of a lock, which the workers hold open too.
    """

    def __init__(self, n_workers: int, n_threads: int, inherited: tuple[int, ...] = ()) -> None:
        self.n_workers = n_workers
        self._tasks: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._workers = [_Worker(self._tasks, n_threads, inherited) for _ in range(n_workers)]

    def submit(self, task: Plain, progress: Progress) -> Future[Plain]:
        """Have one of the workers do the task."""
        future: Future[Plain] = Future()
        self._tasks.put(_Order(task, progress, future))
        return future

    def close(self, *, now: bool) -> None:
        """End the workers: after what they are doing, or `now`. No process is left after this."""
        if now:
            for worker in self._workers:
                worker.stop()
            deadline = time.monotonic() + _GRACE_SECONDS
            for worker in self._workers:
                worker.kill(deadline)
        for _ in self._workers:
            self._tasks.put(None)
        for worker in self._workers:
            worker.join()


class _Order:
    """A task, who wants to hear how it goes, and where the result goes."""

    def __init__(self, task: Plain, progress: Progress, future: Future[Plain]) -> None:
        self.task, self.progress, self.future = task, progress, future


class _Worker(threading.Thread):
    """Looks after one worker process: starts it, hands it tasks, notices its end."""

    def __init__(
        self,
        tasks: queue.SimpleQueue[_Order | None],
        n_threads: int,
        inherited: tuple[int, ...],
    ) -> None:
        super().__init__(name="audionmf worker", daemon=True)
        self._tasks, self._n_threads, self._inherited = tasks, n_threads, inherited
        self._process: subprocess.Popen[bytes] | None = None
        self._order: _Order | None = None
        self._lock, self._stopped = threading.Lock(), False
        self.start()

    def run(self) -> None:
        if _POSIX:  # a child inherits this: Ctrl-C at a terminal is for the parent alone
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        while (order := self._tasks.get()) is not None:
            self._order = order
            try:
                result = self._have_done(order)
            except Exception as error:
                order.future.set_exception(error)
            else:
                order.future.set_result(result)
            self._order = None
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            _pipe(process.stdin).close()
            process.wait()
            _pipe(process.stdout).close()

    def stop(self) -> None:
        """Tell the process to end now; it clears away what it has begun."""
        with self._lock:
            self._stopped = True
            if self._process is not None:
                self._process.terminate()

    def kill(self, deadline: float) -> None:
        """Make sure that the process has ended, after some time to do it by itself."""
        with self._lock:
            process = self._process
        if process is None:
            return
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _have_done(self, order: _Order) -> Plain:
        process = self._running()
        try:
            stream = _pipe(process.stdin)
            stream.write(json.dumps(order.task).encode() + b"\n")
            stream.flush()
            for line in _pipe(process.stdout):
                message = json.loads(line)
                if "outcome" in message:
                    outcome: Plain = message["outcome"]
                    return outcome
                order.progress(message["stage"], message["done"])
        except (
            BrokenPipeError,
            json.JSONDecodeError,
        ):
            pass  # it ended while it was told, or in mid-sentence
        raise WorkerLostError(f"a worker process died while it worked{self._buried(process)}")

    def _running(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._stopped:
                raise WorkerLostError("the workers were stopped")
            if self._process is None:
                self._process = self._start()
            return self._process

    def _start(self) -> subprocess.Popen[bytes]:
        limits = dict.fromkeys(_THREAD_LIMITS, str(self._n_threads))
        flags = ["-O"] * sys.flags.optimize + ["-B"] * sys.dont_write_bytecode
        options: dict[str, Any] = {"pass_fds": self._inherited} if _POSIX else {}
        return subprocess.Popen(  # noqa: S603
            [sys.executable, *flags, "-c", _START, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **limits},
            **options,
        )

    def _buried(self, process: subprocess.Popen[bytes]) -> str:
        """Clear away a process that has ended; return why it did."""
        code = process.wait()
        with self._lock:
            self._process = None
        with contextlib.suppress(OSError):
            _pipe(process.stdin).close()
        _pipe(process.stdout).close()
        if code == -signal.SIGTERM:
            return ", told to by signal 15"
        if code < 0:
            return f", killed by signal {-code}; perhaps there was not enough memory"
        return f" with code {code}"


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise WorkerLostError("a worker process has no pipe")
    return stream


def serve() -> NoReturn:
    """Be a worker process: do the tasks that come in, until no more come."""
    worker = _Server()
    try:
        worker.run()
    except _EndError:
        os._exit(_TERMINATED)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)  # a thread still waits for standard input; the interpreter would wait for it


class _Server:
    """What a worker process does."""

    def __init__(self) -> None:
        for number in ENDING:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` has it
                signal.signal(number, _end)
        logging.getLogger("audionmf").addHandler(logging.NullHandler())  # the parent tells
        self._tasks: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._busy = self._ended = False

    def run(self) -> None:
        sender = _Sender()
        threading.Thread(target=self._listen, daemon=True).start()
        from audionmf.batch.perform import perform

        while (line := self._tasks.get()) is not None:
            self._busy = True
            if self._ended:  # whoever wanted it is gone
                return
            sender.send({"outcome": perform(json.loads(line), sender.progress)})
            self._busy = False

    def _listen(self) -> None:
        """Pass on what comes in; where it ends, begin nothing more, and end what is being done.

        Nobody closes it who still waits for an outcome.
        """
        for line in sys.stdin.buffer:
            self._tasks.put(line)
        self._ended = True  # before it is asked what is being done: one of the two sees the other
        self._tasks.put(None)
        if self._busy:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(_GRACE_SECONDS)
            os._exit(_TERMINATED)


class _Sender:
    """Writes to what was standard output; whatever else prints there goes to standard error."""

    def __init__(self) -> None:
        self._stream = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        self._last = 0.0

    def send(self, message: Plain) -> None:
        with contextlib.suppress(BrokenPipeError):  # nobody listens; standard input ends as well
            self._stream.write(json.dumps(message).encode() + b"\n")
            self._stream.flush()

    def progress(self, stage: str, done: float) -> None:
        now = time.monotonic()
        if done >= 1 or now - self._last > _REPORT_SECONDS:
            self._last = now
            self.send({"stage": stage, "done": done})


class _EndError(BaseException):
    """The parent is gone, or wants this process to end."""


def _end(*_: object) -> NoReturn:
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)  # what is cleared away now is not interrupted
    raise _EndError
