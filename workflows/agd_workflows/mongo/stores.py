"""mongomock's stores, over the queue in PostgreSQL: what exists, its indexes, and whole documents in and out."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from bson import json_util
from mongomock import DuplicateKeyError
from mongomock.filtering import filter_applies
from mongomock.helpers import get_value_by_dot

from agd.db.queue import statements
from agd.db.queue.conditions import ANYTHING
from agd.db.queue.pool import QueuePool, Session
from agd.db.queue.statements import Collection, Found, Stored
from agd_workflows.mongo.documents import load, store, unique_key

_T = TypeVar("_T")

_ATTEMPTS = 5


class QueueServer:
    """All databases of one URL."""

    def __init__(self, pool: QueuePool) -> None:
        self.pool = pool
        self._databases: dict[str, DatabaseStore] = {}

    def __getitem__(self, name: str) -> "DatabaseStore":
        return self._databases.setdefault(name, DatabaseStore(self.pool, name))

    def __contains__(self, name: str) -> bool:
        return name in self.list_created_database_names()

    def list_created_database_names(self) -> list[str]:
        """Databases that have a collection."""
        return list(
            dict.fromkeys(database for database, _ in self.pool.run(statements.collection_names, is_repeatable=True))
        )


class DatabaseStore:
    """All collections of one database."""

    def __init__(self, pool: QueuePool, name: str) -> None:
        self.pool = pool
        self.name = name
        self._stores: dict[str, CollectionStore] = {}

    def __getitem__(self, name: str) -> "CollectionStore":
        return self._stores.setdefault(name, CollectionStore(self.pool, self.name, name))

    def __contains__(self, name: str) -> bool:
        return name in self.list_created_collection_names()

    @property
    def _collections(self) -> list[str]:
        return self.list_created_collection_names()

    @property
    def is_created(self) -> bool:
        """Whether there is a collection."""
        return bool(self.list_created_collection_names())

    def list_created_collection_names(self) -> list[str]:
        """Collections that were created, indexed, or hold a document."""
        known = self.pool.run(statements.collection_names, is_repeatable=True)
        return [name for database, name in known if database == self.name]

    def create_collection(self, name: str) -> None:
        """Let an empty collection exist."""
        self[name].create()

    def rename(self, name: str, new_name: str) -> None:
        """Give all that a collection has to another, which is empty."""
        old, new = self[name].known(), self[new_name].known()
        self.pool.transact(lambda session: statements.move_collection(session, old.id, new.id))
        for one in (name, new_name):
            self[one].forget()


class CollectionStore:
    """One collection, by what this process knows of it; whoever writes on outdated knowledge reads anew and repeats."""

    def __init__(self, pool: QueuePool, database: str, name: str) -> None:
        self.pool = pool
        self._database = database
        self.name = name
        self._known: Collection | None = None
        self._unique: dict[str, dict[str, Any]] = {}
        self._last: Found | None = None
        self._era = pool.era

    @property
    def last(self) -> Found | None:
        """What this process wrote last, if nothing else since: likely what it writes next, and likely still so."""
        self._unlearn()
        return self._last

    @last.setter
    def last(self, found: Found | None) -> None:
        self._last = found

    def _unlearn(self) -> None:
        """Forget what is known from a transaction that may have been undone: others number their versions anew."""
        if self._era is not self.pool.era:
            self._era = self.pool.era
            self.forget()

    def known(self) -> Collection:
        """The collection as it was when last looked at."""
        self._unlearn()
        if self._known is None:
            self._known = self.pool.run(self._open, is_repeatable=True)
            indexes = _read_indexes(self._known)
            self._unique = {name: index for name, index in indexes.items() if index.get("unique")}
        return self._known

    def unique_on(self, field: str) -> tuple[str, ...] | None:
        """Names of the unique indexes, None where one is not on this field alone."""
        self.known()
        is_plain = all(
            [name for name, _ in index["key"]] == [field] and "partialFilterExpression" not in index
            for index in self._unique.values()
        )
        return tuple(self._unique) if is_plain else None

    def forget(self) -> None:
        """Look anew next time."""
        self._known = self._last = None

    def _open(self, session: Session) -> Collection:
        return statements.open_collection(session, self._database, self.name)

    def _current(self) -> Collection:
        self._known = None
        return self.known()

    def run(self, work: Callable[[Session, Collection], _T], *, is_transaction: bool = True) -> _T:
        """Call `work`, again where the collection's indexes turn out to be others.

        Raises:
            DuplicateKeyError: an `_id` or a value of a unique index is taken.
        """
        for left in reversed(range(_ATTEMPTS)):
            known = self.known()
            lend = self.pool.transact if is_transaction else self.pool.run
            try:
                return lend(lambda session, known=known: work(session, known))  # type: ignore[misc]
            except statements.StaleError:
                self._known = None
                if not left:
                    raise
            except statements.DuplicateError as error:
                raise DuplicateKeyError(f"E11000 Duplicate Key Error in {self.name}: {error}", 11000) from error
        raise AssertionError

    def encode(self, document: Mapping[str, Any]) -> Stored:
        """The document with its values of the unique indexes."""
        return store(document, self.keys(document))

    def keys(self, document: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
        """The document's values of the unique indexes that cover it."""
        self.known()
        keys = ((name, _unique_value(document, index)) for name, index in self._unique.items())
        return tuple((name, key) for name, key in keys if key is not None)

    def write(
        self,
        session: Session,
        known: Collection,
        changes: Iterable[tuple[Found, Mapping[str, Any], Mapping[str, Any] | None]],
    ) -> None:
        """Write locked documents back: as found, decoded, and as they shall be, None when they are to go."""
        gone, kept = [], []
        for found, old, new in changes:
            if new is None:
                gone.append(found)
                continue
            stored = self.encode(new)
            if stored.keys != self.keys(old):
                statements.rekey(session, known, stored)
            if stored.bson != found.bson or found.newer:
                kept.append((found, stored))
        if gone:
            statements.delete(session, known.id, gone)
        if kept and statements.update(session, known, kept) != len(kept):
            raise statements.StaleError(known.id)

    @property
    def indexes(self) -> dict[str, dict[str, Any]]:
        """The declared indexes, read now."""
        return _read_indexes(self._current())

    @property
    def is_created(self) -> bool:
        """Whether the collection exists, read now."""
        known = self._current()
        return known.is_created or bool(known.indexes) or not self.is_empty

    @property
    def is_empty(self) -> bool:
        """Whether it holds no document."""
        known = self.known()
        return not self.pool.run(
            lambda session: statements.find(session, known.id, ANYTHING, limit=1), is_repeatable=True
        )

    @property
    def documents(self) -> Iterator[dict[str, Any]]:
        """No document: mongomock's own check of a new unique index has nothing to find, `create_index` checks."""
        yield from ()

    def create(self) -> None:
        """Let the collection exist even when empty."""
        collection_id = self.known().id
        self.pool.run(lambda session: statements.create_collection(session, collection_id))

    def drop(self) -> None:
        """Remove documents and indexes."""
        collection_id = self.known().id
        self.pool.transact(lambda session: statements.drop_collection(session, collection_id))
        self.forget()

    def create_index(self, name: str, index: dict[str, Any]) -> None:
        """Declare an index; a unique one is checked and kept from now on.

        Raises:
            DuplicateKeyError: two documents share a value.
            NotImplementedError: documents are to expire.
        """
        if "expireAfterSeconds" in index:
            raise NotImplementedError("documents of a queue in PostgreSQL do not expire")
        if self.indexes.get(name) == index:
            return

        def declare(session: Session, known: Collection) -> None:
            if index.get("unique"):
                statements.hold_writers(session)
                found = statements.find(session, known.id, ANYTHING)
                documents = map(load, found)
                keys = (
                    (one.id_key, _unique_value(document, index)) for one, document in zip(found, documents, strict=True)
                )
                statements.set_keys(session, known.id, name, [(id_key, key) for id_key, key in keys if key is not None])
            statements.set_index(session, known.id, name, json_util.dumps(index))

        self.run(declare)
        self._known = None

    def drop_index(self, name: str) -> None:
        """Forget an index; KeyError where there is none."""
        if name not in self.indexes:
            raise KeyError(name)

        def forget(session: Session, known: Collection) -> None:
            statements.set_keys(session, known.id, name, [])
            statements.set_index(session, known.id, name, None)

        self.run(forget)
        self._known = None


def _read_indexes(known: Collection) -> dict[str, dict[str, Any]]:
    indexes: dict[str, dict[str, Any]] = json_util.loads(json.dumps(known.indexes))
    for index in indexes.values():
        index["key"] = [tuple(pair) for pair in index["key"]]
    return indexes


def _unique_value(document: Mapping[str, Any], index: Mapping[str, Any]) -> str | None:
    """The indexed values as text, None where the index does not cover the document."""
    condition = index.get("partialFilterExpression")
    if condition is not None and not filter_applies(condition, document):
        return None
    values: list[object] = []
    for name, _ in index["key"]:
        try:
            values.append(get_value_by_dot(document, name))
        except KeyError:
            values.append(None)
    if index.get("sparse") and all(value is None for value in values):
        return None
    return unique_key(values)
