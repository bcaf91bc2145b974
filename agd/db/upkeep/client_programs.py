"""What a client program of PostgreSQL is told: the same as our own sessions, and no secret among its arguments."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType

from psycopg.conninfo import make_conninfo

from agd.db.address import Address, libpq_variables
from agd.db.session import session_parameters

_SERVICE = "agd"
_NOT_OF_LIBPQ = "PG_"
"""PG_COLOR and the like are about what a program shows."""


@dataclass(frozen=True, slots=True)
class Orders:
    """Argument and environment for a client program."""

    conninfo: str
    environment: dict[str, str] = field(repr=False)


@contextmanager
def orders(
    address: Address, application_name: str = "agd", more: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Orders]:
    """What makes a client program open such a session, with `more` settings; good while the context lasts."""
    environment = own_environment()
    secrets = address.secrets
    conninfo = make_conninfo("", **session_parameters(address.open_parameters, application_name, more))
    if (password := secrets.pop("password", None)) is not None:
        environment["PGPASSWORD"] = password
    with tempfile.NamedTemporaryFile("w", prefix="agd-", suffix=".conf", encoding="utf-8") as file:
        if secrets:  # there is no variable for these
            lines = [f"[{_SERVICE}]", *(f"{name}={value}" for name, value in secrets.items())]
            file.write("\n".join(lines) + "\n")
            file.flush()
            environment |= {"PGSERVICEFILE": file.name, "PGSERVICE": _SERVICE}
        yield Orders(conninfo, environment)


def own_environment() -> dict[str, str]:
    """The environment without what would speak to libpq."""
    unwanted = {name for name in libpq_variables(os.environ) if not name.startswith(_NOT_OF_LIBPQ)}
    return {name: value for name, value in os.environ.items() if name not in unwanted}
