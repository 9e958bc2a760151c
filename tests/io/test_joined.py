"""Streams one after the other in a file, and channels in the order of their container."""

import io
import resource
import struct

import numpy as np
import pytest
import soundfile

from audionmf.errors import AudioWarning
from audionmf.io import audio
from audionmf.io.joined import Window, broken_off, stream_spans

KINDS = [("OGG", "VORBIS", 22050), ("OGG", "OPUS", 48000), ("MP3", "MPEG_LAYER_III", 44100)]


def encoded(container, subtype, rate, hertz=300, seconds=1.0, n_channels=2):
    samples = 0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    target = io.BytesIO()
    stacked = np.stack([samples] * n_channels, 1)
    soundfile.write(target, stacked, rate, format=container, subtype=subtype)
    return target.getvalue()


def pitch(samples, rate):
    return np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples)


@pytest.mark.parametrize(("container", "subtype", "rate"), KINDS)
def test_all_streams_of_a_file_are_read(tmp_path, container, subtype, rate):
    path = tmp_path / "x"
    path.write_bytes(b"".join(encoded(container, subtype, rate, h) for h in (300, 500, 700)))
    file = audio.AudioFile(path)
    samples = audio.read(path).samples
    assert file.n_samples == samples.shape[1] == 3 * rate
    parts = np.split(samples[0], 3)
    assert [round(pitch(p[:-2000], rate), -1) for p in parts] == [300, 500, 700]


@pytest.mark.parametrize(("container", "subtype", "rate"), KINDS)
def test_a_single_stream_has_no_spans(tmp_path, container, subtype, rate):
    path = tmp_path / "x"
    path.write_bytes(encoded(container, subtype, rate))
    assert stream_spans(path) == ()


@pytest.mark.parametrize(("container", "subtype", "rate"), KINDS)
def test_a_stream_of_another_form_is_told(tmp_path, container, subtype, rate):
    path = tmp_path / "x"
    other = encoded(container, subtype, 24000, 500)
    path.write_bytes(encoded(container, subtype, rate) + other + encoded(container, subtype, rate))
    with pytest.warns(AudioWarning, match=r"3 streams.*1\.00 s of it are in another form"):
        file = audio.AudioFile(path)
    assert sum(block.shape[1] for block in file.blocks()) == 2 * rate


def test_tags_between_mp3_files_belong_to_no_sound(tmp_path):
    path = tmp_path / "x.mp3"
    tag = b"ID3\x03\0\0\0\0\x01\0" + b"\xff\xfb\x90\x64" * 32
    one = encoded(*KINDS[2])
    path.write_bytes(tag + one + b"TAG" + bytes(125) + tag + one + b"\xff\xfb\x90\x64" + bytes(9))
    assert audio.AudioFile(path).n_samples == 2 * 44100


def test_mp3_in_riff_is_not_called_cut(tmp_path):
    path, rate = tmp_path / "x.wav", 44100
    form = struct.pack("<HHIIHHHHIHHH", 0x55, 2, rate, 16000, 1, 0, 12, 1, 2, 417, 1, 1393)
    content = encoded(*KINDS[2], seconds=2.0)
    count = struct.pack("<I", 2 * rate + 1105)  # with the encoder's padding, as writers count
    body = b"WAVE"
    for name, data in (
        (b"fmt ", form),
        (b"fact", count),
        (b"data", content + bytes(len(content) % 2)),
    ):
        body += name + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    file = audio.AudioFile(path)
    object.__setattr__(file, "n_samples", 2 * rate + 1105)
    assert sum(block.shape[1] for block in file.blocks()) == 2 * rate


@pytest.mark.parametrize("head", [b"OggS", b"\xff\xfb\x90\x64"])
def test_a_large_file_does_not_come_into_memory(tmp_path, head):
    path = tmp_path / "x"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with path.open("wb") as file:
        file.write(head + bytes(40))
        file.truncate(2 << 30)
    assert broken_off(path)[0] <= 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 << 10


ORDERS = {
    3: [300, 500, 400],
    4: [300, 400, 500, 600],
    5: [300, 500, 400, 600, 700],
    6: [300, 500, 400, 800, 600, 700],
    7: [300, 500, 400, 900, 800, 600, 700],
    8: [300, 500, 400, 1000, 800, 900, 600, 700],
}


@pytest.mark.parametrize(("n_channels", "order"), ORDERS.items())
def test_channels_of_vorbis_come_in_the_order_of_wav(tmp_path, n_channels, order):
    path, rate = tmp_path / "x.ogg", 22050
    tones = [
        np.sin(2 * np.pi * (300 + 100 * i) * np.arange(rate) / rate) for i in range(n_channels)
    ]
    soundfile.write(path, 0.1 * np.stack(tones, 1), rate, format="OGG", subtype="VORBIS")
    found = audio.read(path)
    assert [round(pitch(c, rate)) for c in found.samples] == order
    assert found.tags.speakers.bit_count() == n_channels


def test_a_window_is_a_file_of_its_own():
    window = Window(io.BytesIO(b"0123456789"), (2, 7))
    assert window.read(2) == b"23"
    assert window.seek(-1, io.SEEK_END) == 4
    assert window.read(9) == b"6"
    assert (window.seek(1), window.seek(1, io.SEEK_CUR), window.tell()) == (1, 2, 2)
    assert window.readable()
    assert window.seekable()
