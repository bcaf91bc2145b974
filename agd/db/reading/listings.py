"""Long tables that are sorted, filtered and cut into pages by the server: which there are, and one page of one.

Who asks names columns and gives values; columns are looked up here and values travel as parameters, so that nothing
that is asked for becomes SQL.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
class Lean:
    """What finds the rows of a page without making all that they show: a source, and expressions of the columns."""

    source: str
    key: str
    columns: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Listing:
    """A table: the query of its rows, the kind of each column that may be asked for, and what no two rows share.

    Where its rows are dear, `lean` finds those of a page, and only they are made.
    """

    query: str
    columns: Mapping[str, Kind]
    key: str
    tie: Sequence[str] = field(default=())
    """Columns that order rows alike in the one asked for, before the key does."""
    lean: Lean | None = None


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
    lean=Lean(
        "v_suggestion_judged j JOIN iteration i ON i.id = j.iteration_id AND i.campaign_id = j.campaign_id"
        " LEFT JOIN composition c ON c.id = j.composition_id"
        " WHERE j.campaign_id = :campaign",
        "j.suggestion_id",
        {
            "iteration": "i.number",
            "rank": "j.rank",
            "reduced_formula": "c.reduced_formula",
            "outcome": "j.outcome",
            "value": "j.value",
            "uncertainty": "j.uncertainty",
            "expected": (
                "(SELECT q.mean FROM v_expectation q WHERE q.suggestion_id = j.suggestion_id AND q.position = 1)"
            ),
            "is_find": "j.is_find",
            "is_known": "j.is_known",
            "reason": (
                "coalesce(j.reason, (SELECT f.reason FROM decode_failure f WHERE f.suggestion_id = j.suggestion_id))"
            ),
        },
    ),
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
    "contains": "{column} ILIKE '%' || :{name} || '%'",
    "is": "coalesce({column}, false) = :{name}",
    **{sign: f"{{column}} {sign} :{{name}}" for sign in ("=", ">=", "<=", ">", "<")},
}
_PART: Final = 2_000
_EVERY_S: Final = 60
"""How long a statement may take that gives all rows: nobody waits for a page, and few take tables away at once."""


def page(tx: Transaction, listing: Listing, scope: Mapping[str, object], wanted: Wanted) -> Sequence[AnyRow]:
    """The rows of a page, one more than was wanted where others follow."""
    values = {**scope, "n": wanted.n + 1, "offset": wanted.offset}
    query, given = _query(listing, wanted)
    found = tx.execute(text(f"{query} LIMIT :n OFFSET :offset"), {**values, **given})
    return found.all() if listing.lean is None else _made(tx, listing, scope, found.scalars().all())


def every(
    tx: Transaction, listing: Listing, scope: Mapping[str, object], wanted: Wanted, n_most: int
) -> Iterator[AnyRow]:
    """The first rows that meet the conditions, in order, a part of them at a time."""
    tx.execute(text(f"SET LOCAL statement_timeout = '{_EVERY_S}s'"))
    query, given = _query(replace(listing, lean=None), wanted)  # of many rows all together are the cheaper
    options = {"stream_results": True, "max_row_buffer": _PART}
    yield from tx.execute(text(f"{query} LIMIT :n"), {**scope, **given, "n": n_most}, execution_options=options)


def _made(tx: Transaction, listing: Listing, scope: Mapping[str, object], keys: Sequence[object]) -> Sequence[AnyRow]:
    """The rows of these keys, in their order."""
    query = f"SELECT * FROM ({listing.query}) t WHERE t.{listing.key} = ANY (:keys)"
    rows = {getattr(row, listing.key): row for row in tx.execute(text(query), {**scope, "keys": list(keys)})}
    return [rows[key] for key in keys]


def _query(listing: Listing, wanted: Wanted) -> tuple[str, dict[str, Any]]:
    """What gives the rows, or with `lean` their keys, in order; and the values in it."""
    lean = listing.lean
    column_of = {name: f"t.{name}" for name in listing.columns} if lean is None else lean.columns
    values: dict[str, Any] = {}
    conditions = []
    for number, condition in enumerate(wanted.conditions):
        name = f"given_{number}"
        conditions.append(_SQL[condition.operator].format(column=column_of[condition.column], name=name))
        is_text = condition.operator == "contains"
        values[name] = _literal(str(condition.value)) if is_text else condition.value
    direction = "DESC" if wanted.is_descending else "ASC"
    order = [f"{column_of[wanted.sort]} {direction} NULLS LAST"]
    order += [f"{column_of[column]} {direction}" for column in listing.tie if column != wanted.sort]
    order.append(f"{lean.key if lean else f't.{listing.key}'} {direction}")
    where = " AND ".join(conditions)
    if lean is None:
        query = f"SELECT * FROM ({listing.query}) t{f' WHERE {where}' if where else ''}"
    else:
        query = f"SELECT {lean.key} FROM {lean.source}{f' AND {where}' if where else ''}"
    return f"{query} ORDER BY {', '.join(order)}", values


def _literal(words: str) -> str:
    """What LIKE takes for exactly these words."""
    return words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
