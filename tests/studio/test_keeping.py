"""What is worked on is kept from second to second, bounded, and nobody else's to read."""

import signal
import stat
import time

import pytest
from conftest import files_below, sound, tone
from studio_server import finish, running
from test_session import ended, group, mixture

from audionmf.studio import deliver, keeping
from audionmf.studio.keeping import Keeper, state_folder
from audionmf.studio.opening import open_saved
from audionmf.studio.session import Session, UnknownIdError
from audionmf.studio.ways import blind


@pytest.fixture
def fresh(tmp_path):
    """Make studios that keep what is worked on in one state folder."""
    made = []

    def make(**options):
        folder = tmp_path / f"private{len(made)}"
        folder.mkdir()
        session = Session(folder)
        made.append(session)
        return session, Keeper(session, tmp_path / "state", **options)

    yield make
    for session in made:
        session.worker.close()


def worked(session, path, given=""):
    """Take a recording apart and make two sources of it, in two steps."""
    recording = session.add_file(path, path.name, given)
    model = ended(session, session.analyse(recording, blind(4)))
    for n in (1, 2):
        groups = [group("a", "keys", 0, 2), group("b", "bell", 1)][:n]
        session.edit(session.version, model.id, groups, [], {"a": -6.0})
    return recording


def gone_on(session, keeper, index=0):
    item = keeper.take(keeper.told()[index]["id"])
    job = open_saved(session, item, keeper.files, lambda r: keeper.took(item, r))
    return ended(session, job)


def test_all_that_was_kept_is_there_again_with_a_recording_that_came_through_the_page(
    fresh, tmp_path
):
    before, keeper = fresh()
    upload = sound(before.folder / "0123", tone(262))
    worked(before, upload)
    before.current.name = "mine.wav"
    keeper.keep()
    upload.unlink()  # as the temporary folder goes

    after, again = fresh()
    [told] = again.told()
    assert (told["name"], told["sources"]) == ("mine.wav", ["keys", "bell"])
    model = gone_on(after, again)
    assert after.arranged == before.arranged
    assert after.arranged.gains == {"a": -6.0}
    assert [step.arranged for step in after.history.past] == [
        step.arranged for step in before.history.past
    ]
    assert model.sound(0) == before.model.sound(0)
    assert again.told() == []  # it is open here

    again.keep()  # in the place of what it came from
    _, third = fresh()
    assert [item["sources"] for item in third.told()] == [["keys", "bell"]]
    for path in (tmp_path / "state").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_recording_is_found_by_its_kept_work_and_another_analysis_does_not_replace_it(
    fresh, tmp_path
):
    path = mixture(tmp_path)
    before, keeper = fresh()
    recording = worked(before, path, str(path))
    keeper.keep()
    for n in (3, 2):  # of the first of these nothing is made
        ended(before, before.analyse(recording, blind(n)))
        keeper.keep()
    assert [item["sources"] for item in keeper.told()] == [["keys", "bell"]]

    after, again = fresh()
    same = after.add_file(path, path.name, str(path))
    assert again.latest(same) == again.told()[0]["id"]
    assert [item["sources"] for item in again.told()] == [[], ["keys", "bell"]]
    other = after.add_file(sound(tmp_path / "x" / "mix.wav", tone(440)), "mix.wav")
    assert again.latest(other) is None
    assert not list(keeper.files.iterdir())  # what has a path is not copied


def test_forgetting_leaves_nothing_on_the_disk(fresh, tmp_path):
    before, keeper = fresh()
    worked(before, sound(before.folder / "0123", tone(262)))
    keeper.keep()
    _, later = fresh()
    later.forget(later.told()[0]["id"])
    assert files_below(tmp_path / "state") == []
    with pytest.raises(UnknownIdError):
        later.forget("x")


def test_what_was_not_touched_longest_goes(fresh, monkeypatch):
    monkeypatch.setattr(keeping, "_MOST_PROJECTS", 2)
    for hertz in (262, 330, 440):
        session, keeper = fresh()
        worked(session, sound(session.folder / f"{hertz}.wav", tone(hertz)))
        keeper.keep()
    _, last = fresh()
    assert [item["name"] for item in last.told()] == ["440.wav", "330.wav"]
    assert len(list(last.files.iterdir())) == 2

    session, keeper = fresh(most_bytes=1)  # what is open stays, and is not copied
    worked(session, sound(session.folder / "523.wav", tone(523)))
    keeper.keep()
    _, last = fresh()
    assert [item["name"] for item in last.told()] == ["523.wav"]
    assert not list(last.files.iterdir())


def test_what_another_studio_goes_on_with_is_not_taken_away(fresh, tmp_path):
    path = mixture(tmp_path)
    first, keeper = fresh()
    worked(first, path, str(path))
    keeper.keep()
    second, other = fresh()
    gone_on(second, other)
    first.edit(first.version, first.model.id, [group("a", "mine", 0)], [])
    keeper.keep()
    other.keep()
    _, third = fresh()
    assert sorted(item["sources"][0] for item in third.told()) == ["keys", "mine"]


def test_what_a_stranger_put_there_is_passed_over(fresh, tmp_path):
    session, keeper = fresh()
    worked(session, mixture(tmp_path), "x")
    keeper.keep()
    folder = tmp_path / "state" / "projects"
    (folder / "cut.audionmf").write_bytes(next(folder.iterdir()).read_bytes()[:200])
    (folder / "loop.audionmf").symlink_to("loop.audionmf")
    (folder / "dir.audionmf").mkdir()
    _, later = fresh()
    assert len(later.told()) == 1


def test_a_disk_that_takes_nothing_is_told_of_until_it_does(fresh, tmp_path):
    (tmp_path / "state").write_text("")
    session, keeper = fresh()
    worked(session, mixture(tmp_path), "x")
    keeper.keep()
    assert keeper.trouble.startswith("what you do is not kept on the disk now: ")
    assert str(tmp_path) not in keeper.trouble
    (tmp_path / "state").unlink()
    keeper.keep()
    assert not keeper.trouble
    assert files_below(tmp_path / "state" / "projects")


def test_where_it_lies(monkeypatch):
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/me")
    assert str(state_folder()) == "/home/me/.local/state/audionmf/studio"
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert str(state_folder()) == "/state/audionmf/studio"


def test_a_killed_studio_loses_no_more_than_a_second(tmp_path):
    path = mixture(tmp_path)
    with running(tmp_path / "tmp", path) as server, server.client() as client:
        state = client.get("/api/state").json()
        body = {
            "kind": "analyse", "recording": state["recording"], "result": "components",
            "components": 3, "free": 0, "number": 0, "kit": False, "sources": [],
        }  # fmt: skip
        finish(client, client.post("/api/jobs", json=body))
        state = client.get("/api/state").json()
        edit = {
            "version": state["version"], "model": state["model"]["id"], "marks": [], "gains": {},
            "step": "do", "sources": [group("a", "keys", 0)],
        }  # fmt: skip
        version = client.put("/api/state", json=edit).raise_for_status().json()["version"]
        start = time.monotonic()
        while client.get("/api/alive").json()["kept"] != version:
            assert time.monotonic() - start < 5  # a second, and what a busy machine takes
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    with running(tmp_path / "tmp", path) as server, server.client() as client:
        state = client.get("/api/state").json()
        [kept] = state["kept"]
        assert kept["sources"] == ["keys"]
        assert state["recordings"][0]["kept"] == kept["id"]
        assert finish(client, client.post(f"/api/kept/{kept['id']}"))["outcome"] == "done"
        state = client.get("/api/state").json()
        assert [source["name"] for source in state["sources"]] == ["keys"]
        assert len(state["history"]["past"]) == 1
        assert client.delete("/api/kept/none").status_code == 404
    with running(tmp_path / "tmp", path, "--no-keep") as server, server.client() as client:
        assert client.get("/api/state").json()["kept"] == []


def test_a_project_holds_gains_and_history(fresh, tmp_path):
    session, _ = fresh()
    path = mixture(tmp_path)
    worked(session, path, str(path))
    arranged = session.arranged.told() | {"history": session.history.saved(session.model)}
    made = deliver.project_file(session.model, arranged, session.folder)
    after, _ = fresh()
    ended(after, open_saved(after, after.add_given(made.path, "mix.audionmf", str(made.path))))
    assert after.arranged.gains == {"a": -6.0}
    assert len(after.history.past) == 2
