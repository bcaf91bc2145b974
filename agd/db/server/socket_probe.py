"""Knocking at the embedded server's socket.

libpq's ping tells neither a missing socket from a silent server nor reads its address free of the environment.
"""

import os
import socket
import struct
from enum import Enum, auto
from pathlib import Path

from agd.db.server.place import ROLE

_PROTOCOL = 3 << 16
_HELLO = b"user\0%b\0database\0%b\0\0" % (ROLE.encode(), ROLE.encode())
_GOODBYE = b"X\0\0\0\4"
_CANNOT_CONNECT_NOW = b"\0C57P03\0"
_ANSWER_S = 4.0


class Door(Enum):
    """What a client meets."""

    OPEN = auto()
    CLOSED = auto()
    """The server says that it starts, recovers or stops."""
    SILENT = auto()
    """Somebody listens and does not answer."""
    MISSING = auto()
    """No socket, one nobody listens at, or one that must not be entered."""


def knock(path: Path) -> Door:
    """Ask the server at a socket whether it takes connections."""
    with socket.socket(socket.AF_UNIX) as visitor:
        visitor.settimeout(_ANSWER_S)
        try:
            visitor.connect(os.fsencode(path))
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError, PermissionError):
            return Door.MISSING
        except OSError:
            return Door.SILENT
        try:
            visitor.sendall(struct.pack("!ii", len(_HELLO) + 8, _PROTOCOL) + _HELLO)
            answer = visitor.recv(4096)
            if answer.startswith(b"R"):
                visitor.sendall(_GOODBYE)
        except OSError:
            return Door.SILENT
    if not answer:
        return Door.SILENT
    return Door.CLOSED if answer.startswith(b"E") and _CANNOT_CONNECT_NOW in answer else Door.OPEN
