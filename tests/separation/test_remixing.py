"""A remix: what is not changed stays to the bit, files are whole or not there."""

import numpy as np
import pytest
from conftest import RATE, TINY, files_below, sound, steps, tone, two_notes

import audionmf
from audionmf import OutputError, ParameterError, TemplateMismatchError
from audionmf.io import audio
from audionmf.separation.remixing import remix_file


@pytest.fixture
def low(tmp_path):
    return sound(tmp_path / "low.wav", tone(330))


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out" / "mix.wav"


def known(low):
    return {"examples": {"low": low}, "settings": TINY}


@pytest.mark.parametrize("n_channels", [1, 2])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_without_gains_the_file_holds_the_same_samples(tmp_path, low, out, subtype, n_channels):
    mixture = sound(tmp_path / "mix.wav", two_notes(n_channels), subtype)
    written = remix_file(mixture, out, {"low": 1.0}, **known(low))
    assert (written.path, written.gain) == (out, 1)
    assert np.array_equal(steps(out), steps(mixture))
    assert audionmf.AudioFile(out).subtype == subtype


def test_a_remix_of_one_source_is_its_stem_to_the_bit(tmp_path, low, out):
    mixture = sound(tmp_path / "mix.wav", two_notes(2), "FLOAT")
    stems = audionmf.separate(mixture, **known(low))
    for gains, name in (({"low": 0}, "rest"), ({"rest": 0}, "low")):
        remix_file(mixture, out, gains, **known(low))
        assert np.array_equal(steps(out), stems.sources[name])
        assert np.array_equal(stems.remix(gains).samples, stems.sources[name])
        remixed = audionmf.remix(mixture, gains, **known(low))
        assert np.array_equal(remixed.samples, stems.sources[name])
        assert (remixed.sample_rate, remixed.path, remixed.subtype) == (RATE, mixture, "FLOAT")


def test_stems_are_put_together_again_with_gains(mixture):
    stems = audionmf.separate(mixture, n_sources=2, settings=TINY, names="plain")
    first, second = stems.sources.values()
    remixed = stems.remix({"source1": 0.5, "source2": 2})
    assert np.abs(remixed.samples - (0.5 * first + 2 * second)).max() < 1e-6
    assert np.array_equal(stems.remix({}).samples, stems.mixture)


def test_an_array_is_remixed_with_arrays_as_examples():
    samples = two_notes().astype(np.float32)
    options = {"sample_rate": RATE, "examples": {"low": tone(330)}, "settings": TINY}
    remixed = audionmf.remix(samples, {"low": 1}, **options)
    assert np.array_equal(remixed.samples, samples)


def test_a_long_remix_is_the_short_one_made_in_blocks(tmp_path, low, out):
    mixture = sound(tmp_path / "mix.wav", np.tile(two_notes(), 6), "FLOAT")
    remix_file(mixture, out, {"low": 0.25}, **known(low))
    whole = audionmf.remix(mixture, {"low": 0.25}, **known(low))
    assert np.array_equal(steps(out), whole.samples)


def test_what_would_clip_is_scaled_as_a_whole(tmp_path, low, out):
    mixture = sound(tmp_path / "mix.wav", two_notes() * 2)
    written = remix_file(mixture, out, {"low": 4, "rest": 4}, **known(low))
    loudest = np.abs(steps(mixture)).max() * 4
    assert written.gain == pytest.approx(1 / loudest, rel=1e-3)
    assert np.abs(steps(out)).max() <= 1
    assert np.abs(steps(out) - steps(mixture) * 4 * written.gain).max() <= 2.0**-15


def test_a_float_file_is_left_as_loud_as_it_is(tmp_path, low, out):
    mixture = sound(tmp_path / "mix.wav", two_notes(), "FLOAT")
    assert remix_file(mixture, out, {"low": 8, "rest": 8}, **known(low)).gain == 1
    assert np.abs(steps(out)).max() > 1


def test_a_constant_offset_goes_with_the_last_source(tmp_path, low, out):
    mixture = sound(tmp_path / "mix.wav", two_notes(2) + 0.25, "FLOAT")
    stems = audionmf.separate(mixture, **known(low))
    for gains, name in (({"low": 0}, "rest"), ({"rest": 0}, "low")):
        remix_file(mixture, out, gains, **known(low))
        assert np.abs(steps(out) - stems.sources[name]).max() < 1e-6
    assert abs(stems.sources["low"].mean()) < 0.01
    remix_file(mixture, out, {"low": 1}, **known(low))
    assert np.array_equal(steps(out), steps(mixture))


def test_a_model_is_remixed_without_an_analysis(mixture, tmp_path, out, monkeypatch):
    found = audionmf.analyse(mixture, components=True, n_components=3, settings=TINY)
    model = found.save(tmp_path / "model.npz")
    monkeypatch.setattr("audionmf.separation.remixing.analyse_account", None)
    groups = {"low": (0, 1)}
    remix_file(mixture, out, {"low": 0.0}, model=model, groups=groups)
    wanted = audionmf.render(mixture, found.regroup(groups)).sources["rest"]
    assert np.abs(steps(out) - wanted).max() <= 2.0**-15
    remixed = audionmf.remix(mixture, {"component01": 0.0}, model=model)
    assert remixed.samples.shape == wanted.shape


@pytest.mark.parametrize("container", ["WAV", "FLAC"])
def test_a_file_is_remixed_from_a_model_as_its_samples_are(tmp_path, container, monkeypatch):
    mixture = sound(tmp_path / "mix", two_notes(2) / 2 + 0.25, "PCM_24", format=container)
    found = audionmf.analyse(mixture, components=True, n_components=3, settings=TINY)
    loaded = audionmf.read(mixture)
    wanted = audionmf.remix(loaded, {"component01": 0.5}, model=found)
    if container == "WAV":  # nothing has to be decoded, so it is read in blocks
        monkeypatch.setattr("audionmf.separation.remixing.as_audio", None)
    made = audionmf.remix(mixture, {"component01": 0.5}, model=found)
    assert np.array_equal(made.samples, wanted.samples)
    assert not np.array_equal(made.samples, loaded.samples)
    assert (made.sample_rate, made.path, made.subtype) == (RATE, mixture, "PCM_24")


def test_the_offset_of_a_recording_is_sought_again_only_where_it_changed(tmp_path, monkeypatch):
    mixture = sound(tmp_path / "mix.wav", two_notes(2) / 2 + 0.25)
    found = audionmf.decompose(mixture, 3, settings=TINY)
    gains = {"component01": 0.5}
    sought, mean_offset = [], audio.mean_offset
    monkeypatch.setattr(audio, "mean_offset", lambda b: sought.append(1) or mean_offset(b))
    made = audionmf.remix(mixture, gains, model=found)
    assert not sought
    assert np.array_equal(
        audionmf.remix(audionmf.read(mixture), gains, model=found).samples, made.samples
    )
    assert len(sought) == 1
    sound(mixture, two_notes(2) / 2 - 0.125)
    changed = audionmf.remix(mixture, gains, model=found)
    assert len(sought) == 2
    assert np.abs(changed.samples - made.samples + 0.375).max() < 1e-3
    assert np.array_equal(
        audionmf.remix(audionmf.read(mixture), gains, model=found).samples, changed.samples
    )


def test_a_model_of_another_recording_is_refused(mixture, tmp_path, out, low):
    found = audionmf.analyse(mixture, components=True, n_components=3, settings=TINY)
    model = found.save(tmp_path / "model.npz")
    with pytest.raises(TemplateMismatchError, match="not the recording"):
        remix_file(low, out, {}, model=model)
    with pytest.raises(ParameterError, match="leave out n_sources"):
        remix_file(mixture, out, {}, model=model, n_sources=2)
    with pytest.raises(ParameterError, match="groups are of the components of a model"):
        remix_file(mixture, out, {}, groups={"a": (0,)})
    assert not out.exists()


def test_what_is_wrong_is_said_before_anything_is_computed(mixture, low, out, monkeypatch):
    monkeypatch.setattr("audionmf.separation.remixing.analyse_account", None)
    with pytest.raises(ParameterError, match="no source 'lwo'; there are 'low', 'rest'"):
        remix_file(mixture, out, {"lwo": 0}, **known(low))
    with pytest.raises(ParameterError, match="change the extension"):
        remix_file(mixture, out.with_suffix(".mid"), {"low": 0}, **known(low))
    with pytest.raises(OutputError, match="overwrite the input"):
        remix_file(mixture, mixture, {"low": 0}, **known(low))
    with pytest.raises(OutputError, match="overwrite the input"):
        remix_file(mixture, low, {"low": 0}, **known(low))


def test_nothing_is_left_where_a_remix_fails(mixture, low, out, monkeypatch):
    def broken(*_):
        yield np.zeros((1, 100), np.float32)
        raise MemoryError

    monkeypatch.setattr("audionmf.separation.remixing.mix_blocks", broken)
    with pytest.raises(MemoryError):
        remix_file(mixture, out, {"low": 0}, **known(low))
    assert files_below(out.parent) == []
