"""Live: a signal is taken apart while it comes, at a stated delay, however it is cut into blocks."""

import contextlib
import dataclasses
import io
import signal
import struct
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile
from conftest import RATE, TINY, sound, tone, two_notes
from hypothesis import given, settings
from hypothesis import strategies as st

import audionmf
from audionmf.errors import (
    AudioReadError,
    AudioWarning,
    InvalidAudioError,
    LimitError,
    ParameterError,
    TemplateMismatchError,
)
from audionmf.live.separator import LiveSeparator, stream
from audionmf.live.streams import PCMFormat, PCMStream, stream_to_files
from audionmf.nmf import activate
from audionmf.nmf.activating import FrameActivator
from audionmf.rendering.decomposition import Mixture

SAMPLES = two_notes(2).astype(np.float32)
LATENCIES = (None, 0.02, 0.005)


@pytest.fixture(scope="module")
def banks():
    """Templates of the two notes."""
    return [
        audionmf.learn(tone(hertz), name, 4, sample_rate=RATE, settings=TINY)
        for hertz, name in ((330, "low"), (880, "high"))
    ]


@pytest.fixture(scope="module")
def whole(banks):
    """The stems for each latency, the signal pushed as one block."""
    return {latency: joined(stream([SAMPLES], banks, **options(latency))) for latency in LATENCIES}


def options(latency):
    return {"latency": latency, "settings": TINY}


def joined(pieces):
    pieces = list(pieces)
    return {name: np.concatenate([p[name] for p in pieces], axis=1) for name in pieces[0]}


def decibels(error, reference):
    return 20 * np.log10(max(np.abs(error).max() / np.abs(reference).max(), 1e-30))


@pytest.mark.parametrize("latency", LATENCIES)
def test_the_stems_sum_to_the_signal(whole, latency):
    total = sum(whole[latency].values())
    assert total.shape == SAMPLES.shape
    assert decibels(total - SAMPLES, SAMPLES) <= -120


def test_the_stems_are_those_that_render_makes(banks, whole):
    separator = LiveSeparator(banks, 2, settings=TINY)
    mixture = Mixture("", "", 2, SAMPLES.shape[1])
    found = dataclasses.replace(separator.decomposition, mixture=mixture)
    rendered = audionmf.render(SAMPLES, found, sample_rate=RATE).sources
    assert list(rendered) == list(whole[None]) == ["low", "high"]
    for name, samples in rendered.items():
        assert decibels(whole[None][name] - samples, samples) <= -120


@pytest.mark.parametrize("latency", LATENCIES)
def test_the_sources_are_told_apart(whole, latency):
    truth = np.stack([tone(330)] * 2)
    assert audionmf.evaluate.si_sdr(truth, whole[latency]["low"]) > (10 if latency is None else 7)


@settings(max_examples=15, deadline=None)
@given(latency=st.sampled_from(LATENCIES), cuts=st.lists(st.integers(0, 4000), max_size=12))
def test_the_stems_do_not_depend_on_how_the_signal_is_cut(banks, whole, latency, cuts):
    blocks = np.split(SAMPLES, sorted(cuts), axis=1)
    found = joined(stream(blocks, banks, **options(latency)))
    for name, samples in whole[latency].items():
        np.testing.assert_array_equal(found[name], samples)


@pytest.mark.parametrize("latency", LATENCIES)
def test_no_sample_comes_out_later_than_stated(banks, latency):
    separator = LiveSeparator(banks, 1, **options(latency))
    impulse = np.zeros(1000, np.float32)
    impulse[433] = 0.5
    n_out, backlog, out = 0, [], []
    for n_in, sample in enumerate(impulse, 1):
        out.append(sum(separator.push(np.array([sample])).values())[0])
        n_out += len(out[-1])
        backlog.append(n_in - n_out)
    assert max(backlog) == separator.latency
    arrived = np.flatnonzero([np.abs(piece).max(initial=0) > 0.4 for piece in out])
    assert len(arrived) == 1
    assert arrived[0] - 433 <= separator.latency
    assert np.argmax(np.abs(np.concatenate(out))) == 433


def test_the_delay_is_a_window_or_what_was_asked_for(banks):
    assert LiveSeparator(banks).latency == banks[0].stft.n_fft - 1
    assert LiveSeparator(banks, latency=1.0).latency == banks[0].stft.n_fft - 1
    for latency in (0.02, 0.01, 0.005):
        assert (
            0.9 * latency - 4 / RATE
            < LiveSeparator(banks, latency=latency).latency / RATE
            <= latency
        )


def test_the_window_of_the_defaults_takes_less_than_a_tenth_of_a_second():
    bank = audionmf.learn(tone(330, 8192), "note", 2, sample_rate=44100, max_iter=2)
    assert LiveSeparator(bank, 2).latency / 44100 < 0.1


@pytest.mark.parametrize("n_samples", [1, 5, 63, 64, 65, 255, 256, 257])
@pytest.mark.parametrize("latency", LATENCIES)
def test_short_signals_keep_their_length(banks, n_samples, latency):
    found = joined(stream([SAMPLES[:, :n_samples]], banks, **options(latency)))
    np.testing.assert_allclose(sum(found.values()), SAMPLES[:, :n_samples], atol=1e-6)


def test_silence_gives_silence(banks):
    found = joined(stream([np.zeros((2, 3000), np.float32)] * 2, banks, settings=TINY))
    assert all(samples.shape == (2, 6000) and not samples.any() for samples in found.values())


def test_nothing_gives_nothing(banks):
    assert list(stream([], banks)) == []
    separator = LiveSeparator(banks)
    assert {samples.shape for samples in separator.flush().values()} == {(1, 0)}


def test_a_file_streams_as_its_samples_do(banks, tmp_path):
    path = sound(tmp_path / "mix.wav", SAMPLES, "FLOAT")
    found = joined(stream(path, banks, settings=TINY))
    for name, samples in joined(stream([SAMPLES], banks, settings=TINY)).items():
        np.testing.assert_array_equal(found[name], samples)


def test_one_source_and_the_rest_or_a_residual_can_be_asked_for(banks):
    found = joined(stream([SAMPLES], banks, only="high", residual="room", settings=TINY))
    everything = joined(stream([SAMPLES], banks, residual="room", settings=TINY))
    assert list(found) == ["high", "rest"]
    assert list(everything) == ["low", "high", "room"]
    np.testing.assert_allclose(found["high"], everything["high"], atol=1e-7)


def test_the_analysis_of_another_recording_brings_places_and_equalisers(banks):
    placed = np.stack([tone(330) + 0.2 * tone(880), 0.2 * tone(330) + tone(880)])
    model = audionmf.analyse(placed, templates=banks, sample_rate=RATE, settings=TINY)
    assert model.covariances is not None
    found = joined(stream([placed.astype(np.float32)], model))
    rendered = audionmf.render(placed, model, sample_rate=RATE).sources
    for name, samples in rendered.items():
        plain = {"activations": None, "context": None, "voters": None}
        fresh = dataclasses.replace(model, **plain)
        again = audionmf.render(placed, fresh, sample_rate=RATE).sources[name]
        assert decibels(found[name] - again, samples) <= -100


def test_a_component_in_doubt_is_shared_as_by_render(banks):
    found = audionmf.analyse(SAMPLES, templates=banks, sample_rate=RATE, settings=TINY)
    shares = np.zeros((2, found.n_components), np.float32)
    shares[0], shares[1] = 0.75, 0.25
    shared = dataclasses.replace(found, shares=shares, covariances=None, voters=None)
    pieces = joined(stream([SAMPLES], shared, latency=None))
    plain = joined(stream([SAMPLES], dataclasses.replace(shared, shares=None), latency=None))
    low, high = pieces.values()
    louder = 3 ** (2 * shared.settings.mask_exponent)
    assert (low**2).sum() == pytest.approx(louder * (high**2).sum(), rel=1e-3)
    assert (plain["low"] ** 2).sum() < 2 * (plain["high"] ** 2).sum()


def test_blocks_are_not_modified(banks):
    block = SAMPLES.copy()
    list(stream([block], banks, settings=TINY))
    np.testing.assert_array_equal(block, SAMPLES)


@pytest.mark.parametrize(
    ("block", "error"),
    [
        (np.zeros((3, 5)), ParameterError),
        (np.zeros(5), ParameterError),
        (np.zeros((2, 5), complex), ParameterError),
        (np.full((2, 5), np.nan), InvalidAudioError),
        (np.full((2, 5), 1e300), InvalidAudioError),
    ],
)
def test_a_block_that_makes_no_sense_is_refused_and_not_taken(banks, block, error):
    separator = LiveSeparator(banks, 2, settings=TINY)
    separator.push(SAMPLES[:, :1000])
    with pytest.raises(error):
        separator.push(block)
    separator.push(SAMPLES[:, 1000:])
    separator.flush()
    with pytest.raises(ParameterError, match="flushed"):
        separator.push(SAMPLES)


def test_what_cannot_be_done_is_refused(banks):
    with pytest.raises(TemplateMismatchError, match="44100"):
        LiveSeparator(banks, sample_rate=44100)
    with pytest.raises(ParameterError, match="latency"):
        LiveSeparator(banks, latency=1e-4)
    with pytest.raises(ParameterError, match="latency"):
        LiveSeparator(banks, latency=float("nan"))
    with pytest.raises(ParameterError, match="drums"):
        LiveSeparator(banks, only="drums")
    with pytest.raises(ParameterError, match="residual"):
        LiveSeparator(banks, residual="low")
    with pytest.raises(ParameterError, match="channel"):
        LiveSeparator(banks, 0)


@pytest.mark.parametrize("beta", [1, 2, 0.5])
def test_one_frame_alone_has_the_activations_that_it_has_among_others(beta):
    rng = np.random.default_rng(0)
    W, V = rng.random((65, 7), np.float32), rng.random((65, 40), np.float32)
    V[:, 3] = 0
    penalties = rng.random(7) if beta == 1 else None
    expected = activate(V, W, beta=beta, n_iter=9, penalties=penalties)
    alone = FrameActivator(W, beta=beta, n_iter=9, penalties=penalties)
    found = np.stack([alone.activate(V[:, t]) for t in range(40)], axis=1)
    if beta == 1:
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", ["u8", "s16", "s24", "s32", "f32", "f64"])
def test_raw_samples_survive_the_way_there_and_back(kind):
    form = PCMFormat(RATE, 2, kind)
    width = form.frame_bytes // 2
    rng = np.random.default_rng(1)
    samples = rng.uniform(-1, 0.9, (2, 100))
    steps = np.rint(samples * 2 ** min(8 * width - 1, 23)) / 2 ** min(8 * width - 1, 23)
    exact = (samples if kind[0] == "f" else steps).astype(np.float32)
    content, clipped = form.encode(exact)
    assert len(content) == 100 * form.frame_bytes
    assert clipped == 0
    np.testing.assert_array_equal(form.decode(content), exact)


def test_clipped_samples_are_counted():
    content, clipped = PCMFormat(RATE, 1, "s16").encode(np.array([[1.5, -2, 0, -1]], np.float32))
    assert clipped == 2
    np.testing.assert_array_equal(np.frombuffer(content, "<i2"), [32767, -32768, 0, -32768])


@pytest.mark.parametrize("kind", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("container", ["WAV", "WAVEX", "RF64"])
@pytest.mark.parametrize("claimed", ["right", "unknown"])
def test_a_wav_stream_is_read_from_its_header_on(kind, container, claimed):
    written = io.BytesIO()
    soundfile.write(written, SAMPLES.T, RATE, kind, format=container)
    content = bytearray(written.getvalue())
    expected = soundfile.read(io.BytesIO(bytes(content)), dtype="float32")[0].T
    if claimed == "unknown" and container != "RF64":
        place = content.index(b"data")
        content[4:8] = content[place + 4 : place + 8] = struct.pack("<I", 0xFFFFFFFF)
    source = PCMStream(Trickle(bytes(content)))
    assert (source.form.sample_rate, source.form.n_channels) == (RATE, 2)
    np.testing.assert_array_equal(np.concatenate(list(source.blocks()), axis=1), expected)


class Trickle(io.RawIOBase):
    """Hands out a few bytes at a time, as a pipe may."""

    def __init__(self, content):
        self._left, self._turn = content, 0

    def read(self, n):
        self._turn += 1
        count = min(n, 1 + self._turn * 37 % 1001)
        taken, self._left = self._left[:count], self._left[count:]
        return taken


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"RIFF",
        b"hello, this is no audio at all",
        b"RIFF\0\0\0\0WAVEdata\0\0\0\0",
        b"RIFF\0\0\0\0WAVEfmt \x04\0\0\0\1\0\1\0",
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0" + struct.pack("<HHIIHH", 2, 1, RATE, RATE, 1, 4),
        b"RIFF\0\0\0\0WAVEjunk\xff\xff\xff\xff",
        b"RIFF\0\0\0\0WAVE" + b"junk\0\0\0\0" * 100,
    ],
)
def test_a_stream_that_is_no_wav_is_refused(content):
    with pytest.raises(AudioReadError, match="standard input"):
        PCMStream(io.BytesIO(content))


def test_a_wav_stream_that_breaks_off_is_told():
    written = io.BytesIO()
    soundfile.write(written, SAMPLES.T, RATE, "PCM_16", format="WAV")
    source = PCMStream(io.BytesIO(written.getvalue()[:-4001]))
    with pytest.warns(AudioWarning, match=r"0\.13 s are missing"):
        assert sum(block.shape[1] for block in source.blocks()) == 2999


def test_a_raw_stream_that_ends_within_a_sample_is_told():
    source = PCMStream(io.BytesIO(bytes(9)), PCMFormat(RATE, 2, "s16"))
    with pytest.warns(AudioWarning, match="1 bytes"):
        assert sum(block.shape[1] for block in source.blocks()) == 2


def test_a_full_wav_ends_the_stream_and_keeps_what_came(banks, tmp_path, monkeypatch):
    monkeypatch.setattr("audionmf.live.streams._WAV_BYTES", 16000)
    monkeypatch.setattr("audionmf.live.streams._READ_BYTES", 1024)
    content = PCMFormat(RATE, 2, "f32").encode(SAMPLES)[0]
    separator = LiveSeparator(banks, 2, settings=TINY)
    paths = {name: tmp_path / f"{name}.wav" for name in separator.names}
    source = PCMStream(io.BytesIO(content), PCMFormat(RATE, 2, "f32"))
    written = stream_to_files(source, separator, paths)
    assert isinstance(written.interrupted, LimitError)
    total = sum(soundfile.read(path)[0] for path in paths.values()).T
    assert 1000 < written.n_samples == total.shape[1] <= 16000 / 8
    assert decibels(total - SAMPLES[:, : total.shape[1]], SAMPLES) <= -120


@pytest.fixture
def saved(banks, tmp_path):
    """The template files."""
    return [str(bank.save(tmp_path / f"{bank.names[0]}.npz")) for bank in banks]


def test_the_command_streams_a_file(run, saved, tmp_path):
    path = sound(tmp_path / "mix.wav", SAMPLES)
    code, out, err = run("stream", path, "--templates", *saved, "-o", tmp_path / "out")
    assert code == 0
    assert "ms after the input" in err
    assert str(tmp_path / "out") in out
    files = [tmp_path / "out" / "mix" / f"{name}.wav" for name in ("low", "high")]
    total = sum(soundfile.read(file)[0] for file in files)
    assert soundfile.info(files[0]).subtype == "FLOAT"
    np.testing.assert_allclose(total, soundfile.read(path)[0], atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["-", "--rate", "8000"], 2),
        (["MIX", "--rate", "8000"], 2),
        (["MIX", "-o", "-"], 2),
        (["MIX", "-o", "-", "--only", "low", "--json"], 2),
        (["MIX", "--latency", "0"], 2),
        (["MIX", "--only", "drums"], 2),
        (["missing.wav"], 3),
        (["MIX", "--known-model", "x"], 2),
        (["MIX", "--model", "x"], 2),
    ],
)
def test_a_wrong_command_is_one_line(run, saved, tmp_path, arguments, code):
    path = sound(tmp_path / "mix.wav", SAMPLES)
    given = [str(path) if word == "MIX" else word for word in arguments]
    found, _, err = run("stream", *given, "--templates", *saved)
    assert found == code
    assert err.count("\n") == 1
    assert "Traceback" not in err


def command(*arguments):
    """Start the command line with pipes to it."""
    return subprocess.Popen(
        [sys.executable, "-m", "audionmf", "stream", *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


RAW = ("--rate", RATE, "--channels", 2, "--sample-format", "f32")


def test_one_source_goes_through_a_pipe(saved, banks):
    content = SAMPLES.T.astype("<f4").tobytes()
    fast = ("--activation-iter", 5, "--only", "low", "-o", "-")
    with command("-", *RAW, "--templates", *saved, *fast) as process:
        out, err = process.communicate(content, timeout=60)
    assert process.returncode == 0, err
    found = np.frombuffer(out, "<f4").reshape(-1, 2).T
    expected = joined(stream([SAMPLES], banks, only="low", settings=TINY))["low"]
    np.testing.assert_array_equal(found, expected)


def test_samples_come_out_before_the_stream_ends_and_a_reader_that_goes_is_noticed(saved, banks):
    content = SAMPLES.T.astype("<f4").tobytes()
    fast = ("--activation-iter", 5, "--only", "low", "-o", "-")
    with command("-", *RAW, "--templates", *saved, *fast) as process:
        process.stdin.write(content)
        process.stdin.flush()
        n_bytes = 8 * (SAMPLES.shape[1] - banks[0].stft.n_fft + 1)
        assert len(process.stdout.read(n_bytes)) == n_bytes
        process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(content * 50)
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        assert process.wait(timeout=60) == 141
        assert b"Traceback" not in process.stderr.read()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_stream_leaves_whole_files(saved, tmp_path, number, code):
    out = tmp_path / "out"
    with command("-", *RAW, "--templates", *saved, "-o", out) as process:
        process.stdin.write(SAMPLES.T.astype("<f4").tobytes())
        process.stdin.flush()
        deadline = time.monotonic() + 60
        # Both stems have samples on the disk: the signal came through and more is waited for.
        while not written(out) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    files = sorted((out / "stream").iterdir())
    assert [file.name for file in files] == ["high.wav", "low.wav"]
    total = sum(soundfile.read(file)[0] for file in files).T
    np.testing.assert_allclose(total, SAMPLES[:, : total.shape[1]], atol=1e-6)
    assert total.shape[1] == SAMPLES.shape[1]


def written(out):
    sizes = [file.stat().st_size for file in out.glob("stream/.audionmf-*.wav")]
    return len(sizes) == 2 and min(sizes) > 4 * SAMPLES.size / 2
