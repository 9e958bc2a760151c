import dataclasses

import numpy as np
import pytest

import audionmf
from audionmf import Audio, Decomposition, ParameterError, Settings, TemplateError
from audionmf.analysis import by_example, learning
from audionmf.analysis import by_patterns as struck
from audionmf.analysis.evidence import left_share
from audionmf.evaluate.measures import si_sdr

RATE = 8000
N_SAMPLES = 3 * RATE
OPTIONS = {"sample_rate": RATE, "n_fft": 256}


def kick():
    time = np.arange(RATE // 4) / RATE
    return 0.8 * np.sin(2 * np.pi * (60 * time + 6 * np.exp(-30 * time))) * np.exp(-14 * time)


def hat():
    time = np.arange(RATE // 8) / RATE
    noise = np.random.default_rng(1).standard_normal(len(time))
    return 0.2 * np.diff(noise, prepend=0) * np.exp(-40 * time)


def strokes(sound, times, n_samples=N_SAMPLES):
    samples = np.zeros(n_samples + RATE, np.float32)
    for time in times:
        first = round(time * RATE)
        samples[first : first + len(sound)] += sound
    return samples[:n_samples]


EXAMPLES = {
    "kick": strokes(kick(), (0.1, 0.9, 1.7, 2.5)),
    "hat": strokes(hat(), (0.2, 0.8, 1.5, 2.3)),
}
STEMS = {
    "kick": strokes(1.1 * kick(), np.arange(0.05, 2.8, 0.5)),
    "hat": strokes(0.8 * hat(), np.arange(0.05, 2.9, 0.25)),
}
MIXTURE = sum(STEMS.values())


def melody():
    time = np.arange(N_SAMPLES) / RATE
    pitch = 220 * 2 ** (np.floor(time * 2) / 12)
    return (0.3 * np.sin(2 * np.pi * np.cumsum(pitch) / RATE)).astype(np.float32)


@pytest.fixture(scope="module")
def found():
    return audionmf.analyse(MIXTURE, examples=EXAMPLES_AS_AUDIO, **OPTIONS)


EXAMPLES_AS_AUDIO = {name: Audio(samples, RATE) for name, samples in EXAMPLES.items()}


def test_struck_sounds_are_told_apart_by_their_patterns(found):
    stems = audionmf.render(MIXTURE, found, sample_rate=RATE).sources
    assert found.patterns is not None
    assert found.patterns.shape[1:] == (129, 2)
    for name, truth in STEMS.items():
        assert si_sdr(truth[None], stems[name]) > 12
    np.testing.assert_allclose(sum(stems.values())[0], MIXTURE, atol=1e-6)


def test_one_example_that_is_no_struck_sound_means_frames():
    examples = {**EXAMPLES, "melody": melody()}
    found = audionmf.separate(MIXTURE + melody(), examples=examples, **OPTIONS).decomposition
    assert found.patterns is None
    assert found.penalties is not None


def test_patterns_can_be_asked_for_whatever_the_examples_are():
    examples = {"kick": EXAMPLES["kick"], "melody": melody()}
    stems = audionmf.separate(
        STEMS["kick"] + melody(), examples=examples, model="patterns", **OPTIONS
    )
    assert stems.decomposition.patterns is not None


@pytest.mark.parametrize("further", [{"free": 2}, {"absent": {"kick": [(1, 2)]}}, {"beta": 2.0}])
def test_patterns_go_with_examples_alone(further):
    with pytest.raises(ParameterError, match="patterns go with examples alone"):
        audionmf.separate(MIXTURE, examples=EXAMPLES, model="patterns", **further, **OPTIONS)


def test_a_long_recording_is_analysed_by_frames(monkeypatch):
    monkeypatch.setattr(struck, "_MAX_FRAMES", 100)
    found = audionmf.separate(MIXTURE, examples=EXAMPLES, **OPTIONS).decomposition
    assert found.patterns is None


def test_the_window_is_half_of_what_it_is_elsewhere():
    stft = learning.half_window(Settings(), 44100)
    assert (stft.n_fft, stft.hop_length) == (2048, 512)
    asked = learning.half_window(Settings(n_fft=1000, hop_length=100), 44100)
    assert (asked.n_fft, asked.hop_length) == (1000, 100)


@pytest.mark.parametrize("block_frames", [1, 7, 64])
def test_blocks_see_the_strokes_that_began_before_them(monkeypatch, found, block_frames):
    from audionmf.rendering import blocks as rendering

    whole = audionmf.render(MIXTURE, found, sample_rate=RATE).sources
    monkeypatch.setattr(rendering, "BLOCK_FRAMES", block_frames)
    blocks = audionmf.render(MIXTURE, found, sample_rate=RATE).sources
    for name, stem in whole.items():
        np.testing.assert_allclose(blocks[name], stem, atol=1e-5)


def test_a_model_with_patterns_comes_back_from_its_file(tmp_path, found):
    again = Decomposition.load(found.save(tmp_path / "model.npz"))
    np.testing.assert_array_equal(again.patterns, found.patterns)
    first = audionmf.render(MIXTURE, found, sample_rate=RATE).sources
    second = audionmf.render(MIXTURE, again, sample_rate=RATE).sources
    np.testing.assert_array_equal(first["kick"], second["kick"])


@pytest.mark.parametrize("shape", [(4, 129, 3), (4, 100, 2), (0, 129, 2)])
def test_patterns_that_do_not_fit_are_refused(found, shape):
    import dataclasses

    with pytest.raises(TemplateError, match="patterns of shape"):
        dataclasses.replace(found, patterns=np.ones(shape, np.float32))


def test_patterns_need_their_activations(found):
    import dataclasses

    with pytest.raises(TemplateError, match="without activations"):
        dataclasses.replace(found, activations=None)


def test_in_stereo_the_place_is_used_and_threads_do_not_matter():
    stereo = np.stack([STEMS["kick"] + 0.3 * STEMS["hat"], 0.4 * STEMS["kick"] + STEMS["hat"]])
    results = [audionmf.separate(stereo, examples=EXAMPLES, n_threads=n, **OPTIONS) for n in (1, 2)]
    assert results[0].decomposition.covariances is not None
    for name in STEMS:
        np.testing.assert_array_equal(results[0].sources[name], results[1].sources[name])
    np.testing.assert_allclose(sum(results[0].sources.values()), stereo, atol=1e-6)


def test_a_residual_needs_a_name_of_its_own_here_too():
    with pytest.raises(ParameterError, match="a name that no source has"):
        audionmf.separate(MIXTURE, examples=EXAMPLES, residual="kick", **OPTIONS)


def test_a_silent_mixture_gives_silent_stems():
    with pytest.warns(audionmf.AudioWarning, match="silent"):
        stems = audionmf.separate(np.zeros_like(MIXTURE), examples=EXAMPLES, **OPTIONS)
    assert not any(stem.any() for stem in stems.sources.values())


def test_with_no_iterations_to_adapt_the_patterns_stay_as_they_are(found):
    kept = audionmf.analyse(
        MIXTURE, examples=EXAMPLES_AS_AUDIO, adapt_iter=0, model="patterns", **OPTIONS
    )
    V = struck.gather(EXAMPLES_AS_AUDIO["kick"].without_offset(), kept.templates.stft).V
    pattern = learning.pattern_of(V / V.max(), len(kept.patterns))
    np.testing.assert_allclose(kept.patterns[..., 0], pattern / pattern.sum(), rtol=1e-4, atol=1e-7)
    assert np.abs(found.patterns - kept.patterns).max() > 1e-4


def test_a_silent_example_is_refused():
    examples = {**EXAMPLES, "hat": np.zeros(RATE, np.float32)}
    with pytest.raises(audionmf.InvalidAudioError, match="'hat' is silent"):  # and no warning of it
        audionmf.separate(MIXTURE, examples=examples, **OPTIONS)


def banks():
    return [audionmf.learn(example, name, n_fft=256) for name, example in EXAMPLES_AS_AUDIO.items()]


def test_a_bank_brings_patterns_and_separates_as_the_examples_do(found):
    by_bank = audionmf.analyse(MIXTURE, templates=banks(), **OPTIONS)
    assert list(by_bank.grouping) == list(found.grouping)
    np.testing.assert_allclose(by_bank.patterns, found.patterns, rtol=1e-4, atol=1e-9)


def test_patterns_of_banks_go_with_those_of_examples_and_of_another_rate(found):
    kick, hat = banks()
    mixed = audionmf.analyse(
        MIXTURE, templates=[kick], examples={"hat": EXAMPLES_AS_AUDIO["hat"]}, **OPTIONS
    )
    np.testing.assert_allclose(mixed.patterns, found.patterns, rtol=1e-4, atol=1e-9)
    with pytest.raises(audionmf.TemplateMismatchError, match=r"8000 Hz.*16000 Hz.*--convert"):
        audionmf.analyse(MIXTURE, sample_rate=2 * RATE, templates=[kick, hat])
    twice = np.repeat(MIXTURE, 2)
    made = audionmf.analyse(
        twice, sample_rate=2 * RATE, templates=[kick, hat], convert=True, model="patterns"
    )
    stems = audionmf.render(twice, made, sample_rate=2 * RATE).sources
    assert si_sdr(np.repeat(STEMS["kick"], 2)[None], stems["kick"]) > 10


def test_templates_without_patterns_are_no_struck_sounds():
    plain = [bank.spectra() for bank in banks()]
    assert audionmf.analyse(MIXTURE, templates=plain, **OPTIONS).patterns is None
    with pytest.raises(ParameterError, match="templates that bring patterns"):
        audionmf.analyse(MIXTURE, templates=plain, model="patterns", **OPTIONS)


def test_a_bank_with_patterns_is_heard_live_by_its_frames():
    joined = audionmf.Templates.merge(banks())
    live = audionmf.LiveSeparator(joined)
    assert live.decomposition.n_components < joined.n_components
    parts = [live.push(MIXTURE[None]), live.flush()]
    kick = np.concatenate([part["kick"] for part in parts], axis=1)
    assert si_sdr(STEMS["kick"][None], kick) > 10


def test_patterns_are_taken_only_where_they_explain_the_mixture_better(monkeypatch):
    """Examples that look struck are no proof: the frames may explain the mixture, and patterns not."""
    shares = {True: 0.2, False: 0.1}
    monkeypatch.setattr(by_example, "left_share", lambda d, *_: shares[d.patterns is not None])
    assert audionmf.analyse(MIXTURE, examples=EXAMPLES_AS_AUDIO, **OPTIONS).patterns is None
    shares[False] = 0.3
    assert audionmf.analyse(MIXTURE, examples=EXAMPLES_AS_AUDIO, **OPTIONS).patterns is not None


def test_frames_are_not_fitted_where_patterns_explain_all(monkeypatch):
    left = iter([0.029, 0.2, 0.3, 0.2, 0.1])
    monkeypatch.setattr(by_example, "left_share", lambda *_: next(left))
    fitted = []
    fit = by_example.fit_equalised

    def noted(V, *rest, **options):
        fitted.append((V.shape[1], options["n_adapt"]))
        return fit(V, *rest, **options)

    monkeypatch.setattr(by_example, "fit_equalised", noted)
    first = audionmf.analyse(MIXTURE, examples=EXAMPLES_AS_AUDIO, **OPTIONS)
    assert first.patterns is not None
    assert not fitted
    monkeypatch.setattr(by_example, "_JUDGE_FRAMES", 60)
    judged = audionmf.analyse(MIXTURE, examples=EXAMPLES_AS_AUDIO, **OPTIONS)
    assert judged.patterns is not None
    plain = audionmf.analyse(MIXTURE, examples=EXAMPLES_AS_AUDIO, exemplars=False, **OPTIONS)
    assert plain.patterns is None
    # Frames that only judge are few; those that may be kept are not.
    (few, brief), (all_of_them, long) = fitted
    assert few <= 60 < all_of_them
    assert brief < long


def test_the_share_left_is_nothing_for_a_perfect_model_and_all_for_none(found):
    source = Audio(MIXTURE.astype(np.float32), RATE).without_offset()
    assert 0 <= left_share(found, source) < 0.05
    silent = dataclasses.replace(found, activations=0 * found.activations)
    assert left_share(silent, source) > 1


def test_one_struck_example_gets_a_rest_of_free_patterns():
    one = {"kick": EXAMPLES_AS_AUDIO["kick"]}
    single = audionmf.analyse(MIXTURE, examples=one, **OPTIONS)
    assert list(single.grouping) == ["kick", "rest"]
    kick = audionmf.render(MIXTURE, single, sample_rate=RATE).sources["kick"]
    error = np.sum((kick - STEMS["kick"]) ** 2) / np.sum(STEMS["kick"] ** 2)
    assert error < 0.3
