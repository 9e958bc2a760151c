"""The largest kernel compiled by a process of its own, where none is kept yet.

numba compiles one function at a time, whatever the threads, and the pass over V takes it as long as
all else together. So where there is a second core, a child process compiles that, from the moment at
which it is known that there will be something to factorise: while this process loads, reads and
transforms, and compiles the other kernels. What it made comes from where code is kept. Whatever goes
wrong with it, this process compiles the pass itself.
"""

from __future__ import annotations

import atexit
import contextlib
import subprocess
import sys

import numpy as np

from audionmf.io.kept import can_keep
from audionmf.nmf.checks import thread_count
from audionmf.nmf.kernels import KLKernel
from audionmf.nmf.ready import kernel

__all__ = ["compile_ahead", "compile_pass"]

_KERNEL, _DTYPE = "update_chunks", np.dtype(np.float32)
_START = (
    "import gc, os, sys; gc.disable(); sys.path[:] = sys.argv[1:]; "
    "from audionmf.nmf.ahead import compile_pass; compile_pass(); os._exit(0)"
)  # to take all that was made down again takes as long as some of the making
_SECONDS = 120.0
"""How long a child process is waited for: many times what it takes."""


def compile_ahead() -> bool:
    """Start to compile, where that is needed and there is a second core for it.

    Returns
    -------
    bool
        Whether a process was started. It ends with this one, if not before.
    """
    if thread_count(None) < 2 or getattr(sys, "frozen", False):
        return False
    sought = kernel(_KERNEL, _DTYPE)
    if not sys.executable or sought.find() or not can_keep():
        return False
    flags = ["-O"] * sys.flags.optimize + ["-B"] * sys.dont_write_bytecode
    with contextlib.suppress(OSError):
        child = subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", *flags, "-c", _START, *sys.path],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        atexit.register(_end, child)
        sought.await_from(lambda: _wait(child))
        return True
    return False


def _wait(child: subprocess.Popen[bytes]) -> None:
    """Compile what else an iteration needs until the child is ready, and wait for it."""
    if child.poll() is None:
        from audionmf.nmf.compiled import going_on

        _compile_others()
        with going_on(), contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_SECONDS)
    _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    atexit.unregister(_end)
    if child.poll() is None:
        child.kill()
        child.wait()


class _Tiny(KLKernel):
    """A problem for which kernels are compiled one by one."""

    def __init__(self) -> None:
        free = np.ones(1, bool)
        super().__init__(np.ones((2, 2), _DTYPE, order="F"), 1, 1, free, free)
        self.W, self.H = np.ones((1, 2), _DTYPE), np.ones((2, 1), _DTYPE)

    def compile_pass(self) -> None:
        """Go over V, without templates laid out for it, which another kernel does."""
        self._go_over(self.H, 1, True, False, False)

    def compile_rest(self) -> None:
        """Multiply the templates and extrapolate, which are what else an iteration is."""
        self._multiply(self.W)
        self.extrapolate(self.W, self.W.copy(), 0.5)


def compile_pass() -> None:
    """Compile the pass over V, and keep it."""
    _Tiny().compile_pass()


def _compile_others() -> None:
    """Compile the other kernels of an iteration; those that are kept are loaded."""
    _Tiny().compile_rest()
