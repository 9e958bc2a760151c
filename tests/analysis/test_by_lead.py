"""A leading voice and its accompaniment: melody, model, and the promises of all."""

import contextlib
import csv
import dataclasses
import json

import numpy as np
import pytest
from conftest import RATE, sound, steps

import audionmf
from audionmf.analysis import by_lead
from audionmf.analysis.by_lead import analyse_lead
from audionmf.analysis.component_votes import with_voters
from audionmf.errors import LimitError, ParameterError
from audionmf.evaluate.measures import si_sdr
from audionmf.io.audio import Audio
from audionmf.settings import Settings

SECONDS = 6.0
TUNE = (69, 71, 72, 76, 74, 72, 71, 74, 69, 67)
REST = slice(int(2.4 * RATE), int(3.6 * RATE))


def voice(n_samples):
    """Return a voice that glides from note to note, with vibrato, two formants and a rest."""
    time = np.arange(n_samples) / RATE
    keys = np.repeat(TUNE, -(-n_samples // len(TUNE)))[:n_samples].astype(float)
    smooth = np.convolve(np.pad(keys, 100, "edge"), np.ones(201) / 201, "valid")
    hertz = 440 * 2 ** ((smooth - 69 + 0.3 * np.sin(2 * np.pi * 5.5 * time)) / 12)
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    partials = [
        (
            np.exp(-(((k * hertz - 700) / 300) ** 2))
            + np.exp(-(((k * hertz - 1800) / 500) ** 2))
            + 0.1
        )
        * np.sin(k * phase)
        for k in range(1, 8)
    ]
    sung = 0.1 * sum(partials)
    sung[REST] = 0
    return sung


def chords(n_samples):
    """Return chords that are struck and die away."""
    out = np.zeros(n_samples)
    length = n_samples // 6
    time = np.arange(length) / RATE
    for i, root in enumerate((45, 50, 43, 48, 45, 40)):
        for key in (root, root + 7, root + 12, root + 16):
            hertz = 440 * 2 ** ((key - 69) / 12)
            note = sum(np.sin(2 * np.pi * hertz * k * time) / k**1.5 for k in range(1, 6))
            out[i * length : (i + 1) * length] += 0.05 * note * np.exp(-2 * time)
    return out


@pytest.fixture(scope="module")
def song():
    """The true stems in stereo: the voice in the middle, the chords to the left."""
    n = int(SECONDS * RATE)
    places = {"lead": (0.7, 0.7), "accompaniment": (0.9, 0.45)}
    mono = {"lead": voice(n), "accompaniment": chords(n)}
    return {
        name: (np.array(places[name])[:, None] * mono[name]).astype(np.float32) for name in mono
    }


@pytest.fixture(scope="module")
def separated(song):
    return audionmf.separate(sum(song.values()), sample_rate=RATE, lead=True)


def test_the_lead_and_its_accompaniment_come_apart(song, separated):
    mixture = sum(song.values())
    assert list(separated.sources) == ["lead", "accompaniment"]
    for name, truth in song.items():
        gained = si_sdr(truth, separated.sources[name]) - si_sdr(truth, mixture)
        assert gained > 9, name
    residual = sum(separated.sources.values()) - mixture
    assert 20 * np.log10(np.abs(residual).max() / np.abs(mixture).max()) <= -120


def test_options_of_the_factorisation_mean_something(song, separated):
    fell = separated.decomposition.divergence
    assert len(fell) == 9
    assert fell[-1] < 0.09 * fell[0]  # without momentum 0.11 is left after as many
    mixture = sum(song.values())
    few = audionmf.analyse(mixture, sample_rate=RATE, lead=True, max_iter=3, n_components=5)
    assert len(few.divergence) == 4
    assert len(few.grouping["accompaniment"]) == 5
    other = audionmf.analyse(mixture, sample_rate=RATE, lead=True, max_iter=3, seed=1)
    assert not np.array_equal(other.divergence, few.divergence)


def test_where_the_voice_rests_the_accompaniment_plays_alone(separated):
    lead, back = (separated.sources[name][:, REST] for name in ("lead", "accompaniment"))
    inner = slice(1000, -1000)
    assert np.sum(lead[:, inner] ** 2) < 1e-2 * np.sum(back[:, inner] ** 2)


def test_it_says_where_the_lead_is(separated):
    [remark] = separated.decomposition.remarks
    low, high = (int(word) for word in remark.split() if word.isdigit())
    assert 380 < low < 460
    assert 600 < high < 720


def test_mono_works_too(song):
    mixture = sum(song.values())[:1]
    found = audionmf.separate(mixture, sample_rate=RATE, lead=True)
    assert si_sdr(song["lead"][:1], found.sources["lead"]) > 8
    assert found.decomposition.covariances is None


def test_components_of_the_mixture_have_their_say(song):
    mixture = sum(song.values())[:1]
    found = audionmf.separate(mixture, sample_rate=RATE, lead=True)
    unheard = dataclasses.replace(found.decomposition, voters=None)
    without = audionmf.render(mixture, unheard, sample_rate=RATE)
    for name, stem in song.items():
        gained = si_sdr(stem[:1], found.sources[name]) - si_sdr(stem[:1], without.sources[name])
        assert gained > 1, name
    voters = found.decomposition.voters
    assert voters.votes is not None  # the accompaniment explains anything, which is no evidence
    assert (np.abs(voters.leanings) > 0.5).any()
    fast = audionmf.analyse(mixture, sample_rate=RATE, lead=True, quality="fast")
    assert fast.voters is None
    assert np.array_equal(fast.activations, found.decomposition.activations)


def test_of_a_long_recording_frames_that_are_spread_over_it_teach_them(song, monkeypatch):
    monkeypatch.setattr(by_lead, "_VOTING_FRAMES", 50)
    taught = []

    def teach(found, source, V, H, **known):
        taught.append((found, V, H))
        said = with_voters(found, source, V, H, **known)
        wholly = with_voters(found, source, V, H, **{**known, "followed": 1.0})
        leanings = known["followed"] * wholly.voters.leanings
        np.testing.assert_allclose(said.voters.leanings, leanings, rtol=1e-5)
        assert 0.5 < known["followed"] < 1
        return said

    monkeypatch.setattr(by_lead, "with_voters", teach)
    audionmf.analyse(sum(song.values()), sample_rate=RATE, lead=True)
    [(found, V, H)] = taught
    step = -(-found.activations.shape[1] // 50)
    assert V.shape[1] == H.shape[1] <= 50
    assert step > 1
    assert np.array_equal(H, found.activations[:, ::step])


def test_threads_and_scale_change_nothing(song, separated):
    mixture = sum(song.values())
    one = audionmf.separate(mixture * np.float32(8), sample_rate=RATE, lead=True, n_threads=1)
    for name, stem in separated.sources.items():
        assert np.array_equal(one.sources[name], 8 * stem), name
    odd = audionmf.separate(mixture * np.float32(1e-3), sample_rate=RATE, lead=True)
    assert si_sdr(separated.sources["lead"], odd.sources["lead"]) > 60


def test_the_mixture_is_left_as_it_was(song):
    mixture = sum(song.values())
    mixture.flags.writeable = False
    audionmf.separate(mixture[:, ::2], sample_rate=RATE // 2, lead=True)
    assert np.array_equal(mixture, sum(song.values()))


@pytest.mark.parametrize("n_samples", [1, 100, 3000])
def test_short_ones_keep_their_length(n_samples):
    samples = np.random.default_rng(0).uniform(-0.1, 0.1, (2, n_samples)).astype(np.float32)
    with pytest.warns(audionmf.AudioWarning) if n_samples < 1024 else contextlib.nullcontext():
        found = audionmf.separate(samples, sample_rate=RATE, lead=True)
    assert np.allclose(sum(found.sources.values()), samples, atol=1e-6)


def test_the_shell_calls_the_lead_by_name_and_takes_no_file_for_one(run, song, tmp_path):
    path = tmp_path / "song.wav"
    audionmf.write(path, audionmf.Audio(sum(song.values()).astype(np.float32), RATE))
    plan = ("separate", "--dry-run", "--json", "-o", tmp_path / "out")
    for given, names in (
        (("--lead", path), ["lead", "accompaniment"]),
        (("--lead=singer", path), ["singer", "accompaniment"]),
        ((path, "--lead="), ["lead", "accompaniment"]),
        (("--lead", "--", path), ["lead", "accompaniment"]),
    ):
        code, told, err = run(*plan, *given)
        assert code == 0, err
        assert list(json.loads(told)["stems"]) == names
    for given, message in (
        (("--lead", "singer", path), "to call the lead so, write --lead=singer"),
        ((f"--lead={path}",), "is the name of a file"),
        ((path, "--lead=accompaniment"), "not 'accompaniment'"),
    ):
        code, _, err = run(*plan, *given)
        assert code == 2
        assert message in err


def test_a_lead_is_called_by_name_in_python(song):
    found = audionmf.separate(sum(song.values()), sample_rate=RATE, lead="singer", max_iter=1)
    assert list(found.sources) == ["singer", "accompaniment"]
    with pytest.raises(audionmf.ParameterError, match="not 'accompaniment'"):
        audionmf.separate(np.ones((1, 9000)), sample_rate=RATE, lead="accompaniment")


def test_silence_has_no_lead():
    with pytest.warns(audionmf.AudioWarning, match="silent"):
        found = audionmf.separate(np.zeros((2, 9000), np.float32), sample_rate=RATE, lead=True)
    assert found.decomposition.remarks == ("no lead was heard",)
    assert not any(stem.any() for stem in found.sources.values())


def test_a_rate_too_low_for_any_pitch_works():
    samples = np.random.default_rng(0).uniform(-0.1, 0.1, (1, 9000)).astype(np.float32)
    found = audionmf.separate(samples, sample_rate=1000, lead=True)
    assert np.allclose(sum(found.sources.values()), samples, atol=1e-6)


def test_what_is_too_long_is_refused_before_it_is_read():
    with pytest.raises(LimitError, match="more than the 65536 frames"):
        audionmf.separate(
            np.zeros((1, 65536 * 8), np.float32), sample_rate=RATE, lead=True, n_fft=32
        )


@pytest.mark.parametrize("least", [1, 50])
def test_what_is_longer_than_it_says_is_refused_too(monkeypatch, least):
    class Longer(Audio):
        n_samples = property(lambda self: 1000)

    monkeypatch.setattr(by_lead, "_MOST_FRAMES", 400)
    monkeypatch.setattr(by_lead, "_WHOLE_FRAMES", least * 10)  # in blocks, and as a whole
    source = Longer(np.full((1, 8 * 500), 0.1, np.float32), RATE)
    with pytest.raises(LimitError, match="more than the 400 frames"):
        analyse_lead(source, Settings(n_fft=32), lambda stage, done: None)


def test_a_long_recording_is_read_in_blocks_and_comes_apart_as_well(song, separated, monkeypatch):
    monkeypatch.setattr(by_lead, "_WHOLE_FRAMES", 10)
    mixture = sum(song.values())
    long = audionmf.separate(mixture, sample_rate=RATE, lead=True)
    found, plain = long.decomposition, separated.decomposition
    assert found.keys == plain.keys
    np.testing.assert_allclose(found.activations, plain.activations, rtol=1e-3, atol=1e-4)
    for name, stem in long.sources.items():
        assert si_sdr(separated.sources[name], stem) > 60
    assert np.allclose(sum(long.sources.values()), mixture, atol=1e-6)


def test_places_of_a_long_recording_are_learnt_from_frames_spread_over_it(song, monkeypatch):
    monkeypatch.setattr(by_lead, "_WHOLE_FRAMES", 10)
    monkeypatch.setattr(by_lead, "_PLACED_FRAMES", 50)
    long = audionmf.separate(sum(song.values()), sample_rate=RATE, lead=True)
    for name, stem in song.items():
        assert si_sdr(stem, long.sources[name]) > 8


def test_another_beta_is_refused():
    with pytest.raises(ParameterError, match="beta 1"):
        audionmf.separate(np.zeros((1, 9000), np.float32), sample_rate=RATE, lead=True, beta=0)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"n_sources": 2}, "number of sources is for a blind separation"),
        ({"examples": {"lead": np.ones(9000, np.float32)}}, "a lead is known by its melody"),
        ({"solo": {"lead": [(0, 1)]}}, "a lead is known by its melody"),
        ({"residual": "rest"}, "leave out the residual"),
        ({"split_at": "C4"}, "midi"),
    ],
    ids=lambda other: next(iter(other)) if isinstance(other, dict) else "",
)
def test_another_way_to_know_the_sources_is_refused(other, message):
    with pytest.raises(ParameterError, match=message):
        audionmf.separate(np.ones((1, 9000), np.float32), sample_rate=RATE, lead=True, **other)


def test_a_high_lead_is_followed():
    rate, n = 16000, 32000
    time = np.arange(n) / rate
    hertz = np.repeat((1319.0, 1568.0, 1175.0, 1760.0), n // 4)
    phase = 2 * np.pi * np.cumsum(hertz) / rate
    high = 0.1 * (np.sin(phase) + 0.4 * np.sin(2 * phase))[None]
    chord = 0.02 * sum(
        np.sin(2 * np.pi * f * k * time) / k for f in (220, 277, 330) for k in (1, 2)
    )
    found = audionmf.separate(high + chord, sample_rate=rate, lead=True)
    [remark] = found.decomposition.remarks
    low, top = (int(word) for word in remark.split() if word.isdigit())
    assert 1100 < low < 1300
    assert 1700 < top < 1850


def test_the_command_writes_both_stems_the_melody_and_what_makes_them_again(tmp_path, run, song):
    path = sound(tmp_path / "song.wav", sum(song.values())[:, : REST.start])  # four notes
    out = tmp_path / "out"
    code, told, errors = run(
        "separate", path, "--lead", "-o", out, "--export", "csv", "--n-threads", 1
    )
    assert (code, errors) == (0, "")
    assert "the lead is mostly between" in told
    assert sorted(p.name for p in (out / "song").iterdir()) == [
        "accompaniment.wav", "lead.wav", "manifest.json", "notes.csv",
    ]  # fmt: skip
    total = steps(out / "song" / "lead.wav") + steps(out / "song" / "accompaniment.wav")
    assert np.abs(total - steps(path)).max() <= 2 / 32768
    rows = list(csv.DictReader((out / "song" / "notes.csv").read_text().splitlines()))
    sung = [int(row["midi"]) for row in rows if row["source"] == "lead"]
    assert len([key for key in sung if key in TUNE[:4]]) > 0.7 * len(sung)
    assert len(set(TUNE[:4]) & set(sung)) >= 3
    manifest = out / "song" / "manifest.json"
    assert json.loads(manifest.read_text())["job"]["lead"] is True
    code, told, _ = run("rerun", manifest)
    assert code == 0


def test_the_command_plans_the_stems_before_it_makes_them(tmp_path, run):
    path = sound(tmp_path / "song.wav", np.zeros((1, 9000)))
    code, told, _ = run("separate", path, "--lead", "--dry-run", "--json", "-o", tmp_path / "out")
    assert code == 0
    assert list(json.loads(told)["stems"]) == ["lead", "accompaniment"]


def test_one_of_them_and_the_rest(song):
    mixture = Audio(sum(song.values()), RATE)
    found = audionmf.separate(mixture, lead=True, only="accompaniment")
    assert list(found.sources) == ["accompaniment", "rest"]


def test_a_voice_has_a_name_and_may_be_said_to_be_silent(song):
    singer = audionmf.Known(voice=True, absent=[(0.0, 1.0)])
    found = audionmf.separate(sum(song.values()), {"singer": singer}, sample_rate=RATE)
    assert list(found.sources) == ["singer", "accompaniment"]
    assert not found.sources["singer"][:, : round(0.8 * found.sample_rate)].any()
    assert found.sources["singer"].any()
