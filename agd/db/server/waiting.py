"""No wait without a word: a thread says every few seconds for what this process waits, as what blocks cannot speak."""

import logging
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

_log = logging.getLogger(__name__)

_NOTICE_S = 5.0


class Waiting:
    """While it lasts, says now and then for what; `reason` may change."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._speak, daemon=True)

    def __enter__(self) -> Self:
        with suppress(RuntimeError):  # no thread to be had: the wait is silent and all else works
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._is_over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _speak(self) -> None:
        start = time.monotonic()
        while not self._is_over.wait(_NOTICE_S):
            _log.warning("waiting for %s (%.0f s); Ctrl-C ends the waiting", self.reason, time.monotonic() - start)
