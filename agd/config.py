"""Settings of one installation: environment variables `AGD_*`, each checked, none unknown."""

import difflib
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated
from urllib.parse import urlsplit

import platformdirs
from pydantic import AfterValidator, Field, ValidationError
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


class Settings(BaseSettings):
    """Where the record is kept and how the embedded server behaves.

    `database_url` carries the psycopg driver whatever alias the user wrote; None stands for the embedded server, which
    outlives its last client by `server_linger_s`.
    """

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    database_url: Annotated[str, AfterValidator(_with_driver)] | None = Field(None, repr=False)
    home: Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())] = Field(
        default_factory=lambda: platformdirs.user_data_path("agd")
    )
    server_linger_s: float = Field(10.0, ge=0, allow_inf_nan=False)

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
