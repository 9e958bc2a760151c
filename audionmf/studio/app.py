"""The application: requests become calls of a session, errors become answers without a trace.

Ids are the only names that a page can give. What takes long runs in threads: the event loop only
ever passes messages.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audionmf.errors import AudioNMFError, LimitError, LockedError, ParameterError
from audionmf.io.files import require_file
from audionmf.sources.known import REST
from audionmf.studio import deliver
from audionmf.studio.asking import way_of
from audionmf.studio.keeping import Keeper
from audionmf.studio.mixing import remix, remix_commands
from audionmf.studio.models import Model
from audionmf.studio.opening import open_saved
from audionmf.studio.scores import write_score
from audionmf.studio.session import SAMPLE_FILE, Session, StaleError, UnknownIdError
from audionmf.studio.several import Queue
from audionmf.studio.sources import Group
from audionmf.studio.work import Job

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["make_app"]

Endpoint = Callable[["Request"], Awaitable["Response"]]

_LOG = logging.getLogger(__name__)
_MAX_JSON = 1 << 18
_MAX_NAME = 200
_MAX_NUMBER = 1e9
_MAX_DIGITS = 18
_STALLED_SECONDS = 30.0
_KEPT_DELIVERIES = 8
_MOST_FEW = 8
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_STATUS = {UnknownIdError: 404, StaleError: 409, LockedError: 409, LimitError: 413}


class _StalledError(AudioNMFError):
    """The body of a request does not come."""


class _TooLargeError(AudioNMFError):
    """The body of a request is over its cap."""


def make_app(
    session: Session,
    max_upload: int,
    offered: list[tuple[str, Path, str]],
    keeper: Keeper | None = None,
) -> Starlette:
    """Make the application.

    Parameters
    ----------
    session : Session
        What it works on.
    max_upload : int
        Most bytes of an upload.
    offered : list of (str, path, str)
        Files that may be picked: what to call each, where it is, how it was written by the user.
    keeper : Keeper, optional
        Keeps what is worked on.
    """
    from starlette.applications import Starlette
    from starlette.routing import Route

    studio = _Studio(session, max_upload, offered, keeper)
    routes = [
        ("/", "GET", studio.page),
        ("/favicon.ico", "GET", studio.icon),
        ("/static/{name}", "GET", studio.static),
        ("/api/alive", "GET", studio.alive),
        ("/api/state", "GET", studio.state),
        ("/api/state", "PUT", studio.edit),
        ("/api/close", "POST", studio.close),
        ("/api/resume", "POST", studio.resume),
        ("/api/recordings", "POST", studio.upload),
        ("/api/offered/{key}", "POST", studio.pick),
        ("/api/recordings/{key}/waveform", "GET", studio.waveform),
        ("/api/recordings/{key}/audio/{index}", "GET", studio.original_audio),
        ("/api/recordings/{key}/file", "GET", studio.original),
        ("/api/recordings/{key}/tiles/{level}/{index}", "GET", studio.tile),
        ("/api/scores", "POST", studio.score),
        ("/api/given/{key}/file", "GET", studio.given_file),
        ("/api/kept/{key}", "POST", studio.go_on),
        ("/api/kept/{key}", "DELETE", studio.forget),
        ("/api/jobs", "POST", studio.start),
        ("/api/jobs/{key}", "GET", studio.job),
        ("/api/jobs/{key}", "DELETE", studio.stop),
        ("/api/models/{key}/templates", "GET", studio.templates),
        ("/api/models/{key}/activations", "GET", studio.activations),
        ("/api/models/{key}/levels", "GET", studio.levels),
        ("/api/models/{key}/audio/{index}", "GET", studio.audio),
        ("/api/models/{key}/suggest", "POST", studio.suggest),
        ("/api/queue", "GET", studio.queued),
        ("/api/queue/{key}", "DELETE", studio.unqueue),
        ("/api/stems/{key}", "GET", studio.stem),
        ("/api/commands", "GET", studio.commands),
        ("/api/deliveries/{key}", "GET", studio.fetch),
    ]
    return Starlette(
        routes=[Route(path, _calm(session, call), methods=[verb]) for path, verb, call in routes],
        exception_handlers={404: _not_found, 405: _not_allowed},
    )


def _calm(session: Session, endpoint: Endpoint) -> Endpoint:
    """Answer errors of this package with their status and a line for people."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except _TooLargeError as error:
            return _json({"error": str(error)}, 413)
        except _StalledError as error:
            return _json({"error": str(error)}, 408)
        except (AudioNMFError, FileNotFoundError) as error:
            status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 422)
            return _json({"error": session.explain(error)}, status)
        except asyncio.CancelledError:  # the studio ends, which is no error of anybody
            return _json({"error": "the studio was ended"}, 503)
        except Exception as error:
            _LOG.exception("the studio failed to answer")
            return _json({"error": session.explain(error)}, 500)

    return answer


class _Studio:
    """The endpoints."""

    def __init__(
        self,
        session: Session,
        max_upload: int,
        offered: list[tuple[str, Path, str]],
        keeper: Keeper | None,
    ) -> None:
        self._keeper, self._queue = keeper, Queue(session)
        self._session, self._max_upload = session, max_upload
        self._offered = {secrets.token_urlsafe(12): item for item in offered}
        self._sample = secrets.token_urlsafe(12)
        self._deliveries: dict[str, deliver.Delivery] = {}
        self._made: list[list[deliver.Delivery]] = []
        self._single: tuple[tuple[str, tuple[Group, ...]], list[deliver.Delivery]] | None = None
        self._lock = threading.Lock()
        page = resources.files("audionmf.studio") / "page"
        self._static = {item.name: item.read_bytes() for item in page.iterdir() if item.is_file()}

    async def page(self, _request: Request) -> Response:
        return _file(self._static["index.html"], _KINDS[".html"])

    async def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        kind = _KINDS.get(Path(name).suffix)
        if name not in self._static or kind is None:
            raise UnknownIdError("there is no such part of the page")
        return _file(self._static[name], kind)

    async def icon(self, _request: Request) -> Response:
        """Answer browsers that ask for an icon whatever the page says."""
        return _file(self._static["icon.svg"], _KINDS[".svg"])

    async def alive(self, _request: Request) -> Response:
        """Answer a page that asks whether anybody is there still."""
        told: dict[str, Any] = {"version": self._session.version}
        if self._keeper is not None:
            told |= {"kept": self._keeper.version, "trouble": self._keeper.trouble}
        return _json(told)

    async def state(self, _request: Request) -> Response:
        files = [(key, item[0], item[1]) for key, item in self._offered.items()]
        sample = "Three voices, a built-in sample"
        files.append((self._sample, sample, self._session.folder / SAMPLE_FILE))
        offered = [
            {
                "id": key,
                "name": name,
                "sample": key == self._sample,
                "opened": self._session.opened(path) is not None,
            }
            for key, name, path in files
        ]
        told = self._session.told() | self._session.remembered() | {"queue": self._queue.told()}
        limit = {"offered": offered, "max_upload": self._max_upload}
        return _json(told | limit | await _thread(self._kept, told["recordings"]))

    def _kept(self, recordings: list[dict[str, Any]]) -> dict[str, Any]:
        """Return what was kept, and for each recording what was kept of it."""
        if self._keeper is None:
            return {"kept": []}
        found = [
            told | {"kept": self._keeper.latest(self._session.recording(told["id"]))}
            for told in recordings
        ]
        return {"kept": self._keeper.told(), "recordings": found}

    async def go_on(self, request: Request) -> Response:
        """Open what was kept."""
        if self._keeper is None:
            raise UnknownIdError("nothing is kept")
        item = await _thread(self._keeper.take, request.path_params["key"])
        keeper = self._keeper
        job = await _thread(
            open_saved, self._session, item, keeper.files, lambda r: keeper.took(item, r)
        )
        return _json(job.told(0), 202)

    async def forget(self, request: Request) -> Response:
        if self._keeper is None:
            raise UnknownIdError("nothing is kept")
        await _thread(self._keeper.forget, request.path_params["key"])
        return _json({})

    async def edit(self, request: Request) -> Response:
        fields = {
            "version": int, "model": str, "sources": list, "marks": list, "gains": dict, "step": str,
        }  # fmt: skip
        body = await _body(request, fields)
        return _json(self._session.edit(*(body[name] for name in fields)))

    async def close(self, request: Request) -> Response:
        body = await _body(request, {"version": int})
        return _json(self._session.close_recording(body["version"]))

    async def resume(self, request: Request) -> Response:
        body = await _body(request, {"version": int, "recording": str})
        return _json(self._session.resume(body["version"], body["recording"]))

    async def upload(self, request: Request) -> Response:
        """Take a file: its bytes as the body, its name, which is only shown, in the address."""
        name = request.query_params.get("name", "").strip()
        name = Path(name.replace("\\", "/")).name or "recording"
        if len(name) > _MAX_NAME or not name.isprintable():
            raise ParameterError("the name of the file is too long, or has odd characters")
        path = self._session.folder / secrets.token_hex(8)
        try:
            await self._receive(request, path)
            item = await _thread(self._session.add, path, name)
            if item.path != path:  # the same was sent before
                path.unlink()
            return _json(item.told(), 201)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    async def _receive(self, request: Request, path: Path) -> None:
        cap = self._max_upload
        refusal = _TooLargeError(f"the file is larger than the {cap >> 20} MB that are taken")
        declared = request.headers.get("content-length", "")
        if len(declared) > _MAX_DIGITS or _index(declared) > cap:
            raise refusal
        n_bytes = 0
        with path.open("xb") as file:
            async for chunk in _chunks(request):
                n_bytes += len(chunk)
                if n_bytes > cap:
                    raise refusal
                await _thread(file.write, chunk)

    async def pick(self, request: Request) -> Response:
        key = request.path_params["key"]
        if key == self._sample:
            return _json((await _thread(self._session.add_sample)).told(), 201)
        if key not in self._offered:
            raise UnknownIdError("there is nothing with this id")
        name, path, written = self._offered[key]
        return _json((await _thread(self._session.add, path, name, written)).told(), 201)

    async def waveform(self, request: Request) -> Response:
        recording = self._session.recording(request.path_params["key"])
        return _binary(await _thread(lambda: recording.outline))

    async def original(self, request: Request) -> Response:
        from starlette.responses import FileResponse

        recording = self._session.recording(request.path_params["key"])
        recording.require_unchanged()  # a pipe would never answer, a device never end
        return FileResponse(
            recording.path, filename=recording.name, media_type="application/octet-stream"
        )

    async def score(self, request: Request) -> Response:
        """Take the notes of sources as they are in the page; they are known by them then."""
        body = await _body(request, {"recording": str, "parts": list})
        recording = self._session.recording(body["recording"])
        path, names = await _thread(write_score, body["parts"], self._session.folder)
        name = f"{Path(recording.name).stem}-notes.mid"
        item = await _thread(self._session.add_given, path, name)
        parts = dict(zip(names, item.parts, strict=True))
        return _json({"given": item.told(), "parts": parts}, 201)

    async def given_file(self, request: Request) -> Response:
        from starlette.responses import FileResponse

        item = self._session.given(request.path_params["key"])
        require_file(item.path)
        return FileResponse(item.path, filename=item.name, media_type="application/octet-stream")

    async def tile(self, request: Request) -> Response:
        recording = self._session.recording(request.path_params["key"])
        level, index = (_index(request.path_params[name]) for name in ("level", "index"))
        found = await _thread(recording.tile, level, index)
        if found is None:
            raise UnknownIdError("there is no such tile")
        return _binary(found)

    async def start(self, request: Request) -> Response:
        body = await _body(request, {"kind": str}, more=True)
        kind = body.get("kind")
        starts = {
            "analyse": self._analyse,
            "queue": self._start_queue,
            "open": self._open,
            "refine": self._refine,
            "try": self._try,
            "notes": self._notes,
            "export": self._export,
        }
        if kind not in starts:
            raise ParameterError(f"a job is one of {', '.join(starts)}")
        job = starts[kind](body)
        return _json(job.told(0), 200 if job.outcome == "stopped" else 202)

    def _analyse(self, body: dict[str, Any]) -> Job:
        recording = self._session.recording(_typed(body, "recording", str))
        return self._session.analyse(recording, way_of(body, self._session))

    def _start_queue(self, body: dict[str, Any]) -> Job:
        if body.get("again") is True:
            return self._queue.again()
        keys = _typed(body, "recordings", list)
        if not all(isinstance(key, str) for key in keys):
            raise ParameterError("recordings are named by their ids")
        recordings = [self._session.recording(key) for key in keys]
        return self._queue.start(recordings, way_of(body, self._session))

    async def queued(self, request: Request) -> Response:
        extension = request.query_params.get("format", "wav")
        if extension not in deliver.FORMATS:
            raise ParameterError("stems are exported as wav or flac")
        told = self._queue.told()
        done = any(item["course"] == "done" for item in told["items"])
        lines = self._queue.commands(extension) if done else []
        return _json(told | {"lines": lines})

    async def unqueue(self, request: Request) -> Response:
        self._queue.stop(request.path_params["key"])
        return _json(self._queue.told())

    def _export_queue(self, body: dict[str, Any]) -> Job:
        """Start to export the stems of all of the queue, or the files of one of its recordings."""
        extension, key = _typed(body, "format", str), body.get("recording")
        if extension not in deliver.FORMATS:
            raise ParameterError("stems are exported as wav or flac")

        def work(job: Job) -> dict[str, Any]:
            if key is None:
                return self._delivered(self._queue.stems(extension, job.progress))
            return self._delivered(self._queue.files(str(key), extension, job.progress))

        return self._session.worker.start("export", work)

    def _open(self, body: dict[str, Any]) -> Job:
        return open_saved(self._session, self._session.given(_typed(body, "file", str)))

    def _refine(self, body: dict[str, Any]) -> Job:
        return self._session.refine(_typed(body, "version", int))

    def _try(self, body: dict[str, Any]) -> Job:
        span = body.get("span")
        sound = isinstance(span, list) and len(span) == 2
        if span is not None and not (sound and all(type(s) in (int, float) for s in span)):
            raise ParameterError("a span has a start and an end")
        within = None if span is None else (float(span[0]), float(span[1]))
        version = _typed(body, "version", int)
        try:
            return self._session.try_marks(version, within)
        except (StaleError, LockedError):
            # It gives way whether or not it had begun, which is no error that a browser should log.
            return Job("try", outcome="stopped")

    def _notes(self, _body: dict[str, Any]) -> Job:
        model, groups, folder = self._present(), self._session.groups, self._session.folder

        def work(job: Job) -> dict[str, Any]:
            return {"rolls": deliver.rolls(model, groups, folder, job.progress)}

        return self._session.worker.start("notes", work)

    def _export(self, body: dict[str, Any]) -> Job:
        what, session = _typed(body, "what", str), self._session
        if what == "queue":
            return self._export_queue(body)
        model, groups = self._present(), session.groups
        arranged = session.arranged.told() | {"history": session.history.saved(model)}
        extension = _typed(body, "format", str)
        gains = session.arranged.mixed(body.get("silent", []))
        makers: dict[str, Callable[[Job], deliver.Delivery | list[deliver.Delivery]]] = {
            "files": lambda job: deliver.stem_files(
                model, groups, session.folder, extension, job.progress
            ),
            "stems": lambda job: deliver.stems(
                model, groups, session.folder, extension, job.progress
            ),
            "remix": lambda job: remix(
                model, groups, gains, session.folder, extension, job.progress
            ),
            "bank": lambda _: deliver.bank(model, groups, session.folder),
            "project": lambda _: deliver.project_file(model, arranged, session.folder),
            "model": lambda _: deliver.model_file(model, groups, session.folder),
            "midi": lambda _: deliver.note_file(model, groups, session.folder, "midi"),
            "labels": lambda _: deliver.note_file(model, groups, session.folder, "labels"),
        }
        if what not in makers or extension not in deliver.FORMATS:
            raise ParameterError(f"{', '.join(makers)} can be exported, as wav or flac")

        def work(job: Job) -> dict[str, Any]:
            return self._delivered(makers[what](job))

        return session.worker.start("export", work)

    def _delivered(self, made: deliver.Delivery | list[deliver.Delivery]) -> dict[str, Any]:
        """Keep what was made until a page fetched it; return what that is told."""
        self._keep_deliveries(made if isinstance(made, list) else [made])
        if isinstance(made, list):
            return {"files": [item.told() for item in made]}
        return made.told()

    def _keep_deliveries(self, made: list[deliver.Delivery]) -> None:
        """Keep what was made last; what was made first goes."""
        self._made.append(made)
        self._deliveries |= {item.id: item for item in made}
        while len(self._made) > _KEPT_DELIVERIES:
            oldest = self._made.pop(0)
            for item in oldest:
                del self._deliveries[item.id]
            deliver.discard(item.path for item in oldest)
            if self._single is not None and self._single[1] is oldest:
                self._single = None

    async def job(self, request: Request) -> Response:
        since = _index(request.query_params.get("since", "0"))
        return _json(self._job(request).told(since))

    async def stop(self, request: Request) -> Response:
        job = self._job(request)
        job.stop(keep=request.query_params.get("keep") == "yes")
        return _json(job.told(0), 202)

    def _job(self, request: Request) -> Job:
        job = self._session.worker.find(request.path_params["key"])
        if job is None:
            raise UnknownIdError("there is no such job")
        return job

    async def templates(self, request: Request) -> Response:
        model = self._model(request)
        return _binary(await _thread(lambda: model.templates))

    async def activations(self, request: Request) -> Response:
        model = self._model(request)
        return _binary(await _thread(lambda: model.activations))

    async def levels(self, request: Request) -> Response:
        model = self._model(request)
        return _binary(await _thread(lambda: model.levels))

    async def audio(self, request: Request) -> Response:
        model, asked = self._model(request), request.query_params.get("parts")
        only = None if asked is None else [_index(text) for text in asked.split(",", _MOST_FEW)]
        return await _block(lambda index: model.sound(index, only), request)

    async def original_audio(self, request: Request) -> Response:
        recording = self._session.recording(request.path_params["key"])
        return await _block(recording.sound, request)

    async def suggest(self, request: Request) -> Response:
        body = await _body(request, {"components": list, "sources": int})
        if not all(type(k) is int for k in body["components"]):
            raise ParameterError("components are whole numbers")
        groups = await _thread(
            self._session.suggest, request.path_params["key"], body["components"], body["sources"]
        )
        return _json({"groups": groups})

    async def stem(self, request: Request) -> Response:
        """Answer with the stem of one source, as one that is dragged out of the page wants it."""
        from starlette.responses import FileResponse

        made = await _thread(self._stem, request.path_params["key"])
        return FileResponse(made.path, filename=made.name, media_type="audio/wav")

    def _stem(self, key: str) -> deliver.Delivery:
        """Return the stem of a source; those of the others are made with it, and wait."""
        with self._lock:
            model, groups = self._present(), self._session.groups
            names = {group.id: group.name for group in groups if group.components} | {REST: REST}
            wanted = list(model.members({g.name: g.components for g in groups}))
            if names.get(key) not in wanted:
                raise UnknownIdError("there is no stem of this source")
            if self._single is None or self._single[0] != (model.id, groups):
                made = deliver.stem_files(
                    model, groups, self._session.folder, "wav", lambda *_: None
                )
                self._keep_deliveries(made)
                self._single = ((model.id, groups), made)
            return self._single[1][wanted.index(names[key])]

    async def commands(self, request: Request) -> Response:
        extension = request.query_params.get("format", "wav")
        if extension not in deliver.FORMATS:
            raise ParameterError("stems are exported as wav or flac")
        model, groups = self._present(), self._session.groups
        lines = deliver.commands(model, groups, extension)
        gains = self._session.arranged.mixed(request.query_params.getlist("silent"))
        told = {
            "lines": lines,
            "script": deliver.script(model, groups, extension),
            "remix": remix_commands(model, groups, gains, extension),
        }
        return _json(told)

    async def fetch(self, request: Request) -> Response:
        from starlette.responses import FileResponse

        delivery = self._deliveries.get(request.path_params["key"])
        if delivery is None:
            raise UnknownIdError("there is nothing with this id")
        return FileResponse(
            delivery.path, filename=delivery.name, media_type="application/octet-stream"
        )

    def _model(self, request: Request) -> Model:
        return self._session.models(request.path_params["key"])

    def _present(self) -> Model:
        if self._session.model is None:
            raise ParameterError("take a recording apart first")
        return self._session.model


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    """Yield the body of a request as long as it comes; what stands still is given up."""
    stream = request.stream().__aiter__()
    while True:
        try:
            yield await asyncio.wait_for(anext(stream), _STALLED_SECONDS)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise _StalledError("the rest of the request did not come") from error


def _refuse_large(value: Any) -> None:
    """Refuse numbers that are beyond any count or time of a page."""
    if isinstance(value, int | float) and abs(value) > _MAX_NUMBER:
        raise ValueError("a number is too large")
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return
    for item in value:
        _refuse_large(item)


def _index(text: str) -> int:
    """Return a whole number of an address; -1, which nothing has, where it is none."""
    return int(text) if len(text) <= _MAX_DIGITS and text.isascii() and text.isdigit() else -1


async def _thread(call: Callable[..., Any], *arguments: Any) -> Any:
    from starlette.concurrency import run_in_threadpool

    return await run_in_threadpool(call, *arguments)


async def _body(request: Request, fields: dict[str, type], *, more: bool = False) -> dict[str, Any]:
    """Return the JSON body, capped while it is read, with fields of the right types."""
    content = b""
    async for chunk in _chunks(request):
        content += chunk
        if len(content) > _MAX_JSON:
            raise _TooLargeError("the request is too large")
    try:
        body = json.loads(content)
        # Neither half a character nor a number that no answer could hold goes any further.
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        _refuse_large(body)
    except (ValueError, RecursionError) as error:
        raise ParameterError("the request is no JSON, or holds what no page sends") from error
    if not isinstance(body, dict) or not (more or set(body) == set(fields)):
        raise ParameterError(f"the request must hold {', '.join(fields)}")
    for name, kind in fields.items():
        _typed(body, name, kind)
    return body


def _typed(body: dict[str, Any], name: str, kind: type) -> Any:
    if type(body.get(name)) is not kind:
        raise ParameterError(f"the request needs {name!r}, of another type than it has")
    return body[name]


def _json(content: dict[str, Any], status: int = 200) -> Response:
    from starlette.responses import Response

    text = json.dumps(content, allow_nan=False)  # ASCII, whatever a name holds
    return Response(text.encode("ascii"), status, media_type="application/json")


def _file(content: bytes, kind: str) -> Response:
    from starlette.responses import Response

    return Response(content, headers={"content-type": kind})


def _binary(content: bytes, headers: dict[str, str] | None = None) -> Response:
    """Answer with bytes that a browser would save, never show."""
    from starlette.responses import Response

    disposition = {"content-disposition": "attachment", **(headers or {})}
    return Response(content, media_type="application/octet-stream", headers=disposition)


async def _block(sound: Callable[[int], tuple[bytes, float] | None], request: Request) -> Response:
    """Answer with a block of audio."""
    found = await _thread(sound, _index(request.path_params["index"]))
    if found is None:
        raise UnknownIdError("there is no such block")
    samples, scale = found
    return _binary(samples, {"x-full-scale": repr(scale)})


async def _not_found(_request: Request, _error: Exception) -> Response:
    return _json({"error": "there is nothing at this address"}, 404)


async def _not_allowed(_request: Request, _error: Exception) -> Response:
    return _json({"error": "that cannot be done with this address"}, 405)
