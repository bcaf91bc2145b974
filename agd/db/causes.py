"""What PostgreSQL says, in a sentence: the cause first, then what it means and the cure."""

import re

import psycopg

from agd.errors import AbsentError, AgdError, DatabaseError, SchemaError

_AGAIN = "What was committed is safe: {cure}, and run the command again"
_LOGIN = "correct user and password in {url}, or let its owner admit you (pg_hba.conf)"

_BY_STATE = {  # by sqlstate, or the beginning that a class of them shares; {0} is the place, {1} what the server said
    "53100": ("the disk of {0} is full ({1})", "free some space there"),
    "53200": ("{0} is out of memory ({1})", "end other work on that host, or give the server more"),
    "53300": ("{0} has no connection left ({1})", "end other clients of it, or raise its max_connections"),
    "53": ("{0} has reached a limit that its owner set ({1})", "raise it"),
    "54": ("a limit of PostgreSQL was exceeded at {0} ({1})", "see `agd doctor`"),
    "57014": ("{0} cancelled a statement ({1})", "ask its owner why, or wait until it has less to do"),
    "57P01": ("{0} was shut down ({1})", "start it"),
    "57P02": ("{0} crashed ({1})", "see its log"),
    "57P03": ("{0} is starting or stopping ({1})", "wait a moment"),
    "57P04": ("the database was dropped at {0} ({1})", "restore a backup"),
    "57P05": ("{0} ended an idle session ({1})", "take its time limit away"),
    "25P03": ("{0} ended an idle transaction ({1})", "take its time limit away"),
    "25P04": ("{0} ended a long transaction ({1})", "take its time limit away"),
    "25006": (
        "{0} is read-only ({1})",
        "name the primary server in {url} if it is a standby, else RESET default_transaction_read_only",
    ),
    "55P03": ("{0} did not give a lock in time ({1})", "wait until others are done"),
    "40": ("{0} undid a transaction that met another one ({1})", "wait a moment"),
    "42501": ("{0} refuses ({1})", "let its owner GRANT ALL ON SCHEMA public TO your role"),
    "3F000": ("{0} has no schema public ({1})", "let its owner CREATE SCHEMA public"),
    "22P05": ("{0} cannot hold a letter ({1})", "move the record to a database with ENCODING 'UTF8'"),
    "22021": ("{0} cannot hold a letter ({1})", "move the record to a database with ENCODING 'UTF8'"),
    "28": ("{0} does not admit you ({1})", _LOGIN),
    "58": ("{0} cannot read or write its files ({1})", "see to its disk"),
    "F0": ("{0} cannot read its configuration ({1})", "see its log"),
    "XX001": ("{0} holds damaged data ({1})", "restore a backup on a sound disk"),
    "XX002": ("{0} holds a damaged index ({1})", "let its owner REINDEX the database"),
    "XX": ("{0} failed within ({1})", "see its log"),
}
_MISSING = {"42P01", "42703", "42883", "42704"}
_AWAY = ("57P01", "57P02", "57P03")

_AT_THE_DOOR = {  # a refused connection has no sqlstate, only words
    r"too many clients|connection slots|too many connections|max_client_conn": "53300",
    r"No space left on device": "53100",
    r"out of memory": "53200",
    r"starting up|shutting down|not yet accepting|not accepting connections|recovery mode": "57P03",
    r"not permitted to log in|authentication|no password|pg_hba\.conf|role .* does not exist|permission denied": "28",
    r"read-only|standby": "25006",
}
_OTHER_DOORS = {
    r"parameter .idle_session_timeout": ("{0} is older than PostgreSQL 14 ({1})", "upgrade it, or name another server"),
    r"database .* does not exist": ("{0} is not there ({1})", "make it with `createdb`, or correct {url}"),
    r"startup parameter|configuration parameter": (
        "{0} does not take the settings of a session ({1}), as a proxy such as PgBouncer may not",
        "name the server itself in {url}, or let the proxy ignore the startup parameter `options`",
    ),
    r"failed to resolve|could not translate": ("the host of {0} is not known ({1})", "correct it in {url}"),
    r"SSL|TLS|certificate|GSSAPI": ("no secure connection to {0} ({1})", "correct its sslmode or certificates"),
    r"FATAL": ("{0} refuses the connection ({1})", "see to that"),
}


def explained(
    error: BaseException | None, where: str, url: str = "AGD_DATABASE_URL", *, is_lost: bool = False
) -> AgdError | None:
    """What the error of PostgreSQL means for who uses `where`, a place named by `url`; None for a fault of ours.

    `is_lost` says that the connection went with it.
    """
    if not isinstance(error, psycopg.Error):
        return None
    state = error.sqlstate or ""
    said = _words(error)
    if state in _MISSING:
        return SchemaError(
            f"something is missing in the schema of {where} ({said}): see `agd doctor`, "
            "or restore a backup with `agd restore --force`"
        )
    found = _BY_STATE.get(state) or _BY_STATE.get(state[:2]) if state else _at_the_door(str(error))
    if found is not None:
        cause, cure = (part.format(where, said, url=url) for part in found)
        kind = AbsentError if found in map(_BY_STATE.get, _AWAY) else DatabaseError
        return kind(f"{cause}. {_AGAIN.format(cure=cure)}")
    if not is_lost and not isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
        return None
    return AbsentError(
        f"{where} does not answer ({said}). {_AGAIN.format(cure=f'see `agd db status`, or check {url}')}"
    )


def _at_the_door(text: str) -> tuple[str, str] | None:
    for pattern, state in _AT_THE_DOOR.items():
        if re.search(pattern, text):
            return _BY_STATE[state]
    return next((found for pattern, found in _OTHER_DOORS.items() if re.search(pattern, text)), None)


def _words(error: psycopg.Error) -> str:
    """The first line, without what every failed connection begins with."""
    line = str(error).strip().partition("\n")[0]
    return re.sub(r"^connection failed: (connection to server .*? failed: )?", "", line).replace("FATAL:  ", "")
