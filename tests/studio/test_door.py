"""How the browser comes in, and how long the studio waits for what does not come."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx
import pytest
from conftest import child, sound, two_notes
from studio_server import running

from audionmf.errors import AudioNMFError
from audionmf.studio import app, server
from audionmf.studio.guard import Guard

BROWSER = """#!/bin/sh
printf '%s\\n' "$@" > "$OUT/argv"
"""


ENDED_WITHIN = """
import signal, socket, sys, threading
import httpx
from audionmf.io.signals import ending_by
from audionmf.studio import server

class Ended(KeyboardInterrupt):
    pass

def end(*_):
    raise Ended

async def app(scope, receive, send):
    signal.raise_signal(getattr(signal, sys.argv[1]))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"whole"})

def ask():
    print(httpx.get(f"http://127.0.0.1:{listener.getsockname()[1]}").text, flush=True)

listener = socket.create_server(("127.0.0.1", 0))
try:
    with ending_by(end):
        server._run(server._uvicorn(), app, listener, threading.Thread(target=ask).start)
except Ended:
    print("ended")
"""


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals of POSIX")
@pytest.mark.parametrize("name", ["SIGHUP", "SIGTERM"])
def test_a_signal_in_the_middle_of_an_answer_ends_the_studio_after_it(name):
    result = child("-c", ENDED_WITHIN, name)
    assert result.stdout.split() == [b"whole", b"ended"], result.stderr
    assert result.stderr == b""


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX, and a browser that is a script")
def test_the_command_line_of_the_browser_holds_no_secret(tmp_path):
    browser = tmp_path / "browser"
    browser.write_text(BROWSER)
    browser.chmod(0o700)
    os.mkfifo(tmp_path / "argv")
    process = subprocess.Popen(
        [sys.executable, "-m", "audionmf", "studio", "--json"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"BROWSER": f"{browser} %s", "OUT": str(tmp_path)},
    )
    try:
        address = json.loads(process.stdout.readline())["address"]
        token = address.partition("=")[2]
        given = (tmp_path / "argv").read_text().split()
        assert len(given) == 1
        assert given[0].startswith("file://")
        door = Path(unquote(urlsplit(given[0]).path))
        text = door.read_text()
        once = re.search(r'url=(http://127[^"]*token=([^"]*))"', text)
        assert token not in text
        assert once[2] not in given[0]
        assert door.stat().st_mode & 0o777 == 0o600
        assert door.parent.stat().st_mode & 0o777 == 0o700
        assert httpx.get(once[1]).status_code == 200
        assert not door.exists()
        assert httpx.get(once[1]).status_code == 403  # it opens once
        assert (
            httpx.get(address).status_code == 200
        )  # what the terminal printed, as often as wanted
        process.send_signal(signal.SIGHUP)
        assert process.wait(20) == 143
        assert not door.parent.exists()
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def impatient(monkeypatch):
    """The server with an application that answers nothing, and that waits a moment only."""
    import uvicorn

    monkeypatch.setattr(server, "_HEADER_SECONDS", 0.2)
    monkeypatch.setattr(server, "_IDLE_SECONDS", 0.2)
    listener = server._bound(0)
    host, port = listener.getsockname()
    started, made = threading.Event(), []
    build = uvicorn.Server.__init__

    def kept(self, config):
        build(self, config)
        made.append(self)

    monkeypatch.setattr(uvicorn.Server, "__init__", kept)
    guard = Guard(lambda *_: None, f"{host}:{port}", "token")
    arguments = (uvicorn, guard, listener, started.set)
    thread = threading.Thread(target=server._run, args=arguments, daemon=True)
    thread.start()
    assert started.wait(20)
    yield host, port
    made[0].should_exit = True
    thread.join(20)


@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize("sent", [b"", b"G", b"GET / HTTP/1.1\r\nHost: "])
def test_a_request_that_does_not_come_is_not_waited_for(impatient, sent, answered):
    with socket.create_connection(impatient, 10) as raw:
        if answered:
            host = f"{impatient[0]}:{impatient[1]}".encode()
            raw.sendall(b"GET /?token=token HTTP/1.1\r\nHost: %b\r\n\r\n" % host)
            assert raw.recv(20).startswith(b"HTTP/1.1 200")
        raw.sendall(sent)
        while raw.recv(4096):  # until the server closes; ten seconds of nothing would raise
            pass


def test_a_body_that_stands_still_is_given_up(monkeypatch):
    monkeypatch.setattr(app, "_STALLED_SECONDS", 0.05)

    class Request:
        async def stream(self):
            yield b"begun"
            await asyncio.Event().wait()

    async def read():
        return [chunk async for chunk in app._chunks(Request())]

    with pytest.raises(AudioNMFError, match="did not come"):
        asyncio.run(read())


@pytest.mark.skipif(sys.platform != "linux", reason="names that are not UTF-8")
def test_recordings_of_any_name_can_be_offered(tmp_path):
    mix = sound(tmp_path / os.fsdecode(b"caf\xe9.wav"), two_notes(1, 8000))
    with running(tmp_path / "tmp", mix) as studio, studio.client() as client:
        state = client.get("/api/state")
        assert state.status_code == 200
        assert state.json()["offered"][0]["name"] == "caf\ufffd.wav"
