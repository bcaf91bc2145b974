"""The command line: parses, calls, prints, exits. No logic lives here."""

import sys


def main() -> None:
    """Run `agd`; every error a user can cure is one line on standard error and an exit code."""
    from agd.errors import AgdError

    try:
        from agd.cli.app import app

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
