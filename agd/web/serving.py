"""The server: its address, what it holds back, and its end."""

import socket
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import uvicorn

from agd.errors import InputError
from agd.web.access import Access
from agd.web.application import create
from agd.work.workspace import Workspace

_SHORTEST: Final = 8
_LONGEST: Final = 1_000
_MOST_AT_ONCE: Final = 200
_IDLE_S: Final = 30
_LARGEST_HEAD: Final = 16_384
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})


def access_for(host: str, password_file: Path | None) -> Access:
    """Who may look at pages served at that host.

    Raises:
        InputError: others can reach it and no password was given, or the file of the password holds none.
    """
    if password_file is not None:
        return Access(password=_password(password_file))
    if not is_loopback(host):
        raise InputError(
            f"others can reach {host}: give --password-file FILE, whose first line they have to know "
            "(or leave --host out, and only this machine can look)"
        )
    return Access(hosts=_LOOPBACK | {f"[{host}]" if ":" in host else host.lower()})


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host of that name or address."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens at that address; port 0 is one that is free.

    Raises:
        InputError: it cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        made = socket.socket(family, kind, protocol)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(address)
            made.listen()  # before the address is told: who comes early waits, and is not refused
        except BaseException:
            made.close()
            raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"cannot serve at {host}, port {port} ({reason}): give another --host or --port") from error
    return made


def address_of(at: socket.socket, host: str) -> str:
    """What to write into a browser."""
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{at.getsockname()[1]}"


def serve(workspace: Workspace, permitted: Access, at: socket.socket) -> None:
    """Show the pages until somebody says stop."""
    config = uvicorn.Config(
        create(workspace, permitted),
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=_MOST_AT_ONCE,
        timeout_keep_alive=_IDLE_S,
        timeout_graceful_shutdown=3,
        h11_max_incomplete_event_size=_LARGEST_HEAD,
        http="h11",
        ws="none",
        lifespan="off",
    )
    uvicorn.Server(config).run(sockets=[at])


def _password(file: Path) -> str:
    try:
        first = file.read_text(encoding="utf-8")[:_LONGEST].partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise InputError(f"cannot read the password in {file}: {reason}") from error
    if len(first) < _SHORTEST:
        raise InputError(f"the password, the first line of {file}, has fewer than {_SHORTEST} characters: write more")
    return first
