"""Parts of recordings: to the bit what a file cut there would hold."""

import numpy as np
import pytest
import soundfile
from conftest import RATE, TINY, sound, steps, two_notes

import audionmf
from audionmf import Audio, ParameterError
from audionmf.io.parts import FilePart, excerpt, open_part, part_path, seconds_from_text


@pytest.fixture
def wave():
    return np.random.default_rng(0).uniform(-1, 1, (2, 3 * RATE))


def samples_of(source, size=1000):
    return np.concatenate(list(source.blocks(size)), axis=1)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.aiff"])
def test_a_part_is_what_a_cut_file_holds(tmp_path, wave, name):
    path = sound(tmp_path / name, wave)
    part = excerpt(path, 0.5, 1.25)
    assert isinstance(part, FilePart)
    assert (part.n_samples, part.duration) == (10000, 1.25)
    assert np.array_equal(samples_of(part), steps(path)[:, 4000:14000].astype(np.float32))
    assert [block.shape[1] for block in part.blocks(4000)] == [4000, 4000, 2000]


@pytest.mark.parametrize(("container", "subtype"), [("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")])
def test_a_part_of_a_lossy_file_is_decoded_up_to_it(tmp_path, wave, container, subtype):
    path = sound(tmp_path / "a", wave / 4, subtype, format=container)
    whole = audionmf.read(path).samples
    assert np.array_equal(samples_of(excerpt(path, 0.5, 1.25)), whole[:, 4000:14000])


def test_a_part_without_a_duration_goes_to_the_end(tmp_path, wave):
    path = sound(tmp_path / "a.wav", wave)
    assert np.array_equal(samples_of(excerpt(path, 2.5)), steps(path)[:, 20000:])
    assert np.array_equal(samples_of(excerpt(path, 2.5, 100)), steps(path)[:, 20000:])
    assert not isinstance(excerpt(path), FilePart)


def test_a_part_of_a_part_and_parts_in_memory(tmp_path, wave):
    path = sound(tmp_path / "a.wav", wave)
    twice = excerpt(excerpt(path, 0.5, 2), 0.25, 1)
    wanted = steps(path)[:, 6000:14000].astype(np.float32)
    assert np.array_equal(samples_of(twice), wanted)
    assert np.array_equal(samples_of(excerpt(audionmf.read(path), 0.75, 1)), wanted)
    assert np.array_equal(samples_of(excerpt(steps(path), 0.75, 1, sample_rate=RATE)), wanted)
    assert isinstance(excerpt(wave, 1, sample_rate=RATE), Audio)


def test_what_is_wrong_outside_of_a_part_is_no_matter(tmp_path, wave):
    wave[:, 10] = np.nan
    path = sound(tmp_path / "a.wav", wave, "FLOAT")
    assert excerpt(path, 1, 1).n_samples == RATE
    assert np.isfinite(samples_of(excerpt(path, 1, 1))).all()
    with pytest.raises(audionmf.InvalidAudioError, match="first at sample 10"):
        samples_of(excerpt(path, 0, 1))


@pytest.mark.parametrize(
    ("start", "duration", "text"),
    [
        (3, None, "is not inside .*a.wav', which is 3 s long; start earlier"),
        (-1, None, "start is a time in seconds, 0 or more"),
        (0, -1, "duration is a time in seconds, 0 or more"),
        (0, float("nan"), "duration is a time"),
        ("1", None, "start is a time"),
        (1, 0, "holds no sample"),
        (1, 1e-9, "holds no sample"),
    ],
)
def test_a_part_that_is_not_there_is_refused(tmp_path, wave, start, duration, text):
    path = sound(tmp_path / "a.wav", wave)
    with pytest.raises(ParameterError, match=text):
        excerpt(path, start, duration)


def test_a_part_is_written_behind_the_name(tmp_path, wave):
    path = sound(tmp_path / "a.wav", wave)
    part = open_part(f"{path}@0:01-2.5")
    assert np.array_equal(samples_of(part), steps(path)[:, 8000:20000].astype(np.float32))
    assert part_path(f"{path}@0:01-2.5") == str(path)
    assert open_part(path).n_samples == 3 * RATE
    assert open_part(f"{path}@2-3.05").n_samples == RATE  # a shade beyond the end


@pytest.mark.parametrize(
    ("times", "text"),
    [
        ("2-5", "not inside the recording, which is 3 s long"),
        ("2-1", "does not end after it starts"),
        ("1-1", "does not end after it starts"),
        ("1:99-2", "is not a time; a part is written FILE@START-END"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused(tmp_path, wave, times, text):
    path = sound(tmp_path / "a.wav", wave)
    with pytest.raises(ParameterError, match=text):
        open_part(f"{path}@{times}")


def test_a_file_that_is_called_so_is_that_file(tmp_path, wave):
    path = sound(tmp_path / "a@1-2", wave)
    assert open_part(path).n_samples == 3 * RATE
    assert part_path(path) == str(path)
    with pytest.raises(FileNotFoundError):
        open_part(tmp_path / "b@1-2")


@pytest.mark.parametrize(
    ("text", "seconds"), [("12", 12), ("1:02.5", 62.5), ("1:00:00", 3600), (".5", 0.5)]
)
def test_times(text, seconds):
    assert seconds_from_text(text) == seconds


def test_a_separation_of_a_part_is_that_of_a_cut_file(tmp_path):
    samples = np.tile(two_notes(), 4)
    path = sound(tmp_path / "long.wav", samples)
    cut = sound(tmp_path / "cut.wav", steps(path)[:, 4000:12000])
    stems = audionmf.separate(path, start=0.5, duration=1, n_sources=2, settings=TINY)
    wanted = audionmf.separate(cut, n_sources=2, settings=TINY)
    for name, stem in wanted.sources.items():
        assert np.array_equal(stems.sources[name], stem)


def test_a_seek_that_fails_is_made_up_for_by_reading(tmp_path, wave, monkeypatch):
    path = sound(tmp_path / "a.wav", wave)

    def refused(*_):
        raise soundfile.LibsndfileError(1)

    wanted = steps(path)[:, 8000:].astype(np.float32)
    monkeypatch.setattr(soundfile.SoundFile, "seek", refused)
    assert np.array_equal(samples_of(FilePart(path, 1)), wanted)
