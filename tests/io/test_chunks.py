"""What headers claim, held against what is there: the walk through the chunks of a file."""

import os
import struct
import time
import warnings

import malformed
import numpy as np
import pytest
import soundfile
from conftest import RATE, sound, two_notes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from malformed import BIG, chunk, fmt, riff, samples

from audionmf.errors import (
    AudioNMFError,
    AudioReadError,
    AudioWarning,
    InvalidAudioError,
    LimitError,
)
from audionmf.io import audio
from audionmf.io.chunks import Claims, check_layout, read_claims

WHOLE = riff(fmt(), chunk(b"data", samples()))


@pytest.fixture
def claims(tmp_path):
    """Return what is claimed by a file with some content."""

    def read(content):
        (tmp_path / "a.wav").write_bytes(content)
        return read_claims(tmp_path / "a.wav")

    return read


# --- whole files


@pytest.mark.parametrize("n_channels", [1, 2, 3, 64])
@pytest.mark.parametrize(
    ("container", "subtype"),
    [
        ("WAV", "PCM_U8"), ("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "FLOAT"), ("WAV", "DOUBLE"),
        ("WAV", "ULAW"), ("WAV", "ALAW"), ("WAVEX", "PCM_24"), ("RF64", "PCM_16"), ("W64", "PCM_24"),
        ("AIFF", "PCM_16"), ("AIFF", "PCM_24"), ("AIFF", "FLOAT"), ("AIFF", "ULAW"),
    ],
)  # fmt: skip
def test_a_whole_file_holds_what_it_claims(tmp_path, container, subtype, n_channels):
    path = sound(tmp_path / "a", two_notes(n_channels, 801), subtype, format=container)
    width = {"PCM_U8": 1, "ULAW": 1, "ALAW": 1, "PCM_16": 2, "PCM_24": 3, "FLOAT": 4, "DOUBLE": 8}
    size = 801 * n_channels * width[subtype]
    size += size % 2 if container == "AIFF" else 0  # libsndfile counts the pad byte there
    assert read_claims(path) == Claims(size, size)


@pytest.mark.parametrize("subtype", ["IMA_ADPCM", "MS_ADPCM", "GSM610", "G721_32", "NMS_ADPCM_16"])
def test_a_whole_coded_file_holds_what_it_claims(tmp_path, subtype):
    found = read_claims(sound(tmp_path / "a", two_notes(), subtype))
    assert (found.missing, found.remark) == (0, "")
    assert found.claimed == found.present > 0


@pytest.mark.parametrize(
    ("container", "subtype"),
    [("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("CAF", "PCM_16"), ("MP3", "MPEG_LAYER_III")],
)
def test_nothing_is_known_of_other_kinds(tmp_path, container, subtype):
    assert read_claims(sound(tmp_path / "a", two_notes(), subtype, format=container)) is None


@pytest.mark.parametrize("content", [b"", b"RIFF", WHOLE[:11], b"RIFF1234AVI ", b"text" * 99])
def test_nothing_is_known_of_what_is_no_audio(claims, content):
    assert claims(content) is None


def test_a_big_endian_file_is_walked_in_its_order(tmp_path):
    path = sound(tmp_path / "a.wav", two_notes(), endian="BIG")
    assert read_claims(path) == Claims(8000, 8000)


# --- what is missing


@pytest.mark.parametrize("container", ["WAV", "RF64", "W64", "AIFF"])
@pytest.mark.parametrize("rate", [8000, 44100])
@pytest.mark.parametrize("cut", [1, 2, 2000, 7999])
def test_what_was_cut_off_is_told_in_seconds(tmp_path, container, rate, cut):
    path = sound(tmp_path / "a", two_notes(), format=container, rate=rate)
    path.write_bytes(path.read_bytes()[:-cut])
    found = read_claims(path)
    assert (found.claimed, found.present) == (8000, 8000 - cut)
    assert found.missing == pytest.approx(-(-cut // 2) / rate)
    assert f"{found.missing:.2f} s are missing" in found.remark


def test_a_warning_names_the_file_and_the_missing_seconds(tmp_path):
    path = sound(tmp_path / "a.wav", two_notes())
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.warns(AudioWarning) as caught:
        assert audio.AudioFile(path).n_samples == 2000
    text = f"{str(path)!r} ends before its header says: 0.25 s are missing"
    assert str(caught[0].message).startswith(text)


def test_a_coded_file_that_was_cut_is_told_by_its_bytes_a_second(tmp_path):
    path = sound(tmp_path / "a.wav", two_notes(1, 40_000), "IMA_ADPCM")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert read_claims(path).missing == pytest.approx(2.5, abs=0.1)


def test_a_claim_without_bytes_a_second_is_told_all_the_same(claims):
    found = claims(riff(fmt(0x11, bits=4, per_second=0), chunk(b"data", samples(), 9000)))
    assert found.missing == 0
    assert "ends before its header says" in found.remark


@pytest.mark.parametrize("size", [BIG, 0x7FFFF000, 0x7FFFFFFF, 0x80000000])
@pytest.mark.parametrize("total", [BIG, 0, 1234, None])
def test_the_header_of_a_stream_is_no_claim(claims, size, total):
    found = claims(riff(fmt(), chunk(b"data", samples(), size), size=total))
    assert found == Claims(None, 8000)


def test_a_size_that_streams_are_given_counts_where_the_file_is_that_long(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(riff(fmt(), chunk(b"data", b"", 0x7FFFF000), size=0x7FFFF024))
    os.truncate(path, 44 + 0x7FFFF000)
    assert read_claims(path) == Claims(0x7FFFF000, 0x7FFFF000)


def test_a_file_whose_size_has_wrapped_is_told(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(riff(fmt(rate=48000), chunk(b"data", b"", 96_000), size=96_036))
    os.truncate(path, 44 + 96_000 + (1 << 32))
    found = read_claims(path)
    assert found.missing == pytest.approx((1 << 32) / 96_000)
    assert "larger than 4 GiB" in found.remark


@pytest.mark.parametrize(
    ("align", "bits", "n_channels", "missing"),
    [(1, 16, 1, 0.5), (2, 16, 2, 0.25), (4, 16, 1, 0), (0, 16, 1, 0), (8, 32, 1, 0), (4, 24, 1, 0)],
)
def test_a_wrong_block_align_is_told(claims, align, bits, n_channels, missing):
    found = claims(
        riff(fmt(bits=bits, n_channels=n_channels, align=align), chunk(b"data", samples()))
    )
    assert found.missing == pytest.approx(missing, abs=1e-3)
    assert f"gives {align} bytes to a frame" in found.remark


def test_a_header_that_was_never_finished_is_told(claims):
    found = claims(riff(fmt(), chunk(b"data", samples()), size=0))
    assert (found.claimed, found.present, found.missing) == (8000, 8000, 0)
    assert "never finished" in found.remark


def test_what_is_missing_after_the_samples_is_told(claims):
    found = claims(riff(fmt(), chunk(b"data", samples()), chunk(b"LIST", bytes(900)))[:-500])
    assert "500 bytes before its header says" in found.remark
    assert found.missing == 0


# --- what is refused


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        (riff(fmt()), AudioReadError, "no 'data' chunk"),
        (riff(chunk(b"data", samples())), AudioReadError, "no 'fmt ' chunk"),
        (riff(chunk(b"data", samples()), fmt()), AudioReadError, "comes before"),
        (riff(fmt(), fmt(), chunk(b"data")), AudioReadError, "more than one 'fmt '"),
        (riff(fmt(), chunk(b"data", samples(), 0)), AudioReadError, "16-bit mono at 8000 Hz"),
        (riff(fmt(bits=0), chunk(b"data", samples())), AudioReadError, "0 bits"),
        (riff(fmt(n_channels=0), chunk(b"data")), InvalidAudioError, "no channels"),
        (riff(fmt(n_channels=65), chunk(b"data")), LimitError, "65 channels"),
        (riff(fmt(rate=0), chunk(b"data")), InvalidAudioError, "0 Hz"),
    ],
)
def test_a_header_that_cannot_be_is_refused_by_name(claims, tmp_path, content, kind, said):
    with pytest.raises(kind, match=said) as caught:
        claims(content)
    assert repr(str(tmp_path / "a.wav")) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_layouts_within_the_limits_pass():
    for rate in (1_000, 8_000, 384_000, 768_000):
        check_layout("it", rate, 64)


# --- bounds


def test_the_walk_is_bounded_however_many_chunks_there_are(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(riff(fmt(), chunk(b"junk") * 1_000_000))
    start = time.monotonic()
    with pytest.raises(AudioReadError, match="more than 4096 chunks"):
        read_claims(path)
    assert time.monotonic() - start < 1


def test_the_walk_reads_headers_only_however_long_the_file_is(tmp_path):
    path = tmp_path / "a.wav"
    ds64 = chunk(b"ds64", struct.pack("<QQQI", (1 << 40) + 100, 1 << 40, 0, 0))
    path.write_bytes(riff(ds64, fmt(), chunk(b"data", b"", BIG), size=BIG, name=b"RF64"))
    os.truncate(path, path.stat().st_size + (1 << 40))
    start = time.monotonic()
    assert read_claims(path).present == 1 << 40
    assert time.monotonic() - start < 1


SEEDS = [case.content for case in malformed.CASES if case.command == malformed.SEPARATE]
SMALL = [content for content in SEEDS if len(content) < 20_000]
LYING = [0, 1, 2, 3, 16, 24, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, BIG, 1 << 62, (1 << 64) - 1]


@st.composite
def mutated(draw, contents):
    """A file with some of its first bytes changed, cut off or doubled."""
    content = bytearray(draw(st.sampled_from(contents)))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, min(len(content), 200)))
        how = draw(st.sampled_from(["number", "byte", "cut", "double", "insert"]))
        if how == "number":
            width = draw(st.sampled_from([1, 2, 4, 8]))
            value = draw(st.sampled_from(LYING)) % (1 << 8 * width)
            order = draw(st.sampled_from(["little", "big"]))
            content[place : place + width] = value.to_bytes(width, order)
        elif how == "byte":
            content[place : place + 1] = draw(st.binary(min_size=1, max_size=1))
        elif how == "cut":
            del content[place : place + draw(st.integers(1, 60))]
        elif how == "double":
            content[place:place] = content[place : place + draw(st.integers(1, 60))]
        else:
            content[place:place] = draw(st.binary(max_size=24))
    return bytes(content)


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(mutated(SMALL))
def test_a_mutated_file_is_read_or_refused_and_nothing_else(tmp_path, content):
    path = tmp_path / "mutated"
    path.write_bytes(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AudioWarning)
            file = audio.AudioFile(path)
            n_samples = sum(block.shape[1] for block in file.blocks(4096))
    except AudioNMFError:
        return
    assert n_samples > 0
    claimed = read_claims(path)
    assert claimed is None or claimed.present <= len(content)


@settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.integers(0, BIG), st.integers(0, BIG), st.integers(1, 4000))
def test_any_sizes_lose_only_what_is_told(tmp_path, size, total, n_samples):
    path = tmp_path / "sizes.wav"
    content = samples()[: 2 * n_samples]
    path.write_bytes(riff(fmt(), chunk(b"data", content, size), size=total))
    try:
        found = read_claims(path)
    except AudioReadError:
        assert size < len(content)
        return
    read = soundfile.info(path).frames
    if found.claimed is not None and size > len(content):
        assert found.missing == pytest.approx(-(-(size - len(content)) // 2) / RATE)
        assert found.remark
    assert found.claimed is None or read == min(size, len(content)) // 2
    assert np.isfinite(found.missing)
