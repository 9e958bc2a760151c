"""The largest kernel compiled by a process of its own: the same code, and never in the way."""

import os
import subprocess
import sys

import numpy as np
import pytest

from audionmf.cli import main
from audionmf.io import kept as keeping
from audionmf.nmf import ahead, ready
from nmf.test_ready import RUN, kept, run  # noqa: F401 (a fixture)

BESIDE = """
nowhere = "from pathlib import Path; from audionmf.io import kept; kept._BESIDE = Path('nowhere'); "
exec(nowhere)
from audionmf.nmf import ahead
from audionmf.nmf.ahead import compile_ahead
ahead._START = ahead._START.replace("from audionmf", nowhere + "from audionmf")
assert compile_ahead()
"""
COMPILED_HERE = """
from audionmf.nmf import passes
print(*(name for name in passes.__all__ if getattr(passes, name).overloads), compile_ahead())
"""
LEFT_ALONE = """
from audionmf.nmf import ahead
ahead._START = "import signal; signal.pause()"
made = []
class Popen(ahead.subprocess.Popen):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        print(self.pid)
ahead.subprocess.Popen = Popen
"""


def test_a_child_compiles_the_pass_and_this_process_the_rest(tmp_path):
    *found, told = run(BESIDE + RUN + COMPILED_HERE, "float32", NUMBA_CACHE_DIR=str(tmp_path))[
        1
    ].rsplit("\n", 2)[:2]
    names = told.split()
    assert "update_chunks" not in names
    assert {"pack_templates", "extrapolate_flat", "multiply_templates"} <= set(names)
    assert names[-1] == "False"  # it is kept from then on
    assert found[0].strip() == run(RUN, "float32")[1].strip()


def test_a_child_that_fails_leaves_all_to_this_process(kept):  # noqa: F811
    failed = []
    kernel = ready.Kernel("extrapolate_flat", "float32")
    kernel.await_from(lambda: failed.append(True))
    x, previous = np.full(4, 3, np.float32), np.ones(4, np.float32)
    kernel(x, previous, 0.0)
    assert failed == [True]
    assert (x.tolist(), kernel.is_ready) == ([3] * 4, False)
    assert kept().is_ready


def test_what_a_child_kept_is_waited_for_and_used(kept):  # noqa: F811
    kernel = ready.Kernel("extrapolate_flat", "float32")
    assert not kernel.find()
    kernel.await_from(lambda: (kept(), None)[1])
    assert kernel.find()


@pytest.mark.parametrize(
    "where", ["one core", "frozen", "no Python", "no folder", "no process", "kept"]
)
def test_where_it_cannot_be_done_or_need_not_nothing_is_started(where, monkeypatch):
    kernel = ready.Kernel("update_chunks", "float32")
    monkeypatch.setattr(ahead, "kernel", lambda *_: kernel)
    monkeypatch.setattr(kernel, "find", lambda: where == "kept")
    monkeypatch.setattr(ahead, "can_keep", lambda: where != "no folder")
    monkeypatch.setattr(ahead, "thread_count", lambda _: 1 if where == "one core" else 2)
    monkeypatch.setattr(sys, "frozen", where == "frozen", raising=False)
    monkeypatch.setattr(sys, "executable", "" if where == "no Python" else sys.executable)
    started = []

    def start(*_, **__):
        started.append(True)
        raise OSError("no more processes")

    monkeypatch.setattr(subprocess, "Popen", start)
    assert not ahead.compile_ahead()
    assert started == ([True] if where == "no process" else [])
    assert kernel._wait is None


def test_a_child_ends_with_its_parent(tmp_path):
    program = LEFT_ALONE + BESIDE
    (pid,) = run(program, NUMBA_CACHE_DIR=str(tmp_path))
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def test_there_is_a_folder_for_code_where_one_can_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(keeping, "_folders", lambda: iter([tmp_path / "file" / "below", tmp_path]))
    (tmp_path / "file").touch()
    assert keeping.can_keep()
    monkeypatch.setattr(keeping, "_folders", lambda: iter([tmp_path / "file" / "below"]))
    assert not keeping.can_keep()


@pytest.mark.parametrize(
    ("arguments", "starts"),
    [
        ("separate nowhere.wav", True),
        ("separate nowhere.wav -j 2", False),
        ("separate nowhere.wav --n-threads 1", False),
        ("separate nowhere.wav --dry-run", False),
        ("separate nowhere.wav --device torch", False),
        ("decompose nowhere.wav", True),
        ("learn nowhere.wav -o bank.npz", True),
        ("learn nowhere.wav -o bank.npz --scheduler nowhere", False),
        ("studio nowhere.wav", True),
        ("info nowhere.wav", False),
    ],
)
def test_the_command_line_compiles_ahead_where_it_computes_itself(arguments, starts, monkeypatch):
    started = []
    monkeypatch.setattr(ahead, "compile_ahead", lambda: started.append(True))
    assert main(arguments.split()) != 0
    assert started == [True] * starts
