"""Attacks on the studio as bytes: what HTTP leaves open, what servers disagree on, what proxies do."""

import contextlib
import email.message
import os
import socket

import pytest
from conftest import sound, two_notes
from studio_server import running

INSIDE = "sources"
"""A word of every answer that tells the state."""

_SILENCE_SECONDS = 0.1
"""After which nothing more follows on an answer; a first one may take longer."""


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    home = tmp_path_factory.mktemp("studio")
    mix = sound(home / "mix.wav", two_notes(1, 8000))
    second = sound(home / "second.wav", two_notes(1, 8000))
    with running(home / "tmp", mix, second, "--max-upload", "1") as server:
        server.files = {"second": second}
        yield server


@pytest.fixture(scope="module")
def client(studio):
    with studio.client() as made:
        yield made


@pytest.fixture
def ask(studio, client):
    """Send bytes as they are; return what comes back until the server closes or falls silent."""
    cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    fields = {
        "HOST": f"Host: 127.0.0.1:{studio.port}\r\n",
        "COOKIE": f"Cookie: {cookie}\r\n",
        "ORIGIN": f"Origin: {studio.base}\r\n",
    }

    def call(text, seconds=0.5):
        content = text if isinstance(text, bytes) else text.encode("latin-1")
        for name, field in fields.items():
            content = content.replace(name.encode() + b"|", field.encode())
        with socket.create_connection(("127.0.0.1", studio.port), seconds) as raw:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                raw.sendall(content)
            got = b""
            with contextlib.suppress(TimeoutError, ConnectionResetError):
                while part := raw.recv(1 << 16):
                    got += part
                    raw.settimeout(_SILENCE_SECONDS)
            return got

    yield call
    assert client.get("/api/state").status_code == 200  # the studio goes on


def statuses(answer):
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


# where one request ends and the next begins


@pytest.mark.parametrize(
    "framing",
    [
        "Content-Length: 4\r\nContent-Length: 44\r\n",
        "Content-Length: 4, 44\r\n",
        "Content-Length: +4\r\n",
        "Content-Length: 4_0\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: \xb2\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer\x0b-Encoding: chunked\r\n",
        "X: a\0b\r\n",
        "X: a\rTransfer-Encoding: chunked\r\n",
        ": empty\r\n",
        "no colon\r\n",
    ],
)
def test_a_length_that_can_be_read_in_two_ways_is_refused(ask, framing):
    hidden = "GET /api/state HTTP/1.1\r\nHOST|COOKIE|\r\n"
    answer = ask(f"PUT /api/state HTTP/1.1\r\nHOST|COOKIE|ORIGIN|{framing}\r\n0\r\n\r\n{hidden}")
    assert statuses(answer) in ([400], [501])
    assert INSIDE.encode() not in answer


def test_a_request_that_hides_in_a_body_is_not_answered(ask):
    """With both framings chunks count, and the connection is not used again."""
    hidden = "GET /api/state HTTP/1.1\r\nHOST|COOKIE|\r\n"
    both = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"
    body = f"{len(hidden):x}\r\n{hidden}\r\n0\r\n\r\n"
    answer = ask(f"PUT /api/state HTTP/1.1\r\nHOST|COOKIE|ORIGIN|{both}\r\n{body}")
    assert INSIDE.encode() not in answer
    assert statuses(answer) in ([400], [422])


@pytest.mark.parametrize("chunk", ["-1\r\n", "zz\r\n", "f" * 17 + "\r\n", "5;" + "a" * 70_000])
def test_a_chunk_that_is_none_is_refused(ask, chunk):
    head = "PUT /api/state HTTP/1.1\r\nHOST|COOKIE|ORIGIN|Transfer-Encoding: chunked\r\n\r\n"
    assert statuses(ask(head + chunk))[:1] in ([400], [422], [413], [])


def test_each_request_of_a_connection_is_asked_who_it_is(ask):
    known = "GET /api/alive HTTP/1.1\r\nHOST|COOKIE|\r\n"
    stranger = "GET /api/state HTTP/1.1\r\nHOST|\r\n"
    elsewhere = "GET /api/state HTTP/1.1\r\nHost: evil.example\r\nCOOKIE|\r\n"
    assert statuses(ask(known + stranger + elsewhere)) == [200, 403, 421]


# addresses


@pytest.mark.parametrize(
    "target",
    ["http://evil.example/api/state", "//evil.example/api/state", "*", "api/state", "/api/state#x",
     "/api//state", "/api/./state", "/x/../api/state", "/api/state\\", "/api/state/"],
)  # fmt: skip
def test_only_a_plain_path_is_an_address(ask, target):
    answer = ask(f"GET {target} HTTP/1.1\r\nHOST|COOKIE|\r\n")
    assert statuses(answer)[0] in (307, 400, 404)
    assert INSIDE.encode() not in answer
    assert b"evil.example/api/state\r\n" not in answer


@pytest.mark.parametrize(
    "path",
    [
        "/static/..%2f..%2fapp.py", "/static/%2e%2e/app.py", "/static/....//app.py",
        "/static/%2fetc%2fpasswd", "/static/main.js%00.svg", "/static/..%5capp.py",
        "/static/%c0%ae%c0%ae%c0%afapp.py", "/api/recordings/..%2f..%2fetc%2fpasswd/file",
        "/api/recordings/%2fetc%2fpasswd/waveform", "/api/recordings/%00/file",
        "/api/models/..%2fx/templates", "/api/deliveries/..%2f..%2fetc%2fpasswd",
        "/api/deliveries/%2e%2e", "/api/jobs/..%2fstate", "/api/recordings/%ed%a0%80/file",
        "/api/recordings/" + "a" * 3000 + "/file", "/static/__proto__",
        "/api/models/constructor/audio/0",
    ],
)  # fmt: skip
def test_no_path_leads_out_of_the_ids(ask, path):
    answer = ask(f"GET {path} HTTP/1.1\r\nHOST|COOKIE|\r\n")
    assert statuses(answer) == [404]
    assert b"root:" not in answer
    assert b"import" not in answer


# methods, protocols, proxies


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PATCH", "PROPFIND", "get", "OPTIONS"])
def test_no_other_method_is_answered_nor_a_header_told_back(ask, method):
    answer = ask(f"{method} /api/state HTTP/1.1\r\nHOST|COOKIE|ORIGIN|X-Secret: tell\r\n\r\n")
    assert statuses(answer)[0] in (400, 405)
    assert b"tell" not in answer
    assert b"audionmf_" not in answer


def test_a_preflight_of_another_page_is_refused_and_promised_nothing(ask):
    asked = "Access-Control-Request-Method: PUT\r\nAccess-Control-Request-Private-Network: true\r\n"
    answer = ask(
        f"OPTIONS /api/state HTTP/1.1\r\nHOST|COOKIE|Origin: http://evil.example\r\n{asked}\r\n"
    )
    assert statuses(answer) == [403]
    assert b"access-control" not in answer.lower()


@pytest.mark.parametrize(
    "upgrade",
    ["Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
     "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
     "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"],
    ids=["websocket", "h2c"],
)  # fmt: skip
def test_no_other_protocol_is_spoken(ask, upgrade):
    answer = ask(f"GET /api/nothing HTTP/1.1\r\nHOST|COOKIE|ORIGIN|{upgrade}\r\n")
    assert statuses(answer) == [404]
    assert b"101 " not in answer


@pytest.mark.parametrize(
    "sent", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
             b"GET /\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
             b"\0" * 100, b"SSH-2.0-x\r\n\r\n"],
)  # fmt: skip
def test_what_is_no_request_of_this_protocol_is_refused(ask, sent):
    found = statuses(ask(sent))
    assert found
    assert set(found) <= {400, 421}


@pytest.mark.parametrize(
    "claim",
    ["X-Forwarded-Host: {}", "Forwarded: host={}", "X-Original-URL: /api/state",
     "X-Forwarded-For: 127.0.0.1\r\nX-Real-IP: 127.0.0.1", "X-Host: {}"],
)  # fmt: skip
def test_what_a_proxy_would_say_counts_for_nothing(studio, ask, claim):
    said = claim.format(f"127.0.0.1:{studio.port}")
    answer = ask(f"GET /api/state HTTP/1.1\r\nHost: evil.example\r\nCOOKIE|{said}\r\n\r\n")
    assert statuses(answer) == [421]
    answer = ask(f"GET / HTTP/1.1\r\nHOST|{said}\r\n\r\n")
    assert statuses(answer) == [403]


def test_a_header_does_not_change_the_method(ask):
    answer = ask("GET /api/close HTTP/1.1\r\nHOST|COOKIE|X-HTTP-Method-Override: POST\r\n\r\n")
    assert statuses(answer) == [405]


# forms of other pages, cookies, tokens


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_a_form_of_another_page_changes_nothing(client, studio, kind):
    before = client.get("/api/state").json()
    for origin in ({}, {"origin": "null"}, {"origin": f"{studio.base}.evil.example"}):
        with studio.client(entered=False) as plain:
            plain.headers.pop("origin")
            plain.cookies.update(client.cookies)
            answer = plain.post(
                "/api/close", content=b'{"version": 0}', headers={"content-type": kind, **origin}
            )
        assert answer.status_code == 403
    assert client.get("/api/state").json() == before


@pytest.mark.parametrize(
    "cookies",
    ["Cookie: {name}={value}x", "Cookie: {name}=", "Cookie: {name}", "Cookie: {other}={value}",
     "Cookie: " + "a=b; " * 5000, "Cookie: {name}=\"{value}; Path=/", "Cookie: $Version=1; {name}=x",
     "Cookie: {name}={value}\r\nCookie: {name}=x"],
)  # fmt: skip
def test_a_cookie_that_is_nearly_right_opens_nothing(client, ask, cookies):
    [(name, value)] = client.cookies.items()
    sent = cookies.format(name=name, value=value, other=name.upper())
    answer = ask(f"GET /api/state HTTP/1.1\r\nHOST|{sent}\r\n\r\n")
    assert statuses(answer) in ([403], [400])
    assert INSIDE.encode() not in answer


@pytest.mark.parametrize(
    "query",
    ["token=", "token", "token=%00", "token=%ff%fe", "token=%ed%a0%80", "Token={}", "token={}x",
     "token=%20{}", "token=x&token={}", ";token={}", "token[]={}", "a=b&" * 9000 + "token=x"],
)  # fmt: skip
def test_a_token_that_is_nearly_right_opens_nothing(studio, ask, query):
    token = studio.address.partition("token=")[2]
    answer = ask(f"GET /?{query.format(token)} HTTP/1.1\r\nHOST|\r\n")
    assert statuses(answer) in ([403], [431])
    assert b"set-cookie" not in answer.lower()


@pytest.mark.parametrize("path", ["/?token=wrong", "/", "/api/state", "/static/main.js"])
def test_no_answer_is_kept_or_tells_an_address_on(studio, client, path):
    with studio.client(entered=False) as stranger:
        for answer in (client.get(path), stranger.get(path), client.get(studio.address)):
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert answer.headers["cross-origin-opener-policy"] == "same-origin"
            assert studio.address.partition("token=")[2] not in answer.text
            assert "server" not in answer.headers


# sizes and numbers of what comes


@pytest.mark.parametrize(
    "head",
    ["X: " + "a" * 70_000 + "\r\n", "".join(f"X{i}: a\r\n" for i in range(10_000)),
     "X: a\r\n" + " folded\r\n" * 20_000],
    ids=["one long", "many", "folded"],
)  # fmt: skip
def test_endless_headers_are_refused(ask, head):
    answer = ask(f"GET /api/state HTTP/1.1\r\nHOST|COOKIE|{head}\r\n")
    assert statuses(answer) in ([400], [431])
    assert INSIDE.encode() not in answer


def test_an_endless_address_is_refused(ask):
    answer = ask(f"GET /api/state?{'a' * 90_000} HTTP/1.1\r\nHOST|COOKIE|\r\n")
    assert statuses(answer) in ([400], [431])


def test_hundreds_of_connections_stop_nobody_for_long(studio, client):
    with contextlib.ExitStack() as held:
        for _ in range(300):
            held.enter_context(socket.create_connection(("127.0.0.1", studio.port), 10))
        with studio.client(entered=False) as late:
            assert late.get("/api/alive").status_code in (403, 503)
    with studio.client() as after:
        assert after.get("/api/state").status_code == 200


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "x-lzma"])
def test_a_packed_body_is_never_unpacked(client, coding):
    import zlib

    bomb = zlib.compress(b"[" * 50_000_000, 9)
    assert len(bomb) < 1 << 17
    headers = {"content-encoding": coding}
    assert client.put("/api/state", content=bomb, headers=headers).status_code == 422


def test_what_is_said_twice_is_not_taken_for_two_things(client):
    state = client.get("/api/state").json()
    body = f'{{"version": {state["version"]}, "version": {state["version"] + 7}}}'
    assert client.post("/api/close", content=body.encode()).status_code == 409


# files


@pytest.fixture
def second(client):
    """The file of a recording that is open."""
    [offered] = [f for f in client.get("/api/state").json()["offered"] if f["name"] == "second.wav"]
    told = client.post(f"/api/offered/{offered['id']}").raise_for_status().json()
    return f"/api/recordings/{told['id']}/file"


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        ("bytes=0-3", 206), ("bytes=" + ",".join(["0-0"] * 5000), 200), ("bytes=9999999-", 416),
        ("bytes=-1-", 400), ("bytes=5-2", 400), ("bytes=0-" + "9" * 5000, 400), ("lines=0-1", 400),
        ("bytes=\xb2-", 400), ("bytes", 400),
    ],
)  # fmt: skip
def test_a_part_of_a_file_is_in_it_and_cheap(client, second, ranges, expected):
    answer = client.get(second, headers={"range": ranges.encode("latin-1")})
    assert answer.status_code in ({400, 416, 200, 206} if expected == 400 else {expected})
    assert len(answer.content) <= 8000 * 2 + 1000
    assert answer.elapsed.total_seconds() < 2
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "name", ['x".wav', "x\r\nSet-Cookie: a=b.wav", "../../x.wav", "C:\\x.wav", "x;filename=evil.exe",
             "\u202ewav.exe", "é\u0301.wav", "x" * 201, "", ".", "CON", "<script>.wav"],
)  # fmt: skip
def test_a_name_of_an_upload_stays_a_name(client, studio, name):
    content = studio.files["second"].read_bytes()
    answer = client.post("/api/recordings", params={"name": name}, content=content)
    if answer.status_code == 422:
        return
    told = answer.raise_for_status().json()
    got = client.get(f"/api/recordings/{told['id']}/file")
    assert got.content == content
    assert "set-cookie" not in got.headers
    header = email.message.Message()
    header["content-disposition"] = got.headers["content-disposition"]
    assert header.get_content_disposition() == "attachment"
    assert "/" not in (header.get_filename() or "").replace("%2F", "/")


@pytest.mark.parametrize("what", ["pipe", "device", "folder", "gone", "loop"])
def test_a_file_that_became_something_else_is_refused_at_once(client, studio, second, what):
    path = studio.files["second"]
    content = path.read_bytes()
    [offered] = [f for f in client.get("/api/state").json()["offered"] if f["name"] == "second.wav"]
    path.unlink()
    become = {
        "pipe": lambda: os.mkfifo(path),
        "device": lambda: path.symlink_to("/dev/zero"),
        "folder": path.mkdir,
        "gone": lambda: None,
        "loop": lambda: path.symlink_to(path),
    }
    try:
        become[what]()
        answer = client.post(f"/api/offered/{offered['id']}")
        assert answer.status_code == 422
        assert str(path.parent) not in answer.text
        assert client.get(second).status_code == 422
        assert client.get("/api/state").status_code == 200
    finally:
        if what == "folder":
            path.rmdir()
        path.unlink(missing_ok=True)
        path.write_bytes(content)


def test_an_upload_that_breaks_off_leaves_no_file(studio, client):
    home = next(studio.temporary.glob("audionmf-studio-*"))
    client.get("/api/state")
    before = sorted(os.listdir(home))  # noqa: PTH208
    cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    with socket.create_connection(("127.0.0.1", studio.port), 5) as raw:
        raw.sendall(
            f"POST /api/recordings?name=a HTTP/1.1\r\nHost: 127.0.0.1:{studio.port}\r\n"
            f"Origin: {studio.base}\r\nCookie: {cookie}\r\nContent-Length: 9999\r\n\r\nRIFF".encode()
        )
    for _ in range(200):
        client.get("/api/alive")
        if sorted(os.listdir(home)) == before:  # noqa: PTH208
            break
    assert sorted(os.listdir(home)) == before  # noqa: PTH208
