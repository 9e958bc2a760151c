"""What an analysis finds: the templates, their copies and equalisers, and where sources stand."""

import dataclasses

import numpy as np
import pytest
import scipy.signal
from conftest import RATE, tone

import audionmf
from audionmf import (
    STFT,
    Audio,
    AudioWarning,
    Decomposition,
    ParameterError,
    Templates,
    analyse,
    learn,
    render,
)
from audionmf.analysis import by_example
from audionmf.analysis.exemplars import shifted
from audionmf.nmf.equalise import _PRIOR
from audionmf.spectra import frames as frontend
from audionmf.spectra.frames import magnitudes

N_SAMPLES = 15_600
OPTIONS = {"sample_rate": RATE, "n_fft": 512, "activation_iter": 20, "adapt_iter": 30}
LEARN = {"sample_rate": RATE, "n_fft": 512}


def noise(n_samples=N_SAMPLES, level=0.1, seed=0):
    return level * np.random.default_rng(seed).standard_normal(n_samples)


def band(low, high, n_samples=N_SAMPLES, seed=0):
    """Return noise between two frequencies in Hz."""
    sos = scipy.signal.butter(8, [low, high], "bandpass", fs=RATE, output="sos")
    return scipy.signal.sosfilt(sos, noise(n_samples, 0.3, seed))


def notes(pitches, n_samples=N_SAMPLES):
    """Return one note after the other."""
    length = n_samples // len(pitches)
    return np.concatenate([tone(hertz, length) for hertz in pitches])


def low_notes(n_samples=N_SAMPLES):
    return notes([200, 250, 300], n_samples)


def high_notes(n_samples=N_SAMPLES):
    return notes([900, 1000, 1100, 1200], n_samples)


def energy(x):
    return float((np.asarray(x, np.float64) ** 2).sum())


def peaks(W):
    return np.argmax(W, axis=0)


@pytest.fixture(scope="module")
def banks():
    return [learn(low_notes(), "low", 10, **LEARN), learn(high_notes(), "high", 10, **LEARN)]


@pytest.fixture(scope="module")
def stems():
    """Return the images of the low notes on the left and the high ones on the right."""
    low, high = low_notes(), high_notes()
    return np.stack([np.stack([low, 0.2 * low]), np.stack([0.1 * high, high])])


@pytest.fixture(scope="module")
def mixture(stems):
    return stems.sum(axis=0).astype(np.float32)


@pytest.fixture(scope="module")
def found(mixture, banks):
    return analyse(mixture, templates=banks, **OPTIONS)


# Learning


def test_templates_of_a_dictionary_are_frames_of_the_example():
    example = noise().astype(np.float32)
    bank = learn(example, "x", 12, **LEARN)
    V = magnitudes(Audio(example, RATE), STFT(512, 128))
    frames = V / V.sum(axis=0)
    places = [
        np.flatnonzero(np.abs(frames - w[:, None]).max(axis=0) < 1e-6) for w in bank.templates.T
    ]
    assert all(len(place) == 1 for place in places)
    places = np.concatenate(places)
    assert (np.diff(places) > 0).all()
    assert np.ptp(np.diff(places)) <= 2  # evenly spaced


def test_quiet_frames_of_an_example_are_not_taken():
    quiet = np.concatenate([tone(300, RATE), 0.002 * tone(1500, RATE)])
    bins = STFT(512, 128).frequencies(RATE)
    bank = learn(quiet, "x", 20, **LEARN)
    assert bank.n_components == 20
    assert (bins[peaks(bank.templates)] < 1000).all()
    audible = np.concatenate([tone(300, RATE), 0.05 * tone(1500, RATE)])
    assert (bins[peaks(learn(audible, "x", 20, **LEARN).templates)] > 1000).any()


def test_the_number_of_templates_is_kept_where_too_few_frames_are_loud():
    example = np.concatenate([tone(300, 1024), 1e-5 * noise(6000)])
    n_frames = STFT(512, 128).n_frames(7024)
    for count in (1, 20, n_frames):
        assert learn(example, "x", count, **LEARN).n_components == count
    everything = learn(example, "x", **LEARN)
    assert everything.n_components < 20
    loudest = learn(example, "x", everything.n_components, **LEARN)
    np.testing.assert_array_equal(loudest.templates, everything.templates)


@pytest.mark.parametrize("dictionary", ["frames", "nmf"])
@pytest.mark.parametrize("count", [1, 3, 9])
def test_either_dictionary_has_the_templates_that_were_asked_for(dictionary, count):
    bank = learn(low_notes(), "low", count, dictionary=dictionary, **LEARN)
    assert bank.templates.shape == (257, count)
    np.testing.assert_allclose(bank.templates.sum(axis=0), 1, rtol=1e-4)
    if count == 3 and dictionary == "nmf":
        found = sorted(STFT(512, 128).frequencies(RATE)[peaks(bank.templates)])
        np.testing.assert_allclose(found, [200, 250, 300], atol=16)


def test_silent_frames_of_an_example_give_silent_templates_only_if_all_are_asked_for():
    example = np.concatenate([tone(300, 1024), np.zeros(4000)])
    bank = learn(example, "x", STFT(512, 128).n_frames(5024), **LEARN)
    sums = bank.templates.sum(axis=0)
    assert set(np.round(sums, 4)) == {0, 1}
    assert learn(example, "x", **LEARN).templates.sum(axis=0) == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("rate", [11_025, 16_000])
def test_an_example_at_another_rate_has_its_partials_where_they_sound(rate):
    seconds = np.arange(rate) / rate
    example = (0.3 * np.sin(2 * np.pi * 1000 * seconds)).astype(np.float32)
    bank = learn(Audio(example, rate), "x", 3, sample_rate=RATE, n_fft=512)
    assert bank.sample_rate == RATE
    np.testing.assert_array_equal(bank.stft.frequencies(RATE)[peaks(bank.templates)], 1000)


def test_analysing_converts_an_example_to_the_rate_of_the_mixture(mixture):
    seconds = np.arange(16_000) / 16_000
    example = (0.3 * np.sin(2 * np.pi * 1000 * seconds)).astype(np.float32)
    options = OPTIONS | {"adapt_iter": 0}
    found = analyse(mixture, examples={"x": Audio(example, 16_000)}, free=1, **options)
    assert found.templates.sample_rate == RATE
    named = found.templates.templates[:, list(found.grouping["x"])]
    np.testing.assert_array_equal(peaks(named), 64)


# Copies at other pitches


def bump(place, n_bins=2049, width=1.5):
    return np.exp(-0.5 * ((np.arange(n_bins) - place) / width) ** 2).astype(np.float32)


def bank_of(*columns, labels, n_fft=4096):
    return Templates(np.stack(columns, axis=1), labels, STFT(n_fft, n_fft // 4), 44_100)


@pytest.mark.parametrize("most", [0, 1, 2, 6])
def test_copies_lie_semitones_away(most):
    bank = bank_of(bump(400), bump(700), labels=("a", "b"))
    shifted, penalties = by_example.with_shifts(bank, {"a", "b"}, most)
    semitones = [s for n in range(1, most + 1) for s in (-n, n)]
    assert shifted.labels == ("a", "b") * (1 + 2 * most)
    np.testing.assert_array_equal(shifted.templates[:, :2], bank.templates)
    for i, s in enumerate(semitones, 1):
        places = peaks(shifted.templates[:, 2 * i : 2 * i + 2])
        np.testing.assert_allclose(places, [400 * 2 ** (s / 12), 700 * 2 ** (s / 12)], atol=0.51)
    assert (penalties[:2] == 0).all()
    assert (penalties[2:] > 0).all()
    assert len(penalties) == shifted.n_components


def test_copies_keep_their_shape_and_what_leaves_the_spectrum_is_gone():
    W = np.stack([bump(400), bump(2040), np.ones(2049, np.float32)], axis=1)
    up, down = (shifted(W, s, STFT(4096, 1024)) for s in (2, -2))
    assert up.dtype == down.dtype == np.float32
    assert up[:, 0].max() == pytest.approx(1, abs=0.05)
    assert not up[:, 1].any()
    assert peaks(down)[1] == pytest.approx(2040 * 2 ** (-2 / 12), abs=1)
    np.testing.assert_allclose(up[:, 2], 1)
    edge = 2048 * 2 ** (-2 / 12)
    np.testing.assert_allclose(down[: int(edge), 2], 1)
    assert not down[int(edge) + 1 :, 2].any()


def test_what_was_learnt_from_the_mixture_itself_gets_no_copies():
    bank = bank_of(bump(400), bump(700), bump(900), labels=("a", "other", "a"))
    shifted, penalties = by_example.with_shifts(bank, {"a"}, 1)
    assert shifted.labels == ("a", "other", "a", "a", "a", "a", "a")
    np.testing.assert_array_equal(penalties > 0, [False] * 3 + [True] * 4)


def test_a_note_that_the_example_lacks_is_played_by_a_copy():
    n = 24_000
    example, mixture = (
        np.sin(2 * np.pi * hertz * np.arange(n) / RATE)
        + 0.5 * np.sin(4 * np.pi * hertz * np.arange(n) / RATE)
        for hertz in (1000, 1000 * 2 ** (1 / 12))
    )
    options = {"sample_rate": RATE, "n_fft": 2048}
    bank = learn(example, "x", 1, **options)
    options["residual"] = "left"  # a single source with no rest of free components
    with_copies = analyse(mixture, templates=bank, **options)
    loudest = np.argmax(with_copies.activations.sum(axis=1))
    assert with_copies.penalties[loudest] > 0
    peak = bank.stft.frequencies(RATE)[peaks(with_copies.templates.templates)[loudest]]
    assert peak == pytest.approx(1059.5, abs=4)
    same = analyse(example, templates=bank, **options)
    assert same.penalties[np.argmax(same.activations.sum(axis=1))] == 0
    without = analyse(mixture, templates=bank, pitch_shifts=0, **options)
    assert without.templates.n_components == 1
    assert not without.penalties.any()


# The equaliser


def test_without_adaption_templates_are_taken_as_they_are(mixture, banks):
    found = analyse(mixture, templates=banks, **OPTIONS | {"adapt_iter": 0})
    both = Templates.merge(banks)
    np.testing.assert_array_equal(found.templates.templates, both.templates)
    assert found.templates.labels == both.labels
    assert found.grouping == {"low": tuple(range(10)), "high": tuple(range(10, 20))}
    assert found.penalties is found.covariances is found.activations is None
    assert not found.banded


@pytest.mark.parametrize("tilt", [-1.0, 0.0, 1.0])
@pytest.mark.parametrize("level", [1e-3, 1.0, 1e3])
def test_the_equaliser_of_another_microphone_is_found(tilt, level):
    bank = learn(noise(8 * RATE, seed=1), "x", 1, dictionary="nmf", **LEARN)
    hertz = np.arange(257) * RATE / 512
    gain = np.exp(tilt * np.cos(2 * np.pi * hertz / RATE))
    taps = scipy.signal.firwin2(255, hertz, gain, fs=RATE)
    heard = level * scipy.signal.lfilter(taps, 1, noise(8 * RATE, seed=2))
    found = analyse(heard, templates=bank, pitch_shifts=0, residual="left", **OPTIONS)
    ratio = found.templates.templates[:, 0] / bank.templates[:, 0]
    gain /= bank.templates[:, 0] @ gain
    pulled = (gain + _PRIOR) / (1 + _PRIOR)
    np.testing.assert_allclose(ratio[4:-4], pulled[4:-4], rtol=0.1)
    if tilt:
        assert np.corrcoef(np.log(ratio), np.log(gain))[0, 1] > 0.98


def test_adapted_templates_are_equalised_alike_within_a_source(mixture):
    bank = bank_of(*(np.full(257, 1) for _ in range(3)), labels=("a", "a", "b"), n_fft=512)
    bank = dataclasses.replace(bank, sample_rate=RATE)
    found = analyse(mixture, templates=bank, pitch_shifts=0, **OPTIONS)
    W, labels = found.templates.templates, found.templates.labels
    assert labels == ("a", "a", "b")
    np.testing.assert_array_equal(W[:, 0], W[:, 1])


# What the decomposition holds


def test_an_adapted_decomposition_has_all_that_rendering_needs(mixture, found, stems):
    n = found.n_components
    assert found.banded
    assert found.penalties.shape == (n,)
    assert set(np.unique(found.penalties)) <= {np.float32(0), np.float32(0.05)}
    assert found.covariances.shape == (2, 257, 2, 2)
    assert found.activations.shape == (n, STFT(512, 128).n_frames(N_SAMPLES))
    assert (found.activations >= 0).all()
    assert sorted(k for group in found.grouping.values() for k in group) == list(range(n))
    for name, group in found.grouping.items():
        assert {found.templates.labels[k] for k in group} == {name}
    rendered = render(mixture, found, sample_rate=RATE)
    for true, stem in zip(stems, rendered.sources.values(), strict=True):
        assert audionmf.evaluate.si_sdr(true, stem) > 15


def test_the_place_of_a_source_is_that_of_the_mixture(found):
    left = found.covariances[:, :, 0, 0].real
    loud = found.models(found.activations).sum(axis=2)
    low, high = (left[j] @ loud[j] / loud[j].sum() for j in (0, 1))
    assert low == pytest.approx(2 / 1.04, abs=0.1)
    assert high == pytest.approx(2 * 0.01 / 1.01, abs=0.1)


def test_activations_are_kept_where_every_frame_was_seen(mixture, banks, found, monkeypatch):
    """Beside those that were kept, too, while there are not too many."""
    beside = analyse(mixture, templates=banks, max_frames=60, **OPTIONS)
    assert beside.activations.shape[1] == found.activations.shape[1]
    monkeypatch.setattr(frontend, "_MOST_EVERY", 0)
    thinned = analyse(mixture, templates=banks, max_frames=60, **OPTIONS)
    assert thinned.activations is None
    assert thinned.covariances is not None
    first, second = (render(mixture, d, sample_rate=RATE) for d in (found, thinned))
    for name, stem in first.sources.items():
        assert energy(second.sources[name] - stem) < 0.01 * energy(stem)


def channels(mixture, n):
    return np.concatenate([mixture] * 3)[:n]


@pytest.mark.parametrize(
    ("n_channels", "options"),
    [(1, {}), (3, {}), (5, {}), (2, {"spatial": False}), (2, {"adapt_iter": 0})],
)
def test_only_two_channels_have_a_stereo_image(mixture, banks, n_channels, options):
    samples = channels(mixture, n_channels)
    found = analyse(samples, templates=banks, **OPTIONS | options)
    assert found.covariances is None
    rendered = render(samples, found, sample_rate=RATE)
    for stem in rendered.sources.values():
        assert stem.shape == samples.shape
        assert energy(stem) > 0.001 * energy(samples)


def test_a_single_source_gets_a_rest_of_free_components(mixture, banks):
    found = analyse(mixture, templates=banks[0], max_iter=30, **OPTIONS)
    assert list(found.grouping) == ["low", "rest"]
    assert found.covariances.shape == (2, 257, 2, 2)
    stems = render(mixture, found, sample_rate=RATE).sources
    for stem in stems.values():  # neither the whole mixture nor nothing
        assert 0.02 < energy(stem) / energy(mixture) < 0.98


def test_one_source_alone_needs_no_place_and_a_free_one_beside_it_gets_one(mixture, banks):
    alone = analyse(mixture, templates=banks[0], residual="left", **OPTIONS)
    assert alone.covariances is None
    with_free = analyse(mixture, templates=banks[0], free=4, max_iter=30, **OPTIONS)
    assert list(with_free.grouping) == ["low", "other"]
    assert with_free.covariances.shape == (2, 257, 2, 2)
    free = list(with_free.grouping["other"])
    assert 1 <= len(free) <= 4
    assert not with_free.penalties[free].any()


@pytest.mark.parametrize("absent", ["low", "high"])
@pytest.mark.parametrize("n_channels", [1, 2])
def test_a_source_that_does_not_play_is_there_and_silent(tmp_path, absent, n_channels):
    examples = {"low": band(300, 600), "high": band(2000, 3000)}
    banks = [learn(example, name, 6, **LEARN) for name, example in examples.items()]
    [present] = examples.keys() - {absent}
    heard = np.stack([examples[present], 0.5 * examples[present]])[:n_channels]
    found = analyse(heard, templates=banks, pitch_shifts=0, **OPTIONS)
    assert list(found.grouping) == ["low", "high"]
    assert found.grouping[absent] == ()
    assert len(found.grouping[present]) == found.n_components
    for decomposition in (found, Decomposition.load(found.save(tmp_path / "m.npz"))):
        assert list(decomposition.grouping.items()) == list(found.grouping.items())
        sources = render(heard, decomposition, sample_rate=RATE).sources
        assert energy(sources[absent]) < 1e-6 * energy(heard)
        assert energy(sources[present] - heard) < 1e-6 * energy(heard)


def test_silence_with_templates_is_taken_apart_into_silence(banks):
    samples = np.zeros((2, 4000), np.float32)
    with pytest.warns(AudioWarning, match="silent"):
        found = analyse(samples, templates=banks, **OPTIONS)
    np.testing.assert_array_equal(found.templates.templates, Templates.merge(banks).templates)
    assert list(found.grouping) == ["low", "high"]
    assert found.covariances is None
    rendered = render(samples, found, sample_rate=RATE)
    assert not any(stem.any() for stem in rendered.sources.values())


def test_a_silent_template_takes_no_part(mixture, banks):
    W = banks[0].templates.copy()
    W[:, 3] = 0
    found = analyse(
        mixture, templates=[dataclasses.replace(banks[0], templates=W), banks[1]], **OPTIONS
    )
    assert (found.templates.templates.sum(axis=0) > 0).all()
    assert np.isfinite(found.activations).all()


# Another divergence


@pytest.mark.parametrize("beta", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("free", [0, 2])
def test_another_divergence_with_templates_is_refused_with_the_way_out(mixture, banks, beta, free):
    with pytest.raises(ParameterError, match=r"beta 1 only.*adapt_iter to 0"):
        analyse(mixture, templates=banks, free=free, beta=beta, **OPTIONS)
    options = OPTIONS | {"adapt_iter": 0, "max_iter": 5}
    found = analyse(mixture, templates=banks, free=free, beta=beta, **options)
    assert found.settings.beta == beta
    assert len(found.grouping) == 2 + (free > 0)
    rendered = render(mixture, found, sample_rate=RATE)
    assert all(np.isfinite(stem).all() for stem in rendered.sources.values())


# Same input, same output; scale does not matter


def assert_same(first, second, power=0):
    np.testing.assert_array_equal(first.templates.templates, second.templates.templates)
    assert first.templates.labels == second.templates.labels
    assert list(first.grouping.items()) == list(second.grouping.items())
    np.testing.assert_array_equal(first.penalties, second.penalties)
    np.testing.assert_array_equal(first.covariances, second.covariances)
    np.testing.assert_array_equal(first.activations, np.ldexp(second.activations, power))


@pytest.mark.parametrize("free", [0, 3])
def test_the_number_of_threads_does_not_change_a_bit_of_what_is_found(mixture, banks, free):
    one, two, any_number = (
        analyse(mixture, templates=banks, free=free, max_iter=10, n_threads=n, **OPTIONS)
        for n in (1, 2, None)
    )
    assert one.covariances is not None
    assert_same(one, two)
    assert_same(one, any_number)


@pytest.mark.parametrize("power", [-60, -3, 1, 60])
def test_a_power_of_two_scales_the_activations_and_nothing_else(mixture, banks, found, power):
    scaled = analyse(np.ldexp(mixture, power), templates=banks, **OPTIONS)
    assert_same(scaled, found, power)
    louder, plain = (
        render(samples, d, sample_rate=RATE).sources
        for samples, d in ((np.ldexp(mixture, power), scaled), (mixture, found))
    )
    for name, stem in plain.items():
        np.testing.assert_array_equal(louder[name], np.ldexp(stem, power))
