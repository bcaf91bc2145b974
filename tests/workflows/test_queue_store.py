"""What the queue keeps and refuses: types, indexes, large documents, files, names; and which client serves whom."""

# ruff: noqa: DTZ001 - BSON dates have no zone

import importlib.metadata
import math
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import bson
import fireworks.core.launchpad
import fireworks.fw_config
import fireworks.utilities.filepad
import gridfs
import pymongo
import pytest
from bson.errors import InvalidDocument
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mongomock import BulkWriteError, DuplicateKeyError, WriteError
from pymongo.errors import DocumentTooLarge
from sqlalchemy import text

from agd.db import schema
from agd.db.connection import Database
from agd.db.queue.pool import QueuePool
from agd.errors import DatabaseError, InputError, SchemaError
from agd_workflows import launchpad
from agd_workflows.mongo import connecting
from agd_workflows.mongo.client import QueueClient


@pytest.fixture
def client(database_url: str) -> Iterator[QueueClient]:
    opened = QueueClient(database_url)
    yield opened
    opened.close()


@pytest.fixture
def things(client: QueueClient) -> Any:
    return client["agd"]["things"]


RICH = {
    "date": datetime(2026, 1, 2, 3, 4, 5, 678000),
    "before 1970": datetime(1901, 1, 1, 0, 0, 0, 1000),
    "object id": bson.ObjectId("0123456789abcdef01234567"),
    "bytes": b"\x00\xff",
    "binary": bson.Binary(b"x", 5),
    "infinite": [math.inf, -math.inf],
    "zero": -0.0,
    "floats": [1.0, 1e22, 5e-324, 1.7976931348623157e308, 0.1],
    "large": [2**63 - 1, -(2**63)],
    "decimal": bson.Decimal128("1.10"),
    "regex": bson.Regex("a.b", "i"),
    "text": 'nul \x00 � \\u0000 " é 😀',
    "": {"deep.key": [{}, [], None, True, False]},
    "order": {"z": 1, "a": 2, "m": 3},
}


def test_what_goes_in_comes_out(things: Any) -> None:
    things.insert_one({"_id": 1, **RICH})
    found = things.find_one({"_id": 1})
    assert found == {"_id": 1, **RICH}
    assert [type(value) for value in found.values()] == [int, *(type(value) for value in RICH.values())]
    assert math.copysign(1, found["zero"]) == -1
    assert [type(value) for value in found["floats"]] == [float] * 5
    assert list(found["order"]) == ["z", "a", "m"]
    things.update_one(
        {"_id": 1},
        {
            "$set": {
                "n": math.nan,
                "pair": (1, (2,)),
                "here": datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
            }
        },
    )
    found = things.find_one({"_id": 1})
    assert math.isnan(found["n"])
    assert (found["pair"], found["here"]) == ([1, [2]], datetime(2026, 1, 1))
    assert things.count_documents({"text": RICH["text"]}) == things.count_documents({"infinite": math.inf}) == 1
    assert things.count_documents({"text": "nul"}) == 0


NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])).filter(lambda name: name[:1] != "$")
DATES = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)).map(
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
)
PLAIN = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text() | st.binary()
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
@given(st.recursive(PLAIN | DATES, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner)))
def test_anything_goes_in_and_comes_out(things: Any, value: Any) -> None:
    things.delete_many({})
    things.insert_one({"_id": 1, "v": value})
    assert things.find_one() == {"_id": 1, "v": value}


@pytest.mark.parametrize(
    "key", [1, -1, 2**40, 1.5, "a", 'x"\\\x00é', None, True, datetime(2026, 1, 1), b"b", {"a": 1}, bson.ObjectId()]
)
def test_any_id_is_found_again(things: Any, key: Any) -> None:
    things.insert_one({"_id": key, "n": 1})
    assert things.find_one({"_id": key}) == {"_id": key, "n": 1}
    assert things.find_one_and_update({"_id": key}, {"$inc": {"n": 1}})["_id"] == key
    with pytest.raises(DuplicateKeyError):
        things.insert_one({"_id": key})
    assert things.delete_one({"_id": key}).deleted_count == 1


@pytest.mark.parametrize("wrong", [{"n": 2**64}, {"n": object()}, {"$a": 1}, {"a\0": 1}, {1: 2}])
def test_what_bson_cannot_hold_is_refused(things: Any, wrong: dict[Any, Any]) -> None:
    with pytest.raises((InvalidDocument, OverflowError, ValueError)):
        things.insert_one(wrong)
    assert things.count_documents({}) == 0


@pytest.mark.parametrize("field", ["fw_id", "launch_id", "files_id", "state"])
def test_an_indexed_scalar_is_no_list(things: Any, field: str) -> None:
    with pytest.raises(InputError, match=f"{field} of a document of the queue cannot be a list"):
        things.insert_one({field: [1]})


def test_a_unique_index_is_kept(things: Any, database_url: str) -> None:
    other = QueueClient(database_url)["agd"]["things"]
    other.insert_one({"_id": 1, "k": 1})
    things.create_index("k", unique=True)
    for one in (things, other):  # the other learns of the index when it writes
        with pytest.raises(DuplicateKeyError):
            one.insert_one({"_id": 2, "k": 1})
        with pytest.raises(DuplicateKeyError):
            one.update_one({"_id": 3}, {"$set": {"k": 1}}, upsert=True)
    things.insert_one({"_id": 2, "k": 2})
    with pytest.raises(DuplicateKeyError):
        other.update_one({"_id": 2}, {"$set": {"k": 1}})
    with pytest.raises(DuplicateKeyError):
        other.update_many({}, {"$set": {"k": 7}})
    assert [one["k"] for one in things.find()] == [1, 2]
    things.update_one({"_id": 1}, {"$set": {"k": 3}})
    other.insert_one({"_id": 4, "k": 1})  # given up, so free
    things.delete_one({"_id": 2})
    other.find_one_and_replace({"_id": 4}, {"k": 2})
    assert things.index_information()["k_1"]["unique"]
    things.drop_index("k_1")
    other.insert_one({"_id": 5, "k": 2})
    with pytest.raises(DuplicateKeyError):
        things.create_index("k", unique=True)
    assert "k_1" not in things.index_information()
    other.database.client.close()


def test_sparse_and_partial_indexes(things: Any) -> None:
    things.create_index("s", unique=True, sparse=True)
    things.create_index("p", unique=True, partialFilterExpression={"on": True})
    things.insert_many([{"p": 1}, {"p": 1}, {"p": 1, "on": True}])
    with pytest.raises(DuplicateKeyError):
        things.insert_one({"p": 1, "on": True})
    with pytest.raises(NotImplementedError, match="expire"):
        things.create_index("d", expireAfterSeconds=1)


def test_many_inserts_stop_at_the_first_error_or_go_on(things: Any) -> None:
    with pytest.raises(BulkWriteError) as caught:
        things.insert_many([{"_id": 1}, {"_id": 1}, {"_id": 2}])
    assert caught.value.details["nInserted"] == 1
    with pytest.raises(BulkWriteError):
        things.insert_many([{"_id": 1}, {"_id": 2}], ordered=False)
    assert [one["_id"] for one in things.find()] == [1, 2]
    things.insert_many({"_id": n} for n in range(3, 2503))
    assert [one["_id"] for one in things.find()] == list(range(1, 2503))


def test_an_id_cannot_be_changed(things: Any) -> None:
    things.insert_one({"_id": 1})
    with pytest.raises(WriteError, match="immutable"):
        things.update_one({"_id": 1}, {"$set": {"_id": 2}})
    assert list(things.find()) == [{"_id": 1}]


def test_a_document_above_16_mb_is_refused_and_files_hold_it(client: QueueClient, things: Any) -> None:
    content = b"ab" * (9 << 20)
    things.insert_one({"_id": 1})
    for change in (
        lambda: things.insert_one({"c": content}),
        lambda: things.update_one({"_id": 1}, {"$set": {"c": content}}),
    ):
        with pytest.raises(DocumentTooLarge):
            change()
    launchpad.install()
    files = gridfs.GridFS(client["agd"], "fs")
    identity = files.put(content, metadata={"launch_id": 3})
    assert files.get(identity).read() == content
    assert [file._id for file in files.find({"metadata.launch_id": 3})] == [identity]
    files.delete(identity)
    assert client["agd"]["fs.chunks"].count_documents({}) == 0


def test_names_of_what_there_is(client: QueueClient) -> None:
    assert client.list_database_names() == []
    one = client["one"]
    assert one["nothing"].find_one() is None
    assert one.list_collection_names() == []
    one["a"].insert_one({})
    one["b"].create_index("x")
    one.create_collection("c")
    client["two"]["d"].insert_one({})
    assert sorted(one.list_collection_names()) == ["a", "b", "c"]
    assert one.list_collection_names({"name": {"$regex": "a"}}) == ["a"]
    assert sorted(client.list_database_names()) == ["one", "two"]
    one["a"].create_index("k", unique=True)
    one["a"].rename("z")
    assert one["a"].count_documents({}) == 0
    with pytest.raises(DuplicateKeyError):
        one["z"].insert_one({})
    one["z"].drop()
    assert sorted(one.list_collection_names()) == ["b", "c"]
    client.drop_database("one")
    assert client.list_database_names() == ["two"]
    assert client["two"]["d"].count_documents({}) == 1


def test_documents_are_rows_that_sql_can_read(client: QueueClient, database_url: str) -> None:
    client["agd"]["fireworks"].insert_one({"fw_id": 1, "state": "READY", "updated_on": datetime(2026, 1, 1)})
    with Database(database_url) as record, record.transaction() as tx:
        assert tx.execute(text("SELECT body ->> 'state', body -> 'updated_on' FROM queue.document")).all() == [
            ("READY", {"$date": 1767225600000})
        ]


def test_dates_come_with_their_zone_where_asked(database_url: str) -> None:
    client = QueueClient(database_url, tz_aware=True)
    client["agd"]["t"].insert_one({"_id": 1, "d": datetime(2026, 1, 1, tzinfo=UTC)})
    assert client["agd"]["t"].find_one() == {"_id": 1, "d": datetime(2026, 1, 1, tzinfo=UTC)}
    client.close()


# -- which client


def test_fireworks_gets_the_queue_for_postgresql_and_pymongo_for_the_rest(database_url: str) -> None:
    launchpad.install()
    launchpad.install()
    for module in (fireworks.fw_config, fireworks.core.launchpad, fireworks.utilities.filepad):
        assert module.MongoClient is connecting.connect
    for url in (
        database_url,
        database_url.replace("+psycopg", ""),
        database_url.replace("postgresql+psycopg", "postgres"),
    ):
        client = fireworks.fw_config.MongoClient(url, 27017, authSource="x", socketTimeoutMS=1)
        assert isinstance(client, QueueClient)
        assert client.list_database_names() == []
        client.close()
    for host in ("mongodb://localhost:1", "localhost"):
        plain = fireworks.fw_config.MongoClient(host, connect=False, serverSelectionTimeoutMS=1)
        assert type(plain) is pymongo.MongoClient
        plain.close()


def test_a_launchpad_says_nothing(database_url: str, capfd: pytest.CaptureFixture[str]) -> None:
    opened = launchpad.open_launchpad(database_url)
    opened.reset("", require_password=False)
    opened.add_wf(fireworks.Firework(fireworks.PyTask(func="time.time")))
    assert opened.get_fw_ids() == [1]
    assert capfd.readouterr() == ("", "")
    opened.connection.close()
    with pytest.raises(InputError, match="postgresql://"):
        launchpad.open_launchpad("http://x")


def test_another_mongomock_is_refused_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _name: "4.4.0")
    connecting.prepare.cache_clear()
    with pytest.raises(InputError, match=r"mongomock 4\.4\.0 .*pip install mongomock==4\.3\.0"):
        launchpad.install()


def test_a_server_that_does_not_answer_is_one_line() -> None:
    with pytest.raises(DatabaseError, match=r"the queue at localhost:1/x does not answer .*agd db status"):
        launchpad.open_launchpad("postgresql://u:secret@localhost:1/x")
    with pytest.raises(InputError, match="cannot be used"):
        QueuePool("postgresql://[half")


def test_a_database_without_the_queue_is_refused_with_the_cure(database: Database, database_url: str) -> None:
    with database.transaction() as tx:
        schema.downgrade(tx, "0002")
    with pytest.raises(SchemaError, match="agd db upgrade"):
        launchpad.open_launchpad(database_url)


def test_importing_it_does_nothing() -> None:
    heavy = ("fireworks", "pymongo", "mongomock", "psycopg")
    program = f"import sys, agd_workflows.launchpad; print([m for m in {heavy} if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
