"""Who waits for somebody else's lock says whose it is."""

import time

import pytest
from sqlalchemy import text

from agd import waiting
from agd.db.connection import Database
from agd.db.queue_pool import QueuePool


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


def test_silence_is_broken_by_the_innermost_words(said: list[str]) -> None:
    with waiting.watched(said.append), waiting.waiting("the whole"), waiting.waiting(lambda: None):
        time.sleep(1.0)
    assert said == ["the whole"], "once, then at longer intervals"
    with waiting.watched(said.append), waiting.waiting("outer"), waiting.waiting(lambda: None, is_last_word=True):
        time.sleep(0.6)
    assert said == ["the whole"]
