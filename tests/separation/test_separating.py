import dataclasses
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples_of
from hypothesis import strategies as st

import audionmf
from audionmf import (
    STFT,
    Audio,
    AudioNMFError,
    AudioWarning,
    InvalidAudioError,
    ParameterError,
    Separation,
    Settings,
    TemplateMismatchError,
    Templates,
)
from audionmf.evaluate.measures import si_sdr
from audionmf.rendering import blocks as rendering
from audionmf.sources.known import Told
from audionmf.spectra import frames as frontend

RATE = 8000
N_SAMPLES = 3 * RATE
DARK = (1.0, 0.5, 0.3, 0.2)
BRIGHT = (0.1, 0.1, 0.6, 1.0, 0.8, 0.5)
QUICK = {"n_fft": 256, "max_iter": 10, "activation_iter": 8, "adapt_iter": 8, "n_threads": 1}


def melody(partials, notes, n_samples=N_SAMPLES, rate=RATE):
    """Play decaying harmonic tones, each given as pitch in Hz, start and length in seconds."""
    samples = np.zeros(n_samples)
    for pitch, start, length in notes:
        first = round(start * rate)
        seconds = np.arange(min(round(length * rate), n_samples - first)) / rate
        tone = sum(
            amplitude * np.sin(2 * np.pi * pitch * (k + 1) * seconds)
            for k, amplitude in enumerate(partials)
        )
        samples[first : first + len(seconds)] += tone * np.exp(-2 * seconds)
    return samples.astype(np.float32)


def noise(n_channels, n_samples, level=0.1, seed=0):
    samples = np.random.default_rng(seed).standard_normal((n_channels, n_samples))
    return (level * samples).astype(np.float32)


def two_instruments():
    """Return the stems of a dark instrument on the left and a bright one on the right."""
    dark = melody(DARK, [(110, 0, 1), (147, 0.7, 1.1), (98, 1.7, 1.2)])
    bright = melody(BRIGHT, [(330, 0.4, 1), (392, 1.2, 1), (294, 2.1, 0.9)])
    stems = np.stack([np.stack([dark, 0.5 * dark]), np.stack([0.4 * bright, bright])])
    return np.float32(0.2) * stems


def dark_example(rate=RATE):
    return melody(DARK, [(98, 0, 1), (110, 1, 1), (147, 2, 1)], 3 * rate, rate)


def bright_example(rate=RATE):
    return melody(BRIGHT, [(294, 0, 1), (330, 1, 1), (392, 2, 1)], 3 * rate, rate)


def total(stems):
    return np.sum([stem.astype(np.float64) for stem in stems.sources.values()], axis=0)


def decibels(error, reference):
    energy = np.linalg.norm(np.asarray(reference, np.float64)) or 1.0
    return 20 * np.log10(np.linalg.norm(np.asarray(error, np.float64)) / energy + 1e-30)


def assert_whole(stems, mixture):
    """Check that stems have the shape of the mixture and sum to it (within -120 dB)."""
    mixture = np.atleast_2d(mixture)
    for stem in stems.sources.values():
        assert stem.dtype == np.float32
        assert stem.shape == mixture.shape
        assert np.isfinite(stem).all()
    assert decibels(total(stems) - mixture, mixture) < -120


def assert_same(first, second):
    assert list(first.sources) == list(second.sources)
    for name, stem in first.sources.items():
        np.testing.assert_array_equal(stem, second.sources[name])


@pytest.fixture(scope="module")
def truth():
    return two_instruments()


@pytest.fixture(scope="module")
def mixture(truth):
    return truth.sum(axis=0)


@pytest.fixture(scope="module")
def brief(mixture):
    """Its first second, for what does not depend on how well it is separated."""
    return mixture[:, :RATE]


@pytest.fixture(scope="module")
def few():
    """Some templates of the dark instrument, for the same."""
    return audionmf.learn(dark_example()[:RATE], "dark", 4, sample_rate=RATE, **QUICK)


@pytest.fixture(scope="module")
def banks():
    return [
        audionmf.learn(dark_example(), "dark", 12, sample_rate=RATE),
        audionmf.learn(bright_example(), "bright", 12, sample_rate=RATE),
    ]


# The ways to know the sources


def test_examples_separate_the_instruments(truth, mixture):
    stems = audionmf.separate(
        mixture, examples={"dark": dark_example(), "bright": bright_example()}, sample_rate=RATE
    )
    assert isinstance(stems, Separation)
    assert list(stems.sources) == ["dark", "bright"]
    assert stems.sample_rate == RATE
    assert_whole(stems, mixture)
    assert si_sdr(truth[0], stems.sources["dark"]) > 15
    assert si_sdr(truth[1], stems.sources["bright"]) > 15


def test_templates_separate_the_instruments(truth, mixture, banks):
    stems = audionmf.separate(mixture, templates=banks, sample_rate=RATE)
    assert_whole(stems, mixture)
    assert si_sdr(truth[0], stems.sources["dark"]) > 15
    assert si_sdr(truth[1], stems.sources["bright"]) > 15


def test_templates_from_a_file_are_those_in_memory(tmp_path, brief, banks):
    paths = [bank.save(tmp_path / f"{bank.names[0]}.npz") for bank in banks]
    assert_same(
        audionmf.separate(brief, templates=[paths[0], str(paths[1])], sample_rate=RATE),
        audionmf.separate(brief, templates=banks, sample_rate=RATE),
    )


def test_templates_and_examples_go_together(truth, mixture, banks):
    stems = audionmf.separate(
        mixture, templates=banks[0], examples={"bright": bright_example()}, sample_rate=RATE
    )
    assert list(stems.sources) == ["dark", "bright"]
    assert_whole(stems, mixture)
    assert si_sdr(truth[1], stems.sources["bright"]) > 15


def test_free_components_catch_what_the_templates_do_not_know(truth, mixture, banks):
    stems = audionmf.separate(mixture, templates=banks[0], free=8, sample_rate=RATE, adapt_iter=0)
    assert list(stems.sources) == ["dark", "other"]
    assert_whole(stems, mixture)
    assert si_sdr(truth[0], stems.sources["dark"]) > 15
    assert si_sdr(truth[1], stems.sources["other"]) > 15
    learnt = stems.decomposition.templates
    np.testing.assert_array_equal(learnt.templates[:, :12], banks[0].templates)
    assert learnt.labels == ("dark",) * 12 + ("other",) * 8


@pytest.mark.parametrize("n_sources", [1, 2, 5])
def test_a_blind_separation_has_as_many_sources_as_were_asked_for(brief, n_sources):
    stems = audionmf.separate(brief, n_sources=n_sources, names="plain", sample_rate=RATE, **QUICK)
    assert list(stems.sources) == [f"source{i + 1}" for i in range(n_sources)]
    assert_whole(stems, brief)


def test_a_blind_separation_tells_a_tone_from_noise_bursts():
    tone = 0.2 * melody((1.0, 0.4), [(220, 0, 3)])
    bursts = noise(1, N_SAMPLES)[0]
    bursts *= np.arange(N_SAMPLES) % 4000 < 800
    stems = audionmf.separate(tone + bursts, n_sources=2, n_components=2, sample_rate=RATE)
    first, second = stems.sources.values()
    best = max(
        min(si_sdr(tone[None], a), si_sdr(bursts[None], b))
        for a, b in [(first, second), (second, first)]
    )
    assert best > 10


# Promise 1: the stems sum to the mixture


ODD_MIXTURES = {
    "mono": noise(1, 9000),
    "stereo": noise(2, 9000),
    "five channels": noise(5, 9000),
    "one channel silent": noise(2, 9000) * np.float32([[1], [0]]),
    "denormal": noise(2, 5000, 1e-41),
    "very quiet": noise(2, 5000, 1e-30),
    "very loud": noise(2, 5000, 1e30),
    "peak of four": 4 * noise(2, 5000) / np.abs(noise(2, 5000)).max(),
    "constant": np.full((1, 5000), 0.5, np.float32),
    "one impulse": np.eye(1, 5000, 2500, dtype=np.float32),
    "silence, then sound": np.concatenate([np.zeros((1, 5000)), noise(1, 5000)], axis=1),
    "just a window": noise(1, 256),
}


@pytest.mark.parametrize("name", ODD_MIXTURES)
def test_stems_sum_to_the_mixture_blind(name):
    samples = ODD_MIXTURES[name].astype(np.float32)
    stems = audionmf.separate(samples, n_sources=3, sample_rate=RATE, **QUICK)
    assert_whole(stems, samples)


@pytest.mark.parametrize("name", ODD_MIXTURES)
def test_stems_sum_to_the_mixture_with_templates_and_free_components(few, name):
    samples = ODD_MIXTURES[name].astype(np.float32)
    stems = audionmf.separate(samples, templates=few, free=2, sample_rate=RATE, **QUICK)
    assert_whole(stems, samples)


@pytest.mark.parametrize(
    "options",
    [
        {"beta": 2.0},
        {"beta": 0.0},
        {"beta": -1.0},
        {"beta": 3.0},
        {"mask_exponent": 2.0},
        {"mask_exponent": 0.1},
        {"mask_exponent": 10.0},
        {"window": "hamming", "hop_length": 200},
        {"n_fft": 255, "hop_length": 77},
        {"n_fft": 2},
    ],
    ids=str,
)
def test_stems_sum_to_the_mixture_whatever_the_settings(mixture, options):
    samples = mixture[:, :8000]
    options = QUICK | {"n_components": 6} | options
    assert_whole(audionmf.separate(samples, n_sources=3, sample_rate=RATE, **options), samples)


@given(n_channels=st.integers(1, 3), n_samples=st.integers(1, 700), n_sources=st.integers(1, 3))
@examples_of(deadline=None, derandomize=True, max_examples=15)
def test_stems_of_any_length_sum_to_the_mixture(n_channels, n_samples, n_sources):
    samples = noise(n_channels, n_samples)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AudioWarning)
        stems = audionmf.separate(
            samples, n_sources=n_sources, n_fft=32, max_iter=5, sample_rate=RATE
        )
    assert_whole(stems, samples)


@pytest.mark.parametrize("n_samples", [1, 2, 255])
def test_less_than_a_window_is_separated_with_a_warning(n_samples):
    samples = noise(2, n_samples)
    with pytest.warns(AudioWarning, match=f"{n_samples} samples.*window of 256"):
        stems = audionmf.separate(samples, n_sources=2, sample_rate=RATE, **QUICK)
    assert_whole(stems, samples)


@pytest.mark.parametrize("shape", [(1, 5000), (2, 300)])
def test_silence_gives_silent_stems_with_a_warning(shape):
    samples = np.zeros(shape, np.float32)
    with pytest.warns(AudioWarning, match="silent"):
        stems = audionmf.separate(samples, n_sources=2, sample_rate=RATE, **QUICK)
    assert all(not stem.any() for stem in stems.sources.values())
    assert_whole(stems, samples)


# Promise 2: blocks


@pytest.mark.parametrize("way", ["blind", "templates", "free"])
def test_blocks_of_any_length_give_the_result_of_one_block(monkeypatch, brief, few, way):
    options = {
        "blind": {"n_sources": 2},
        "templates": {"templates": few, "free": 0},
        "free": {"templates": few, "free": 3},
    }[way]
    results = []
    for frames in (1 << 20, 1, 7, 100):
        monkeypatch.setattr(rendering, "BLOCK_FRAMES", frames)
        results.append(audionmf.separate(brief, sample_rate=RATE, **QUICK, **options))
    whole, *others = results
    for other in others:
        for name, stem in whole.sources.items():
            assert decibels(other.sources[name] - stem, brief) < -100
        assert_whole(other, brief)


def test_the_blocks_that_a_recording_comes_in_do_not_matter(brief):
    class InPieces(Audio):
        def blocks(self, size=777):
            yield from super().blocks(777)

    whole, pieces = Audio(brief, RATE), InPieces(brief, RATE)
    assert_same(
        audionmf.separate(whole, n_sources=2, **QUICK),
        audionmf.separate(pieces, n_sources=2, **QUICK),
    )


# Promise 3: same input, same output


@pytest.mark.parametrize("way", ["blind", "examples", "free"])
def test_the_number_of_threads_does_not_change_a_bit(brief, way):
    options = {
        "blind": {"n_sources": 3},
        "examples": {
            "examples": {"dark": dark_example()[:RATE], "bright": bright_example()[:RATE]}
        },
        "free": {"examples": {"dark": dark_example()[:RATE]}, "free": 4},
    }[way]
    options |= {"sample_rate": RATE, **QUICK}
    reference = audionmf.separate(brief, **options)
    for n_threads in (3, None):
        found = audionmf.separate(brief, **options | {"n_threads": n_threads})
        assert_same(found, reference)


def test_the_same_seed_gives_the_same_stems_and_another_seed_others(brief):
    first, again, other = (
        audionmf.separate(
            brief, n_sources=2, seed=seed, sample_rate=RATE, **QUICK, model="free", names="plain"
        )
        for seed in (1, 1, 2)
    )
    assert_same(first, again)
    assert not np.array_equal(first.sources["source1"], other.sources["source1"])


# Promise 5: inputs are never modified


def test_inputs_are_only_read_and_may_have_any_layout(brief):
    strided = np.zeros((RATE * 2, 4), np.float32)[::2, ::2].T
    strided[...] = brief
    example = np.repeat(bright_example()[:RATE], 2)[::2]
    strided.flags.writeable = example.flags.writeable = False
    options = {"free": 2, "sample_rate": RATE, **QUICK}
    stems = audionmf.separate(strided, examples={"bright": example}, **options)
    np.testing.assert_array_equal(strided, brief)
    np.testing.assert_array_equal(example, bright_example()[:RATE])
    assert_same(stems, audionmf.separate(brief, examples={"bright": example.copy()}, **options))


def test_templates_are_only_read(brief, banks):
    kept = banks[0].templates.copy()
    audionmf.separate(brief, templates=banks, free=2, sample_rate=RATE, max_iter=5)
    np.testing.assert_array_equal(banks[0].templates, kept)


def test_stems_do_not_share_memory_with_the_mixture(brief):
    samples = brief.copy()
    stems = audionmf.separate(samples, n_sources=1, sample_rate=RATE, **QUICK, names="plain")
    stems.sources["source1"][...] = 0
    np.testing.assert_array_equal(samples, brief)


@pytest.mark.parametrize("dtype", [np.float64, np.int16])
def test_other_types_of_samples_are_converted(brief, dtype):
    samples = (brief * 1000).astype(dtype)
    full_scale = np.float32(2**15 if dtype == np.int16 else 1)
    options = {"n_sources": 2, "sample_rate": RATE, **QUICK}
    assert_same(
        audionmf.separate(samples, **options),
        audionmf.separate(samples.astype(np.float32) / full_scale, **options),
    )


def test_one_dimension_is_one_channel(brief):
    options = {"n_sources": 2, "sample_rate": RATE, **QUICK}
    assert_same(audionmf.separate(brief[0], **options), audionmf.separate(brief[:1], **options))


def test_an_array_with_its_rate_is_the_recording(brief):
    assert_same(
        audionmf.separate(brief, n_sources=2, sample_rate=RATE, **QUICK),
        audionmf.separate(Audio(brief, RATE), n_sources=2, **QUICK),
    )


# Promise 6: scale does not matter


@pytest.mark.parametrize("way", ["blind", "templates", "free"])
def test_a_power_of_two_scales_every_bit_of_the_stems(brief, few, way):
    options = {
        "blind": {"n_sources": 3},
        "templates": {"templates": [few, relabelled(few)]},
        "free": {"templates": few, "free": 3},
    }[way] | {"sample_rate": RATE}
    reference = audionmf.separate(brief, **QUICK, **options)
    for power in (-60, -7, 60):
        scaled = audionmf.separate(np.ldexp(brief, power), **QUICK, **options).sources
        below = 1e-40 if power < 0 else 0  # numbers that small have no more bits to keep
        for name, stem in reference.sources.items():
            np.testing.assert_allclose(scaled[name], np.ldexp(stem, power), rtol=0, atol=below)


def test_any_factor_scales_the_stems(brief):
    options = {"n_sources": 2, "sample_rate": RATE, **QUICK}
    reference = audionmf.separate(brief, **options)
    for factor in np.float32([0.3, 1e-9, 1e9]):
        scaled = audionmf.separate(factor * brief, **options)
        for name, stem in reference.sources.items():
            assert decibels(scaled.sources[name] / factor - stem, brief) < -80


def relabelled(bank):
    alone = dataclasses.replace(bank, templates=bank.templates[::-1].copy(), sounds={})
    return alone.called("mirror")


# Examples and templates of another rate or STFT


@pytest.mark.parametrize("rate", [11_025, 16_000])
def test_an_example_at_another_rate_is_converted(truth, mixture, rate):
    stems = audionmf.separate(
        Audio(mixture, RATE),
        examples={
            "dark": Audio(dark_example(rate), rate),
            "bright": Audio(bright_example(rate), rate),
        },
    )
    assert_whole(stems, mixture)
    assert stems.decomposition.templates.sample_rate == RATE
    assert si_sdr(truth[0], stems.sources["dark"]) > 15
    assert si_sdr(truth[1], stems.sources["bright"]) > 15


def test_several_examples_of_a_source_are_learnt_together(truth, mixture):
    thirds = np.split(bright_example(), 3)
    stems = audionmf.separate(
        mixture, examples={"dark": dark_example(), "bright": thirds}, sample_rate=RATE
    )
    assert si_sdr(truth[1], stems.sources["bright"]) > 15


def test_templates_of_another_rate_are_refused_with_both_values(mixture, banks):
    with pytest.raises(TemplateMismatchError, match=r"dark.*8000 Hz.*44100 Hz"):
        audionmf.separate(mixture, templates=banks[0], free=1, sample_rate=44_100)


def test_templates_of_another_stft_are_refused_with_both_values(mixture, banks):
    with pytest.raises(TemplateMismatchError, match=r"n_fft 1024, hop 256.*n_fft 512, hop 128"):
        audionmf.separate(mixture, templates=banks, n_fft=512, sample_rate=RATE)


def test_banks_that_do_not_fit_each_other_are_refused(mixture, banks):
    other = audionmf.learn(bright_example(), "other", 4, sample_rate=RATE, n_fft=512)
    with pytest.raises(TemplateMismatchError, match=r"n_fft 512.*n_fft 1024"):
        audionmf.separate(mixture, templates=[banks[0], other], sample_rate=RATE)


def test_templates_bring_their_stft_along(brief):
    bank = audionmf.learn(dark_example(), "dark", 4, sample_rate=RATE, n_fft=300, hop_length=70)
    stems = audionmf.separate(brief, templates=bank, free=2, sample_rate=RATE, max_iter=5)
    assert stems.decomposition.templates.stft == STFT(300, 70)
    assert_whole(stems, brief)


# Learning


def test_learnt_templates_are_labelled_and_sum_to_one():
    bank = audionmf.learn(dark_example(), "dark", 7, sample_rate=RATE, **QUICK)
    assert bank.templates.shape == (129, 7)
    assert bank.templates.dtype == np.float32
    assert bank.labels == ("dark",) * 7
    assert (bank.sample_rate, bank.stft) == (RATE, STFT(256, 64))
    np.testing.assert_allclose(bank.templates.sum(axis=0), 1, rtol=1e-5)


@pytest.mark.parametrize(("dictionary", "most"), [("frames", 200), ("nmf", 40)])
def test_so_many_templates_are_learnt_or_as_many_as_there_are_frames(dictionary, most):
    long = np.tile(dark_example(), 3)
    quick = {"sample_rate": RATE, "max_iter": 2, "dictionary": dictionary}
    assert audionmf.learn(long, "x", **quick).n_components == most
    short = dark_example()[:2048]
    assert audionmf.learn(short, "x", **quick).n_components == 9
    assert audionmf.learn(short, "x", n_components=3, **quick).n_components == 3


def test_learnt_templates_peak_at_the_partials():
    bank = audionmf.learn(melody((1.0,), [(500, 0, 3)]), "tone", 1, sample_rate=RATE)
    peak = bank.stft.frequencies(RATE)[np.argmax(bank.templates[:, 0])]
    assert abs(peak - 500) <= RATE / bank.stft.n_fft


def test_learning_can_be_asked_for_another_rate():
    bank = audionmf.learn(Audio(dark_example(16_000), 16_000), "dark", 4, sample_rate=None)
    assert bank.sample_rate == 16_000
    mixed = audionmf.learn(
        [Audio(dark_example(), RATE), Audio(dark_example(16_000), 16_000)], "dark", 4
    )
    assert mixed.sample_rate == RATE


def test_learning_from_silence_is_refused():
    with pytest.warns(AudioWarning), pytest.raises(InvalidAudioError, match="'dark' is silent"):
        audionmf.learn(np.zeros(5000), "dark", sample_rate=RATE)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"source": dark_example(), "name": None, "sample_rate": RATE}, "need a name"),
        ({"source": dark_example(), "name": "a"}, "needs sample_rate"),
        ({"source": [], "name": "a"}, "no recording"),
        (
            {"source": dark_example(), "name": "a", "n_components": 1000, "sample_rate": RATE},
            r"1000 components.*95 frames of 'a'",
        ),
        ({"source": dark_example(), "name": "a", "sample_rate": RATE, "betta": 1}, "'betta'"),
    ],
)
def test_what_cannot_be_learnt_is_refused(arguments, words):
    with pytest.raises(ParameterError, match=words):
        audionmf.learn(**arguments)


@pytest.mark.parametrize("n_components", [0, -1, 2.5])
def test_learning_needs_a_whole_number_of_components(n_components):
    with pytest.raises(ParameterError, match="n_components"):
        audionmf.learn(dark_example(), "a", n_components, sample_rate=RATE)


# Long recordings are thinned


def test_templates_are_learnt_from_a_few_frames_of_a_long_recording(mixture):
    stems = audionmf.separate(
        mixture, n_sources=2, n_components=4, max_frames=16, sample_rate=RATE, **QUICK
    )
    assert_whole(stems, mixture)


def test_frames_that_are_kept_lie_evenly():
    samples, stft = noise(2, 70_001), STFT(16, 4)
    V = frontend.magnitudes(Audio(samples, RATE), stft)
    whole = np.sqrt((np.abs(stft.forward(samples)) ** 2).mean(axis=0))
    assert whole.shape[1] == 17_502
    assert V.shape[1] <= Settings().max_frames
    np.testing.assert_allclose(V, whole[:, ::2], rtol=1e-5, atol=1e-6)


def test_a_short_recording_is_not_thinned():
    samples, stft = noise(3, 5000), STFT(64, 16)
    V = frontend.magnitudes(Audio(samples, RATE), stft)
    whole = np.sqrt((np.abs(stft.forward(samples)) ** 2).mean(axis=0))
    np.testing.assert_allclose(V, whole, rtol=1e-5, atol=1e-6)


# Analyse, regroup, render


@pytest.fixture(scope="module")
def parts(mixture):
    return audionmf.analyse(mixture, components=True, n_components=5, sample_rate=RATE, **QUICK)


def test_components_are_sources_with_activations_for_every_frame(mixture, parts):
    assert list(parts.grouping) == [f"component0{k}" for k in range(5)]
    n_frames = parts.templates.stft.n_frames(N_SAMPLES)
    assert parts.activations.shape == (5, n_frames)
    assert (parts.activations >= 0).all()
    assert_whole(audionmf.render(mixture, parts, sample_rate=RATE), mixture)


def test_a_group_is_the_sum_of_its_components(mixture, parts):
    settings = dataclasses.replace(parts.settings, mask_exponent=1.0)
    parts = dataclasses.replace(parts, settings=settings)
    alone = audionmf.render(mixture, parts, sample_rate=RATE)
    regrouped = parts.regroup({"pair": (3, 1), "one": (0,)})
    stems = audionmf.render(mixture, regrouped, sample_rate=RATE)
    assert list(stems.sources) == ["pair", "one", "rest"]
    assert_whole(stems, mixture)
    pair = alone.sources["component01"] + alone.sources["component03"]
    assert decibels(stems.sources["pair"] - pair, mixture) < -100
    assert decibels(stems.sources["one"] - alone.sources["component00"], mixture) < -100


def test_activations_that_are_kept_are_those_that_rendering_would_find(mixture, parts):
    without = dataclasses.replace(parts, activations=None)
    first, second = (audionmf.render(mixture, d, sample_rate=RATE) for d in (parts, without))
    for name, stem in first.sources.items():
        assert decibels(second.sources[name] - stem, mixture) < -100


def test_separating_is_analysing_and_rendering(mixture):
    options = {"n_sources": 2, "sample_rate": RATE, **QUICK}
    stems = audionmf.separate(mixture, **options)
    decomposition = audionmf.analyse(mixture, **options)
    assert_same(audionmf.render(mixture, decomposition, sample_rate=RATE), stems)
    assert decomposition.settings == Settings(**QUICK)
    assert decomposition.mixture.n_samples == N_SAMPLES
    assert (np.diff(decomposition.divergence) <= 1e-6 * decomposition.divergence[0]).all()


def test_rendering_at_another_rate_is_refused(mixture, parts):
    with pytest.raises(TemplateMismatchError, match=r"8000 Hz.*16000 Hz"):
        audionmf.render(mixture, parts, sample_rate=16_000)


@pytest.mark.parametrize("n_samples", [1, 10_000, N_SAMPLES - 1, N_SAMPLES + 1, 2 * N_SAMPLES])
@pytest.mark.parametrize("known", [True, False])
def test_rendering_a_recording_of_another_length_is_refused(parts, n_samples, known):
    decomposition = parts if known else dataclasses.replace(parts, activations=None)
    with pytest.raises(AudioNMFError, match=str(n_samples)):
        audionmf.render(noise(2, n_samples), decomposition, sample_rate=RATE)


def test_progress_goes_from_stage_to_stage_and_each_to_its_end(brief):
    told = []
    audionmf.separate(
        brief,
        n_sources=2,
        sample_rate=RATE,
        progress=lambda stage, done: told.append((stage, done)),
        **QUICK,
    )
    stages = list(dict.fromkeys(stage for stage, _ in told))
    assert stages == ["read", "factorise", "group", "place in stereo", "render"]
    for stage in stages:
        shares = [done for name, done in told if name == stage]
        assert shares == sorted(shares)
        assert 0 <= shares[0] <= shares[-1] == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_sources": 2, "templates": "bank"}, "leave it out with templates"),
        ({"n_sources": 2, "examples": {"a": dark_example()}}, "leave it out with templates"),
        ({"n_sources": 2, "free": 1}, "free components are a number, 0 or more, that goes with"),
        ({"templates": "bank", "free": -1}, "free components are a number, 0 or more"),
        ({"n_sources": 0}, "the number of sources is a whole number, 1 or more.*not 0"),
        ({"n_sources": 5, "n_components": 4}, "5 sources cannot be made of 4 components"),
        ({"n_sources": 2, "n_components": 1000}, r"1000 components.*\d+ frames"),
        ({"n_sources": 2, "window": "han d"}, "no window 'han d'"),
        ({"n_sources": 2, "hop_length": 5000}, "hop_length must be from 1"),
        ({"n_sources": 2, "n_component": 4}, "no option 'n_component'"),
        ({"n_sources": 2, "beta": 7}, "beta must be"),
        ({"n_sources": 2, "sample_rate": None}, "needs sample_rate"),
        ({"n_sources": 2, "sample_rate": 8000.5}, "whole number of Hz"),
    ],
)
def test_options_that_do_not_fit_are_refused(mixture, banks, options, words):
    options = {"sample_rate": RATE} | options
    if options.get("templates") == "bank":
        options["templates"] = banks[0]
    with pytest.raises(ParameterError, match=words):
        audionmf.separate(mixture, **options)


def test_free_components_need_their_name_for_themselves(mixture, banks):
    other = Templates(banks[0].templates, ("other",) * 12, banks[0].stft, banks[0].sample_rate)
    with pytest.raises(ParameterError, match="'other'"):
        audionmf.separate(mixture, templates=other, free=2, sample_rate=RATE)
    stems = audionmf.separate(mixture, templates=[other, banks[1]], sample_rate=RATE)
    assert list(stems.sources) == ["other", "bright"]


def test_names_of_sources_are_known_before_they_are_made(banks):
    assert Told(n_sources=3).account().names == ["source1", "source2", "source3"]
    examples = {"voice": np.ones(9), "dark": np.ones(9)}
    told = Told(templates=banks, examples=examples, free=2)
    names = told.account(sample_rate=RATE).names
    assert names == ["dark", "bright", "voice", "other"]
    assert Told(templates=banks[0]).account().names == ["dark", "rest"]
    assert Told(templates=banks[0], residual="left").account().names == ["dark", "left"]


# --- what is given, and what is odd about it


def test_a_constant_offset_moves_with_no_mask():
    stems = two_instruments()
    mixture, offset = stems.sum(axis=0), np.float32([[0.05], [-0.03]])
    examples = {"dark": Audio(dark_example(), RATE), "bright": Audio(bright_example(), RATE)}
    given = {"examples": examples, "settings": Settings(**QUICK)}
    plain = audionmf.separate(Audio(mixture, RATE), **given)
    moved = audionmf.separate(Audio(mixture + offset, RATE), **given)
    np.testing.assert_allclose(sum(moved.sources.values()), mixture + offset, atol=1e-6)
    for name, stem in plain.sources.items():
        other = moved.sources[name] - moved.sources[name].mean(axis=1, keepdims=True)
        np.testing.assert_allclose(other, stem - stem.mean(axis=1, keepdims=True), atol=1e-3)
    assert any("offset of 0.05" in remark for remark in moved.decomposition.remarks)
    assert not any("offset" in remark for remark in plain.decomposition.remarks)
    examples["dark"] = Audio(dark_example() + 0.1, RATE)
    taught = audionmf.separate(Audio(mixture, RATE), **given)
    np.testing.assert_allclose(taught.sources["dark"], plain.sources["dark"], atol=1e-3)


def test_a_file_with_an_offset_gives_stems_that_sum_to_it(tmp_path):
    mixture = two_instruments().sum(axis=0) + np.float32(0.04)
    path = audionmf.write(tmp_path / "x.wav", Audio(mixture, RATE))
    from_file = audionmf.separate(path, n_sources=2, **QUICK)
    in_memory = audionmf.separate(Audio(mixture, RATE), n_sources=2, **QUICK)
    for name, stem in in_memory.sources.items():
        np.testing.assert_array_equal(from_file.sources[name], stem)
    np.testing.assert_allclose(sum(from_file.sources.values()), mixture, atol=1e-6)


@pytest.mark.parametrize("scale", [2**15, 2**31])
def test_integers_give_the_stems_of_their_floats(scale):
    kind = np.int16 if scale == 2**15 else np.int32
    integers = np.round(two_instruments().sum(axis=0) * (scale // 4)).astype(kind)
    floats = (integers / scale).astype(np.float32)
    given, wanted = (
        audionmf.separate(x, n_sources=2, sample_rate=RATE, **QUICK).sources
        for x in (integers, floats)
    )
    for name, stem in wanted.items():
        np.testing.assert_array_equal(given[name], stem)


def test_a_folder_is_an_example_and_a_source_to_learn(tmp_path):
    (tmp_path / "low").mkdir()
    for name, part in zip("ba", np.split(dark_example(), 2), strict=True):
        audionmf.write(tmp_path / "low" / f"{name}.wav", Audio(part, RATE))
    files = [tmp_path / "low" / f"{name}.wav" for name in "ab"]
    bank = audionmf.learn(tmp_path / "low", settings=Settings(**QUICK))
    assert bank.names == ("low",)
    wanted = audionmf.learn(files, "low", settings=Settings(**QUICK))
    np.testing.assert_array_equal(bank.templates, wanted.templates)
    mixture = Audio(two_instruments().sum(axis=0), RATE)
    folder, named = (
        audionmf.separate(mixture, examples={"dark": given}, free=4, **QUICK).sources
        for given in (tmp_path / "low", files)
    )
    np.testing.assert_array_equal(folder["dark"], named["dark"])


@pytest.mark.parametrize("pair", [(np.zeros(9), RATE), (RATE, np.zeros(9))])
def test_a_pair_of_samples_and_rate_as_example_is_named(pair):
    with pytest.raises(ParameterError, match=r"audionmf\.Audio"):
        audionmf.separate(Audio(noise(1, 4000), RATE), examples={"a": pair}, **QUICK)


def test_names_of_sources_are_one_in_whatever_form_of_unicode():
    mixture = Audio(two_instruments().sum(axis=0), RATE)
    composed, parted = "fl\u00fbte", "flu\u0302te"
    examples = {parted: Audio(dark_example(), RATE), composed: Audio(bright_example(), RATE)}
    found = audionmf.separate(mixture, examples=examples, only=parted, free=2, **QUICK)
    assert list(found.sources) == list(found.trust.energy_share) == [composed, "rest"]
    bank = Templates(np.ones((129, 1), np.float32), (parted,), STFT(256, 64), RATE)
    assert bank.names == (composed,)
