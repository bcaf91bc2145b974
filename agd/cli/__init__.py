"""The command line: parses, calls, prints, exits. No logic lives here."""

import os
import sys


def main() -> None:
    """Run `agd`; every error a user can cure is one line on standard error and an exit code."""
    from agd.errors import AgdError

    for name in [name for name in os.environ if name.startswith("PSYCOPG_")]:
        del os.environ[name]  # another build of the driver, or none: agd brings the one it works with

    try:
        from agd.cli.app import app

        _refuse_what_is_not_text(sys.argv)
        app()
    except AgdError as error:
        print(f"agd: {error}", file=sys.stderr)  # noqa: T201  the command line speaks here
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("agd: interrupted; what was committed is safe", file=sys.stderr)  # noqa: T201
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output has gone, for instance `head`
        sys.stderr.close()
        sys.exit(141)


def _refuse_what_is_not_text(arguments: list[str]) -> None:
    """Refuse an argument whose bytes are not UTF-8, or that holds a null character: no record can keep it."""
    from agd.errors import InputError

    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise InputError(f"the argument {argument!a} is not UTF-8 text: type it anew") from None
