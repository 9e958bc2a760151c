"""Bind the port, make the token and the temporary folder, run until the end, clear up."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import secrets
import signal
import socket
import tempfile
import threading
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from audionmf.errors import MissingExtraError, OutputError, ParameterError
from audionmf.io.audio import AudioFile
from audionmf.io.files import StrPath
from audionmf.io.signals import ending_by

__all__ = ["DEFAULT_MAX_UPLOAD", "HOST", "serve"]

HOST = "127.0.0.1"
DEFAULT_MAX_UPLOAD = 1 << 30

_CLOSING_SECONDS = 2
_HEADER_SECONDS = 10.0
_IDLE_SECONDS = 5
_MAX_CONNECTIONS = 256
_DOOR = "open.html"
_REDIRECT = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>audionmf studio</title>
<meta http-equiv="refresh" content="0; url={0}"><p><a href="{0}">Open the studio</a></p></html>
"""
"""What the browser is given: other users can read its command line, but not this file."""


def serve(
    files: Sequence[StrPath] = (),
    *,
    port: int = 0,
    max_upload: int = DEFAULT_MAX_UPLOAD,
    open_browser: bool = True,
    keep: bool = True,
    announce: Callable[[str], None],
) -> None:
    """Run the studio until it is interrupted.

    Parameters
    ----------
    files : sequence of path, optional
        Recordings, banks and scores to offer on the page; a single recording is opened at once, and
        so is a single project or model, with its recording.
    port : int, default 0
        Of 127.0.0.1; 0 takes any that is free.
    max_upload : int, default 1073741824
        Most bytes of a recording that is dropped on the page.
    open_browser : bool, default True
        Open the page.
    keep : bool, default True
        Keep what is worked on in the user's state folder (``$XDG_STATE_HOME/audionmf/studio`` or
        ``~/.local/state/audionmf/studio``), 2 GiB at most, and offer it the next time.
    announce : callable
        Told the address, with its token, when the page can be opened.

    Raises
    ------
    MissingExtraError
        If Starlette or uvicorn are not installed.
    ParameterError
        If the port or the cap is out of its range.
    FileNotFoundError, AudioReadError, InvalidAudioError, LimitError, TemplateError, ScoreError
        If a file cannot be read.
    OutputError
        If the port is taken.
    """
    uvicorn = _uvicorn()
    from audionmf.studio.app import make_app
    from audionmf.studio.given import what_is
    from audionmf.studio.guard import Guard
    from audionmf.studio.keeping import Keeper, state_folder
    from audionmf.studio.opening import open_saved
    from audionmf.studio.session import Session

    if not 0 <= port <= 65535:
        raise ParameterError(f"a port is a number from 0 to 65535, not {port!r}")
    if max_upload < 1:
        raise ParameterError("the cap on uploads must let a megabyte through at least")
    offered = [(_shown(Path(path).name), _checked(Path(path)), str(path)) for path in files]
    with (
        tempfile.TemporaryDirectory(prefix="audionmf-studio-") as folder,
        _bound(port) as listener,
    ):
        session = Session(Path(folder))
        state = state_folder() if keep else None
        keeper = None if state is None else Keeper(session, state)
        if keeper is not None:
            keeper.start()
        authority = f"{HOST}:{listener.getsockname()[1]}"
        token = secrets.token_urlsafe(24)
        recordings = [item for item in offered if what_is(item[1]) == "recording"]
        if len(recordings) == 1:
            name, path, written = recordings[0]
            session.current = session.add_file(path, name, written)
        saved = [item for item in offered if what_is(item[1]) in ("project", "model")]
        if len(saved) == 1 and len(recordings) <= 1:
            name, path, written = saved[0]
            open_saved(session, session.add_given(path, name, written))
        app = Guard(make_app(session, max_upload, offered, keeper), authority, token)
        door = Path(folder) / _DOOR
        address = f"http://{authority}/?token={token}"

        def started() -> None:
            announce(address)
            if open_browser:
                once = app.pass_once(lambda: door.unlink(missing_ok=True))
                _write_private(door, _REDIRECT.format(f"http://{authority}/?token={once}"))
                # Some browsers run in the terminal until they are left: not in the way of answers.
                browser = threading.Thread(
                    target=webbrowser.open, args=(door.as_uri(),), daemon=True
                )
                browser.start()

        try:
            _run(uvicorn, app, listener, started)
        finally:
            session.worker.close()
            if keeper is not None:
                keeper.close()


def _uvicorn() -> Any:
    try:
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise MissingExtraError(
            "the studio needs Starlette and uvicorn; install them with: "
            "pip install 'audionmf[studio]'"
        ) from error
    return uvicorn


def _checked(path: Path) -> Path:
    """Return where a file is, once it is known to be one that the studio opens."""
    from audionmf.studio.given import expected, given, what_is

    if what_is(path) == "recording":
        with expected(str(path)):
            return AudioFile(path).path
    return given(path, repr(str(path))[1:-1]).path


def _shown(name: str) -> str:
    """Return a name that need not be valid in any encoding as text that a page can show."""
    return os.fsencode(name).decode("utf-8", "replace")


def _write_private(path: Path, text: str) -> None:
    """Write a file that its owner alone can read, from its first moment on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)


def _bound(port: int) -> socket.socket:
    """Return a socket bound to this machine alone."""
    # With the protocol named, asyncio sends answers at once instead of waiting for an ACK (40 ms).
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            raise OutputError(
                error.errno, f"port {port} cannot be had: {error.strerror}; choose another --port"
            ) from error
        raise
    return listener


def _protocol() -> Any:
    """Return uvicorn's protocol, which waits for ever for a request, with an end to its patience."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Protocol(H11Protocol):
        waiting: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.expect()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is not None and not self.cycle.response_complete:
                self.forget()  # a whole header came; after the answer uvicorn counts idle seconds
            elif self.waiting is None:
                self.expect()

        def connection_lost(self, exc: Exception | None) -> None:
            self.forget()
            super().connection_lost(exc)

        def expect(self) -> None:
            self.waiting = self.loop.call_later(_HEADER_SECONDS, self.transport.close)

        def forget(self) -> None:
            if self.waiting is not None:
                self.waiting.cancel()
                self.waiting = None

    return Protocol


def _run(uvicorn: Any, app: Any, listener: socket.socket, started: Callable[[], None]) -> None:
    class Server(uvicorn.Server):  # type: ignore[misc]
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                started()

    config = uvicorn.Config(
        app,
        http=_protocol(),
        limit_concurrency=_MAX_CONNECTIONS,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_CLOSING_SECONDS,
        timeout_keep_alive=_IDLE_SECONDS,
    )
    server = Server(config)
    came: list[int] = []

    def end(number: int, frame: Any) -> None:
        # An error raised here would be that of the answer at work, and the server would go on.
        came.append(number)
        server.handle_exit(number, frame)

    # What is not answered within the grace is cut off, and that is all there is to say of it.
    log = logging.getLogger("uvicorn.error")
    log.addFilter(_no_cut)
    try:
        with ending_by(end):
            server.run(sockets=[listener])
    finally:
        log.removeFilter(_no_cut)
    for number in came:
        signal.raise_signal(number)


def _no_cut(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("Cancel %s running task")
