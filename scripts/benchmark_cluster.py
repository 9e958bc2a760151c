#!/usr/bin/env python3
"""Measure learning on a cluster of this machine: time and bytes a round, by workers and files.

    benchmark_cluster.py [--workers N ...] [--files N ...] [--seconds S] [--components K] [--json FILE]

The corpus is synthetic, made in a temporary folder: FILES recordings of SECONDS each, mono, 44.1 kHz.
The client speaks to the scheduler through a socket that counts; what it sends and is sent in a round
is the difference of two runs with a different number of rounds, and so is the time. "alone" is
`nmf.fit_shards` over the same frames in one process with one thread, which learns the same templates.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import distributed
import numpy as np
from numpy.typing import NDArray

import audionmf
from audionmf import nmf
from audionmf.batch.cluster import connect
from audionmf.batch.cluster_learning import learn
from audionmf.spectra.frames import pooled_magnitude

RATE, N_FFT = 44100, 4096
ROUNDS = (3, 13)


def main() -> None:
    """Measure each size, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--files", type=int, nargs="+", default=[4, 8, 16])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--components", type=int, default=40)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    print("| workers | files | hours | read, s | a round, s | alone, s | sent, kB | received, kB |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        corpus = make_corpus(Path(folder), max(options.files), options.seconds)
        alone = {n: measure_alone(corpus[:n], options.components) for n in options.files}
        for n_workers in options.workers:
            with connect("local", n_workers=n_workers) as client:
                for n_files in options.files:
                    row = measure(client, corpus[:n_files], options.components)
                    row |= {
                        "workers": n_workers, "files": n_files,
                        "hours": n_files * options.seconds / 3600, "alone": alone[n_files],
                    }  # fmt: skip
                    rows.append(row)
                    print(
                        "| {workers} | {files} | {hours:.2f} | {read:.1f} | {round:.3f} | "
                        "{alone:.3f} | {sent:.0f} | {received:.0f} |".format(**row),
                        flush=True,
                    )
    if options.json:
        machine = f"{platform.machine()}, {platform.system()}"
        options.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


def make_corpus(folder: Path, count: int, seconds: float) -> list[Path]:
    """Write recordings of notes over noise."""
    time_axis = np.arange(round(seconds * RATE)) / RATE
    paths = []
    for i in range(count):
        rng = np.random.default_rng(i)
        samples = 1e-3 * rng.standard_normal(len(time_axis))
        for hertz in rng.choice(np.geomspace(110, 1760, 25), 8, replace=False):
            level = np.maximum(0, np.sin(2 * np.pi * rng.random() * time_axis))
            for partial in (1, 2, 3, 4):
                samples += 0.02 * level * np.sin(2 * np.pi * hertz * partial * time_axis) / partial
        audio = audionmf.Audio(samples[None].astype(np.float32), RATE)
        paths.append(audionmf.write(folder / f"{i}.wav", audio, "PCM_16"))
    return paths


def measure_alone(corpus: list[Path], n_components: int) -> float:
    """Return the seconds of a round in this process."""
    stft = audionmf.STFT(N_FFT, N_FFT // 4)
    frames: list[NDArray[np.float32]] = [
        pooled_magnitude(stft.forward(audionmf.read(path).samples)) for path in corpus
    ]
    nmf.fit_shards(frames[:1], n_components, max_iter=1)  # loads the machine code
    spent = []
    for n_rounds in ROUNDS:
        begin = time.perf_counter()
        nmf.fit_shards(frames, n_components, max_iter=n_rounds, tol=0, n_threads=1)
        spent.append(time.perf_counter() - begin)
    return (spent[1] - spent[0]) / (ROUNDS[1] - ROUNDS[0])


def measure(client: Any, corpus: list[Path], n_components: int) -> dict[str, float]:
    """Return the seconds to read, and the seconds and kilobytes of a round."""
    found = []
    with Meter(client.scheduler.address) as meter:
        metered = distributed.Client(meter.address, security=client.security, set_as_default=False)
        with metered:
            learn(corpus, "notes", 2, client=metered, max_iter=1, n_fft=N_FFT)
            for n_rounds in ROUNDS:
                before, begin = (meter.up, meter.down), time.perf_counter()
                reached: list[float] = []

                def note(stage: str, _: float, reached: list[float] = reached) -> None:
                    if stage.startswith("learn") and not reached:
                        reached.append(time.perf_counter())

                learn(
                    corpus, "notes", n_components, client=metered, progress=note,
                    max_iter=n_rounds, tol=0.0, n_fft=N_FFT,
                )  # fmt: skip
                end = time.perf_counter()
                found.append(
                    (reached[0] - begin, end - reached[0], meter.up - before[0],
                     meter.down - before[1])
                )  # fmt: skip
    more = ROUNDS[1] - ROUNDS[0]
    (_, few, up, down), (read, many, more_up, more_down) = found
    return {
        "read": read,
        "round": (many - few) / more,
        "sent": (more_up - up) / more / 1000,
        "received": (more_down - down) / more / 1000,
    }


class Meter:
    """Stands before a scheduler and counts what a client sends and is sent."""

    def __init__(self, address: str) -> None:
        protocol, _, place = address.partition("://")
        host, port = place.rsplit(":", 1)
        self._target = (host, int(port))
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"{protocol}://127.0.0.1:{self._server.getsockname()[1]}"
        self.up = self.down = 0

    def __enter__(self) -> Meter:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # it ends when the socket is closed
            while True:
                near, _ = self._server.accept()
                far = socket.create_connection(self._target)
                for ends in ((near, far, "up"), (far, near, "down")):
                    threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, way: str) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
                setattr(self, way, getattr(self, way) + len(data))
            target.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    main()
