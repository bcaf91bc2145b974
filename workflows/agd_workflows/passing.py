"""FireWorks' own command line, on the queue of this record."""

from collections.abc import Sequence

from fireworks import LaunchPad
from fireworks.scripts import lpad_run


def run_lpad(launchpad: LaunchPad | None, words: Sequence[str]) -> int:
    """Run `lpad` with these arguments on this launchpad, none for help; its exit code."""
    lpad_run.get_lp = lambda _args: launchpad
    try:
        return int(lpad_run.lpad(list(words)) or 0)
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else int(left.code is not None)
