"""What views, functions, triggers, constraints and indexes say, beside those of a schema that migrations just made.

Each PostgreSQL prints a definition its own way, so no print is kept in a file: the server that holds the record makes
the schema anew, in a transaction that is rolled back, and prints both. The files in `views` are for people; they are
compared in the same way, once the server has executed them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from agd.db import schema
from agd.db.connection import Database, Transaction
from agd.db.tables import queue
from agd.errors import DatabaseError

VIEWS: Final = Path(__file__).parents[1] / "views"
"""Every view and function as it stands today, each in a file of its name."""

_FRESH = "agd_freshly_made"
_ASIDE = "agd_set_aside"
_PATIENCE_S = 10
_INSUFFICIENT_PRIVILEGE = "42501"
_LOCK_NOT_AVAILABLE = "55P03"

# Names of what lies on the search path are printed bare, so that two schemas can be compared. A NOT NULL is a column's,
# a constraint's own index and the triggers behind a foreign key belong to the constraint.
_DEFINITIONS = text("""
WITH space AS (
    SELECT oid, CASE nspname WHEN :queue THEN nspname || '.' ELSE '' END AS prefix FROM pg_namespace
    WHERE nspname IN (current_schema(), :queue)
), relation AS (
    SELECT c.oid, c.relkind, space.prefix || c.relname AS name FROM pg_class c JOIN space ON space.oid = c.relnamespace
)
SELECT 'table' AS kind, r.name, NULL AS of,
       concat_ws(' ', c.relpersistence, c.relrowsecurity, c.relforcerowsecurity,
                 (SELECT string_agg(p.polname, ' ' ORDER BY p.polname) FROM pg_policy p WHERE p.polrelid = r.oid))
       AS definition, '' AS state
FROM relation r JOIN pg_class c USING (oid) WHERE r.relkind IN ('r', 'p')
UNION ALL
SELECT 'view' AS kind, r.name, NULL AS of, pg_get_viewdef(r.oid, true) AS definition, '' AS state
FROM relation r WHERE r.relkind IN ('v', 'm')
UNION ALL
SELECT 'function', space.prefix || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')', NULL,
       concat_ws(E'\\n', p.prokind, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid), l.lanname,
                 p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.proconfig, p.prosrc,
                 pg_get_function_sqlbody(p.oid)), ''
FROM pg_proc p JOIN space ON space.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
WHERE p.prokind <> 'a' AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                                       AND d.deptype = 'e')
UNION ALL
SELECT 'trigger', t.tgname, r.name, pg_get_triggerdef(t.oid, true), t.tgenabled::text
FROM pg_trigger t JOIN relation r ON r.oid = t.tgrelid WHERE NOT t.tgisinternal
UNION ALL
SELECT 'constraint', k.conname, r.name, pg_get_constraintdef(k.oid, true), k.convalidated::text
FROM pg_constraint k JOIN relation r ON r.oid = k.conrelid WHERE k.contype IN ('c', 'f', 'p', 'u', 'x')
UNION ALL
SELECT 'index', c.relname, r.name, pg_get_indexdef(i.indexrelid, 0, true), i.indisvalid::text
FROM pg_index i JOIN relation r ON r.oid = i.indrelid JOIN pg_class c ON c.oid = i.indexrelid
WHERE NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
UNION ALL
SELECT 'rule', u.rulename, r.name, pg_get_ruledef(u.oid, true), u.ev_enabled::text
FROM pg_rewrite u JOIN relation r ON r.oid = u.ev_class WHERE u.rulename <> '_RETURN'
UNION ALL
SELECT 'foreign key', k.conname, r.name, 'the triggers behind it', min(t.tgenabled::text)
FROM pg_constraint k JOIN relation r ON r.oid = k.conrelid JOIN pg_trigger t ON t.tgconstraint = k.oid
WHERE k.contype = 'f' GROUP BY k.oid, k.conname, r.name
""")

_ENABLED = {"D": "disabled", "R": "enabled for replicas alone", "A": "enabled always", "O": "enabled"}
_STATES = {
    "trigger": _ENABLED,
    "rule": _ENABLED,
    "foreign key": _ENABLED,
    "constraint": {"false": "not validated", "true": "validated"},
    "index": {"false": "not valid", "true": "valid"},
}


@dataclass(frozen=True, slots=True)
class Definition:
    """What the server prints of one object, and its state (enabled, validated), where it has one."""

    words: str
    state: str


Definitions = Mapping[tuple[str, str, str | None], Definition]
"""By kind, name, and the table it belongs to."""


def definitions(tx: Transaction) -> Definitions:
    """Everything that migrations define beside columns, in the schema of the record and in that of the queue."""
    rows = tx.execute(_DEFINITIONS, {"queue": queue.SCHEMA})
    return {(row.kind, row.name, row.of): Definition(row.definition, row.state) for row in rows}


def freshly_made(database: Database) -> Definitions:
    """What this server prints of a schema that migrations make now; nothing of it stays.

    Raises:
        DatabaseError: the role may not make a schema, or another process changes one.
    """
    with database.transaction() as tx:
        attempt = tx.begin_nested()
        try:
            _put_the_record_aside(tx)
            schema.upgrade(tx)
            return definitions(tx)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in {_INSUFFICIENT_PRIVILEGE, _LOCK_NOT_AVAILABLE}:
                raise
            reason = str(error.orig).strip().partition("\n")[0]
            raise DatabaseError(f"no schema could be made to compare with ({reason})") from error
        finally:
            attempt.rollback()


def _put_the_record_aside(tx: Transaction) -> None:
    """Until the transaction is rolled back: an empty schema before the record's, the queue's under another name."""
    tx.execute(text(f"SET LOCAL lock_timeout = '{_PATIENCE_S}s'"))
    if tx.scalar(text("SELECT to_regnamespace(:queue)"), {"queue": queue.SCHEMA}) is not None:
        tx.execute(text(f"ALTER SCHEMA {queue.SCHEMA} RENAME TO {_ASIDE}"))
    tx.execute(text(f"CREATE SCHEMA {_FRESH}"))
    tx.execute(text(f"SET LOCAL search_path = {_FRESH}"))


def differences(here: Definitions, made: Definitions) -> list[str]:
    """How definitions differ from those that migrations make, in words; what a missing table had is left out."""
    tables = {of for _, _, of in here}
    return [
        f"{kind} {name}{'' if of is None else f' of {of}'} {what}"
        for kind, name, of in sorted(here.keys() | made.keys(), key=str)
        if of in tables and (what := _difference(kind, here.get((kind, name, of)), made.get((kind, name, of))))
    ]


def _difference(kind: str, here: Definition | None, made: Definition | None) -> str | None:
    if here is None:
        return "is missing"
    if made is None:
        return "is not known"
    if here.words != made.words:
        return "is changed"
    if here.state != made.state:
        return f"is {_STATES[kind][here.state]}"
    return None


def unlike_files(tx: Transaction) -> list[str]:
    """Which files in `views` say something else than the schema that migrations made here, with the cure; it stays."""
    made = _views_and_functions(tx)
    files = {file.stem: file.read_text(encoding="utf-8") for file in VIEWS.glob("*.sql")}
    found = dict.fromkeys(made.keys() - files.keys(), "is missing")
    attempt = tx.begin_nested()
    try:
        for name, words in files.items():
            if not re.search(rf"^CREATE OR REPLACE (VIEW|FUNCTION) {re.escape(name)}\b", words, re.MULTILINE):
                found[name] = "does not CREATE OR REPLACE what it is named after"
            elif (refusal := _refusal(tx, words)) is not None:
                found[name] = f"cannot take the place of what is there ({refusal})"
        said = _views_and_functions(tx)
    finally:
        attempt.rollback()
    for name in said:
        if said[name] != made.get(name):
            found.setdefault(name, "says something else than the migrations")
    return [
        f"agd/db/views/{name}.sql {what}: write in it what migrations make, or a migration that makes what it says"
        for name, what in sorted(found.items())
    ]


def _views_and_functions(tx: Transaction) -> dict[str, Definitions]:
    """By the name without arguments, which several functions may share."""
    found: dict[str, dict[tuple[str, str, str | None], Definition]] = {}
    for key, definition in definitions(tx).items():
        if key[0] in {"view", "function"}:
            found.setdefault(key[1].partition("(")[0], {})[key] = definition
    return dict(found)


def _refusal(tx: Transaction, statements: str) -> str | None:
    """Execute them as they are; what the server has against it, None where they are done."""
    try:
        with tx.begin_nested():
            tx.exec_driver_sql(statements, execution_options={"no_parameters": True})
    except DBAPIError as error:
        return str(error.orig).strip().partition("\n")[0]
    return None
