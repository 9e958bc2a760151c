"""Files that belong together: all in place or none; what killed writers leave is cleared away."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import files_below

from audionmf.errors import OutputError
from audionmf.io import files
from audionmf.rendering.stems import StemFormat, write_stems

NAMES = ("a.wav", "b.wav", "c.wav")


def write_all(folder, names=NAMES):
    with files.Together() as together:
        for name in names:
            with files.atomic_path(folder / name, together) as temporary:
                temporary.write_text(f"new {name}")


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def failing_replace(monkeypatch, target, error):
    replace = Path.replace

    def fail(self, other):
        if Path(other).name == target and self.read_text().startswith("new"):
            raise error
        return replace(self, other)

    monkeypatch.setattr(Path, "replace", fail)


def test_all_are_put_in_place_when_the_last_is_ready(tmp_path):
    (tmp_path / "b.wav").write_text("old")
    with files.Together() as together:
        for name in NAMES:
            with files.atomic_path(tmp_path / name, together) as temporary:
                temporary.write_text(f"new {name}")
        assert (tmp_path / "b.wav").read_text() == "old"
        assert not (tmp_path / "a.wav").exists()
    assert contents(tmp_path) == {name: f"new {name}" for name in NAMES}


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
@pytest.mark.parametrize("error", [OSError(errno.EIO, "broken"), KeyboardInterrupt()])
@pytest.mark.parametrize("target", NAMES)
def test_if_one_cannot_be_renamed_all_are_as_before(tmp_path, monkeypatch, target, error, links):
    before = {"a.wav": "old a", "c.wav": "old c"}
    for name, text in before.items():
        (tmp_path / name).write_text(text)
    failing_replace(monkeypatch, target, error)
    if not links:
        monkeypatch.setattr(os, "link", lambda *_, **__: (tmp_path / "gone").stat())
    with pytest.raises(OutputError if isinstance(error, OSError) else KeyboardInterrupt) as caught:
        write_all(tmp_path)
    assert contents(tmp_path) == before
    if isinstance(error, OSError):
        assert caught.value.errno == errno.EIO
        assert repr(str(tmp_path / target)) in str(caught.value)


def test_a_folder_in_the_way_stops_all(tmp_path):
    (tmp_path / "a.wav").write_text("old a")
    (tmp_path / "b.wav").mkdir()
    with pytest.raises(OutputError, match="folder"):
        write_all(tmp_path)
    assert files_below(tmp_path) == ["a.wav"]
    assert (tmp_path / "a.wav").read_text() == "old a"


def test_a_failure_between_two_files_leaves_nothing(tmp_path):
    def half():
        with files.Together() as together:
            with files.atomic_path(tmp_path / "a.wav", together) as temporary:
                temporary.write_text("new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert files_below(tmp_path) == []


def test_a_link_is_replaced_and_restored_as_a_link(tmp_path, monkeypatch):
    (tmp_path / "a.wav").symlink_to("elsewhere")
    failing_replace(monkeypatch, "b.wav", OSError(errno.EIO, "broken"))
    with pytest.raises(OutputError):
        write_all(tmp_path, NAMES[:2])
    assert (tmp_path / "a.wav").readlink() == Path("elsewhere")
    assert len(list(tmp_path.iterdir())) == 1


WRITER = """
import sys
from pathlib import Path
from audionmf.io import files
with files.atomic_path(sys.argv[1]) as temporary:
    temporary.write_bytes(b"half")
    print(temporary, flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_writer_left_is_cleared_and_what_a_living_one_writes_is_not(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "a.wav")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as writer:
        temporary = Path(os.fsdecode(writer.stdout.readline().rstrip(b"\n")))
        assert files.clear_temporaries([tmp_path]) == []
        assert temporary.read_bytes() == b"half"
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        assert temporary.read_bytes() == b"half"
        assert files.clear_temporaries([tmp_path, tmp_path]) == [temporary]
    assert files_below(tmp_path) == []


def test_only_ordinary_files_of_our_names_are_cleared(tmp_path):
    ours = ".audionmf-0123456789abcdef.tmp.wav"
    others = ["a.wav", ".audionmf-", ".audionmf-0123.tmp.wav", f"x{ours}", ".audionmf.io.lock"]
    for name in [ours, *others]:
        (tmp_path / name).touch()
    (tmp_path / ".audionmf-0123456789abcdee.tmp").mkdir()
    (tmp_path / ".audionmf-0123456789abcded.tmp").symlink_to("a.wav")
    assert files.clear_temporaries([tmp_path, tmp_path / "gone"]) == [tmp_path / ours]
    assert len(list(tmp_path.iterdir())) == len(others) + 2


def test_a_file_that_another_run_cleared_away_before_it_was_locked_is_made_again(
    tmp_path, monkeypatch
):
    hold, cleared = files.hold, []

    def late(descriptor):
        if not cleared:
            cleared.extend(tmp_path.iterdir())
            cleared[0].unlink()
        return hold(descriptor)

    monkeypatch.setattr(files, "hold", late)
    files.write_bytes(tmp_path / "a.wav", b"whole")
    assert cleared
    assert contents(tmp_path) == {"a.wav": "whole"}


def test_stems_are_put_in_place_all_or_none(tmp_path, monkeypatch):
    blocks = np.zeros((3, 1, 100), np.float32)
    paths = {name: tmp_path / name for name in NAMES}
    (tmp_path / "a.wav").write_bytes(b"old")
    replace = Path.replace

    def fail(self, other):
        if Path(other).name == "b.wav" and self.stat().st_size > 100:
            raise OSError(errno.EIO, "broken")
        return replace(self, other)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OutputError, match=r"b\.wav"):
        write_stems(lambda: iter([blocks]), paths, StemFormat(8000, 1, "PCM_16", 100))
    assert contents(tmp_path) == {"a.wav": "old"}
