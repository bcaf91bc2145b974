"""Latent vectors in bulk."""

from collections.abc import Iterator

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from agd.db.connection import Database, Transaction
from agd.db.record import suggestions

SETUP = """
INSERT INTO activity (kind, agd_version, host, cpu, threads, pid) VALUES ('test', '0', 'h', 'c', 1, 1);
INSERT INTO composition (reduced_formula, chemical_system, anonymous_formula, n_elements, n_atoms, activity_id)
    VALUES ('NaCl', 'Cl-Na', 'AB', 2, 2, 1), ('KCl', 'Cl-K', 'AB', 2, 2, 1), ('LiF', 'F-Li', 'AB', 2, 2, 1);
INSERT INTO training_set (sha256, n_members, activity_id) VALUES ('t', 1, 1);
INSERT INTO artifact (sha256, format, n_bytes, activity_id) VALUES ('a', 'npz', 1, 1);
INSERT INTO model_version (kind, plugin, architecture_version, options, seed, training_set_id, recipe_sha256,
    tensors_sha256, metrics, activity_id)
    VALUES ('autoencoder', 'set', 1, '{}', 0, 1, 'm1', 'a', '{}', 1),
           ('autoencoder', 'set', 1, '{}', 1, 1, 'm2', 'a', '{}', 1);
"""


@pytest.fixture
def tx(database: Database) -> Iterator[Transaction]:
    with database.transaction() as opened:
        opened.execute(text(SETUP))
        yield opened


def stored(tx: Transaction) -> dict[int, tuple[int, int | None, list[float]]]:
    rows = tx.execute(text("SELECT id, model_version_id, composition_id, vector FROM latent"))
    return {row.id: (row.model_version_id, row.composition_id, row.vector) for row in rows}


def test_ids_come_back_in_the_order_of_the_rows(tx: Transaction) -> None:
    rows = [(3, [0.0, 3.0]), (None, [1.0, -1.0]), (1, [0.0, 1.0]), (None, [2.0, -2.0]), (None, [1.0, -1.0])]
    ids = suggestions.store_latents(tx, 1, 1, rows)
    assert len(set(ids)) == 5
    assert all(type(i) is int for i in ids)
    found = stored(tx)
    assert [found[i] for i in ids] == [(1, composition, vector) for composition, vector in rows]


def test_an_encoded_composition_has_one_row_per_model_version(tx: Transaction) -> None:
    first = suggestions.store_latents(tx, 1, 1, [(1, [1.0]), (2, [2.0]), (1, [9.0])])
    assert first[0] == first[2] != first[1]
    again = suggestions.store_latents(tx, 1, 1, [(3, [3.0]), (None, [0.0]), (2, [9.0])])
    assert again[2] == first[1]
    other = suggestions.store_latents(tx, 2, 1, [(2, [9.0])])
    assert other[0] not in first
    found = stored(tx)
    assert [found[i] for i in (*first, *again, *other)] == [
        *((1, 1, [1.0]), (1, 2, [2.0]), (1, 1, [1.0])),
        *((1, 3, [3.0]), (1, None, [0.0]), (1, 2, [2.0])),
        (2, 2, [9.0]),
    ]
    assert len(found) == 5


def test_vectors_come_back_bit_for_bit(tx: Transaction) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((9000, 7)).astype(np.float32)
    vectors[0] = [0.1, -0.0, 3.4028235e38, 1e-45, 1.17549435e-38, -1.0, 16777217.0]
    ids = suggestions.store_latents(tx, 1, 1, [(None, vector.tolist()) for vector in vectors])
    found = stored(tx)
    assert np.array([found[i][2] for i in ids], np.float32).tobytes() == vectors.tobytes()


def test_nothing_is_stored_for_no_rows(tx: Transaction) -> None:
    assert suggestions.store_latents(tx, 1, 1, []) == []
    assert stored(tx) == {}


def test_a_composition_that_is_not_in_the_record_is_refused(tx: Transaction) -> None:
    with pytest.raises(IntegrityError, match="fk_latent_composition_id"), tx.begin_nested():
        suggestions.store_latents(tx, 1, 1, [(None, [0.0]), (99, [0.0])])
    assert stored(tx) == {}
