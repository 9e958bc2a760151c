"""What files can be written, and what is said of those that cannot."""

import numpy as np
import pytest
import soundfile
from conftest import RATE, TINY, sound, two_notes

import audionmf
from audionmf import Audio, ParameterError
from audionmf.evaluate.measures import si_sdr
from audionmf.io.formats import OUTPUT_FORMATS, check_form, quantisation_step

LOSSY = ("mp3", "ogg", "opus")


@pytest.mark.parametrize("extension", LOSSY)
@pytest.mark.parametrize("n_samples", [1, 7, 1000, 60000])
def test_lossy_files_are_as_long_as_what_was_written(tmp_path, extension, n_samples):
    samples = np.tile(two_notes(2), 15)[:, :n_samples].astype(np.float32)
    path = audionmf.write(tmp_path / f"a.{extension}", Audio(samples, RATE))
    read = audionmf.read(path)
    assert read.samples.shape == samples.shape
    assert read.sample_rate == RATE
    if n_samples > 1000:
        assert si_sdr(samples, read.samples) > 10


@pytest.mark.parametrize("extension", LOSSY)
def test_the_same_sound_gives_the_same_bytes(tmp_path, extension):
    samples = np.tile(two_notes(), 30).astype(np.float32)
    paths = [tmp_path / f"{name}.{extension}" for name in "ab"]
    first, second = (audionmf.write(path, Audio(samples, RATE)).read_bytes() for path in paths)
    assert first == second


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (("opus", None, 44100, 1), "hold 8000, 12000, 16000, 24000, 48000 Hz, .* has 44100 Hz"),
        (("mp3", None, 96000, 1), "mp3 files hold .* 44100, 48000 Hz, .* take ogg, flac or wav"),
        (("mp3", None, 44100, 3), "mp3 files hold 2 channels at most, .* has 3; take wav"),
        (("flac", None, 44100, 9), "flac files hold 8 channels at most"),
        (("mp3", "PCM_16", 44100, 1), "no sample format; leave out 'PCM_16'"),
        (("flac", "FLOAT", 44100, 1), "flac files cannot hold 'FLOAT' samples; .*PCM_24"),
        (("wav", "PCM_12", 44100, 1), "one of PCM_S8, .*, not 'PCM_12'"),
    ],
)
def test_what_a_container_cannot_hold_is_refused(form, text):
    with pytest.raises(ParameterError, match=text):
        check_form(*form)


def test_what_libsndfile_cannot_write_is_refused(monkeypatch):
    monkeypatch.setattr(soundfile, "check_format", lambda *_: False)
    with pytest.raises(ParameterError, match="libsndfile that is installed cannot write mp3"):
        check_form("mp3", None, 44100, 2)


@pytest.mark.parametrize("extension", OUTPUT_FORMATS)
def test_what_a_container_holds_is_taken(extension):
    check_form(extension, None, 48000, 2)


def test_lossy_files_are_kept_from_clipping():
    assert quantisation_step("VORBIS") == quantisation_step("PCM_16")


@pytest.mark.parametrize(("extension", "subtype"), [("wav", "PCM_24"), ("flac", "PCM_16")])
def test_stems_in_a_sample_format_of_their_own(tmp_path, extension, subtype):
    mixture = sound(tmp_path / "mix.wav", two_notes(), "FLOAT")
    stems = audionmf.separate(mixture, n_sources=2, settings=TINY)
    saved = stems.save(tmp_path / "out", extension=extension, subtype=subtype)
    for name, path in saved.paths.items():
        file = audionmf.read(path)
        assert file.subtype == subtype
        assert np.abs(file.samples / saved.gain - stems.sources[name]).max() <= 2.0**-15
    with pytest.raises(ParameterError, match="cannot hold 'FLOAT'"):
        stems.save(tmp_path / "none", extension="flac", subtype="FLOAT")
    assert not (tmp_path / "none").exists()
