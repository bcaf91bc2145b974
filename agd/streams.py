"""Standard input, output and error as a shell may leave them: closed, full, gone, or of another encoding.

What cannot be shown stops no work: a text that a stream does not take is dropped, the loss is kept, and `settle` turns
it into a sentence and an exit code. Bytes written to `sys.stdout.buffer` raise OSError, for they are all the work.
"""

import errno
import io
import locale
import os
import sys
import time
import unicodedata
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

EXIT_LOST, EXIT_BROKEN_PIPE = 2, 141
_INPUT, _OUTPUT, _ERRORS = 0, 1, 2
_KEPT = "\n\t"
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class _Raw(io.FileIO):
    """A descriptor that takes everything once it has refused something, and remembers why."""

    lost: OSError | None = None
    written_at = 0.0

    def write(self, data: "ReadableBuffer", /) -> int:
        self.written_at = time.monotonic()
        if self.lost is not None:
            return memoryview(data).nbytes
        try:
            return super().write(data)
        except OSError as error:
            self.lost = error
            raise


class _Text(io.TextIOWrapper):
    """Text that is shown where it can be; `ends_line` says whether the last of it ended one."""

    ends_line = True

    def write(self, text: str, /) -> int:
        if text:
            self.ends_line = text.endswith("\n")
        with suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


class _NoInput(io.RawIOBase):
    """Standard input that was closed before the program began."""

    def readable(self) -> bool:
        return True

    def readinto(self, _: "WriteableBuffer", /) -> int:
        raise OSError(errno.EBADF, "it is closed", "standard input")


_raws: dict[int, _Raw] = {}


def prepare() -> None:
    """Let the three streams be usable whatever they are; a second call changes nothing.

    A closed descriptor is taken up first, so that no file opened later goes by its number.
    """
    if _raws:
        return
    for number, mode in ((_INPUT, os.O_WRONLY), (_OUTPUT, os.O_RDONLY), (_ERRORS, os.O_WRONLY)):
        try:
            os.set_blocking(number, True)  # a parent may have left a pipe non-blocking: half of a text would be lost
        except OSError:
            os.open(os.devnull, mode)  # what reads or writes there fails; complaints go nowhere
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(_NoInput()))
    if sys.stdout is sys.__stdout__:
        sys.stdout = _text(_OUTPUT, sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(_ERRORS, sys.stderr)


def settle(code: int) -> int:
    """Write what is left; the exit code, which tells when something to be shown on standard output was lost."""
    sys.stdout.flush()
    raw = _raws.get(_OUTPUT)
    if raw is None or raw.lost is None:
        return code
    if raw.lost.errno == errno.EPIPE:  # who read our output has had enough, for instance `head`
        return code or EXIT_BROKEN_PIPE
    why = "it is closed" if raw.lost.errno == errno.EBADF else raw.lost.strerror
    complain(f"standard output cannot be written ({why}): not all was shown; what was recorded is safe")
    return code or EXIT_LOST


def complain(words: str) -> None:
    """Say on standard error what is wrong, on one line."""
    print(f"agd: {printable(words)}", file=sys.stderr, flush=True)  # noqa: T201  the program speaks here


def is_output_lost() -> bool:
    """Whether standard output has refused something."""
    return _OUTPUT in _raws and _raws[_OUTPUT].lost is not None


def silent_since() -> float:
    """When something was last written, by `time.monotonic`; now, where an unfinished line awaits an answer."""
    texts = [text for text in (sys.stdout, sys.stderr) if isinstance(text, _Text)]
    if not all(text.ends_line for text in texts):
        return time.monotonic()
    return max((raw.written_at for raw in _raws.values()), default=0.0)


def printable(text: str) -> str:
    """The text with what would steer a terminal, or turn its lines about, written as escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(one if _is_shown(one) else one.encode("unicode_escape").decode() for one in text)


def _is_shown(one: str) -> bool:
    return one in _KEPT or (unicodedata.category(one) not in {"Cc", "Cs", "Zl", "Zp"} and one not in _BIDI)


def _text(number: int, before: io.TextIOWrapper | None) -> _Text:
    raw = _raws[number] = _Raw(number, "wb", closefd=False)
    encoding = locale.getencoding() if before is None else before.encoding
    given = "strict" if before is None else before.errors or "strict"
    errors = "backslashreplace" if given in {"strict", "surrogateescape"} else given
    is_by_line = number == _ERRORS if before is None else before.line_buffering or before.write_through
    return _Text(io.BufferedWriter(raw), encoding=encoding, errors=errors, line_buffering=is_by_line)
