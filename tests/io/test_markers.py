"""Markers go from AIFF to WAV and back, and what is damaged says nothing."""

import struct

import numpy as np
import pytest
import soundfile

import audionmf
from audionmf.io.audio import Audio, AudioFile, read, write
from audionmf.io.markers import from_aiff, to_aiff

RATE = 8000
MARK = (
    struct.pack(">H", 2)
    + struct.pack(">HI", 1, 100) + b"\x05verse"
    + struct.pack(">HI", 2, 5000) + b"\x06caf\x8e 2" + b"\0"
)  # fmt: skip
PLACES = {100: "verse", 5000: "café 2"}


def marked(path):
    """Write an AIFF file with markers before its samples."""
    samples = np.random.default_rng(0).integers(-9000, 9000, 9000).astype(np.int16)
    soundfile.write(path, samples, RATE, format="AIFF", subtype="PCM_16")
    held = path.read_bytes()
    body = held[8:12] + b"MARK" + struct.pack(">I", len(MARK)) + MARK + held[12:]
    path.write_bytes(b"FORM" + struct.pack(">I", len(body)) + body)
    return path


def places(path):
    """Return the places of the markers of a file, and their names."""
    tags = AudioFile(path).tags
    body = to_aiff(tags.markers, tags.labels)
    found, at = {}, 2
    for _ in range(struct.unpack(">H", body[:2])[0]):
        _, place, length = struct.unpack(">HIB", body[at : at + 7])
        found[place] = body[at + 7 : at + 7 + length].decode("mac_roman")
        at += 7 + length + (length + 1) % 2
    assert at == len(body)
    return found


@pytest.mark.parametrize("extension", ["aiff", "wav"])
def test_stems_have_the_markers_of_an_aiff_file(tmp_path, extension):
    done = audionmf.separate(marked(tmp_path / "x.aiff"), n_sources=2, n_components=4, max_iter=2)
    stems = done.save(tmp_path / "out", extension=extension).paths.values()
    assert len(stems) == 2
    for stem in stems:
        assert places(stem) == PLACES
        assert soundfile.info(stem).frames == 9000


def test_an_aiff_file_has_those_of_a_wav_file_and_gives_them_back(tmp_path):
    given = read(marked(tmp_path / "x.aiff"))
    assert given.tags.labels.endswith(b"caf\xc3\xa9 2\0")
    wav = write(tmp_path / "y.wav", given, "PCM_16")
    again = write(tmp_path / "z.aiff", read(wav), "PCM_24")
    assert AudioFile(again).tags == given.tags
    size = struct.unpack(">I", again.read_bytes()[4:8])[0]
    assert size == again.stat().st_size - 8
    np.testing.assert_array_equal(read(again).samples, given.samples)


def test_without_markers_a_file_is_written_as_ever(tmp_path):
    samples = np.zeros((1, 901), np.float32)
    path = write(tmp_path / "x.aiff", Audio(samples, RATE), "PCM_16")
    soundfile.write(tmp_path / "y.aiff", samples.T, RATE, format="AIFF", subtype="PCM_16")
    assert path.read_bytes() == (tmp_path / "y.aiff").read_bytes()


@pytest.mark.parametrize("body", [b"", b"\0\1", MARK[:-4], b"\xff\xff" + MARK[2:], bytes(2)])
def test_what_is_damaged_says_nothing(body):
    assert from_aiff(body) == (b"", b"")


def test_markers_that_aiff_cannot_number_are_left_out():
    cue = struct.pack("<I", 1) + struct.pack("<II4sIII", 40000, 7, b"data", 0, 0, 7)
    assert to_aiff(cue, b"") == to_aiff(b"", b"") == b""
