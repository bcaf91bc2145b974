"""The command line: parses, calls, prints, exits. No logic lives here."""

import os
import sys

from agd import streams

EXIT_INTERRUPTED = 130


def main() -> None:
    """Run `agd`; every error a user can cure is one line on standard error and an exit code."""
    streams.prepare()
    code = _guarded()
    _let_die_quietly()
    sys.exit(streams.settle(code))


def _guarded() -> int:
    """Run the verb; its exit code."""
    from agd.errors import AgdError

    for name in [name for name in os.environ if name.startswith("PSYCOPG_")]:
        del os.environ[name]  # another build of the driver, or none: agd brings the one it works with

    try:
        return _run()
    except AgdError as error:
        streams.complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        streams.complain("interrupted; what was committed is safe")
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone, for instance `head`
        return streams.EXIT_BROKEN_PIPE
    except OSError as error:
        if not streams.is_output_lost():
            where = f"{error.filename}: " if error.filename else ""
            streams.complain(f"{where}{error.strerror or error}")
        return streams.EXIT_LOST


def _run() -> int:
    from agd.cli import surroundings

    surroundings.settle(sys.argv)
    from agd.cli.app import app
    from agd.cli.show import say_aside
    from agd.waiting import watched

    with watched(say_aside):
        try:
            app()
        except SystemExit as left:
            _raise_cause(left)
            return left.code if isinstance(left.code, int) else int(left.code is not None)
    return 0


def _raise_cause(error: BaseException) -> None:
    """Raise what Typer turned into an exit without a word: an interruption, or the end of our reader."""
    cause = error.__context__
    while cause is not None:
        if isinstance(cause, (KeyboardInterrupt, BrokenPipeError)):
            raise cause
        cause = cause.__cause__ or cause.__context__


def _let_die_quietly() -> None:
    """What interrupts us from here on, in the interpreter's own end, leaves no traceback."""
    import signal

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
