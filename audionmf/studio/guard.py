"""Who may ask, and what every answer says: a thin layer around the application.

A page elsewhere can make a browser send requests to this machine; it cannot make it send them with
the right ``Host`` (DNS rebinding), with the right ``Origin``, or with a cookie that is
``SameSite=Strict``. All three are asked for. The token in the address is exchanged for the cookie,
so that it does not stay in the address.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

__all__ = ["HEADERS", "Guard"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "worker-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""Headers of every answer, errors included."""

_SAFE = ("GET", "HEAD")
_MAX_HEAD = 1 << 15
_ENTRY = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>audionmf studio</title>
<meta http-equiv="refresh" content="0; url=/"><p><a href="/">Open the studio</a></p></html>
"""
_REFUSED = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>audionmf studio</title>
<p>Open the studio with the whole address that the terminal printed.</p></html>
"""


class Guard:
    """Lets requests of the one page through.

    Parameters
    ----------
    application : ASGI application
        What is guarded.
    authority : str
        The only right ``Host``, such as ``127.0.0.1:8765``.
    token : str
        What the address must hold once.
    """

    def __init__(self, application: Application, authority: str, token: str) -> None:
        self._application = application
        self._authority, self._token = authority, token
        self._passes: dict[str, Callable[[], None]] = {}
        self._secret = secrets.token_urlsafe(32)
        # Cookies are shared by all ports of a host: the name keeps studios apart.
        self._cookie = f"audionmf_{authority.rpartition(':')[2]}"

    def pass_once(self, used: Callable[[], None]) -> str:
        """Return a token that stands for the other one a single time; `used` is called then."""
        token = secrets.token_urlsafe(24)
        self._passes[token] = used
        return token

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [
                    (name, value)
                    for name, value in message["headers"]
                    if name.decode("latin-1").lower() not in HEADERS
                ]
                ours = [(k.encode(), v.encode()) for k, v in HEADERS.items()]
                message = {**message, "headers": [*kept, *ours]}
            await send(message)

        headers = {name.decode("latin-1"): value for name, value in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal:
            await _answer(send_with_headers, *refusal)
        elif self._is_entry(scope):
            cookie = f"{self._cookie}={self._secret}; Path=/; HttpOnly; SameSite=Strict"
            await _answer(send_with_headers, 200, _ENTRY, cookie)
        elif not self._known(headers):
            await _answer(send_with_headers, 403, _REFUSED)
        else:
            await self._application(scope, receive, send_with_headers)

    def _refusal(self, scope: Message, headers: dict[str, bytes]) -> tuple[int, str] | None:
        fields = sum(len(name) + len(value) + 4 for name, value in scope["headers"])
        if fields + len(scope["raw_path"]) + len(scope["query_string"]) > _MAX_HEAD:
            return 431, _REFUSED
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if hosts != [self._authority.encode()]:
            return 421, _REFUSED
        origin = headers.get("origin")
        expected = f"http://{self._authority}".encode()
        if origin != expected and (origin is not None or scope["method"] not in _SAFE):
            return 403, _REFUSED
        return None

    def _is_entry(self, scope: Message) -> bool:
        if scope["path"] != "/" or scope["method"] != "GET":
            return False
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0].encode()
        for token in list(self._passes):
            if hmac.compare_digest(given, token.encode()):
                self._passes.pop(token)()
                return True
        return hmac.compare_digest(given, self._token.encode())

    def _known(self, headers: dict[str, bytes]) -> bool:
        cookies = SimpleCookie()
        try:
            cookies.load(headers.get("cookie", b"").decode("latin-1"))
        except CookieError:
            return False
        morsel = cookies.get(self._cookie)
        return morsel is not None and hmac.compare_digest(
            morsel.value.encode(), self._secret.encode()
        )


async def _answer(send: Send, status: int, page: str, cookie: str = "") -> None:
    body = page.encode()
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
    ]
    if cookie:
        headers.append((b"set-cookie", cookie.encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
