"""Connections for the queue: raw, prepared, shared by threads and never by processes."""

import os
import select
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TypeAlias, TypeVar

import psycopg
from psycopg import errors, pq

from agd.db import causes
from agd.db.absences import outlasting
from agd.db.address import resolve
from agd.db.blockers import BLOCKER, blocked_by
from agd.db.session import Session, connect
from agd.errors import InputError, SchemaError
from agd.waiting import waiting

__all__ = ["QueuePool", "Session"]

_T = TypeVar("_T")
_Idle: TypeAlias = dict[bool, deque[Session]]
"""Sessions that no thread is using: those that wait for locks as long as it takes, and those that do not."""

# One plan per statement serves all values, and no plan made while the queue was empty reads or sorts all of a full one.
_SETTINGS = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "enable_sort": "off"}
_NAME = "the URL of the queue (AGD_LAUNCHPAD_URL)"
_ATTEMPTS = 6
_UNDONE = (errors.DeadlockDetected, errors.SerializationFailure)
_PATIENCE = {"lock_timeout": "1s"}
"""Of what is done aside: as long as a server waits, unless told otherwise, before it looks for a deadlock."""


class _Whole(threading.local):
    """The transaction that a thread is in."""

    session: Session | None = None
    is_aside = False
    """Whether the thread is out of it for a moment."""

    is_alone = False
    """Whether all that was to be done aside is done in it."""


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
        self.era = object()
        """Another one whenever a transaction was undone: what was learnt in it may be wrong."""
        self._outlasted_s = 0.0
        self._revive: Callable[[], None] = _leave_alone
        self._idle = _none()
        self._inherited: list[_Idle] = []
        self._pid = os.getpid()
        self._whole = _Whole()
        self._finalizer = weakref.finalize(self, _close_all, self._idle, self._pid)

    def close(self) -> None:
        """Close what no thread is using; a later call opens anew."""
        _close_all(self._idle, self._pid)

    def outlast(self, seconds: float, revive: Callable[[], None]) -> None:
        """Wait so long for a server that went away, and have it revived, before a call says that it does not answer."""
        self._outlasted_s, self._revive = seconds, revive

    def run(self, work: Callable[[Session], _T], *, is_repeatable: bool = False) -> _T:
        """Call `work` with each of its statements a transaction, of which at most the last may write.

        It is called again where the server is told to go away, and wherever it went away if that does no harm.

        Raises:
            DatabaseError: the server does not answer, or refuses.
            SchemaError: it has no queue yet.
        """
        if (session := self._whole.session) is not None:
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
        if (session := self._whole.session) is not None:
            return work(session)
        with _explained(self.where):
            for left in reversed(range(_ATTEMPTS)):
                with self._lent() as session:
                    try:
                        session.execute("BEGIN")
                        done = work(session)
                    except _UNDONE:
                        if not left:
                            raise
                        continue
                    except psycopg.OperationalError as error:
                        is_lost = session.broken or isinstance(error, errors.AdminShutdown)  # said before it hangs up
                        if left < _ATTEMPTS - 1 or not is_lost:
                            raise
                        continue
                    session.execute("COMMIT")
                    return done
        raise AssertionError

    def whole(self, work: Callable[[], _T]) -> _T:
        """Let everything that this thread does in `work` be one transaction: all of it is there, or none.

        `work` is called again where a deadlock undid it.
        """
        if self.is_whole:
            return work()

        def opened(session: Session) -> _T:
            self._whole.session = session
            try:
                return work()
            except Exception as error:
                if session.pgconn.transaction_status == pq.TransactionStatus.INERROR and _lies_behind(error, *_UNDONE):
                    raise errors.DeadlockDetected("undone by a deadlock") from error
                raise
            finally:
                self._whole.session, self._whole.is_alone = None, False

        return self.transact(opened)

    def aside(self, work: Callable[[], _T]) -> _T:
        """Let what is done in `work` stand by itself, whatever becomes of the transaction around it.

        Where it is not given a lock soon, it is called again and done in the transaction after all, as is all that
        follows: who has the lock may be waiting for this transaction, or be this transaction, and no server sees that.
        """
        around = self._whole.session
        if around is None or self._whole.is_alone:
            return work()
        self._whole.session, self._whole.is_aside = None, True
        try:
            return work()
        except Exception as error:
            if not _lies_behind(error, errors.LockNotAvailable):
                raise
            self._whole.is_alone = True
        finally:
            self._whole.session, self._whole.is_aside = around, False
        return work()

    @property
    def is_whole(self) -> bool:
        """Whether this thread is in a transaction that `whole` opened."""
        return self._whole.session is not None

    @contextmanager
    def _lent(self) -> Iterator[Session]:
        idle, session = self._take(is_patient=not self._whole.is_aside)
        pid = session.info.backend_pid

        def words() -> str | None:
            with connect(self._address) as other:
                row = other.execute(BLOCKER.format(pid=pid)).fetchone()
            return None if row is None else blocked_by(*row)

        try:
            with waiting(words, is_urgent=True):
                yield session
        finally:
            if session.closed or session.pgconn.transaction_status != pq.TransactionStatus.IDLE:
                self.era = object()
                with suppress(psycopg.Error):
                    session.execute("ROLLBACK")
            if session.closed or session.pgconn.transaction_status != pq.TransactionStatus.IDLE:
                session.close()
            else:
                idle.append(session)

    def _take(self, *, is_patient: bool) -> tuple[deque[Session], Session]:
        """A session, and where it goes afterwards."""
        if self._pid != os.getpid():
            self._inherited.append(self._idle)  # the parent's: neither used nor closed here
            self._idle = _none()
            self._pid = os.getpid()
            self._finalizer.detach()
            self._finalizer = weakref.finalize(self, _close_all, self._idle, self._pid)
        idle, more = self._idle[is_patient], _SETTINGS if is_patient else _SETTINGS | _PATIENCE
        while idle:
            try:
                session = idle.pop()
            except IndexError:
                break  # another thread was faster
            if _is_quiet(session):
                return idle, session
            session.close()
        return idle, self._connected(more)

    def _connected(self, more: Mapping[str, str]) -> Session:
        def attempt() -> Session:
            with _explained(self.where):
                return connect(self._address, application_name="agd queue", more=more, prepare_threshold=1)

        return outlasting(attempt, self._outlasted_s, self._revive)


def _leave_alone() -> None:
    """What is done for a server that is away, unless somebody says otherwise."""


def _lies_behind(error: BaseException | None, *kinds: type[BaseException]) -> bool:
    """Whether one of these is the cause of an error, which FireWorks may have caught and raised as another."""
    while error is not None:
        if isinstance(error, kinds):
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


def _none() -> _Idle:
    return {True: deque(), False: deque()}


def _close_all(idle: _Idle, pid: int) -> None:
    for each in idle.values():
        while each and pid == os.getpid():
            with suppress(IndexError):
                each.pop().close()


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
