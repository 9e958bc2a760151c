"""Several recordings: one account for all of them, one after the other, whatever fails."""

import io
import shlex
import zipfile

import numpy as np
import pytest
import soundfile
from conftest import sound, steps, tone

from audionmf.errors import LockedError, ParameterError
from audionmf.studio.keeping import Keeper
from audionmf.studio.several import Queue
from audionmf.studio.ways import Said, as_stems


def opened(session, tmp_path, name, samples, given=True):
    path = sound(tmp_path / name, samples)
    return session.add_file(path, path.name, name if given else "")


def pair(session, tmp_path):
    low, high = tone(262), tone(659)
    one = opened(session, tmp_path, "one.wav", np.concatenate([low, low + high]))
    two = opened(session, tmp_path, "two.wav", np.concatenate([high, low + high]))
    way = as_stems([Said(name="low", examples=(opened(session, tmp_path, "low.wav", low),))])
    return one, two, way


def ended(session, job):
    session.worker._future.result()
    return job


def courses(queue):
    return [item["course"] for item in queue.told()["items"]]


def test_one_account_for_all_gives_the_stems_of_the_shells_batch(session, tmp_path, run):
    one, two, way = pair(session, tmp_path)
    queue = Queue(session)
    assert ended(session, queue.start([one, two], way)).outcome == "done"
    assert courses(queue) == ["done", "done"]
    Keeper(session, tmp_path / "state").keep()  # though none of them was opened
    assert len(list((tmp_path / "state" / "projects").iterdir())) == 2
    assert not session.unkept
    made = queue.stems("wav", lambda *_: None)
    with zipfile.ZipFile(made.path) as archive:
        stems = {name: archive.read(name) for name in archive.namelist()}
    assert set(stems) == {f"{t}/{s}.wav" for t in ("one", "two") for s in ("low", "rest")}
    (line,) = queue.commands("wav")
    assert line == "audionmf separate one.wav two.wav --example low=low.wav"
    assert run(*shlex.split(line)[1:])[0] == 0
    for name, content in stems.items():
        assert (tmp_path / "separated" / name).read_bytes() == content
    files = queue.files(two.id, "flac", lambda *_: None)
    assert np.array_equal(steps(files[0].path), steps(tmp_path / "separated" / "two" / "low.wav"))

    # Each can be gone on with, and what is made of it then is what is exported.
    told = session.resume(session.version, two.id)
    assert [source["name"] for source in told["sources"]] == ["low"]
    session.edit(told["version"], told["model"]["id"], [told["sources"][0] | {"name": "deep"}], [])
    with zipfile.ZipFile(queue.stems("wav", lambda *_: None).path) as archive:
        assert {"one/low.wav", "two/deep.wav"} < set(archive.namelist())
        assert soundfile.read(io.BytesIO(archive.read("two/deep.wav")))[0].any()
    assert len(queue.commands("wav")) == 3  # separate, separate, mv


def test_what_fails_says_why_and_stops_no_other(session, tmp_path):
    one, two, way = pair(session, tmp_path)
    session.shelf._kept.clear()
    content = one.path.read_bytes()
    one.path.write_bytes(b"no sound at all")
    queue = Queue(session)
    assert ended(session, queue.start([one, two], way)).outcome == "done"
    assert courses(queue) == ["failed", "done"]
    assert "'one.wav'" in queue.told()["items"][0]["reason"]
    assert str(tmp_path) not in queue.told()["items"][0]["reason"]
    with pytest.raises(ParameterError, match="not done"):
        queue.files(one.id, "wav", lambda *_: None)
    one.path.write_bytes(content)
    one._stamp = (one.path.stat().st_size, one.path.stat().st_mtime_ns)
    ended(session, queue.again())
    assert courses(queue) == ["done", "done"]
    with pytest.raises(ParameterError, match="none of them"):
        queue.again()


def test_who_asks_at_once_is_told_of_the_new_queue(session, tmp_path, monkeypatch):
    one, two, way = pair(session, tmp_path)
    queue, start, seen = Queue(session), session.worker.start, []

    def watched(kind, work):
        seen.append([item["recording"] for item in queue.told()["items"]])
        return start(kind, work)

    monkeypatch.setattr(session, "find", lambda *_: (_ for _ in ()).throw(ParameterError("no")))
    monkeypatch.setattr(session.worker, "start", watched)
    for recording in (one, two):
        ended(session, queue.start([recording], way))
    assert seen == [[one.id], [two.id]]

    def refused(*_):
        raise LockedError("busy")

    monkeypatch.setattr(session.worker, "start", refused)
    with pytest.raises(LockedError):
        queue.start([one], way)
    assert [item.recording for item in queue.items] == [two]


@pytest.mark.parametrize("whole", [False, True])
def test_one_is_taken_out_or_all_are_stopped(session, tmp_path, monkeypatch, whole):
    one, two, way = pair(session, tmp_path)
    queue = Queue(session)
    find, seen = session.find, []

    def found(recording, way, progress):
        seen.append(recording)
        if recording is one and whole:
            session.worker.job.stop()
        elif recording is one:
            queue.stop(one.id)
        progress("factorise", 0.5)  # where it is heard of
        return find(recording, way, progress)

    monkeypatch.setattr(session, "find", found)
    job = ended(session, queue.start([one, two], way))
    assert courses(queue) == ["stopped", "stopped" if whole else "done"]
    assert job.outcome == ("stopped" if whole else "done")
    assert seen == ([one] if whole else [one, two])
    assert [r["left"] for r in session.told()["recordings"][:2]] == [False, not whole]


def test_what_is_so_in_one_recording_only_is_refused(session, tmp_path):
    one, two, _ = pair(session, tmp_path)
    queue = Queue(session)
    alone = as_stems([Said(name="low", alone=((0.0, 0.4),))])
    with pytest.raises(ParameterError, match="'low' it is said where it plays alone"):
        queue.start([one, two], alone)
    for wrong in ([], [one, one]):
        with pytest.raises(ParameterError, match="each of them once"):
            queue.start(wrong, as_stems(n_sources=2))


def test_recordings_of_one_name_get_folders_of_their_own(session, tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    same = [
        opened(session, tmp_path / folder, "song.wav", tone(262), given=False) for folder in "ab"
    ]
    monkeypatch.setattr(session, "find", lambda *_: (_ for _ in ()).throw(ParameterError("no")))
    queue = Queue(session)
    ended(session, queue.start(same, as_stems(n_sources=2)))
    assert len({item.track for item in queue.items}) == 2
    assert courses(queue) == ["failed", "failed"]
