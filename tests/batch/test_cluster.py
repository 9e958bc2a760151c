"""A cluster of processes on this machine: the same results, with workers killed, and small messages."""

import contextlib
import dataclasses
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import distributed
import numpy as np
import psutil
import pytest
from conftest import RATE, TINY, files_below, sound, tone, two_notes

from audionmf import AudioNMFWarning, ClusterError, ParameterError, Templates, nmf
from audionmf.batch import cluster, watch, worker
from audionmf.batch.cluster_executor import ClusterExecutor
from audionmf.batch.cluster_learning import learn
from audionmf.batch.fleet import Fleet
from audionmf.batch.job import SeparationJob
from audionmf.batch.run import separate_files
from audionmf.io.audio import AudioFile, read
from audionmf.spectra.frames import pooled_magnitude
from audionmf.spectra.stft import STFT

N_FFT = 512
N_COMPONENTS = 6
OPTIONS = {"n_fft": N_FFT, "max_iter": 30, "tol": 0.0}


ENVIRONMENT = dict(os.environ)
"""As it was before a cluster in this process told its children to log nothing, and so no address."""


class Processes:
    """`dask scheduler` and workers as processes of their own."""

    def __init__(self, folder, security):
        self.folder, self.workers = folder, []
        folder.mkdir()
        self.tls = {"ca": security.tls_ca_file, "cert": security.tls_client_cert,
                    "key": security.tls_client_key}  # fmt: skip
        for name, content in self.tls.items():
            (folder / f"{name}.pem").write_text(content)
        self.options = [f"--tls-{name}={folder / name}.pem" for name in ("ca", "cert", "key")]
        self.options[0] = f"--tls-ca-file={folder / 'ca'}.pem"
        self._all = []
        self._scheduler = self._start("scheduler", "--port", "0", "--protocol", "tls")
        self.address = self._line_with("Scheduler at:").split()[-1]

    def _start(self, kind, *arguments):
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", kind, *arguments, "--host", "127.0.0.1",
             "--no-dashboard", *self.options],
            cwd=self.folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
            env={**ENVIRONMENT, "PYTHONDONTWRITEBYTECODE": "1",
                 "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False"},
        )  # fmt: skip
        self._lines = queue.Queue()
        listener = threading.Thread(target=self._listen, args=(process, self._lines))
        listener.start()
        self._all.append((process, listener))
        return process

    @staticmethod
    def _listen(process, lines):
        for line in process.stderr:
            lines.put(line)
        process.stderr.close()

    def _line_with(self, text):
        while text not in (line := self._lines.get(timeout=60)):
            pass
        return line

    def add_workers(self, count):
        started = [
            self._start(
                "worker", self.address, "--nthreads", "1", "--no-nanny", "--memory-limit", "0",
                "--local-directory", str(self.folder / "scratch"),
            )
            for _ in range(count)
        ]  # fmt: skip
        self.workers += started
        return started

    def kill_one(self):
        """Kill the worker that was started first, as the system does when memory runs out."""
        self.workers[0].send_signal(signal.SIGKILL)
        self.workers.pop(0).wait()

    def flags(self):
        """Return the command line's options for this cluster."""
        files = [f"--tls-{name}={self.folder / name}.pem" for name in self.tls]
        return ["--scheduler", self.address, *files]

    def certificates(self):
        return cluster.TLS(*(str(self.folder / f"{name}.pem") for name in self.tls))

    def end(self):
        for process, _ in reversed(self._all):
            process.kill()
        for process, listener in self._all:
            process.wait()
            listener.join()


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster") / "run"
    running = Processes(folder, distributed.Security.temporary())
    try:
        running.add_workers(2)
        yield running
    finally:
        running.end()


@pytest.fixture
def client(processes):
    """A connection to two workers, whatever was killed before."""
    processes.add_workers(2 - len(processes.workers))
    with cluster.connect(processes.address, tls=processes.certificates()) as connected:
        connected.wait_for_workers(2, timeout=60)
        yield connected


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Five recordings of different length and pitch."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    return [
        str(sound(folder / f"{i}.wav", tone(hertz, n) + 1e-3 * rng.standard_normal(n)))
        for i, (hertz, n) in enumerate(
            [(220, 16000), (330, 9000), (440, 24000), (550, 4000), (660, 12000)]
        )
    ]


def frames_of(corpus):
    stft = STFT(N_FFT, N_FFT // 4)
    return [pooled_magnitude(stft.forward(read(path).samples)) for path in corpus]


@pytest.fixture(scope="module")
def expected(corpus):
    """What one process finds."""
    return nmf.fit_shards(frames_of(corpus), N_COMPONENTS, max_iter=30, tol=0).templates


# Learning


def test_a_cluster_learns_what_one_process_learns(client, corpus, expected):
    bank = learn(corpus, "notes", N_COMPONENTS, client=client, **OPTIONS)
    assert np.array_equal(bank.templates, expected)
    assert bank.names == ("notes",)
    assert (bank.stft, bank.sample_rate) == (STFT(N_FFT, N_FFT // 4), RATE)
    assert all(0 < seconds < 3 for seconds in bank.durations)


def test_plain_updates_are_those_of_a_fit_of_all_frames(client, corpus):
    bank = learn(corpus, "notes", N_COMPONENTS, client=client, method="plain", **OPTIONS)
    V = np.concatenate(frames_of(corpus), axis=1)
    W = nmf.initialize(V, N_COMPONENTS)[0]
    H = np.repeat(V.sum(axis=0)[None] / W.sum(), N_COMPONENTS, axis=0)
    whole = nmf.fit(V, N_COMPONENTS, method="plain", max_iter=30, tol=0, templates=W, activations=H)
    error = np.linalg.norm(bank.templates - whole.templates, axis=0)
    assert (error < 1e-4 * np.linalg.norm(whole.templates, axis=0)).all()
    found = nmf.beta_divergence(V, bank.templates @ nmf.activate(V, bank.templates))
    assert found == pytest.approx(
        nmf.beta_divergence(V, whole.templates @ nmf.activate(V, whole.templates)), rel=1e-4
    )


def test_a_worker_killed_in_the_middle_is_survived(client, processes, corpus, expected):
    killed = []

    def kill(stage, done):
        if stage == "learn notes" and done > 0.5 and not killed:
            processes.kill_one()
            killed.append(done)

    bank = learn(corpus, "notes", N_COMPONENTS, client=client, progress=kill, **OPTIONS)
    assert killed
    assert np.array_equal(bank.templates, expected)


def test_a_worker_killed_while_it_reads_is_survived(client, processes, corpus, expected):
    killed = []

    def kill(stage, _):
        if stage == "read notes" and not killed:
            processes.kill_one()
            killed.append(stage)

    bank = learn(corpus, "notes", N_COMPONENTS, client=client, progress=kill, **OPTIONS)
    assert killed
    assert np.array_equal(bank.templates, expected)


def held(client):
    """Return how many shares each worker holds."""

    def count():
        from audionmf.batch import worker

        return len(worker._held)

    return list(client.run(count).values())


def wait_until_none_is_held(client):
    """Letting go travels on a connection of its own; ask until it has arrived."""
    until = time.monotonic() + 20
    while any(held(client)):
        assert time.monotonic() < until


def test_workers_forget_when_all_is_learnt(client, corpus):
    seen = []
    learn(
        corpus, "notes", 2, client=client, progress=lambda *_: seen.append(held(client)),
        **{**OPTIONS, "max_iter": 2},
    )  # fmt: skip
    assert seen[-1] == [1, 1]
    wait_until_none_is_held(client)


def test_workers_forget_when_the_client_is_gone(client, processes, corpus):
    files = [AudioFile(Path(path)) for path in corpus]
    with cluster.connect(processes.address, tls=processes.certificates()) as other:
        fleet = Fleet(other, files, STFT(N_FFT, N_FFT // 4), RATE, 1, lambda _: None)
        fleet.measure()
        assert held(client) == [1, 1]
    wait_until_none_is_held(client)
    fleet.__exit__()


# A cluster of its own


def test_a_local_cluster_learns_the_same_and_keeps_others_out(corpus, expected, monkeypatch):
    monkeypatch.setattr(cluster, "_CONNECT_SECONDS", 0.5)
    here = psutil.Process()
    others_before = here.children(recursive=True)
    with cluster.connect("local", n_workers=1) as client:
        address = client.scheduler.address
        bank = learn(corpus, "notes", N_COMPONENTS, client=client, **OPTIONS)
        mine = [child for child in here.children(recursive=True) if child not in others_before]
        assert mine
        for process in [here, *mine]:
            for connection in process.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN:
                    assert connection.laddr.ip == "127.0.0.1"
        others = distributed.Security.temporary()
        assert address.startswith("tls://127.0.0.1:")
        with pytest.raises(ClusterError, match="no Dask scheduler answers"):
            cluster._greet(address, others)
    assert np.array_equal(bank.templates, expected)
    assert not any("spawn_main" in " ".join(child.cmdline()) for child in here.children())


def test_an_error_ends_a_local_cluster_at_once():
    here = psutil.Process()
    with pytest.raises(KeyboardInterrupt), cluster.connect("local", n_workers=1):
        raise KeyboardInterrupt
    assert not any("spawn_main" in " ".join(child.cmdline()) for child in here.children())


# Messages


class Meter:
    """Stands before a scheduler and counts what a client sends and is sent."""

    def __init__(self, address):
        host, port = address.removeprefix("tls://").split(":")
        self._target = (host, int(port))
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"tls://127.0.0.1:{self._server.getsockname()[1]}"
        self.up = self.down = 0
        self._threads = [threading.Thread(target=self._accept)]
        self._sockets = []

    def __enter__(self):
        self._threads[0].start()
        return self

    def __exit__(self, *_):
        for each in (self._server, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join()

    def _accept(self):
        with contextlib.suppress(OSError):  # it ends when the socket is closed
            while True:
                near, _ = self._server.accept()
                far = socket.create_connection(self._target)
                self._sockets += [near, far]
                for ends in ((near, far, "up"), (far, near, "down")):
                    thread = threading.Thread(target=self._pass_on, args=ends)
                    self._threads.append(thread)
                    thread.start()

    def _pass_on(self, source, target, way):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
                setattr(self, way, getattr(self, way) + len(data))
            target.shutdown(socket.SHUT_WR)

    def per_round(self, client, corpus, n_components):
        """Return the bytes sent and received in a round: the difference of eight rounds more."""
        seen = []
        for n_rounds in (2, 10):
            before = self.up, self.down
            options = {**OPTIONS, "max_iter": n_rounds}
            learn(corpus, "notes", n_components, client=client, **options)
            seen.append((self.up - before[0], self.down - before[1]))
        return [(more - less) / 8 for less, more in zip(*seen, strict=True)]


def test_messages_are_as_large_as_the_templates_however_much_audio_there_is(
    client, processes, corpus, tmp_path
):
    longer = [
        str(sound(tmp_path / f"{i}.wav", np.tile(read(path).samples[0], 4)))
        for i, path in enumerate(corpus)
    ]
    templates = 40 * (N_FFT // 2 + 1)
    with (
        Meter(processes.address) as meter,
        cluster.connect(meter.address, tls=processes.certificates()) as metered,
    ):
        for recordings in (corpus, longer):
            up, down = meter.per_round(metered, recordings, 40)
            assert 1 < up / (2 * 4 * templates) < 1.4  # two workers, single precision
            assert 1 < down / (2 * 8 * templates) < 1.3  # two workers, double precision


def test_the_command_line_learns_on_a_cluster(client, processes, run, corpus, expected, tmp_path):
    out = tmp_path / "notes.npz"
    code, printed, errors = run(
        "learn", *corpus, "-o", out, "--name", "notes", "--n-components", N_COMPONENTS,
        "--n-fft", N_FFT, "--max-iter", 30, "--tol", 0, *processes.flags(),
    )  # fmt: skip
    assert (code, errors) == (0, "")
    assert printed == f"{out}\n  {N_COMPONENTS} templates of 'notes'\n"
    assert np.array_equal(Templates.load(out).templates, expected)


# Separating


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    """Make jobs for four mixtures, to be written to a folder."""
    folder = tmp_path_factory.mktemp("mixtures")
    files = [sound(folder / f"{i}.wav", two_notes(1 + i % 2, 30000 + 500 * i)) for i in range(4)]
    settings = dataclasses.replace(TINY, max_iter=60)

    def made(out):
        options = {"folder": str(out), "n_sources": 2, "settings": settings}
        return [SeparationJob(input=str(file), **options) for file in files]

    return made


@pytest.fixture(scope="module")
def apart(jobs, tmp_path_factory):
    """What one process makes of them."""
    folder = tmp_path_factory.mktemp("apart")
    report = separate_files(jobs(folder))
    assert report.exit_code == 0
    return contents(folder)


def contents(folder):
    """Return the bytes of all files that a batch leaves, but for its journal."""
    kept = [name for name in files_below(folder) if not name.startswith(".audionmf/")]
    return {name: (folder / name).read_bytes() for name in kept}


def on_cluster(client, jobs, **options):
    return separate_files(jobs, executor=lambda _: ClusterExecutor(client), **options)


def test_a_cluster_separates_into_the_same_bytes(client, jobs, apart, tmp_path):
    shares = []
    report = on_cluster(client, jobs(tmp_path), progress=lambda state: shares.append(state.share))
    assert [outcome.state for outcome in report.outcomes] == ["done"] * 4
    assert contents(tmp_path) == apart
    assert len(apart) == 12
    assert len(shares) > 4  # more is heard than that a file is done


def test_a_worker_killed_while_it_separates_is_survived(client, processes, jobs, apart, tmp_path):
    killed = []

    def kill(state):
        if not killed and state.n_finished < 4:
            killed.append(state)
            processes.kill_one()

    report = on_cluster(client, jobs(tmp_path), progress=kill)
    assert killed
    assert report.exit_code == 0
    assert contents(tmp_path) == apart


def ends_when_struck(processes, jobs, out, strike, said):
    """Strike a cluster at work, and see how the batch ends that it was working on."""
    struck = []

    def once(_state):
        if not struck:
            struck.append(time.monotonic())
            strike()

    with (
        pytest.raises(ClusterError, match=f"{said}.*--resume") as caught,
        cluster.connect(processes.address, tls=processes.certificates()) as connected,
    ):
        on_cluster(connected, jobs(out), progress=once)
    assert time.monotonic() - struck[0] < 150
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)
    assert "lock" not in {path.name for path in (out / ".audionmf").iterdir()}


def test_workers_that_stand_still_end_the_batch(client, processes, jobs, tmp_path, monkeypatch):
    def stop():
        monkeypatch.setattr(watch, "_STILL_SECONDS", 1.0)  # not before: a busy machine is no stop
        for process in processes.workers:
            process.send_signal(signal.SIGSTOP)

    try:
        said = "no worker of the cluster has been heard of for 1 s"
        ends_when_struck(processes, jobs, tmp_path / "out", stop, said)
    finally:
        for process in processes.workers:
            process.send_signal(signal.SIGCONT)


def test_a_connection_that_dask_closes_by_itself_is_a_scheduler_that_is_gone(
    client, processes, jobs, tmp_path
):
    """Dask may give up before the watch does: between a submission and the next, or at the end."""

    def closed_by_dask():
        with cluster.connect(processes.address, tls=processes.certificates()) as connected:
            executor = ClusterExecutor(connected)
            executor._watch.stop()
            connected.close()
            task = {"job": jobs(tmp_path / "out")[0].to_dict()}
            told.append(executor.submit(task, lambda *_: None).exception(0))
            executor.close(now=True)
            connected.nthreads()

    told = []
    with pytest.raises(ClusterError) as caught:
        closed_by_dask()
    for error in (*told, caught.value):
        assert isinstance(error, ClusterError)
        assert re.search("the scheduler is gone.*--resume", str(error))


def test_a_file_that_fails_is_told_as_everywhere(client, jobs, tmp_path, monkeypatch):
    first, *_ = jobs(tmp_path / "out")
    monkeypatch.chdir(Path(first.input).parent)
    bad = sound(tmp_path / "bad.wav", np.full(4000, np.nan), "FLOAT")
    names = ["0.wav", "nowhere.wav", os.path.relpath(bad)]
    batch = [dataclasses.replace(first, input=name) for name in names]
    found, local = on_cluster(client, batch), separate_files(batch)
    assert [outcome.code for outcome in found.outcomes] == [0, 3, 3]
    for ours, theirs in zip(found.outcomes, local.outcomes, strict=True):
        assert (ours.input, ours.message) == (theirs.input, theirs.message)


def test_an_interrupt_leaves_nothing_half_done(client, jobs, tmp_path):
    noise = np.random.default_rng(0).standard_normal(20 * RATE) * 0.1
    long = SeparationJob(
        input=str(sound(tmp_path / "long.wav", noise)),
        folder=str(tmp_path / "out"),
        n_sources=2,
        settings=dataclasses.replace(TINY, max_iter=100_000, tol=0.0),
    )

    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        on_cluster(client, [long, jobs(tmp_path / "out")[0]], done=interrupt)
    until = time.monotonic() + 20
    while any(client.run(worker.is_busy).values()):
        assert time.monotonic() < until
    assert {name.split("/")[0] for name in contents(tmp_path / "out")} == {"0"}


def test_the_command_line_separates_on_a_cluster(client, processes, run, jobs, tmp_path):
    files = [job.input for job in jobs(tmp_path)]
    options = ("--n-sources", 2, "--n-fft", 256, "--max-iter", 5, "-o")
    code, _, errors = run("separate", *files, *options, tmp_path / "a", *processes.flags())
    assert (code, errors) == (0, "")
    assert run("separate", *files, *options, tmp_path / "b")[0] == 0
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    code, _, errors = run("separate", *files, "-j", 2, *options, tmp_path / "c", *processes.flags())
    assert code == 2
    assert "a cluster has its own number of workers" in errors


# What may go wrong


def test_a_recording_that_a_worker_does_not_see_is_named(client, corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.wav").write_bytes(Path(corpus[0]).read_bytes())
    with pytest.raises(OSError, match=r"'/proc/self/cwd/here.wav' is here but not on the worker"):
        learn("/proc/self/cwd/here.wav", client=client, **OPTIONS)


def test_a_recording_that_no_one_sees_is_missing(client, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.wav"):
        learn(tmp_path / "nowhere.wav", client=client)


def test_a_recording_that_cannot_be_worked_on_is_named_by_its_worker(client, corpus, tmp_path):
    bad = np.zeros(5000, np.float32)
    bad[7] = np.nan
    path = sound(tmp_path / "bad.wav", bad, "FLOAT")
    with pytest.raises(ValueError, match=r"bad\.wav' has 1 samples that are not finite"):
        learn([*corpus, path], client=client, **OPTIONS)


def test_silence_is_refused_and_an_odd_recording_warned_of(client, corpus, tmp_path):
    silent = sound(tmp_path / "silent.wav", np.zeros(5000))
    with (
        pytest.warns(AudioNMFWarning, match="is silent"),
        pytest.raises(ValueError, match="recordings of 'silent' are silent"),
    ):
        learn(silent, client=client, **OPTIONS)


def test_more_components_than_frames_are_refused(client, corpus):
    with pytest.raises(ParameterError, match="500 components cannot be learnt from the"):
        learn(corpus[3], "few", 500, client=client, **OPTIONS)


def test_workers_that_always_lose_what_they_hold_are_given_up(client, corpus, monkeypatch):
    monkeypatch.setattr(Fleet, "_past", lambda self: iter([("hold", ())]))

    def forget(stage, _):
        if stage == "learn notes":
            client.run(lambda: worker._held.clear())

    with pytest.raises(ClusterError, match="perhaps its workers have too little memory"):
        learn(corpus, "notes", 2, client=client, progress=forget, **OPTIONS)


def test_a_worker_that_forgot_is_told_again(client, corpus, expected):
    forgotten = []

    def forget(stage, done):
        if stage == "learn notes" and done > 0.5 and not forgotten:
            forgotten.extend(client.run(lambda: worker._held.clear()))

    bank = learn(corpus, "notes", N_COMPONENTS, client=client, progress=forget, **OPTIONS)
    assert len(forgotten) == 2
    assert np.array_equal(bank.templates, expected)


def test_another_version_on_the_workers_is_refused(client, processes, monkeypatch):
    monkeypatch.setattr(cluster, "__version__", "0.0.1")
    with (
        pytest.raises(ClusterError, match=r"worker tls://\S+ has audionmf .* this is 0\.0\.1"),
        cluster.connect(processes.address, tls=processes.certificates()),
    ):
        pass


def not_installed_there():
    """Be a function of a module that workers cannot import."""


def test_workers_without_the_package_are_told(client, processes, monkeypatch):
    monkeypatch.setattr(cluster.worker, "software", not_installed_there)
    with (
        pytest.raises(ClusterError, match=r"worker tls://\S+ has no audionmf \(.*No module named"),
        cluster.connect(processes.address, tls=processes.certificates()),
    ):
        pass


def test_a_cluster_without_workers_is_told(client, processes, corpus, monkeypatch):
    # The last of those that need workers, which would have to be started anew.
    def kill(stage, _):
        while stage == "learn notes" and processes.workers:
            processes.kill_one()

    monkeypatch.setattr(cluster, "_WORKER_SECONDS", 0.5)
    with pytest.raises(ClusterError, match=r"the cluster has had no worker for 0\.5 s"):
        learn(corpus, "notes", 2, client=client, progress=kill, **OPTIONS)


def test_a_client_that_is_no_friend_gets_no_answer(processes, monkeypatch):
    monkeypatch.setattr(cluster, "_CONNECT_SECONDS", 0.5)
    stranger = processes.address.replace("tls:", "tcp:")
    with pytest.raises(ClusterError, match="no Dask scheduler answers"), cluster.connect(stranger):
        pass


def test_a_scheduler_that_is_gone_ends_the_batch(processes, jobs, tmp_path, monkeypatch):
    # The last of those that need one, which would have to be started anew.
    def kill():
        monkeypatch.setattr(watch, "_SILENT_SECONDS", 1.0)
        processes._scheduler.kill()

    processes.add_workers(1 - len(processes.workers))
    ends_when_struck(processes, jobs, tmp_path / "out", kill, "the scheduler is gone")


def test_a_server_that_is_no_scheduler_is_told_apart(monkeypatch):
    monkeypatch.setattr(cluster, "_CONNECT_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                connection.recv(1000)

        thread = threading.Thread(target=answer)
        thread.start()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with (
            pytest.raises(ClusterError, match=r"something else is there.*tcp:// or tls://"),
            cluster.connect(address),
        ):
            pass
        thread.join()


@pytest.mark.parametrize(
    "address", ["", "host", "host:1", "http://host:1", "tcp://host", "tcp://:1", "tcp://h:x"]
)
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ParameterError, match="a scheduler is 'local', or an address as"):
        cluster.check_scheduler(address)


def test_certificates_go_with_tls_alone():
    files = cluster.TLS("ca.pem", "cert.pem")
    with pytest.raises(ParameterError, match="go with tls://"):
        cluster.check_scheduler("tcp://127.0.0.1:1", files)
    with pytest.raises(ParameterError, match="makes its own"):
        cluster.check_scheduler("local", files)
    with pytest.raises(ParameterError, match="needs certificates"), cluster.connect("tls://h:1"):
        pass
    with (
        pytest.raises(FileNotFoundError, match=r"ca\.pem"),
        cluster.connect("tls://h:1", tls=files),
    ):
        pass


def test_certificates_that_are_none_are_refused(tmp_path):
    path = tmp_path / "cert.pem"
    path.write_text("not a certificate")
    files = cluster.TLS(str(path), str(path))
    with (
        pytest.raises(ParameterError, match="certificates cannot be used"),
        cluster.connect("tls://h:1", tls=files),
    ):
        pass


def test_plain_tcp_to_another_host_is_warned_of():
    with pytest.warns(AudioNMFWarning, match="neither encrypted nor authenticated"):
        cluster.check_scheduler("tcp://192.0.2.1:8786")
    for address in (
        "tcp://127.0.0.1:1",
        "tcp://[::1]:1",
        "tcp://localhost:1",
        "tls://h:1",
        "local",
    ):
        cluster.check_scheduler(address)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--n-components", "auto"], "--n-components takes a number"),
        (["--dictionary", "frames"], "templates are factorised"),
        (["--max-frames", "99"], "--max-frames means nothing on a cluster"),
        (["--example-frames", "9"], "--example-frames means nothing on a cluster"),
        (["--tls-cert", "c.pem"], "--tls-ca and --tls-cert together"),
    ],
)
def test_options_that_mean_nothing_on_a_cluster_are_refused(
    run, corpus, tmp_path, options, message
):
    out = tmp_path / "a.npz"
    code, _, errors = run("learn", corpus[0], "-o", out, "--scheduler", "local", *options)
    assert code == 2
    assert message in errors


def test_certificates_without_a_scheduler_are_refused(run, corpus, tmp_path):
    code, _, errors = run("learn", corpus[0], "-o", tmp_path / "a.npz", "--tls-ca", "ca.pem")
    assert code == 2
    assert "go with --scheduler" in errors


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(ImportError, match=r"pip install 'audionmf\[cluster\]'"),
        cluster.connect("local"),
    ):
        pass


class Answer:
    """As Dask's future, whose waiting fails once where the answer comes as it ends."""

    def __init__(self, status, *outcomes):
        self.status, self._outcomes = status, list(outcomes)

    def result(self, timeout):
        outcome = self._outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def test_an_answer_that_comes_as_waiting_ends_is_asked_for_again():
    slip = UnboundLocalError("cannot access local variable 'result'")
    outcome = Fleet._outcome
    assert outcome(None, None, Answer("finished", slip, 3), "answer") == 3
    with pytest.raises(UnboundLocalError):
        outcome(None, None, Answer("error", slip), "answer")
