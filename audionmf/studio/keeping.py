"""What is worked on, kept on the disk from second to second, and found again after a crash.

In the user's state folder lie projects, one for each recording that was worked on, and the files that
came through the page and so are nowhere else, each under its hash. Nothing of it is anybody else's to
read. All of it is bounded: what was not touched longest goes.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from audionmf.errors import AudioNMFError
from audionmf.io.files import atomic_path
from audionmf.studio.arrangement import History
from audionmf.studio.deliver import saved_model
from audionmf.studio.given import Given
from audionmf.studio.models import Model
from audionmf.studio.project import read_account, write_project
from audionmf.studio.recordings import Recording
from audionmf.studio.session import Session, UnknownIdError

__all__ = ["KEPT_BYTES", "Keeper", "state_folder"]

KEPT_BYTES = 2 << 30
"""Bytes in the state folder, projects and recordings together."""

_MOST_PROJECTS = 20
_QUIET_SECONDS = 0.4
_RETRY_SECONDS = 5.0
_HASH = re.compile("[0-9a-f]{64}")
_STRAY_SECONDS = 86400.0
"""A file that no project names may be one whose project is being written, by another studio."""


def state_folder() -> Path | None:
    """Return where the studio keeps what is worked on; None for a user without a home."""
    for name in ("XDG_STATE_HOME", "LOCALAPPDATA"):
        given = Path(os.environ.get(name, ""))
        if given.is_absolute():
            return given / "audionmf" / "studio"
    with contextlib.suppress(RuntimeError):
        return Path("~", ".local", "state", "audionmf", "studio").expanduser()
    return None


@dataclass(frozen=True)
class _Kept:
    """A project that was kept."""

    path: Path
    name: str
    when: float
    sources: tuple[str, ...]
    hashes: tuple[str, ...]
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))

    def told(self) -> dict[str, Any]:
        return {"id": self.id, "name": self.name, "when": self.when, "sources": list(self.sources)}


class Keeper:
    """Writes what a session holds shortly after each change; its methods may be called from any thread.

    Parameters
    ----------
    session : Session
        What is kept. Its present recording, with parts, is written, and what a queue found; those
        that were left stay as they were written last.
    folder : path
        Where to; made if it is not there.
    most_bytes : int, default KEPT_BYTES
        Bytes of all that is kept.
    """

    def __init__(self, session: Session, folder: Path, most_bytes: int = KEPT_BYTES) -> None:
        self._session, self._most_bytes = session, most_bytes
        self._projects, self.files = folder / "projects", folder / "files"
        self._untouched: dict[str, Path] = {}
        self._taken: dict[str, tuple[Path, int]] = {}
        self._listed: dict[Path, tuple[int, _Kept]] = {}
        self._lock = threading.RLock()
        self._dirty, self._closing = threading.Event(), threading.Event()
        self.trouble, self.version = "", 0
        self._thread = threading.Thread(target=self._run, name="audionmf-keep", daemon=True)

    def start(self) -> None:
        """Keep from now on."""
        self._session.changed = self._dirty.set
        self._thread.start()

    def close(self) -> None:
        """Keep what has changed last, and stop."""
        self._closing.set()
        self._dirty.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._dirty.wait()
            self._closing.wait(_QUIET_SECONDS)  # changes come in bursts
            self._dirty.clear()
            self.keep()
            if self.trouble:
                self._closing.wait(_RETRY_SECONDS)

    def keep(self) -> None:
        """Write the present state, whose version is `version` then.

        What stands in the way is in `trouble`, and is tried again.
        """
        session = self._session
        with session.still():
            works = dict(session.unkept)
            if session.model is not None:
                present = (session.model, session.arranged, session.history)
                works[session.model.recording.id] = present
            told = [
                (model, history, arranged.told() | {"history": history.saved(model)})
                for model, arranged, history in works.values()
            ]
            version = session.version
        if not told:
            return
        try:
            for folder in (self._projects, self.files):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for model, history, arranged in told:
                self._write(model, history, arranged)
            with session.still():
                for key, work in works.items():
                    if session.unkept.get(key) is work:
                        del session.unkept[key]
            self.trouble, self.version = "", version
        except (AudioNMFError, OSError) as error:
            reason = getattr(error, "strerror", None) or session.explain(error)
            self.trouble = f"what you do is not kept on the disk now: {reason}"
            self._dirty.set()

    def _write(self, model: Model, history: History, arranged: dict[str, Any]) -> None:
        recording = model.recording
        with self._lock:
            for item in {recording, *(f for said in model.way.sources for f in said.files)}:
                self._shelter(item)
            path = self._path(history.key)
            kept = saved_model(model, self._session.folder)
            write_project(path, recording, model.way, arranged, kept)
            path.chmod(0o600)
            self._replace_untouched(recording, path, touched=bool(history.past or history.future))
            self._replace_taken(recording)
            self._bound()

    def _path(self, key: str) -> Path:
        return self._projects / f"{key}.audionmf"

    def _shelter(self, item: Recording | Given) -> None:
        """Keep a file that came through the page: it is nowhere else."""
        written = item.given if isinstance(item, Recording) else item.written
        target = self.files / item.sha256
        if written or target.exists() or item.path.stat().st_size > self._most_bytes // 2:
            return
        with atomic_path(target) as temporary:
            shutil.copyfile(item.path, temporary)
            temporary.chmod(0o600)

    def _replace_untouched(self, recording: Recording, path: Path, *, touched: bool) -> None:
        """Take away an analysis of which nobody made anything, when there is another."""
        before = self._untouched.pop(recording.id, path)
        if before != path and before not in self._here():
            before.unlink(missing_ok=True)
        if not touched:
            self._untouched[recording.id] = path

    def _replace_taken(self, recording: Recording) -> None:
        """Take away what this recording was gone on with from, unless somebody else goes on with it."""
        path, stamp = self._taken.pop(recording.id, (None, 0))
        with contextlib.suppress(OSError):
            if path and path.stat().st_mtime_ns == stamp:
                path.unlink()

    # finding it again

    def take(self, key: str) -> Given:
        """Return a project that was kept, to be opened.

        Raises
        ------
        UnknownIdError
            If there is none with this id.
        """
        kept = self._find(key)
        return Given(kept.path, kept.name, str(kept.path), "project", ())

    def took(self, item: Given, recording: Recording) -> None:
        """Note which recording a kept project went on as: the next time it is written in its place."""
        with self._lock, contextlib.suppress(OSError):
            self._taken[recording.id] = (item.path, item.path.stat().st_mtime_ns)

    def forget(self, key: str) -> None:
        """Delete a project that was kept, and the files that nothing else names.

        Raises
        ------
        UnknownIdError
            If there is none with this id.
        """
        with self._lock:
            kept = self._find(key)
            kept.path.unlink(missing_ok=True)
            self._clear(stray_seconds=0.0, these=kept.hashes)

    def told(self) -> list[dict[str, Any]]:
        """Return what can be gone on with, the latest first; what is open here is not among it."""
        with self._lock:
            here = self._here()
            return [kept.told() for kept in self._all() if kept.path not in here]

    def _here(self) -> set[Path]:
        """Return where what is open here is kept."""
        taken = {path for path, _ in self._taken.values()}
        return {self._path(key) for key in self._session.open_work} | taken

    def latest(self, recording: Recording) -> str | None:
        """Return the id of the latest that is about a recording and not open here; None without."""
        with self._lock:
            here = self._here()
            found = (k for k in self._all() if k.name == recording.name and k.path not in here)
            return next((k.id for k in found if k.hashes[0] == recording.sha256), None)

    def _find(self, key: str) -> _Kept:
        with self._lock:
            for kept in self._all():
                if kept.id == key:
                    return kept
        raise UnknownIdError("there is nothing with this id")

    def _all(self) -> list[_Kept]:
        """Return all that is kept, the latest first; what cannot be read is passed over."""
        found: dict[Path, tuple[int, _Kept]] = {}
        for path, stamp in self._stamps():
            held = self._listed.get(path)
            if held is None or held[0] != stamp:
                with contextlib.suppress(AudioNMFError, OSError):
                    told = read_account(path, path.name)
                    names = tuple(str(s.get("name", "")) for s in told.sources)
                    hashes = tuple(file["sha256"] for file in told.files)
                    kept = _Kept(path, told.files[0]["name"], stamp / 1e9, names, hashes)
                    found[path] = (stamp, kept)
            else:
                found[path] = held
        self._listed = found
        return [kept for _, kept in found.values()]

    def _stamps(self) -> list[tuple[Path, int]]:
        stamps = []
        with contextlib.suppress(OSError):
            for path in self._projects.glob("*.audionmf"):
                with contextlib.suppress(OSError):
                    stamps.append((path, path.stat().st_mtime_ns))
        return sorted(stamps, key=lambda item: (-item[1], item[0]))

    # bounds

    def _bound(self) -> None:
        """Let go of what was not touched longest until the rest is within the bounds."""
        kept = self._all()
        own = self._here()
        while len(kept) > _MOST_PROJECTS or (len(kept) > 1 and self._n_bytes() > self._most_bytes):
            oldest = next((k for k in reversed(kept) if k.path not in own), None)
            if oldest is None:
                break
            oldest.path.unlink(missing_ok=True)
            kept.remove(oldest)
            self._clear(stray_seconds=0.0, these=oldest.hashes)
        self._clear(stray_seconds=_STRAY_SECONDS)

    def _n_bytes(self) -> int:
        paths = [*self._projects.iterdir(), *self.files.iterdir()]
        return sum(path.stat().st_size for path in paths)

    def _clear(self, *, stray_seconds: float, these: Iterable[str] | None = None) -> None:
        """Delete files that no project names and nothing here is open from."""
        named = {digest for kept in self._all() for digest in kept.hashes}
        open_here = {item.path for item in self._session.files}
        only = None if these is None else set(these)
        with contextlib.suppress(OSError):
            for path in self.files.iterdir():
                wanted = path.name in named or path in open_here
                old = time.time() - path.stat().st_mtime >= stray_seconds
                asked = only is None or path.name in only
                if asked and _HASH.fullmatch(path.name) and not wanted and old:
                    path.unlink(missing_ok=True)
