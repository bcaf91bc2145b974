"""Calculations by first principles: what they start from, what they took before, the labels that they give."""

from collections.abc import Mapping, Sequence

from sqlalchemy import insert, text

from agd.db.connection import AnyRow, Transaction
from agd.db.tables import label

# What this method relaxed goes before what a potential did, and that before what data sets brought.
_START = text("""
SELECT f.structure_id FROM composition c CROSS JOIN LATERAL (
    SELECT r.structure_id, 0 AS rank, -r.recipe_id AS newest, r.energy_ev_per_atom AS energy
    FROM v_relaxed r JOIN calculation_recipe q ON q.id = r.recipe_id
    WHERE r.composition_id = c.id AND q.method = :method AND NOT :is_relaxed
    UNION ALL
    SELECT r.structure_id, 1, -r.potential_id, r.energy_ev_per_atom
    FROM v_relaxed r WHERE r.composition_id = c.id AND r.relaxation_id IS NOT NULL
    UNION ALL
    SELECT v.structure_id, 2, 0, v.formation_energy FROM v_structure v WHERE v.composition_id = c.id) f
WHERE c.reduced_formula = :formula
ORDER BY f.rank, f.newest, f.energy, f.structure_id LIMIT 1
""")

_HISTORY = text("""
SELECT k.structure_id, k.inputs, k.kind, k.method, k.core_seconds, k.wall_seconds
FROM v_calculation k
WHERE k.engine = :engine AND k.is_done AND k.core_seconds > 0
ORDER BY k.kind <> :kind, k.calculation_id DESC LIMIT 30
""")

_FAILURES = {
    "class": "a.failure",
    "element": "e.element",
    "machine": "a.host",
    "engine": "a.engine",
    "kind": "a.kind",
}
"""What failures are counted by."""

_RATES = """
SELECT coalesce({of}, '') AS what, count(*) AS n_attempts, count(a.failure) AS n_failed,
       sum(a.core_seconds) FILTER (WHERE a.failure IS NOT NULL) AS core_seconds,
       (array_agg(a.error ORDER BY a.activity_id DESC) FILTER (WHERE a.failure IS NOT NULL))[1] AS last_error
FROM v_calculation_attempt a {more}
WHERE a.outcome <> 'running' AND (CAST(:campaign AS text) IS NULL OR a.campaign = :campaign)
GROUP BY {of} HAVING count(a.failure) > 0 ORDER BY n_failed DESC, {of} COLLATE "C"
"""


def start_of(tx: Transaction, reduced_formula: str, method: str, *, is_relaxed: bool) -> int | None:
    """The structure of a composition that is computed: the lowest that was relaxed, or that data sets brought.

    With `is_relaxed` it is to be relaxed now, and what the method itself relaxed is left out.
    """
    wanted = {"formula": reduced_formula, "method": method, "is_relaxed": is_relaxed}
    found: int | None = tx.scalar(_START, wanted)
    return found


def history(tx: Transaction, engine: str, kind: str) -> Sequence[AnyRow]:
    """What was computed before by an engine (structure_id, inputs, kind, method, core and wall seconds), newest first.

    Those of the kind go before the others.
    """
    return tx.execute(_HISTORY, {"engine": engine, "kind": kind}).all()


def store_label(tx: Transaction, values: Mapping[str, object]) -> int:
    """Insert the label of a calculation, by the columns of label; its id."""
    return int(tx.execute(insert(label).values(**values).returning(label.c.id)).scalar_one())


def failure_rates(tx: Transaction, by: str, campaign: str | None) -> Sequence[AnyRow]:
    """(what, n_attempts, n_failed, core_seconds, last_error), by class, element, machine, engine or kind.

    An attempt counts for each element of its compound; a class has no others to compare with.
    """
    more = "CROSS JOIN LATERAL unnest(string_to_array(a.chemical_system, '-')) e(element)" if by == "element" else ""
    return tx.execute(text(_RATES.format(of=_FAILURES[by], more=more)), {"campaign": campaign}).all()
