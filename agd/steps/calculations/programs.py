"""Programs: run in a folder until they end, looked at meanwhile, with what they took."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SAID: Final = "said.txt"
"""What a program says, in its folder."""

_LOOK_S = 0.1
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended: its exit code, negative the signal that killed it; seconds, and the most memory it held."""

    exit_code: int
    core_seconds: float
    wall_seconds: float
    memory_bytes: int


def run(words: Sequence[str], folder: Path, look: Callable[[], object], every_s: float) -> Ended:
    """Run a program in a folder, one thread a process, and `look` now and then what it has come to.

    Whatever ends this ends the program: it holds the other end of its standard input.
    """
    began = time.monotonic()
    alone = {**os.environ, **dict.fromkeys(_THREADS, "1")}
    with (folder / SAID).open("ab") as said:
        process = subprocess.Popen(  # noqa: S603  the engine's own words
            list(words),
            cwd=folder,
            env=alone,
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    try:
        next_look = began + every_s
        while True:
            pid, status, used = os.wait4(process.pid, os.WNOHANG)
            if pid:
                process.returncode = os.waitstatus_to_exitcode(status)
                break
            if time.monotonic() >= next_look:
                look()
                next_look = time.monotonic() + every_s
            time.sleep(_LOOK_S)
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if process.stdin is not None:
            process.stdin.close()
    return Ended(
        process.returncode, used.ru_utime + used.ru_stime, time.monotonic() - began, 1024 * int(used.ru_maxrss)
    )


def last_words(folder: Path, n_letters: int = 300) -> str:
    """The last line that a program said in a folder."""
    with suppress(OSError):
        lines = (folder / SAID).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1][:n_letters] if lines else ""
    return ""
