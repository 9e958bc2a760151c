"""What a studio holds: what is heard is what is exported, and what the command line makes."""

import asyncio
import dataclasses
import io
import shlex
import threading
import zipfile

import httpx
import numpy as np
import pytest
import soundfile
from conftest import RATE, sound, steps, tone

from audionmf.errors import AudioReadError, LimitError, LockedError, ParameterError
from audionmf.nmf import State
from audionmf.studio import deliver, models, recordings
from audionmf.studio.app import make_app
from audionmf.studio.session import StaleError, UnknownIdError
from audionmf.studio.ways import Said, as_stems, blind, informed
from audionmf.studio.work import Job, StoppedError, Worker


def mixture(folder, n_channels=1):
    mixed = np.concatenate([tone(262), tone(659), tone(262) + tone(659)])
    return sound(folder / "mix.wav", np.stack([mixed, 0.7 * mixed])[:n_channels])


MARK = {
    "source": "a", "belongs": True, "start": 0.1, "end": 0.4, "low": 500.0, "high": 900.0,
    "strength": 10.0,
}  # fmt: skip


def ended(session, job):
    session.worker._future.result()
    assert job.outcome == "done", job.error
    return session.model


def group(key, name, *components):
    return {"id": key, "name": name, "colour": 0, "components": list(components)}


def heard(model, groups):
    """Add up what the page adds up: 16-bit blocks of all components."""
    sums = {name: [] for name in groups}
    audio, index = model.recording.audio, 0
    while (block := model.sound(index)) is not None:
        samples, scale = block
        n = len(model.names)
        pcm = np.frombuffer(samples, "<i2").reshape(n, model.told()["channels"], -1)
        for name, members in groups.items():
            sums[name].append(pcm[list(members)].sum(axis=0) * (scale / 32767))
        index += 1
    joined = {name: np.concatenate(parts, axis=1) for name, parts in sums.items()}
    assert all(stem.shape[1] == audio.n_samples for stem in joined.values())
    return joined


def delivered(made):
    with zipfile.ZipFile(made.path) as archive:
        return {
            name.rpartition("/")[2].partition(".")[0]: soundfile.read(
                io.BytesIO(archive.read(name)), always_2d=True
            )[0].T
            for name in archive.namelist()
        }


@pytest.mark.parametrize("n_channels", [1, 2])
def test_what_is_heard_is_what_is_exported_and_what_the_command_line_makes(
    session, run, tmp_path, monkeypatch, n_channels
):
    monkeypatch.chdir(tmp_path)
    recording = session.add_file(mixture(tmp_path, n_channels), "mix.wav", "mix.wav")
    model = ended(session, session.analyse(recording, blind(5)))
    session.edit(1, model.id, [group("a", "low & deep", 0, 3), group("b", "it's", 2)], [])

    exported = delivered(
        deliver.stems(model, session.groups, session.folder, "wav", lambda *_: None)
    )
    page = heard(model, {"low & deep": (0, 3), "it's": (2,), "rest": (1, 4)})
    assert set(exported) == set(page)
    for name, stem in exported.items():
        assert np.abs(stem - page[name]).max() < 2e-3

    for line in deliver.commands(model, session.groups, "wav"):
        program, *arguments = shlex.split(line)
        assert program == "audionmf"
        assert run(*arguments)[0] == 0
    for name, stem in exported.items():
        assert np.array_equal(steps(tmp_path / "separated" / "mix" / f"{name}.wav"), stem)


def test_without_sources_every_component_is_exported(session, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recording = session.add_file(mixture(tmp_path), "mix.wav", "mix.wav")
    model = ended(session, session.analyse(recording, blind(3)))
    exported = delivered(deliver.stems(model, (), session.folder, "flac", lambda *_: None))
    assert list(exported) == ["component00", "component01", "component02"]
    (line,) = deliver.commands(model, (), "flac")
    assert run(*shlex.split(line)[1:])[0] == 0
    for name, stem in exported.items():
        made = steps(tmp_path / "decomposed" / "mix" / f"{name}.flac")
        assert np.array_equal(made, stem)
    model.way = dataclasses.replace(model.way, by_hand=True)
    (line,) = deliver.commands(model, (), "wav")
    saved = deliver.model_file(model, (), session.folder)
    saved.path.rename(tmp_path / saved.name)
    assert run(*shlex.split(line)[1:])[0] == 0
    for name, stem in exported.items():
        assert np.array_equal(steps(tmp_path / "separated" / "mix" / f"{name}.wav"), stem)


def test_a_recording_is_heard_as_it_is_before_it_is_taken_apart(session, tmp_path):
    recording = session.add_file(mixture(tmp_path, 2), "mix.wav")
    parts = []
    while (block := recording.sound(len(parts))) is not None:
        pcm = np.frombuffer(block[0], "<i2").reshape(2, -1)
        parts.append(pcm * (block[1] / 32767))
    assert recording.sound(-1) is None
    heard_whole = np.concatenate(parts, axis=1)
    assert heard_whole.shape == recording.audio.samples.shape
    assert np.abs(heard_whole - recording.audio.samples).max() < 1e-4


def test_sources_that_were_known_can_be_made_again_too(session, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recording = session.add_file(mixture(tmp_path), "mix.wav", "mix.wav")
    example = session.add_file(sound(tmp_path / "-low.wav", tone(262)), "-low.wav", "-low.wav")
    way = informed(
        3, [Said(name="low", examples=(example,)), Said(name="high", alone=((0.5, 0.99),))], 2
    )
    model = ended(session, session.analyse(recording, way))
    assert [g.name for g in session.groups] == ["low", "high", "other"]
    assert sum(len(g.components) for g in session.groups) == model.parts.n_components
    exported = delivered(
        deliver.stems(model, session.groups, session.folder, "flac", lambda *_: None)
    )
    (line,) = deliver.commands(model, session.groups, "flac")
    assert run(*shlex.split(line)[1:])[0] == 0
    for name, stem in exported.items():
        made = steps(tmp_path / "separated" / "mix" / f"{name}.flac")
        assert np.abs(made - stem).max() <= 1 / 32768

    # Moved by hand, it takes the model file.
    moved = [g.told() for g in session.groups]
    moved[1]["components"] += moved[0]["components"][:1]
    del moved[0]["components"][0]
    session.edit(1, model.id, moved, [])
    (line,) = deliver.commands(model, session.groups, "wav")
    assert line.startswith("audionmf regroup mix-model.npz --group")
    saved = deliver.model_file(model, session.groups, session.folder)
    saved.path.rename(tmp_path / saved.name)
    assert run(*shlex.split(line)[1:])[0] == 0
    exported = delivered(
        deliver.stems(model, session.groups, session.folder, "wav", lambda *_: None)
    )
    for name, stem in exported.items():
        made = steps(tmp_path / "separated" / "mix" / f"{name}.wav")
        assert np.abs(made - stem).max() <= 1 / 32768


def test_a_refinement_is_a_new_model_that_undo_can_leave(session, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = mixture(tmp_path)
    recording = session.add_file(path, "mix.wav")
    first = ended(session, session.analyse(recording, blind(4)))
    mark = {
        "source": "a", "belongs": True, "start": 0.6, "end": 0.9, "low": 600, "high": 700,
        "strength": 10,
    }  # fmt: skip
    told = session.edit(1, first.id, [group("a", "high", 0, 1)], [mark])
    second = ended(session, session.refine(told["version"]))
    assert second is not first
    assert not np.array_equal(first.parts.templates.templates, second.parts.templates.templates)
    assert [g.name for g in session.groups] == ["high"]
    (line,) = deliver.commands(second, session.groups, "wav")
    assert line == "audionmf regroup mix-model.npz --mixture mix.wav --group high=0,1"
    saved = deliver.model_file(second, session.groups, session.folder)
    saved.path.rename(tmp_path / saved.name)
    assert run(*shlex.split(line)[1:])[0] == 0
    assert session.edit(session.version, first.id, [], [])["model"]["id"] == first.id
    with pytest.raises(ParameterError, match="mark"):
        session.refine(session.version)


def test_marks_are_tried_and_taken_over_without_a_step_of_their_own(session, tmp_path, monkeypatch):
    recording = session.add_file(mixture(tmp_path), "mix.wav")
    model = ended(session, session.analyse(recording, blind(3)))
    mark = {
        "source": "a", "belongs": True, "start": 0.1, "end": 0.4, "low": 500.0, "high": 900.0,
        "strength": 10.0,
    }  # fmt: skip
    groups = [group("a", "one", 0), group("b", "two", 1, 2)]
    told = session.edit(1, model.id, groups, [mark])
    tried = session.try_marks(told["version"], (0.0, 0.5))
    assert ended(session, tried) is model  # nothing is taken over yet
    made = tried.result["model"]["id"]
    assert np.array_equal(
        session.models(made).parts.templates.templates, model.parts.templates.templates
    )
    assert not np.array_equal(session.models(made).parts.activations, model.parts.activations)
    n_steps = len(session.history.past)
    told = session.edit(told["version"], made, groups, [mark], {}, "swap")
    assert (session.model.id, len(session.history.past)) == (made, n_steps)
    assert not session.history.future

    monkeypatch.setattr("audionmf.studio.session._MOST_TRIALS", 1)
    for _ in range(2):
        ended(session, session.try_marks(told["version"]))
    assert session.models(made) is session.model  # what is heard is kept, the other trial is not
    assert len(session._models) == 3


def test_what_is_only_tried_gives_way(session):
    worker, begun, go = Worker(str), threading.Event(), threading.Event()

    def trial(job):
        begun.set()
        go.wait(10)
        job.progress("refine", 0.5)
        return {}

    first = worker.start("try", trial)
    assert begun.wait(10)
    second = worker.start("export", lambda job: {"made": job.kind})
    go.set()
    worker._future.result()
    assert (first.outcome, second.outcome) == ("stopped", "done")
    assert worker.find(first.id) is first  # a page may still ask for it
    worker.close()


def test_an_early_stop_keeps_what_there_is(session, tmp_path, monkeypatch):
    watch = Job.watch

    def impatient(job, state):
        enough = watch(job, state)
        job.stop(keep=True)
        return enough

    monkeypatch.setattr(Job, "watch", impatient)
    noise = np.random.default_rng(0).normal(0, 0.1, 30 * RATE)
    recording = session.add_file(sound(tmp_path / "noise.wav", noise), "noise.wav")
    job = session.analyse(recording, blind(20))
    model = ended(session, job)
    assert len(job.divergence) <= 6  # two on each set of frames
    assert model.way.by_hand
    assert "regroup noise-model.npz" in deliver.commands(model, (), "wav")[0]


def test_an_older_version_changes_nothing(session, tmp_path):
    recording = session.add_file(mixture(tmp_path), "mix.wav")
    model = ended(session, session.analyse(recording, blind(3)))
    with pytest.raises(StaleError):
        session.edit(0, model.id, [group("a", "x", 0)], [])
    with pytest.raises(UnknownIdError):
        session.edit(1, "none", [], [])
    with pytest.raises(StaleError):
        session.close_recording(7)
    assert session.groups == ()
    assert session.close_recording(1)["model"] is None


def test_components_are_suggested_in_as_many_groups_as_asked(session, tmp_path):
    recording = session.add_file(mixture(tmp_path), "mix.wav")
    model = ended(session, session.analyse(recording, blind(6)))
    groups = session.suggest(model.id, [1, 2, 4, 5], 2)
    assert len(groups) == 2
    assert sorted(k for members in groups for k in members) == [1, 2, 4, 5]
    for members, count in (([], 1), ([9], 1), ([1, 2], 3)):
        with pytest.raises(ParameterError):
            session.suggest(model.id, members, count)


def test_many_channels_are_heard_as_two(session, tmp_path):
    mixed = np.stack([tone(262 * c) for c in (1, 2, 3)])
    recording = session.add_file(sound(tmp_path / "three.wav", mixed), "three.wav")
    model = ended(session, session.analyse(recording, blind(2)))
    stems = heard(model, {"all": (0, 1)})["all"]
    expected = np.stack([(mixed[0] + mixed[2]) / 2, mixed[1]])
    assert np.abs(stems - expected).max() < 2e-3


def test_figures_of_loudness_wait_while_somebody_listens(session, tmp_path, monkeypatch):
    recording = session.add_file(mixture(tmp_path), "mix.wav")
    model = ended(session, session.analyse(recording, blind(2)))
    block, order = model._block, []
    asked, go = threading.Event(), threading.Event()

    def slow(index):
        order.append(threading.current_thread().name)
        if order[-1] == "listener":
            asked.set()
            go.wait(10)
        return block(index)

    monkeypatch.setattr(model, "_block", slow)
    listener = threading.Thread(target=model.sound, args=(0,), name="listener")
    meter = threading.Thread(target=lambda: model.levels, name="meter")
    listener.start()
    assert asked.wait(10)
    meter.start()
    meter.join(0.1)
    assert order == ["listener"]
    go.set()
    for thread in (listener, meter):
        thread.join(10)
    assert set(order[1:]) == {"meter"}


def test_figures_of_loudness_wait_until_what_was_heard_has_arrived(session, tmp_path, monkeypatch):
    recording = session.add_file(mixture(tmp_path), "mix.wav")
    model = ended(session, session.analyse(recording, blind(2)))
    model.sound(0)
    block, counted = model._block, threading.Event()

    def seen(index):
        counted.set()
        return block(index)

    monkeypatch.setattr(model, "_block", seen)
    monkeypatch.setattr(models, "_CALM_SECONDS", 600.0)
    meter = threading.Thread(target=lambda: model.levels, name="meter")
    meter.start()
    assert not counted.wait(0.3)
    monkeypatch.setattr(models, "_CALM_SECONDS", 0.0)
    with model._quiet:
        model._quiet.notify_all()
    meter.join(10)
    assert counted.is_set()
    assert not meter.is_alive()


def test_a_recording_beyond_memory_is_refused(session, tmp_path, monkeypatch):
    monkeypatch.setattr(recordings, "_MAX_VALUES", 1000)
    with pytest.raises(LimitError, match=r"'mix\.wav' is longer"):
        session.add_file(mixture(tmp_path), "mix.wav")


def test_no_path_is_told(session, tmp_path):
    path = session.folder / "0123abcd"
    path.write_bytes(b"no audio")
    with pytest.raises(OSError, match="0123abcd") as caught:
        session.add_file(path, "take 1.wav")
    told = session.explain(caught.value)
    assert "take 1.wav" in told
    assert str(tmp_path) not in told
    assert str(tmp_path) not in session.explain(ValueError(f"{tmp_path}/x"))
    assert str(tmp_path) not in session.explain(FileNotFoundError(2, "no", str(path)))


def test_a_job_that_fails_says_so_in_a_line(caplog):
    worker = Worker(lambda error: f"said: {error}")
    job = worker.start("analyse", lambda job: 1 / 0)
    worker._future.result()
    assert (job.outcome, job.error) == ("failed", "said: division by zero")
    assert "ZeroDivisionError" in caplog.text
    worker.close()


def test_a_request_that_is_cut_off_when_the_studio_ends_is_no_error(session, monkeypatch):
    def cut_off():
        raise asyncio.CancelledError

    monkeypatch.setattr(session, "told", cut_off)
    app = make_app(session, 1, [])

    async def ask():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return await client.get("/api/state")

    assert asyncio.run(ask()).status_code == 503


def test_an_error_that_nobody_thought_of_tells_the_page_nothing(session, monkeypatch, caplog):
    monkeypatch.setattr(session, "told", lambda: 1 / 0)
    app = make_app(session, 1, [])

    async def ask():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return await client.get("/api/state")

    answer = asyncio.run(ask())
    assert answer.status_code == 500
    assert set(answer.json()) == {"error"}
    assert "division" not in answer.text
    assert "ZeroDivisionError" in caplog.text


def test_a_divergence_is_told_once_for_each_iteration_and_as_a_number():
    """Within an iteration that takes long a callback is asked again, at first with NaN."""
    job = Job("try")
    for iteration, divergence in ((0, float("nan")), (1, 9.0), (1, 9.0), (2, 8.0)):
        assert not job.watch(State(iteration, 30, divergence))
    assert job.told(0)["divergence"] == [9.0, 8.0]


def test_a_second_job_waits_for_nobody():
    worker = Worker(str)

    def until_stopped(job):
        while True:
            job.progress("work", 0.5)

    job = worker.start("analyse", until_stopped)
    with pytest.raises(LockedError):
        worker.start("analyse", until_stopped)
    job.stop()
    worker._future.result()
    assert job.outcome == "stopped"
    with pytest.raises(StoppedError):
        job.progress("work", 1)
    worker.close()


def test_samples_that_were_not_used_longest_go_and_are_read_again(tmp_path):
    """The bound holds whatever was opened, and nothing of what was opened is lost."""
    shelf = recordings.Shelf(n_bytes=5 * 4 * RATE)
    paths = [sound(tmp_path / f"{hertz}.wav", tone(hertz, 2 * RATE)) for hertz in (262, 330, 392)]
    opened = [recordings.Recording(path, path.name, shelf) for path in paths]
    assert shelf.n_bytes == 4 * 4 * RATE
    first = recordings.load(paths[0], "first").samples
    assert np.array_equal(opened[0].audio.samples, first)
    assert shelf.take(opened[0].id) is not None
    assert shelf.take(opened[1].id) is None
    assert shelf.n_bytes == 4 * 4 * RATE

    sound(paths[1], tone(523, RATE))
    with pytest.raises(AudioReadError, match=r"330\.wav' has changed"):
        _ = opened[1].audio


def test_pictures_that_were_not_used_longest_go_and_are_drawn_again(session, tmp_path):
    recording = session.add_file(mixture(tmp_path), "mix.wav")
    ended(session, session.analyse(recording, blind(2)))
    before, told = recording.tile(0, 0), recording.drawn
    assert session.shelf.n_bytes == recording.n_samples * 4 + 256 * sum(told["columns"])
    session.shelf._n_bytes = 0
    session.shelf.put("another", None, 1)
    assert session.shelf.n_bytes == 1
    assert session.told()["spectrogram"] == told
    assert recording.tile(0, 0) == before


def test_what_nobody_can_come_back_to_is_forgotten(session, tmp_path, monkeypatch):
    """Parts that strokes found, as long as a step leads to them; and those of other analyses."""
    monkeypatch.setattr("audionmf.studio.arrangement.MOST_STEPS", 2)
    monkeypatch.setattr("audionmf.studio.session._MOST_TRIALS", 1)
    recording = session.add_file(mixture(tmp_path), "mix.wav")
    model = ended(session, session.analyse(recording, blind(2)))
    groups = [group("a", "one", 0), group("b", "two", 1)]
    for stroke in range(5):
        mark = MARK | {"end": 0.2 + 0.1 * stroke}
        told = session.edit(session.version, model.id, groups, [mark])
        tried = session.try_marks(told["version"])
        ended(session, tried)
        model = session.models(tried.result["model"]["id"])
        session.edit(told["version"], model.id, groups, [mark], {}, "swap")
    steps = {step.model.id for step in session.history.past}
    assert set(session._models) == {model.id} | steps
    for _ in range(2):
        ended(session, session.analyse(recording, as_stems(n_sources=2)))
    assert set(session._models) == {session.model.id, *session._trials}
    assert len(list(session.folder.glob("*.stems"))) == 1


def test_steps_that_take_too_much_go_those_of_what_was_left_first(session, tmp_path, monkeypatch):
    monkeypatch.setattr("audionmf.studio.session._MOST_TRIALS", 1)
    (tmp_path / "other").mkdir()
    groups = [group("a", "one", 0), group("b", "two", 1)]

    def strokes(folder, n):
        recording = session.add_file(mixture(folder), "mix.wav")
        model = ended(session, session.analyse(recording, blind(2)))
        for end in np.linspace(0.2, 0.6, n).round(2).tolist():
            told = session.edit(session.version, model.id, groups, [MARK | {"end": end}])
            tried = session.try_marks(told["version"], (0.0, 0.3))
            ended(session, tried)
            model = session.models(tried.result["model"]["id"])
            told = session.edit(
                told["version"], model.id, groups, [MARK | {"end": end}], {}, "swap"
            )
        return model, told

    left, told = strokes(tmp_path, 3)
    assert len(session.history.past) == 3
    went = session.history
    session.close_recording(told["version"])
    room = 3.5 * left.n_bytes
    monkeypatch.setattr("audionmf.studio.session.HISTORY_BYTES", room)
    model, told = strokes(tmp_path / "other", 5)
    assert not went.past
    assert session.work_of(left.recording)[0] is left  # only the way to it is forgotten
    assert 2 <= len(session.history.past) <= 3
    assert session.history.n_bytes(model) <= room
    assert {step.model.id for step in session.history.past} <= set(told["held"])
    assert session.history.past[-1].model is not model
    assert len(session._models) <= 6


def test_a_file_is_opened_once_until_it_is_written_anew(session, tmp_path):
    path = mixture(tmp_path)
    first = session.add_file(path, "mix.wav")
    assert session.add_file(path, "mix.wav") is first
    assert session.add_sample() is session.add_sample()
    sound(path, tone(262))
    assert session.add_file(path, "mix.wav") is not first


def test_one_example_gives_two_stems_as_at_the_command_line(session, run, tmp_path, monkeypatch):
    """The source, and the rest: what is in no source, as in all that the studio makes."""
    monkeypatch.chdir(tmp_path)
    recording = session.add_file(mixture(tmp_path), "mix.wav", "mix.wav")
    low = session.add_file(sound(tmp_path / "low.wav", tone(262)), "low.wav", "low.wav")
    model = ended(
        session, session.analyse(recording, informed(4, [Said(name="low", examples=(low,))]))
    )
    assert [group.name for group in session.groups] == ["low"]
    assert len(session.groups[0].components) < model.parts.n_components
    sources = [group.told() for group in session.groups]
    told = session.edit(session.version, model.id, sources, [])
    assert told["sources"] == sources

    made = delivered(deliver.stems(model, session.groups, session.folder, "wav", lambda *_: None))
    assert set(made) == {"low", "rest"}
    (line,) = deliver.commands(model, session.groups, "wav")
    assert line.startswith("audionmf separate mix.wav --example low=low.wav")
    assert run(*shlex.split(line)[1:])[0] == 0
    for name, stem in made.items():
        same = steps(tmp_path / "separated" / "mix" / f"{name}.wav")
        assert np.abs(same - stem).max() <= 1 / 32768


def test_what_was_left_is_taken_up_again(session, tmp_path):
    recording = session.add_file(mixture(tmp_path), "mix.wav")
    other = session.add_file(sound(tmp_path / "other.wav", tone(262)), "other.wav")
    model = ended(session, session.analyse(recording, blind(3)))
    mark = {
        "source": "a", "belongs": True, "start": 0.0, "end": 1.0, "low": 100.0, "high": 300.0,
        "strength": 2.0,
    }  # fmt: skip
    before = session.edit(1, model.id, [group("a", "keys", 0, 2)], [mark])
    closed = session.close_recording(2)
    assert closed["model"] is None
    assert {r["id"]: r["left"] for r in closed["recordings"]} == {
        recording.id: True,
        other.id: False,
    }
    with pytest.raises(StaleError):
        session.resume(2, recording.id)
    with pytest.raises(UnknownIdError):
        session.resume(3, other.id)
    again = session.resume(3, recording.id)
    for key in ("recording", "model", "sources", "marks"):
        assert again[key] == before[key]
