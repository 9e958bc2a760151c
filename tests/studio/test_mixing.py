"""The mixer: gains that are heard are those of the remix, which the command line makes too."""

import math
import shlex

import numpy as np
import pytest
from conftest import RATE, sound, steps, tone
from test_session import ended, group, heard, mixture

from audionmf.errors import ParameterError
from audionmf.studio.loudness import k_weights, products
from audionmf.studio.mixing import remix, remix_commands
from audionmf.studio.ways import Said, as_stems, blind


def remixed(session, gains, extension="wav"):
    quiet = lambda *_: None  # noqa: E731
    made = remix(session.model, session.groups, gains, session.folder, extension, quiet)
    assert made.name == f"mix-remix.{extension}"
    return made.path.read_bytes(), steps(made.path)


def same_by_shell(session, run, gains, extension="wav"):
    lines = remix_commands(session.model, session.groups, gains, extension)
    assert lines
    for line in lines:
        assert run(*shlex.split(line)[1:])[0] == 0
    return (session.folder.parent / f"mix-remix.{extension}").read_bytes()


@pytest.mark.parametrize("extension", ["wav", "flac"])
def test_a_remix_of_components_is_what_is_heard_and_what_the_shell_makes(
    session, run, tmp_path, extension
):
    recording = session.add_file(mixture(tmp_path, 2), "mix.wav", "mix.wav")
    model = ended(session, session.analyse(recording, blind(4)))
    groups = [group("a", "low & deep", 0, 3), group("b", "it's", 2), group("c", "none")]
    faders = {"a": -6.0, "rest": 2.5, "c": 3.0}
    session.edit(session.version, model.id, groups, [], faders)
    gains = session.arranged.mixed(["b"])
    assert gains == {"low & deep": -6.0, "it's": -math.inf, "rest": 2.5}
    content, made = remixed(session, gains, extension)
    parts = heard(model, {"a": (0, 3), "b": (2,), "rest": (1,)})
    wanted = 10 ** (-6 / 20) * parts["a"] + 10 ** (2.5 / 20) * parts["rest"]
    assert np.abs(made - wanted).max() < 3e-3
    assert same_by_shell(session, run, gains, extension) == content


def test_a_remix_of_whole_sources_is_that_of_the_shell_whatever_they_are_called_here(
    session, run, tmp_path
):
    recording = session.add_file(mixture(tmp_path), "mix.wav", "mix.wav")
    low = sound(tmp_path / "low.wav", tone(262))
    example = session.add_file(low, "low.wav", "low.wav")
    way = as_stems([Said(name="low", examples=(example,))])
    model = ended(session, session.analyse(recording, way))
    session.edit(session.version, model.id, [group("a", "cello", 0)], [], {"a": 4.0})
    gains = session.arranged.mixed(["rest"])
    content, _ = remixed(session, gains)
    assert same_by_shell(session, run, gains) == content
    [line] = remix_commands(model, session.groups, gains, "wav")
    assert "--gain low=4 --gain rest=-inf" in line

    session.edit(session.version, model.id, [group("a", "both", 0, 1)], [], {"a": -6.0})
    gains = session.arranged.mixed([])
    _, made = remixed(session, gains)
    assert np.abs(made - 10 ** (-6 / 20) * steps(tmp_path / "mix.wav")).max() <= 1 / 32768
    assert remix_commands(model, session.groups, gains, "wav") == []


def test_a_gain_of_an_empty_rest_moves_nobody_else(session, tmp_path):
    recording = session.add_file(mixture(tmp_path), "mix.wav", "mix.wav")
    model = ended(session, session.analyse(recording, blind(2)))
    groups = [group("a", "x", 0), group("b", "y", 1)]
    session.edit(session.version, model.id, groups, [], {"rest": -9.0})
    with pytest.raises(ParameterError, match="would be the recording"):
        remixed(session, session.arranged.mixed([]))
    for silent in (["nobody"], [[]], "a"):
        with pytest.raises(ParameterError, match="ids of sources"):
            session.arranged.mixed(silent)


def test_textures_are_a_way_as_at_the_shell(session, run, tmp_path):
    recording = session.add_file(mixture(tmp_path), "mix.wav", "mix.wav")
    model = ended(session, session.analyse(recording, as_stems(harmonic_percussive=True)))
    assert model.names == ["harmonic", "percussive"]
    content, _ = remixed(session, {"percussive": -12.0})
    [line] = remix_commands(model, session.groups, {"percussive": -12.0}, "wav")
    assert "--harmonic-percussive" in line
    assert same_by_shell(session, run, {"percussive": -12.0}) == content


def test_loudness_is_that_of_the_recommendation():
    """A sine of full scale at 997 Hz has -3.01 LUFS; the rest is the weighting at 48 kHz."""
    rate, n = 48000, 24000
    sine = np.sin(2 * np.pi * 997 * np.arange(4 * n) / rate)
    pcm = np.round(32767 * np.stack([sine, 0.5 * sine])).astype("<i2")

    def sound_of(index):
        return pcm[:, None, index * n : (index + 1) * n].tobytes(), 1.0

    found = products(sound_of, 2, 1, 4, rate)
    assert -0.691 + 10 * np.log10(found[0, 0]) == pytest.approx(-3.01, abs=0.05)
    together = np.ones(2) @ found @ np.ones(2)
    assert together == pytest.approx(2.25 * found[0, 0], rel=1e-3)
    low, high = k_weights(np.array([20.0, 10000.0]))
    assert 10 * np.log10(low) < -12
    assert 10 * np.log10(high) == pytest.approx(4.0, abs=0.1)


def test_loudness_of_all_parts_together_is_that_of_the_recording(session, tmp_path):
    recording = session.add_file(mixture(tmp_path), "mix.wav")
    model = ended(session, session.analyse(recording, blind(3)))
    found = np.frombuffer(model.levels, "<f4").reshape(3, 3)
    n_blocks = -(-recording.n_samples // recording.block)
    whole = products(recording.sound, 1, 1, n_blocks, RATE)
    assert found.sum() == pytest.approx(whole[0, 0], rel=1e-3)
