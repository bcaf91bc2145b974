"""Settings of one installation: environment variables `AGD_*`, each checked, none unknown."""

import difflib
import os
import re
import shlex
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Self

import platformdirs
from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from agd.errors import InputError

DRIVER = "postgresql+psycopg"

_PREFIX = "AGD_"
_RESERVED_PREFIX = "AGD_TEST_"
_MAX_HOME_BYTES = 900
"""PostgreSQL's longest path has 1,023, those of its files in the folder included."""

_SCHEMES = ("postgresql", "postgres", DRIVER)
_MONGO_SCHEMES = ("mongodb", "mongodb+srv")
_SPELLED = "in a password write %40 for @, %2F for /, %3F for ?, %23 for # and %25 for %"
_HOST = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::(\d{0,5}))?")
_LAST_PORT = 65535


def checked_url(url: str) -> str:
    """Return the URL of a server, its @ in a password spelled as it must be; raises ValueError that quotes nothing.

    A password with a sign that has a meaning in URLs would otherwise become part of a host, and so of every message.
    """
    scheme, separator, rest = url.strip().partition("://")
    if not separator or not re.fullmatch(r"[a-z+]+", scheme):
        raise ValueError("it must read postgresql://user@host:port/database")
    if not rest.isprintable():
        raise ValueError("it holds a sign that cannot be printed")
    if re.search(r"%(?![0-9A-Fa-f]{2})|%00", rest):
        raise ValueError(f"a % is not followed by two hexadecimal digits ({_SPELLED})")
    authority, path, query = _parts(rest)
    who, at, hosts = authority.rpartition("@")
    if "@" in path or any("@" in part.partition("=")[0] for part in query.split("&")):
        raise ValueError(f"an @ stands after the host ({_SPELLED})")
    for host in hosts.split(","):
        found = _HOST.fullmatch(host)
        if found is None or int(found[2] or 0) > _LAST_PORT:
            raise ValueError(
                "the port is not a number from 0 to 65535, or a bracket in the host is left open"
                + ("" if at else f" ({_SPELLED})")
            )
    return f"{scheme}://{who.replace('@', '%40')}{at}{hosts}{path}{query}"


def _parts(rest: str) -> tuple[str, str, str]:
    """What follows the :// as authority, path and query, the latter two with the sign that begins them."""
    before, mark, query = rest.partition("?")
    authority, slash, path = before.partition("/")
    return authority, slash + path, mark + query


def _with_driver(url: str) -> str:
    scheme, _, rest = checked_url(url).partition("://")
    if scheme not in _SCHEMES:
        raise ValueError("it must read postgresql://user@host:port/database")
    return f"{DRIVER}://{rest}"


def _usable_home(path: Path) -> Path:
    """The absolute path, where PostgreSQL can spell it in its files and a terminal can show it."""
    try:
        home = path.expanduser().absolute()
        size = len(str(home).encode())
    except RuntimeError:
        raise ValueError(f"{path.parts[0]} stands for no folder here; name one in full") from None
    except UnicodeEncodeError:
        raise ValueError("the path is not UTF-8 text; name another folder") from None
    if re.search(r"[\x00-\x1f\x7f-\x9f]", str(home)):
        raise ValueError(f"the path {str(home)!r} holds a control character; name another folder")
    if size > _MAX_HOME_BYTES:
        raise ValueError(f"the path has {size} bytes and PostgreSQL takes {_MAX_HOME_BYTES}; name another folder")
    return home


def _launchpad(url: str) -> str:
    checked = checked_url(url)
    if checked.partition("://")[0] not in (*_SCHEMES, *_MONGO_SCHEMES):
        raise ValueError("it must read postgresql://user@host:port/database or mongodb://user@host:port/database")
    return checked


def _launch_command(command: str) -> str:
    try:
        words = shlex.split(command.format(cores=1))
    except (ValueError, KeyError, IndexError):
        raise ValueError("a quote or a brace is left open, or stands for something else than {cores}") from None
    if not words:
        raise ValueError("it holds no words")
    return command


def _default_home() -> Path:
    folder = platformdirs.user_data_path("agd")
    if not folder.is_absolute():
        raise InputError("this user has no home folder: set AGD_HOME to a folder you can write")
    return folder


@dataclass(frozen=True)
class Pace:
    """How work is watched, in seconds.

    Who does a step says every `heartbeat_s` that it lives; a step nobody spoke for during `lease_s` is taken as lost;
    every `reconcile_s` a worker compares queue and record.
    """

    heartbeat_s: float = 30.0
    lease_s: float = 120.0
    reconcile_s: float = 60.0


class Settings(BaseSettings):
    """Where the record and the queue are kept, how work is watched and how the embedded server behaves.

    `database_url` carries the psycopg driver whatever alias the user wrote; None stands for the embedded server, which
    outlives its last client by `server_linger_s`. `launchpad_url` is where FireWorks keeps its queue; None stands for
    the record's own database. A step sent to nodes that cannot reach the record is leased for `offline_lease_s`. How
    this site starts VASP is `vasp_command` (`srun -n {cores} vasp_std`), and `gpaw_command` is a Python that has GPAW
    and agd, where this one has not. For the rest see Pace.
    """

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    database_url: Annotated[str, AfterValidator(_with_driver)] | None = Field(None, repr=False)
    home: Annotated[Path, AfterValidator(_usable_home)] = Field(default_factory=_default_home, validate_default=True)
    server_linger_s: float = Field(10.0, ge=0, allow_inf_nan=False)
    launchpad_url: Annotated[str, AfterValidator(_launchpad)] | None = Field(None, repr=False)
    heartbeat_s: float = Field(Pace.heartbeat_s, gt=0, allow_inf_nan=False)
    lease_s: float = Field(Pace.lease_s, gt=0, allow_inf_nan=False)
    reconcile_s: float = Field(Pace.reconcile_s, gt=0, allow_inf_nan=False)
    offline_lease_s: float = Field(7 * 86400.0, gt=0, allow_inf_nan=False)
    vasp_command: Annotated[str, AfterValidator(_launch_command)] | None = None
    gpaw_command: Annotated[str, AfterValidator(_launch_command)] | None = None

    @model_validator(mode="after")
    def _lease_outlasts_heartbeats(self) -> Self:
        if self.lease_s < 2 * self.heartbeat_s:
            raise ValueError(
                f"AGD_LEASE_S ({self.lease_s:g}) must be at least twice AGD_HEARTBEAT_S ({self.heartbeat_s:g})"
            )
        return self

    @property
    def pace(self) -> Pace:
        """The intervals at which work is watched."""
        return Pace(self.heartbeat_s, self.lease_s, self.reconcile_s)

    @property
    def own_folders(self) -> tuple[Path, ...]:
        """Where in its home agd keeps its own files: nobody else writes there."""
        names = ("artifacts", "calculations", "jobs", "postgres", "relaxing", "server")
        return tuple(self.home / name for name in names)

    def require_home(self) -> Path:
        """Return the home folder, made where missing; raises InputError where it cannot be written."""
        return writable_folder(self.home)


def load_settings(given: Mapping[str, object] = MappingProxyType({})) -> Settings:
    """Read the environment, for what is not `given`.

    Raises:
        InputError: a variable is unknown, or it or what was given cannot be used.
    """
    _refuse_unknown(os.environ)
    try:
        return Settings(**given)  # type: ignore[arg-type]  # pydantic checks them
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        reason = first["msg"].removeprefix("Value error, ")
        if not first["loc"]:
            raise InputError(f"settings cannot be used: {reason}") from None
        key = str(first["loc"][0])
        name = key if key in given else f"environment variable {_PREFIX}{key.upper()}"
        raise InputError(f"{name} cannot be used: {reason}") from None


def writable_folder(folder: Path) -> Path:
    """Return `folder`, made where missing; raises InputError where it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"cannot write in {folder} ({reason}): set AGD_HOME to a folder you can write") from error
    return folder


def _refuse_unknown(names: Iterable[str]) -> None:
    known = [_PREFIX + name.upper() for name in Settings.model_fields]
    for name in sorted(names):
        upper = name.upper()
        if not upper.startswith(_PREFIX) or upper.startswith(_RESERVED_PREFIX) or upper in known:
            continue
        close = difflib.get_close_matches(upper, known, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise InputError(f"unknown environment variable {name}: {hint}known are {', '.join(known)}")
