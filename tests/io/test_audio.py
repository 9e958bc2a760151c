"""Reading and writing audio: what comes in is checked, what goes out is whole."""

import errno
import io
import os
import time
import tracemalloc

import numpy as np
import pytest
import soundfile
from conftest import RATE, child, files_below, sound, steps, two_notes
from hypothesis import given
from hypothesis import strategies as st

from audionmf.errors import (
    AudioReadError,
    AudioWarning,
    InvalidAudioError,
    LimitError,
    OutputError,
    ParameterError,
    exit_code,
)
from audionmf.io import audio, decode, encode, formats
from audionmf.io.decode import in_one

PCM_STEPS = {
    "PCM_S8": 2.0**-7,
    "PCM_U8": 2.0**-7,
    "PCM_16": 2.0**-15,
    "PCM_24": 2.0**-23,
    "PCM_32": 2.0**-31,
}

# --- Audio: a recording in memory


def test_one_dimension_is_one_channel():
    recording = audio.Audio(np.zeros(5, np.float32), RATE)
    assert recording.samples.shape == (1, 5)
    assert (recording.n_channels, recording.n_samples) == (1, 5)
    assert recording.duration == 5 / RATE


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4"])
def test_other_real_types_become_float32(dtype):
    recording = audio.Audio(np.array([[0, 1, 2]], dtype), RATE)
    assert recording.samples.dtype == np.float32
    assert recording.samples.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("dtype", "low", "middle", "high"),
    [
        ("int8", -128, 0, 64),
        ("uint8", 0, 128, 192),
        ("int16", -(2**15), 0, 2**14),
        (">i2", -(2**15), 0, 2**14),
        ("uint16", 0, 2**15, 3 * 2**14),
        ("int32", -(2**31), 0, 2**30),
    ],
)
def test_integers_are_scaled_by_their_full_scale(dtype, low, middle, high):
    recording = audio.Audio(np.array([[low, middle, high]], dtype), RATE)
    assert recording.samples.tolist() == [[-1, 0, 0.5]]


def test_integers_without_a_full_scale_are_refused():
    with pytest.raises(InvalidAudioError, match="int64, whose full scale cannot be told"):
        audio.Audio(np.zeros((1, 9), np.int64), RATE)


def test_int16_samples_are_written_as_they_were(tmp_path):
    samples = np.array([[-(2**15), 0, 5, 2**15 - 1]], np.int16)
    path = audio.write(tmp_path / "x.wav", audio.Audio(samples, RATE), "PCM_16")
    assert soundfile.read(path, dtype="int16")[0].tolist() == samples[0].tolist()


@pytest.mark.parametrize("shape", [(500, 2), (500, 1)])
def test_turned_samples_are_named_with_the_way_out(shape):
    with pytest.raises(LimitError, match=r"looks turned.*give samples\.T"):
        audio.Audio(np.zeros(shape, np.float32), RATE)


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ((np.zeros((1, 9)), RATE), r"\(samples, sample_rate\)"),
        ((RATE, np.zeros((9, 1))), r"\(sample_rate, samples\)"),
    ],
)
def test_pairs_of_samples_and_rate_are_named(pair, words):
    with pytest.raises(ParameterError, match=words + r".*audionmf\.Audio\(samples, sample_rate\)"):
        audio.open_source(pair)


def test_a_file_object_is_read_as_its_file_is(tmp_path):
    path = tmp_path / "x.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, (900, 2)), RATE)
    content = path.read_bytes()
    given = audio.as_audio(io.BytesIO(content))
    np.testing.assert_array_equal(given.samples, audio.read(path).samples)
    assert (given.sample_rate, given.path, given.subtype) == (RATE, None, "PCM_16")
    with path.open("rb") as stream:
        assert audio.as_audio(stream).n_samples == 900


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (io.BytesIO(b"no sound"), AudioReadError, "^the BytesIO is not an audio file"),
        (io.StringIO("text"), ParameterError, "open the file in binary mode, or give its path"),
        (b"RIFF", ParameterError, "give io.BytesIO"),
    ],
)
def test_file_objects_that_cannot_be_read_are_named(given, error, words):
    with pytest.raises(error, match=words):
        audio.open_source(given)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros((1, 1, 1)),
        np.float32(3),
        np.zeros(3, complex),
        np.zeros(3, bool),
        np.array(["a"]),
        np.array([None]),
    ],
)
def test_what_is_no_signal_is_refused(samples):
    with pytest.raises(InvalidAudioError, match="the array of samples"):
        audio.Audio(samples, RATE)


@pytest.mark.parametrize("shape", [(0,), (1, 0), (2, 0), (0, 5)])
def test_no_samples_or_no_channels_are_refused(shape):
    with pytest.raises(InvalidAudioError):
        audio.Audio(np.zeros(shape, np.float32), RATE)


@pytest.mark.parametrize("rate", [0, -1, 999, 768_001, 2**31 - 1])
def test_an_absurd_rate_is_refused(rate):
    with pytest.raises(InvalidAudioError, match=str(rate)):
        audio.Audio(np.zeros(5), rate)


@pytest.mark.parametrize("rate", [1_000, 8_000, 44_100, 768_000])
def test_any_usual_rate_is_taken(rate):
    assert audio.Audio(np.zeros(5), rate).sample_rate == rate


def test_64_channels_are_taken_and_65_are_over_the_limit():
    assert audio.Audio(np.zeros((64, 3)), RATE).n_channels == 64
    with pytest.raises(LimitError, match="65 channels"):
        audio.Audio(np.zeros((65, 3)), RATE)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_samples_that_are_not_finite_are_counted_and_placed(bad):
    samples = np.zeros((2, 100))
    samples[1, [70, 42]] = bad
    samples[0, 99] = bad
    with pytest.raises(InvalidAudioError, match=r"3 samples .* first at sample 42"):
        audio.Audio(samples, RATE)


@pytest.mark.parametrize("sign", [-1, 1])
def test_samples_too_loud_for_sums_are_placed(sign):
    samples = np.zeros((2, 100), np.float32)
    samples[1, 42] = sign * 2e32
    with pytest.raises(InvalidAudioError, match=r"beyond 1e\+32, the first at sample 42"):
        audio.Audio(samples, RATE)


def test_a_look_for_what_is_not_finite_takes_no_memory():
    samples = np.zeros((2, 1_000_000), np.float32)
    tracemalloc.start()
    decode.Finite("it").check(samples)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 100_000


def test_the_callers_array_is_not_modified_and_may_be_read_only():
    samples = two_notes(2)[:, ::-1]
    samples.flags.writeable = False
    before = samples.copy()
    recording = audio.Audio(samples, RATE)
    assert np.array_equal(samples, before)
    assert np.array_equal(recording.samples, before.astype(np.float32))


def test_blocks_join_to_the_whole():
    recording = audio.Audio(two_notes(2), RATE)
    blocks = list(recording.blocks(300))
    assert all(block.shape[1] <= 300 for block in blocks)
    assert np.array_equal(np.concatenate(blocks, axis=1), recording.samples)


@pytest.mark.parametrize("rate", [None, 8000.5, "fast", float("nan"), float("inf")])
def test_an_array_needs_a_whole_sample_rate(rate):
    with pytest.raises(ParameterError, match="sample_rate"):
        audio.as_audio(np.zeros(5), rate)


def test_a_rate_is_not_taken_with_what_has_its_own(mixture):
    for source in (mixture, str(mixture), audio.read(mixture), audio.AudioFile(mixture)):
        with pytest.raises(ParameterError, match="sample_rate"):
            audio.as_audio(source, RATE)


def test_every_kind_of_source_gives_the_same_audio(mixture):
    expected = audio.read(mixture).samples
    for source in (mixture, str(mixture), audio.AudioFile(mixture), audio.read(mixture)):
        assert np.array_equal(audio.as_audio(source).samples, expected)
    assert np.array_equal(audio.as_audio(expected, RATE).samples, expected)
    assert np.array_equal(audio.as_audio(expected.tolist(), float(RATE)).samples, expected)


# --- reading


@pytest.mark.parametrize("n_channels", [1, 2, 8, 64])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_every_sample_format_is_read_as_it_is(tmp_path, subtype, n_channels):
    path = sound(tmp_path / "a.wav", two_notes(n_channels, 500), subtype)
    recording = audio.read(path)
    assert recording.samples.shape == (n_channels, 500)
    assert recording.samples.dtype == np.float32
    assert recording.samples.flags.c_contiguous
    assert (recording.sample_rate, recording.subtype, recording.path) == (RATE, subtype, path)
    assert np.array_equal(recording.samples, steps(path).astype(np.float32))


@pytest.mark.parametrize(
    ("container", "subtype"),
    [
        ("FLAC", "PCM_16"),
        ("FLAC", "PCM_24"),
        ("OGG", "VORBIS"),
        ("AIFF", "PCM_16"),
        ("RF64", "PCM_16"),
        ("W64", "FLOAT"),
        ("WAV", "ULAW"),
        ("WAV", "IMA_ADPCM"),
        ("CAF", "ALAC_16"),
        ("MP3", "MPEG_LAYER_III"),
    ],
)
@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.txt", "noextension", "a.raw"])
def test_the_content_counts_and_not_the_extension(tmp_path, container, subtype, name):
    path = sound(tmp_path / name, two_notes(), subtype, format=container)
    file = audio.AudioFile(path)
    assert file.subtype == subtype
    assert file.container in (container, "WAVEX")
    recording = audio.read(path)
    # Coders that work in blocks round the length up.
    assert 4000 <= recording.n_samples < 8000
    assert np.abs(recording.samples).max() > 0.1


@pytest.mark.parametrize("container", ["WAV", "WAVEX", "FLAC", "AIFF", "AU", "CAF", "W64", "RF64"])
def test_sixteen_bits_are_the_numbers_that_libsndfile_makes_of_them(tmp_path, container):
    whole = np.random.default_rng(0).integers(-(2**15), 2**15, (9000, 2), np.int16)
    whole[:2] = [-(2**15), 2**15 - 1], [0, -1]
    soundfile.write(tmp_path / "a", whole, RATE, "PCM_16", format=container)
    blocks = list(audio.AudioFile(tmp_path / "a").blocks(4096))
    assert all(block.flags.c_contiguous and block.dtype == np.float32 for block in blocks)
    with (tmp_path / "a").open("rb") as file:
        expected, _ = soundfile.read(file, dtype="float32")
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1).T, expected)


def test_big_endian_wav_is_read(tmp_path):
    path = sound(tmp_path / "a.wav", two_notes(), endian="BIG")
    assert path.read_bytes()[:4] == b"RIFX"
    assert np.array_equal(audio.read(path).samples, steps(path).astype(np.float32))


@pytest.mark.parametrize(
    "name",
    [
        "with space.wav",
        'it\'s "quoted".wav',
        "two\nlines.wav",
        "Größe 音.wav",
        "-o.wav",
        "--help",
        "%s{x}$HOME.wav",
        os.fsdecode(b"not utf-8 \xff.wav"),
    ],
)
def test_odd_names_are_read_and_written(tmp_path, name, monkeypatch):
    path = sound(tmp_path / name, two_notes())
    expected = steps(path).astype(np.float32)
    assert np.array_equal(audio.read(path).samples, expected)
    monkeypatch.chdir(tmp_path)
    assert np.array_equal(audio.read(name).samples, expected)
    copy = audio.write(tmp_path / f"{name}.wav", audio.read(name))
    assert np.array_equal(audio.read(copy).samples, expected)


def test_a_link_is_read(tmp_path, mixture):
    (tmp_path / "link.wav").symlink_to(mixture)
    assert np.array_equal(audio.read(tmp_path / "link.wav").samples, audio.read(mixture).samples)


def test_a_missing_file_stays_file_not_found(tmp_path):
    for reader in (audio.read, audio.AudioFile, audio.open_source):
        with pytest.raises(FileNotFoundError):
            reader(tmp_path / "gone.wav")


def test_a_folder_is_no_audio(tmp_path):
    with pytest.raises(AudioReadError, match="is a folder"):
        audio.read(tmp_path)


def test_a_pipe_is_refused_within_a_second(tmp_path):
    os.mkfifo(tmp_path / "a.wav")
    start = time.monotonic()
    with pytest.raises(AudioReadError):
        audio.read(tmp_path / "a.wav")
    assert time.monotonic() - start < 1


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.raw", "a.mp3", "a", "a.sd2", "a.vox"])
@pytest.mark.parametrize(
    "content",
    [b"", b"R", b"this is a shopping list, not a sound\n" * 9, b"RIFF", b"\0" * 999, b"fLaC" * 9],
)
def test_what_is_no_audio_is_refused_by_name(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises((AudioReadError, InvalidAudioError)) as caught:
        audio.read(tmp_path / name)
    assert repr(str(tmp_path / name)) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_header_without_samples_is_refused(tmp_path):
    path = sound(tmp_path / "a.wav", np.zeros((1, 0)))
    for reader in (audio.read, audio.AudioFile):
        with pytest.raises(InvalidAudioError, match="no samples"):
            reader(path)


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_file_with_samples_that_are_not_finite_is_refused(tmp_path, subtype, bad):
    samples = two_notes(2)
    samples[0, 1234] = samples[1, 1234] = samples[1, 3000] = bad
    path = sound(tmp_path / "a.wav", samples, subtype)
    with pytest.raises(InvalidAudioError, match=r"a\.wav' has 3 samples .* at sample 1234"):
        audio.read(path)


def test_a_double_beyond_float32_is_refused(tmp_path):
    samples = two_notes()
    samples[0, 7] = 1e300
    path = sound(tmp_path / "a.wav", samples, "DOUBLE")
    with pytest.raises(InvalidAudioError, match=r"1 samples .* at sample 7;"):
        audio.read(path)


def test_bad_samples_are_counted_over_all_blocks(tmp_path):
    samples = np.zeros((1, 600_000), np.float32)
    samples[0, [300_000, 590_000]] = np.nan
    path = sound(tmp_path / "a.wav", samples, "FLOAT")
    with pytest.raises(InvalidAudioError, match=r"2 samples .* at sample 300000;"):
        audio.read(path)


@pytest.mark.parametrize("rate", [1, 999, 768_001, 2_000_000_000])
def test_a_file_with_an_absurd_rate_is_refused(tmp_path, rate):
    path = sound(tmp_path / "a.wav", two_notes(), rate=rate)
    with pytest.raises(InvalidAudioError, match=f"{rate} Hz"):
        audio.read(path)


def test_a_file_with_65_channels_is_over_the_limit(tmp_path):
    path = sound(tmp_path / "a.wav", np.zeros((65, 10)))
    with pytest.raises(LimitError, match="65 channels"):
        audio.AudioFile(path)


@pytest.mark.parametrize("level", [4.0, 1e30, 1e-42])
def test_float_levels_beyond_full_scale_and_denormals_are_kept(tmp_path, level):
    samples = np.full((1, 10), level, np.float32)
    path = sound(tmp_path / "a.wav", samples, "FLOAT")
    assert np.array_equal(audio.read(path).samples, samples)


@pytest.mark.parametrize("size", [1, 99, 400, 1000])
def test_blocks_of_a_file_join_to_the_whole(tmp_path, size):
    path = sound(tmp_path / "a.wav", two_notes(2, 400))
    blocks = list(audio.AudioFile(path).blocks(size))
    assert all(block.shape[1] <= size for block in blocks)
    assert np.array_equal(np.concatenate(blocks, axis=1), audio.read(path).samples)


def test_a_file_that_ends_early_is_read_as_far_as_it_goes(tmp_path):
    path = sound(tmp_path / "a.wav", two_notes())
    whole = audio.read(path).samples
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.warns(AudioWarning, match=r"a\.wav' ends before its header says: 0\.12 s"):
        cut = audio.read(path)
    assert np.array_equal(cut.samples, whole[:, :3000])


def test_a_claimed_length_is_not_allocated(tmp_path):
    path = sound(tmp_path / "a.flac", two_notes())
    whole = steps(path).astype(np.float32)
    content = bytearray(path.read_bytes())
    content[21] |= 0x0F  # the upper bits of the number of samples in STREAMINFO
    content[22:26] = b"\xff" * 4
    path.write_bytes(bytes(content))
    assert audio.AudioFile(path).n_samples > 1 << 35
    with pytest.warns(AudioWarning, match=r"8589934\.09 s are missing"):
        found = audio.read(path).samples
    assert np.array_equal(found, whole)


def test_a_flac_stream_without_a_length_is_read_whole(tmp_path):
    path = sound(tmp_path / "a.flac", two_notes())
    whole = steps(path).astype(np.float32)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    path.write_bytes(bytes(content))
    assert audio.AudioFile(path).n_samples == 4000
    assert np.array_equal(audio.read(path).samples, whole)


def test_reading_leaves_the_file_as_it_was(mixture):
    before = mixture.read_bytes(), mixture.stat().st_mtime_ns
    audio.read(mixture)
    assert (mixture.read_bytes(), mixture.stat().st_mtime_ns) == before


# --- writing


@pytest.mark.parametrize(
    ("subtype", "extension", "expected"),
    [
        ("PCM_U8", "wav", "PCM_U8"),
        ("PCM_16", "wav", "PCM_16"),
        ("PCM_24", "wav", "PCM_24"),
        ("PCM_32", "wav", "PCM_32"),
        ("FLOAT", "wav", "FLOAT"),
        ("DOUBLE", "wav", "DOUBLE"),
        ("PCM_S8", "wav", "PCM_24"),
        ("VORBIS", "wav", "FLOAT"),
        ("ULAW", "wav", "FLOAT"),
        ("MPEG_LAYER_III", "wav", "FLOAT"),
        ("PCM_U8", "flac", "PCM_S8"),
        ("PCM_16", "flac", "PCM_16"),
        ("PCM_32", "flac", "PCM_24"),
        ("FLOAT", "flac", "PCM_24"),
        ("PCM_S8", "aiff", "PCM_S8"),
        ("FLOAT", "aiff", "FLOAT"),
    ],
)
def test_stems_keep_the_sample_format_where_the_container_has_it(subtype, extension, expected):
    assert formats.output_subtype(subtype, extension) == expected


@pytest.mark.parametrize("subtype", [*PCM_STEPS, "FLOAT", "DOUBLE", "ULAW"])
def test_the_quantisation_step_of_a_format(subtype):
    assert formats.quantisation_step(subtype) == PCM_STEPS.get(subtype, 0)


@given(
    st.sampled_from([8, 16, 24, 32]),
    st.lists(st.floats(-1.5, 1.5, width=32), min_size=1, max_size=50),
)
def test_quantising_takes_the_nearest_step_and_clips_beyond(bits, values):
    samples = np.array(values, np.float32)[:, None]
    step = 2.0 ** (1 - bits)
    full_scale = 2.0 ** (15 if bits == 16 else 31)
    given_back = encode.quantise(samples, bits) / full_scale
    clipped = np.clip(samples.astype(np.float64), -1, 1 - step)
    assert np.abs(given_back - clipped).max() <= step / 2
    again = encode.quantise(given_back.astype(np.float32), bits) / full_scale
    assert bits == 32 or np.array_equal(again, given_back)


@pytest.mark.parametrize("bits", [16, 24])
@pytest.mark.parametrize("n_channels", [1, 2, 3])
def test_quantising_goes_through_long_blocks_in_pieces(bits, n_channels):
    n = encode._CACHED + 5
    samples = (np.arange(n * n_channels, dtype=np.float32) % 1000).reshape(n_channels, n) / 1024
    found = encode.quantise(samples.T, bits)
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, samples.T * 2.0 ** (15 if bits == 16 else 31))


@pytest.mark.parametrize("extension", ["wav", "flac", "aiff"])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("n_channels", [1, 2, 8])
def test_what_was_read_is_written_and_read_again_the_same(tmp_path, extension, subtype, n_channels):
    if extension == "flac" and subtype == "FLOAT":
        subtype = "PCM_16"
    first = audio.read(sound(tmp_path / "a.wav", two_notes(n_channels), subtype))
    path = audio.write(tmp_path / f"b.{extension}", first)
    second = audio.read(path)
    assert np.array_equal(second.samples, first.samples)
    assert (second.sample_rate, second.subtype) == (RATE, subtype)
    assert soundfile.info(path).format in (extension.upper(), "WAVEX")


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32"])
def test_every_pcm_step_round_trips(tmp_path, subtype):
    bits = min(int(-np.log2(PCM_STEPS[subtype])) + 1, 24)
    limit = 2 ** (bits - 1)
    values = np.unique(np.linspace(-limit, limit - 1, 5000).astype(np.int64)) / limit
    path = audio.write(tmp_path / "a.wav", audio.Audio(values, RATE), subtype)
    assert np.array_equal(steps(path)[0], values)


def test_the_time_stamp_of_float_files_is_zero_so_that_bytes_repeat(tmp_path):
    recording = audio.Audio(two_notes(), RATE)
    first = audio.write(tmp_path / "a.wav", recording, "FLOAT").read_bytes()
    aiff = audio.write(tmp_path / "a.aiff", recording, "FLOAT").read_bytes()
    for path, content in ((tmp_path / "a.wav", first), (tmp_path / "a.aiff", aiff)):
        place = content.index(b"PEAK")
        assert content[place + 12 : place + 16] == bytes(4), path


def test_writing_leaves_the_callers_array_as_it_was(tmp_path):
    samples = np.asfortranarray(two_notes(2).astype(np.float32))
    samples.flags.writeable = False
    before = samples.copy()
    for subtype in ("PCM_16", "FLOAT"):
        audio.write(tmp_path / "a.wav", audio.Audio(samples, RATE), subtype)
    assert np.array_equal(samples, before)


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        ("a.ogg", "PCM_16"),
        ("a.m4a", None),
        ("a", None),
        ("a.mp3", "FLOAT"),
        ("a.wav", "VORBIS"),
        ("a.wav", "PCM_S8"),
        ("a.flac", "FLOAT"),
        ("a.wav", "nonsense"),
    ],
)
def test_a_format_that_stems_cannot_have_is_a_parameter_error(tmp_path, name, subtype):
    with pytest.raises(ParameterError):
        audio.write(tmp_path / name, audio.Audio(two_notes(), RATE), subtype)
    assert files_below(tmp_path) == []


@pytest.mark.parametrize("existing", [True, False])
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_an_exception_between_blocks_leaves_nothing(tmp_path, existing, error):
    path = tmp_path / "a.wav"
    if existing:
        path.write_bytes(b"old")

    def half():
        with audio.AudioWriter(path, RATE, 1, "PCM_16") as writer:
            writer.write(two_notes().astype(np.float32))
            raise error

    with pytest.raises(error):
        half()
    assert files_below(tmp_path) == (["a.wav"] if existing else [])
    assert not existing or path.read_bytes() == b"old"


def test_samples_that_are_not_finite_are_never_written(tmp_path):
    samples = np.array([[0, np.nan]], np.float32)
    with (
        pytest.raises(InvalidAudioError, match="not finite"),
        audio.AudioWriter(tmp_path / "a.wav", RATE, 1, "PCM_16") as writer,
    ):
        writer.write(samples)
    assert files_below(tmp_path) == []


def test_a_file_that_does_not_read_back_whole_is_not_kept(tmp_path):
    path = tmp_path / "a.wav"

    def write():
        with audio.AudioWriter(path, RATE, 1, "PCM_16") as writer:
            writer.write(two_notes().astype(np.float32))
            writer.n_written += 1

    with pytest.raises(OutputError, match="read back"):
        write()
    assert files_below(tmp_path) == []


def test_a_folder_that_is_missing_is_an_output_error_with_its_errno(tmp_path):
    with pytest.raises(OutputError) as caught:
        audio.write(tmp_path / "gone" / "a.wav", audio.Audio(two_notes(), RATE))
    assert caught.value.errno == errno.ENOENT


def test_more_than_4_gib_become_rf64(tmp_path):
    recording = audio.Audio(two_notes(), RATE)
    path = tmp_path / "a.wav"
    with audio.AudioWriter(path, RATE, 1, "PCM_16", n_samples=1 << 31) as writer:
        writer.write(recording.samples)
    assert path.read_bytes()[:4] in (b"RF64", b"RIFF")
    assert soundfile.info(path).format == "RF64"
    assert audio.read(path).n_samples == 4000


@pytest.mark.parametrize("level", [1.1e32, 3e38])
def test_samples_whose_sums_float32_cannot_hold_are_refused(tmp_path, level):
    samples = np.full(100, 1e31, np.float32)
    samples[70] = -level
    path = tmp_path / "loud.wav"
    soundfile.write(path, samples, RATE, "FLOAT")
    with pytest.raises(InvalidAudioError, match="beyond 1e\\+32, the first at sample 70"):
        audio.read(path)
    with pytest.raises(InvalidAudioError, match="beyond 1e\\+32"):
        audio.Audio(samples, RATE)


def replaced_by_a_shorter_one(path):
    path.unlink()
    soundfile.write(path, np.zeros(10), RATE)


def cut_in_place(path):
    os.truncate(path, 1000)


def gone(path):
    path.unlink()


def replaced_by_a_pipe(path):
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    "change", [replaced_by_a_shorter_one, cut_in_place, gone, replaced_by_a_pipe]
)
@pytest.mark.parametrize("when", ["before it is read", "while it is read"])
def test_a_recording_that_changes_while_it_is_read_is_named_at_once(tmp_path, change, when):
    if change is replaced_by_a_pipe and os.name != "posix":
        pytest.skip("pipes of POSIX")
    path = tmp_path / "a.wav"
    soundfile.write(path, np.tile(two_notes()[0], 10), RATE)
    file = audio.AudioFile(path)
    begin = time.monotonic()
    if when == "before it is read":
        change(path)
        with pytest.raises((AudioReadError, FileNotFoundError)) as caught:
            list(file.blocks(100))
    else:
        blocks = file.blocks(100)
        next(blocks)
        change(path)
        if change in (replaced_by_a_shorter_one, gone, replaced_by_a_pipe):
            list(blocks)  # what is open is whole; the next time it is opened tells
            blocks = file.blocks(100)
        with pytest.raises((AudioReadError, FileNotFoundError)) as caught:
            list(blocks)
    assert exit_code(caught.value) == 3
    assert time.monotonic() - begin < 1


FULL_DISK = """
import resource, signal, sys
import numpy as np
from audionmf import errors
from audionmf.io import audio
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
recording = audio.Audio(np.random.default_rng(0).uniform(-1, 1, 100_000), 8000)
for path in sys.argv[1:]:
    try:
        audio.write(path, recording, "PCM_16")
    except errors.OutputError as error:
        print(error.errno, errors.exit_code(error))
"""


def test_a_full_disk_is_an_output_error_and_leaves_nothing(tmp_path):
    extensions = ("wav", "flac", "aiff")
    for extension in extensions:
        (tmp_path / f"old.{extension}").write_bytes(b"old")
    paths = [
        tmp_path / f"{name}.{extension}" for name in ("old", "new") for extension in extensions
    ]
    result = child("-c", FULL_DISK, *map(str, paths))
    assert result.stdout.decode().splitlines() == [f"{errno.EFBIG} 4"] * len(paths), result.stderr
    assert files_below(tmp_path) == sorted(f"old.{extension}" for extension in extensions)
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {b"old"}


@pytest.mark.parametrize("claimed", [0, 9, 24, 25, 100])
def test_blocks_in_one_are_all_of_them_whatever_a_header_claims(claimed):
    whole = np.random.default_rng(0).random((2, 3, 24), np.float32)
    blocks = [whole[..., a:b] for a, b in ((0, 7), (7, 7), (7, 20), (20, 24))]
    joined = in_one(iter(blocks), claimed)
    np.testing.assert_array_equal(joined, whole)
    assert joined.base is None
