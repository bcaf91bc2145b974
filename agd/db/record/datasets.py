"""Datasets and compositions: bulk rows in by COPY, read back in one order everywhere."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from sqlalchemy import Boolean, func, insert, literal_column, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from agd.db.connection import AnyRow, Transaction
from agd.db.plausible_labels import teaches
from agd.db.tables import (
    activity,
    composition,
    dataset,
    dataset_reject,
    dataset_row,
    dataset_tally,
    label,
    property_,
    verdict_rule,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Ids: TypeAlias = "NDArray[np.int64]"


class CompositionRow(NamedTuple):
    """A composition by its natural key and the columns people filter on."""

    reduced_formula: str
    chemical_system: str
    anonymous_formula: str
    n_elements: int
    n_atoms: int


def copy_in(tx: Transaction, target: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Stream rows into a table by COPY."""
    driver = tx.connection.driver_connection
    assert driver is not None  # noqa: S101  an open transaction has one
    with driver.cursor() as cursor, cursor.copy(f"COPY {target} ({', '.join(columns)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def fill_temporary(tx: Transaction, name: str, definition: str, rows: Iterable[Sequence[object]]) -> None:
    """Stream rows into a temporary table, which is empty before and after the transaction."""
    tx.execute(text(f"CREATE TEMPORARY TABLE IF NOT EXISTS {name} ({definition}) ON COMMIT DELETE ROWS"))
    tx.execute(text(f"TRUNCATE {name}"))
    copy_in(tx, name, [column.split()[0] for column in definition.split(",")], rows)


def store_compositions(tx: Transaction, rows: Sequence[CompositionRow], activity_id: int) -> Ids:
    """Insert what is new; ids `[n]` in the order of `rows`, which may repeat a formula."""
    fill_temporary(
        tx,
        "incoming",
        "position integer, reduced_formula text, chemical_system text, anonymous_formula text,"
        " n_elements integer, n_atoms integer",
        ((i, *row) for i, row in enumerate(rows)),
    )
    # One order for every writer, so that two of them never wait for each other in a circle.
    tx.execute(
        text(
            "INSERT INTO composition"
            " (reduced_formula, chemical_system, anonymous_formula, n_elements, n_atoms, activity_id)"
            ' SELECT DISTINCT ON (reduced_formula COLLATE "C")'
            " reduced_formula, chemical_system, anonymous_formula, n_elements, n_atoms, :activity FROM incoming"
            ' ORDER BY reduced_formula COLLATE "C" ON CONFLICT (reduced_formula) DO NOTHING'
        ),
        {"activity": activity_id},
    )
    import numpy as np

    found = tx.scalar(
        text("SELECT array_agg(c.id ORDER BY position) FROM incoming JOIN composition c USING (reduced_formula)")
    )
    return np.array(found or [], dtype=np.int64)


MANY = 10_000
"""Rows from which on a load changes what the planner has to know."""


def analyse(tx: Transaction, n: int) -> None:
    """Gather what the planner goes by after a load of `n` compositions; few change nothing that it knows."""
    if n >= MANY:
        tx.execute(text("ANALYZE composition, dataset_row, label, verdict"))


def property_of(tx: Transaction, name: str) -> AnyRow | None:
    """The property's row (name, unit, lower_bound, description)."""
    return tx.execute(select(property_).where(property_.c.name == name)).one_or_none()


def property_names(tx: Transaction) -> list[str]:
    """Every property the record knows."""
    return list(tx.execute(select(property_.c.name).order_by(property_.c.name)).scalars())


def find(tx: Transaction, *, name: str | None = None, recipe_sha256: str | None = None) -> AnyRow | None:
    """A dataset by its name or by its recipe."""
    key = dataset.c.name == name if recipe_sha256 is None else dataset.c.recipe_sha256 == recipe_sha256
    return tx.execute(select(dataset).where(key)).one_or_none()


def names(tx: Transaction) -> list[str]:
    """Every dataset's name."""
    return list(tx.execute(select(dataset.c.name).order_by(dataset.c.name)).scalars())


def overview(tx: Transaction, name: str | None = None) -> Sequence[AnyRow]:
    """Datasets with their sizes, value ranges and origin, oldest first."""
    n_rows = select(func.count()).where(dataset_row.c.dataset_id == dataset.c.id).scalar_subquery()
    statement = (
        select(
            dataset.c.name,
            dataset.c.property,
            property_.c.unit,
            func.coalesce(dataset_tally.c.n_compositions, n_rows).label("n_compositions"),
            dataset.c.n_read,
            dataset.c.n_rejected,
            *(dataset_tally.c.lowest, dataset_tally.c.mean, dataset_tally.c.highest),
            dataset.c.source,
            dataset.c.source_sha256,
            dataset.c.options,
            activity.c.started_at.label("imported_at"),
            dataset.c.id,
            dataset.c.method,
            dataset.c.correction_scheme,
            func.coalesce(dataset_tally.c.n_structures, 0).label("n_structures"),
        )
        .join(activity, activity.c.id == dataset.c.activity_id)
        .outerjoin(dataset_tally, dataset_tally.c.dataset_id == dataset.c.id)
        .outerjoin(property_, property_.c.name == dataset.c.property)
        .order_by(dataset.c.id)
    )
    return tx.execute(statement if name is None else statement.where(dataset.c.name == name)).all()


def store(tx: Transaction, values: Mapping[str, object]) -> int | None:
    """Insert a dataset and return its id, None where its name or its content is there already."""
    new = upsert(dataset).values(**values).on_conflict_do_nothing().returning(dataset.c.id)
    return tx.execute(new).scalar_one_or_none()


def store_tally(
    tx: Transaction,
    dataset_id: int,
    activity_id: int,
    n_compositions: int,
    *,
    n_structures: int = 0,
    values: Sequence[float] = (),
) -> None:
    """Keep what a dataset came to: how many compositions and structures, and the values of its labels."""
    told = {"lowest": min(values), "mean": _mean(values), "highest": max(values)} if values else {}
    key = {"dataset_id": dataset_id, "activity_id": activity_id}
    counts = {"n_compositions": n_compositions, "n_structures": n_structures}
    tx.execute(insert(dataset_tally).values(**key, **counts, **told))


def _mean(values: Sequence[float]) -> float:
    """The mean of any numbers, whose sum may be none."""
    scale = 2.0**-64  # a power of two loses nothing
    return math.fsum(value * scale for value in values) / len(values) / scale


def store_rows(tx: Transaction, dataset_id: int, rows: Iterable[tuple[int, int, str, int]]) -> None:
    """Insert (composition id, line, formula as spelled, number of source rows)."""
    copy_in(
        tx,
        "dataset_row",
        ("dataset_id", "composition_id", "line", "formula", "n_rows"),
        ((dataset_id, *row) for row in rows),
    )


def store_labels(
    tx: Transaction, dataset_id: int, property_name: str, activity_id: int, values: Iterable[tuple[int, float]]
) -> None:
    """Insert the dataset's labels: (composition id, value)."""
    copy_in(
        tx,
        "label",
        ("composition_id", "property", "value", "dataset_id", "activity_id"),
        ((row, property_name, value, dataset_id, activity_id) for row, value in values),
    )


def store_rejects(tx: Transaction, dataset_id: int, rows: Iterable[tuple[int, str, str, str, str]]) -> None:
    """Insert (line, kind, formula, value, message)."""
    columns = ("dataset_id", "line", "kind", "formula", "value", "message")
    copy_in(tx, "dataset_reject", columns, ((dataset_id, *row) for row in rows))


def store_rule(tx: Transaction, rule: tuple[str, int, Mapping[str, object]]) -> None:
    """Insert a rule of validity (name, version, the options it was set to), if it is not there."""
    tx.execute(
        upsert(verdict_rule).values(rule=rule[0], rule_version=rule[1], options=dict(rule[2])).on_conflict_do_nothing()
    )


def store_verdicts(
    tx: Transaction,
    rule: tuple[str, int, Mapping[str, object]],
    activity_id: int,
    rows: Iterable[tuple[int, bool | None, bool | None]],
) -> None:
    """Insert (composition id, charge neutral, electronegativity balanced), keeping what the rule has said before.

    `rule` is (name, version, the options it was set to).
    """
    store_rule(tx, rule)
    fill_temporary(
        tx,
        "incoming_verdict",
        "composition_id bigint, is_charge_neutral boolean, is_electronegativity_balanced boolean",
        rows,
    )
    tx.execute(
        text(
            "INSERT INTO verdict (composition_id, rule, rule_version, is_charge_neutral, is_electronegativity_balanced,"
            " activity_id) SELECT DISTINCT ON (composition_id) composition_id, :rule, :version, is_charge_neutral,"
            " is_electronegativity_balanced, :activity FROM incoming_verdict ORDER BY composition_id"
            " ON CONFLICT DO NOTHING"
        ),
        {"rule": rule[0], "version": rule[1], "activity": activity_id},
    )


def rows_of(tx: Transaction, dataset_id: int) -> Sequence[AnyRow]:
    """(composition_id, reduced_formula, label_id, value), ordered by formula.

    The last two are NULL in a list of formulas, and where the label was retracted or cannot be a value.
    """
    statement = (
        select(dataset_row.c.composition_id, composition.c.reduced_formula, label.c.id.label("label_id"), label.c.value)
        .join(composition, composition.c.id == dataset_row.c.composition_id)
        .outerjoin(
            label,
            (label.c.dataset_id == dataset_row.c.dataset_id)
            & (label.c.composition_id == dataset_row.c.composition_id)
            & literal_column(teaches("label"), Boolean),
        )
        .where(dataset_row.c.dataset_id == dataset_id)
        .order_by(composition.c.reduced_formula.collate("C"))
    )
    return tx.execute(statement).all()


def rejects_of(tx: Transaction, dataset_id: int) -> Sequence[AnyRow]:
    """The rows that were refused, in the order of the source."""
    return tx.execute(
        select(dataset_reject).where(dataset_reject.c.dataset_id == dataset_id).order_by(dataset_reject.c.line)
    ).all()


def n_compositions(tx: Transaction) -> int:
    """How many compositions the record holds."""
    return int(tx.execute(select(func.count()).select_from(composition)).scalar_one())
