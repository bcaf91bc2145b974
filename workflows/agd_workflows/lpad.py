"""FireWorks' own command line, on the queue of this record."""

import sys
from collections.abc import Sequence

from fireworks import LaunchPad
from fireworks.scripts import lpad_run

from agd.errors import AgdError, InputError

_ELSEWHERE = ("-l", "--launchpad_file", "-c", "--config_dir")


def run_lpad(launchpad: LaunchPad | None, words: Sequence[str]) -> int:
    """Run `lpad` with these arguments on this launchpad, none for help; its exit code.

    Raises:
        InputError: it refuses, wants a package that is not installed, or is sent to another launchpad.
    """
    verb = _verb(words)
    lpad_run.get_lp = lambda _args: launchpad
    try:
        return int(lpad_run.lpad(list(words)) or 0)
    except SystemExit as left:
        if isinstance(left.__cause__, ModuleNotFoundError):
            raise _lacks(verb, left.__cause__) from left
        if isinstance(left.code, str):
            raise InputError(f"lpad {verb}: {left.code}") from left
        return left.code if isinstance(left.code, int) else int(left.code is not None)
    except ModuleNotFoundError as error:
        raise _lacks(verb, error) from error
    except (AgdError, KeyboardInterrupt, BrokenPipeError):
        raise
    except Exception as error:
        if isinstance(error.__cause__ or error.__context__, ModuleNotFoundError):
            raise _lacks(verb, error.__cause__ or error.__context__) from error
        said = str(error).strip().partition("\n")[0]
        raise InputError(f"lpad {verb}: {said or type(error).__name__}: see `agd lpad {verb} --help`") from error


def _verb(words: Sequence[str]) -> str:
    """The command among the arguments; raises InputError where an option before it names another launchpad."""
    for word in words:
        if not word.startswith("-"):
            return word
        if word.partition("=")[0] in _ELSEWHERE:
            raise InputError(
                f"lpad {word}: `agd lpad` works on the queue of this record: leave that out, or run `lpad`"
            )
    return ""


def _lacks(verb: str, error: BaseException | None) -> InputError:
    module = str(getattr(error, "name", None) or "").partition(".")[0]
    cure = f"run `{sys.executable} -m pip install {module}`"
    return InputError(f"lpad {verb} needs the package {module}, which is not installed: {cure}")
