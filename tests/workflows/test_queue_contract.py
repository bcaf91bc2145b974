"""The same calls to plain mongomock and to the queue in PostgreSQL: the same answers and the same documents."""

# ruff: noqa: DTZ001 - BSON dates have no zone

import itertools
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import mongomock
import pytest
from bson import ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import ReturnDocument

from agd_workflows.mongo.client import QueueClient
from agd_workflows.mongo.collection import QueueCollection

Pair = tuple[mongomock.Collection, QueueCollection]
_names = itertools.count()


@pytest.fixture
def client(database_url: str) -> Iterator[QueueClient]:
    opened = QueueClient(database_url)
    yield opened
    opened.close()


@pytest.fixture
def pair(client: QueueClient) -> Callable[[], Pair]:
    """Makes two empty collections of one name."""

    def make() -> Pair:
        name = f"c{next(_names)}"
        return mongomock.MongoClient()["db"][name], client["db"][name]

    return make


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 3), st.sampled_from([0.0, 1.0, 1.5, 1e22, -0.5]),
    st.sampled_from(["", "a", "b", "é"]),
    st.sampled_from([datetime(2026, 1, 2, 3, 4, 5, 6000), datetime(1969, 1, 1)]), st.just(ObjectId("0" * 24)),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    max_leaves=4,
)
FIELDS = {
    "a": VALUES,
    "b": VALUES,
    "nodes": st.lists(st.integers(1, 4), max_size=3) | SCALARS,
    "fw_id": SCALARS | st.integers(1, 4),
    "state": SCALARS | st.sampled_from(["READY", "RESERVED"]),
    "spec": st.fixed_dictionaries({}, optional={"_priority": VALUES, "_category": SCALARS}),
}
DOCUMENTS = st.fixed_dictionaries({"_id": st.integers(0, 5) | st.sampled_from("xyz")}, optional=FIELDS)
PATHS = st.sampled_from(
    [*FIELDS, "_id", "a.b", "a.b.c", "b.a", "b.0", "a.1.b", "spec._priority", "spec._category", "c"]
)
OPERATORS = st.one_of(
    st.builds(lambda v: {"$in": v}, st.lists(SCALARS, max_size=3)),
    st.builds(lambda v: {"$nin": v}, st.lists(SCALARS, max_size=3)),
    st.builds(lambda v: {"$ne": v}, SCALARS),
    st.builds(lambda v: {"$eq": v}, VALUES),
    st.builds(lambda v: {"$exists": v}, st.booleans()),
    st.builds(lambda v: {"$gt": v}, st.integers(-2, 3)),
    st.builds(lambda v: {"$exists": True, "$in": v}, st.lists(SCALARS, max_size=2)),
    st.builds(lambda v: {"$not": {"$eq": v}}, SCALARS),
    st.builds(lambda v: {"$size": v}, st.integers(0, 2)),
    st.just({"$regex": "a"}),
    st.builds(lambda v: {"$elemMatch": {"b": v}}, SCALARS),
)
CONDITIONS = st.dictionaries(PATHS, VALUES | OPERATORS, max_size=2)
FILTERS = st.one_of(
    CONDITIONS,
    st.builds(
        lambda key, parts: {key: parts},
        st.sampled_from(["$or", "$and", "$nor"]),
        st.lists(CONDITIONS, min_size=1, max_size=3),
    ),
    st.builds(lambda one, parts: {**one, "$or": parts}, CONDITIONS, st.lists(CONDITIONS, min_size=1, max_size=2)),
)  # fmt: skip
SORTS = st.lists(
    st.tuples(st.sampled_from(["a", "b", "_id", "fw_id", "spec._priority", "a.b", "state"]), st.sampled_from([1, -1])),
    min_size=1, max_size=2,
)  # fmt: skip
TARGETS = st.sampled_from(["a", "b", "a.b", "b.c", "nodes", "c"])
UPDATES = st.one_of(
    st.builds(lambda k, v: {"$set": {k: v}}, TARGETS, VALUES),
    st.builds(lambda v, w: {"$set": {"state": v, "fw_id": w}}, FIELDS["state"], FIELDS["fw_id"]),
    st.builds(lambda k: {"$unset": {k: ""}}, st.sampled_from(["a", "b", "a.b", "state", "locked"])),
    st.builds(lambda k, n: {"$inc": {k: n}}, st.sampled_from(["a", "c", "fw_id"]), st.integers(-2, 2)),
    st.builds(lambda k, v: {"$push": {k: v}}, st.sampled_from(["a", "nodes", "c"]), SCALARS),
    st.builds(lambda k, v: {"$addToSet": {k: v}}, st.sampled_from(["nodes", "c"]), SCALARS),
    st.builds(lambda k, v: {"$max": {k: v}}, st.sampled_from(["a", "c"]), st.integers(-2, 2)),
)


def answer(call: Callable[[Any], Any], collection: Any) -> Any:
    """What a call returns, or the kind of its error."""
    try:
        return call(collection)
    except Exception as error:  # noqa: BLE001 - any, to compare it
        return type(error)


def content(collection: Any) -> list[Any]:
    return [without_new_id(document) for document in collection.find()]


def without_new_id(document: Any) -> Any:
    """An inserted `_id` differs by nature."""
    if isinstance(document, dict) and isinstance(document.get("_id"), ObjectId):
        return {**document, "_id": "new"}
    return document


def fill(pair: Pair, documents: list[dict[str, Any]]) -> None:
    unique = {document["_id"]: document for document in documents}
    for collection in pair:
        for document in unique.values():
            collection.insert_one(dict(document))


RELAXED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)


@RELAXED
@given(st.lists(DOCUMENTS, max_size=6), FILTERS, SORTS | st.none(), st.integers(0, 2), st.integers(0, 3))
def test_finding(
    pair: Callable[[], Pair],
    documents: list[dict[str, Any]],
    wanted: dict[str, Any],
    sort: list[tuple[str, int]] | None,
    skip: int,
    limit: int,
) -> None:
    both = pair()
    fill(both, documents)
    for ask in (
        lambda c: list(c.find(wanted, sort=sort)),
        lambda c: list(c.find(wanted, sort=sort, skip=skip, limit=limit)),
        lambda c: list(c.find(wanted, {"a": 1, "b": 1}, sort=sort)),
        lambda c: list(c.find(wanted, {"a": 0, "_id": 0})),
        lambda c: c.find_one(wanted, ["state"], sort=sort),
        lambda c: c.count_documents(wanted),
        lambda c: list(c.aggregate([{"$match": wanted}, {"$count": "n"}])),
        lambda c: list(c.aggregate([{"$match": wanted}, {"$project": {"a": 1}}])),
    ):
        theirs, ours = (answer(ask, one) for one in both)
        if theirs is not TypeError:  # what mongomock cannot compare it meets or not, as it happens
            assert ours == theirs


@RELAXED
@given(st.lists(DOCUMENTS, max_size=5), FILTERS, UPDATES, SORTS | st.none(), st.booleans(), st.data())
def test_changing(
    pair: Callable[[], Pair],
    documents: list[dict[str, Any]],
    wanted: dict[str, Any],
    update: dict[str, Any],
    sort: list[tuple[str, int]] | None,
    is_upsert: bool,  # noqa: FBT001 - drawn
    data: st.DataObject,
) -> None:
    both = pair()
    fill(both, documents)
    replacement = data.draw(st.fixed_dictionaries({"a": VALUES}, optional={"state": FIELDS["state"]}))
    call = data.draw(
        st.sampled_from(
            [
                lambda c: c.update_one(wanted, update, upsert=is_upsert).raw_result["n"],
                lambda c: c.update_many(wanted, update).modified_count,
                lambda c: c.find_one_and_update(wanted, update, sort=sort),
                lambda c: c.find_one_and_update(wanted, update, sort=sort, return_document=ReturnDocument.AFTER),
                lambda c: c.find_one_and_replace(wanted, replacement, sort=sort),
                lambda c: c.replace_one(wanted, replacement).modified_count,
                lambda c: c.find_one_and_delete(wanted, sort=sort),
                lambda c: c.delete_one(wanted).deleted_count,
                lambda c: c.delete_many(wanted).deleted_count,
            ]
        )
    )
    theirs, ours = (answer(call, one) for one in both)
    if isinstance(theirs, type):  # mongomock may have changed something before it failed, we never do
        return
    assert without_new_id(ours) == without_new_id(theirs)
    assert content(both[1]) == content(both[0])
