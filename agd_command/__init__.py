"""The command `agd`: it starts the program, or says that another project's package stands in its place.

It lies outside the package `agd`, of which the package index has another: installed later, or found earlier on the
path, that one is imported in place of ours.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

_EXIT_NOT_FOUND = 3
_MARK = '__distribution__ = "agd-campaigns"'


def main() -> None:
    """Run `agd`."""
    if (trouble := _trouble()) is not None:
        sys.stderr.write(f"error: {trouble}\n")
        sys.exit(_EXIT_NOT_FOUND)
    from agd.cli import main as run

    run()


def _trouble() -> str | None:
    """What stands in the place of our package, and the cure; nothing of it is imported."""
    spec = find_spec("agd")
    cure = (
        f"`{sys.executable} -m pip uninstall agd agd-campaigns`, then install agd-campaigns again from its clone or "
        "wheel (two packages of one import name cannot share an environment)"
    )
    if spec is None or spec.origin is None:
        where = "" if spec is None else f" of {', '.join(spec.submodule_search_locations or [])}"
        return f"the package agd{where} has lost its first file, as after `pip uninstall agd`: {cure}"
    if _MARK in Path(spec.origin).read_text(encoding="utf-8", errors="replace"):
        return None
    return (
        f"{spec.origin} is not of agd-campaigns, but of another package of that import name (on the package index "
        f"`agd` is Adaptive Grid Discretizations): {cure}"
    )
