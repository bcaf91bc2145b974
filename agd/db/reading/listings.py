"""Long tables that are sorted, filtered and cut into pages by the server: which there are, and one page of one.

Who asks names columns and gives values; columns are looked up here and values travel as parameters, so that nothing
that is asked for becomes SQL.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from sqlalchemy import text

from agd.db.connection import AnyRow, Transaction

Kind: TypeAlias = Literal["text", "number", "bool", "time"]
Operator: TypeAlias = Literal["contains", "=", ">=", "<=", ">", "<", "is"]


@dataclass(frozen=True, slots=True)
class Condition:
    """What a column is asked to be: `is` is of truth values, `contains` of texts, the others of numbers."""

    column: str
    operator: Operator
    value: str | float | bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """A page of a table: its order, what rows must be, how many of them, and how many before those."""

    sort: str
    is_descending: bool = False
    conditions: Sequence[Condition] = ()
    n: int = 50
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Listing:
    """A table: the query of its rows, the kind of each column that may be asked for, and what no two rows share."""

    query: str
    columns: Mapping[str, Kind]
    key: str
    tie: Sequence[str] = field(default=())
    """Columns that order rows alike in the one asked for, before the key does."""


SUGGESTIONS: Final = Listing(
    "SELECT v.suggestion_id, v.iteration, v.rank, v.reduced_formula, v.outcome, v.value, v.uncertainty, v.unit,"
    " v.expected, v.expected_sd, v.is_find, v.is_known, v.is_retracted, coalesce(v.decode_failure, v.reason) AS reason,"
    " v.suggested_at FROM v_suggestion v WHERE v.campaign_id = :campaign",
    {
        "iteration": "number",
        "rank": "number",
        "reduced_formula": "text",
        "outcome": "text",
        "value": "number",
        "uncertainty": "number",
        "expected": "number",
        "is_find": "bool",
        "is_known": "bool",
        "reason": "text",
    },
    key="suggestion_id",
    tie=("iteration", "rank"),
)
ITERATIONS: Final = Listing(
    "SELECT * FROM v_iteration WHERE campaign_id = :campaign",
    {
        "iteration": "number",
        **dict.fromkeys(
            ("n_suggested", "n_undecodable", "n_duplicate", "n_known", "n_rejected", "n_new", "n_charged", "n_finds"),
            "number",
        ),
        "highest": "number",
        "lowest": "number",
    },
    key="iteration_id",
)
JOBS: Final = Listing(
    "SELECT * FROM v_job WHERE CAST(:campaign AS bigint) IS NULL OR campaign_id = :campaign",
    {
        "id": "number",
        "title": "text",
        "kind": "text",
        "campaign": "text",
        "iteration": "number",
        "state": "text",
        "n_attempts": "number",
        "n_failed": "number",
        "n_lost": "number",
        "last_error": "text",
        "host": "text",
        "made_at": "time",
    },
    key="id",
)
HITS: Final = Listing(
    "SELECT * FROM v_screening_hit WHERE screening_id = :screening",
    {
        "rank": "number",
        "reduced_formula": "text",
        "value": "number",
        "uncertainty": "number",
        "pool_line": "number",
        "pool_formula": "text",
    },
    key="composition_id",
)
DATASET_ROWS: Final = Listing(
    "SELECT r.line, r.formula, c.reduced_formula, c.chemical_system, l.value, p.unit, r.composition_id"
    " FROM dataset_row r JOIN composition c ON c.id = r.composition_id JOIN dataset d ON d.id = r.dataset_id"
    " LEFT JOIN property p ON p.name = d.property"
    " LEFT JOIN label l ON l.dataset_id = r.dataset_id AND l.composition_id = r.composition_id"
    " WHERE r.dataset_id = :dataset",
    {"line": "number", "formula": "text", "reduced_formula": "text", "chemical_system": "text", "value": "number"},
    key="composition_id",
)
REFUSED_ROWS: Final = Listing(
    "SELECT * FROM dataset_reject WHERE dataset_id = :dataset",
    {"line": "number", "kind": "text", "formula": "text", "value": "text", "message": "text"},
    key="line",
)
COMPOSITIONS: Final = Listing(
    "SELECT id, reduced_formula, chemical_system, anonymous_formula, n_elements, n_atoms FROM composition"
    " WHERE (CAST(:system AS text) IS NULL OR chemical_system = :system)"
    " AND (CAST(:pattern AS text) IS NULL OR anonymous_formula = :pattern)"
    " AND (CAST(:system AS text) IS NOT NULL OR CAST(:pattern AS text) IS NOT NULL)",
    {
        "reduced_formula": "text",
        "chemical_system": "text",
        "anonymous_formula": "text",
        "n_elements": "number",
        "n_atoms": "number",
    },
    key="id",
)

_SQL: Final[Mapping[Operator, str]] = {
    "contains": "t.{column} ILIKE '%' || :{name} || '%'",
    "is": "coalesce(t.{column}, false) = :{name}",
    **{sign: f"t.{{column}} {sign} :{{name}}" for sign in ("=", ">=", "<=", ">", "<")},
}


def page(tx: Transaction, listing: Listing, scope: Mapping[str, object], wanted: Wanted) -> Sequence[AnyRow]:
    """The rows of a page, one more than was wanted where others follow."""
    query, values = _query(listing, wanted)
    values |= {**scope, "n": wanted.n + 1, "offset": wanted.offset}
    return tx.execute(text(f"{query} LIMIT :n OFFSET :offset"), values).all()


def every(tx: Transaction, listing: Listing, scope: Mapping[str, object], wanted: Wanted) -> Iterator[AnyRow]:
    """All rows that meet the conditions, in order, a part of them at a time."""
    query, values = _query(listing, wanted)
    options = {"stream_results": True, "max_row_buffer": 2000}
    yield from tx.execute(text(query), {**values, **scope}, execution_options=options)


def _query(listing: Listing, wanted: Wanted) -> tuple[str, dict[str, Any]]:
    values: dict[str, Any] = {}
    conditions = []
    for number, condition in enumerate(wanted.conditions):
        if condition.column not in listing.columns:
            raise KeyError(condition.column)
        name = f"given_{number}"
        conditions.append(_SQL[condition.operator].format(column=condition.column, name=name))
        is_text = condition.operator == "contains"
        values[name] = _literal(str(condition.value)) if is_text else condition.value
    if wanted.sort not in listing.columns:
        raise KeyError(wanted.sort)
    direction = "DESC" if wanted.is_descending else "ASC"
    order = [f"t.{wanted.sort} {direction} NULLS LAST"]
    order += [f"t.{column} {direction}" for column in (*listing.tie, listing.key) if column != wanted.sort]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT * FROM ({listing.query}) t{where} ORDER BY {', '.join(order)}", values


def _literal(words: str) -> str:
    """What LIKE takes for exactly these words."""
    return words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
