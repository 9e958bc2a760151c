"""Many files: one that fails stops no other, and what is finished is not done again."""

import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, TINY_OPTIONS, files_below, sound, tone

from audionmf.batch import perform as tasks
from audionmf.batch import processes
from audionmf.batch import run as batch
from audionmf.batch.job import SeparationJob
from audionmf.batch.processes import InProcess, LocalProcesses, WorkerLostError
from audionmf.batch.run import distinct_tracks, find_audio, plan_files, separate_files
from audionmf.errors import AudioReadError, OutputError, ParameterError, TemplateError

QUICK = dataclasses.replace(TINY, n_fft=64, max_iter=1, n_components=2, names="plain")
JOURNAL = os.path.join(".audionmf", "journal.jsonl")  # noqa: PTH118


def make_jobs(folder, count, out, n_samples=600):
    jobs = []
    for i in range(count):
        path = sound(folder / f"t{i:03d}.wav", tone(200 + 10 * i, n_samples))
        jobs.append(SeparationJob(path, out, n_sources=2, settings=QUICK))
    return jobs


@pytest.fixture
def jobs(tmp_path):
    return make_jobs(tmp_path / "in", 4, tmp_path / "out")


def tree(folder):
    """Return the content of every file below a folder but for what a run keeps for itself."""
    return {
        name: (folder / name).read_bytes()
        for name in files_below(folder)
        if not name.startswith(".audionmf")
    }


def states(report):
    return [outcome.state for outcome in report.outcomes]


class Recording(InProcess):
    """Does tasks in this process, and notes which; loses some of them."""

    def __init__(self, lose=()):
        self.submitted, self.closed, self._lose = [], None, list(lose)

    def submit(self, task, progress):
        name = os.path.basename(task["job"]["input"])  # noqa: PTH119
        self.submitted.append(name)
        if name in self._lose:
            self._lose.remove(name)
            future = Future()
            future.set_exception(WorkerLostError("a worker is gone"))
            return future
        return super().submit(task, progress)

    def close(self, *, now):
        self.closed = now


# --- what is separated


def test_files_and_folders_are_found_in_order_with_their_subfolders(tmp_path):
    for name in ("b.wav", "a.FLAC", "sub/c.mp3", "sub/.hidden.wav", ".git/d.wav", "notes.txt"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "in" / "out" / "a").mkdir(parents=True)
    (tmp_path / "in" / "out" / "a" / "stem.wav").touch()
    folder, named = str(tmp_path / "in"), str(tmp_path / "gone.xyz")
    assert find_audio([named, folder], tmp_path / "in" / "out") == [
        (named, ""),
        (f"{folder}/a.FLAC", ""),
        (f"{folder}/b.wav", ""),
        (f"{folder}/sub/c.mp3", "sub"),
    ]


def test_a_subfolder_that_may_not_be_read_fails_alone(tmp_path, jobs, monkeypatch):
    walk = os.walk

    def refused(top, onerror):  # as for a user who is not root
        yield from walk(top)
        onerror(
            PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "in" / "a" / "b"))
        )

    monkeypatch.setattr(batch.os, "walk", refused)
    found = find_audio([tmp_path / "in"])
    assert [path for path, _ in found[:-1]] == [job.input for job in jobs]
    assert found[-1] == (str(tmp_path / "in" / "a" / "b"), "a")
    (tmp_path / "in" / "a" / "b").mkdir(parents=True)
    closed = dataclasses.replace(jobs[0], input=found[-1][0])
    report = separate_files([*jobs, closed])
    assert states(report) == ["done"] * 4 + ["failed"]
    assert report.outcomes[-1].code == 3

    def all_refused(top, onerror):
        onerror(PermissionError(errno.EACCES, "Permission denied", top))
        return iter(())

    monkeypatch.setattr(batch.os, "walk", all_refused)
    with pytest.raises(AudioReadError, match="Permission denied"):
        find_audio([tmp_path / "in"])


def test_what_is_not_read_fails_alone_and_is_in_the_report(tmp_path, run, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))  # as where ffmpeg is not installed
    sound(tmp_path / "in" / "01 One.wav", tone(200))
    (tmp_path / "in" / "02 Two.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(99))
    code, _, err = run(
        "separate", tmp_path / "in", "--n-sources", 2, *TINY_OPTIONS, "-o", tmp_path / "out"
    )
    assert code == 1
    assert "ffmpeg -i" in err
    report = json.loads((tmp_path / "out" / ".audionmf" / "report.json").read_text())
    assert [file["code"] for file in report["files"]] == [0, 3]
    assert "ffmpeg -i" in report["files"][1]["message"]


def test_components_beside_their_model_are_no_recordings(tmp_path):
    for name in (
        "mix.wav",
        "out/mix/component00.wav",
        "out/mix/component01.flac",
        "component07.wav",
    ):
        sound(tmp_path / name, tone(200))
    (tmp_path / "out" / "mix" / "model.npz").touch()
    found = [Path(path).name for path, _ in find_audio([tmp_path])]
    assert found == ["component07.wav", "mix.wav"]


@pytest.mark.parametrize("pattern", ["{track}/{source}.{ext}", "{source}/{track}.{ext}"])
def test_stems_of_an_earlier_run_are_no_recordings(tmp_path, jobs, pattern):
    made = [
        dataclasses.replace(job, folder=tmp_path / "in" / "separated", pattern=pattern)
        for job in jobs
    ]
    assert separate_files(made).exit_code == 0
    other = sound(tmp_path / "in" / "separated" / "mine.wav", tone(200))
    found = [path for path, _ in find_audio([tmp_path / "in"])]
    assert found == [*(job.input for job in jobs), str(other)]
    other.unlink()
    with pytest.raises(AudioReadError, match="stems of an earlier run; name those files"):
        find_audio([tmp_path / "in" / "separated"])


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["a/x.wav", "a/y.wav"], ["", ""]),
        (["a/x.wav", "a/x.flac", "a/y.wav"], ["x (wav)", "x (flac)", ""]),
        (["a/x.wav", "b/x.wav"], ["x (a)", "x (b)"]),
        (["a/X.wav", "b/x.flac"], ["X (wav)", "x (flac)"]),
        (["a/in/x.wav", "b/in/x.wav"], ["x (1)", "x (2)"]),
        (["a/x.wav", "a/x.flac", "a/x (wav).wav"], ["x (1)", "x (2)", ""]),
        (["a/flu\u0302te.wav", "b/fl\u00fbte.flac"], ["flu\u0302te (wav)", "fl\u00fbte (flac)"]),
    ],
)
def test_names_that_collide_are_told_apart(files, names):
    assert distinct_tracks([(file, "") for file in files]) == names
    apart = [(file, str(i)) for i, file in enumerate(files)]
    assert distinct_tracks(apart) == [""] * len(files)


def test_recordings_of_one_name_are_both_separated(tmp_path, run):
    for name in ("x.wav", "x.flac"):
        sound(tmp_path / "in" / name, tone(200))
    given = ("separate", tmp_path / "in", "--n-sources", 2, *TINY_OPTIONS, "-o", tmp_path / "out")
    assert run(*given)[0] == 0
    assert {p.parent.name for p in (tmp_path / "out").rglob("*.wav")} == {"x (wav)", "x (flac)"}
    assert (tmp_path / "out" / "x (wav)" / "manifest.json").exists()


def test_a_folder_without_audio_is_refused(tmp_path, run):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(AudioReadError, match="without audio"):
        find_audio([tmp_path])
    assert run("separate", tmp_path, "--n-sources", 2, "-o", tmp_path / "out")[0] == 3


def test_two_tracks_of_one_name_in_two_subfolders_do_not_collide(tmp_path, run):
    for name in ("one/mix.wav", "two/mix.wav"):
        sound(tmp_path / "in" / name, tone(300, 600))
    arguments = (tmp_path / "in", "--n-sources", 2, "-o", tmp_path / "out", *TINY_OPTIONS)
    assert run("separate", *arguments)[0] == 0
    assert sorted({name.rpartition("/")[0] for name in tree(tmp_path / "out")}) == [
        "one/mix",
        "two/mix",
    ]


def test_two_inputs_that_give_one_output_stop_all_before_anything_starts(tmp_path):
    jobs = [job for name in ("a", "b") for job in make_jobs(tmp_path / name, 1, tmp_path / "out")]
    with pytest.raises(OutputError, match="would both be written to") as caught:
        separate_files(jobs)
    assert all(repr(job.input) in str(caught.value) for job in jobs)
    assert not (tmp_path / "out").exists()


def test_an_input_and_a_further_file_are_never_overwritten(tmp_path, jobs):
    inside = dataclasses.replace(
        jobs[0], folder=tmp_path / "in", pattern="{source}.{ext}", input=jobs[1].input
    )
    victim = sound(tmp_path / "in" / "source1.wav", tone(300, 600))
    with pytest.raises(OutputError, match="overwrite the input"):
        plan_files([inside, dataclasses.replace(jobs[0], input=victim)])
    with pytest.raises(OutputError, match="overwrite the input"):
        plan_files([inside], [victim])
    with pytest.raises(OutputError, match="overwrite the input"):
        separate_files(jobs, report=jobs[0].input)


def test_notes_count_among_what_would_be_written(tmp_path, jobs):
    def noted(pattern):
        return [
            dataclasses.replace(
                job,
                n_sources=None,
                examples={f"{name}1": [job.input], f"{name}2": [job.input]},
                export=("csv",),
                pattern=pattern,
            )
            for job, name in zip(jobs, "ab", strict=False)
        ]

    assert (
        tmp_path / "out" / "t000" / "notes.csv"
        in plan_files(noted("{track}/{source}.{ext}"))[0].outputs
    )
    with pytest.raises(OutputError, match=r"would both be written to .*notes.csv"):
        plan_files(noted("{source}.{ext}"))


def test_where_the_report_goes_is_made_before_anything_starts(tmp_path, jobs):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file"):
        separate_files(jobs, report=tmp_path / "file" / "report.json")
    assert not (tmp_path / "out").exists()
    separate_files(jobs[:1], report=tmp_path / "new" / "report.json")
    assert (tmp_path / "new" / "report.json").exists()


@pytest.mark.parametrize(
    ("values", "error"),
    [({"n_sources": 0}, ParameterError), ({"pattern": "x"}, ParameterError),
     ({"templates": ["bad.npz"], "n_sources": None}, TemplateError)],
)  # fmt: skip
def test_what_is_wrong_for_all_is_raised_before_anything_starts(
    tmp_path, jobs, values, error, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.npz").write_bytes(b"no templates")
    with pytest.raises(error):
        separate_files([dataclasses.replace(job, **values) for job in jobs])
    assert not (tmp_path / "out").exists()


def test_the_folders_of_the_jobs_are_in_that_of_the_batch(tmp_path, jobs):
    with pytest.raises(ParameterError, match="is not in"):
        separate_files(jobs, tmp_path / "elsewhere")
    with pytest.raises(ParameterError, match="nothing to separate"):
        separate_files([])
    for workers in (0, 257, 1.5):
        with pytest.raises(ParameterError, match="number of workers"):
            separate_files(jobs, workers=workers)


# --- how


def test_fifty_files_with_seven_bad_ones(tmp_path, run):
    out = tmp_path / "out"
    jobs = make_jobs(tmp_path / "in", 50, out, 300)
    bad = {3: b"", 17: b"text", 20: "NaN", 30: None, 31: "folder", 48: b"RIFF", 49: "rate"}
    codes = dict.fromkeys(bad, 3)
    for i, kind in bad.items():
        path = tmp_path / "in" / f"t{i:03d}.wav"
        path.unlink()
        if kind == "NaN":
            sound(path, np.full(300, np.nan), "FLOAT")
        elif kind == "folder":
            path.mkdir()
        elif kind == "rate":
            sound(path, tone(300, 300), rate=500)
        elif kind is not None:
            path.write_bytes(kind)
    report = separate_files(jobs, journal=True, report=tmp_path / "report.json")
    assert (report.exit_code, report.count("done"), report.count("failed")) == (1, 43, 7)
    told = json.loads((tmp_path / "report.json").read_text())
    assert (told["n_done"], told["n_kept"], told["n_failed"], told["n_not_run"]) == (43, 0, 7, 0)
    assert [file["input"] for file in told["files"]] == [job.input for job in jobs]
    failed = {i: file["code"] for i, file in enumerate(told["files"]) if file["state"] == "failed"}
    assert failed == codes
    for i in bad:
        assert repr(jobs[i].input) in told["files"][i]["message"]
        assert told["files"][i]["stems"] == {}
    assert len(tree(out)) == 43 * 3
    assert (out / JOURNAL).read_bytes().count(b"\n") == 44
    for file in told["files"]:
        assert all(os.path.isfile(stem) for stem in file["stems"].values())  # noqa: PTH113


def test_the_same_bytes_for_one_and_three_workers(tmp_path):
    trees = []
    for workers in (1, 3):
        out = tmp_path / str(workers)
        jobs = make_jobs(tmp_path / "in", 5, out, 9000)
        jobs = [
            dataclasses.replace(job, settings=dataclasses.replace(QUICK, n_threads=None))
            for job in jobs
        ]
        report = separate_files(jobs, workers=workers)
        assert (report.exit_code, states(report)) == (0, ["done"] * 5), report.outcomes
        trees.append(tree(out))
    assert len(trees[0]) == 15
    assert trees[0] == trees[1]


def test_cores_are_shared_out_between_workers(jobs, monkeypatch):
    given = []

    class Wide(Recording):
        n_workers = 3

        def submit(self, task, progress):
            given.append(task["n_threads"])
            return super().submit(task, progress)

    monkeypatch.setattr(batch, "thread_count", lambda _: 8)
    free = dataclasses.replace(jobs[0], settings=dataclasses.replace(QUICK, n_threads=None))
    separate_files([free, *jobs[1:]], executor=lambda _: Wide())
    assert given == [2, 1, 1, 1]


def test_warnings_are_kept_and_with_strict_they_are_failures(tmp_path, jobs):
    silent = sound(tmp_path / "in" / "t001.wav", np.zeros(600))
    report = separate_files(jobs)
    assert report.exit_code == 0
    assert [len(outcome.warnings) for outcome in report.outcomes] == [0, 1, 0, 0]
    report = separate_files(jobs, strict=True)
    assert states(report) == ["done", "failed", "done", "done"]
    assert report.outcomes[1].code == 3
    assert repr(str(silent)) in report.outcomes[1].message


def test_fail_fast_begins_no_more(tmp_path, jobs):
    (tmp_path / "in" / "t001.wav").write_bytes(b"")
    executor = Recording()
    report = separate_files(jobs, executor=lambda _: executor, fail_fast=True)
    assert states(report) == ["done", "failed", "not run", "not run"]
    assert executor.submitted == ["t000.wav", "t001.wav"]
    assert report.exit_code == 1
    assert executor.closed is False


def test_a_recording_that_changes_while_it_is_read_fails(jobs, monkeypatch, tmp_path):
    work = tasks.run_job

    def change(job, progress):
        done = work(job, progress)
        sound(tmp_path / "in" / "t000.wav", tone(250, 700))
        return done

    monkeypatch.setattr(tasks, "run_job", change)
    report = separate_files(jobs[:1])
    assert (states(report), report.outcomes[0].code) == (["failed"], 3)
    assert "changed while" in report.outcomes[0].message
    assert tree(tmp_path / "out") == {}


def test_an_unexpected_error_is_a_failure_of_one_file(jobs, monkeypatch):
    work = tasks.run_job

    def broken(job, progress):
        if job.input.endswith("t002.wav"):
            raise ZeroDivisionError("a fault in the program")
        return work(job, progress)

    monkeypatch.setattr(tasks, "run_job", broken)
    report = separate_files(jobs)
    assert states(report) == ["done", "done", "failed", "done"]
    assert report.outcomes[2].code == 1
    assert "ZeroDivisionError" in report.outcomes[2].message
    assert "broken" in report.outcomes[2].details


# --- workers that die


def test_a_job_whose_worker_is_lost_is_tried_once_more(jobs):
    executor = Recording(lose=["t001.wav", "t002.wav", "t002.wav"])
    report = separate_files(jobs, executor=lambda _: executor)
    assert states(report) == ["done", "done", "failed", "done"]
    assert executor.submitted.count("t001.wav") == 2
    assert executor.submitted.count("t002.wav") == 2
    assert report.outcomes[2].message.endswith("a worker is gone")


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_killed_worker_process_is_noticed_and_the_others_go_on(tmp_path, jobs):
    """The first death costs nothing; a file that is the death of every worker fails."""
    deaths = []

    class Murderous(LocalProcesses):
        def submit(self, task, progress):
            def kill(stage, done):
                name = os.path.basename(task["job"]["input"])  # noqa: PTH119
                if name == "t001.wav" or (name == "t002.wav" and "t002.wav" not in deaths):
                    for worker in self._workers:
                        if worker._order is not None and worker._order.task is task:
                            deaths.append(name)
                            os.kill(worker._process.pid, signal.SIGKILL)
                progress(stage, done)

            return super().submit(task, kill)

    long = [
        dataclasses.replace(job, settings=dataclasses.replace(QUICK, max_iter=3)) for job in jobs
    ]
    for job in long:
        sound(Path(job.input), tone(300, 12_000))
    report = separate_files(long, executor=lambda lock: Murderous(2, 1, (lock.descriptor,)))
    assert states(report) == ["done", "failed", "done", "done"]
    assert "killed by signal 9" in report.outcomes[1].message
    assert report.outcomes[1].code == 1
    assert deaths.count("t001.wav") >= 2
    assert "t002.wav" in deaths
    assert not [name for name in files_below(tmp_path / "out") if ".tmp" in name]


@pytest.mark.skipif(os.name != "posix", reason="signals and inherited files of POSIX")
def test_a_worker_whose_parent_dies_while_it_starts_does_nothing(tmp_path, jobs):
    task = tasks.Task(jobs[0], "t000").to_dict()
    result = subprocess.run(
        [sys.executable, "-B", "-c", processes._START, *sys.path],
        input=json.dumps(task).encode() + b"\n",  # and then the pipe is closed
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")
    assert not (tmp_path / "out").exists()


def test_a_worker_process_holds_the_lock_and_leaves_ctrl_c_to_its_parent(jobs):
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    executor = LocalProcesses(1, 1, (writing,))
    try:
        tasks_ = [tasks.Task(job, "t").to_dict() for job in jobs[:2]]
        assert executor.submit(tasks_[0], lambda *_: None).result()["state"] == "done"
        os.close(writing)
        with pytest.raises(BlockingIOError):  # the worker has the other end
            os.read(reading, 1)
        pid = executor._workers[0]._process.pid
        os.kill(pid, signal.SIGINT)
        assert executor.submit(tasks_[1], lambda *_: None).result()["state"] == "done"
        assert executor._workers[0]._process.pid == pid
        executor.close(now=False)
        assert os.read(reading, 1) == b""  # nobody has it any more
    finally:
        executor.close(now=True)
        os.close(reading)


# --- going on


def resumed(jobs, **options):
    executor = Recording()
    report = separate_files(jobs, executor=lambda _: executor, resume=True, **options)
    return [outcome.input[-8:-4] for outcome in report.outcomes if outcome.state == "done"]


def test_resume_does_only_what_is_not_finished(tmp_path, jobs):
    separate_files(jobs[:2])
    assert resumed(jobs) == ["t002", "t003"]
    whole = tree(tmp_path / "out")
    assert resumed(jobs) == []
    assert tree(tmp_path / "out") == whole


def test_without_resume_all_is_done_again(jobs):
    separate_files(jobs[:1])
    assert states(separate_files(jobs[:1])) == ["done"]


def test_an_output_that_exists_is_no_proof(tmp_path, jobs):
    separate_files(jobs)
    whole, out = tree(tmp_path / "out"), tmp_path / "out"
    (out / "t000" / "source1.wav").unlink()
    samples = bytearray((out / "t001" / "source2.wav").read_bytes())
    samples[-1] ^= 1
    (out / "t001" / "source2.wav").write_bytes(samples)
    (out / "t002" / "manifest.json").write_bytes(b"{}")
    assert resumed(jobs[3:] + jobs[:2]) == ["t000", "t001"]
    assert separate_files(jobs, resume=True).outcomes[2].code == 4  # not ours any more
    (out / "t002" / "manifest.json").unlink()
    assert resumed(jobs) == ["t002"]
    assert tree(out) == whole


@pytest.mark.parametrize("what", ["input", "settings", "names", "version"])
def test_what_was_made_otherwise_is_done_again(tmp_path, jobs, monkeypatch, what):
    separate_files(jobs)
    if what == "input":
        sound(tmp_path / "in" / "t001.wav", tone(999, 600))
        assert resumed(jobs) == ["t001"]
        return
    if what == "settings":
        jobs[1] = dataclasses.replace(jobs[1], settings=dataclasses.replace(QUICK, seed=5))
    elif what == "names":
        jobs[1] = dataclasses.replace(jobs[1], n_sources=1)
    else:
        monkeypatch.setattr("audionmf.__version__", "0.0.0")
    assert resumed(jobs[1:2]) == ["t001"]


def test_outputs_without_a_journal_are_made_again(tmp_path, jobs):
    separate_files(jobs)
    (tmp_path / "out" / JOURNAL).unlink()
    assert len(resumed(jobs)) == 4


def test_a_journal_that_cannot_be_written_is_a_failure_of_that_file(jobs, monkeypatch):
    add = batch.Journal.add

    def refuse(self, entry):
        if "t001" in entry.track:
            raise OutputError(28, "the journal could not be written")
        add(self, entry)

    monkeypatch.setattr(batch.Journal, "add", refuse)
    report = separate_files(jobs)
    assert states(report) == ["done", "failed", "done", "done"]
    assert report.outcomes[1].code == 4
    monkeypatch.undo()
    assert resumed(jobs) == ["t001"]


def test_an_outcome_is_in_the_journal_before_it_is_told(tmp_path, jobs):
    lines = []

    def told(_):
        lines.append((tmp_path / "out" / JOURNAL).read_bytes().count(b"\n"))

    separate_files(jobs, done=told)
    assert lines == [2, 3, 4, 5]


# --- what is told


def test_progress_rises_to_the_end_and_tells_the_time_left(jobs):
    heard = []
    separate_files(jobs, progress=heard.append)
    shares = [state.share for state in heard]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert (heard[-1].n_finished, heard[-1].n_files, heard[-1].seconds_left) == (4, 4, 0)
    left = [state.seconds_left for state in heard if state.seconds_left is not None]
    assert left == sorted(left, reverse=True)  # it never rises
    assert all(state.seconds_left is None for state in heard if state.share < 0.1)


def test_each_stage_of_a_file_goes_to_its_end(jobs):
    heard = []
    separate_files(jobs[:1], progress=heard.append)
    for stage in ("factorise", "render"):
        shares = [s.done for s in heard if s.current == f"t000.wav: {stage}"]
        assert shares == sorted(shares)
        assert shares[-1] == 1


def test_what_was_kept_says_nothing_of_the_time_left(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(batch.time, "monotonic", lambda: now[0])
    heard = []
    job = SeparationJob("a.wav")
    tracks = [batch.PlannedTrack(job, {}, batch.Path("m"), 10.0, None) for _ in range(4)]
    clock = batch._Clock(tracks, heard.append)
    now[0] = 1.0
    clock.finish(0, batch.Outcome("a.wav", "kept"))
    assert heard[-1].seconds_left is None
    now[0] = 3.0
    clock.finish(1, batch.Outcome("a.wav", "done"))
    assert heard[-1].seconds_left == pytest.approx(6.0)  # 3 s for one, two to go
    clock.hear(2, "render", 1.0)
    assert heard[-1].seconds_left == pytest.approx(1.5)


# --- the command line


def batch_of(run, jobs, out, *more):
    return run(
        "separate", *(job.input for job in jobs), "--n-sources", 2, "--n-components", 2,
        "--names", "plain", "-o", out, *TINY_OPTIONS, *more,
    )  # fmt: skip


def test_dry_run_says_what_would_be_written_and_writes_nothing(run, tmp_path, jobs):
    out = tmp_path / "dry"
    code, text, err = batch_of(run, jobs[:2], out, "--dry-run")
    assert (code, err) == (0, "")
    assert text.splitlines()[:5] == [
        str(out), jobs[0].input, "  t000/source1.wav", "  t000/source2.wav", "  t000/manifest.json",
    ]  # fmt: skip
    assert not out.exists()
    code, text, _ = batch_of(run, jobs[:2], out, "--dry-run", "--json")
    planned = [json.loads(line) for line in text.splitlines()]
    assert batch_of(run, jobs[:2], out)[0] == 0
    written = {str(out / name) for name in tree(out)}
    assert written == {
        path for plan in planned for path in [*plan["stems"].values(), plan["manifest"]]
    }


def test_dry_run_of_a_bad_file_fails_as_the_run_would(run, tmp_path, jobs):
    (tmp_path / "in" / "t001.wav").write_bytes(b"")
    code, _, err = batch_of(run, jobs[:2], tmp_path / "dry", "--dry-run")
    assert code == 1
    assert repr(jobs[1].input) in err
    assert batch_of(run, jobs[1:2], tmp_path / "dry", "--dry-run")[0] == 3


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_a_bank_that_is_not_there_is_said_once_and_before_any_path(run, tmp_path, jobs, more):
    given = [job.input for job in jobs[:2]]
    code, text, err = run(
        "separate", *given, "--templates", "gone.npz", "-o", tmp_path / "o", *more
    )
    assert (code, text, len(err.splitlines())) == (3, "", 1)
    assert "'gone.npz'" in err
    assert not (tmp_path / "o").exists()


def test_a_dry_run_that_fails_prints_no_path(run, tmp_path):
    code, text, err = run("separate", "gone.wav", "-n", 2, "-o", tmp_path / "o", "--dry-run")
    assert (code, text, len(err.splitlines())) == (3, "", 1)


def test_the_report_lies_in_the_output_folder_or_where_it_is_asked_for(run, tmp_path, jobs):
    (tmp_path / "in" / "t001.wav").write_bytes(b"")
    out = tmp_path / "cli"
    code, _, err = batch_of(run, jobs, out, "-j", 1)
    assert code == 1
    report = out / ".audionmf" / "report.json"
    assert err.splitlines()[-1] == f"audionmf: 1 of 4 inputs failed; {str(report)!r} lists them"
    assert json.loads(report.read_text())["n_failed"] == 1
    code, text, _ = batch_of(run, jobs, out, "--resume", "--report-json", tmp_path / "r.json")
    assert code == 1
    assert json.loads((tmp_path / "r.json").read_text())["n_kept"] == 3
    assert text.count("finished before") == 3


def test_a_single_file_keeps_neither_journal_nor_report(run, tmp_path, jobs):
    assert batch_of(run, jobs[:1], tmp_path / "cli")[0] == 0
    assert not (tmp_path / "cli" / ".audionmf").exists()
