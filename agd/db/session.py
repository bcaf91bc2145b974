"""One place opens every connection, and fixes all that changes how values are sent, read or resolved.

What the server, the database or the role was set to does not matter then: options of the start of a session outweigh
them, and a RESET comes back to them. What cannot be fixed so is set afterwards, or refused by name.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import psycopg
from psycopg import errors

from agd.db.address import Address, hidden_shell
from agd.errors import DatabaseError

Session: TypeAlias = psycopg.Connection[tuple[Any, ...]]
"""A connection on which each statement is its own transaction, unless somebody has opened one."""

OLDEST_SERVER = 14
ANSWER_S = 10
"""How long a server may take to answer, unless the URL says otherwise."""

_AT_START = {
    # how values are sent and read
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "array_nulls": "on",
    "standard_conforming_strings": "on",
    "backslash_quote": "safe_encoding",
    "transform_null_equals": "off",
    "quote_all_identifiers": "off",
    # which tables and which rows are meant
    "search_path": "public",
    "row_security": "off",  # a policy that would hide rows is an error
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    # what would cut a long step
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "exit_on_error": "off",
    "client_min_messages": "warning",
    # how fast it is
    "jit": "off",
    "work_mem": "64MB",
}
_AFTERWARDS = {  # not every server knows them, or not every role may set them
    "client_encoding": "UTF8",
    "transaction_timeout": "0",
    "restrict_nonsystem_relation_kind": "",
    "session_replication_role": "origin",  # else no trigger and no foreign key holds
}


def connect(
    address: Address,
    *,
    application_name: str = "agd",
    more: Mapping[str, str] = MappingProxyType({}),
    prepare_threshold: int = 5,
) -> Session:
    """Open a session, with `more` settings; each statement is its own transaction.

    Raises:
        psycopg.Error: the server does not answer, or refuses.
        DatabaseError: it is too old, or one of its settings cannot be made what it must be.
    """
    with hidden_shell():
        session = psycopg.connect(
            autocommit=True,
            prepare_threshold=prepare_threshold,
            **session_parameters(address.parameters, application_name, more),  # type: ignore[arg-type]
        )
    try:
        _require_version(session, address.where)
        settle(session, address.where, more)
    except BaseException:
        session.close()
        raise
    return session


def _require_version(session: Session, where: str) -> None:
    major_version = session.info.server_version // 10_000
    if major_version < OLDEST_SERVER:
        raise DatabaseError(
            f"{where} is PostgreSQL {major_version}, and agd needs {OLDEST_SERVER} or later: "
            "upgrade that server, or name another one"
        )


def session_parameters(
    parameters: Mapping[str, str], application_name: str = "agd", more: Mapping[str, str] = MappingProxyType({})
) -> dict[str, str]:
    """The same parameters with all that is fixed from the start; what the URL says of it is outweighed."""
    settings = " ".join(f"-c {name}={_escaped(value)}" for name, value in {**_AT_START, **more}.items())
    return {
        "application_name": application_name,
        "connect_timeout": str(ANSWER_S),
        **parameters,
        "client_encoding": "UTF8",
        "options": f"{parameters.get('options', '')} {settings}".strip(),
    }


def settle(session: Session, where: str, more: Mapping[str, str] = MappingProxyType({})) -> None:
    """Set what is not as it must be: where a proxy dropped the options, or a RESET came by.

    Raises:
        DatabaseError: the role may not set it.
    """
    wanted = {**_AT_START, **_AFTERWARDS, **more}
    rows = ", ".join(f"('{name}', '{value}')" for name, value in wanted.items())
    found = session.execute(
        "SELECT name, wanted, pg_catalog.current_setting(name, true)"
        f" FROM (VALUES {rows}) AS w (name, wanted) WHERE pg_catalog.current_setting(name, true) <> wanted"
    ).fetchall()
    for name, value, now in found:
        try:
            session.execute("SELECT pg_catalog.set_config(%s, %s, false)", (name, value))
        except (errors.InsufficientPrivilege, errors.CantChangeRuntimeParam, errors.InvalidParameterValue) as error:
            raise DatabaseError(
                f"{name} of {where} is {now!r} and must be {value!r}, which your role may not set: let its owner "
                f"say ALTER ROLE ... RESET {name}, or ALTER DATABASE ... RESET {name}"
            ) from error


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")
