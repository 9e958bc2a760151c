"""Start, speakers and texts of a recording go into what is written of it."""

import struct

import numpy as np
import pytest
import soundfile

import audionmf
from audionmf.io import audio
from audionmf.io.chunks import wave_chunks
from audionmf.io.tags import Tags, read_tags

RATE = 22050
START = (
    b"Take 7".ljust(256, b"\0") + b"Recorder".ljust(64, b"\0") + b"2026-01-0110:00:00"
    + struct.pack("<QH", 36000 * RATE, 1) + bytes(254) + b"A=PCM,F=22050"
)  # fmt: skip
GUID = bytes.fromhex("0100000000001000800000aa00389b71")


def broadcast(path, n_channels=6, speakers=0x3F):
    """Write a Broadcast WAV whose texts come after its samples."""
    rng = np.random.default_rng(0)
    samples = rng.integers(-9000, 9000, (9000, n_channels)).astype("<i2").tobytes()
    form = struct.pack(
        "<HHIIHH", 0xFFFE, n_channels, RATE, RATE * 2 * n_channels, 2 * n_channels, 16
    )
    form += struct.pack("<HHI", 22, 16, speakers) + GUID
    body = b"WAVE"
    texts = b"INFOINAM\x0e\0\0\0Evening song\0\0"
    for name, data in ((b"bext", START), (b"fmt ", form), (b"data", samples), (b"LIST", texts)):
        body += name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


def test_they_are_read(tmp_path):
    tags = audio.AudioFile(broadcast(tmp_path / "x.wav")).tags
    assert tags == Tags(START + b"\0", 0x3F, (("title", "Evening song"),))
    assert not audio.AudioFile(broadcast(tmp_path / "y.wav", 2, 3)).tags.speakers


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_a_wav_says_all_of_it_before_its_samples(tmp_path, subtype):
    given = audio.read(broadcast(tmp_path / "x.wav"))
    path = audio.write(tmp_path / "y.wav", given, subtype)
    assert audio.AudioFile(path).tags == given.tags
    assert wave_chunks(path, [b"bext"], 9999) == {b"bext": START + b"\0"}
    assert path.read_bytes().index(b"bext") < path.read_bytes().index(b"data")
    assert np.abs(audio.read(path).samples - given.samples).max() < 1e-6


def test_rf64_says_it_too(tmp_path, monkeypatch):
    given = audio.read(broadcast(tmp_path / "x.wav"))
    monkeypatch.setattr(audio, "_RF64_ABOVE", 10)
    path = audio.write(tmp_path / "y.wav", given)
    assert path.read_bytes()[:4] == b"RF64"
    assert audio.AudioFile(path).tags == given.tags


@pytest.mark.parametrize("extension", ["flac", "aiff"])
def test_other_containers_say_what_they_have_a_place_for(tmp_path, extension):
    given = audio.read(broadcast(tmp_path / "x.wav"))
    path = audio.write(tmp_path / f"y.{extension}", given)
    assert dict(audio.AudioFile(path).tags.texts) == {"title": "Evening song"}


def test_a_recording_that_says_nothing_is_written_as_ever(tmp_path):
    samples = np.zeros((6, 900), np.float32)
    path = audio.write(tmp_path / "x.wav", audio.Audio(samples, RATE), "PCM_16")
    plain = tmp_path / "y.wav"
    soundfile.write(plain, samples.T, RATE, subtype="PCM_16")
    assert path.read_bytes() == plain.read_bytes()


def test_stems_say_what_their_recording_says(tmp_path):
    path = broadcast(tmp_path / "x.wav")
    done = audionmf.separate(path, n_sources=2, max_iter=5)
    files = done.save(tmp_path / "out")
    for stem in files.paths.values():
        assert audio.AudioFile(stem).tags == audio.AudioFile(path).tags


def test_a_start_that_is_too_short_or_too_long_is_left_out(tmp_path):
    for body in (bytes(600), bytes(1 << 16)):
        content = broadcast(tmp_path / "x.wav").read_bytes()
        old = b"bext" + struct.pack("<I", len(START)) + START + bytes(len(START) % 2)
        path = tmp_path / "y.wav"
        path.write_bytes(content.replace(old, b"bext" + struct.pack("<I", len(body)) + body))
        with path.open("r+b") as file:
            file.seek(4)
            file.write(struct.pack("<I", path.stat().st_size - 8))
        with soundfile.SoundFile(path) as file:
            assert read_tags(path, file, vorbis=False).start == b""


def test_markers_and_their_names_stay(tmp_path):
    rng = np.random.default_rng(0)
    samples = rng.integers(-9000, 9000, 9000).astype("<i2").tobytes()
    cue = struct.pack("<I", 2) + b"".join(
        struct.pack("<II4sIII", i, at, b"data", 0, 0, at) for i, at in ((1, 100), (2, 5000))
    )
    adtl = b"adtl" + b"labl" + struct.pack("<II", 10, 1) + b"verse\0"
    body = b"WAVE"
    for name, held in (
        (b"fmt ", struct.pack("<HHIIHH", 1, 1, RATE, RATE * 2, 2, 16)),
        (b"data", samples), (b"cue ", cue), (b"LIST", adtl),
    ):  # fmt: skip
        body += name + struct.pack("<I", len(held)) + held
    path = tmp_path / "marked.wav"
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    found = audionmf.separate(path, n_sources=2, n_components=4, max_iter=2)
    found.save(tmp_path / "out")
    stems = sorted((tmp_path / "out").rglob("*.wav"))
    assert len(stems) == 2
    for stem in stems:
        read = wave_chunks(stem, (b"cue ", b"LIST"), 1 << 15)
        assert read == {b"cue ": cue, b"LIST": adtl}
        assert soundfile.info(stem).frames == 9000
    part = audionmf.separate(path, n_sources=2, n_components=4, max_iter=2, start=0.1)
    assert not part.tags.markers  # they would lie elsewhere


def test_a_part_starts_later():
    later = Tags(START + bytes(1)).of_part(RATE).start
    assert struct.unpack("<Q", later[338:346]) == (36001 * RATE,)
    assert later[:338] + later[346:] == START[:338] + START[346:] + bytes(1)
