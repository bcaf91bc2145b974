"""New compositions and their verdicts into the record, beside raw COPY of the same finished rows into the same tables.

python tests/bench/bench_compositions.py [--data FOLDER] [--rounds 7]
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from sqlalchemy import text
from support import DATA, alternate, copy_back, copy_out, empty_record, read_column, wall_seconds

from agd.chem.formula import parse_formulas
from agd.chem.identity import Identities, identify
from agd.db.connection import Database, Transaction
from agd.db.record import activities, datasets
from agd.db.record.datasets import CompositionRow
from agd.db.removals import open_removal
from agd.work import workspace

TABLES = ("composition", "verdict")


def read_compositions(path: Path, n: int) -> Identities:
    """`n` distinct compositions of the Materials Project's formulas, in an order of chance."""
    formulas = sorted(set(read_column(path, "pretty_formula")))
    counts = parse_formulas(formulas)[0]
    counts = identify(counts[counts.any(axis=1)]).counts
    counts = np.unique(counts, axis=0)
    return identify(np.random.default_rng(0).permutation(counts)[:n])


def rows_of(named: Identities) -> list[CompositionRow]:
    columns = (named.reduced_formula, named.chemical_system, named.anonymous_formula)
    numbers = (named.n_elements.tolist(), named.n_atoms.tolist())
    return [CompositionRow(*row) for row in zip(*columns, *numbers, strict=True)]


def into_empty_tables(database: Database, store: Callable[[Transaction], object]) -> float:
    """Seconds of one transaction, its commit included."""
    with database.transaction() as tx:
        open_removal(tx, "a benchmark")
        tx.execute(text("TRUNCATE composition CASCADE"))

    def run() -> None:
        with database.transaction() as tx:
            store(tx)

    return wall_seconds(run)


def main() -> None:
    """Print rows per second of both, for the composition table alone and with verdicts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder that holds paper/mpid_formula_sp.csv")
    parser.add_argument("--compositions", type=int, default=45_000)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    named = read_compositions(arguments.data / "paper" / "mpid_formula_sp.csv", arguments.compositions)
    rows = rows_of(named)
    with empty_record() as database:
        with database.transaction() as tx:
            made_by = activities.start(tx, "import", threads=1)
        with database.transaction() as tx:
            workspace.store_compositions(tx, named, made_by)
        with database.transaction() as tx:
            finished = [(table, copy_out(tx, table)) for table in TABLES]
            n_verdicts = tx.scalar(text("SELECT count(*) FROM verdict"))
            n_compositions = datasets.n_compositions(tx)
        runs: dict[str, Callable[[Transaction], object]] = {
            "store_compositions": lambda tx: datasets.store_compositions(tx, rows, made_by),
            "raw COPY": lambda tx: copy_back(tx, finished[:1]),
            "with verdicts": lambda tx: workspace.store_compositions(tx, named, made_by),
            "raw COPY with verdicts": lambda tx: copy_back(tx, finished),
        }
        seconds = alternate(
            arguments.rounds,
            {name: partial(into_empty_tables, database, store) for name, store in runs.items()},
        )
    print(f"{n_compositions:,} new compositions, {n_verdicts:,} verdicts, wall time, commit included")
    for name, value in seconds.items():
        print(f"{name:24} {n_compositions / value:12,.0f} compositions/s")
    print(f"compositions alone: {seconds['store_compositions'] / seconds['raw COPY']:.2f} times as long as raw COPY")
    print(
        f"with verdicts: {seconds['with verdicts'] / seconds['raw COPY with verdicts']:.2f} times as long as raw COPY"
    )


if __name__ == "__main__":
    main()
