"""Latent vectors in bulk, by COPY in its binary form: as text, every number would be written and read by its digits."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text

from agd.db.connection import Transaction
from agd.types import Latents

_HEADER: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_END: Final = b"\xff\xff"
_REAL: Final = 700
_BLOCK: Final = 4096
_NOWHERE: Final = 0
"""In place of the id of a composition, which is never 0."""


def store(
    tx: Transaction, model_version_id: int, activity_id: int, composition_ids: Sequence[int | None], vectors: Latents
) -> list[int]:
    """Insert vectors `[n, n_latent]` with the composition that each encodes, or None; ids in the same order.

    An encoded composition has one row per model version: where it is there already, that row stands.
    """
    keys = np.array([_NOWHERE if i is None else i for i in composition_ids], np.int64)
    _fill_incoming(tx, keys, vectors)
    values = {"model": model_version_id, "activity": activity_id, "nowhere": _NOWHERE}
    # One order for every writer, so that two of them never wait for each other in a circle.
    tx.execute(
        text(
            "INSERT INTO latent (model_version_id, composition_id, vector, activity_id)"
            " SELECT DISTINCT ON (composition_id) :model, composition_id, vector, :activity FROM incoming_latent"
            " WHERE composition_id <> :nowhere ORDER BY composition_id, position"
            " ON CONFLICT (model_version_id, composition_id) DO NOTHING"
        ),
        values,
    )
    made = tx.execute(
        text(
            "INSERT INTO latent (model_version_id, vector, activity_id) SELECT :model, vector, :activity"
            " FROM incoming_latent WHERE composition_id = :nowhere ORDER BY position RETURNING id"
        ),
        values,
    ).scalars()
    known = tx.execute(
        text(
            "SELECT position, id FROM incoming_latent JOIN latent USING (composition_id)"
            " WHERE model_version_id = :model"
        ),
        values,
    )
    ids = np.zeros(len(keys), np.int64)
    ids[keys == _NOWHERE] = sorted(made)  # they were given in the order of the positions
    for position, i in known:
        ids[position] = i
    return [int(i) for i in ids]


def _fill_incoming(tx: Transaction, keys: NDArray[np.int64], vectors: Latents) -> None:
    definition = "position integer NOT NULL, composition_id bigint NOT NULL, vector real[] NOT NULL"
    tx.execute(text(f"CREATE TEMPORARY TABLE IF NOT EXISTS incoming_latent ({definition}) ON COMMIT DELETE ROWS"))
    tx.execute(text("TRUNCATE incoming_latent"))
    driver = tx.connection.driver_connection
    assert driver is not None  # noqa: S101  an open transaction has one
    with driver.cursor() as cursor, cursor.copy("COPY incoming_latent FROM STDIN (FORMAT binary)") as copy:
        copy.write(_HEADER)
        for start in range(0, len(vectors), _BLOCK):
            block = slice(start, start + _BLOCK)
            copy.write(_packed(start, keys[block], vectors[block]))
        copy.write(_END)


def _packed(start: int, keys: NDArray[np.int64], vectors: Latents) -> bytes:
    """Lay rows out as COPY reads them: each field after its size in bytes, all numbers big-endian."""
    n_latent = vectors.shape[1]
    item = np.dtype([("size", ">i4"), ("value", ">f4")])
    array = np.dtype(
        [
            ("n_dimensions", ">i4"),
            ("has_null", ">i4"),
            ("type", ">i4"),
            ("length", ">i4"),
            ("lower_bound", ">i4"),
            ("items", item, (n_latent,)),
        ]
    )
    row = np.dtype(
        [
            ("n_fields", ">i2"),
            ("position_size", ">i4"),
            ("position", ">i4"),
            ("key_size", ">i4"),
            ("key", ">i8"),
            ("vector_size", ">i4"),
            ("vector", array),
        ]
    )
    rows = np.zeros(len(vectors), row)
    rows["n_fields"] = 3
    rows["position_size"], rows["key_size"], rows["vector_size"] = 4, 8, array.itemsize
    rows["position"] = np.arange(start, start + len(vectors))
    rows["key"] = keys
    filled = rows["vector"]
    filled["n_dimensions"], filled["type"], filled["length"], filled["lower_bound"] = 1, _REAL, n_latent, 1
    filled["items"]["size"], filled["items"]["value"] = 4, vectors
    return rows.tobytes()
