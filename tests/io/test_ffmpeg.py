"""What needs ffmpeg: with a program of that name that does what it would, and without one."""

import struct
import sys

import numpy as np
import pytest
from conftest import RATE, TINY

import audionmf
from audionmf import AudioReadError, LimitError
from audionmf.io import ffmpeg
from audionmf.io.foreign import foreign_kind

HEADS = {
    "a.m4a": b"\0\0\0\x20ftypM4A ",
    "a.webm": b"\x1a\x45\xdf\xa3",
    "a.wma": b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
    "a.wv": b"wvpk",
    "a.aac": b"\xff\xf1",
}
SAMPLES = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 9000)).astype(np.float32)

PROGRAM = """#!{python}
import pathlib, sys
arguments = sys.argv[1:]
path = arguments[arguments.index("-i") + 1]
assert path.startswith("file:/"), path
assert arguments[-2:] == ["au", "pipe:1"]
with pathlib.Path({log!r}).open("a") as log:
    log.write(path + chr(10))
if "broken" in path:
    sys.exit("first line" + chr(10) + "Invalid data found")
sys.stdout.buffer.write(pathlib.Path({output!r}).read_bytes())
"""


@pytest.fixture(autouse=True)
def nothing_kept():
    yield
    ffmpeg._remove_all()


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """Put a program that gives an AU stream without a length first in the path."""
    folder, log = tmp_path / "bin", tmp_path / "calls.txt"
    folder.mkdir()
    output = folder / "output.au"
    header = struct.pack(">4s5I", b".snd", 28, 0xFFFFFFFF, 6, RATE, len(SAMPLES)) + bytes(4)
    output.write_bytes(header + SAMPLES.T.astype(">f4").tobytes())
    program = folder / "ffmpeg"
    program.write_text(PROGRAM.format(python=sys.executable, log=str(log), output=str(output)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return lambda: log.read_text().splitlines() if log.exists() else []


def foreign(path):
    path.write_bytes(HEADS.get(path.name, HEADS["a.m4a"]) + bytes(100))
    return path


@pytest.mark.parametrize("name", HEADS)
def test_what_ffmpeg_reads_is_read(tmp_path, calls, name):
    path = foreign(tmp_path / name)
    read = audionmf.read(path)
    assert np.array_equal(read.samples, SAMPLES)
    assert (read.sample_rate, read.path, read.subtype) == (RATE, path, "FLOAT")
    file = audionmf.AudioFile(path)
    assert file.n_samples == SAMPLES.shape[1]
    assert calls() == [f"file:{path}"]


def test_it_is_separated_like_any_other(tmp_path, calls):
    path = foreign(tmp_path / "a.m4a")
    stems = audionmf.separate(path, start=0.25, n_sources=2, settings=TINY)
    assert np.abs(sum(stems.sources.values()) - SAMPLES[:, 2000:]).max() < 1e-6
    assert stems.decomposition.mixture.path == str(path)


def test_a_few_decoded_files_are_kept_and_the_others_removed(tmp_path, calls):
    paths = [foreign(tmp_path / f"{i}.m4a") for i in range(6)]
    made = [ffmpeg.readable(path) for path in paths]
    assert [path.exists() for path in made] == [False] * 2 + [True] * 4
    assert not made[0].parent.exists()
    file = audionmf.AudioFile(paths[0])  # decoded once more
    assert sum(block.shape[1] for block in file.blocks()) == SAMPLES.shape[1]
    assert len(calls()) == 7
    ffmpeg._remove_all()
    assert not any(path.parent.exists() for path in made)


def test_a_file_that_changed_is_decoded_again(tmp_path, calls):
    path = foreign(tmp_path / "a.m4a")
    ffmpeg.readable(path)
    path.write_bytes(path.read_bytes() + b"more")
    ffmpeg.readable(path)
    assert len(calls()) == 2


def test_what_ffmpeg_cannot_read_is_one_line(tmp_path, calls):
    path = foreign(tmp_path / "broken.m4a")
    with pytest.raises(AudioReadError, match="MP4 or M4A file that ffmpeg cannot read: Invalid"):
        audionmf.read(path)


def test_what_is_too_long_is_refused(tmp_path, calls, monkeypatch):
    monkeypatch.setattr(ffmpeg, "MAX_SPOOLED", 1000)
    path = foreign(tmp_path / "a.m4a")
    with pytest.raises(LimitError, match=r"more than 1000 bytes of samples.*ffmpeg -i"):
        audionmf.read(path)


@pytest.mark.parametrize(("name", "kind"), [("a.m4a", "MP4"), ("a.wv", "WavPack")])
def test_without_ffmpeg_the_command_is_said(tmp_path, monkeypatch, name, kind):
    monkeypatch.setenv("PATH", str(tmp_path))
    path = foreign(tmp_path / name)
    with pytest.raises(AudioReadError, match=f"{kind}.* needs ffmpeg.*: ffmpeg -i .*a.wav$"):
        audionmf.read(path)


def test_what_libsndfile_reads_goes_nowhere_else(tmp_path, calls, mixture):
    audionmf.read(mixture)
    assert foreign_kind(mixture) is None
    assert foreign_kind(tmp_path / "none") is None
    assert calls() == []
