"""Latent vectors into the record and out of it, beside raw COPY of the same rows. Wall time.

python tests/bench/bench_latents.py [--vectors 10000] [--rounds 7]
"""

import argparse
from collections.abc import Callable

import numpy as np
from sqlalchemy import select, text
from support import alternate, copy_back, copy_out, empty_record, wall_seconds

from agd.db.connection import Database, Transaction
from agd.db.record import suggestions
from agd.db.removals import open_removal
from agd.db.tables import latent
from agd.types import Latents

N_LATENT = 128

A_MODEL = """
INSERT INTO activity (kind, agd_version, host, cpu, threads, pid) VALUES ('bench', '0', 'h', 'c', 1, 1);
INSERT INTO training_set (sha256, n_members, activity_id) VALUES ('t', 1, 1);
INSERT INTO artifact (sha256, format, n_bytes, activity_id) VALUES ('a', 'npz', 1, 1);
INSERT INTO model_version (kind, plugin, architecture_version, options, seed, training_set_id, recipe_sha256,
    tensors_sha256, metrics, activity_id) VALUES ('autoencoder', 'set', 1, '{}', 0, 1, 'm', 'a', '{}', 1);
"""


def store(tx: Transaction, vectors: Latents) -> None:
    suggestions.store_latents(tx, 1, 1, [(None, vector.tolist()) for vector in vectors])


def read(tx: Transaction) -> Latents:
    """As the search reads its history."""
    return np.array([row.vector for row in tx.execute(select(latent.c.vector).order_by(latent.c.id))], np.float32)


def main() -> None:
    """Print rows per second in and out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="not needed: the vectors are random numbers")
    parser.add_argument("--vectors", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    vectors = np.random.default_rng(0).standard_normal((arguments.vectors, N_LATENT)).astype(np.float32)
    with empty_record() as database:
        with database.transaction() as tx:
            tx.execute(text(A_MODEL))
            store(tx, vectors)
        with database.transaction() as tx:
            assert np.array_equal(read(tx), vectors)
            finished = {form: copy_out(tx, "latent", form) for form in ("text", "binary")}

        def within(run: Callable[[Transaction], object], *, into_empty: bool) -> float:
            return _seconds(database, run, into_empty=into_empty)

        seconds = alternate(
            arguments.rounds,
            {
                "in": lambda: within(lambda tx: store(tx, vectors), into_empty=True),
                "in, raw COPY": lambda: within(
                    lambda tx: copy_back(tx, [("latent", finished["text"])]), into_empty=True
                ),
                "in, raw binary COPY": lambda: within(
                    lambda tx: copy_back(tx, [("latent", finished["binary"])], "binary"), into_empty=True
                ),
                "out": lambda: within(read, into_empty=False),
                "out, raw COPY": lambda: within(lambda tx: copy_out(tx, "latent"), into_empty=False),
                "out, raw binary COPY": lambda: within(lambda tx: copy_out(tx, "latent", "binary"), into_empty=False),
            },
        )
    print(f"{len(vectors):,} vectors of {N_LATENT}, wall time, commit included")
    for name, value in seconds.items():
        print(f"{name:24} {len(vectors) / value:12,.0f} rows/s")
    for way in ("in", "out"):
        text_ratio, binary_ratio = (seconds[way] / seconds[f"{way}, raw {form}"] for form in ("COPY", "binary COPY"))
        print(f"{way}: {text_ratio:.2f} times as long as raw COPY, {binary_ratio:.2f} times as long as binary COPY")


def _seconds(database: Database, run: Callable[[Transaction], object], *, into_empty: bool) -> float:
    """Seconds of one transaction, its commit included."""
    if into_empty:
        with database.transaction() as tx:
            open_removal(tx, "a benchmark")
            tx.execute(text("TRUNCATE latent CASCADE"))

    def compute() -> None:
        with database.transaction() as tx:
            run(tx)

    return wall_seconds(compute)


if __name__ == "__main__":
    main()
