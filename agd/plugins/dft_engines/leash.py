"""A program on a leash: it ends with whoever started it, and no two work in one folder."""

import fcntl
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

BUSY = 75
"""Exit code of a program that found another one at work in its folder."""

LEASHED = "--leashed"

_PATIENCE_S = 60.0
_LOOK_S = 0.1


def hold_leash() -> None:
    """End this process and its children when standard input ends, as it does when whoever holds the other end dies."""
    threading.Thread(target=_watch, name="leash", daemon=True).start()


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Have a folder for oneself; leave with BUSY where another does not end within a minute.

    The lock is the process's own, gone with it however it ends.
    """
    with (folder / "lock").open("w") as file:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > deadline:
                    print(f"another program is at work in {folder}", file=sys.stderr)  # noqa: T201  for whoever reads the log
                    raise SystemExit(BUSY) from None
                time.sleep(_LOOK_S)
        yield


def _watch() -> None:
    with suppress(OSError, ValueError):
        while os.read(0, 4096):
            pass
    _kill_children()
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(128 + signal.SIGKILL)


def _kill_children() -> None:
    """A launcher of parallel programs may have put them into sessions of their own."""
    try:
        import psutil
    except ImportError:
        return
    with suppress(psutil.Error):
        for child in psutil.Process().children(recursive=True):  # type: ignore[no-untyped-call]  # the library has no types
            with suppress(psutil.Error):
                child.kill()
