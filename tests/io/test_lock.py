"""One run at a time in an output folder; a killed run frees it."""

import errno
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import files_below

from audionmf.errors import AudioNMFWarning, LockedError
from audionmf.io import lock
from audionmf.io.lock import FolderLock

HOLDER = """
import subprocess, sys, time
from audionmf.io.lock import FolderLock
with FolderLock(sys.argv[1]) as held:
    if sys.argv[2:]:
        subprocess.Popen(["cat"], pass_fds=[held.descriptor])  # shares standard input
    print("held", flush=True)
    sys.stdin.read() if not sys.argv[2:] else time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the folder until its standard input ends, or it is killed."""
    started = []

    def start(*more):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(tmp_path), *more],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        started.append(process)
        assert process.stdout.readline() == b"held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def test_a_second_run_is_refused_at_once_and_told_who_holds_the_folder(tmp_path, holder):
    process = holder()
    begin = time.monotonic()
    with pytest.raises(LockedError, match=f"in use .*process {process.pid} ") as caught:
        FolderLock(tmp_path).__enter__()
    assert time.monotonic() - begin < 1
    assert repr(str(tmp_path)) in str(caught.value)
    assert caught.value.exit_code == 7


def test_it_is_refused_within_one_process_too(tmp_path):
    with FolderLock(tmp_path), pytest.raises(LockedError), FolderLock(tmp_path):
        pass


def test_it_leaves_nothing_behind_and_can_be_taken_again(tmp_path):
    for _ in range(2):
        with FolderLock(tmp_path / "new" / "out"):
            assert files_below(tmp_path) == ["new/out/.audionmf/lock"]
        assert list((tmp_path / "new" / "out").iterdir()) == []


def test_what_else_is_kept_there_stays(tmp_path):
    with FolderLock(tmp_path):
        (tmp_path / ".audionmf" / "journal.jsonl").touch()
    assert files_below(tmp_path) == [".audionmf/journal.jsonl"]


def test_a_killed_run_frees_the_folder(tmp_path, holder):
    process = holder()
    process.kill()
    process.wait()
    assert files_below(tmp_path) == [".audionmf/lock"]
    with FolderLock(tmp_path):
        assert json.loads((tmp_path / ".audionmf" / "lock").read_text())["pid"] == os.getpid()
    assert files_below(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="open files are inherited on POSIX only")
def test_the_workers_of_a_killed_run_hold_it_until_they_have_ended(tmp_path, holder, monkeypatch):
    process = holder("with a worker")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with monkeypatch.context() as patch:
        patch.setattr(lock, "_PATIENCE_SECONDS", 0)
        with pytest.raises(LockedError):
            FolderLock(tmp_path).__enter__()
    polls = []
    wait = time.sleep

    def end_the_worker(seconds):
        polls.append(seconds)
        process.stdin.close()
        wait(seconds)

    monkeypatch.setattr(lock.time, "sleep", end_the_worker)
    with FolderLock(tmp_path):
        assert polls


def test_a_lock_on_a_file_that_was_removed_meanwhile_does_not_count(tmp_path):
    path = tmp_path / "lock"
    with path.open("w") as stream:
        assert lock._is_at(path, stream.fileno())
        path.unlink()
        assert not lock._is_at(path, stream.fileno())
        path.touch()
        assert not lock._is_at(path, stream.fileno())


def test_without_locks_in_the_file_system_a_warning_is_all(tmp_path, monkeypatch):
    def refuse(_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(lock, "hold", refuse)
    with pytest.warns(AudioNMFWarning, match="knows no locks"), FolderLock(tmp_path):
        pass
    assert files_below(tmp_path) == []


@pytest.mark.parametrize("note", ["", "nonsense", "[1]", '{"pid": "x"}', '{"pid": -1, "host": 3}'])
def test_whatever_the_lock_file_says_it_can_be_taken(tmp_path, note):
    (tmp_path / ".audionmf").mkdir()
    (tmp_path / ".audionmf" / "lock").write_text(note)
    with FolderLock(tmp_path):
        pass
    assert files_below(tmp_path) == []
