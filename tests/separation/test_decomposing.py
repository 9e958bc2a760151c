"""From a file to the files of its stems or components: sums, safety, all or none."""

import csv
import dataclasses
import os

import numpy as np
import pytest
import soundfile
from conftest import RATE, TINY, files_below, sound, steps, tone, two_notes

import audionmf
from audionmf import plot
from audionmf.batch import job as jobs
from audionmf.errors import (
    AudioNMFWarning,
    AudioReadError,
    InvalidAudioError,
    MissingExtraError,
    OutputError,
    ParameterError,
    TemplateMismatchError,
)
from audionmf.io import audio, formats
from audionmf.rendering.decomposition import Decomposition
from audionmf.separation import decomposing as exports


@pytest.fixture
def bank():
    return audionmf.learn(tone(330), "low", 3, sample_rate=RATE, settings=TINY)


@pytest.fixture
def decomposed(mixture, tmp_path):
    few = dataclasses.replace(TINY, n_components=3, mask_exponent=1.0)  # stems of a group add up
    return exports.decompose_file(mixture, tmp_path / "out", settings=few)


def separate_file(path, folder, **way):
    done = jobs.run_job(jobs.SeparationJob(path, folder, **way))
    return done.stems, done.decomposition, done.trust


def total(written):
    return sum(steps(path) for path in written.paths.values())


# --- separate


@pytest.mark.parametrize(
    ("subtype", "suffix", "extension"),
    [
        ("PCM_U8", "wav", "wav"),
        ("PCM_16", "wav", "wav"),
        ("PCM_24", "wav", "wav"),
        ("PCM_32", "wav", "wav"),
        ("FLOAT", "wav", "wav"),
        ("DOUBLE", "wav", "wav"),
        ("PCM_16", "flac", "flac"),
        ("PCM_24", "flac", "wav"),
        ("PCM_16", "aiff", "aiff"),
        ("FLOAT", "aiff", "wav"),
    ],
)
@pytest.mark.parametrize("n_channels", [1, 2])
def test_stems_sum_to_the_mixture_in_its_own_format(
    tmp_path, subtype, suffix, extension, n_channels
):
    path = sound(tmp_path / f"mix.{suffix}", two_notes(n_channels), subtype)
    before = path.read_bytes(), path.stat().st_mtime_ns
    written, found, _ = separate_file(
        path,
        tmp_path / "out",
        n_sources=3,
        extension=extension,
        settings=dataclasses.replace(TINY, names="plain"),
    )
    mixture, step = steps(path), formats.quantisation_step(subtype)
    assert written.gain == 1
    assert list(written.paths) == list(found.grouping) == ["source1", "source2", "source3"]
    error = np.abs(total(written) - mixture)
    assert error.max() <= 3 * step / 2 + 3 * 2.0**-24
    if not step:
        assert 10 * np.log10((error**2).sum() / (mixture**2).sum()) <= -120
    for stem in written.paths.values():
        info = audio.AudioFile(stem)
        assert (info.sample_rate, info.n_channels, info.n_samples) == (RATE, n_channels, 4000)
        assert info.subtype == subtype
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_a_lossy_mixture_gives_float_stems_that_sum_to_it(tmp_path):
    path = sound(tmp_path / "mix.ogg", two_notes(2), "VORBIS", format="OGG")
    written, _, _ = separate_file(path, tmp_path / "out", n_sources=2, settings=TINY)
    assert np.abs(total(written) - audio.read(path).samples).max() <= 1e-6


def test_stems_that_would_clip_are_scaled_together(tmp_path):
    rng = np.random.default_rng(0)
    loud = np.clip(rng.normal(0, 3, (1, 4000)), -1, 1)
    path = sound(tmp_path / "mix.wav", loud)
    written, _, _ = separate_file(path, tmp_path / "out", n_sources=2, settings=TINY)
    error = np.abs(total(written) - written.gain * steps(path))
    assert error.max() <= 2 * 2.0**-15
    assert written.gain <= 1


@pytest.mark.parametrize("n_samples", [1, 2, 100, 255, 256, 257])
@pytest.mark.filterwarnings("ignore::audionmf.AudioWarning")
def test_a_very_short_file_keeps_its_length_and_its_sum(tmp_path, n_samples):
    path = sound(tmp_path / "mix.wav", two_notes(2, 300)[:, :n_samples])
    written, _, _ = separate_file(path, tmp_path / "out", n_sources=2, settings=TINY)
    assert total(written).shape == (2, n_samples)
    assert np.abs(total(written) - steps(path)).max() <= 2.0**-15


def test_silence_gives_silent_stems_and_a_warning(tmp_path):
    path = sound(tmp_path / "mix.wav", np.zeros((2, 3000)))
    with pytest.warns(audionmf.AudioWarning, match="silent"):
        written, _, _ = separate_file(path, tmp_path / "out", n_sources=2, settings=TINY)
    assert not total(written).any()


def test_the_same_input_gives_the_same_bytes(mixture, tmp_path):
    runs = [
        separate_file(mixture, tmp_path / name, n_sources=2, settings=TINY)[0]
        for name in ("a", "b")
    ]
    for name, path in runs[0].paths.items():
        assert path.read_bytes() == runs[1].paths[name].read_bytes()


def test_templates_examples_and_free_components_name_the_sources(mixture, bank, tmp_path):
    example = sound(tmp_path / "high.wav", tone(880))
    written, _, _ = separate_file(
        mixture,
        tmp_path / "out",
        templates=[bank.save(tmp_path / "low.npz")],
        examples={"high": [example]},
        free=2,
        pattern="{source}-{track}.{ext}",
        settings=TINY,
    )
    assert files_below(tmp_path / "out") == ["high-mix.wav", "low-mix.wav", "other-mix.wav"]
    assert list(written.paths) == ["low", "high", "other"]


def test_sources_of_odd_names_stay_in_the_folder(mixture, bank, tmp_path):
    odd = audionmf.Templates(bank.templates, ("../../x", "a/b", "c\n"), bank.stft, RATE)
    kept = odd.save(tmp_path / "odd.npz")
    separate_file(mixture, tmp_path / "out" / "deep", templates=[kept], settings=TINY)
    assert files_below(tmp_path / "out") == [
        "deep/mix/_.._x.wav",
        "deep/mix/a_b.wav",
        "deep/mix/c_.wav",
    ]


@pytest.mark.parametrize("link", [None, os.symlink, os.link])
def test_a_stem_never_overwrites_an_input(tmp_path, link):
    path = sound(tmp_path / "source1.wav", two_notes())
    if link is not None:
        (tmp_path / "linked").mkdir()
        link(path, tmp_path / "linked" / "source1.wav")
    before = path.read_bytes()
    folder = tmp_path if link is None else tmp_path / "linked"
    with pytest.raises(OutputError, match="would overwrite the input"):
        separate_file(path, folder, n_sources=2, pattern="{source}.{ext}", settings=TINY)
    assert path.read_bytes() == before


def test_a_stem_never_overwrites_an_example_or_a_template_file(mixture, bank, tmp_path):
    example = sound(tmp_path / "out" / "high.wav", tone(880))
    bank.save(tmp_path / "out" / "low.wav")
    for way in ({"examples": {"high": [example]}}, {"templates": [tmp_path / "out" / "low.wav"]}):
        with pytest.raises(OutputError, match="would overwrite the input"):
            separate_file(mixture, tmp_path / "out", pattern="{source}.{ext}", settings=TINY, **way)
    assert files_below(tmp_path / "out") == ["high.wav", "low.wav"]


@pytest.mark.parametrize("n_sources", [0, -1, 100_000])
def test_an_absurd_number_of_sources_is_refused_at_once(mixture, tmp_path, n_sources, monkeypatch):
    monkeypatch.setattr(jobs, "analyse_account", None)
    with pytest.raises(ParameterError):
        separate_file(mixture, tmp_path / "out", n_sources=n_sources, settings=TINY)
    assert files_below(tmp_path) == ["in/mix.wav"]


def test_outputs_are_checked_before_anything_is_computed(mixture, tmp_path, monkeypatch):
    monkeypatch.setattr(exports, "analyse", None)
    monkeypatch.setattr(jobs, "analyse_account", None)
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OutputError):
            separate_file(mixture, folder, n_sources=2)
        with pytest.raises(OutputError):
            exports.decompose_file(mixture, folder)
    (tmp_path / "out" / "mix" / "source1.wav").mkdir(parents=True)
    with pytest.raises(OutputError, match="folder"):
        separate_file(mixture, tmp_path / "out", n_sources=2)


def test_a_file_damaged_in_the_middle_is_a_read_error_and_leaves_nothing(tmp_path, monkeypatch):
    path = sound(tmp_path / "in" / "mix.wav", two_notes())
    n_reads = 0

    def fails_on_the_second_pass(*arguments):
        nonlocal n_reads
        n_reads += 1
        if n_reads > 2:
            raise AudioReadError(0, f"{str(arguments[2])!r} is damaged")
        return read(*arguments)

    read = audio.read_channels
    monkeypatch.setattr(audio, "read_channels", fails_on_the_second_pass)
    with pytest.raises(AudioReadError, match="damaged"):
        separate_file(path, tmp_path / "out", n_sources=2, settings=TINY)
    assert files_below(tmp_path) == ["in/mix.wav"]


def test_bad_samples_leave_nothing(tmp_path):
    samples = two_notes()
    samples[0, 1000] = np.nan
    path = sound(tmp_path / "in" / "mix.wav", samples, "FLOAT")
    for command in (separate_file, exports.decompose_file):
        way = {"n_sources": 2} if command is separate_file else {}
        with pytest.raises(InvalidAudioError, match="first at sample 1000"):
            command(path, tmp_path / "out", settings=TINY, **way)
    assert files_below(tmp_path) == ["in/mix.wav"]


# --- decompose and regroup


def test_decompose_writes_all_that_was_found(decomposed, mixture):
    assert files_below(decomposed.folder) == [
        "activations.csv",
        "component00.wav",
        "component01.wav",
        "component02.wav",
        "decomposition.png",
        "model.npz",
        "templates.csv",
    ]
    assert np.abs(total(decomposed.stems) - steps(mixture)).max() <= 3 * 2.0**-16 + 2.0**-22
    assert decomposed.picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_the_tables_hold_the_factors(decomposed):
    model = decomposed.decomposition
    for path, axis, factor in (
        (decomposed.templates, "frequency_hz", model.templates.templates),
        (decomposed.activations, "time_s", model.activations.T),
    ):
        with path.open(newline="") as stream:
            names, *rows = csv.reader(stream)
        assert names == [axis, "component00", "component01", "component02"]
        table = np.array(rows, float)
        assert np.allclose(table[:, 1:], factor, rtol=1e-5, atol=1e-30)
        assert (np.diff(table[:, 0]) > 0).all()


def test_the_same_input_gives_the_same_model_and_tables(decomposed, mixture, tmp_path):
    again = exports.decompose_file(
        mixture, tmp_path / "again", settings=decomposed.decomposition.settings
    )
    for name in ("model.npz", "templates.csv", "activations.csv", "component00.wav"):
        assert (decomposed.folder / name).read_bytes() == (again.folder / name).read_bytes()


def test_without_matplotlib_all_but_the_picture_is_written(mixture, tmp_path, monkeypatch):
    def missing(*_):
        raise MissingExtraError("pictures need matplotlib")

    monkeypatch.setattr(plot, "figure", missing)
    with pytest.warns(AudioNMFWarning, match="no picture was drawn"):
        made = exports.decompose_file(mixture, tmp_path / "out", settings=TINY)
    assert made.picture is None
    assert made.model.exists()
    assert not (made.folder / "decomposition.png").exists()


def test_components_never_overwrite_the_input(tmp_path):
    path = sound(tmp_path / "component00" / "component00.wav", two_notes())
    before = path.read_bytes()
    with pytest.raises(OutputError, match="would overwrite the input"):
        exports.decompose_file(path, tmp_path, settings=TINY)
    assert path.read_bytes() == before


def test_regrouping_renders_the_same_components_and_sums_up(decomposed, mixture, tmp_path):
    groups = {"a": (0, 2)}
    made = exports.regroup_file(decomposed.model, groups, tmp_path / "new")
    written = made.stems
    assert made.decomposition.grouping == {"a": (0, 2), "rest": (1,)}
    assert np.abs(total(written) - steps(mixture)).max() <= 2.0**-15
    one = steps(decomposed.stems.paths["component01"])
    assert np.abs(steps(written.paths["rest"]) - one).max() <= 2 * 2.0**-15


def test_regrouping_takes_the_recording_from_where_it_is_now(decomposed, mixture, tmp_path):
    moved = mixture.rename(tmp_path / "moved.wav")
    with pytest.raises(FileNotFoundError):
        exports.regroup_file(decomposed.model, {"a": (0,)}, tmp_path / "new")
    (tmp_path / "deep").mkdir()
    moved = moved.rename(tmp_path / "deep" / mixture.name)
    found = exports.regroup_file(
        decomposed.model, {"a": (0,)}, tmp_path / "a", root=tmp_path / "deep"
    )
    assert set(found.stems.paths) == {"a", "rest"}
    moved = moved.rename(tmp_path / "moved.wav")
    made = exports.regroup_file(decomposed.model, {"a": (0,)}, tmp_path / "new", mixture=moved)
    assert set(made.stems.paths) == {"a", "rest"}


def test_regrouping_refuses_another_recording(decomposed, mixture, tmp_path):
    sound(mixture, two_notes()[:, ::-1])
    with pytest.raises(TemplateMismatchError, match="not the recording"):
        exports.regroup_file(decomposed.model, {"a": (0,)}, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_regrouping_a_model_of_an_array_needs_the_recording(tmp_path):
    model = audionmf.analyse(two_notes(), sample_rate=RATE, n_sources=2, settings=TINY)
    path = model.save(tmp_path / "m.npz")
    with pytest.raises(ParameterError, match="made from an array"):
        exports.regroup_file(path, {"a": (0,)}, tmp_path / "new")


def test_regrouping_never_overwrites_the_model_or_the_recording(decomposed, mixture):
    before = decomposed.model.read_bytes(), mixture.read_bytes()
    with pytest.raises(OutputError, match="would overwrite the input"):
        exports.regroup_file(
            decomposed.model, {"mix": (0,)}, mixture.parent, pattern="{source}.{ext}"
        )
    assert (decomposed.model.read_bytes(), mixture.read_bytes()) == before


def test_a_model_is_loaded_as_it_was_saved(decomposed):
    loaded = Decomposition.load(decomposed.model)
    assert np.array_equal(loaded.activations, decomposed.decomposition.activations)
    assert loaded.settings == decomposed.decomposition.settings


def test_separation_saves_stems_that_sum_up(mixture, tmp_path):
    separation = audionmf.separate(mixture, n_sources=2, settings=TINY, names="plain")
    written = separation.save(tmp_path / "out")
    assert files_below(tmp_path / "out") == ["source1.wav", "source2.wav"]
    assert np.abs(total(written) - soundfile.read(mixture)[0]).max() <= 2.0**-15
