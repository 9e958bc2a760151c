"""All ways in: what a page knows of sources gives the stems that shell and script make of it."""

import runpy
import shlex

import numpy as np
import pretty_midi
import pytest
from conftest import RATE, sound, steps, tone
from test_session import delivered, ended, group, heard

import audionmf
from audionmf.errors import ParameterError
from audionmf.studio import deliver
from audionmf.studio.ways import Said, as_stems, script_arguments, shell_options


@pytest.fixture
def files(session, tmp_path):
    """A mixture of two tones, an example, a bank and a score of them, as the studio holds them."""
    low, high = tone(262), tone(659)
    sound(tmp_path / "mix.wav", np.concatenate([low, high, low + high]))
    sound(tmp_path / "low.wav", low)
    audionmf.learn(sound(tmp_path / "high.wav", high), "high").save("high.npz")
    score = pretty_midi.PrettyMIDI()
    for name, key, start in (("low", 60, 0.0), ("high", 76, 0.5)):
        part = pretty_midi.Instrument(0, name=name)
        for at in (start, 1.0):
            part.notes.append(pretty_midi.Note(90, key, at, at + 0.49))
        score.instruments.append(part)
    score.write("duet.mid")
    held = {
        name: session.add_given(tmp_path / name, name, name) for name in ("high.npz", "duet.mid")
    }
    for name in ("mix.wav", "low.wav"):
        held[name] = session.add_file(tmp_path / name, name, name)
    return held


def ways(files):
    low, bank, score = files["low.wav"], files["high.npz"], files["duet.mid"]
    example = Said(name="low", examples=(low,))
    return {
        "nothing": as_stems(n_sources=2),
        "example and bank": as_stems([example, Said(name="high", banks=((bank, "high"),))]),
        "bank with a name of its own": as_stems([example, Said(name="bell", banks=((bank, ""),))]),
        "score and example": as_stems(
            [
                Said(name="low", examples=(low,), notes=(score, "low"), alone=((0.0, 0.49),)),
                Said(name="high", notes=(score, "high")),
            ]
        ),
        "absent": as_stems([Said(name="low", examples=(low,), absent=((0.5, 0.9),))]),
        "lead": as_stems([Said(name="lead", voice=True)]),
    }


@pytest.mark.parametrize(
    "name",
    [
        "nothing", "example and bank", "bank with a name of its own", "score and example", "absent",
        "lead",
    ],
)  # fmt: skip
def test_what_is_known_gives_the_stems_of_the_shell_and_of_a_script(
    session, files, run, tmp_path, name
):
    model = ended(session, session.analyse(files["mix.wav"], ways(files)[name]))
    made = delivered(deliver.stems(model, session.groups, session.folder, "wav", lambda *_: None))
    page = heard(model, model.members(named(session)))
    assert set(made) == set(page) == set(model.names)
    for stem, samples in made.items():
        assert np.abs(samples - page[stem]).max() < 2e-3
    lines = deliver.commands(model, session.groups, "wav")
    assert bool(lines) == (name not in ("bank with a name of its own", "absent"))
    for line in lines:
        assert run(*shlex.split(line)[1:])[0] == 0
        same(made, tmp_path / "separated" / "mix")
    run_script(deliver.script(model, session.groups, "wav"), tmp_path)
    same(made, tmp_path / "separated" / "mix")


def named(session):
    return {g.name: g.components for g in session.groups}


def run_script(text, folder):
    (folder / "again.py").write_text(text)
    runpy.run_path(str(folder / "again.py"))


def same(made, folder):
    for stem, samples in made.items():
        assert np.array_equal(steps(folder / f"{stem}.wav"), samples), stem


def test_whole_sources_are_renamed_and_joined_and_the_script_does_so_too(session, files, tmp_path):
    way = as_stems([Said(name=n, notes=(files["duet.mid"], n)) for n in ("low", "high")])
    model = ended(session, session.analyse(files["mix.wav"], way))
    told = session.edit(1, model.id, [group("a", "cello", 0), group("b", "bell", 1)], [])
    first, *moves = deliver.commands(model, session.groups, "wav")
    assert first == "audionmf separate mix.wav --midi duet.mid"
    assert moves == [
        "mv -- separated/mix/low.wav separated/mix/cello.wav",
        "mv -- separated/mix/high.wav separated/mix/bell.wav",
    ]
    assert list(deliver.grouped(model, session.groups).grouping) == ["cello", "bell"]

    session.edit(told["version"], model.id, [group("a", "both", 0, 1)], [])
    made = delivered(deliver.stems(model, session.groups, session.folder, "wav", lambda *_: None))
    assert list(made) == ["both"]
    assert np.abs(made["both"] - steps(tmp_path / "mix.wav")).max() <= 1 / 32768
    assert deliver.commands(model, session.groups, "wav") == []
    run_script(deliver.script(model, session.groups, "wav"), tmp_path)
    same(made, tmp_path / "separated" / "mix")
    told = session.edit(session.version, model.id, [group("a", "low", 0)], [MARK])
    with pytest.raises(ParameterError, match="into components"):
        session.refine(told["version"])


MARK = {
    "source": "a", "belongs": True, "start": 0.1, "end": 0.4, "low": 100.0, "high": 900.0,
    "strength": 10.0,
}  # fmt: skip


def test_a_lead_and_drums_go_to_the_same_options():
    assert shell_options(as_stems([Said(name="lead", voice=True)])) == ["--lead"]
    assert shell_options(as_stems(kit=True, free=4)) == ["--kit", "--free", "4"]
    assert as_stems([Said(name="lead", voice=True)]).account().voices == ["lead"]
    assert "kick" in as_stems(kit=True).account().kit
    singer = as_stems([Said(name="singer", voice=True)])
    assert shell_options(singer) == ["--lead=singer"]
    assert script_arguments(singer) == ["lead='singer'"]


def test_stems_whose_file_went_are_rendered_again(session, files):
    model = ended(session, session.analyse(files["mix.wav"], as_stems(n_sources=2)))
    before = model.sound(0)
    assert model.stems.n_bytes == 2 * 4 * (3 * RATE // 2)
    model.stems.drop()
    assert model.stems.n_bytes == 0
    assert model.sound(0) == before
    assert model.sound(-1) is None
    assert model.sound(99) is None


def test_what_nobody_knows_is_said_in_a_line(session, files, tmp_path):
    with pytest.raises(ParameterError, match="nothing is known of 'low'"):
        as_stems([Said(name="low", absent=((0, 1),))])
    with pytest.raises(ParameterError, match=r"neither a bank of templates .* nor a score"):
        session.add_given(tmp_path / "mix.wav", "mix.wav")
    assert session.add_given(tmp_path / "high.npz", "x") is files["high.npz"]
