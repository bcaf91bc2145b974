"""One small campaign under settings of the shell, the role, the database: the same hash, or one line before a row."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import psycopg
import pytest
from psycopg import pq

from agd.db.server.embedded import EmbeddedServer

AGD = Path(sys.executable).with_name("agd")
STARTER = Path(str(files("agd") / "data" / "starter.csv"))
FreshDatabase = Callable[[], AbstractContextManager[str]]

SPEC = """\
name = "small"
target = "band_gap > 6 eV"
seed = 3

[data]
dataset = "starter"

[initial]
n = 30
at_most = 5.0

[filter]
is_neutral_in_common_states = false

[budget]
oracle_calls = 8
suggestions_per_iteration = 4

[autoencoder]
epochs = 2
n_latent = 12
hidden = 32
min_rows = 500

[oracle]
n_trees = 5

[sampler]
kind = "ucb"
n_warmup = 100
"""

ELSEWHERE = """
CREATE SCHEMA elsewhere;
CREATE TABLE elsewhere.composition (id int);
CREATE TABLE elsewhere.campaign (id int);
CREATE FUNCTION elsewhere.agd_content_hash_v2(text) RETURNS text LANGUAGE sql AS $$ SELECT 'of another' $$;
CREATE SCHEMA agd;
CREATE TABLE agd.label (id int);
"""
"""Tables and functions that stand in the way of the record's; one schema has the name of the role."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Something hostile: variables of the shell, or SQL about the database {db} before it is used."""

    variables: dict[str, str] = field(default_factory=dict)
    sql: str = ""
    refusal: str | None = None


def of_role(name: str, value: str) -> Setting:
    return Setting(sql=f'ALTER ROLE agd IN DATABASE "{{db}}" SET {name} = {value}')


def of_database(name: str, value: str) -> Setting:
    return Setting(sql=f'ALTER DATABASE "{{db}}" SET {name} = {value}')


HARMLESS = {
    "encoding of the shell": Setting({"PGCLIENTENCODING": "SQL_ASCII"}),
    "unknown encoding": Setting({"PGCLIENTENCODING": "nonsense"}),
    "dates of the shell": Setting({"PGDATESTYLE": "German", "PGTZ": "America/St_Johns"}),
    "unknown dates": Setting({"PGDATESTYLE": "nonsense", "PGTZ": "nowhere", "PGGEQO": "perhaps"}),
    "options of the shell": Setting({"PGOPTIONS": "-c search_path=elsewhere -c extra_float_digits=-15"}),
    "options that nobody knows": Setting({"PGOPTIONS": "-c nonsense=1"}),
    "no patience": Setting({"PGCONNECT_TIMEOUT": "soon", "PGAPPNAME": "x" * 200}),
    "address of another host": Setting({"PGHOSTADDR": "192.0.2.1"}),
    "another host": Setting({"PGHOST": "192.0.2.1", "PGPORT": "1", "PGDATABASE": "other", "PGUSER": "other"}),
    "protocol of the shell": Setting({"PGMAXPROTOCOLVERSION": "9.9", "PGMINPROTOCOLVERSION": "9.9"}),
    "locale": Setting({"LC_ALL": "C", "LANG": "de_DE", "TZ": "Asia/Kathmandu"}),
    "dates of the role": of_role("datestyle", "'SQL, DMY'"),
    "zone of the database": of_database("timezone", "'Asia/Kathmandu'"),
    "intervals of the role": of_role("intervalstyle", "'sql_standard'"),
    "digits of the role": of_role("extra_float_digits", "-15"),
    "bytes of the role": of_role("bytea_output", "'escape'"),
    "encoding of the role": of_role("client_encoding", "'LATIN1'"),
    "arrays of the database": of_database("array_nulls", "off"),
    "strings of the role": of_role("standard_conforming_strings", "off"),
    "nulls of the role": of_role("transform_null_equals", "on"),
    "search path of the role": Setting(sql='ALTER ROLE agd IN DATABASE "{db}" SET search_path = elsewhere, public'),
    "search path of the database": Setting(sql='ALTER DATABASE "{db}" SET search_path = nowhere'),
    "short statements": of_role("statement_timeout", "'20ms'"),
    "short locks": of_role("lock_timeout", "'1ms'"),
    "short pauses": of_role("idle_in_transaction_session_timeout", "'10ms'"),
    "short sessions": of_database("idle_session_timeout", "'10ms'"),
    "isolation of the role": of_role("default_transaction_isolation", "'serializable'"),
    "deferrable": of_database("default_transaction_deferrable", "on"),
    "no triggers": of_role("session_replication_role", "'replica'"),
    "no views": of_role("restrict_nonsystem_relation_kind", "'view'"),
    "errors end the session": of_role("exit_on_error", "on"),
    "chatter": of_role("client_min_messages", "'debug5'"),
    "little memory, other plans": Setting(
        sql='ALTER ROLE agd IN DATABASE "{db}" SET work_mem = 64; ALTER DATABASE "{db}" SET enable_hashjoin = off;'
        ' ALTER DATABASE "{db}" SET enable_indexscan = off; ALTER DATABASE "{db}" SET debug_parallel_query = on'
    ),
}
REFUSED = {
    "service of the shell": Setting({"PGSERVICE": "nowhere"}, refusal="PGSERVICE of the environment cannot be used"),
    "security of the shell": Setting({"PGSSLMODE": "maybe"}, refusal="PGSSLMODE of the environment cannot be used"),
    "only a standby": Setting({"PGTARGETSESSIONATTRS": "standby"}, refusal="is read-only"),
    "read-only": Setting(
        sql='ALTER DATABASE "{db}" SET default_transaction_read_only = on', refusal="is read-only (cannot execute"
    ),
}
SETTINGS = HARMLESS | REFUSED


def name_of(url: str) -> str:
    return psycopg.conninfo.conninfo_to_dict(plain(url))["dbname"]  # type: ignore[return-value]


def plain(url: str) -> str:
    return url.replace("+psycopg", "")


def execute(url: str, *statements: str) -> None:
    with psycopg.connect(plain(url), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def make_hostile(url: str, *settings: Setting) -> None:
    """Only for this database, with which it goes."""
    execute(url, ELSEWHERE, *(setting.sql.format(db=name_of(url)) for setting in settings if setting.sql))


@dataclass(frozen=True, slots=True)
class Shell:
    """A user's shell, with variables of its own."""

    folder: Path
    variables: dict[str, str]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        foreign = ("AGD_", "PG")
        clean = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
        ran = subprocess.run(
            [AGD, *words],
            env=clean | {"AGD_HOME": str(self.folder / "home"), "AGD_SERVER_LINGER_S": "30"} | self.variables,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in ran.stderr, ran.stderr
        return ran

    def says(self, *words: str) -> str:
        ran = self.run(*words)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def import_starter(self) -> subprocess.CompletedProcess[str]:
        words = (
            "--formula-column",
            "formula",
            "--value-column",
            "band_gap_ev",
            "--property",
            "band_gap",
            "--unit",
            "eV",
        )
        return self.run("data", "import", str(STARTER), "--name", "starter", *words)

    def hash(self) -> str:
        (self.folder / "small.toml").write_text(SPEC)
        imported = self.import_starter()
        assert imported.returncode == 0, imported.stderr
        self.says("run", "small.toml", "--quiet")
        return self.says("hash", "small")


@pytest.fixture(scope="module")
def calm(fresh_database: FreshDatabase, tmp_path_factory: pytest.TempPathFactory) -> str:
    with fresh_database() as url:
        return Shell(tmp_path_factory.mktemp("calm"), {"AGD_DATABASE_URL": url}).hash()


@pytest.fixture(scope="module")
def short_folder() -> Iterator[Path]:
    """A folder that the embedded server's user can enter, too."""
    with tempfile.TemporaryDirectory(prefix="agd-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_the_same_hash_or_one_line(calm: str, fresh_database: FreshDatabase, tmp_path: Path, setting: Setting) -> None:
    with fresh_database() as url:
        make_hostile(url, setting)
        shell = Shell(tmp_path, {"AGD_DATABASE_URL": url, **setting.variables})
        if setting.refusal is None:
            assert shell.hash() == calm
        else:
            refused(shell, setting.refusal)
            assert n_rows(url) == 0


def refused(shell: Shell, words: str) -> None:
    ran = shell.import_starter()
    assert ran.returncode in {2, 4}
    assert words in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def n_rows(url: str) -> int:
    with psycopg.connect(plain(url), options="-c search_path=public") as connection:
        [(n,)] = connection.execute("SELECT count(*) FROM activity").fetchall()
    return int(n)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_everything_at_once_on_a_server_of_ones_own(calm: str, fresh_database: FreshDatabase, tmp_path: Path) -> None:
    variables: dict[str, str] = {}
    for setting in HARMLESS.values():
        variables = {**setting.variables, **variables}
    variables.pop("LC_ALL")
    with fresh_database() as url:
        make_hostile(url, *HARMLESS.values())
        assert Shell(tmp_path, {"AGD_DATABASE_URL": url, **variables}).hash() == calm


@pytest.mark.parametrize("setting", REFUSED.values(), ids=REFUSED)
def test_one_line_before_a_row(fresh_database: FreshDatabase, tmp_path: Path, setting: Setting) -> None:
    with fresh_database() as url:
        make_hostile(url, setting)
        refused(Shell(tmp_path, {"AGD_DATABASE_URL": url, **setting.variables}), str(setting.refusal))
        assert n_rows(url) == 0


@pytest.mark.timeout(600)
@pytest.mark.slow
def test_no_variable_counts_for_the_embedded_server(calm: str, short_folder: Path) -> None:
    """Every variable that the installed libpq reads, and every one that it does not read yet."""
    read = [one.envvar.decode() for one in pq.Conninfo.get_defaults() if one.envvar]
    assert {"PGHOSTADDR", "PGSERVICE", "PGOPTIONS", "PGREQUIREAUTH"} <= set(read)
    also = ("PGDATESTYLE", "PGTZ", "PGGEQO", "PGSERVICEFILE", "PGSYSCONFDIR", "PGREQUIRESSL", "PGDATA", "PGNEW")
    with socket.create_server(("127.0.0.1", 0)) as other:  # somebody else's, who would take an import and never answer
        there = {"PGHOSTADDR": "127.0.0.1", "PGPORT": str(other.getsockname()[1])}
        shell = Shell(short_folder, dict.fromkeys((*read, *also), "nonsense") | there)
        try:
            assert shell.hash() == calm
            shown = shell.says(
                "db", "psql", "-Atc", "SELECT current_setting('DateStyle'), current_setting('search_path')"
            )
            assert shown == "ISO, MDY|public\n"
            shell.says("backup", "there.agd")
            other.setblocking(False)  # noqa: FBT003  a method of the standard library
            with pytest.raises(BlockingIOError):
                other.accept()
        finally:
            server = EmbeddedServer(short_folder / "home")
            cluster = server.status().data_directory.parent
            server.stop(force=True)
            shutil.rmtree(cluster, ignore_errors=True)  # as root it may lie outside
