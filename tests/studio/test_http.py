"""The studio as a server: who may ask, what comes in, what goes out, what is left behind."""

import http.client
import io
import re
import signal
import socket
import stat
import zipfile

import httpx
import numpy as np
import pytest
import soundfile
from conftest import RATE, sound, tone, two_notes
from studio_server import finish, running

from audionmf.rendering.decomposition import Decomposition
from audionmf.sources.templates import Templates
from audionmf.spectra.stft import STFT

CAP = 1 << 20


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    home = tmp_path_factory.mktemp("studio")
    mix = sound(home / "mix <b>.wav", two_notes(2, 8000))
    example = sound(home / "low.wav", tone(330))
    with running(home / "tmp", mix, example, "--max-upload", "1") as server:
        yield server


@pytest.fixture(scope="module")
def client(studio):
    with studio.client() as made:
        yield made


@pytest.fixture(scope="module")
def analysed(client):
    """A client whose studio holds a model of five components, and its recording."""
    key = client.get("/api/state").json()["offered"][0]["id"]
    recording = client.post(f"/api/offered/{key}").raise_for_status().json()
    body = asked(recording["id"], components=5)
    ended = finish(client, client.post("/api/jobs", json=body))
    assert ended["outcome"] == "done", ended
    assert ended["divergence"][0] > ended["divergence"][-1]
    return recording["id"]


def asked(recording, **changes):
    """Return what a page sends to have a recording taken apart into components."""
    usual = {"result": "components", "components": 4, "free": 0, "number": 0, "kit": False}
    return {"kind": "analyse", "recording": recording, "sources": []} | usual | changes


def source(**changes):
    """Return what a page says of a source."""
    nothing = {"examples": [], "banks": [], "notes": None, "alone": [], "absent": []}
    return {"name": "a", "voice": False} | nothing | changes


def grouped(client, **changes):
    """Put the components into two sources; return the answer."""
    state = client.get("/api/state").json()
    sources = [
        {"id": "a", "name": "low", "colour": 0, "components": [0, 3]},
        {"id": "b", "name": "<img src>", "colour": 1, "components": [1]},
    ]
    body = {"version": state["version"], "model": state["model"]["id"], "marks": []}
    more = {"sources": sources, "gains": {}, "step": "do"}
    return client.put("/api/state", json=body | more | changes)


# who may ask


def test_it_listens_to_this_machine_alone(studio):
    assert studio.base.startswith("http://127.0.0.1:")
    with socket.socket() as other:
        other.settimeout(2)
        assert other.connect_ex(("127.0.0.2", studio.port)) != 0


def test_without_the_cookie_there_is_nothing(studio):
    with studio.client(entered=False) as stranger:
        for path in ("/", "/static/main.js", "/api/state", "/api/nothing"):
            assert stranger.get(path).status_code == 403
        assert stranger.get("/?token=wrong").status_code == 403
        assert stranger.post("/api/recordings?name=x.wav", content=b"RIFF").status_code == 403
        assert "audionmf_" not in str(stranger.cookies)


def test_the_token_is_exchanged_for_a_strict_cookie(studio):
    with studio.client(entered=False) as stranger:
        answer = stranger.get(studio.address)
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert "token" not in answer.text
        assert studio.address.partition("token=")[2] not in cookie
        assert stranger.get("/").status_code == 200
        assert stranger.get("/static/main.js").status_code == 200
        assert stranger.get("/favicon.ico").headers["content-type"] == "image/svg+xml"


def test_a_cookie_of_another_value_is_refused(studio):
    with studio.client(entered=False) as stranger:
        stranger.cookies.set(f"audionmf_{studio.port}", "0" * 43)
        assert stranger.get("/api/state").status_code == 403
        assert stranger.get("/api/state", headers={"cookie": "\x01=;=;"}).status_code == 403


@pytest.mark.parametrize("host", ["localhost:{}", "evil.example:{}", "127.0.0.1", "127.0.0.1:1"])
def test_another_host_is_refused(studio, client, host):
    answer = client.get("/api/state", headers={"host": host.format(studio.port)})
    assert answer.status_code == 421


def test_two_hosts_are_refused(studio):
    connection = http.client.HTTPConnection("127.0.0.1", studio.port, timeout=5)
    connection.putrequest("GET", "/", skip_host=True)
    connection.putheader("Host", f"127.0.0.1:{studio.port}")
    connection.putheader("Host", "evil.example")
    connection.endheaders()
    assert connection.getresponse().status in (400, 421)
    connection.close()


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1"])
def test_another_origin_is_refused(client, origin):
    assert client.get("/api/state", headers={"origin": origin}).status_code == 403
    answer = client.post("/api/jobs", json={}, headers={"origin": origin})
    assert answer.status_code == 403


def test_a_change_without_an_origin_is_refused(studio, client):
    with httpx.Client(base_url=studio.base, cookies=client.cookies) as plain:
        assert plain.get("/api/state").status_code == 200
        assert plain.post("/api/jobs", json={}).status_code == 403
        assert plain.delete("/api/jobs/x").status_code == 403


# what every answer says


def test_every_answer_has_the_headers_and_none_opens_it_to_other_pages(studio, client):
    with studio.client(entered=False) as stranger:
        answers = [
            client.get("/"),
            client.get("/static/main.js"),
            client.get("/api/state"),
            client.get("/api/nothing"),
            client.options("/api/state", headers={"access-control-request-method": "PUT"}),
            client.post("/api/jobs", content=b"{"),
            stranger.get("/"),
            stranger.get(studio.address),
            stranger.get("/", headers={"host": "evil.example"}),
        ]
    for answer in answers:
        headers = answer.headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-store"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "server" not in headers
        assert not [name for name in headers if name.startswith("access-control")]


def test_the_page_names_nothing_elsewhere(client):
    names = re.findall(r"/static/([\w.]+)", client.get("/").text)
    seen = set()
    while names:
        name = names.pop()
        if name in seen:
            continue
        seen.add(name)
        text = client.get(f"/static/{name}").raise_for_status().text
        links = re.findall(r"https?://[^\s'\"`)]+", text)
        assert set(links) <= {"http://www.w3.org/2000/svg"}, name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|eval\(|document\.write", text)
        names += re.findall(r"from '\./([\w.]+)'", text) + re.findall(r"/static/([\w.]+)", text)
    assert {"main.js", "mixer.js", "style.css", "icon.svg", "studio.js"} <= seen


@pytest.mark.parametrize(
    "name", ["../app.py", "..%2fapp.py", "%2fetc%2fpasswd", "app.py", "", "page", "main.js/../../x"]
)
def test_only_parts_of_the_page_are_served(client, name):
    assert client.get(f"/static/{name}").status_code in (404, 403)


# what comes in


def upload(client, content, name="note.wav"):
    return client.post("/api/recordings", params={"name": name}, content=content)


def test_an_upload_is_opened_and_its_name_is_text_only(client, tmp_path):
    content = sound(tmp_path / "a.wav", tone(440)).read_bytes()
    told = upload(client, content, "../../<script>x/../é.wav").raise_for_status().json()
    assert told["name"] == "é.wav"
    assert told["samples"] == 4000
    original = client.get(f"/api/recordings/{told['id']}/file")
    assert original.content == content
    assert original.headers["content-disposition"].startswith("attachment")
    wave = client.get(f"/api/recordings/{told['id']}/waveform")
    assert len(wave.content) == 2 * 4000
    assert upload(client, content, "a\x00b").status_code == 422
    assert upload(client, content, "n" * 300).status_code == 422


def test_the_cap_holds_before_anything_is_read_and_without_a_length(client, studio):
    def chunks():
        for _ in range(40):
            yield b"\0" * 65536

    declared = upload(client, b"\0" * (CAP + 1))
    assert declared.status_code == 413
    assert "1 MB" in declared.json()["error"]
    assert upload(client, chunks()).status_code == 413
    folder = next(studio.temporary.iterdir())
    assert not [p for p in folder.iterdir() if p.stat().st_size > CAP]


def test_the_cap_refuses_a_declared_length_before_the_body_comes(studio, client):
    connection = http.client.HTTPConnection("127.0.0.1", studio.port, timeout=5)
    connection.putrequest("POST", "/api/recordings?name=x.wav")
    connection.putheader("Origin", studio.base)
    connection.putheader("Cookie", "; ".join(f"{k}={v}" for k, v in client.cookies.items()))
    connection.putheader("Content-Length", str(1 << 40))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_what_is_no_audio_is_refused_without_a_path(client, studio):
    answer = upload(client, b"RIFF\0\0\0\0WAVEjunk", "take.wav")
    assert answer.status_code == 422
    assert "take.wav" in answer.json()["error"]
    assert str(studio.temporary) not in answer.text
    assert "Traceback" not in answer.text
    for name, promised in (("a.audionmf", "project"), ("b.NPZ", "bank"), ("c.mid", "score")):
        error = upload(client, b"something else", name).json()["error"]
        assert error.startswith(f"'{name}' is no {promised}")


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"kind": "dance"},
        {"kind": "analyse"},
        asked(5),
        asked("{}", components=1),
        asked("{}", components=999),
        asked("{}", components=True),
        asked("{}", result="?"),
        asked("{}", kit=True),
        asked("{}", result="stems", number=99),
        asked("{}", result="stems", free=-1),
        asked("{}", sources=[{"name": "a"}]),
        asked("{}", sources=[source()]),
        asked("{}", sources=[source(name="a=b", alone=[[0, 1]])]),
        asked("{}", sources=[source(alone=[[0.5, 0.2]])]),
        asked("{}", sources=[source(alone=[[0, 1e9]])]),
        asked("{}", sources=[source(alone="x")]),
        asked("{}", sources=[source(voice=True)]),
        asked("{}", sources=[source(name=n, alone=[[0, 0.3]]) for n in "aA"]),
        asked("{}", components=40, sources=[source(name=n, alone=[[0, 0.3]]) for n in "ab"]),
        {"kind": "export", "what": "secrets", "format": "wav"},
        {"kind": "export", "what": "stems", "format": "exe"},
        {"kind": "refine", "version": "1"},
    ],
)  # fmt: skip
def test_bad_values_are_422(client, analysed, body):
    if isinstance(body, dict) and body.get("recording") == "{}":
        body = body | {"recording": analysed}
    answer = client.post("/api/jobs", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b'"x"'])
def test_a_body_that_is_no_json_is_422(client, content):
    assert client.put("/api/state", content=content).status_code == 422


@pytest.mark.parametrize(
    "content",
    [
        rb'{"version": 1, "model": "\ud800", "sources": [], "marks": [], "gains": {}, "step": "do"}',
        rb'{"version": 1, "model": "m", "sources": [{"id": "\udc00"}], "marks": [], "gains": {}, '
        rb'"step": "do"}',
        b'{"gains": {}, "step": "do", "version": 1, "model": "m", "sources": [], "marks": [1'
        + b"0" * 5000
        + b"]}",
        b'{"gains": {}, "step": "do", "version": 1, "model": "m", "sources": [], "marks": [1'
        + b"0" * 400
        + b"]}",
        b'{"version": 1, "model": "m", "sources": [], "marks": [NaN], "gains": {}, "step": "do"}',
        b'{"version": 1, "model": "m", "sources": [], "marks": [1e999], "gains": {}, "step": "do"}',
    ],
    ids=["half", "other half", "5000 digits", "400 digits", "nan", "infinity"],
)
def test_half_a_character_and_endless_numbers_are_422(client, content):
    answer = client.put("/api/state", content=content)
    assert answer.status_code == 422
    assert "error" in answer.json()


def test_an_id_with_half_a_character_leaves_the_studio_as_it_was(client, analysed):
    state = client.get("/api/state").json()
    source = r'{"id": "\ud800", "name": "x", "colour": 0, "components": [0]}'
    body = (
        f'{{"version": {state["version"]}, "model": "{state["model"]["id"]}", '
        f'"marks": [], "sources": [{source}], "gains": {{}}, "step": "do"}}'
    )
    assert client.put("/api/state", content=body.encode()).status_code == 422
    again = client.get("/api/state")
    assert again.status_code == 200
    assert again.json() == state


@pytest.mark.parametrize("number", ["9" * 5000, "9" * 19, "\u00b2", "\u0664", "-1", "x"])
def test_an_endless_number_in_an_address_names_nothing(client, analysed, number):
    model = client.get("/api/state").json()["model"]["id"]
    for path in (
        f"/api/models/{model}/audio/{number}",
        f"/api/recordings/{analysed}/audio/{number}",
        f"/api/recordings/{analysed}/tiles/{number}/0",
        f"/api/recordings/{analysed}/tiles/0/{number}",
    ):
        assert client.get(path).status_code == 404, path
    assert client.get(f"/api/jobs/none?since={number}").status_code == 404


def test_an_endless_length_is_refused_before_the_body_comes(client, studio):
    with socket.create_connection(("127.0.0.1", studio.port), 10) as raw:
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        raw.sendall(
            f"POST /api/recordings?name=a HTTP/1.1\r\nHost: 127.0.0.1:{studio.port}\r\n"
            f"Origin: {studio.base}\r\nCookie: {cookie}\r\n"
            f"Content-Length: {'9' * 19}\r\n\r\n".encode()
        )
        assert raw.recv(100).startswith(b"HTTP/1.1 413")


def test_a_request_that_is_too_large_is_413(client):
    assert client.put("/api/state", content=b" " * (1 << 19)).status_code == 413


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/offered/x"),
        ("GET", "/api/recordings/x/waveform"),
        ("GET", "/api/recordings/x/file"),
        ("GET", "/api/recordings/x/tiles/0/0"),
        ("GET", "/api/recordings/x/audio/0"),
        ("GET", "/api/recordings/{}/audio/99"),
        ("GET", "/api/recordings/{}/tiles/99/0"),
        ("GET", "/api/recordings/{}/tiles/0/99"),
        ("GET", "/api/recordings/..%2f..%2fetc%2fpasswd/file"),
        ("GET", "/api/jobs/x"),
        ("DELETE", "/api/jobs/x"),
        ("GET", "/api/models/x/templates"),
        ("GET", "/api/models/x/activations"),
        ("GET", "/api/models/x/audio/0"),
        ("GET", "/api/deliveries/x"),
        ("GET", "/api/given/x/file"),
        ("GET", "/api/stems/x"),
        ("DELETE", "/api/queue/x"),
        ("GET", "/api/nothing"),
    ],
)
def test_a_foreign_id_is_404(client, analysed, method, path):
    answer = client.request(method, path.replace("{}", analysed))
    assert answer.status_code == 404
    assert answer.json()["error"]


def test_another_method_is_405(client):
    assert client.delete("/api/state").status_code == 405


# what a page does


def test_a_stale_tab_is_409(client, analysed):
    before = client.get("/api/state").json()["version"]
    assert grouped(client).status_code == 200
    stale = grouped(client, version=before)
    assert stale.status_code == 409
    assert client.get("/api/state").json()["sources"][1]["name"] == "<img src>"
    assert client.post("/api/jobs", json={"kind": "refine", "version": before}).status_code == 409
    tried = client.post("/api/jobs", json={"kind": "try", "version": before})
    assert (tried.status_code, tried.json()["outcome"]) == (200, "stopped")  # it gives way
    assert client.post("/api/close", json={"version": before}).status_code == 409


@pytest.mark.parametrize(
    "sources",
    [
        [{"id": "a", "name": "x", "colour": 0, "components": [0, 9]}],
        [{"id": "a", "name": "x", "colour": 0, "components": [-1]}],
        [{"id": "a", "name": "x", "colour": 99, "components": []}],
        [{"id": "a", "name": "", "colour": 0, "components": []}],
        [{"id": "a", "name": "rest", "colour": 0, "components": []}],
        [{"id": "a", "name": "x\n", "colour": 0, "components": ["0"]}],
        [{"id": "a", "name": "x", "colour": 0}],
        [{"id": n, "name": "x", "colour": 0, "components": []} for n in "ab"],
        [{"id": n, "name": n, "colour": 0, "components": [0]} for n in "ab"],
        ["x"],
    ],
)
def test_sources_that_make_no_sense_are_422(client, analysed, sources):
    assert grouped(client, sources=sources).status_code == 422


@pytest.mark.parametrize(
    "change", [{"end": 0}, {"source": "zz"}, {"low": "1"}, {"strength": 1e9}, {"more": 1}]
)
def test_marks_that_make_no_sense_are_422(client, analysed, change):
    mark = {
        "source": "a", "belongs": True, "start": 0.1, "end": 0.4, "low": 100, "high": 900,
        "strength": 10,
    }  # fmt: skip
    assert grouped(client, marks=[mark | change]).status_code == 422
    assert grouped(client, marks=[mark]).status_code == 200


def test_pictures_and_sounds_come_as_attachments(client, analysed):
    state = client.get("/api/state").json()
    model, picture = state["model"], state["spectrogram"]
    tile = client.get(f"/api/recordings/{analysed}/tiles/0/0")
    assert len(tile.content) == picture["rows"] * min(picture["tile"], picture["columns"][0])
    templates = client.get(f"/api/models/{model['id']}/templates")
    assert len(templates.content) == 4 * 5 * picture["rows"]
    activations = client.get(f"/api/models/{model['id']}/activations")
    assert len(activations.content) == 4 * 5 * model["frames"]
    block = client.get(f"/api/models/{model['id']}/audio/0")
    assert len(block.content) == 2 * 5 * 2 * model["block"] == 5 * 2 * RATE // 2
    whole = client.get(f"/api/recordings/{analysed}/audio/0")
    assert len(whole.content) == 2 * 2 * model["block"]
    for answer in (tile, templates, activations, block, whole):
        assert answer.headers["content-disposition"] == "attachment"
        assert answer.headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize("few", [[3], [4, 0]])
def test_a_few_components_sound_as_they_do_among_all(client, analysed, few):
    """They come sooner alone, before all the others do."""
    model = client.get("/api/state").json()["model"]
    block = int(model["components"][few[0]]["loudest"] * RATE / model["block"])
    address = f"/api/models/{model['id']}/audio/{block}"
    every, asked = client.get(address), client.get(f"{address}?parts={','.join(map(str, few))}")
    sounds = [
        np.frombuffer(answer.content, "<i2").reshape(-1, 2 * model["block"])
        * (float(answer.headers["x-full-scale"]) / 32767)
        for answer in (every, asked)
    ]
    assert len(sounds[1]) == len(few)
    assert np.abs(sounds[0][few]).max() > 1e-3
    assert np.abs(sounds[1] - sounds[0][few]).max() < 1e-4


@pytest.mark.parametrize("few", ["5", "-1", "", "0,x", "0,,1", "1e3", "9" * 30, "0," * 99])
def test_components_that_there_are_not_are_422(client, analysed, few):
    model = client.get("/api/state").json()["model"]["id"]
    assert client.get(f"/api/models/{model}/audio/0?parts={few}").status_code == 422


def test_one_job_at_a_time_and_a_stop_button(client, analysed, tmp_path):
    noise = np.random.default_rng(0).normal(0, 0.1, 60 * RATE)
    long = upload(client, sound(tmp_path / "long.wav", noise).read_bytes()).json()
    body = asked(long["id"], components=64)
    job = client.post("/api/jobs", json=body)
    assert client.post("/api/jobs", json=body).status_code == 409
    mark = {"source": "a", "belongs": True, "start": 0.1, "end": 0.5, "low": 100, "high": 900}
    grouped(client, marks=[mark | {"strength": 10}]).raise_for_status()
    now = client.get("/api/state").json()["version"]
    tried = client.post("/api/jobs", json={"kind": "try", "version": now})
    assert (tried.status_code, tried.json()["outcome"]) == (200, "stopped")
    assert client.delete(f"/api/jobs/{job.json()['id']}").status_code == 202
    assert finish(client, job)["outcome"] == "stopped"
    model = client.get("/api/state").json()["model"]
    assert len(model["components"]) == 5


def exported(client, what, form="wav"):
    body = {"kind": "export", "what": what, "format": form}
    ended = finish(client, client.post("/api/jobs", json=body))
    assert ended["outcome"] == "done", ended
    answer = client.get(f"/api/deliveries/{ended['result']['id']}").raise_for_status()
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["content-type"] == "application/octet-stream"
    return answer.content


@pytest.mark.parametrize("form", ["wav", "flac"])
def test_exported_stems_sum_to_the_recording(client, analysed, form):
    grouped(client)
    with zipfile.ZipFile(io.BytesIO(exported(client, "stems", form))) as archive:
        stems = {
            name.rpartition("/")[2]: soundfile.read(io.BytesIO(archive.read(name)))[0]
            for name in archive.namelist()
        }
    assert set(stems) == {f"low.{form}", f"_img src_.{form}", f"rest.{form}"}
    mixture = np.round(two_notes(2, 8000).T * 32768) / 32768
    assert np.abs(sum(stems.values()) - mixture).max() < 4 / 32768


def test_one_stem_is_the_one_of_the_archive(client, analysed):
    grouped(client).raise_for_status()
    body = {"kind": "export", "what": "stems", "format": "wav"}
    told = finish(client, client.post("/api/jobs", json=body))["result"]
    with zipfile.ZipFile(io.BytesIO(client.get(f"/api/deliveries/{told['id']}").content)) as made:
        stems = {name.rpartition("/")[2]: made.read(name) for name in made.namelist()}
    for key in ("a", "rest"):
        answer = client.get(f"/api/stems/{key}").raise_for_status()
        name = "low.wav" if key == "a" else "rest.wav"
        assert name in answer.headers["content-disposition"]
        assert answer.content == stems[name]
    assert client.get("/api/stems/nobody").status_code == 404


def test_an_exported_bank_and_model_open_again(client, analysed, tmp_path):
    grouped(client)
    for what, kind in (("bank", Templates), ("model", Decomposition)):
        path = tmp_path / f"{what}.npz"
        path.write_bytes(exported(client, what))
        opened = kind.load(path)
        if what == "bank":
            assert opened.labels == ("low", "<img src>", "low")
        else:
            assert opened.grouping == {"low": (0, 3), "<img src>": (1,), "rest": (2, 4)}
            assert opened.mixture.path.endswith("mix <b>.wav")


def test_a_bank_that_is_sent_twice_is_one(client, studio, tmp_path):
    """Of the same name and bytes; no second copy of it stays."""
    W = np.eye(65, 2, dtype=np.float32)
    first, other = (
        Templates(W, labels, STFT(128, 32), RATE) for labels in (("a", "b"), ("a", "c"))
    )
    held, changed = (
        bank.save(tmp_path / f"{k}.npz").read_bytes() for k, bank in enumerate((first, other))
    )
    folder = next(studio.temporary.iterdir())
    told = upload(client, held, "bank.npz").raise_for_status().json()
    n_files = len(list(folder.iterdir()))
    assert upload(client, held, "bank.npz").raise_for_status().json() == told
    assert len(list(folder.iterdir())) == n_files
    for content, name in ((held, "another.npz"), (changed, "bank.npz")):
        assert upload(client, content, name).raise_for_status().json()["id"] != told["id"]


def test_exported_notes_are_those_of_the_components(client, analysed):
    grouped(client)
    assert exported(client, "midi").startswith(b"MThd")
    labels = exported(client, "labels").decode().splitlines()
    assert labels
    assert all(len(line.split("\t")) == 3 for line in labels)


def test_the_notes_of_the_sources_come_as_a_roll(client, analysed):
    grouped(client)
    ended = finish(client, client.post("/api/jobs", json={"kind": "notes"}))
    assert ended["outcome"] == "done", ended
    rolls = ended["result"]["rolls"]
    assert set(rolls) == {"low", "<img src>", "rest"}
    notes = [note for rows in rolls.values() for note in rows]
    assert notes
    for onset, offset, key, velocity, drum, name in notes:
        assert 0 <= onset < offset <= 1.1
        assert 0 <= key <= 127
        assert 1 <= velocity <= 127
        assert type(drum) is bool
        assert name


# what is left behind


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_temporary_folder_is_private_and_gone_at_the_end(tmp_path, number, code):
    mix = sound(tmp_path / "mix.wav", two_notes(1, 80_000))
    with running(tmp_path / "tmp", mix) as server:
        folder = next(server.temporary.glob("audionmf-studio-*"))
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        with server.client() as client:
            state = client.get("/api/state").json()
            upload(client, mix.read_bytes()).raise_for_status()
            body = asked(state["recording"], components=40)
            client.post("/api/jobs", json=body).raise_for_status()
        status, errors = server.end(number)
        assert status == code
        assert "Traceback" not in errors
        assert not list(server.temporary.iterdir())


def test_a_taken_port_and_a_missing_file_are_said_in_a_line(studio, run, tmp_path):
    code, _, error = run("studio", "--no-browser", "--port", studio.port)
    assert code == 4
    assert f"port {studio.port}" in error
    assert run("studio", "--no-browser", tmp_path / "none.wav")[0] == 3
    assert run("studio", "--no-browser", "--port", "99999")[0] == 2
    assert run("studio", "--no-browser", "--max-upload", "0")[0] == 2
