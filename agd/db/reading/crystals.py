"""Structures as others ask for them: by conditions on named fields, joined by and, or and not.

A field is an expression that is looked up here, and values travel as parameters. Three-valued logic is the server's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from sqlalchemy import text

from agd.db.connection import AnyRow, Transaction

Sign: TypeAlias = Literal["=", "!=", "<", "<=", ">", ">="]


@dataclass(frozen=True, slots=True)
class Compare:
    """That a field compares so with a value."""

    field: str
    sign: Sign
    value: object


@dataclass(frozen=True, slots=True)
class Like:
    """That the text of a field has these words within it, at its start or at its end."""

    field: str
    where: Literal["within", "start", "end"]
    words: str


@dataclass(frozen=True, slots=True)
class Known:
    """That a field has a value, or that it has none."""

    field: str
    is_known: bool


@dataclass(frozen=True, slots=True)
class Has:
    """That a list has all, any or only these."""

    field: str
    how: Literal["all", "any", "only"]
    values: Sequence[str]


@dataclass(frozen=True, slots=True)
class Length:
    """That a list is so long."""

    field: str
    sign: Sign
    n: int


@dataclass(frozen=True, slots=True)
class Joined:
    """Conditions of which all, any, or (of one) none holds; `all` of none always holds, `any` of none never."""

    how: Literal["all", "any", "not"]
    parts: "Sequence[Asked]"


Asked: TypeAlias = Compare | Like | Known | Has | Length | Joined

_REDUCED: Final = """(
    WITH q AS (SELECT (CAST(:symbols AS text[]))[z] AS symbol, count(*)::int AS n FROM unnest(s.atomic_numbers) z
               GROUP BY 1)
    SELECT string_agg(q.symbol || CASE WHEN q.n = g.d THEN '' ELSE (q.n / g.d)::text END, ''
                      ORDER BY q.symbol COLLATE "C")
    FROM q, (SELECT max(d) AS d FROM generate_series(1, (SELECT min(n) FROM q)) d
             WHERE NOT EXISTS (SELECT FROM q WHERE q.n % d <> 0)) g)"""

_ANONYMOUS: Final = """(
    SELECT string_agg(chr(64 + q.place::int) || CASE q.n WHEN 1 THEN '' ELSE q.n::text END, '' ORDER BY q.place)
    FROM (SELECT m.n, row_number() OVER (ORDER BY m.n DESC) AS place
          FROM (SELECT coalesce(nullif(found[1], ''), '1')::int AS n
                FROM regexp_matches(c.anonymous_formula, '[A-Z](\\d*)', 'g') found) m) q)"""

_CLAIM: Final = "(SELECT q.{} FROM v_claim q WHERE q.composition_id = s.composition_id OFFSET 0)"
_GAP: Final = (
    "(SELECT l.{} FROM v_label l WHERE l.composition_id = s.composition_id AND l.property = 'band_gap'"
    " AND NOT l.is_retracted AND agd_is_plausible(l.property, l.value)"
    " AND (l.structure_id IS NULL OR l.structure_id = s.id)"
    " ORDER BY l.structure_id NULLS LAST, l.fidelity DESC, l.label_id DESC LIMIT 1)"
)

FIELDS: Final = {
    "id": "s.id::text",
    "immutable_id": "s.cell_sha256",
    "last_modified": "a.started_at",
    "elements": "string_to_array(c.chemical_system, '-')",
    "nelements": "c.n_elements",
    "nsites": "s.n_sites",
    "chemical_formula_descriptive": "c.reduced_formula",
    "chemical_formula_reduced": _REDUCED,
    "chemical_formula_anonymous": _ANONYMOUS,
    "nperiodic_dimensions": "3",
    "structure_features": "CAST('{}' AS text[])",
    "_agd_reduced_formula": "c.reduced_formula",
    "space_group_it_number": "s.space_group",
    "_agd_claim": _CLAIM.format("claim"),
    "_agd_claim_level": _CLAIM.format("level"),
    "_agd_e_above_hull_ev_per_atom": _CLAIM.format("e_above_hull_ev_per_atom"),
    "_agd_band_gap_ev": _GAP.format("value"),
    "_agd_band_gap_method": _GAP.format("method"),
}
"""The expression of each field that may be asked for."""

_FROM: Final = "FROM structure s JOIN composition c ON c.id = s.composition_id JOIN activity a ON a.id = s.activity_id"
_SHOWN: Final = ("id", "immutable_id", "last_modified", "elements", "nelements", "nsites", "chemical_formula_reduced",
                 "space_group_it_number", "chemical_formula_anonymous", "chemical_formula_descriptive")  # fmt: skip
_MOST_COUNTED: Final = 10_000


@dataclass(slots=True)
class _Values:
    """What travels beside the text of a query."""

    given: dict[str, Any] = field(default_factory=dict)

    def add(self, value: object) -> str:
        name = f"given_{len(self.given)}"
        self.given[name] = value
        return f":{name}"


def page(
    tx: Transaction,
    asked: Asked,
    symbols: Sequence[str],
    *,
    sort: Sequence[tuple[str, bool]],
    n: int,
    offset: int,
    own: Sequence[str] = (),
) -> Sequence[AnyRow]:
    """Structures that meet what was asked, one more than `n` where others follow: fields, cell and sites.

    `symbols` are those of the elements by atomic number; `sort` names fields, each with whether it is descending;
    `own` are further fields that are looked up, columns without their first sign.
    """
    values = _Values()
    where = _sql(asked, values)
    order = [f"{FIELDS[name]} {'DESC' if is_descending else 'ASC'} NULLS LAST" for name, is_descending in sort]
    inner = f"SELECT s.id {_FROM} WHERE {where} ORDER BY {', '.join([*order, 's.id'])} LIMIT :n OFFSET :offset"
    columns = ", ".join(f'{FIELDS[name]} AS "{name.removeprefix("_")}"' for name in (*_SHOWN, *own))
    query = (
        f"WITH chosen AS MATERIALIZED ({inner})"
        f" SELECT {columns}, s.id AS number, s.lattice, s.atomic_numbers, s.frac {_FROM}"
        " JOIN chosen ON chosen.id = s.id"
        f" ORDER BY {', '.join([*order, 's.id'])}"
    )
    given = {**values.given, "symbols": list(symbols), "n": n + 1, "offset": offset}
    return tx.execute(text(query), given).all()


def count(tx: Transaction, asked: Asked, symbols: Sequence[str]) -> int | None:
    """How many structures meet what was asked; None where they are too many to be counted while somebody waits."""
    values = _Values()
    query = f"SELECT count(*) FROM (SELECT {_FROM} WHERE {_sql(asked, values)} LIMIT :most) found"
    found = int(
        tx.execute(text(query), {**values.given, "symbols": list(symbols), "most": _MOST_COUNTED + 1}).scalar_one()
    )
    return found if found <= _MOST_COUNTED else None


def _sql(asked: Asked, values: _Values) -> str:  # noqa: PLR0911  a line for each kind
    match asked:
        case Compare(name, sign, value):
            return f"{FIELDS[name]} {'<>' if sign == '!=' else sign} {values.add(value)}{_collated(value)}"
        case Like(name, where, words):
            begins = "'%' || " if where in {"within", "end"} else ""
            ends = " || '%'" if where in {"within", "start"} else ""
            return f"{FIELDS[name]} LIKE {begins}{values.add(_literal(words))}{ends}"
        case Known(name, is_known):
            return f"{FIELDS[name]} IS {'NOT ' if is_known else ''}NULL"
        case Has(name, how, given):
            operator = {"all": "@>", "any": "&&", "only": "<@"}[how]
            return f"{FIELDS[name]} {operator} CAST({values.add(list(given))} AS text[])"
        case Length(name, sign, n):
            return f"cardinality({FIELDS[name]}) {'<>' if sign == '!=' else sign} {values.add(n)}"
        case Joined("not", parts):
            return f"NOT ({_sql(parts[0], values)})"
        case Joined(how, parts):
            if not parts:
                return "true" if how == "all" else "false"
            return "(" + (" AND " if how == "all" else " OR ").join(_sql(part, values) for part in parts) + ")"


def _collated(value: object) -> str:
    """Texts are compared by their letters' numbers, as everybody else compares them."""
    return ' COLLATE "C"' if isinstance(value, str) else ""


def _literal(words: str) -> str:
    """What LIKE takes for exactly these words."""
    return words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
