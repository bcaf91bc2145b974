"""Opening the record: one `Database` per process, short transactions, errors a user can act on."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeAlias

import psycopg
from sqlalchemy import Connection, Engine, Row, create_engine, event, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from agd.config import DRIVER, Settings
from agd.db import causes, schema, session
from agd.db.address import resolve
from agd.db.blockers import BLOCKER, blocked_by
from agd.db.server.embedded import EmbeddedServer
from agd.errors import BusyError
from agd.waiting import waiting

Transaction: TypeAlias = Connection
"""An open transaction: what the functions of `agd.db` work on and never commit."""

AnyRow: TypeAlias = Row[*tuple[Any, ...]]
"""A row whose columns go by the names its function documents."""

_NO_CAMPAIGN = 0
_LOCK_NAMESPACE = 0x616764  # "agd": keeps our advisory locks apart from those of other programs


@dataclass(frozen=True, slots=True)
class ReadingLimits:
    """What holds back who only looks, however many look at once: few connections, short statements, nothing written."""

    n_connections: int = 4
    statement_s: float = 5.0
    connection_s: float = 5.0
    """How long one waits for a connection that others have."""

    @property
    def settings(self) -> dict[str, str]:
        """What a session is set to."""
        return {"default_transaction_read_only": "on", "statement_timeout": f"{self.statement_s:g}s"}


class Database:
    """The record, reached through SQLAlchemy; closes its embedded server's claim when closed."""

    def __init__(self, url: str, server: EmbeddedServer | None = None, *, reading: ReadingLimits | None = None) -> None:
        """Touch no server yet; for one of the user's own, variables such as PGPASSWORD say what the URL does not.

        With `reading` nothing can be written, and its limits hold.

        Raises:
            InputError: the URL or such a variable cannot be used.
        """
        self.url = url
        self.is_embedded = server is not None
        self.address = resolve(url, heeds_shell=server is None)
        self._server = server
        self._where = "the embedded server" if server is not None else self.address.where
        self._settings = {} if reading is None else reading.settings
        pool: dict[str, Any] = {"pool_size": 2}
        if reading is not None:
            pool = {"pool_size": reading.n_connections, "max_overflow": 0, "pool_timeout": reading.connection_s}
        self._engine: Engine = create_engine(f"{DRIVER}://", pool_pre_ping=True, creator=self._connected, **pool)
        event.listen(self._engine, "checkin", _leave_to_server)

    def _connected(self) -> session.Session:
        opened = session.connect(self.address, more=self._settings)
        opened.autocommit = False
        return opened

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Drop the connections and, with an embedded server, this process's claim on it."""
        self._engine.dispose()
        if self._server is not None:
            self._server.release()

    def revive(self) -> None:
        """Start an embedded server anew that died; one of the user's own is left to its owner.

        Raises:
            DatabaseError: it does not start.
        """
        if self._server is not None:
            self._server.acquire()

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Commit at the end, roll back on any error."""
        with _explained(self._where), self._engine.begin() as connection, self._said_when_blocked(connection):
            yield connection

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """One consistent, read-only view of the record."""
        engine = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with _explained(self._where), engine.begin() as connection, self._said_when_blocked(connection):
            yield connection

    @contextmanager
    def campaign_lock(self, campaign_id: int, name: str, *, is_shared: bool = False) -> Iterator[Callable[[], None]]:
        """Be the only process at work on a campaign; the server frees the lock when the process dies.

        Processes that each do a step share the lock, and keep out the one that would do them all.

        Yields a function that raises DatabaseError when the lock has been lost with its connection.

        Raises:
            BusyError: another process holds it.
        """
        engine = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        with _explained(self._where), engine.connect() as connection:
            held = connection.scalar(
                text(f"SELECT pg_try_advisory_lock{'_shared' if is_shared else ''}(:space, :campaign)"),
                {"space": _LOCK_NAMESPACE, "campaign": campaign_id},
            )
            if not held:
                raise BusyError(
                    f"campaign {name!r} is being run by another process: "
                    f"watch it with `agd status {name} --watch`, end it with `agd stop {name}`"
                )

            def assert_held() -> None:
                with _explained(self._where):
                    connection.execute(text("SELECT 1"))

            try:
                yield assert_held
            finally:
                with suppress(SQLAlchemyError):  # the server may be gone, and the lock with it
                    connection.execute(text("SELECT pg_advisory_unlock_all()"))
                connection.invalidate()  # closing the session frees the lock in any case

    @contextmanager
    def reconcile_lock(self, *, waits: bool = False) -> Iterator[bool]:
        """Be the only process that compares queue and record; False where another one does and nobody waits for it."""
        engine = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        key = {"space": _LOCK_NAMESPACE, "key": _NO_CAMPAIGN}
        with _explained(self._where), engine.connect() as connection:
            if waits:
                with self._said_when_blocked(connection):
                    connection.execute(text("SELECT pg_advisory_lock(:space, :key)"), key)
            is_ours = waits or bool(connection.scalar(text("SELECT pg_try_advisory_lock(:space, :key)"), key))
            try:
                yield is_ours
            finally:
                with suppress(SQLAlchemyError):
                    connection.execute(text("SELECT pg_advisory_unlock_all()"))

    def _said_when_blocked(self, connection: Connection) -> AbstractContextManager[None]:
        """Name who holds what this connection waits for, where the wait is long."""
        pid = getattr(connection.connection.dbapi_connection, "info").backend_pid  # noqa: B009  psycopg's own

        def words() -> str | None:
            with self._engine.connect() as other:
                row = other.execute(text(BLOCKER.format(pid=pid))).first()
            return None if row is None else blocked_by(*row)

        return waiting(words, is_urgent=True)


def locked_campaigns(connection: Transaction, *, alone: bool = False) -> set[int]:
    """Ids of the campaigns that a live process is working on; with `alone` those that one process keeps to itself."""
    rows = connection.execute(
        text(
            "SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND classid = :space AND granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            " AND (mode = 'ExclusiveLock' OR NOT :alone)"
        ),
        {"space": _LOCK_NAMESPACE, "alone": alone},
    )
    return {row.objid for row in rows} - {_NO_CAMPAIGN}


def open_database(settings: Settings, *, check_schema: bool = True, reading: ReadingLimits | None = None) -> Database:
    """Connect to `AGD_DATABASE_URL`, or start and join the embedded server.

    An empty embedded database gets its schema at once: nobody else can have wanted it otherwise. Who is only `reading`
    gets what is there.

    Raises:
        DatabaseError: no server answers.
        SchemaError: the schema is older or newer than this version of agd.
    """
    if settings.database_url is None:
        server = EmbeddedServer(settings.require_home(), linger_s=settings.server_linger_s)
        database = Database(server.acquire(), server, reading=reading)
    else:
        database = Database(settings.database_url, reading=reading)
    try:
        if check_schema:
            with database.transaction() as connection:
                if database.is_embedded and reading is None and schema.is_empty(connection):
                    schema.upgrade(connection)
                schema.require_current(connection)
    except BaseException:
        database.close()
        raise
    return database


def _leave_to_server(connection: session.Session | None, _record: object) -> None:
    """Let the server say again whether a transaction may write: SQLAlchemy leaves a READ WRITE where a reader was."""
    if connection is not None and not connection.closed:
        connection.read_only = None


@contextmanager
def _explained(where: str) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        meaning = causes.explained(error.orig, where, is_lost=error.connection_invalidated)
        if meaning is None:
            raise
        raise meaning from error
    except PoolTimeoutError as error:
        raise BusyError("all connections to the record are in use: try again in a moment") from error
    except psycopg.Error as error:  # of the driver's own cursor, which copies rows
        meaning = causes.explained(error, where)
        if meaning is None:
            raise
        raise meaning from error
