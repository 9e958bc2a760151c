"""What a person does with results in Python, each in one call that needs no further arguments."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from conftest import RATE, TINY, sound

import audionmf
from audionmf import plot
from audionmf.separation.separating import Decomposition

TIMES = np.arange(RATE) / RATE
SOUND = 0.3 * np.sin(2764 * TIMES) + 0.2 * np.sin(6283 * TIMES) * (TIMES % 0.4 < 0.1)


@pytest.fixture(scope="module")
def found():
    return audionmf.decompose(SOUND, 3, sample_rate=RATE, settings=TINY)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_components_are_grouped_and_rendered_without_the_array_again(found):
    stems = found.regroup({"low": [0], "high": range(1, 3)}).render()
    assert list(stems.sources) == ["low", "high"]
    np.testing.assert_allclose(sum(stems.sources.values())[0], SOUND, atol=1e-5)
    assert isinstance(stems.decomposition.regroup({"low": [1]}), Decomposition)


def test_all_that_is_written_has_a_place_by_itself(found, here):
    assert found.save() == here / "decomposed/mixture/model.npz" or found.save().is_file()
    stems = found.regroup({"low": [0]}).render()
    assert set(stems.save().paths) == {"low", "rest"}
    assert (here / "separated/mixture/low.wav").is_file()
    assert audionmf.report(stems).name == "report.html"
    assert (here / "separated/mixture/report.html").is_file()
    with pytest.raises(audionmf.ParameterError, match="not of int"):
        audionmf.report(3)


def test_a_model_that_is_loaded_finds_its_recording_again(here):
    path = sound(here / "mix.wav", SOUND[None])
    made = audionmf.decompose(path, 2, settings=TINY)
    loaded = audionmf.Decomposition.load(made.save())
    for name, stem in loaded.render().sources.items():
        np.testing.assert_array_equal(stem, made.render().sources[name])
    part = audionmf.decompose(path, 2, start=0.2, duration=0.5, settings=TINY)
    assert part.render().mixture.shape == (1, RATE // 2)
    with pytest.raises(audionmf.ParameterError, match="made from a part"):
        audionmf.Decomposition.load(part.save()).render()


def test_a_model_of_an_array_that_is_gone_says_how_it_is_rendered(found, here):
    loaded = audionmf.Decomposition.load(found.save())
    with pytest.raises(audionmf.ParameterError, match=r"audionmf\.render"):
        loaded.render()
    stems = audionmf.render(SOUND, loaded, sample_rate=RATE)
    assert len(stems.sources) == 3


def test_pictures_take_results(found):
    pytest.importorskip("matplotlib")
    stems = found.regroup({"low": [0, 2]}).render()
    figures = [found.plot(), stems.plot(), plot.decomposition(stems), plot.separation(stems)]
    assert [len(figure.axes) >= 2 for figure in figures] == [True] * 4
    drawn = [plot.templates(stems), plot.activations(found), plot.templates(None, found.templates)]
    assert [axes.get_title() for axes in drawn] == [
        "templates (W)", "activations (H)", "templates (W)",
    ]  # fmt: skip
    assert "low" in [text.get_text() for text in drawn[0].texts]
    axes = plot.figure().add_subplot()
    assert plot.activations(axes, found) is axes
    blind = audionmf.separate(SOUND, n_sources=2, sample_rate=RATE, settings=TINY).decomposition
    assert blind.plot_activations().get_title() == "activations (H)"


def test_what_has_no_templates_is_refused_in_a_line():
    pytest.importorskip("matplotlib")
    with pytest.raises(audionmf.ParameterError, match="not of str"):
        plot.templates("mix.wav")
    with pytest.raises(audionmf.ParameterError, match="STFT"):
        plot.templates(None, np.ones((3, 2)), audionmf.STFT(256, 64))


def test_folders_are_separated_by_one_call(here):
    for name in ("album/a.wav", "album/b/c.wav"):
        sound(here / name, SOUND[None])
    states = []
    done = audionmf.separate_files(
        "album", "out", n_sources=2, settings=TINY, progress=states.append
    )
    assert done.count("done") == 2
    assert (here / "out/b/c/source1.wav").is_file()
    assert states[-1].n_finished == 2
    again = audionmf.separate_files(["album"], "out", n_sources=2, settings=TINY, resume=True)
    assert repr(again).startswith("<BatchReport: 2 kept")
    assert audionmf.rerun(done.outcomes[0].manifest).same


def test_an_example_of_a_batch_is_a_path(here):
    sound(here / "mix.wav", SOUND[None])
    sound(here / "a.wav", SOUND[None, : RATE // 2])
    done = audionmf.separate_files("mix.wav", examples={"a": "a.wav"}, settings=TINY)
    assert set(done.outcomes[0].stems) == {"a", "rest"}
    for examples in ({"a": SOUND}, "a.wav"):
        with pytest.raises(audionmf.ParameterError, match=r"paths|mapping"):
            audionmf.separate_files("mix.wav", examples=examples, settings=TINY)


def test_progress_stops_a_batch(here):
    sound(here / "mix.wav", SOUND[None])
    with pytest.raises(audionmf.StoppedError):
        audionmf.separate_files("mix.wav", n_sources=2, settings=TINY, progress=lambda state: True)
    assert not list((here / "separated").rglob("*.wav"))


def test_a_script_of_a_user_is_typed(tmp_path):
    pytest.importorskip("mypy")
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            from pathlib import Path

            import numpy as np
            from numpy.typing import NDArray

            import audionmf
            from audionmf import plot


            def stop(stage: str, done: float) -> bool:
                return done > 0.5


            def stem(path: Path) -> NDArray[np.float32]:
                found = audionmf.decompose(path, 16, progress=stop)
                stems = found.regroup({"bass": [0, 3], "keys": range(4, 9)}).render()
                plot.save(found.plot(), "model.png")
                plot.templates(found)
                plot.activations(stems)
                plot.separation(stems)
                notes: audionmf.NoteTable = stems.notes()
                notes.save("notes.mid")
                page: Path = stems.report()
                audionmf.report(found, page.parent)
                stems.save()
                return stems.sources["bass"]


            done = audionmf.separate_files("album", jobs=2, examples={"a": "a.wav"})
            print(done.count("failed"), audionmf.rerun("manifest.json").same)
            print(audionmf.evaluate_folders("a", "b").mean["si_sdr"], audionmf.describe("a")["kind"])
            alone, absent = audionmf.read_labels("labels.txt")
            audionmf.write("a.wav", audionmf.remix("mix.wav", {"voice": 0.0}, lead=True))
            reveal_type(audionmf.decompose("a").regroup({}).render())
            audionmf.separate(3, only=5)
            """
        )
    )
    root = Path(__file__).parents[2]
    # The package's own settings and kept results: to read all of it anew takes half a minute.
    told = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", str(root / "pyproject.toml"), str(script)],
        cwd=root, env={**os.environ, "MYPYPATH": str(Path(audionmf.__file__).parents[1])},
        capture_output=True, check=False, timeout=300,
    )  # fmt: skip
    lines = told.stdout.decode().splitlines()
    errors = [line for line in lines if "script.py" in line and ": error:" in line]
    assert len(errors) == 1, lines
    assert '"only" to "separate" has incompatible type "int"' in errors[0]
    assert [line for line in lines if "Revealed" in line and "separating.Separation" in line]
