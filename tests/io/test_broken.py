"""Recordings whose end is missing: named in every container, and never where nothing is missing."""

import io
import struct
import sys
import warnings

import numpy as np
import pytest
import soundfile

from audionmf.errors import AudioNMFError, AudioReadError, AudioWarning
from audionmf.io import ffmpeg, headers
from audionmf.io.audio import AudioFile
from audionmf.io.headers import read_extent
from audionmf.io.joined import broken_off

RATE, LENGTH = 8000, 4000
REFUSED = ("PAF", "IRCAM", "PVF", "XI", "SD2", "RAW")
CONTAINERS = sorted(set(soundfile.available_formats()) - set(REFUSED))


def encoded(container, subtype, n_channels=1):
    rng = np.random.default_rng(0)
    samples = 0.3 * np.sin(np.arange(LENGTH) / 3) + 0.01 * rng.standard_normal(LENGTH)
    target = io.BytesIO()
    stacked = np.stack([samples] * n_channels, 1)
    soundfile.write(target, stacked, RATE, format=container, subtype=subtype)
    return target.getvalue()


def variants(container):
    """Yield a file of each kind of samples that can be written, mono and stereo, and read again."""
    for subtype in soundfile.available_subtypes(container):
        for n_channels in (1, 2):
            try:
                content = encoded(container, subtype, n_channels)
                soundfile.info(io.BytesIO(content))
            except soundfile.LibsndfileError:
                continue
            yield f"{container} {subtype} {n_channels}", content


def said(path):
    """Return what is said of a recording that is read whole: lines of warnings, or the error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            for _ in AudioFile(path).blocks():
                pass
        except AudioNMFError as error:
            return [str(error)]
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize("container", CONTAINERS)
def test_nothing_is_said_of_a_whole_file(tmp_path, container):
    path = tmp_path / "x"
    for name, content in variants(container):
        path.write_bytes(content)
        assert (name, said(path)) == (name, [])


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_missing_end_is_named_once(tmp_path, container):
    path = tmp_path / "x"
    for name, content in variants(container):
        for n_bytes in (len(content) * 2 // 5, len(content) - 30):  # pads and marks are no sound
            path.write_bytes(content[:n_bytes])
            lines = said(path)
            assert (name, n_bytes, len(lines)) == (name, n_bytes, 1)


@pytest.mark.parametrize("container", ["AU", "AVR", "CAF", "MAT4", "MAT5", "MPC2K", "NIST", "SVX"])
def test_it_is_told_in_seconds(tmp_path, container):
    path = tmp_path / "x"
    path.write_bytes(encoded(container, "PCM_16")[: -RATE // 4 * 2])
    assert "ends before its header says: 0.25 s are missing" in said(path)[0]


@pytest.mark.parametrize("container", ["PAF", "IRCAM", "PVF"])
def test_what_does_not_say_its_length_is_refused(tmp_path, container):
    path = tmp_path / "x.sf"
    path.write_bytes(encoded(container, "PCM_16"))
    with pytest.raises(AudioReadError, match=r"does not say how long it is.*ffmpeg -i .*x\.wav$"):
        AudioFile(path)


def test_an_instrument_is_read_if_it_says_its_length(tmp_path):
    path, content = tmp_path / "x.xi", bytearray(encoded("XI", "DPCM_16"))
    path.write_bytes(content)  # libsndfile writes 0
    assert "FastTracker" in said(path)[0]
    content[298:302] = struct.pack("<I", 2 * LENGTH)
    path.write_bytes(content)
    assert said(path) == []
    path.write_bytes(content[:-2000])
    assert "0.02 s are missing" in said(path)[0]


def test_voc_in_blocks_is_refused(tmp_path):
    path, content = tmp_path / "x.voc", encoded("VOC", "PCM_16")
    path.write_bytes(content[:-1] + b"\2\0\4\0" + bytes(1024) + b"\0")
    assert "VOC file of several blocks" in said(path)[0]


def test_a_stream_of_samples_ends_with_a_whole_one(tmp_path):
    path, content = tmp_path / "x.au", bytearray(encoded("AU", "PCM_16", 2))
    content[8:12] = b"\xff" * 4
    path.write_bytes(content)
    assert said(path) == []
    path.write_bytes(content[:-1])
    assert "0.00 s are missing" in said(path)[0]


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_stream_without_its_last_page_is_broken_off(tmp_path, subtype):
    path, whole = tmp_path / "x.ogg", encoded("OGG", subtype)
    last = whole.rindex(b"OggS")
    path.write_bytes(whole[:last])  # ends with a whole page
    assert broken_off(path) == (1, 0.0)
    path.write_bytes(whole[:last] + whole + whole)  # inside of a chain
    assert broken_off(path) == (1, 0.0)
    path.write_bytes(whole + whole + b"bytes that are no page")
    assert broken_off(path) == (0, 0.0)


def test_mp3_tells_how_many_frames_are_missing(tmp_path):
    path, whole = tmp_path / "x.mp3", encoded("MP3", "MPEG_LAYER_III")
    path.write_bytes(whole + b"TAG" + bytes(125))
    assert broken_off(path) == (0, 0.0)
    path.write_bytes(whole[: len(whole) // 2])
    n_broken, lost = broken_off(path)
    assert n_broken == 1
    assert lost == pytest.approx(0.25, abs=0.12)


PROGRAM = """#!{python}
import sys
{said}
sys.stdout.buffer.write({output!r})
"""


@pytest.fixture
def decoder(tmp_path, monkeypatch):
    """Return what puts a program first in the path that decodes anything, with a word or without."""

    def put(word):
        folder = tmp_path / "bin"
        folder.mkdir()
        speak = f"sys.stderr.write({word!r})" if word else ""
        (folder / "ffmpeg").write_text(
            PROGRAM.format(python=sys.executable, said=speak, output=encoded("AU", "FLOAT"))
        )
        (folder / "ffmpeg").chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))

    yield put
    ffmpeg._remove_all()


def test_what_ffmpeg_complains_of_is_told(tmp_path, decoder):
    decoder("[mov,mp4 @ 0x55ca] stream 0, offset 0x2c: partial file\nmore\n")
    path = tmp_path / "x.webm"
    path.write_bytes(b"\x1a\x45\xdf\xa3" + bytes(100))
    with pytest.warns(AudioWarning, match=r"ffmpeg says 'stream 0, offset 0x2c: partial file'$"):
        AudioFile(path)


ATOMS = struct.pack(">I4s8x", 16, b"ftyp") + struct.pack(">I4sQ", 1, b"mdat", 80) + bytes(64)
VIDEO = b"RIFF" + struct.pack("<I", 92) + b"AVI " + bytes(88)
TAG = b"\x08" + (64).to_bytes(3, "big") + bytes(7) + bytes(64) + struct.pack(">I", 75)
FLASH = b"FLV\x01\x04" + struct.pack(">II", 9, 0) + 3 * TAG


@pytest.mark.parametrize("content", [ATOMS, VIDEO, FLASH])
def test_boxes_of_what_ffmpeg_reads_are_held_against_the_file(tmp_path, decoder, content):
    decoder("")
    path = tmp_path / "x"
    path.write_bytes(content)
    assert said(path) == []
    path.write_bytes(content[:-7])
    assert "ends 7 bytes before its header says" in said(path)[0]


def test_a_long_flash_video_is_held_against_the_size_that_it_tells(tmp_path, decoder, monkeypatch):
    decoder("")
    monkeypatch.setattr(headers, "_MOST_TAGS", 2)
    told = b"\0\x08filesize\0" + struct.pack(">d", len(FLASH)) + bytes(64)
    content = FLASH.replace(bytes(64), told[:64], 1)
    path = tmp_path / "x"
    path.write_bytes(content)
    assert said(path) == []
    path.write_bytes(content[:-75])
    assert "ends 75 bytes before its header says" in said(path)[0]
    path.write_bytes(FLASH[:-75])  # it tells nothing
    assert said(path) == []


def test_what_cannot_be_opened_is_told_to_be_cut(tmp_path):
    path, content = tmp_path / "x", encoded("CAF", "PCM_16")
    path.write_bytes(content[: len(content) // 2])
    assert "before its header says: was its recording" in said(path)[0]


def test_a_header_that_lies_is_no_more_than_that(tmp_path):
    path, rng = tmp_path / "x", np.random.default_rng(0)
    heads = [encoded(name, None)[:400] for name in CONTAINERS if name not in ("OGG", "MP3")]
    for head in heads:
        for _ in range(10):
            content = np.frombuffer(head, np.uint8).copy()
            content[rng.integers(4, len(content), 12)] = rng.integers(0, 256, 12)
            path.write_bytes(content.tobytes())
            extent = read_extent(path)
            assert extent is None or 0 <= extent.lost <= extent.claimed
