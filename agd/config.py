"""Settings of one installation: environment variables `AGD_*`, each checked, none unknown."""

import difflib
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Self
from urllib.parse import urlsplit

import platformdirs
from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from agd.errors import InputError

DRIVER = "postgresql+psycopg"

_PREFIX = "AGD_"
_RESERVED_PREFIX = "AGD_TEST_"
_SCHEMES = ("postgresql", "postgres", DRIVER)


def _with_driver(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in _SCHEMES:
        raise ValueError("it must read postgresql://user@host:port/database")
    try:
        _ = urlsplit(url).port
    except ValueError:
        raise ValueError("the port is not a number from 0 to 65535, or a bracket in the host is left open") from None
    return f"{DRIVER}://{rest}"


_LAUNCHPADS = (*_SCHEMES, "mongodb", "mongodb+srv")


def _launchpad(url: str) -> str:
    if url.partition("://")[0] not in _LAUNCHPADS or "://" not in url:
        raise ValueError("it must read postgresql://user@host:port/database or mongodb://user@host:port/database")
    return url


def _absolute(path: Path) -> Path:
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        raise ValueError(f"nobody knows the home folder that {path} begins with: write the whole path") from None


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
    the record's own database. A step sent to nodes that cannot reach the record is leased for `offline_lease_s`. For
    the rest see Pace.
    """

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    database_url: Annotated[str, AfterValidator(_with_driver)] | None = Field(None, repr=False)
    home: Annotated[Path, AfterValidator(_absolute)] = Field(default_factory=_default_home)
    server_linger_s: float = Field(10.0, ge=0, allow_inf_nan=False)
    launchpad_url: Annotated[str, AfterValidator(_launchpad)] | None = Field(None, repr=False)
    heartbeat_s: float = Field(Pace.heartbeat_s, gt=0, allow_inf_nan=False)
    lease_s: float = Field(Pace.lease_s, gt=0, allow_inf_nan=False)
    reconcile_s: float = Field(Pace.reconcile_s, gt=0, allow_inf_nan=False)
    offline_lease_s: float = Field(7 * 86400.0, gt=0, allow_inf_nan=False)

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
