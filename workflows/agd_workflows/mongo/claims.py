"""Changing one document so that no other process changes it at the same time."""

from collections.abc import Callable
from typing import Any, TypeAlias

from mongomock.filtering import filter_applies

from agd.db.queue import statements
from agd.db.queue.conditions import Ids, is_pinned
from agd.db.queue.pool import Session
from agd.db.queue.statements import Collection, Found
from agd_workflows.mongo.documents import load
from agd_workflows.mongo.filters import translate, translate_sort
from agd_workflows.mongo.matching import is_match, ordered
from agd_workflows.mongo.stores import CollectionStore

Document: TypeAlias = dict[str, Any]
Alter: TypeAlias = Callable[[Document], Document | None]
"""What becomes of a document, None when it is to go."""

Changes: TypeAlias = list[tuple[Document, Document | None]]
"""Documents before and after."""


class Claim:
    """The first match of a filter, to be changed by one process only."""

    def __init__(self, store: CollectionStore, spec: Any, sort: Any, alter: Alter) -> None:
        self._store = store
        self._spec = spec
        self._sort = sort
        self._alter = alter
        self._wanted = translate(spec)
        self._order = translate_sort(sort)
        self._is_pinned = is_pinned(self._wanted.condition)

    def settle(self) -> Changes:
        """Change it, if there is one.

        A document that the filter names is changed if it is still as read, with no lock held meanwhile. Any other is
        locked first: one of many in an order may as well be the next that is free, else the lock is waited for.
        """
        changes = None
        if self._is_pinned:
            known = self._store.known()
            changes = self._store.pool.run(lambda session: self._if_unchanged(session, known))
        return self._store.run(self._locked) if changes is None else changes

    def _if_unchanged(self, session: Session, known: Collection) -> Changes | None:
        """What was changed; None where it takes a lock."""
        last = self._store.last
        if last is not None and not self._sort and filter_applies(self._spec, document := load(last)):
            changes = self._exchange(session, known, last, document)
            if changes:
                return changes
        first = self._first(session, known, "")
        return [] if first is None else self._exchange(session, known, *first)

    def _exchange(self, session: Session, known: Collection, found: Found, old: Document) -> Changes | None:
        """What was changed; None where the document is no longer as found, or it takes a lock."""
        new = self._alter(load(found))
        self._store.last = None
        if new is None:
            return [(old, None)] if statements.delete(session, known.id, [found]) else None
        stored = self._store.encode(new)
        if stored.keys and stored.keys != self._store.keys(old):
            return None
        if not statements.update(session, known, [(found, stored)]):
            return None
        self._store.last = found.after(stored)
        return [(old, new)]

    def _locked(self, session: Session, known: Collection) -> Changes:
        is_any_as_good = self._sort and not self._is_pinned
        first = self._first(session, known, statements.SKIPPING) if is_any_as_good else None
        first = first or self._first(session, known, statements.LOCKED)
        if first is None:
            return []
        found, old = first
        new = self._alter(load(found))
        self._store.last = None
        self._store.write(session, known, [(found, old, new)])
        return [(old, new)]

    def _first(self, session: Session, known: Collection, lock: str) -> tuple[Found, Document] | None:
        if self._order is not None:
            condition = self._wanted.condition
            rows = statements.find(session, known.id, condition, self._order, limit=1, lock=lock)
            if not rows:
                return None
            if not rows[0].is_odd and is_match(self._wanted, self._spec, document := load(rows[0])):
                return rows[0], document
        for candidate in self._candidates(session, known):
            for row in statements.find(session, known.id, Ids((candidate.id_key,)), limit=1, lock=lock):
                if is_match(self._wanted, self._spec, document := load(row)):
                    return row, document
        return None

    def _candidates(self, session: Session, known: Collection) -> list[Found]:
        """The matches in order, none of them locked."""
        found = {one.position: one for one in statements.find(session, known.id, self._wanted.condition)}
        matches = [
            {**document, _POSITION: position}
            for position, one in found.items()
            if is_match(self._wanted, self._spec, document := load(one))
        ]
        return [found[document[_POSITION]] for document in ordered(matches, self._sort)]


_POSITION = "$position"
"""Beside a document's own fields, none of which starts so."""
