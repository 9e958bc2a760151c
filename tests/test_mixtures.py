"""scripts/make_mixtures.py: mixtures with true stems, of whatever is given."""

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audionmf.sources.midi import parse_midi

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import make_mixtures
import mixture_players

RATE = make_mixtures.RATE


def tone(path, hertz, fall):
    time = np.arange(RATE // 2) / RATE
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * hertz * time) * np.exp(-fall * time), RATE)


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    folder = tmp_path_factory.mktemp("material")
    for name, hertz in {"C4": 261.6, "A4": 440, "F#5": 740}.items():
        tone(folder / "piano" / f"{name}.wav", hertz, 4)
    for kit, higher in {"one": 1, "two": 1.3}.items():
        for name, hertz in {"kick": 60, "snare": 300, "hihat": 6000, "ride": 4000}.items():
            tone(folder / kit / f"{name}.wav", hertz * higher, 30)
    for speaker, hertz in {"anna": 220, "bert": 110}.items():
        for k in range(4):
            tone(folder / speaker / f"{k}.wav", hertz + 20 * k, 1)
    tone(folder / "sounds" / "door.wav", 900, 20)
    return make_mixtures.Material(
        notes=[folder / "piano"],
        kits=[folder / "one", folder / "two"],
        speech=[folder / "anna", folder / "bert"],
        sounds=[folder / "sounds"],
    )


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.wav")}


def test_stems_sum_to_the_mixture_and_examples_are_something_else(tmp_path, material):
    for index in range(1, 6):
        folder = make_mixtures.make(tmp_path, 3, index, material)
        mixture, rate = soundfile.read(folder / "mixture.wav", dtype="int16", always_2d=True)
        assert rate == 44100
        assert soundfile.info(folder / "mixture.wav").subtype == "PCM_16"
        assert 8 <= len(mixture) / rate <= 14
        names = sorted(path.name for path in (folder / "stems").iterdir())
        assert names == sorted(path.name for path in (folder / "examples").iterdir())
        assert 2 <= len(names) <= 4
        whole = np.zeros(mixture.shape, int)
        for name in names:
            stem = soundfile.read(folder / "stems" / name, dtype="int16", always_2d=True)[0]
            example = soundfile.read(folder / "examples" / name, always_2d=True)[0]
            assert np.abs(stem.astype(int)).max() > 100
            assert 0.2 < np.abs(example).max() < 0.9
            assert example.shape[1] == 1
            assert 4 <= len(example) / rate <= 8
            one, two = example[: 4 * rate, 0], stem[: 4 * rate, 0] / 2**15
            assert abs(one @ two) < 0.8 * np.linalg.norm(one) * np.linalg.norm(two)
            whole += stem
        np.testing.assert_array_equal(whole, mixture)
        assert np.abs(whole).max() < 32767
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"mix{k:04d}" for k in range(1, 6)]


def test_a_seed_and_an_index_give_one_mixture(tmp_path, material):
    one = content(make_mixtures.make(tmp_path, 3, 2, material))
    assert content(make_mixtures.make(tmp_path, 3, 2, material)) == one
    assert content(make_mixtures.make(tmp_path, 3, 3, material)) != one


def test_without_material_a_singer_and_noises_are_left(tmp_path):
    folder = make_mixtures.make(tmp_path, 1, 1, make_mixtures.Material())
    assert "singer.wav" in [path.name for path in (folder / "stems").iterdir()]


def test_material_that_stays_silent_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(make_mixtures, "TRIES", 2)
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, np.zeros(RATE), RATE)
    (tmp_path / "out").mkdir()
    with pytest.raises(RuntimeError, match="silent"):
        make_mixtures.make(tmp_path / "out", 1, 1, make_mixtures.Material(speech=[tmp_path]))
    assert not list((tmp_path / "out").iterdir())


def test_nobody_plays_twice_in_a_mixture(material):
    maker = make_mixtures.Maker(np.random.default_rng(1), material)
    maker.other = False
    first, _ = maker.two(material.speech)
    assert {first, maker.two(material.speech)[0]} == set(material.speech)
    maker.used, maker.other = [], True
    assert set(maker.two(material.speech)) == set(material.speech)


def test_a_midi_file_holds_the_notes():
    rng = np.random.default_rng(0)
    score = [(0.5, 0.25, 60, 90), (0.5, 1.5, 67, 80), (30.0, 0.5, 62, 70)]
    for drums, swells in ((False, True), (True, False)):
        written = mixture_players.midi(rng, score, 40, drums=drums, swells=swells)
        (track,) = parse_midi(written, "a.mid")
        told = [(track.seconds(e.tick), e.first, e.status, e.second) for e in track.events]
        found = [
            (
                begin,
                min(t for t, k, status, _ in told if k == key and status == 0x80) - begin,
                key,
                v,
            )
            for begin, key, status, v in told
            if status == 0x90
        ]
        assert {event.channel for event in track.events} == {9 if drums else 0}
        np.testing.assert_allclose(sorted(found), sorted(score), atol=2e-3)


def test_a_singer_is_in_tune():
    x = mixture_players.sings(
        np.random.default_rng(2), [(0.2, 1.5, 69, 100)], 2, (1.0, 6, 5.5, 0.0, 0.0)
    )
    spectrum = np.abs(np.fft.rfft(x[RATE // 2 : RATE // 2 + RATE]))
    assert abs(np.argmax(spectrum[300:600]) + 300 - 440) < 5  # bins of 1 Hz


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("A4.ogg", 69),
        ("F#3v10.ogg", 54),
        ("flute_Bb2.wav", 46),
        ("Cs4.wav", 61),
        ("kick.wav", None),
    ],
)
def test_files_are_named_after_keys(name, key):
    assert mixture_players.key_of(Path(name)) == key


def test_what_is_not_there_is_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "kazoo").mkdir()
    for option, told in {
        "--fonts": "there is no",
        "--notes": "not named after",
        "--kits": "no kick",
        "--speech": "fewer than two",
    }.items():
        where = tmp_path / ("nowhere" if option == "--fonts" else "kazoo")
        monkeypatch.setattr(sys, "argv", ["make_mixtures.py", str(tmp_path), option, str(where)])
        with pytest.raises(SystemExit):
            make_mixtures.main()
        assert told in capsys.readouterr().err
