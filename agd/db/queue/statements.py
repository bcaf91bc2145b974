"""The queue's documents in SQL: conditions on them, and statements that read and write them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import errors

from agd.db.queue.conditions import Bound, Condition, SortKey, is_impossible
from agd.db.queue.pool import Session
from agd.errors import AgdError


class DuplicateError(AgdError):
    """The `_id` or the value of a unique index is taken."""


class StaleError(AgdError):
    """The collection's indexes changed since the caller read them."""


@dataclass(frozen=True, slots=True)
class Collection:
    """One collection as the server knows it; `indexes` are extended JSON by name."""

    id: int
    version: int
    is_created: bool
    indexes: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stored:
    """A document on its way in: `keys` are pairs of unique index and value."""

    id_key: str
    body: str
    bson: bytes
    keys: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Found:
    """A document on its way out: fields in `newer`, as JSON, go over those in `bson`.

    `is_odd` where SQL cannot tell its place in the order asked for.
    """

    position: int
    id_key: str
    revision: int
    bson: bytes
    newer: dict[str, Any] | None = None
    is_odd: bool = False

    def after(self, new: Stored) -> "Found":
        """The same document once `new` is written."""
        return Found(self.position, self.id_key, self.revision + 1, new.bson)


def open_collection(session: Session, database: str, name: str) -> Collection:
    """Return the collection, with a row made where it has none; such a row alone does not create it."""
    for _ in range(2):
        row = session.execute(
            "SELECT id, version, is_created, indexes FROM queue.collection WHERE database = %s AND name = %s",
            (database, name),
        ).fetchone()
        if row is not None:
            return Collection(*row)
        session.execute(
            "INSERT INTO queue.collection (database, name) VALUES (%s, %s) ON CONFLICT DO NOTHING", (database, name)
        )
    raise AssertionError


def collection_names(session: Session) -> list[tuple[str, str]]:
    """Database and name of each collection that was created, indexed, or holds a document."""
    rows = session.execute(
        "SELECT database, name FROM queue.collection c WHERE is_created OR indexes <> '{}'"
        " OR EXISTS (SELECT FROM queue.document d WHERE d.collection_id = c.id) ORDER BY id"
    )
    return [(database, name) for database, name in rows]


def create_collection(session: Session, collection_id: int) -> None:
    """Let the collection exist even when empty."""
    session.execute("UPDATE queue.collection SET is_created = true WHERE id = %s", (collection_id,))


def drop_collection(session: Session, collection_id: int) -> None:
    """Remove documents and indexes; run it in a transaction."""
    session.execute("DELETE FROM queue.document WHERE collection_id = %s", (collection_id,))
    session.execute(
        "UPDATE queue.collection SET is_created = false, indexes = '{}', version = version + 1 WHERE id = %s",
        (collection_id,),
    )


def move_collection(session: Session, old_id: int, new_id: int) -> None:
    """Give documents and indexes to another collection, which is empty; run it in a transaction."""
    hold_writers(session)
    keys = session.execute(
        "DELETE FROM queue.unique_key WHERE collection_id = %s RETURNING id_key, index_name, key", (old_id,)
    ).fetchall()
    session.execute("UPDATE queue.document SET collection_id = %s WHERE collection_id = %s", (new_id, old_id))
    session.execute(
        "INSERT INTO queue.unique_key (collection_id, id_key, index_name, key)"
        " SELECT %s, * FROM unnest(%s::text[], %s::text[], %s::text[])",
        (new_id, *([row[column] for row in keys] for column in range(3))),
    )
    session.execute(
        "UPDATE queue.collection n SET indexes = o.indexes, is_created = true, version = n.version + 1"
        " FROM queue.collection o WHERE n.id = %s AND o.id = %s",
        (new_id, old_id),
    )
    drop_collection(session, old_id)


def set_index(session: Session, collection_id: int, name: str, declaration: str | None) -> None:
    """Declare an index, or with None forget it."""
    session.execute(
        "UPDATE queue.collection SET version = version + 1,"
        " indexes = (indexes - %(name)s::text) || coalesce(jsonb_build_object(%(name)s::text, %(new)s::jsonb), '{}')"
        " WHERE id = %(id)s"
        if declaration is not None
        else "UPDATE queue.collection SET version = version + 1, indexes = indexes - %(name)s::text WHERE id = %(id)s",
        {"name": name, "new": declaration, "id": collection_id},
    )


def hold_writers(session: Session) -> None:
    """Let nobody write documents until the transaction ends; those who waited find a new version."""
    session.execute("LOCK TABLE queue.document IN SHARE ROW EXCLUSIVE MODE")


def set_keys(session: Session, collection_id: int, index_name: str, keys: Sequence[tuple[str, str]]) -> None:
    """Replace the values of a unique index by pairs of document and value.

    Raises:
        DuplicateError: two documents share a value.
    """
    session.execute(
        "DELETE FROM queue.unique_key WHERE collection_id = %s AND index_name = %s", (collection_id, index_name)
    )
    try:
        session.execute(
            "INSERT INTO queue.unique_key (collection_id, index_name, id_key, key)"
            " SELECT %s, %s, * FROM unnest(%s::text[], %s::text[])",
            (collection_id, index_name, [id_key for id_key, _ in keys], [key for _, key in keys]),
        )
    except errors.UniqueViolation as error:
        raise DuplicateError(index_name) from error


LOCKED = " FOR NO KEY UPDATE OF d"
SKIPPING = " FOR NO KEY UPDATE OF d SKIP LOCKED"


def find(
    session: Session,
    collection_id: int,
    condition: Condition,
    order: tuple[SortKey, ...] = (),
    *,
    skip: int = 0,
    limit: int = 0,
    lock: str = "",
) -> list[Found]:
    """The documents in order, natural where none is given; `lock` is LOCKED or SKIPPING."""
    if is_impossible(condition):
        return []
    bound = Bound({"collection": collection_id})
    where, pin = bound.where(condition)
    odd, by = bound.order(order, pin)
    fields = f"d.position, d.id_key, d.revision, d.base_bson, d.newer, {odd}"
    sql = f"SELECT {fields} FROM queue.document d WHERE {where} ORDER BY {by}"
    if limit:
        sql += f" LIMIT {bound.bind(limit)}"
    if skip:
        sql += f" OFFSET {bound.bind(skip)}"
    rows = session.execute(sql + lock, bound.values, binary=True)
    return [Found(*row) for row in rows]


def count(session: Session, collection_id: int, condition: Condition) -> int:
    """How many documents there are."""
    bound = Bound({"collection": collection_id})
    where, _ = bound.where(condition)
    row = session.execute(f"SELECT count(*) FROM queue.document d WHERE {where}", bound.values).fetchone()
    return int(row[0]) if row is not None else 0


def insert(session: Session, collection: Collection, documents: Sequence[Stored]) -> None:
    """Add documents, in this order; one statement.

    Raises:
        DuplicateError: an `_id` or a unique value is taken; nothing was added.
        StaleError: the indexes are not those of `collection`; nothing was added.
    """
    keyed = [(document.id_key, *key) for document in documents for key in document.keys]
    try:
        row = session.execute(
            "WITH fresh AS (SELECT id FROM queue.collection WHERE id = %s AND version = %s),"
            " added AS (INSERT INTO queue.document (collection_id, id_key, body, base_bson)"
            "  SELECT fresh.id, n.id_key, n.body::jsonb, n.bson FROM fresh, unnest(%s::text[], %s::text[], %s::bytea[])"
            "  WITH ORDINALITY AS n (id_key, body, bson, number) ORDER BY n.number RETURNING id_key),"
            " keyed AS (INSERT INTO queue.unique_key (collection_id, id_key, index_name, key)"
            "  SELECT fresh.id, k.* FROM fresh, unnest(%s::text[], %s::text[], %s::text[]) AS k)"
            " SELECT count(*) FROM added",
            (
                collection.id,
                collection.version,
                [document.id_key for document in documents],
                [document.body for document in documents],
                [document.bson for document in documents],
                [id_key for id_key, _, _ in keyed],
                [index_name for _, index_name, _ in keyed],
                [key for _, _, key in keyed],
            ),
        ).fetchone()
    except errors.UniqueViolation as error:
        raise DuplicateError(str(error.diag.constraint_name)) from error
    if row is None or row[0] != len(documents):
        raise StaleError(collection.id)


_UPDATE = (
    "UPDATE queue.document SET body = %s::jsonb, base_bson = %s, newer = NULL, revision = revision + 1"
    " WHERE collection_id = %s AND position = %s AND revision = %s"
    " AND (SELECT version FROM queue.collection WHERE id = %s) = %s"
)


def update(session: Session, collection: Collection, changes: Sequence[tuple[Found, Stored]]) -> int:
    """Write documents back, each where it is still as found and the indexes are those of `collection`; return how many.

    A changed unique value is `rekey`'s to store.
    """
    rows = [
        (new.body, new.bson, collection.id, old.position, old.revision, collection.id, collection.version)
        for old, new in changes
    ]
    if len(rows) == 1:
        return session.execute(_UPDATE, rows[0]).rowcount
    with session.cursor() as cursor:
        cursor.executemany(_UPDATE, rows)
        return cursor.rowcount


def rekey(session: Session, collection: Collection, document: Stored) -> None:
    """Store the document's unique values anew; run it in a transaction.

    Raises:
        DuplicateError: one of them is taken.
    """
    session.execute(
        "DELETE FROM queue.unique_key WHERE collection_id = %s AND id_key = %s", (collection.id, document.id_key)
    )
    try:
        session.execute(
            "INSERT INTO queue.unique_key (collection_id, id_key, index_name, key)"
            " SELECT %s, %s, * FROM unnest(%s::text[], %s::text[])",
            (collection.id, document.id_key, [name for name, _ in document.keys], [key for _, key in document.keys]),
        )
    except errors.UniqueViolation as error:
        raise DuplicateError(str(error.diag.constraint_name)) from error


def delete(session: Session, collection_id: int, documents: Iterable[Found]) -> int:
    """Remove those documents that are still as found; return how many."""
    rows = [(document.position, document.revision) for document in documents]
    return session.execute(
        "DELETE FROM queue.document d USING unnest(%s::bigint[], %s::bigint[]) AS gone (position, revision)"
        " WHERE d.collection_id = %s AND d.position = gone.position AND d.revision = gone.revision",
        ([position for position, _ in rows], [revision for _, revision in rows], collection_id),
    ).rowcount


def delete_where(session: Session, collection_id: int, condition: Condition) -> int:
    """Remove all documents that meet a condition; return how many."""
    bound = Bound({"collection": collection_id})
    where, _ = bound.where(condition)
    return session.execute(f"DELETE FROM queue.document d WHERE {where}", bound.values).rowcount
