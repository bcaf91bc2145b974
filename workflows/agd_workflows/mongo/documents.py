"""Documents on their way into the queue and out: BSON keeps them exactly, JSON is what filters see."""

import base64
import hashlib
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
from bson import json_util
from bson.errors import InvalidDocument
from pymongo.errors import DocumentTooLarge

from agd.db.queue.statements import Found, Stored

MAX_BYTES = 16 * 1024 * 1024
"""MongoDB's limit; FireWorks puts larger actions into GridFS when it is told."""

_MAX_KEY_CHARACTERS = 500
_EXACT_FLOAT = 2**53
_REPLACEMENT = "\ufffd"
_EXACT = "$exact"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def store(document: Mapping[str, Any], keys: tuple[tuple[str, str], ...] = ()) -> Stored:
    """Encode a document.

    Raises:
        InvalidDocument: BSON cannot hold it.
        DocumentTooLarge: it exceeds MongoDB's limit.
    """
    content = {name: value for name, value in document.items() if name != "_id"}
    exact = bson.encode(content)
    if len(exact) > MAX_BYTES:
        raise DocumentTooLarge(f"BSON document too large ({len(exact)} bytes): the limit is {MAX_BYTES} bytes")
    return Stored(id_key(document["_id"]), as_json(bson.decode(exact)), exact, keys)


def load(found: Found) -> dict[str, Any]:
    """Decode a document, anew at each call."""
    newer = {name: _read_json(value) for name, value in (found.newer or {}).items()}
    return {"_id": _read_id(found.id_key), **bson.decode(found.bson), **newer}


def as_json(value: object) -> str:
    """JSON that PostgreSQL takes: dates as milliseconds, other types by MongoDB's extended JSON."""
    try:
        text = json.dumps(value, default=_extended, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = "\\u0000"
    if "\\u0000" in text:
        text = json.dumps(_without_oddities(value), default=_extended, ensure_ascii=False, separators=(",", ":"))
    return text


def scalar_json(value: object) -> tuple[str, ...] | None:
    """The JSON values of which one equals `value`, None where JSON cannot tell."""
    match value:
        case None:
            return ("null",)
        case bool() | 0 | 1:
            return ("1", "true") if value else ("0", "false")  # as in Python
        case int() | float() if abs(value) < _EXACT_FLOAT:  # infinity and NaN are not
            return (as_json(value),)
        case str() if not set(value) & {"\0", _REPLACEMENT} and _is_unicode(value):
            return (as_json(value),)
        case _:
            return None


def id_key(value: object) -> str:
    """An `_id` as the JSON that identifies it; equal numbers are one."""
    if isinstance(value, bson.ObjectId):
        return f'{{"$oid":"{value}"}}'
    if isinstance(value, (list, bson.Regex)):
        raise InvalidDocument("an _id can be neither a list nor a regular expression")
    if isinstance(value, Mapping):
        value = dict(sorted(value.items()))
    wrapped = bson.encode({"": value})
    plain = bson.decode(wrapped)[""]
    if isinstance(plain, float) and plain.is_integer():
        plain = int(plain)
    if isinstance(plain, (str, int, datetime, type(None))) or (isinstance(plain, float) and math.isfinite(plain)):
        key = json.dumps(plain, default=_extended)
        if "\\u0000" not in key:  # which PostgreSQL's JSON cannot hold
            return key
    return json.dumps({_EXACT: base64.b64encode(wrapped).decode()})


def unique_key(values: list[object]) -> str:
    """The values of a unique index as text, shortened where long."""
    plain = bson.decode(bson.encode({"": values}))[""]
    text = json.dumps(_without_oddities(plain), default=_extended, sort_keys=True)
    return text if len(text) <= _MAX_KEY_CHARACTERS else hashlib.sha256(text.encode()).hexdigest()


def _read_id(key: str) -> Any:
    if key.startswith('{"$oid":"'):
        return bson.ObjectId(key[9:33])
    content = json.loads(key)
    if not isinstance(content, dict):
        return content
    if _EXACT in content:
        return bson.decode(base64.b64decode(content[_EXACT]))[""]
    return _read_json(content)


def _read_json(value: Any) -> Any:
    """A value of the queue's JSON, of those that SQL writes."""
    if isinstance(value, dict) and set(value) == {"$date"}:
        return _EPOCH.replace(tzinfo=None) + timedelta(milliseconds=value["$date"])
    return value


def _extended(value: object) -> object:
    if isinstance(value, datetime):
        return {"$date": round((value.replace(tzinfo=UTC) - _EPOCH).total_seconds() * 1000)}
    return json_util.default(value)


def _without_oddities(value: object) -> object:
    """A copy without what PostgreSQL's JSON refuses; whole floats become integers, their equals."""
    if isinstance(value, dict):
        return {str(_without_oddities(name)): _without_oddities(content) for name, content in value.items()}
    if isinstance(value, list):
        return [_without_oddities(content) for content in value]
    if isinstance(value, str):
        return value.replace("\0", _REPLACEMENT)
    if isinstance(value, float):
        if not math.isfinite(value):
            return {"$numberDouble": str(value)}
        return int(value) if value.is_integer() else value
    return value


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
