import psycopg
import pytest
from psycopg import errors

from agd.db.causes import explained
from agd.errors import SchemaError

WHERE = "the embedded server"
DOOR = 'connection failed: connection to server at "127.0.0.1", port 5432 failed: '


@pytest.mark.parametrize(
    ("error", "beginning"),
    [
        (errors.DiskFull("could not extend file"), "the disk of the embedded server is full (could not extend file)"),
        (errors.TooManyConnections("sorry"), "the embedded server has no connection left"),
        (errors.OutOfMemory("out of memory"), "the embedded server is out of memory"),
        (errors.QueryCanceled("due to statement timeout"), "the embedded server cancelled a statement"),
        (errors.AdminShutdown("by command"), "the embedded server was shut down"),
        (errors.ReadOnlySqlTransaction("cannot execute"), "the embedded server is read-only"),
        (errors.ProgramLimitExceeded("too large"), "a limit of PostgreSQL was exceeded at the embedded server"),
        (errors.IoError("could not read"), "the embedded server cannot read or write its files"),
        (errors.DataCorrupted("invalid page"), "the embedded server holds damaged data"),
        (errors.InternalError_("cache lookup failed"), "the embedded server failed within"),
        (errors.DeadlockDetected("deadlock"), "the embedded server undid a transaction that met another one"),
        (errors.InsufficientPrivilege("no"), "the embedded server refuses (no)"),
        (errors.UndefinedTable("no table"), "something is missing in the schema of the embedded server (no table)"),
        (
            DOOR + "FATAL:  sorry, too many clients already",
            "the embedded server has no connection left (sorry, too many",
        ),
        (DOOR + 'FATAL:  password authentication failed for user "me"', "the embedded server does not admit you"),
        (DOOR + "FATAL:  the database system is starting up", "the embedded server is starting or stopping"),
        (DOOR + 'FATAL:  database "none" does not exist', "the embedded server is not there"),
        (DOOR + "FATAL:  unsupported startup parameter: options", "the embedded server does not take the settings"),
        (DOOR + "FATAL:  was weiß ich", "the embedded server refuses the connection (was weiß ich)"),
        (DOOR + "server does not support SSL, but SSL was required", "no secure connection to the embedded server"),
        ("failed to resolve host 'db': no", "the host of the embedded server is not known"),
        (DOOR + "Connection refused\n\tIs it running?", "the embedded server does not answer (Connection refused)"),
        ("server closed the connection unexpectedly", "the embedded server does not answer (server closed"),
    ],
)
def test_the_cause_comes_first(error: psycopg.Error | str, beginning: str) -> None:
    given = psycopg.OperationalError(error) if isinstance(error, str) else error
    said = str(explained(given, WHERE))
    assert said.startswith(beginning)
    assert "\n" not in said


def test_faults_of_ours_stay_what_they_are() -> None:
    assert explained(errors.SyntaxError("at or near"), WHERE) is None
    assert explained(errors.UniqueViolation("twice"), WHERE) is None
    assert explained(psycopg.ProgrammingError("1 placeholder, 2 parameters"), WHERE) is None
    assert explained(ValueError("no"), WHERE) is None
    assert isinstance(explained(errors.UndefinedColumn("no"), WHERE), SchemaError)
