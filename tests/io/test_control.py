"""Files that somebody else may have put there: links, pipes, devices and giants are refused at once."""

import os
import re
import time

import pytest

from audionmf.batch.journal import Journal
from audionmf.errors import AudioReadError, OutputError
from audionmf.io.control import control_folder, open_control, read_small
from audionmf.io.files import file_hash, open_ordinary
from audionmf.io.lock import FolderLock

posix = pytest.mark.skipif(os.name != "posix", reason="links, pipes and devices of POSIX")
KEPT = b"kept as it was"


def as_link(path, precious):
    path.symlink_to(precious)


def as_hard_link(path, precious):
    path.hardlink_to(precious)


def as_dangling_link(path, precious):
    path.symlink_to(precious.parent / "made by following it")


def as_pipe(path, _precious):
    os.mkfifo(path)


def as_device(path, _precious):
    path.symlink_to("/dev/zero")


def as_folder(path, _precious):
    path.mkdir()


def as_giant(path, _precious):
    with path.open("wb") as stream:
        stream.truncate(2 << 30)  # no block of it is on the disk


TRAPS = [as_link, as_hard_link, as_dangling_link, as_pipe, as_device, as_folder, as_giant]


@pytest.fixture
def precious(tmp_path):
    path = tmp_path / "precious"
    path.write_bytes(KEPT)
    return path


@posix
@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("name", ["lock", "journal.jsonl"])
def test_a_trap_in_the_place_of_a_file_of_ours_is_refused_at_once(tmp_path, precious, trap, name):
    path = tmp_path / "out" / ".audionmf" / name
    path.parent.mkdir(parents=True)
    trap(path, precious)
    held = FolderLock(tmp_path / "out") if name == "lock" else Journal(path)
    begin = time.monotonic()
    with pytest.raises(OutputError, match=name) as caught, held:
        pass
    assert time.monotonic() - begin < 1
    assert "\n" not in str(caught.value)
    assert re.search("remove it, or choose another (output )?folder", str(caught.value))
    assert precious.read_bytes() == KEPT
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "precious"]
    assert os.path.lexists(path)  # it is somebody's: left where it is


@posix
@pytest.mark.parametrize("trap", [as_link, as_dangling_link, as_pipe, as_device])
def test_the_folder_of_ours_is_a_folder_and_no_link(tmp_path, precious, trap):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    out = tmp_path / "out"
    out.mkdir()
    trap(out / ".audionmf", elsewhere if trap is as_link else precious)
    with pytest.raises(OutputError, match=r"\.audionmf"), FolderLock(out):
        pass
    assert list(elsewhere.iterdir()) == []
    assert precious.read_bytes() == KEPT


@posix
def test_a_folder_that_becomes_a_link_is_not_followed(tmp_path, precious):
    folder = control_folder(tmp_path / "control")
    folder.rmdir()
    folder.symlink_to(precious.parent)
    with pytest.raises(OutputError):
        open_control(folder / precious.name, 1000)
    assert precious.read_bytes() == KEPT


def test_a_file_of_ours_is_made_and_opened_again(tmp_path):
    path = control_folder(tmp_path / "new") / "file"
    for _ in range(2):
        descriptor = open_control(path, 10)
        os.write(descriptor, b"0123456789")
        os.close(descriptor)
    assert path.read_bytes() == b"0123456789"
    assert read_small(path, 10) == b"0123456789"
    assert read_small(path, 9) is None


@posix
@pytest.mark.parametrize("read", [file_hash, lambda path: read_small(path, 10)])
def test_what_became_a_pipe_is_not_waited_for(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    begin = time.monotonic()
    with pytest.raises(AudioReadError, match="ordinary"):
        read(tmp_path / "pipe")
    assert time.monotonic() - begin < 1


def test_what_is_gone_is_named(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, open_ordinary(tmp_path / "gone"):
        pass
    assert caught.value.filename == str(tmp_path / "gone")
