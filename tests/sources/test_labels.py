"""Ranges in words and in label files: what is read, and what is said about what cannot be."""

import math

import numpy as np
import pytest
from conftest import RATE, sound, tone

from audionmf import STFT, Audio, AudioFile, AudioReadError, InvalidAudioError, ParameterError
from audionmf.sources.labels import Labels, Range, collect, parse_solo, read_labels

SMALL = STFT(256, 64)


def written(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "labels.txt"
    path.write_bytes(text.encode(encoding))
    return path


def recording(n_samples=8000, n_channels=1):
    samples = np.random.default_rng(0).standard_normal((n_channels, n_samples))
    return Audio(0.1 * samples, RATE)


# Texts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("violin=12.5-20", Range("violin", 12.5, 20)),
        ("violin=0-.5", Range("violin", 0, 0.5)),
        ("a b=1:02-1:10.25", Range("a b", 62, 70.25)),
        ("v=59:59.999-1:00:00", Range("v", 3599.999, 3600)),
        ("v=75-100:00", Range("v", 75, 6000)),
        ("Flöte= 1 - 2 ", Range("Flöte", 1, 2)),
    ],
)
def test_a_range_in_words(text, expected):
    assert parse_solo(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("violin", "violin=", "violin=3", "violin=3-", "violin=-3-4", "violin=1-2-3"),
        *("violin=1,5-2", "violin=1:75-2:00", "violin=1:60:00-2:00:00", "violin=1:2:3:4-5"),
        *("violin=1e1-20", "violin=inf-nan", "violin=٣-٤", "violin=a-b", "a=b=1-2"),
    ],
)
def test_a_range_of_another_form_is_refused(text):
    with pytest.raises(ParameterError, match="written NAME=START-END") as caught:
        parse_solo(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("=1-2", "name of a source"),
        ("v=2-1", "'v' from 2 to 1 s does not end after it starts"),
        ("v=2-2", "does not end"),
        ("!v=1-2", "label file"),
        (f"v=1-{'9' * 400}", "seconds"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused(text, words):
    with pytest.raises(ParameterError, match=words):
        parse_solo(text)


# Files


def test_a_label_file_of_audacity(tmp_path):
    lines = [
        "0.500000\t2.250000\tviolin",
        "\\\t120.0\t4000.0",
        "3,5\t1:00.5\t! violin",
        "",
        "4\t5\ta\tb",
    ]
    for end in ("\n", "\r\n"):
        solo, absent = read_labels(written(tmp_path, end.join(lines) + end, "utf-8-sig"))
        assert solo == [Range("violin", 0.5, 2.25), Range("a\tb", 4, 5)]
        assert absent == [Range("violin", 3.5, 60.5)]


def test_texts_and_a_file_are_joined_by_name(tmp_path):
    path = written(tmp_path, "3\t4\tflute\n5\t6\tviolin\n7\t8\t!flute\n")
    solo, absent = collect(["violin=1-2", "oboe=2-3"], path)
    assert solo == {"violin": [(1, 2), (5, 6)], "oboe": [(2, 3)], "flute": [(3, 4)]}
    assert absent == {"flute": [(7, 8)]}
    assert collect() == ({}, {})


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1\t2", "tabs between them"),
        ("1 2 violin", "tabs between them"),
        ("1\t2\t ", "a name"),
        ("1\t2\t!", "a name"),
        ("1\tx\tviolin", "'x' is not a time"),
        ("-1\t2\tviolin", "'-1' is not a time"),
        ("2\t2\tviolin", "the label at 2 s is a point in time"),
        ("3\t2\tviolin", "does not end after it starts"),
    ],
)
def test_a_line_that_is_wrong_is_named(tmp_path, line, words):
    path = written(tmp_path, f"0\t1\tviolin\n\n{line}\n")
    with pytest.raises(ParameterError) as caught:
        read_labels(path)
    assert str(caught.value).startswith(f"{str(path)!r}, line 3: ")
    assert words in str(caught.value)


def test_what_is_no_label_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_labels(tmp_path / "none.txt")
    with pytest.raises(AudioReadError, match="is a folder"):
        read_labels(tmp_path)
    with pytest.raises(ParameterError, match=r"is not a label file: .* UTF-8"):
        read_labels(written(tmp_path, "0\t1\tFlöte\n", "latin-1"))
    with pytest.raises(ParameterError, match="holds no labels"):
        read_labels(written(tmp_path, "\n\\\t1\t2\n"))
    huge = tmp_path / "huge.txt"
    with huge.open("wb") as file:
        file.truncate(1 << 25)
    with pytest.raises(ParameterError, match="is not a label file"):
        read_labels(huge)


# Pairs


@pytest.mark.parametrize("pairs", [(1, 2), [1, 2], [(1,)], [(1, 2, 3)], 5, None])
def test_what_is_no_list_of_pairs_is_refused(pairs):
    with pytest.raises(ParameterError, match=r"solo=\{'v': \[\(12, 20.5\)\]\}, not"):
        Labels.of({"v": pairs}, None)


@pytest.mark.parametrize("value", ["1", None, math.nan, math.inf, -0.1, 1j])
def test_times_are_seconds(value):
    with pytest.raises(ParameterError, match="in seconds, 0 or more"):
        Labels.of(None, {"v": [(value, 2)]})


def test_numpy_numbers_are_times():
    labels = Labels.of({"v": np.array([[1, 2.5]], np.float32)}, {"w": [(np.int64(3), 4)]})
    assert labels == Labels((Range("v", 1, 2.5),), (Range("w", 3, 4),))


def test_a_source_needs_a_solo_range_but_no_absent_one():
    assert Labels.of(None, {"v": []}) == Labels((), ())
    with pytest.raises(ParameterError, match="no range where 'v' plays alone"):
        Labels.of({"v": []}, None)


def test_two_sources_cannot_both_play_alone():
    Labels.of({"a": [(0, 2), (1, 3)], "b": [(3, 4)]}, {"a": [(3, 5)]})  # they touch only
    with pytest.raises(
        ParameterError, match=r"'a' from 0 to 2 s and the range of 'b' from 1.5 to 4 s"
    ):
        Labels.of({"a": [(0, 2)], "b": [(1.5, 4)]}, None)
    with pytest.raises(ParameterError, match="'a' from 0 to 2 s, where it plays alone, overlaps"):
        Labels.of({"a": [(0, 2)]}, {"a": [(1, 9)]})


# Pieces


def test_pieces_are_the_samples_of_the_ranges():
    audio = recording(n_channels=2)
    labels = Labels.of({"a": [(0.5, 0.75), (0, 0.25), (0.7, 0.8)], "b": [(0.9, 1.05)]}, None)
    found = labels.pieces(audio, 256, "it")
    assert [piece.sample_rate for pieces in found.values() for piece in pieces] == [RATE] * 3
    spans = {"a": [(0, 2000), (4000, 6400)], "b": [(7200, 8000)]}
    assert list(found) == list(spans)
    for name, parts in spans.items():
        for piece, (first, stop) in zip(found[name], parts, strict=True):
            np.testing.assert_array_equal(piece.samples, audio.samples[:, first:stop])


def test_a_file_is_read_no_further_than_needed(tmp_path, monkeypatch):
    from audionmf.io import audio

    path = sound(tmp_path / "mix.wav", recording(40_000).samples, "FLOAT")
    whole = audio.read(path).samples
    read = []
    original = AudioFile.blocks

    def counted(self):
        for block in original(self, 1000):
            read.append(block.shape[1])
            yield block

    monkeypatch.setattr(AudioFile, "blocks", counted)
    labels = Labels.of({"a": [(0.45, 0.7)], "b": [(0.1, 0.2)]}, None)
    found = labels.pieces(AudioFile(path), 256, "it")
    np.testing.assert_array_equal(found["a"][0].samples, whole[:, 3600:5600])
    np.testing.assert_array_equal(found["b"][0].samples, whole[:, 800:1600])
    assert sum(read) == 6000
    read.clear()
    assert Labels.of(None, {"a": [(0, 1)]}).pieces(AudioFile(path), 256, "it") == {}
    assert read == []


@pytest.mark.parametrize("pair", [(0.5, 1.2), (1, 2), (5, 6)])
def test_a_range_outside_the_recording_is_refused_with_its_length(pair):
    audio, words = recording(), r"'a' from \S+ to \S+ s is not inside it, which is 1 s long"
    with pytest.raises(ParameterError, match=words):
        Labels.of({"a": [pair]}, None).pieces(audio, 256, "it")
    with pytest.raises(ParameterError, match=words):
        Labels.of(None, {"a": [pair]}).silence(["a", "b"], audio, SMALL, "it")


def test_a_range_shorter_than_a_window_is_refused():
    labels = Labels.of({"a": [(0.5, 0.53)]}, None)
    with pytest.raises(
        ParameterError, match=r"'a' from 0.5 to 0.53 s has 240 samples.* window of 256"
    ):
        labels.pieces(recording(), 256, "it")
    assert labels.pieces(recording(), 240, "it")["a"][0].n_samples == 240


def test_a_silent_range_and_a_file_that_ends_early_are_refused():
    audio = Audio(np.concatenate([np.zeros(4000), tone(300)]), RATE)
    with pytest.raises(InvalidAudioError, match=r"silent from 0.1 to 0.4 s, where 'a'"):
        Labels.of({"a": [(0.6, 0.9), (0.1, 0.4)]}, None).pieces(audio, 256, "it")

    class Short(Audio):
        def blocks(self, size=3000):
            yield self.samples[:, :size]

    with pytest.raises(InvalidAudioError, match=r"ends after 3000 samples, before .* sample 4000"):
        Labels.of({"a": [(0.1, 0.5)]}, None).pieces(Short(audio.samples, RATE), 256, "it")


# Frames


def test_frames_belong_to_a_range_if_their_centres_do():
    audio = recording(8000)
    labels = Labels.of({"a": [(0.1, 0.2)]}, {"a": [(0.3, 0.4), (0.35, 0.5)], "b": [(0.55, 1.05)]})
    silence = labels.silence(["a", "b"], audio, SMALL, "it")
    centres = np.arange(SMALL.n_frames(8000)) * 64 / RATE
    for name, inside in {
        "a": (centres >= 0.3) & (centres < 0.5),
        "b": ((centres >= 0.1) & (centres < 0.2)) | (centres >= 0.55),  # to the end
    }.items():
        found = np.zeros(len(centres), bool)
        for first, stop in silence[name]:
            found[first:stop] = True
        np.testing.assert_array_equal(found, inside)


def test_sources_with_nothing_said_are_left_out_and_others_refused():
    labels = Labels.of({"a": [(0.1, 0.2)]}, None)
    assert list(labels.silence(["a", "b", "c"], recording(), SMALL, "it")) == ["b", "c"]
    assert labels.silence(["a"], recording(), SMALL, "it") == {}
    with pytest.raises(
        ParameterError, match="'x' from 0 to 1 s names no source; there are 'a', 'b'"
    ):
        Labels.of(None, {"x": [(0, 1)]}).silence(["a", "b"], recording(), SMALL, "it")


def test_some_source_has_to_be_left_to_play():
    def silence(absent, names):
        return Labels.of(None, absent).silence(names, recording(), SMALL, "it")

    gap = {"a": [(0, 0.5)], "b": [(0.5, 0.9)]}
    assert silence(gap, ["a", "b"])
    assert silence({**gap, "c": [(0, 1)]}, ["a", "b", "c"])
    assert silence({"a": [(0, 1)], "b": [(0, 1)]}, ["a", "b", "c"])
    with pytest.raises(ParameterError, match=r"no source is left to play from 0\.25 to 0\.9 s"):
        silence({"a": [(0.25, 0.5), (0.3, 1)], "b": [(0, 0.9)]}, ["a", "b"])
    with pytest.raises(ParameterError, match=r"no source is left to play from 0 to 0\.5 s"):
        silence({"a": [(0, 0.5)]}, ["a"])


# What other programs and hands make of labels


def test_ranges_that_overlap_by_a_few_milliseconds_touch(tmp_path):
    path = written(tmp_path, "0.2\t0.9\tbassoon\n0.899999\t1.6\tharp\n")
    labels = Labels.of(*collect(path=path))
    first, second = labels.solo
    assert first.end == second.start == pytest.approx(0.8999995, abs=1e-9)
    assert labels.silence(["bassoon", "harp"], recording(2 * RATE), SMALL, "x")
    absent = Labels.of({"a": [(0, 1)]}, {"a": [(0.996, 2)]})
    assert absent.solo[0].end == absent.absent[0].start == 0.998


def test_an_overlap_that_is_refused_can_be_seen():
    with pytest.raises(ParameterError, match=r"to 0\.91 s and .* from 0\.899999 to 1\.6 s overlap"):
        Labels.of({"a": [(0.2, 0.91)], "b": [(0.899999, 1.6)]}, None)


RAVEN = (
    "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\t{}\n"
    "1\tSpectrogram 1\t1\t0.2\t0.9\t100\twarbler\n2\tWaveform 1\t1\t1\t1.6\t100\t!frog\n"
)


@pytest.mark.parametrize("column", ["Species", "Annotation", "whatever"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_selection_table_of_raven_is_read(tmp_path, column, end):
    path = written(tmp_path, RAVEN.format(column).replace("\n", end))
    assert read_labels(path) == ([Range("warbler", 0.2, 0.9)], [Range("frog", 1, 1.6)])


def test_a_selection_without_a_name_is_named(tmp_path):
    path = written(tmp_path, RAVEN.format("Species").replace("warbler", ""))
    with pytest.raises(ParameterError, match=r"line 2: .*no name in the column 'Species'"):
        read_labels(path)
    path = written(tmp_path, RAVEN.format("Species").replace("\twarbler", ""))
    with pytest.raises(ParameterError, match="7 columns, this line 6"):
        read_labels(path)


def test_names_are_equal_in_whatever_form_of_unicode():
    assert parse_solo("flu\u0302te=1-2") == Range("fl\u00fbte", 1, 2)
    assert list(collect(["flu\u0302te=1-2", "fl\u00fbte=3-4"])[0]) == ["fl\u00fbte"]
