"""No wait without a word: what the program may be waiting for, and who says so."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from agd import streams

FIRST_S, THEN_S = 10.0, 60.0
"""After how long a word is said, and how often from then on."""

_LOOK_S = 0.5

Words: TypeAlias = Callable[[], str | None]
"""What is waited for, looked up when it is to be said; None where it is not this."""


@dataclass(slots=True, eq=False)
class _Reason:
    words: Words
    is_last_word: bool
    is_urgent: bool
    next_look: float
    is_at_once: bool = False


_reasons: list[_Reason] = []


@contextmanager
def waiting(
    words: str | Words, *, is_last_word: bool = False, is_urgent: bool = False, is_at_once: bool = False
) -> Iterator[None]:
    """Name what this block may have to wait for.

    It is said when nothing else was for a while, by the innermost block that has lasted and has words; with
    `is_last_word` no block around is asked. What `is_urgent` is said beside anything else, bars that move among it;
    `is_at_once` as soon as there are words.
    """
    found: Words = (lambda: words) if isinstance(words, str) else words
    patience_s = 0.0 if is_at_once else FIRST_S
    reason = _Reason(found, is_last_word, is_urgent, time.monotonic() + patience_s, is_at_once)
    _reasons.append(reason)
    try:
        yield
    finally:
        _reasons.remove(reason)


@contextmanager
def watched(say: Callable[[str], object]) -> Iterator[None]:
    """While the block lasts, say what is waited for."""
    is_over = threading.Event()

    def watch() -> None:
        spoke, patience_s = time.monotonic(), FIRST_S
        while not is_over.wait(_LOOK_S):
            for words in _urgent():
                say(words)
            wrote = streams.silent_since()
            if wrote > spoke + _LOOK_S:  # somebody else had something to say
                spoke, patience_s = wrote, FIRST_S
            if time.monotonic() - max(spoke, wrote) < patience_s:
                continue
            found = _innermost()
            spoke = time.monotonic()
            if found is not None:
                patience_s = THEN_S
                say(found)

    thread = threading.Thread(target=watch, name="words", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(_LOOK_S)  # no longer: it may be asking a server that does not answer


def _urgent() -> Iterator[str]:
    now = time.monotonic()
    for reason in _reasons.copy():
        if reason.is_urgent and now >= reason.next_look:
            found = _found(reason)
            patience_s = 0.0 if reason.is_at_once else FIRST_S
            reason.next_look = now + (patience_s if found is None else THEN_S)
            if found is not None:
                yield found


def _innermost() -> str | None:
    for reason in reversed(_reasons.copy()):
        if not reason.is_urgent:
            found = _found(reason) if time.monotonic() >= reason.next_look else None
            if found is not None or reason.is_last_word:
                return found
    return None


def _found(reason: _Reason) -> str | None:
    try:
        return reason.words()
    except Exception:  # noqa: BLE001  looking up what is waited for may fail as the wait itself does: then nothing is said
        return None
