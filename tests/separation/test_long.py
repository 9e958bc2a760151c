"""Long recordings: memory does not grow with them, and blocks give what the whole file gives."""

import dataclasses
import itertools
import json
import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import soundfile
from conftest import RATE, TINY, tone, two_notes

import audionmf
from audionmf.analysis import activations
from audionmf.io.audio import Audio
from audionmf.rendering import blocks as rendering
from audionmf.rendering.trust import BlockTrust, TrustMeter
from audionmf.separation import decomposing as exports
from audionmf.settings import Settings
from audionmf.spectra.frames import gather
from audionmf.spectra.stft import STFT

SHORT, LONG = 60, 5 * 60  # more frames than are looked at one by one
ALLOWED_MB = 6
"""Three minutes in memory would be 12 MB as samples, and more as a transform."""
QUICK = (
    "--n-fft", "1024", "--hop-length", "512", "--max-frames", "256", "--max-iter", "5",
    "--n-threads", "1", "--json",
)  # fmt: skip
PEAKS = """
import json, os, sys
import audionmf.batch.perform, audionmf.live.separator, audionmf.nmf.kernels
from audionmf.analysis import learning
from audionmf.cli import main

learning._PATTERN_FRAMES = 256  # or four minutes would be fewer than the most it keeps

for arguments in json.load(sys.stdin):  # each in a fork, which starts with what is loaded so far
    child = os.fork()
    if not child:
        code = main(arguments)
        sys.stdout.flush()
        os._exit(code)
    _, status, usage = os.wait4(child, 0)
    print(json.dumps([os.waitstatus_to_exitcode(status), usage.ru_maxrss]), flush=True)
"""
BYTES = 1 if sys.platform == "darwin" else 1024


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """A recording of a minute, one of four, and templates for both."""
    folder = tmp_path_factory.mktemp("long")
    minute = np.concatenate([two_notes(2, 8000)] * 60, axis=1).T
    for seconds in (SHORT, LONG):
        with soundfile.SoundFile(folder / f"{seconds}.wav", "w", RATE, 2, "PCM_16") as file:
            for _ in range(seconds // 60):
                file.write(minute)
    stft = {"n_fft": 1024, "hop_length": 512}
    for hertz, name in ((330, "low"), (880, "high")):
        bank = audionmf.learn(tone(hertz, 8000), name, 4, sample_rate=RATE, max_iter=5, **stft)
        bank.save(folder / f"{name}.npz")
    return folder


def peaks_mb(*commands):
    """Run command lines, each in a process of its own; return their largest resident sets."""
    result = subprocess.run(
        [sys.executable, "-B", "-c", PEAKS],
        input=json.dumps([[str(word) for word in command] for command in commands]),
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    ended = [line for line in lines if isinstance(line, list)]
    assert [code for code, _ in ended] == [0] * len(commands), result.stderr
    assert len(lines) == 2 * len(ended)  # each told what it made
    return [peak * BYTES / 1e6 for _, peak in ended]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_five_minutes_need_no_more_memory_than_one(recordings, tmp_path):
    """Neither to separate, blind or by templates, nor to learn, nor as a stream."""
    banks = ["--templates", recordings / "low.npz", recordings / "high.npz"]
    out, few = ("-o", tmp_path), ("--activation-iter", "2")
    works = (
        ("separate", *banks, *QUICK, *few, "--adapt-iter", "3", *out),
        ("separate", "--n-sources", "2", *QUICK, *few, *out),
        ("learn", *QUICK, "-o", tmp_path / "bank.npz"),
        ("stream", *banks, *few, "--json", *out),
    )
    pairs = [
        [(command, recordings / f"{seconds}.wav", *rest) for seconds in (SHORT, LONG)]
        for command, *rest in works
    ]
    peaks = peaks_mb(*itertools.chain(*pairs))
    for pair, short, long in zip(pairs, peaks[::2], peaks[1::2], strict=True):
        found = (short, long)
        if long - short >= ALLOWED_MB:  # by chance, or what grows with the length does so again
            found = peaks_mb(*pair)
        assert found[1] - found[0] < ALLOWED_MB, (pair, found)


@pytest.mark.parametrize("n_channels", [1, 2])
def test_the_length_of_blocks_does_not_matter(monkeypatch, n_channels):
    samples = two_notes(n_channels, 12000)
    banks = [
        audionmf.learn(tone(hertz), name, 4, sample_rate=RATE, settings=TINY)
        for hertz, name in ((330, "low"), (880, "high"))
    ]
    found = audionmf.analyse(samples, templates=banks, sample_rate=RATE, settings=TINY)
    rendered = []
    for block_frames in (rendering.BLOCK_FRAMES, 1, 7, 100):
        monkeypatch.setattr(rendering, "BLOCK_FRAMES", block_frames)
        rendered.append(audionmf.render(samples, found, sample_rate=RATE))
    expected, *others = rendered
    for stems in others:
        for name, truth in expected.sources.items():
            error = np.abs(stems.sources[name] - truth).max()
            assert error <= 1e-5 * np.abs(truth).max()
        np.testing.assert_allclose(stems.trust.explained, expected.trust.explained, rtol=1e-4)


@pytest.mark.parametrize("keep_transform", [False, True])
def test_frames_that_are_left_out_are_let_go(keep_transform):
    stft, audio = STFT(1024, 256), Audio(two_notes(2, 1_000_000), RATE)
    gather(audio, stft, 128, keep_transform=keep_transform)  # what is loaded once is not counted
    tracemalloc.start()
    try:
        frames = gather(audio, stft, 128, keep_transform=keep_transform)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    held = frames.V.nbytes + (frames.X.nbytes if keep_transform else 0)
    block = 2 * 128 * (4 * 1024 + 8 * stft.n_bins) + 2 * 4 * (1 << 18)
    assert peak < 4 * held + 3 * block


def test_the_figures_of_each_second_do_not_depend_on_blocks():
    rng = np.random.default_rng(0)
    lost, total = rng.random(1000), 2 + rng.random(1000)
    seconds = (np.arange(1000) / 15.6).astype(int)
    expected = 1 - np.bincount(seconds, lost) / np.bincount(seconds, total)
    for size in (1, 7, 128, 1000):
        meter = TrustMeter(["a"], 15.6)
        for first in range(0, 1000, size):
            block = slice(first, first + size)
            meter.add(BlockTrust(np.ones(1), np.ones(1), 1.0, lost[block], total[block]))
        np.testing.assert_array_equal(meter.result().explained, expected)


def test_trust_keeps_a_value_a_second_not_a_frame():
    meter = TrustMeter(["a"], 1000.0)
    block = BlockTrust(np.ones(1), np.ones(1), 1.0, np.ones(1000), np.ones(1000))
    meter.add(block)
    tracemalloc.start()
    try:
        for _ in range(200):
            meter.add(block)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 50_000
    assert len(meter.result().explained) == 201


def test_activations_found_block_by_block_are_those_of_the_whole(monkeypatch):
    samples = two_notes(2, 40_000)
    bank = audionmf.learn(tone(330), "low", 4, sample_rate=RATE, settings=TINY)
    audio = Audio(samples, RATE)
    found = audionmf.analyse(audio, templates=[bank], free=2, settings=TINY)
    found = dataclasses.replace(found, activations=None)  # as it is where frames were left out
    whole = activations.with_activations(audio, found)
    monkeypatch.setattr(activations, "BLOCK_FRAMES", 100)
    blocks = activations.with_activations(audio, found)
    np.testing.assert_array_equal(blocks.activations, whole.activations)


def test_a_long_table_is_written_some_rows_at_a_time(tmp_path):
    H = np.random.default_rng(0).random((20_000, 4))
    axis = np.arange(20_000) / 43
    tracemalloc.start()
    try:
        path = exports._write_csv(tmp_path / "h.csv", "time_s", axis, H, ["a", "b", "c", "d"])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < path.stat().st_size / 2
    assert path.read_text().startswith("time_s,a,b,c,d\n0,0.")
    np.testing.assert_allclose(
        np.loadtxt(path, delimiter=",", skiprows=1), np.column_stack([axis, H]), rtol=1e-5
    )


def test_a_bound_on_frames_is_a_bound_on_memory():
    assert Settings().max_frames == 16384
    audio = Audio(two_notes(1, 100_000), RATE)
    frames = gather(audio, STFT(256, 64), 100)
    assert frames.V.shape[1] <= 100
    assert frames.step == 16
