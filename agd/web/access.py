"""Who may see the pages: a password where others can reach them, and what every answer tells the browser to refuse."""

import hmac
import secrets
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agd.web import login

COOKIE: Final = "agd_session"
OPEN: Final = frozenset({"/health", "/login"})
"""Paths that ask for no password."""

_SESSION_S: Final = 7 * 86400
_LONGEST_PATH: Final = 2_000
_LONGEST_QUERY: Final = 4_000
_LARGEST_BODY: Final = 4_096
_MOST_TRIES: Final = 10
_TRIES_S: Final = 60.0
_MOST_CLIENTS: Final = 1_000
_METHODS: Final = frozenset({"GET", "HEAD"})

_ALWAYS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "private, no-cache",
}


@dataclass(slots=True)
class Access:
    """Sessions of who knows the password; without one everybody may look who names this host by one of `hosts`.

    Sessions end with the process, whose key signs them.
    """

    password: str | None = None
    hosts: frozenset[str] = frozenset({"localhost", "127.0.0.1", "[::1]"})
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    _tries: OrderedDict[str, deque[float]] = field(default_factory=OrderedDict, repr=False)

    def is_open_to(self, headers: Headers) -> bool:
        """Whether a request brings a session, or the password itself as a bearer's token."""
        if self.password is None:
            return True
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self.is_password(token.encode("latin-1").decode(errors="replace"))
        try:
            kept = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return kept is not None and self._is_session(kept.value)

    def is_password(self, given: str) -> bool:
        """Whether that is the password; how long this takes tells nothing of it."""
        return self.password is not None and hmac.compare_digest(given.encode(), self.password.encode())

    def new_session(self) -> tuple[str, int]:
        """The cookie of a session, and how many seconds it lasts."""
        ends = str(int(time.time()) + _SESSION_S)
        return f"{ends}.{self._signature(ends)}", _SESSION_S

    def may_try(self, client: str) -> bool:
        """Whether a client has not tried too many passwords in the last minute; counts this try."""
        now = time.monotonic()
        tries = self._tries.setdefault(client, deque())
        self._tries.move_to_end(client)
        while len(self._tries) > _MOST_CLIENTS:
            self._tries.popitem(last=False)
        while tries and tries[0] < now - _TRIES_S:
            tries.popleft()
        if len(tries) >= _MOST_TRIES:
            return False
        tries.append(now)
        return True

    def _is_session(self, cookie: str) -> bool:
        ends, _, signature = cookie.partition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(ends).encode()):
            return False
        return int(ends) > time.time()

    def _signature(self, ends: str) -> str:
        return hmac.new(self._key, ends.encode(), "sha256").hexdigest()


class Guard:
    """Stands before every page: refuses what is no look at one, or by whom may not look."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let through."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # no page opens a WebSocket
            await send({"type": "websocket.close", "code": 1008})
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _ALWAYS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, guarded)

    def _refusal(self, scope: Scope) -> Response | None:  # noqa: PLR0911  a line for each reason
        headers, path = Headers(scope=scope), scope["path"]
        access = self._access
        if access.password is None and _host(headers.get("host", "")) not in access.hosts:
            return PlainTextResponse("this dashboard is for this machine alone\n", 421)
        if path not in OPEN and not access.is_open_to(headers):
            return login.page(status=401)
        if len(scope.get("raw_path") or path) > _LONGEST_PATH or len(scope["query_string"]) > _LONGEST_QUERY:
            return PlainTextResponse("this address is too long\n", 414)
        if not path.isprintable():
            return PlainTextResponse("this address cannot be read\n", 400)
        if scope["method"] not in _METHODS and not (scope["method"] == "POST" and path == "/login"):
            return PlainTextResponse("pages can only be looked at\n", 405, {"allow": "GET, HEAD"})
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > _LARGEST_BODY:
            return PlainTextResponse("nothing so large is sent here\n", 413)
        return None


async def body_of(request: Request) -> bytes | None:
    """What a request sends, None where that is more than any form here does."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LARGEST_BODY:
            return None
    return body


def _host(header: str) -> str:
    """A request's host without its port."""
    if header.startswith("["):
        return header.partition("]")[0] + "]"
    return header.partition(":")[0].lower()
