"""Connections for the queue: raw, prepared, shared by threads and never by processes."""

import os
import select
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

import psycopg
from psycopg import errors, pq

from agd.db import causes
from agd.db.address import resolve
from agd.db.blockers import BLOCKER, blocked_by
from agd.db.session import Session, connect
from agd.errors import InputError, SchemaError
from agd.waiting import waiting

__all__ = ["QueuePool", "Session"]

_T = TypeVar("_T")

# One plan per statement serves all values, and no plan made while the queue was empty reads or sorts all of a full one.
_SETTINGS = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "enable_sort": "off"}
_NAME = "the URL of the queue (AGD_LAUNCHPAD_URL)"
_ATTEMPTS = 6


class QueuePool:
    """Opens connections as threads need them and keeps them for the next; after a fork the child opens its own."""

    def __init__(
        self, url: str, *, user: str | None = None, password: str | None = None, heeds_shell: bool = True
    ) -> None:
        """Touch no server yet; `heeds_shell` as of a server of the user's own.

        Raises:
            InputError: the URL cannot be read.
        """
        if url.partition("://")[0].partition("+")[0] not in {"postgresql", "postgres"}:
            raise InputError("a queue in PostgreSQL has a URL such as postgresql://user@host:port/database")
        given = {key: value for key, value in (("user", user), ("password", password)) if value}
        self._address = resolve(url, heeds_shell=heeds_shell, name=_NAME, what="the queue", given=given)
        self.where = self._address.where
        self._idle: deque[Session] = deque()
        self._inherited: list[deque[Session]] = []
        self._pid = os.getpid()
        self._whole = threading.local()
        self._finalizer = weakref.finalize(self, _close_all, self._idle, self._pid)

    def close(self) -> None:
        """Close what no thread is using; a later call opens anew."""
        _close_all(self._idle, self._pid)

    def run(self, work: Callable[[Session], _T], *, is_repeatable: bool = False) -> _T:
        """Call `work` with each of its statements a transaction, of which at most the last may write.

        It is called again where the server is told to go away, and wherever it went away if that does no harm.

        Raises:
            DatabaseError: the server does not answer, or refuses.
            SchemaError: it has no queue yet.
        """
        if (session := self._opened) is not None:
            return work(session)
        with _explained(self.where):
            with self._lent() as session:
                try:
                    return work(session)
                except psycopg.OperationalError as error:
                    if not isinstance(error, errors.AdminShutdown) and not (is_repeatable and session.broken):
                        raise
            with self._lent() as session:
                return work(session)

    def transact(self, work: Callable[[Session], _T]) -> _T:
        """Call `work` in a transaction, again where a deadlock or a lost connection undid it before its end."""
        if (session := self._opened) is not None:
            return work(session)
        with _explained(self.where):
            for left in reversed(range(_ATTEMPTS)):
                with self._lent() as session:
                    try:
                        session.execute("BEGIN")
                        done = work(session)
                    except (errors.DeadlockDetected, errors.SerializationFailure):
                        if not left:
                            raise
                        continue
                    except psycopg.OperationalError:
                        if left < _ATTEMPTS - 1 or not session.broken:
                            raise
                        continue
                    session.execute("COMMIT")
                    return done
        raise AssertionError

    def whole(self, work: Callable[[], _T]) -> _T:
        """Let everything that this thread does in `work` be one transaction: all of it is there, or none.

        `work` is called again where a deadlock undid it.
        """
        if self._opened is not None:
            return work()

        def opened(session: Session) -> _T:
            self._whole.session = session
            try:
                return work()
            except Exception as error:
                if session.pgconn.transaction_status == pq.TransactionStatus.INERROR and _is_undone(error):
                    raise errors.DeadlockDetected("undone by a deadlock") from error
                raise
            finally:
                self._whole.session = None

        return self.transact(opened)

    def aside(self, work: Callable[[], _T]) -> _T:
        """Let what is done in `work` stand by itself, whatever becomes of the transaction around it."""
        around, self._whole.session = self._opened, None
        try:
            return work()
        finally:
            self._whole.session = around

    @property
    def is_whole(self) -> bool:
        """Whether this thread is in a transaction that `whole` opened."""
        return self._opened is not None

    @property
    def _opened(self) -> Session | None:
        session: Session | None = getattr(self._whole, "session", None)
        return session

    @contextmanager
    def _lent(self) -> Iterator[Session]:
        session = self._take()
        pid = session.info.backend_pid

        def words() -> str | None:
            with connect(self._address) as other:
                row = other.execute(BLOCKER.format(pid=pid)).fetchone()
            return None if row is None else blocked_by(*row)

        try:
            with waiting(words, is_urgent=True):
                yield session
        finally:
            if not session.closed and session.pgconn.transaction_status != pq.TransactionStatus.IDLE:
                with suppress(psycopg.Error):
                    session.execute("ROLLBACK")
            if session.closed or session.pgconn.transaction_status != pq.TransactionStatus.IDLE:
                session.close()
            else:
                self._idle.append(session)

    def _take(self) -> Session:
        if self._pid != os.getpid():
            self._inherited.append(self._idle)  # the parent's: neither used nor closed here
            self._idle = deque()
            self._pid = os.getpid()
            self._finalizer.detach()
            self._finalizer = weakref.finalize(self, _close_all, self._idle, self._pid)
        while self._idle:
            try:
                session = self._idle.pop()
            except IndexError:
                break  # another thread was faster
            if _is_quiet(session):
                return session
            session.close()
        return connect(self._address, application_name="agd queue", more=_SETTINGS, prepare_threshold=1)


def _is_undone(error: BaseException | None) -> bool:
    """Whether a deadlock lies behind the error, which FireWorks may have caught and raised as another."""
    while error is not None:
        if isinstance(error, (errors.DeadlockDetected, errors.SerializationFailure)):
            return True
        error = error.__cause__ or error.__context__
    return False


def _is_quiet(session: Session) -> bool:
    """Whether an idle connection is still one: a server that goes away says so, or hangs up."""
    if session.closed:
        return False
    poll = select.poll()
    poll.register(session.fileno(), select.POLLIN)
    return not poll.poll(0)


def _close_all(idle: deque[Session], pid: int) -> None:
    while idle and pid == os.getpid():
        with suppress(IndexError):
            idle.pop().close()


@contextmanager
def _explained(where: str) -> Iterator[None]:
    try:
        yield
    except (errors.UndefinedTable, errors.InvalidSchemaName, errors.UndefinedFunction) as error:
        raise SchemaError(f"{where} is not set up yet: run `agd db upgrade`") from error
    except errors.CheckViolation as error:
        field = str(error.diag.constraint_name).removeprefix("ck_document_").removesuffix("_is_no_list")
        raise InputError(f"{field} of a document of the queue cannot be a list: name it otherwise") from error
    except psycopg.Error as error:
        meaning = causes.explained(error, where, _NAME)
        if meaning is None:
            raise
        raise meaning from error
