"""mongomock's collection, over the queue in PostgreSQL: its semantics, our storage, locks and claims."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bson import ObjectId
from bson.errors import InvalidDocument
from mongomock.collection import Collection as MongoCollection
from mongomock.collection import (
    Cursor,
    ReturnDocument,
    _validate_data_fields,
    _validate_document_stages,
    validate_is_mapping,
    validate_is_mutable_mapping,
    validate_list_or_mapping,
)
from mongomock.helpers import make_datetime_timezone_aware_in_document as with_zones
from mongomock.helpers import patch_datetime_awareness_in_document as without_zones
from mongomock.not_implemented import raise_for_feature
from pymongo.errors import BulkWriteError, DocumentTooLarge, DuplicateKeyError, WriteError

from agd.db.queue import statements
from agd.db.queue.pool import Session
from agd.db.queue.statements import Collection
from agd_workflows.mongo import aggregation
from agd_workflows.mongo.claims import Alter, Changes, Claim, Document
from agd_workflows.mongo.documents import load
from agd_workflows.mongo.filters import translate, translate_sort
from agd_workflows.mongo.matching import is_match, matching, ordered
from agd_workflows.mongo.stores import CollectionStore

_ATTEMPTS = 5
_AT_ONCE = 1000


class QueueCursor(Cursor):  # type: ignore[misc]  # mongomock has no types
    """A cursor that asks the server for no more than its window."""

    _window: tuple[object, ...] | None = None

    def _compute_results(self, with_limit_and_skip: bool = False) -> list[Document]:  # noqa: FBT001, FBT002 - as mongomock calls it
        skip, limit = (self._skip, abs(self._limit or 0)) if with_limit_and_skip else (0, 0)
        window = (self._factory, skip, limit)
        if self._window != window:
            self._results = self.collection.read(self._spec, self._sort, self._projection, skip=skip, limit=limit)
            self._window = window
        results: list[Document] = self._results
        return results

    def clone(self) -> "QueueCursor":
        """A cursor for the same question, not yet asked."""
        return QueueCursor(self.collection, self._spec, self._sort, self._projection, self._skip, self._limit or 0)


class QueueCollection(MongoCollection):  # type: ignore[misc]  # same
    """A collection whose documents any number of processes share; each call is one transaction."""

    _store: CollectionStore

    def with_options(self, **options: Any) -> "QueueCollection":
        """This collection under other options."""
        other = super().with_options(**options)
        if isinstance(other, QueueCollection):
            return other
        return QueueCollection(
            self.database,
            self.name,
            self._db_store,
            write_concern=other._write_concern,  # noqa: SLF001 - mongomock's class, which is ours too
            read_concern=other._read_concern,  # noqa: SLF001 - same
            read_preference=other._read_preference,  # noqa: SLF001 - same
            codec_options=other._codec_options,  # noqa: SLF001 - same
        )

    # -- reading

    def find(self, *args: Any, **options: Any) -> QueueCursor:
        """As in pymongo."""
        asked = super().find(*args, **options)
        spec, sort, projection = asked._spec, asked._sort, asked._projection  # noqa: SLF001 - a cursor of mongomock's
        return QueueCursor(self, spec, sort, projection, asked._skip, asked._limit or 0)  # noqa: SLF001 - same

    def find_one(self, filter: Any = None, *args: Any, **options: Any) -> Document | None:  # noqa: A002 - as in pymongo
        """As in pymongo."""
        wanted = filter if isinstance(filter, Mapping) else {} if filter is None else {"_id": filter}
        return next(self.find(wanted, *args, **options).limit(-1), None)

    def count_documents(self, filter: Any, **options: Any) -> int:  # noqa: A002 - as in pymongo
        """As in pymongo."""
        if isinstance(filter, Mapping) and not options:
            wanted, known = translate(without_zones(filter)), self._store.known()
            if wanted.is_exact:
                return self._store.pool.run(
                    lambda session: statements.count(session, known.id, wanted.condition), is_repeatable=True
                )
        counted: int = super().count_documents(filter, **options)
        return counted

    def read(self, spec: Any, sort: Any, projection: Any, *, skip: int = 0, limit: int = 0) -> list[Document]:
        """The documents that `spec` matches, in order, as far as `projection` shows them."""
        documents = self._search(spec, sort, skip=skip, limit=limit)
        return [self._shown(document, projection) for document in documents]

    def _shown(self, document: Document, projection: Any) -> Document:
        if projection:
            fields = dict(projection) if isinstance(projection, Mapping) else projection
            document = self._copy_only_fields(document, fields, dict)
        return with_zones(document) if self.codec_options.tz_aware else document

    def _search(self, spec: Any, sort: Any = None, *, skip: int = 0, limit: int = 0) -> list[Document]:
        wanted, order, known = translate(spec), translate_sort(sort), self._store.known()
        pool = self._store.pool
        if limit and order is not None:
            skipped = skip if wanted.is_exact and not order else 0  # what cannot be ordered comes first, to be seen
            found = pool.run(
                lambda session: statements.find(
                    session, known.id, wanted.condition, order, skip=skipped, limit=skip + limit - skipped
                ),
                is_repeatable=True,
            )
            documents = [load(one) for one in found]
            if not any(one.is_odd for one in found) and all(is_match(wanted, spec, one) for one in documents):
                return documents[skip - skipped :]
        found = pool.run(lambda session: statements.find(session, known.id, wanted.condition), is_repeatable=True)
        documents = ordered(matching(wanted, spec, map(load, found)), sort)
        return documents[skip : skip + limit if limit else None]

    def _iter_documents(self, filter: Any) -> Iterator[Document]:  # noqa: A002 - as in mongomock
        return iter(self._search(filter))

    def _get_dataset(self, spec: Any, sort: Any, fields: Any, as_class: Any) -> Iterator[Document]:  # noqa: ARG002 - always dict
        return iter(self.read(spec, sort, fields))

    def aggregate(self, pipeline: Sequence[Mapping[str, Any]], session: Any = None, **_options: Any) -> Any:
        """As in pymongo, as far as mongomock knows the stages."""
        stages = list(pipeline)
        first = stages[0].get("$match") if stages and len(stages[0]) == 1 else None
        if first is not None and len(stages) == 2 and set(stages[1]) == {"$count"} and translate(first).is_exact:  # noqa: PLR2004 - both of them
            n = self.count_documents(first)
            return aggregation.process([{stages[1]["$count"]: n}], self.database, [], session)
        documents = self._search({} if first is None else first)
        return aggregation.process(documents, self.database, stages if first is None else stages[1:], session)

    # -- writing

    def _insert(self, data: Any, session: Any = None, ordered: bool = True) -> Any:  # noqa: FBT001, FBT002 - as in mongomock
        _refuse(session=session)
        if isinstance(data, Mapping):
            _validate(data)
            return self._insert_all([data])[0]
        documents = list(data)
        try:
            for document in documents:
                _validate(document)
            return self._insert_all(documents)
        except (WriteError, InvalidDocument, OverflowError, ValueError, DocumentTooLarge):
            return self._insert_each(documents, is_ordered=ordered)

    def _insert_all(self, documents: Sequence[Any]) -> list[Any]:
        """All of them or none."""
        for document in documents:
            document.setdefault("_id", ObjectId())

        def work(session: Session, known: Collection) -> None:
            for start in range(0, len(documents), _AT_ONCE):
                batch = [self._store.encode(document) for document in documents[start : start + _AT_ONCE]]
                statements.insert(session, known, batch)

        self._store.last = None
        self._store.run(work, is_transaction=len(documents) > _AT_ONCE)
        return [document["_id"] for document in documents]

    def _insert_each(self, documents: Sequence[Any], *, is_ordered: bool) -> list[Any]:
        """As far as it goes: what was inserted before an error stays."""
        inserted, refused = [], []
        for number, document in enumerate(documents):
            try:
                inserted.append(self._insert(document))
            except WriteError as error:
                refused.append({"index": number, "code": error.code, "errmsg": str(error), "op": document})
                if is_ordered:
                    break
        if refused:
            raise BulkWriteError({"writeErrors": refused, "nInserted": len(inserted)})
        return inserted

    def _update(
        self,
        spec: Any,
        document: Any,
        upsert: bool = False,  # noqa: FBT001, FBT002 - as in mongomock
        manipulate: bool = False,  # noqa: ARG002, FBT001, FBT002 - same
        multi: bool = False,  # noqa: FBT001, FBT002 - same
        **options: Any,
    ) -> dict[str, Any]:
        _refuse(**options)
        validate_is_mapping("spec", spec)
        validate_list_or_mapping("document", document)
        spec, document = without_zones(spec), without_zones(document)
        if isinstance(document, list):
            _validate_document_stages(document)
        alter = self._altering(spec, document)
        changes, upserted = self._change_or_upsert(spec, document, alter, is_upsert=upsert, is_multi=multi)
        return {
            "connectionId": self.database.client._id,  # noqa: SLF001 - mongomock's client
            "err": None,
            "n": len(changes) + (upserted is not None),
            "nModified": sum(old != new for old, new in changes),
            "ok": 1,
            "upserted": upserted,
            "updatedExisting": bool(changes),
        }

    def _find_and_modify(
        self,
        query: Any,
        projection: Any = None,
        update: Any = None,
        upsert: bool = False,  # noqa: FBT001, FBT002 - as in mongomock
        sort: Any = None,
        return_document: bool = ReturnDocument.BEFORE,  # noqa: FBT001 - same
        session: Any = None,
        **options: Any,
    ) -> Document | None:
        is_removing = options.pop("remove", False)
        _refuse(session=session, **options)
        if not is_removing and not update:
            raise ValueError("Must either update or remove")
        query, update = without_zones(query), without_zones(update)
        alter = _removed if is_removing else self._altering(None, update)
        changes, upserted = self._change_or_upsert(
            query, update, alter, sort=sort, is_upsert=upsert and not is_removing
        )
        if return_document is ReturnDocument.AFTER and not is_removing:
            if changes:
                return self._shown(changes[0][1] or {}, projection)
            return None if upserted is None else self.find_one({"_id": upserted}, projection)
        return self._shown(changes[0][0], projection) if changes else None

    def _delete(self, filter: Any, multi: bool = False, **options: Any) -> dict[str, Any]:  # noqa: A002, FBT001, FBT002 - as in mongomock
        _refuse(**options)
        spec = without_zones({} if filter is None else filter if isinstance(filter, Mapping) else {"_id": filter})
        wanted = translate(spec)
        if multi and wanted.is_exact:
            known = self._store.known()
            self._store.last = None
            n = self._store.pool.run(lambda session: statements.delete_where(session, known.id, wanted.condition))
        else:
            n = len(self._change_all(spec, _removed) if multi else Claim(self._store, spec, None, _removed).settle())
        return {"connectionId": self.database.client._id, "n": n, "ok": 1.0, "err": None}  # noqa: SLF001 - mongomock's

    def _altering(self, spec: Any, update: Any) -> Alter:
        """What an update does to a document; without a `spec` it is the document's own `_id`."""

        def alter(document: Document) -> Document:
            identity = document["_id"]
            if isinstance(update, list):
                self._apply_update_pipeline(document, update, None)
            else:
                self._apply_update_document(
                    document, {"_id": identity} if spec is None else spec, update, was_insert=False
                )
            if document.get("_id") != identity:
                raise WriteError(
                    "After applying the update, the (immutable) field '_id' was found to have been altered to "
                    f"_id: {document.get('_id')}"
                )
            return document

        return alter

    def _change_or_upsert(
        self, spec: Any, update: Any, alter: Alter, *, is_upsert: bool, is_multi: bool = False, sort: Any = None
    ) -> tuple[Changes, Any]:
        """What was changed, and the `_id` of what was inserted because there was nothing to change."""
        for left in reversed(range(_ATTEMPTS)):
            changes = self._change_all(spec, alter) if is_multi else Claim(self._store, spec, sort, alter).settle()
            if changes or not is_upsert:
                return changes, None
            try:
                return [], self._insert(self._new(spec, update))
            except DuplicateKeyError:
                if not left:
                    raise
        raise AssertionError

    def _new(self, spec: Any, update: Any) -> Document:
        """The document that an upsert inserts."""
        identity = spec.get("_id")
        if identity is None and not isinstance(update, list):
            identity = update.get("_id")
        fresh = self._expand_dots({**spec, "_id": ObjectId() if identity is None else identity})
        document: Document = self._discard_operators(fresh)[0]
        if isinstance(update, list):
            self._apply_update_pipeline(document, update, None)
        else:
            self._apply_update_document(document, spec, update, was_insert=True)
        return document

    def _change_all(self, spec: Any, alter: Alter) -> Changes:
        """Change every match, all or none."""
        wanted = translate(spec)
        self._store.last = None

        def work(session: Session, known: Collection) -> Changes:
            found = statements.find(session, known.id, wanted.condition, lock=statements.LOCKED)
            matches = [(one, old) for one in found if is_match(wanted, spec, old := load(one))]
            changes = [(one, old, alter(load(one))) for one, old in matches]
            self._store.write(session, known, changes)
            return [(old, new) for _, old, new in changes]

        return self._store.run(work)


def _removed(_document: Document) -> None:
    """An `Alter` that removes."""


def _refuse(**options: Any) -> None:
    """Options that mongomock does not know either."""
    for name, value in options.items():
        if value:
            raise_for_feature(name, f"The {name} argument is not implemented in mongomock yet.")


def _validate(document: Any) -> None:
    validate_is_mutable_mapping("document", document)
    if not all(isinstance(name, str) for name in document):
        raise ValueError("Document keys must be strings")
    _validate_data_fields(document)
