"""What a database holds as a whole: rows by table, the model files that the record names, a hash by campaign."""

from sqlalchemy import text

from agd.db.connection import Transaction

_TABLES = text("""
SELECT n.nspname || '.' || c.relname AS name, format('%I.%I', n.nspname, c.relname) AS quoted
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
  AND NOT EXISTS (SELECT FROM pg_depend d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY n.nspname, c.relname
""")

_HASH_FUNCTION = text("""
SELECT proname FROM pg_proc
WHERE proname ~ '^agd_content_hash_v[0-9]+(_with_later)?$' AND pronamespace = 'public'::regnamespace
ORDER BY length(proname) DESC, proname DESC LIMIT 1
""")


def row_counts(tx: Transaction) -> dict[str, int]:
    """Number of rows by schema and table, extensions' tables left out."""
    tables = tx.execute(_TABLES).all()
    return {row.name: int(tx.execute(text(f"SELECT count(*) FROM {row.quoted}")).scalar_one()) for row in tables}


def holds_record(tx: Transaction) -> bool:
    """Whether the record holds anything: every row that a user caused was made by an activity."""
    if tx.scalar(text("SELECT to_regclass('activity')")) is None:
        return False
    return bool(tx.scalar(text("SELECT EXISTS (SELECT FROM activity)")))


def artifacts(tx: Transaction) -> list[str]:
    """Hashes of the model files that the record names, in order."""
    return list(tx.execute(text("SELECT sha256 FROM artifact ORDER BY sha256")).scalars())


def hash_function(tx: Transaction) -> str:
    """Name of the newest content hash that this schema has, the one that covers most."""
    return str(tx.execute(_HASH_FUNCTION).scalar_one())


def content_hashes(tx: Transaction, function: str) -> dict[str, str]:
    """The content hash of every campaign, by name."""
    names = tx.execute(text('SELECT name FROM campaign ORDER BY name COLLATE "C"')).scalars()
    return {name: str(tx.scalar(text(f"SELECT {function}(:name)"), {"name": name})) for name in names.all()}
