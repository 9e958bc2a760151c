"""A studio for the tests: in a process of its own to talk to, or what it holds alone."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from audionmf.studio.session import Session


@dataclass
class Running:
    """A studio that runs."""

    process: subprocess.Popen[str]
    address: str
    temporary: Path

    @property
    def base(self) -> str:
        return self.address.partition("/?")[0]

    @property
    def port(self) -> int:
        return int(self.base.rpartition(":")[2])

    @contextlib.contextmanager
    def client(self, *, entered: bool = True) -> Iterator[httpx.Client]:
        headers = {"origin": self.base}
        # Less than the server's 5 s, or a slow machine sends into a connection that is being closed.
        limits = httpx.Limits(keepalive_expiry=2)
        with httpx.Client(base_url=self.base, headers=headers, timeout=30, limits=limits) as client:
            if entered:
                client.get(self.address).raise_for_status()
            yield client

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=20)
        return self.process.returncode, errors


@contextlib.contextmanager
def running(temporary: Path, *arguments: object) -> Iterator[Running]:
    """Start a studio, wait for its address, and end it."""
    temporary.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-B", "-m", "audionmf", "studio", "--no-browser", "--json"]
    process = subprocess.Popen(
        [*command, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ
        | {"TMPDIR": str(temporary), "XDG_STATE_HOME": str(temporary.with_name("state"))},
    )
    try:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(process.stderr.read())
        yield Running(process, json.loads(line)["address"], temporary)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """What a studio holds, without a server; recordings lie where this process is."""
    from audionmf.studio.session import Session

    monkeypatch.chdir(tmp_path)
    (tmp_path / "private").mkdir()
    made = Session(tmp_path / "private")
    yield made
    made.worker.close()


def finish(client: httpx.Client, job: httpx.Response) -> dict[str, Any]:
    """Wait until a job has ended, and return how."""
    told = job.raise_for_status().json()
    while told["outcome"] == "running":
        time.sleep(0.02)  # between two questions; what is awaited is the answer
        told = client.get(f"/api/jobs/{told['id']}").json()
    return told
