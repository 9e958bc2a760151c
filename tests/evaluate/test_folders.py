"""Folders of stems compared: which file with which, what is refused, what is said."""

import csv
import json
import math
import os
import warnings

import numpy as np
import pytest
from conftest import RATE, sound

from audionmf import (
    AudioReadError,
    AudioWarning,
    InvalidAudioError,
    OutputError,
    ParameterError,
    evaluate,
)
from audionmf.evaluate.folders import audio_files, evaluate_folders, to_csv, to_dict, to_text
from audionmf.evaluate.measures import bss_eval, residual, scores

NAMES = ("bass", "drums", "voice")


def true_stems(n_channels=2, n_samples=2000, seed=0):
    rng = np.random.default_rng(seed)
    return 0.1 * rng.standard_normal((len(NAMES), n_channels, n_samples)).astype(np.float32)


def estimated(stems, seed=1):
    noise = np.random.default_rng(seed).standard_normal(stems.shape).astype(np.float32)
    return stems + 0.2 * stems[[1, 2, 0]] + np.float32(0.01) * noise


def folder(path, stems, names=NAMES, extension="wav", subtype="FLOAT"):
    for name, samples in zip(names, stems, strict=True):
        sound(path / f"{name}.{extension}", samples, subtype)
    return path


@pytest.fixture
def truths(tmp_path):
    return folder(tmp_path / "true", true_stems())


@pytest.fixture
def guesses(tmp_path):
    return folder(tmp_path / "out", estimated(true_stems()))


def one_line(caught):
    text = str(caught.value)
    assert "\n" not in text
    return text


# --- what comes out


def test_a_report_holds_the_scores_of_the_samples_in_the_files(truths, guesses):
    report = evaluate_folders(truths, guesses)
    stems = true_stems()
    others = estimated(stems)
    assert [stem.name for stem in report.stems] == list(NAMES)
    assert [stem.scores for stem in report.stems] == list(scores(stems, others))
    assert {stem.bss_eval for stem in report.stems} == {None}
    assert report.residual == residual(stems, others)
    assert (report.references, report.estimates) == (truths, guesses)
    assert (report.sample_rate, report.n_channels, report.n_samples) == (RATE, 2, 2000)
    assert report.match == "name"
    for stem in report.stems:
        assert (stem.reference.parent, stem.estimate.parent) == (truths, guesses)
        assert stem.reference.name == stem.estimate.name


def test_bss_eval_comes_if_it_is_asked_for(truths, guesses):
    report = evaluate_folders(truths, guesses, bss_eval=True)
    stems = true_stems()
    expected = bss_eval(stems, estimated(stems))
    assert [stem.bss_eval for stem in report.stems] == list(expected)
    assert list(report.mean) == ["si_sdr", "si_sir", "si_sar", "sdr", "sir", "sar"]
    assert report.mean["sar"] == pytest.approx(np.mean([score.sar for score in expected]))


def test_the_mean_is_that_of_the_stems(truths, guesses):
    report = evaluate_folders(truths, guesses)
    for name, value in report.mean.items():
        rows = [getattr(stem.scores, name) for stem in report.stems]
        assert value == pytest.approx(np.mean(rows))


def test_the_files_are_only_read(truths, guesses):
    kept = {path: path.read_bytes() for path in [*truths.iterdir(), *guesses.iterdir()]}
    evaluate_folders(truths, guesses, "best")
    assert kept == {path: path.read_bytes() for path in [*truths.iterdir(), *guesses.iterdir()]}


# --- which file with which


def test_the_extension_does_not_matter(truths, tmp_path):
    other = folder(tmp_path / "flac", estimated(true_stems()), extension="flac", subtype="PCM_24")
    report = evaluate_folders(truths, other)
    assert report.match == "name"
    assert [stem.estimate.name for stem in report.stems] == [f"{name}.flac" for name in NAMES]


@pytest.mark.parametrize("match", ["auto", "best"])
def test_names_of_their_own_are_matched_by_score(truths, tmp_path, match):
    others = estimated(true_stems())[[2, 0, 1]]
    out = folder(tmp_path / "out", others, ["source1", "source2", "source3"])
    report = evaluate_folders(truths, out, match)
    assert report.match == "best"
    found = {stem.name: stem.estimate.stem for stem in report.stems}
    assert found == {"bass": "source2", "drums": "source3", "voice": "source1"}
    expected = scores(true_stems(), others[[1, 2, 0]])
    assert [stem.scores for stem in report.stems] == list(expected)
    assert report.residual == residual(true_stems(), others[[1, 2, 0]])


def test_names_are_believed_unless_the_best_is_asked_for(truths, tmp_path):
    swapped = folder(tmp_path / "out", estimated(true_stems())[[1, 0, 2]])
    assert evaluate_folders(truths, swapped).stems[0].scores.si_sdr < 0
    best = evaluate_folders(truths, swapped, "best")
    assert [stem.estimate.stem for stem in best.stems] == ["drums", "bass", "voice"]
    assert min(stem.scores.si_sdr for stem in best.stems) > 10


def test_case_matters(tmp_path):
    truths = folder(tmp_path / "true", true_stems()[:2], ["bass", "Bass"])
    out = folder(tmp_path / "out", true_stems()[1:2], ["Bass"])
    with pytest.warns(AudioWarning, match="'bass'"):
        report = evaluate_folders(truths, out)
    assert [stem.name for stem in report.stems] == ["Bass"]
    assert report.stems[0].scores.si_sdr == math.inf


def test_what_is_on_one_side_only_is_named_and_left_out(tmp_path):
    truths = folder(tmp_path / "true", true_stems())
    out = folder(tmp_path / "out", true_stems(), ["voice", "keys", "bass"])
    sound(out / "keys.wav", np.zeros((1, 7)), rate=44100)  # not looked into
    with pytest.warns(AudioWarning) as caught:
        report = evaluate_folders(truths, out)
    assert sorted(str(warning.message) for warning in caught) == [
        "left out, as no estimate belongs to the reference: 'drums'",
        "left out, as no reference belongs to the estimate: 'keys'",
    ]
    assert [stem.name for stem in report.stems] == ["bass", "voice"]


@pytest.mark.parametrize("fewer", ["references", "estimates"])
def test_the_best_match_leaves_out_what_is_too_many(truths, tmp_path, fewer):
    out = folder(tmp_path / "two", estimated(true_stems())[[2, 0]], ["a", "b"])
    sides = (out, truths) if fewer == "references" else (truths, out)
    with pytest.warns(AudioWarning, match="left out.*'drums'"):
        report = evaluate_folders(*sides)
    found = {(stem.reference.stem, stem.estimate.stem) for stem in report.stems}
    expected = {("voice", "a"), ("bass", "b")}
    assert found == (expected if fewer == "estimates" else {pair[::-1] for pair in expected})


def test_two_files_are_compared_whatever_they_are_called(truths, guesses):
    report = evaluate_folders(truths / "bass.wav", guesses / "bass.wav")
    assert [stem.name for stem in report.stems] == ["bass"]
    renamed = (guesses / "bass.wav").rename(guesses / "x.wav")
    again = evaluate_folders(truths / "bass.wav", renamed)
    assert [stem.scores for stem in again.stems] == [stem.scores for stem in report.stems]


def test_a_file_finds_its_place_in_a_folder(truths, guesses, tmp_path):
    other = (guesses / "drums.wav").rename(tmp_path / "x.wav")
    with pytest.warns(AudioWarning, match="'bass', 'voice'"):
        report = evaluate_folders(truths, other)
    assert [stem.name for stem in report.stems] == ["drums"]


def test_what_is_no_audio_is_passed_over(truths):
    (truths / "notes.txt").write_text("no audio")
    (truths / ".hidden.wav").write_text("no audio")
    (truths / "folder.wav").mkdir()
    (truths / "LOUD.WAV").write_bytes((truths / "bass.wav").read_bytes())
    found = [path.name for path in audio_files(truths)]
    assert found == ["LOUD.WAV", "bass.wav", "drums.wav", "voice.wav"]
    assert audio_files(truths / "bass.wav") == [truths / "bass.wav"]


# --- what is odd


def test_lengths_may_differ_by_a_hundredth_and_the_shorter_counts(truths, tmp_path):
    others = estimated(true_stems())
    out = folder(tmp_path / "out", others[:, :, :1980])
    with pytest.warns(AudioWarning, match=r"1980 samples.*2000.*first 1980") as caught:
        report = evaluate_folders(truths, out)
    assert len(caught) == 1
    assert report.n_samples == 1980
    expected = scores(true_stems()[..., :1980], others[..., :1980])
    assert [stem.scores for stem in report.stems] == list(expected)


@pytest.mark.parametrize("match", ["name", "best"])
def test_lengths_that_differ_by_more_are_refused_with_both_files(truths, guesses, match):
    sound(guesses / "voice.wav", true_stems()[2, :, :1979], "FLOAT")
    with pytest.raises(InvalidAudioError) as caught:
        evaluate_folders(truths, guesses, match)
    text = one_line(caught)
    for part in (repr(str(guesses / "voice.wav")), repr(str(truths)), "1979", "2000"):
        assert part.strip("'") in text


@pytest.mark.parametrize("match", ["name", "best"])
def test_mono_against_stereo_is_refused_with_both_files(truths, guesses, match):
    sound(guesses / "drums.wav", true_stems()[1, :1], "FLOAT")
    with pytest.raises(InvalidAudioError) as caught:
        evaluate_folders(truths, guesses, match)
    text = one_line(caught)
    for part in (str(guesses / "drums.wav"), str(truths), "1 channel", "2 channel", "mono"):
        assert part in text


def test_sample_rates_that_differ_are_refused_with_both_files(truths, guesses):
    sound(guesses / "drums.wav", true_stems()[1], "FLOAT", rate=16000)
    with pytest.raises(InvalidAudioError) as caught:
        evaluate_folders(truths, guesses)
    text = one_line(caught)
    for part in (str(guesses / "drums.wav"), str(truths), "8000 Hz", "16000 Hz", "resample"):
        assert part in text


@pytest.mark.parametrize("level", [0.0, 0.1])
def test_a_silent_reference_is_named_and_no_part_of_the_mean(truths, guesses, level):
    sound(truths / "drums.wav", np.full((2, 2000), level), "FLOAT")
    with pytest.warns(AudioWarning, match=r"drums\.wav' is silent; it does not count") as caught:
        report = evaluate_folders(truths, guesses)
    assert len(caught) == 1
    assert [stem.silent for stem in report.stems] == [False, True, False]
    assert report.stems[1].scores.si_sdr == -math.inf
    kept = [report.stems[k].scores.si_sdr for k in (0, 2)]
    assert report.mean["si_sdr"] == pytest.approx(np.mean(kept))


def test_a_silent_estimate_is_named_and_counts(truths, guesses):
    sound(guesses / "drums.wav", np.zeros((2, 2000)), "FLOAT")
    with pytest.warns(AudioWarning, match=r"drums\.wav' is silent; its scores are minus") as caught:
        report = evaluate_folders(truths, guesses, bss_eval=True)
    assert len(caught) == 1
    assert set(report.stems[1].values.values()) == {-math.inf}
    assert set(report.mean.values()) == {-math.inf}


def test_a_perfect_and_a_silent_stem_have_a_mean_as_well(truths, guesses):
    (guesses / "bass.wav").write_bytes((truths / "bass.wav").read_bytes())
    sound(guesses / "drums.wav", np.zeros((2, 2000)), "FLOAT")
    with pytest.warns(AudioWarning):
        report = evaluate_folders(truths, guesses)
    assert report.stems[0].scores.si_sdr == math.inf
    assert report.mean["si_sdr"] == -math.inf


def test_references_that_are_all_silent_are_refused(tmp_path, guesses):
    truths = folder(tmp_path / "silent", 0 * true_stems())
    with pytest.raises(InvalidAudioError, match="all references are silent"):
        evaluate_folders(truths, guesses)


# --- what is refused


def test_no_name_on_both_sides_is_refused_if_names_are_asked_for(truths, tmp_path):
    out = folder(tmp_path / "out", true_stems(), ["a", "b", "c"])
    with pytest.raises(ParameterError) as caught:
        evaluate_folders(truths, out, "name")
    for part in ("'bass', 'drums', 'voice'", "'a', 'b', 'c'", "best"):
        assert part in one_line(caught)


def test_an_unknown_way_to_match_is_refused(truths, guesses):
    with pytest.raises(ParameterError, match="auto, name, best, not 'names'"):
        evaluate_folders(truths, guesses, "names")


def test_one_name_twice_is_refused_with_both_files(truths, guesses):
    sound(guesses / "bass.flac", true_stems()[0])
    with pytest.raises(InvalidAudioError, match=r"bass\.flac.*bass\.wav.*same name"):
        evaluate_folders(truths, guesses)


@pytest.mark.parametrize("side", [0, 1])
def test_a_folder_without_audio_is_refused(truths, tmp_path, side):
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "notes.txt").write_text("no audio")
    with pytest.raises(InvalidAudioError, match=r"empty' holds no audio file"):
        evaluate_folders(*((empty, truths) if side == 0 else (truths, empty)))


@pytest.mark.parametrize("side", [0, 1])
def test_a_missing_folder_is_a_missing_file(truths, tmp_path, side):
    gone = tmp_path / "gone"
    with pytest.raises(FileNotFoundError) as caught:
        evaluate_folders(*((gone, truths) if side == 0 else (truths, gone)))
    assert caught.value.filename == str(gone)


def test_what_is_neither_a_folder_nor_a_file_is_refused_at_once(truths, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(AudioReadError, match="not an ordinary file"):
        evaluate_folders(truths, tmp_path / "pipe")


def test_a_folder_that_may_not_be_read_is_refused(truths, monkeypatch):
    def refuse(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(truths), "iterdir", refuse)
    with pytest.raises(AudioReadError, match="permissions") as caught:
        audio_files(truths)
    assert caught.value.errno == 13


def test_a_file_that_is_no_audio_is_refused_by_name(truths, guesses):
    (guesses / "drums.wav").write_text("no audio")
    with pytest.raises(AudioReadError, match=r"drums\.wav"):
        evaluate_folders(truths, guesses)


def test_samples_that_are_not_finite_are_refused_by_name(truths, guesses):
    samples = true_stems()[1]
    samples[0, 5] = np.nan
    sound(guesses / "drums.wav", samples, "FLOAT")
    with pytest.raises(InvalidAudioError, match=r"drums\.wav.*not finite"):
        evaluate_folders(truths, guesses)


# --- what is told


def test_the_text_is_a_table_with_aligned_columns(truths, guesses):
    report = evaluate_folders(truths, guesses, bss_eval=True)
    first, *rows, mean, last = to_text(report).splitlines()
    assert first == "Matched by name. In dB; more is better."
    assert rows[0].split() == [
        "stem",
        "estimate",
        "SI-SDR",
        "SI-SIR",
        "SI-SAR",
        "SDR",
        "SIR",
        "SAR",
    ]
    assert len({len(row) for row in [*rows, mean]}) == 1
    for row, stem in zip(rows[1:], report.stems, strict=True):
        values = [f"{value:.1f}" for value in stem.values.values()]
        assert row.split() == [stem.name, f"{stem.name}.wav", *values]
    assert mean.split() == ["mean", *(f"{value:.1f}" for value in report.mean.values())]
    assert f"by {report.residual:.1f} dB (less is better)" in last


def test_the_text_of_infinite_scores_and_of_a_match_by_score(truths, tmp_path):
    out = folder(tmp_path / "out", true_stems(), ["a", "b", "new\nline"])
    text = to_text(evaluate_folders(truths, out))
    assert "largest sum of SI-SDR" in text
    assert r"'new\nline.wav'" in text
    assert text.splitlines()[-2].split() == ["mean", "inf", "inf", "inf"]
    assert text.endswith("exactly.")


@pytest.mark.parametrize("with_bss_eval", [False, True])
def test_the_values_go_through_strict_json(truths, guesses, with_bss_eval):
    sound(guesses / "drums.wav", np.zeros((2, 2000)), "FLOAT")
    with pytest.warns(AudioWarning):
        report = evaluate_folders(truths, guesses, bss_eval=with_bss_eval)
    found = json.loads(json.dumps(to_dict(report), allow_nan=False))
    assert found["match"] == "name"
    assert (found["references"], found["estimates"]) == (str(truths), str(guesses))
    assert (found["sample_rate"], found["n_channels"], found["n_samples"]) == (RATE, 2, 2000)
    assert found["residual_db"] == report.residual
    assert found["mean"] == dict.fromkeys(report.mean, "-inf")
    for stem, told in zip(report.stems, found["stems"], strict=True):
        assert told["reference"] == str(stem.reference)
        assert told["estimate"] == str(stem.estimate)
        assert {name: float(told[name]) for name in stem.values} == stem.values
        assert (told["name"], told["silent"]) == (stem.name, False)
        assert ("sdr" in told) == with_bss_eval


def test_the_csv_has_a_line_for_each_stem(truths, tmp_path):
    names = ["a,b", 'say "x"', "new\nline"]
    truths = folder(tmp_path / "odd", true_stems(), names)
    out = folder(tmp_path / "out", estimated(true_stems()), names)
    sound(out / "a,b.wav", np.zeros((2, 2000)), "FLOAT")
    with pytest.warns(AudioWarning):
        report = evaluate_folders(truths, out)
    path = to_csv(report, tmp_path / "scores.csv")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["name", "reference", "estimate", "si_sdr", "si_sir", "si_sar"]
    for row, stem in zip(rows, report.stems, strict=True):
        assert (row["name"], row["estimate"]) == (stem.name, str(stem.estimate))
        assert row["reference"] == str(stem.reference)
        found = [float(row[name]) for name in stem.values]
        assert found == pytest.approx(list(stem.values.values()), abs=1e-6)


def test_a_csv_of_names_that_are_not_utf_8_keeps_their_bytes(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    truths = folder(tmp_path / "true", true_stems()[:1], [name])
    report = evaluate_folders(truths, truths)
    assert b"caf\xe9,/" in to_csv(report, tmp_path / "scores.csv").read_bytes()


def test_a_csv_that_cannot_be_written_leaves_nothing(truths, guesses, tmp_path, monkeypatch):
    report = evaluate_folders(truths, guesses)
    target = tmp_path / "scores.csv"
    target.write_text("before")
    with pytest.raises(OutputError):
        to_csv(report, tmp_path / "gone" / "scores.csv")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("audionmf.io.files.flush", fail)
    with pytest.raises(OutputError):
        to_csv(report, target)
    assert target.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "scores.csv", "true"]


def test_nothing_is_warned_about_where_all_is_well(truths, guesses, monkeypatch):
    monkeypatch.setattr(evaluate, "bss_eval", None)  # not asked for, not called
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate_folders(truths, guesses, "best")
