"""What to run so that a package, an extra or a newer agd is there, said for the environment that asks.

On the package index the name `agd` is another project's (Adaptive Grid Discretizations), so no cure names it.
"""

import json
import shlex
import sys
from contextlib import suppress
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

DISTRIBUTION: Final = "agd-campaigns"
FORMER: Final = "agd"
"""What the distribution was called first."""

STRANGER: Final = "agd of the package index is another project, Adaptive Grid Discretizations"


def pip_install(*requirements: str) -> str:
    """The command that installs packages where this program runs."""
    return shlex.join([_python(), "-m", "pip", "install", *requirements])


def pip_uninstall(*names: str) -> str:
    """The command that removes packages where this program runs."""
    return shlex.join([_python(), "-m", "pip", "uninstall", *names])


def pip_install_extra(extra: str) -> str:
    """The command that installs what an extra of agd brings, from wherever agd itself was installed."""
    wanted = [line.partition(";")[0].strip() for line in _required() if _is_of(line, extra)]
    return pip_install(*wanted) if wanted else f"install agd from its clone with `pip install '.[{extra}]'`"


def upgrading() -> str:
    """How a newer agd is had."""
    folder, is_editable = _clone()
    if folder is None:
        return f"install a newer {DISTRIBUTION} ({STRANGER})"
    pull = shlex.join(["git", "-C", str(folder), "pull"])
    return f"{pull} && {pip_install(*(['-e'] if is_editable else []), str(folder))}"


def strangers_version() -> str | None:
    """The version of the other project of the name, where it is installed in this environment."""
    with suppress(PackageNotFoundError):
        found = distribution(FORMER)
        return None if "[agd." in (found.read_text("entry_points.txt") or "") else found.version
    return None


def _python() -> str:
    with suppress(ValueError):
        return str(Path(sys.executable).relative_to(Path.cwd()))
    return sys.executable


def _own() -> Distribution | None:
    for name in (DISTRIBUTION, FORMER):
        with suppress(PackageNotFoundError):
            return distribution(name)
    return None


def _required() -> list[str]:
    own = _own()
    return [] if own is None else (own.requires or [])


def _is_of(requirement: str, extra: str) -> bool:
    marker = requirement.partition(";")[2].replace('"', "'")
    return f"extra == '{extra}'" in marker


def _clone() -> tuple[Path | None, bool]:
    """The folder that agd was installed from, None where that was no folder; whether it runs from there."""
    own = _own()
    told: dict[str, Any] = json.loads((own and own.read_text("direct_url.json")) or "{}")
    if "dir_info" not in told:
        return None, False
    return Path(unquote(urlsplit(told["url"]).path)), bool(told["dir_info"].get("editable"))
