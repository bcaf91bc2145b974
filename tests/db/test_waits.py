"""Who waits for somebody else's lock says whose it is."""

import threading
import time

import pytest
from sqlalchemy import text

from agd import waiting
from agd.db.connection import Database
from agd.db.queue.pool import QueuePool, Session


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(waiting, "FIRST_S", 0.2)
    monkeypatch.setattr(waiting, "_LOOK_S", 0.05)
    return []


def test_a_blocked_statement_names_the_backend_that_holds_the_lock(database: Database, said: list[str]) -> None:
    with Database(database.url) as other, other.transaction() as holder:
        pid = holder.scalar(text("SELECT pg_backend_pid()"))
        holder.execute(text("LOCK TABLE campaign, queue.document"))
        with waiting.watched(said.append):
            with pytest.raises(Exception, match="lock timeout"), database.transaction() as tx:  # noqa: PT012
                tx.execute(text("SET LOCAL lock_timeout = '2s'"))
                tx.execute(text("SELECT count(*) FROM campaign"))
            pool = QueuePool(database.url)
            with pytest.raises(Exception, match="lock timeout"):
                pool.run(lambda session: session.execute("SET lock_timeout = '2s'; SELECT * FROM queue.document"))
            pool.close()
    assert len(said) == 2, said
    assert all(f"waits for a lock that backend {pid} (agd" in words for words in said)


LOCK = "LOCK TABLE queue.collection IN SHARE ROW EXCLUSIVE MODE"
WRITE = "INSERT INTO queue.collection (database, name) VALUES ('any', %s)"


@pytest.mark.timeout(30)
@pytest.mark.parametrize("is_another_s", [False, True])
def test_what_is_done_aside_waits_for_no_one_who_waits_for_it(database: Database, *, is_another_s: bool) -> None:
    pool, other, outcomes = QueuePool(database.url), QueuePool(database.url), []

    def hold(session: Session) -> None:
        session.execute("BEGIN; " + LOCK + "; COMMIT")
        outcomes.append("held")

    waiter = threading.Thread(target=other.run, args=(hold,))

    def names() -> list[str]:
        return [name for (name,) in pool.run(lambda session: session.execute("SELECT name FROM queue.collection"))]

    def work() -> None:
        pool.run(lambda session: session.execute(WRITE, ["first"]))
        if is_another_s:
            waiter.start()
            while not other.run(lambda session: session.execute("SELECT FROM pg_locks WHERE NOT granted").rowcount):
                time.sleep(0.02)
        else:
            pool.run(lambda session: session.execute(LOCK))
        for number in range(60):  # of which the first alone waits
            pool.aside(lambda number=number: pool.run(lambda session: session.execute(WRITE, [str(number)])))  # type: ignore[misc]
        outcomes.append("done")

    pool.whole(work)
    if is_another_s:
        waiter.join()
    assert outcomes == ["done", "held"][: 1 + is_another_s]
    assert names() == ["first", *map(str, range(60))]
    pool.aside(lambda: pool.whole(lambda: pool.run(lambda session: session.execute(WRITE, ["later"]))))
    assert "later" in names()
    pool.close()
    other.close()


def test_silence_is_broken_by_the_innermost_words(said: list[str]) -> None:
    with waiting.watched(said.append), waiting.waiting("the whole"), waiting.waiting(lambda: None):
        time.sleep(1.0)
    assert said == ["the whole"], "once, then at longer intervals"
    with waiting.watched(said.append), waiting.waiting("outer"), waiting.waiting(lambda: None, is_last_word=True):
        time.sleep(0.6)
    assert said == ["the whole"]
