"""A project holds all that was made of a recording, and may come from a stranger."""

import json
import zipfile

import numpy as np
import pytest
from conftest import sound, tone
from studio_server import running
from test_session import ended, group, mixture

from audionmf.errors import ParameterError, TemplateError
from audionmf.studio import deliver
from audionmf.studio.opening import open_saved
from audionmf.studio.session import Session
from audionmf.studio.ways import Said, as_stems, blind

MARK = {
    "source": "a", "belongs": True, "start": 0.1, "end": 0.4, "low": 100.0, "high": 900.0,
    "strength": 2.0,
}  # fmt: skip


@pytest.fixture
def fresh(tmp_path):
    """Make studios, each with a folder of its own."""
    made = []

    def make():
        folder = tmp_path / f"private{len(made)}"
        folder.mkdir()
        made.append(Session(folder))
        return made[-1]

    yield make
    for session in made:
        session.worker.close()


def saved(studio, path):
    arranged = studio.arranged.told() | {"history": studio.history.saved(studio.model)}
    made = deliver.project_file(studio.model, arranged, studio.folder)
    return made.path.rename(path)


@pytest.fixture
def project(fresh, tmp_path):
    """A studio with grouped components, and its project."""
    studio, path = fresh(), mixture(tmp_path)
    recording = studio.add_file(path, "mix.wav", str(path))
    model = ended(studio, studio.analyse(recording, blind(4)))
    studio.edit(1, model.id, [group("a", "keys", 0, 2), group("b", "bell")], [MARK])
    return studio, saved(studio, tmp_path / "mix.audionmf")


def test_what_was_saved_is_gone_on_with_and_saved_alike(project, fresh, tmp_path):
    before, path = project
    after = fresh()
    model = ended(after, open_saved(after, after.add_given(path, path.name, str(path))))
    assert after.current.name == "mix.wav"
    assert after.groups == before.groups
    assert after.marks == before.marks
    assert model.way == before.model.way
    assert model.sound(0) == before.model.sound(0)
    assert saved(after, tmp_path / "again.audionmf").read_bytes() == path.read_bytes()


def test_a_project_of_the_page_finds_only_what_is_open(project, fresh, tmp_path):
    """The path in it is not followed: a stranger could ask what is on the disk."""
    _, path = project
    studio = fresh()
    item = studio.add_given(path, path.name)
    with pytest.raises(ParameterError, match=r"'mix\.audionmf' is about 'mix\.wav', which is not"):
        open_saved(studio, item)
    studio.add_file(tmp_path / "mix.wav", "another name.wav")
    assert ended(studio, open_saved(studio, item)).recording.name == "another name.wav"


def test_whole_sources_come_back_with_what_they_are_known_by(fresh, tmp_path):
    studio, path = fresh(), mixture(tmp_path)
    recording = studio.add_file(path, "mix.wav", str(path))
    low = sound(tmp_path / "low.wav", tone(262))
    example = studio.add_file(low, "low.wav", str(low))
    way = as_stems([Said(name="low", examples=(example,), absent=((0.5, 0.9),))])
    model = ended(studio, studio.analyse(recording, way))
    studio.edit(1, model.id, [group("s0", "bass", 0)], [])
    kept = saved(studio, tmp_path / "mix.audionmf")

    after = fresh()
    again = ended(after, open_saved(after, after.add_given(kept, kept.name, str(kept))))
    assert [g.name for g in after.groups] == ["bass"]
    assert again.way.sources[0].absent == ((0.5, 0.9),)
    assert [r.name for r in again.way.sources[0].examples] == ["low.wav"]
    assert again.sound(0) == model.sound(0)

    low.unlink()
    last = fresh()
    job = open_saved(last, last.add_given(kept, kept.name, str(kept)))
    assert not ended(last, job).way.sources
    assert "low.wav" in job.notes[0]
    assert last.groups == after.groups


def test_a_model_of_the_command_line_is_opened(fresh, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = mixture(tmp_path)
    assert run("decompose", path, "--n-components", "3")[0] == 0
    kept = tmp_path / "decomposed" / "mix" / "model.npz"
    studio = fresh()
    model = ended(studio, open_saved(studio, studio.add_given(kept, "model.npz", str(kept))))
    assert len(model.names) == 3
    assert studio.groups == ()


def changed(path, change):
    """Write a project anew, with another account."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    told = json.loads(members["project.json"])
    change(told, members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**members, "project.json": json.dumps(told)}.items():
            archive.writestr(name, content)


@pytest.mark.parametrize(
    "change",
    [
        lambda told, _: told.update(version=3),
        lambda told, _: told.update(gains={"a": 99}),
        lambda told, _: told.update(gains={"nobody": 1}),
        lambda told, _: told.update(history={"past": []}),
        lambda told, _: told.update(history={"past": [7], "future": []}),
        lambda told, _: told["history"]["past"].append({"sources": [], "marks": []}),
        lambda told, _: told["history"].update(future=[told["history"]["past"][0]] * 101),
        lambda told, _: told.update(more=1),
        lambda told, _: told.update(files=[]),
        lambda told, _: told["files"][0].update(path=7),
        lambda told, _: told["asked"].update(components=10**9),
        lambda told, _: told["asked"].update(result="stems", sources=[{}]),
        lambda told, _: told["sources"][0].update(components=[99]),
        lambda told, _: told["marks"][0].update(spans=[]),
        lambda told, _: told["marks"][0].update(spans=[[0, 1, 2]]),
        lambda told, _: told["marks"][0].update(spans=[[0, 1, 2, "3"]]),
        lambda told, _: told.update(marks=[MARK | {"spans": [[0, 1, 2, 3]] * 256}] * 16),
        lambda told, _: told.update(sources=[7]),
        lambda told, _: told.update(sources=[]),  # of which the mark is
        lambda told, members: members.update({"model.npz": b"PK\x03\x04"}),
        lambda told, members: members.update({"../../x": b""}),
    ],
)
def test_what_a_stranger_made_is_refused_in_a_line(project, fresh, change):
    _, path = project
    changed(path, change)
    studio = fresh()
    item = studio.add_given(path, path.name, str(path))
    with pytest.raises((TemplateError, ParameterError)):
        open_saved(studio, item)
    assert studio.model is None
    assert not [p for p in studio.folder.iterdir() if p.name.endswith("model.npz")]


def test_a_compressed_or_cut_project_is_refused(project, fresh, tmp_path):
    _, path = project
    with zipfile.ZipFile(tmp_path / "bomb.audionmf", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("project.json", b" " * (8 << 20))
        archive.writestr("model.npz", np.zeros(1 << 20).tobytes())
    (tmp_path / "cut.audionmf").write_bytes(path.read_bytes()[:-30])
    studio = fresh()
    for name in ("bomb.audionmf", "cut.audionmf"):
        item = studio.add_given(tmp_path / name, name)
        with pytest.raises(TemplateError, match=f"'{name}' is no project"):
            open_saved(studio, item)


def test_the_command_line_opens_a_project_with_its_recording(project, tmp_path):
    _, path = project
    with running(tmp_path / "tmp", path) as server, server.client() as client:
        state = client.get("/api/state").json()
        while state["model"] is None:
            assert state["job"], state
            state = client.get("/api/state").json()
        assert [source["name"] for source in state["sources"]] == ["keys", "bell"]
