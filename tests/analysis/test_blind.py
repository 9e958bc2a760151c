"""Blind analysis: the model fits the recording, choices are told, and every option does something."""

import dataclasses
import json
from itertools import permutations

import numpy as np
import pytest
from conftest import RATE, files_below, sound

import audionmf
from audionmf.analysis import blind, cues, likeness, variants
from audionmf.analysis.learning import at_rate
from audionmf.analysis.variants import likeliest, shipped_patterns
from audionmf.errors import ParameterError
from audionmf.evaluate.measures import si_sdr
from audionmf.io import kept
from audionmf.rendering.decomposition import Decomposition
from audionmf.settings import Settings
from audionmf.sources.kits import kit_files
from audionmf.spectra.bands import Bands
from audionmf.spectra.frames import Frames
from audionmf.spectra.stft import STFT

LENGTH = 3 * RATE
QUICK = {
    "n_fft": 512,
    "max_iter": 30,
    "activation_iter": 20,
    "names": "plain",
    "sample_rate": RATE,
}
TIMES = np.arange(LENGTH) / RATE


def notes(hertz, starts, length, decay, partials=4):
    samples = np.zeros(LENGTH)
    for pitch, start in zip(hertz, starts, strict=True):
        t = TIMES - start
        on = (t >= 0) & (t < length)
        for h in range(1, partials + 1):
            samples += (
                on * np.exp(-decay * np.maximum(t, 0)) * np.sin(2 * np.pi * pitch * h * t) / h
            )
    return samples


def low():
    return notes([110, 147, 131], [0.0, 1.0, 2.0], 0.9, 0.5, 3)


def high():
    return notes([1047, 1319, 1175, 1568], [0.3, 1.2, 1.7, 2.3], 0.5, 6.0, 3)


def strokes(band, starts, decay, seed=0):
    noise = np.random.default_rng(seed).normal(size=LENGTH)
    spectrum, f = np.fft.rfft(noise), np.fft.rfftfreq(LENGTH, 1 / RATE)
    shaped = np.fft.irfft(spectrum * ((f >= band[0]) & (f < band[1])), LENGTH)
    envelope = sum(np.exp(-decay * (TIMES - s)) * (s <= TIMES) for s in starts)
    return shaped * envelope


def drums():
    kick = strokes((20, 250), np.arange(0, 3, 0.5), 25) * 3
    hat = strokes((2500, 4000), np.arange(0.25, 3, 0.25), 60, seed=1)
    return kick, hat


def stereo():
    return np.stack([low() * 0.9 + high() * 0.2, low() * 0.3 + high() * 0.8]) / 4


def best(found, *truths):
    """Score stems, whichever is which; the worst of the better assignment."""
    stems = list(found.sources.values())
    return max(
        min(si_sdr(t, s) for t, s in zip(truths, order, strict=True))
        for order in (stems, stems[::-1])
    )


def test_two_instruments_of_other_colour_and_register_come_apart():
    found = audionmf.separate((low() + high()) / 4, n_sources=2, **QUICK)
    assert best(found, low()[None], high()[None]) > 10


def test_drums_are_recognised_and_come_apart():
    kick, hat = drums()
    found = audionmf.separate((kick + hat) / 8, n_sources=2, **QUICK)
    assert found.decomposition.patterns is not None
    assert best(found, kick[None], hat[None]) > 10
    notes_ = audionmf.separate((low() + high()) / 4, n_sources=2, **QUICK)
    assert notes_.decomposition.patterns is None


def shipped(name, starts):
    """Strokes of a sound of the shipped kit, faded out within 0.3 s."""
    sound = at_rate(audionmf.read(kit_files(True)[name][1]), RATE).samples.mean(axis=0)
    sound = sound[: 3 * RATE // 10] * np.linspace(1, 0, 3 * RATE // 10)
    samples = np.zeros(LENGTH + len(sound))
    for first in np.round(np.array(starts) * RATE).astype(int):
        samples[first : first + len(sound)] += sound
    return samples[None, :LENGTH].astype(np.float32)


def a_beat():
    """Drums that hardly ever sound alone: their strokes look like other sounds together."""
    beats = np.arange(0, 3, 0.5)
    return shipped("kick", beats), shipped("snare", beats[1::2]), shipped("hats", beats)


def test_drums_that_always_coincide_are_told_apart_by_the_shipped_kit():
    parts = a_beat()
    found = audionmf.separate(sum(parts), n_sources=3, sample_rate=RATE)
    assert found.decomposition.patterns is not None
    scores = [[si_sdr(t, s) for t, s in zip(parts, o, strict=True)]
              for o in permutations(found.sources.values())]  # fmt: skip
    assert max(map(np.mean, scores)) > 5  # patterns guessed from the strokes: below 0


def test_drums_of_the_shipped_kit_are_taken_only_if_all_are_heard():
    kick, snare, hats = a_beat()
    kit = shipped_patterns(RATE, Settings())

    def likely(samples, count):
        return likeliest(kit, np.abs(kit.stft.forward(samples)).mean(axis=0), count, 1)

    assert likely(kick + snare + hats, 3).labels == ("kick", "snare", "hats")
    assert likely(kick + hats, 2).labels == ("kick", "hats")
    assert likely(kick, 2) is None
    assert likely(kick + snare + hats, 6) is None
    assert likely(0 * kick, 2) is None
    assert shipped_patterns(7999, Settings()) is None


def test_patterns_of_the_kit_do_not_depend_on_threads():
    one, two = (variants._learnt(RATE, Settings(n_threads=n)) for n in (1, 2))
    assert one.labels == two.labels
    assert one.patterns.tobytes() == two.patterns.tobytes()
    assert list(dict.fromkeys(one.labels)) == ["kick", "snare", "hats", "toms", "cymbals"]


@pytest.fixture
def learnt(tmp_path, monkeypatch):
    """Return the rates at which the kit was learnt since, where nothing is kept yet."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(kept, "_BESIDE", tmp_path / "beside")
    rates, learn = [], variants._learnt

    def counted(rate, settings):
        rates.append(rate)
        return learn(rate, settings)

    monkeypatch.setattr(variants, "_learnt", counted)
    return rates


def test_patterns_of_the_kit_are_learnt_once_for_each_rate_and_transform(learnt, tmp_path):
    first, again = (shipped_patterns(8000, Settings()) for _ in range(2))
    assert learnt == [8000]
    assert (again.labels, again.stft, again.sample_rate) == (first.labels, first.stft, 8000)
    assert again.patterns.tobytes() == first.patterns.tobytes()
    assert again.patterns.flags.writeable
    for rate, other in ((9000, {}), (8000, {"window": "hamming"}), (8000, {"n_fft": 256})):
        shipped_patterns(rate, Settings(**other))
    assert learnt == [8000, 9000, 8000, 8000]
    shipped_patterns(8000, Settings(hop_length=100))
    assert len([*tmp_path.glob("kit-*.code")]) == 4  # the oldest is gone
    shipped_patterns(8000, Settings(hop_length=100))
    assert len(learnt) == 5


def test_kept_patterns_that_are_damaged_or_of_other_code_are_learnt_anew(
    learnt, tmp_path, monkeypatch
):
    first = shipped_patterns(8000, Settings())
    (file,) = tmp_path.glob("kit-*.code")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert shipped_patterns(8000, Settings()).patterns.tobytes() == first.patterns.tobytes()
    monkeypatch.setattr(variants, "_made_from", lambda: "other")
    shipped_patterns(8000, Settings())
    assert len(learnt) == 3
    assert not file.exists()
    kept.keep(
        variants._named(8000, first.stft), "other", b"1234", {"shape": [1, 1, 1], "labels": "a"}
    )
    shipped_patterns(8000, Settings())
    assert len(learnt) == 4


def test_what_patterns_of_the_kit_are_kept_for_changes_with_each_file(tmp_path):
    files = [tmp_path / name for name in "ab"]
    for file in files:
        file.write_bytes(b"1")
    before = kept.states(files)
    files[1].write_bytes(b"12")
    assert kept.states(files) != before != kept.states(files[:1])
    assert kept.package("numpy") != kept.package("scipy") != b""
    assert kept.package("no_such_package") == b""


def test_a_source_of_the_kit_is_weighed_only_until_it_is_told_whether_it_is_among_those(
    monkeypatch,
):
    kick, snare, hats = a_beat()
    kit = shipped_patterns(RATE, Settings())
    V = np.abs(kit.stft.forward(kick + snare + hats)).mean(axis=0)
    names = tuple(dict.fromkeys(kit.labels))
    fit = variants._Fit.of(kit, V, 1)
    missed = {name: fit.missed(name) for name in names}
    iterations = []
    fitted = variants.convolutive.fit

    def counted(*given, **options):
        model = fitted(*given, **options)
        iterations.append(model.n_iter)
        return model

    monkeypatch.setattr(variants.convolutive, "fit", counted)
    for count in (1, 2, 3):
        iterations.clear()
        most = sorted(names, key=lambda name: -missed[name])[:count]
        assert set(fit.most_missed(names, count)) == set(most)
        assert len(iterations) == len(names)
        assert sorted(iterations, reverse=True)[count] < variants._WITHOUT_ITERATIONS
    assert sum(value >= variants._MISSED for value in missed.values()) == 3
    assert fit.most_missed(names, 4) is None


def test_what_is_weighed_no_further_is_not_taken_for_one_that_is_missed_more():
    """What is told early is too high: it only is below the least of those that are taken by then."""
    told = {"kick": 0.5, "toms": 0.2, "snare": 0.3, "ride": 0.25}

    @dataclasses.dataclass(frozen=True, eq=False)
    class Told(variants._Fit):
        def missed(self, name, least=-np.inf):
            return told[name] if told[name] >= least else least - 1e-6

    names, H = tuple(told), np.array([[4.0], [3.0], [2.0], [1.0]], np.float32)
    fit = Told(H, H, names, H, 0.0, 1)
    assert fit.most_missed(names, 2) == ("kick", "snare")
    assert fit.most_missed(names, 3) == ("kick", "snare", "ride")
    assert fit.most_missed(names, 5) is None


def test_short_sounds_that_never_repeat_are_no_struck_sounds():
    rng, chirps = np.random.default_rng(0), np.zeros(LENGTH)
    t = np.arange(RATE * 8 // 100) / RATE
    for first in range(0, LENGTH - len(t), RATE // 8):
        low_, high_ = rng.uniform(400, 3500, 2)
        phase = 2 * np.pi * (low_ * t + (high_ - low_) * t**2 / (2 * t[-1]))
        chirps[first : first + len(t)] += np.sin(phase) * np.hanning(len(t))
    mixture = chirps + rng.normal(0, 0.02, LENGTH)
    assert audionmf.separate(mixture, n_sources=2, **QUICK).decomposition.patterns is None
    asked = audionmf.separate(mixture, n_sources=2, model="patterns", **QUICK)
    assert asked.decomposition.patterns is not None


@pytest.mark.parametrize(
    "samples", [(low() + high()) / 4, sum(drums()) / 8], ids=["notes", "drums"]
)
def test_the_number_of_sources_is_chosen_and_the_reason_told(samples):
    found = audionmf.separate(samples, **QUICK)
    assert 2 <= len(found.sources) <= 6
    remark, *further = found.decomposition.remarks
    told = [line.partition(" by ")[0] for line in further if "in doubt" not in line]
    assert told in ([], ["told apart"])
    assert remark.startswith(f"{len(found.sources)} sources seem to play, perhaps ")
    assert ": a second explains " in remark
    assert "; each needs " in remark
    np.testing.assert_allclose(sum(found.sources.values())[0], samples, atol=1e-5)


def test_what_is_in_doubt_is_shared_and_that_is_told():
    found = audionmf.separate((low() + high()) / 4, **QUICK).decomposition
    most = found.shares.argmax(axis=0)
    assert [found.grouping[name] for name in found.grouping] == [
        tuple(np.flatnonzero(most == i)) for i in range(len(found.grouping))
    ]
    n = (found.shares.max(axis=0) < 0.9).sum()
    assert f"{n} of {len(most)} components are shared, as it is in doubt whose" in found.remarks[2]


def test_the_odds_of_all_pairs_are_found_once_to_group_and_to_share(monkeypatch):
    asked, odds = [], likeness.likeness

    def counted(sound, heard):
        asked.append(isinstance(sound, likeness.Sound))
        return odds(sound, heard)

    monkeypatch.setattr(cues, "likeness", counted)
    options = QUICK | {"max_iter": 3, "model": "harmonic"}
    found = audionmf.separate((low() + high()) / 4, n_sources=2, **options).decomposition
    assert asked.count(True) == 1
    asked.clear()
    assert len(found.regroup(n_sources=2, same=[(0, 1)]).grouping) == 2
    assert asked.count(True) == 1


def test_the_place_is_learnt_in_stereo():
    found = audionmf.analyse(stereo(), n_sources=2, **QUICK)
    assert found.covariances is not None
    left = found.covariances[:, :, 0, 0].real.mean(axis=1)
    assert left.max() > 1.3 > 0.7 > left.min()
    assert audionmf.analyse(stereo(), n_sources=2, spatial=False, **QUICK).covariances is None


def test_a_cue_can_be_switched_off():
    same = notes([330, 440], [0, 1], 1, 2), notes([330, 440], [1.5, 0.5], 1, 2)
    mixture = np.stack([same[0] + 0.1 * same[1], 0.1 * same[0] + same[1]]) / 4
    by_place = audionmf.analyse(mixture, n_sources=2, cues="place", **QUICK).grouping
    by_pitch = audionmf.analyse(mixture, n_sources=2, cues="pitch", **QUICK).grouping
    assert by_place != by_pitch


def test_models_have_their_own_components():
    mixture = (low() + high()) / 4
    harmonic = audionmf.analyse(mixture, n_sources=2, model="harmonic", **QUICK)
    free = audionmf.analyse(mixture, n_sources=2, model="free", **QUICK)
    few = audionmf.analyse(mixture, n_sources=2, n_components=6, **QUICK)
    struck = audionmf.analyse(mixture, n_sources=2, model="patterns", **QUICK)
    assert harmonic.n_components > free.n_components == 40
    assert (few.n_components, struck.n_components) == (6, 2)
    assert struck.patterns is not None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "frames"}, "for examples and templates"),
        ({"model": "harmonic", "n_components": 4}, "leave out n_components"),
        ({"model": "patterns", "beta": 2.0}, "leave out n_components"),
        ({"cues": "colour"}, "the cues are"),
        ({"n_sources": 500}, "sources cannot be made of"),
        ({"restarts": 0}, "restarts"),
    ],
)
def test_what_does_not_fit_is_refused(options, words):
    with pytest.raises(ParameterError, match=words):
        audionmf.analyse((low() + high()) / 4, **{"n_sources": 2, **QUICK, **options})


def test_blind_models_do_not_go_with_examples():
    with pytest.raises(ParameterError, match="for blind separation"):
        audionmf.separate(low(), examples={"a": low()}, model="harmonic", **QUICK)


@pytest.mark.parametrize(
    "options",
    [
        {"n_sources": 2},
        {"n_sources": 2, "model": "free"},
        {"n_sources": 2, "model": "patterns"},
        {"n_sources": 2, "beta": 2.0},
        {"components": True},
    ],
)
def test_the_best_of_several_starts_is_kept_and_the_spread_told(options):
    mixture = (low() + high()) / 4
    one = audionmf.analyse(mixture, **QUICK, **options)
    three = audionmf.analyse(mixture, restarts=3, **QUICK, **options)
    again = audionmf.analyse(mixture, restarts=3, **QUICK, **options)
    assert three.divergence[-1] <= one.divergence[-1] * 1.01
    np.testing.assert_array_equal(three.templates.templates, again.templates.templates)
    assert three.remarks == again.remarks
    assert "starts ended at divergences from" in three.remarks[-1]
    assert not any("starts" in remark for remark in one.remarks)


def test_watching_can_end_the_factorisation():
    found = audionmf.analyse(
        (low() + high()) / 4, n_sources=2, watch=lambda state: state.iteration == 4, **QUICK
    )
    assert found.reason == "cancelled"
    assert len(found.grouping) == 2


@pytest.mark.parametrize("n_samples", [1, 300])
@pytest.mark.parametrize("n_channels", [1, 2])
def test_hardly_any_samples_are_separated_all_the_same(n_samples, n_channels):
    samples = np.full((n_channels, n_samples), 0.25)
    with pytest.warns(audionmf.AudioWarning):
        found = audionmf.separate(samples, **QUICK)
    np.testing.assert_allclose(sum(found.sources.values()), samples, atol=1e-6)


def test_silence_gives_silent_stems():
    with pytest.warns(audionmf.AudioWarning, match="silent"):
        found = audionmf.separate(np.zeros((2, 4000)), **QUICK)
    assert not any(stem.any() for stem in found.sources.values())


def test_what_was_decided_is_kept_in_the_model_file(tmp_path):
    found = audionmf.analyse((low() + high()) / 4, **QUICK)
    assert Decomposition.load(found.save(tmp_path / "model.npz")).remarks == found.remarks != ()


def test_the_command_needs_no_more_than_a_recording(tmp_path, run):
    path, out = sound(tmp_path / "mix.wav", (low() + high()) / 4), tmp_path / "out"
    options = ("--n-fft", "512", "--max-iter", "30", "--names", "plain", "-o", out)
    code, text, err = run("separate", path, *options)
    assert (code, err) == (0, "")
    assert ": a second explains " in text
    stems = [name for name in files_below(out) if name.endswith(".wav")]
    assert stems == [f"mix/source{i + 1}.wav" for i in range(len(stems))]
    code, text, _ = run("separate", path, *options, "--json", "--restarts", "2")
    assert code == 0
    remarks = [remark[:8] for remark in json.loads(text)["remarks"] if "in doubt" not in remark]
    assert remarks[1:] == ["told apa", "2 starts"]


def test_a_batch_that_chooses_the_numbers_is_resumed(tmp_path, run):
    paths = [sound(tmp_path / f"{n}.wav", (low() * (n + 1) + high()) / 8) for n in range(2)]
    arguments = ("separate", *paths, "--n-fft", "512", "--max-iter", "9", "-o", tmp_path / "out")
    assert run(*arguments)[0] == 0
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.wav")}
    code, text, _ = run(*arguments, "--resume")
    assert code == 0
    assert text.count("finished before") == 2
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.wav")} == before


@pytest.mark.parametrize("n_threads", [1, 3])
def test_channels_are_summed_over_bands_by_their_magnitudes(n_threads):
    rng, stft = np.random.default_rng(0), STFT(2048, 512)
    X = rng.normal(size=(2, 150, 1025)) + 1j * rng.normal(size=(2, 150, 1025))
    X = X.astype(np.complex64).swapaxes(1, 2)
    bands = Bands.of(stft, RATE)
    found = blind._banded(Frames(np.abs(X).sum(axis=0), X, 1, 1), bands, n_threads)
    for channel, expected in zip(found, X, strict=True):
        np.testing.assert_allclose(channel, bands.pool(np.abs(expected)), rtol=1e-6)
