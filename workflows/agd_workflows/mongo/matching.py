"""What SQL leaves to Python: filters and orders that only mongomock knows, on documents already read."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from mongomock.filtering import filter_applies, resolve_sort_key

from agd_workflows.mongo.filters import Filter


def matching(wanted: Filter, spec: Any, documents: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The documents that match; a wrong filter is an error even where there are none."""
    if wanted.is_exact:
        return list(documents)
    matches = [document for document in documents if filter_applies(spec, document)]
    if not matches:
        filter_applies(spec, {})
    return matches


def is_match(wanted: Filter, spec: Any, document: dict[str, Any]) -> bool:
    """Whether the document, one that SQL found, matches."""
    return wanted.is_exact or filter_applies(spec, document)


def ordered(documents: list[dict[str, Any]], sort: Any) -> list[dict[str, Any]]:
    """The documents by a Mongo sort; equal ones stay in natural order."""
    documents = documents.copy()
    pairs = list(sort.items() if isinstance(sort, Mapping) else sort or ())
    for name, direction in reversed(pairs):
        if name == "$natural":
            if direction < 0:
                documents.reverse()
        elif name.startswith("$"):
            raise NotImplementedError(f"Sorting by {name} is not implemented in mongomock yet")
        else:
            documents = sorted(documents, key=partial(resolve_sort_key, name), reverse=direction < 0)
    return documents
