"""The notes of a recording: from its stems or from its score, as a table and as files."""

import csv
import dataclasses

import numpy as np
import pytest
from conftest import RATE, TINY, sound
from instruments import bursts, harmonic, onset_f
from scores import band, play

import audionmf
from audionmf.errors import AudioNMFWarning, OutputError, ParameterError
from audionmf.io.audio import Audio
from audionmf.notes import hearing
from audionmf.notes.hearing import Stem
from audionmf.notes.transcription import (
    check_exports,
    export_names,
    export_paths,
    notes_of,
    transcribe_stems,
)
from audionmf.sources.score import Score, read_score

pretty_midi = pytest.importorskip("pretty_midi")

KEYS = [60, 64, 67, 72, 67, 64, 60, 60]
MELODY = [(0.2 + 0.4 * i, 0.5 + 0.4 * i, key) for i, key in enumerate(KEYS)]
SECONDS = 3.6


@pytest.fixture(scope="module")
def melody(tmp_path_factory):
    """The score of a melody, and what it sounds like."""
    path = tmp_path_factory.mktemp("melody") / "score.mid"
    path.write_bytes(band(lead=MELODY))
    samples = play(read_score(path), SECONDS, RATE, {"lead": (1, 0.6, 0.4, 0.3, 0.2)})["lead"]
    return path, Audio(samples[None].astype(np.float32), RATE)


def stem(samples):
    return Audio(samples.astype(np.float32), RATE)


def played(notes):
    return [(n.onset, n.offset, n.pitch) for n in notes]


@pytest.fixture(scope="module")
def stems():
    return {
        "flute": stem(harmonic(MELODY[:3], 1.5, rate=RATE)),
        "kick": stem(bursts([0.3, 0.7, 1.1], 1.5, RATE, "dark")),
        "nothing": stem(np.zeros(RATE)),
    }


@pytest.fixture(scope="module")
def table(stems):
    return transcribe_stems(stems)


def test_every_stem_gives_its_notes(table):
    assert table.sources == ("flute", "kick", "nothing")
    assert onset_f(MELODY[:3], played(table.of("flute"))) >= 0.8
    assert {(n.pitch, n.drum) for n in table.of("kick")} == {(36, True)}
    assert table.without == ["nothing"]
    assert list(table) == sorted(table, key=lambda n: n.onset)


def test_all_sources_have_one_scale_of_velocity(stems, table):
    assert max(n.velocity for n in table) == 127
    assert max(n.level_db for n in table) == 0
    softer = transcribe_stems({**stems, "flute": stem(stems["flute"].samples[0] / 4)})
    for name, change in (("flute", -20 * np.log10(4)), ("kick", 0)):
        before, after = (np.mean([n.level_db for n in t.of(name)]) for t in (table, softer))
        loudest = max(n.level_db for n in table.of("kick"))
        assert after - before == pytest.approx(change - loudest, abs=0.3)


def test_the_number_of_threads_does_not_matter(stems, table):
    assert transcribe_stems(stems, n_threads=1) == table


def test_keys_of_drums_can_be_said(stems):
    kick = {"thud": stems["kick"]}
    assert {n.pitch for n in transcribe_stems(kick, drum_keys={"thud": "cowbell"})} == {56}
    with pytest.raises(ParameterError, match="0 to 127"):
        transcribe_stems(kick, drum_keys={"thud": 128})


def test_a_lone_instrument_is_one_source(melody):
    found = audionmf.transcribe(melody[1])
    assert found.sources == ("recording",)
    assert onset_f(MELODY, played(found)) >= 0.8


def test_what_goes_with_sources_needs_some(melody):
    for option in ({"only": "a"}, {"free": 2}, {"residual": "rest"}):
        with pytest.raises(ParameterError, match="needs sources"):
            audionmf.transcribe(melody[1], **option)


def test_a_separation_gives_its_notes(stems):
    mixture = stem(stems["flute"].samples[0] + stems["kick"].samples[0])
    examples = {name: stems[name] for name in ("flute", "kick")}
    separation = audionmf.separate(mixture, examples=examples, settings=TINY)
    notes = separation.notes(drum_keys={"kick": 35}, tempo=100)
    assert notes.sources == ("flute", "kick")
    assert {n.pitch for n in notes.of("kick")} == {35}
    assert onset_f(MELODY[:3], played(notes.of("flute"))) >= 0.6
    assert notes.tempo == 100
    assert {e.source for e in separation.activity()} == {"flute", "kick"}
    straight = audionmf.transcribe(
        mixture, examples=examples, settings=TINY, drum_keys={"kick": 35}, tempo=100
    )
    assert straight.sources == notes.sources
    assert [(n.source, n.pitch) for n in straight] == [(n.source, n.pitch) for n in notes]


def test_examples_are_listened_to_for_notes_too(stems, monkeypatch):
    told = []

    def hear(source, key, *, kit, alone, others):
        told.append([recording.n_samples for recording in alone])
        assert [other.n_samples for other in others] == [source.n_samples]
        return Stem([], drum=False)

    monkeypatch.setattr(hearing, "hear", hear)
    examples = {name: stems[name] for name in ("flute", "kick")}
    separation = audionmf.separate(stems["flute"], examples=examples, settings=TINY)
    with pytest.warns(AudioNMFWarning, match="no notes"):
        separation.notes()
    with pytest.warns(AudioNMFWarning, match="no notes"):
        audionmf.transcribe(stems["flute"], examples=examples, settings=TINY)
    assert told == [[3 * RATE // 2]] * 4


def test_a_source_without_notes_is_warned_of():
    with pytest.warns(
        AudioNMFWarning, match="no notes of 'recording': neither a pitch nor strokes"
    ):
        assert len(audionmf.transcribe(np.zeros(RATE), sample_rate=RATE)) == 0


def test_with_a_score_its_notes_are_handed_on(melody, run, tmp_path):
    path, audio = melody
    mix, out = sound(tmp_path / "mix.wav", audio.samples), tmp_path / "out"
    code, printed, _ = run(
        "separate", mix, "--midi", path, "--export", "midi,labels,csv", "-o", out
    )
    assert code == 0
    assert all(f"mix/notes.{ending}" in printed for ending in ("mid", "txt", "csv"))
    [again] = read_score(out / "mix" / "notes.mid").parts
    assert again.name == "lead"
    np.testing.assert_allclose(played(again.notes), MELODY, atol=1e-3)
    assert {n.velocity for n in again.notes} == {90}
    straight = audionmf.transcribe(audio, midi=path)
    assert played(straight) == pytest.approx(np.array(MELODY), abs=1e-3)


def test_a_score_without_notes_is_no_failure(melody):
    found = audionmf.analyse(melody[1], components=True, settings=TINY, n_components=2)
    assert len(notes_of(dataclasses.replace(found, score=Score((), "")), {})) == 0


def test_paths_follow_the_pattern(tmp_path):
    kinds = ["csv", "events", "raven"]
    assert export_paths(tmp_path, "mix", kinds, "{source}/{track}.{ext}") == {
        "csv": tmp_path / "notes" / "mix.csv",
        "events": tmp_path / "events" / "mix.csv",
        "event labels": tmp_path / "events" / "mix.txt",
        "raven": tmp_path / "events" / "mix.selections.txt",
    }
    names = export_names(["midi", "labels", *kinds]).values()
    assert len(set(names)) == len(names) == 6


def test_other_kinds_are_refused():
    with pytest.raises(ParameterError, match="midi, labels, csv, events, raven"):
        check_exports(["pdf"])


def test_an_input_is_not_overwritten(melody, run, tmp_path):
    path, audio = melody
    mix = sound(tmp_path / "mix.wav", audio.samples)
    score = tmp_path / "out" / "mix" / "notes.mid"
    score.parent.mkdir(parents=True)
    score.write_bytes(path.read_bytes())
    for command in ("separate", "notes"):
        code, _, said = run(
            command, mix, "--midi", score, "--export", "midi", "-o", tmp_path / "out"
        )
        assert (code, "overwrite" in said) == (OutputError.exit_code, True)
    assert score.read_bytes() == path.read_bytes()


def test_decompose_and_regroup_export_what_each_source_plays(melody, run, tmp_path):
    mix, out = sound(tmp_path / "mix.wav", melody[1].samples[:, :13_000]), tmp_path / "out"
    code, printed, _ = run(
        "decompose", mix, "--n-components", 3, "--export", "csv,events", "-o", out
    )
    assert code == 0
    assert "mix/notes.csv" in printed
    with (out / "mix" / "notes.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {int(row["midi"]) for row in rows if row["drum"] == "0"} >= {60, 64, 67}
    assert all(row["source"] == f"component{int(row['component']):02d}" for row in rows)
    model = out / "mix" / "model.npz"
    code, printed, _ = run(
        "regroup", model, "--group", "all=0-2", "--export", "csv", "-o", tmp_path / "new"
    )
    assert (code, "mix/notes.csv" in printed) == (0, True)
    with (tmp_path / "new" / "mix" / "notes.csv").open(newline="") as stream:
        notes = [
            (float(r["onset_s"]), float(r["offset_s"]), int(r["midi"]))
            for r in csv.DictReader(stream)
            if r["source"] == "all"
        ]
    assert onset_f(MELODY[:4], notes) >= 0.8


def test_the_command_writes_notes_and_no_stems(stems, run, tmp_path):
    mixture = stems["flute"].samples[0] + stems["kick"].samples[0]
    mix, out = sound(tmp_path / "mix.wav", mixture), tmp_path / "out"
    named = [f"{n}={sound(tmp_path / f'{n}.wav', stems[n].samples)}" for n in ("flute", "kick")]
    code, printed, said = run(
        "notes", mix, "--example", named[0], "--example", named[1], "--map", "kick=cowbell",
        "--export", "midi,csv,events,raven", "--tempo", 90, "--n-threads", 1, "-o", out,
    )  # fmt: skip
    assert (code, said) == (0, "")
    assert sorted(p.name for p in (out / "mix").iterdir()) == [
        "events.csv", "events.selections.txt", "events.txt", "notes.csv", "notes.mid",
    ]  # fmt: skip
    made = pretty_midi.PrettyMIDI(str(out / "mix" / "notes.mid"))
    assert {(t.name, t.is_drum) for t in made.instruments} == {("flute", False), ("kick", True)}
    assert {n.pitch for t in made.instruments if t.is_drum for n in t.notes} == {56}
    assert made.get_tempo_changes()[1] == pytest.approx([90], rel=1e-4)
    assert "kick: 3 notes" in printed


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [("--map", "kick", "NAME=KEY"), ("--tempo", "fast", "auto"), ("--export", "pdf", "csv")],
)
def test_wrong_options_are_refused_before_anything_is_computed(
    mixture, run, tmp_path, option, value, text
):
    code, _, said = run("notes", mixture, option, value, "-o", tmp_path / "out")
    assert (code, text in said) == (ParameterError.exit_code, True)
    assert not list((tmp_path / "out").rglob("*.*"))


def test_a_separation_with_strokes_can_be_made_again(stems, run, tmp_path):
    mixture = stems["flute"].samples[0] + stems["kick"].samples[0]
    mix, out = sound(tmp_path / "mix.wav", mixture), tmp_path / "out"
    named = [f"{n}={sound(tmp_path / f'{n}.wav', stems[n].samples)}" for n in ("flute", "kick")]
    code, *_ = run(
        "separate", mix, "--example", named[0], "--example", named[1], "--map", "kick=35",
        "--export", "csv,events", "--tempo", "auto", "-o", out, "--n-threads", 1,
    )  # fmt: skip
    assert code == 0
    assert ",35," in (out / "mix" / "notes.csv").read_text()
    code, printed, said = run("rerun", out / "mix" / "manifest.json")
    assert (code, said) == (0, "")
    assert "notes.csv" in printed
