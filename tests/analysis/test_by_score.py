"""Separation with a score: who plays what when is known, and nothing else."""

import json

import numpy as np
import pytest
from conftest import RATE, sound
from scores import band, play

import audionmf
from audionmf.analysis import by_score as informed
from audionmf.analysis import by_several, note_model, note_spectra
from audionmf.errors import LimitError, ParameterError, ScoreError
from audionmf.evaluate.measures import si_sdr
from audionmf.io.audio import Audio
from audionmf.rendering.decomposition import Decomposition
from audionmf.sources.score import read_score
from audionmf.spectra import bands

SECONDS = 5.0
STRENGTHS = {"lead": (1, 0.7, 0.4, 0.2), "bass": (0.6, 1, 0.8, 0.6, 0.4, 0.3), "drums": ()}


def tune(n=15, seed=0):
    rng, now, lead, bass = np.random.default_rng(seed), 0.1, [], []
    for i, key in enumerate(rng.choice([60, 62, 64, 67, 69], n)):
        lead.append((now, now + 0.28, int(key)))
        if i % 2 == 0:
            bass.append((now, now + 0.5, int(rng.choice([36, 40, 43, 45]))))
        now += 0.32
    return lead, bass


@pytest.fixture(scope="module")
def trio(tmp_path_factory):
    """Path of a score, and the stereo stems of lead, bass and drums."""
    lead, bass = tune()
    drums = [(0.27 + 0.64 * i, 0.37 + 0.64 * i, 36) for i in range(7)]
    path = tmp_path_factory.mktemp("trio") / "score.mid"
    path.write_bytes(band(lead=lead, bass=bass, drums=drums))
    mono = play(read_score(path), SECONDS, RATE, STRENGTHS)
    places = {"lead": (0.9, 0.4), "bass": (0.5, 0.8), "drums": (0.7, 0.7)}
    stems = {
        name: (np.array(places[name])[:, None] * stem).astype(np.float32)
        for name, stem in mono.items()
    }
    return path, stems


def mixed(stems, channels=2):
    total = sum(stems.values())
    return Audio(total if channels == 2 else total[:1], RATE)


def scores(stems, found, channels=2):
    return {name: float(si_sdr(stem[:channels], found[name])) for name, stem in stems.items()}


@pytest.fixture(scope="module")
def separated(trio):
    path, stems = trio
    return audionmf.separate(mixed(stems), midi=path)


def test_each_track_becomes_a_stem_close_to_the_true_one(trio, separated):
    _, stems = trio
    assert list(separated.sources) == ["lead", "bass", "drums"]
    reached = scores(stems, separated.sources)
    assert min(reached.values()) > 10, reached
    assert np.mean(list(reached.values())) > 14, reached


def test_the_stems_sum_to_the_mixture(trio, separated):
    residual = sum(separated.sources.values()) - mixed(trio[1]).samples
    assert np.abs(residual).max() < 1e-6


def test_mono_works_too(trio):
    path, stems = trio
    found = audionmf.separate(mixed(stems, 1), midi=path)
    assert found.decomposition.covariances is None
    assert np.mean(list(scores(stems, found.sources, 1).values())) > 8


def test_a_score_moved_and_with_notes_missing_costs_little(trio, separated, tmp_path):
    path, stems = trio
    score = read_score(path)
    parts = []
    for part in score.parts:
        kept = [(n.onset + 0.3, n.offset + 0.3, n.pitch) for n in part.notes]
        if part.name == "lead":
            del kept[4], kept[9]
        parts.append((part.name, kept))
    (tmp_path / "other.mid").write_bytes(band(**dict(parts)))
    found = audionmf.separate(mixed(stems), midi=tmp_path / "other.mid")
    assert found.decomposition.score.alignment.shift == pytest.approx(-0.3, abs=0.03)
    best = np.mean(list(scores(stems, separated.sources).values()))
    assert np.mean(list(scores(stems, found.sources).values())) > best - 2


def test_missing_notes_are_found_by_what_is_left_unexplained(trio, monkeypatch, tmp_path):
    path, stems = trio
    notes = {
        p.name: [(n.onset, n.offset, n.pitch) for n in p.notes] for p in read_score(path).parts
    }
    notes["lead"] = [note for i, note in enumerate(notes["lead"]) if i not in (5, 11)]
    (tmp_path / "few.mid").write_bytes(band(**notes))

    def reached():
        found = audionmf.separate(mixed(stems), midi=tmp_path / "few.mid").sources
        return scores(stems, found)["lead"]

    with_them = reached()
    monkeypatch.setattr(note_model, "_MISSING_COST", 1e9)
    assert with_them > reached() + 2


def test_a_drum_does_not_take_a_bass_whose_notes_are_missing_under_it(monkeypatch, tmp_path):
    """Every note of one key is missing, and the drum is struck with each of them."""
    _, bass = tune()
    drums = [(onset, onset + 0.1, 36) for onset, *_ in bass]
    (tmp_path / "all.mid").write_bytes(band(bass=bass, drums=drums))
    few = [note for note in bass if note[2] != 45]
    assert len(few) == len(bass) - 2
    (tmp_path / "few.mid").write_bytes(band(bass=few, drums=drums))
    mono = play(read_score(tmp_path / "all.mid"), SECONDS, RATE, STRENGTHS)
    places = {"bass": [[0.9], [0.4]], "drums": [[0.6], [0.75]]}
    stems = {name: (np.array(places[name]) * mono[name]).astype(np.float32) for name in mono}

    def reached(score):
        found = audionmf.separate(mixed(stems), midi=tmp_path / score).sources
        return np.mean(list(scores(stems, found).values()))

    early = reached("few.mid")
    assert early > reached("all.mid") - 2
    monkeypatch.setattr(note_model, "_MISSING_AT", note_model._MISSING_AT[2:])
    assert early > reached("few.mid") + 5


def test_missing_notes_are_sought_on_bands_and_bends_on_fewer_frames(trio, monkeypatch):
    path, stems = trio
    seen = []
    fit = note_model.fit_sum

    def noted(V, models, **options):
        seen.append((*V.shape, options["max_iter"]))
        return fit(V, models, **options)

    monkeypatch.setattr(note_model, "fit_sum", noted)
    monkeypatch.setattr(note_model, "_TRIAL_FRAMES", 60)
    monkeypatch.setattr(bands, "_SINGLE_BELOW_HZ", 1000.0)  # else nearly all bins stay single
    found = audionmf.separate(mixed(stems), midi=path).decomposition
    n_bins, n_frames = found.templates.stft.n_bins, found.activations.shape[1]
    n_bands = len(bands.Bands.of(found.templates.stft, RATE).edges)
    trial = [size for size in seen if size[2] == note_model._TRIAL_ITERATIONS]
    sought = [size for size in seen if size[2] == note_model._MISSING_ITERATIONS]
    assert trial == [(2 * n_bins, -(-n_frames // 4), note_model._TRIAL_ITERATIONS)]
    assert n_bands < n_bins / 2
    few = (2 * n_bands, n_frames, note_model._MISSING_ITERATIONS)
    assert sought.count(few) == len(note_model._MISSING_AT)


def test_notes_heard_never_alone_borrow_from_their_neighbours(trio, separated, monkeypatch):
    path, stems = trio
    monkeypatch.setattr(note_spectra, "_TIE", 0.0)
    without = scores(stems, audionmf.separate(mixed(stems), midi=path).sources)
    tied = scores(stems, separated.sources)
    assert np.mean(list(tied.values())) > np.mean(list(without.values()))


def test_activations_are_zero_while_the_score_is_silent(separated):
    found = separated.decomposition
    times = found.templates.stft.times(found.activations.shape[1], RATE)
    lead = found.score.parts[0]
    for k in found.grouping["lead"][:-1]:  # the last is the attacks
        sounding = np.zeros(len(times), bool)
        for note in lead.notes:
            if note.pitch == found.keys[k]:
                sounding |= (times > note.onset - 0.1) & (times < note.end + 0.4)
        assert found.activations[k].any()
        assert not found.activations[k, ~sounding].any()


def test_the_divergence_falls(separated):
    curve = separated.decomposition.divergence
    assert len(curve) > 5
    assert curve[-1] < 0.3 * curve[0]


def test_the_model_is_saved_and_renders_the_same(trio, separated, tmp_path):
    model = Decomposition.load(separated.decomposition.save(tmp_path / "model.npz"))
    assert model.score == separated.decomposition.score
    assert model.keys == separated.decomposition.keys
    again = audionmf.render(mixed(trio[1]), model).sources
    for name, stem in separated.sources.items():
        np.testing.assert_array_equal(again[name], stem)


def test_a_long_recording_is_thinned_and_read_again(trio, separated, monkeypatch):
    path, stems = trio
    monkeypatch.setattr(informed, "_MAX_FRAMES", 128)
    found = audionmf.separate(mixed(stems), midi=path)
    n_frames = found.decomposition.activations.shape[1]
    assert n_frames == separated.decomposition.activations.shape[1] > 128
    best = np.mean(list(scores(stems, separated.sources).values()))
    assert np.mean(list(scores(stems, found.sources).values())) > best - 3


def test_scale_and_threads_do_not_matter(trio, separated):
    path, stems = trio
    one = audionmf.separate(mixed(stems), midi=path, n_threads=1)
    for name, stem in separated.sources.items():
        np.testing.assert_array_equal(one.sources[name], stem)
    softer = audionmf.separate(Audio(mixed(stems).samples / 1024, RATE), midi=path)
    for name, stem in separated.sources.items():
        np.testing.assert_allclose(softer.sources[name] * 1024, stem, atol=1e-4)


def test_hands_become_stems(trio):
    path, stems = trio
    found = audionmf.separate(mixed(stems), midi=path, split_at="D4")
    assert list(found.sources) == ["lead high", "lead low", "bass", "drums"]


def test_residual_and_only_go_with_a_score(trio):
    path, stems = trio
    found = audionmf.separate(mixed(stems), midi=path, residual="left", only="bass")
    assert list(found.sources) == ["bass", "rest"]
    with pytest.raises(ParameterError, match="needs a name that no source has"):
        audionmf.separate(mixed(stems), midi=path, residual="bass")


def test_silence_gives_silent_stems(trio):
    silence = Audio(np.zeros((2, 4 * RATE), np.float32), RATE)
    with pytest.warns(audionmf.AudioWarning, match="silent"):
        found = audionmf.separate(silence, midi=trio[0])
    assert not any(stem.any() for stem in found.sources.values())


def test_what_a_score_does_not_go_with_is_refused(trio):
    path, stems = trio
    with pytest.raises(ParameterError, match="the number of sources is for a blind separation"):
        audionmf.separate(mixed(stems), midi=path, n_sources=2)
    with pytest.raises(ParameterError, match="give midi too"):
        audionmf.separate(mixed(stems), n_sources=2, split_at="C4")
    with pytest.raises(ParameterError, match="under beta 1"):
        audionmf.separate(mixed(stems), midi=path, beta=2)


def test_an_example_beside_the_score_is_heard(trio):
    """What the example teaches changes the stems, and for the better where notes sound together."""
    path, stems = trio
    lone = {name: Audio(stem[:1], RATE) for name, stem in stems.items() if name != "drums"}
    without = audionmf.separate(mixed(stems), midi=path)
    told = audionmf.separate(mixed(stems), midi=path, examples={"LEAD": lone["lead"]})
    assert list(told.sources) == list(without.sources)  # names are one whatever their case
    assert not np.array_equal(told.sources["lead"], without.sources["lead"])
    both = audionmf.separate(mixed(stems), midi=path, examples=lone)
    before, after = (np.mean(list(scores(stems, s.sources).values())) for s in (without, both))
    assert after > before - 0.5


def test_a_part_is_silent_where_it_is_said_to_be(trio):
    path, stems = trio
    found = audionmf.separate(mixed(stems), midi=path, absent={"bass": [(1.0, 3.0)]})
    bass = found.sources["bass"][:, round(1.2 * RATE) : round(2.8 * RATE)]
    assert not bass.any()
    np.testing.assert_allclose(sum(found.sources.values()), mixed(stems).samples, atol=1e-5)


def test_a_score_elsewhere_is_refused(trio, tmp_path):
    (tmp_path / "late.mid").write_bytes(band(a=[(500, 501, 60)]))
    score = read_score(tmp_path / "late.mid")
    with pytest.raises(ScoreError, match="none of the notes"):
        score.within(SECONDS)


def test_too_many_keys_are_refused(trio, monkeypatch):
    path, stems = trio
    monkeypatch.setattr(informed, "_MAX_VOICES", 4)
    with pytest.raises(LimitError, match="keys in its parts"):
        audionmf.separate(mixed(stems), midi=path)


def test_a_key_above_half_the_sample_rate_is_silent(tmp_path):
    (tmp_path / "high.mid").write_bytes(band(a=[(0, 1, 125), (1, 2, 60)]))
    noise = np.random.default_rng(0).standard_normal((1, 2 * RATE)).astype(np.float32)
    found = audionmf.separate(Audio(0.1 * noise, RATE), midi=tmp_path / "high.mid")
    assert all(np.isfinite(stem).all() for stem in found.sources.values())


# The command


@pytest.fixture
def files(trio, tmp_path):
    path, stems = trio
    return sound(tmp_path / "in" / "mix.wav", mixed(stems).samples), path, tmp_path / "out"


def test_the_command_writes_stems_and_says_how_the_score_was_moved(files, run):
    mix, score, out = files
    code, printed, _ = run("separate", mix, "--midi", score, "-o", out)
    assert code == 0
    assert sorted(p.name for p in (out / "mix").glob("*.wav")) == [
        "bass.wav",
        "drums.wav",
        "lead.wav",
    ]
    assert "the score fits as it is" in printed


def test_the_command_tells_programs_too(files, run, tmp_path):
    mix, path, out = files
    notes = read_score(path).parts[0].notes
    shifted = [(n.onset + 0.5, n.offset + 0.5, n.pitch) for n in notes]
    (tmp_path / "late.mid").write_bytes(band(lead=shifted))
    code, printed, _ = run("separate", mix, "--midi", tmp_path / "late.mid", "-o", out, "--json")
    assert code == 0
    alignment = json.loads(printed.splitlines()[-1])["alignment"]
    assert alignment["shift"] == pytest.approx(-0.5, abs=0.03)


def test_exit_codes(files, run, tmp_path):
    mix, score, out = files
    (tmp_path / "bad.mid").write_bytes(b"MThd")
    code, _, said = run("separate", mix, "--midi", tmp_path / "bad.mid", "-o", out)
    assert (code, said.count("\n")) == (3, 1)
    assert "bad.mid" in said
    assert run("separate", mix, "--midi", tmp_path / "none.mid", "-o", out)[0] == 3
    assert run("separate", mix, "--midi", score, "--split-at", "X", "-o", out)[0] == 2
    assert run("separate", mix, "--midi", score, "--n-sources", 2, "-o", out)[0] == 2
    assert run("separate", mix, "--midi", score, "--export", "pdf", "-o", out)[0] == 2
    assert run("separate", mix, mix, "--midi", score, "-o", out)[0] == 2


def sung(cents):
    """A part in which every note lies so many cents beside its key, by turns above and below."""
    keys = [60, 64, 67, 62, 65, 60, 64, 67]
    notes = [(0.1 + 0.7 * i, 0.7 + 0.7 * i, key) for i, key in enumerate(keys)]
    stem = np.zeros(round(6 * RATE), np.float32)
    for i, (onset, offset, key) in enumerate(notes):
        time = np.arange(round((offset - onset) * RATE)) / RATE
        hertz = 440 * 2 ** ((key - 69) / 12 + (cents if i % 2 else -cents) / 1200)
        tone = sum(0.6**k * np.sin(2 * np.pi * (k + 1) * hertz * time) for k in range(5))
        first = round(onset * RATE)
        stem[first : first + len(tone)] += 0.1 * tone * np.minimum(1, time[::-1] / 0.02)
    return notes, stem


@pytest.mark.parametrize(("cents", "bent"), [(0, False), (32, True)])
def test_a_part_bends_only_where_it_is_heard_to(tmp_path, monkeypatch, cents, bent):
    notes, stem = sung(cents)
    (tmp_path / "solo.mid").write_bytes(band(singer=notes))
    asked = []
    original = by_several.heard_bends
    monkeypatch.setattr(
        by_several, "heard_bends", lambda *given: asked.append(original(*given)) or asked[-1]
    )
    audionmf.separate(Audio(stem, RATE), midi=tmp_path / "solo.mid")
    assert (len(asked[0][0]) > 1) == bent
