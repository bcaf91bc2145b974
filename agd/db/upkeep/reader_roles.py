"""Roles that can read the record and change nothing."""

from sqlalchemy import Connection, TextClause, text
from sqlalchemy.exc import ProgrammingError

from agd.db.tables.queue import SCHEMA as QUEUE
from agd.errors import InputError

_MAX_BYTES = 63
_INSUFFICIENT_PRIVILEGE = "42501"

# format() quotes the role: no name can say anything else than itself.
_CREATE = text("""
DO $$ BEGIN
    EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION',
                   current_setting('agd.reader'));
END $$
""")

_GRANT = text("""
DO $$
DECLARE
    reader constant text := current_setting('agd.reader');
    owner constant text := (SELECT relowner::regrole::text FROM pg_class WHERE oid = 'activity'::regclass);
    space text;
BEGIN
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), reader);
    FOREACH space IN ARRAY string_to_array(current_setting('agd.schemas'), ' ') LOOP
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', space, reader);
        EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO %I', space, reader);
        EXECUTE format('GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA %I TO %I', space, reader);
    END LOOP;
    -- for what comes: of the whole database, because a restore makes the queue's schema anew
    EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %s GRANT USAGE ON SCHEMAS TO %I', owner, reader);
    EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %s GRANT SELECT ON TABLES TO %I', owner, reader);
    EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %s GRANT EXECUTE ON FUNCTIONS TO %I', owner, reader);
END $$
""")

_CAN_CHANGE = text("""
SELECT 'it is a superuser' AS why, 0 AS sort FROM pg_roles WHERE rolname = :role AND rolsuper
UNION ALL
SELECT 'it may make other roles', 1 FROM pg_roles WHERE rolname = :role AND rolcreaterole
UNION ALL
SELECT 'it may create tables in schema ' || nspname || coalesce(
           (SELECT ', as everybody here: REVOKE CREATE ON SCHEMA ' || quote_ident(nspname) || ' FROM PUBLIC'
            FROM aclexplode(nspacl) WHERE grantee = 0 AND privilege_type = 'CREATE'), ''), 2
FROM pg_namespace WHERE nspname = ANY (:schemas) AND has_schema_privilege(:role, oid, 'CREATE')
UNION ALL
SELECT 'it may change ' || relname, 3
FROM pg_class WHERE relnamespace = ANY (CAST(:schemas AS regnamespace[])) AND relkind IN ('r', 'v')
  AND has_table_privilege(:role, oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
ORDER BY sort, why LIMIT 1
""")


def grant_reader(tx: Connection, role: str) -> bool:
    """Let a role read the record and the queue, all that will come too; whether the role had to be made.

    Raises:
        InputError: no role can have that name, it can do more than read, or yours may not make or grant it.
    """
    _require_name(role)
    schemas = [str(tx.scalar(text("SELECT current_schema()"))), QUEUE]
    for name, value in (("reader", role), ("schemas", " ".join(schemas))):
        tx.execute(text("SELECT set_config('agd.' || :name, :value, true)"), {"name": name, "value": value})
    is_new = not tx.scalar(text("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :role)"), {"role": role})
    if is_new:
        _run(
            tx, _CREATE, f"your role may not make roles: let an administrator CREATE ROLE {role} LOGIN, then try again"
        )
    _run(tx, _GRANT, "your role may not grant this: run it as the role that owns the record")
    can_change = tx.execute(_CAN_CHANGE, {"role": role, "schemas": schemas}).first()
    if can_change is not None:
        raise InputError(f"role {role!r} can do more than read: {can_change.why}; nothing was granted")
    return is_new


def _require_name(role: str) -> None:
    if not role.strip() or "\0" in role:
        raise InputError("name the role that shall read")
    if len(role.encode()) > _MAX_BYTES:
        raise InputError(f"role {role[:20]!r}...: a role's name has at most {_MAX_BYTES} bytes")
    if role.startswith("pg_") or role in {"public", "none"}:
        raise InputError(f"role {role!r}: PostgreSQL keeps that name for itself, choose another one")


def _run(tx: Connection, statement: TextClause, cure: str) -> None:
    try:
        tx.execute(statement)
    except ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) != _INSUFFICIENT_PRIVILEGE:
            raise
        raise InputError(f"{cure} ({str(error.orig).strip().partition(chr(10))[0]})") from error
