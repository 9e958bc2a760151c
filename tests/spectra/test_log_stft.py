"""The log front end: an exact inverse, the same by blocks and in pieces, narrow at the bottom."""

from __future__ import annotations

import numpy as np
import pytest

import audionmf
from audionmf.errors import ParameterError, TemplateMismatchError
from audionmf.settings import Settings
from audionmf.sources.templates import Templates
from audionmf.spectra.log_stft import LogSTFT, front_end
from audionmf.spectra.stft import STFT

_SMALL = LogSTFT(512, 16)


def _noise(n_samples: int, n_channels: int = 2) -> np.ndarray:
    rng = np.random.default_rng(n_samples)
    return rng.standard_normal((n_channels, n_samples)).astype(np.float32)


def _db(error: np.ndarray, signal: np.ndarray) -> float:
    return float(20 * np.log10(np.linalg.norm(error) / np.linalg.norm(signal)))


@pytest.mark.parametrize("n_samples", [1, 2, 15, 16, 17, 500, 1024, 1025, 5000])
def test_inverse_is_exact_for_any_length(n_samples: int) -> None:
    samples = _noise(n_samples)
    X = _SMALL.forward(samples)
    assert X.shape == (2, _SMALL.n_bins, _SMALL.n_frames(n_samples))
    assert _db(_SMALL.inverse(X, n_samples) - samples, samples) < -120


@pytest.mark.parametrize("size", [1, 40, 700, 1500])
def test_blocks_give_the_whole(size: int) -> None:
    samples = _noise(4000)
    whole = _SMALL.forward(samples)
    pieces = [samples[:, i : i + size] for i in range(0, 4000, size)]
    blocks = np.concatenate(list(_SMALL.forward_blocks(pieces, 23)), axis=-1)
    assert np.abs(blocks - whole).max() < 1e-5 * np.abs(whole).max()
    stream, found = _SMALL.inverse_stream(4000), []
    for first in range(0, whole.shape[-1], 19):
        found.append(stream.push(_SMALL.synthesise(whole[..., first : first + 19])))
    assert _db(np.concatenate(found, axis=-1) - samples, samples) < -120


@pytest.mark.parametrize(("start", "stop"), [(0, 10), (900, 1700), (3990, 4000), (0, 4000)])
def test_pieces_give_the_whole(start: int, stop: int) -> None:
    samples = _noise(4000)
    whole = _SMALL.forward(samples)
    margin = _SMALL.span // _SMALL.hop_length
    first = max(0, start // 16 - margin)
    last = min(whole.shape[-1], stop // 16 + margin)
    X = _SMALL.forward_between(samples, first, last)
    assert np.abs(X - whole[..., first:last]).max() < 1e-5 * np.abs(whole).max()
    piece = _SMALL.inverse_between(_SMALL.synthesise(X), first, start, stop, 4000)
    assert np.abs(piece - samples[:, start:stop]).max() < 1e-4


def test_tones_a_semitone_apart_stand_apart_at_the_bottom_alone_here() -> None:
    rate, n = 44100, 44100
    log, stft = front_end("log", 16384, 512), front_end("stft", 4096, 1024)
    time = np.arange(n) / rate
    tones = sum(np.sin(2 * np.pi * hertz * time) for hertz in (98.0, 116.5)).astype(np.float32)

    def dip(transform: STFT) -> float:
        """Return the least level between the tones, as a share of the softer one."""
        spectrum = np.median(np.abs(transform.forward(tones[None])[0]), axis=1)
        hertz = transform.frequencies(rate)
        between = spectrum[(hertz >= 97) & (hertz <= 118)]
        if len(between) < 3:
            return 1.0
        return float(between[1:-1].min() / min(between[0], between[-1]))

    assert dip(log) < 0.5 < dip(stft)


def test_bins_are_logarithmic_between_the_bounds() -> None:
    hertz = front_end("log", 16384, 512).frequencies(44100)
    steps = np.diff(hertz)[(hertz[:-1] > 120) & (hertz[:-1] < 550)]
    ratio = steps / hertz[:-1][(hertz[:-1] > 120) & (hertz[:-1] < 550)]
    assert np.ptp(ratio) < 1e-9
    assert np.ptp(np.diff(hertz)[hertz[:-1] > 700]) < 1e-6
    assert len(hertz) < 2049


def test_bad_parameters_are_refused() -> None:
    with pytest.raises(ParameterError, match="whole number of hops"):
        LogSTFT(512, 100)
    with pytest.raises(ParameterError, match="leave out the window"):
        Settings(front_end="log", window="hamming")
    with pytest.raises(ParameterError, match="consistent"):
        Settings(front_end="log", phase="consistent")
    with pytest.raises(ParameterError, match="'stft' or 'log'"):
        front_end("cqt", 512, 16)


def _two_tones(rate: int = 8000) -> tuple[np.ndarray, np.ndarray]:
    time = np.arange(rate) / rate
    fade = 0.2 + np.sin(np.pi * time * 2) ** 2
    low = sum(np.sin(2 * np.pi * 110 * k * time) / k for k in (1, 2, 3)) * fade
    high = sum(np.sin(2 * np.pi * 740 * k * time) / k for k in (1, 2, 3)) * fade[::-1]
    return low[None].astype(np.float32) * 0.3, high[None].astype(np.float32) * 0.3


def test_sources_by_example_and_bank_and_blind_sum_to_the_mixture(tmp_path) -> None:
    low, high = _two_tones()
    mixture = low + high
    options = {"sample_rate": 8000, "front_end": "log"}
    by_example = audionmf.separate(mixture, examples={"low": low, "high": high}, **options)
    assert isinstance(by_example.decomposition.templates.stft, LogSTFT)
    for name, true in (("low", low), ("high", high)):
        assert _db(by_example.sources[name] - true, true) < -12
    total = sum(by_example.sources.values())
    assert _db(total - mixture, mixture) < -120
    blind = audionmf.separate(mixture, n_sources=2, **options)
    assert _db(sum(blind.sources.values()) - mixture, mixture) < -120
    bank = audionmf.learn(low, name="low", n_components=4, **options)
    bank.save(tmp_path / "low.npz")
    read = Templates.load(tmp_path / "low.npz")
    assert isinstance(read.stft, LogSTFT)
    assert read.stft == bank.stft
    by_bank = audionmf.separate(mixture, templates=read, sample_rate=8000)
    assert isinstance(by_bank.decomposition.templates.stft, LogSTFT)
    with pytest.raises(TemplateMismatchError, match=r"front end log.*n_fft 1024") as caught:
        audionmf.separate(mixture, templates=read, sample_rate=8000, n_fft=1024)
    assert "convert" not in str(caught.value)
    with pytest.raises(TemplateMismatchError, match="learn them again"):
        read.convert(16000)
    with pytest.raises(ParameterError, match="leave it out with"):
        audionmf.separate(mixture, lead=True, **options)
