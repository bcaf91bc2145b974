import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text

from agd.db import removals, schema
from agd.db.connection import Database
from agd.db.record import jobs
from agd.db.upkeep import definitions
from agd.errors import SchemaError

ROOT = Path(__file__).parents[2]


def test_the_code_needs_the_last_revision() -> None:
    config = Config()
    config.set_main_option("script_location", "agd_migrations:")
    assert ScriptDirectory.from_config(config).get_current_head() == schema.SCHEMA_REVISION


def test_up_down_up(database: Database) -> None:
    with database.transaction() as tx:
        schema.downgrade(tx, "base")
        left = tx.scalars(text("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace")).all()
        assert set(left) == {"alembic_version", "alembic_version_pkc"}
        schema.upgrade(tx)
        schema.require_current(tx)
        assert schema.differences(tx) == []


_COLUMNS = text("""
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
       pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' ORDER BY c.relname, a.attname
""")


def test_every_way_back_is_the_way_forth(database: Database) -> None:
    """Views, functions, triggers, constraints, indexes and columns of each revision, whichever way one came to it."""
    config = Config()
    config.set_main_option("script_location", "agd_migrations:")
    revisions = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()][::-1]
    back, forth = {}, {}
    with database.transaction() as tx:
        for revision in [*revisions[-2::-1], "base"]:
            schema.downgrade(tx, revision)
            back[revision] = definitions.definitions(tx), tx.execute(_COLUMNS).all()
        for revision in revisions[:-1]:
            schema.upgrade(tx, revision)
            forth[revision] = definitions.definitions(tx), tx.execute(_COLUMNS).all()
    for revision in forth:
        assert definitions.differences(back[revision][0], forth[revision][0]) == [], revision
        assert back[revision][1] == forth[revision][1], revision


_NEW_IN_0008 = {
    "jobs other than campaigns' steps": "INSERT INTO job (kind, title, key_sha256) VALUES ('screen', 't', 'k')",
    "jobs that are held, parked or cancelled": "INSERT INTO campaign (name, spec_sha256, spec, spec_text, seed,"
    " property, target_low, budget_calls, agd_version) VALUES ('c', 's', '{}', '', 0, 'band_gap', 6, 10, '0');"
    " INSERT INTO job (kind, title, key_sha256, campaign_id, state)"
    " VALUES ('encode', 't', agd_step_key('c', 'encode', NULL), 1, 'held')",
    "stages of anything but generations and screenings": "INSERT INTO activity (kind, agd_version, host, cpu, threads,"
    " pid) VALUES ('t', '0', 'h', 'c', 1, 1); INSERT INTO stage VALUES (1, '', 1, 'read', 1, 1)",
}


@pytest.mark.parametrize("what", _NEW_IN_0008)
def test_going_back_never_forgets_what_0008_holds(database: Database, what: str) -> None:
    with database.transaction() as tx:
        for statement in _NEW_IN_0008[what].split("; "):
            tx.execute(text(statement))
    with pytest.raises(RuntimeError, match=f"no place for {what}"), database.transaction() as tx:
        schema.downgrade(tx, "0007")


def test_going_back_never_forgets_what_was_refused(database: Database) -> None:
    with database.transaction() as tx:
        tx.execute(
            text("INSERT INTO activity (kind, agd_version, host, cpu, threads, pid) VALUES ('t', '0', 'h', 'c', 1, 1)")
        )
        tx.execute(text("INSERT INTO rejection_sample VALUES (1, 'holds F', 'KF')"))
    with pytest.raises(RuntimeError, match="no place for samples of what was refused"), database.transaction() as tx:
        schema.downgrade(tx, "0011")


def test_going_back_never_forgets_an_amendment(database: Database) -> None:
    with database.transaction() as tx:
        for statement in (
            *_MODEL,
            "INSERT INTO campaign_amendment VALUES (1, 1, 'budget.oracle_calls', 10, 20, 0, NULL, NULL, 1)",
        ):
            tx.execute(text(statement))
    with pytest.raises(RuntimeError, match="no place for amendments"), database.transaction() as tx:
        schema.downgrade(tx, "0011")


_NEW_IN_0015 = {
    "methods of your own": "INSERT INTO method VALUES ('gw', 'dft', 350, '', 1)",
    "methods of datasets": "UPDATE dataset SET property = 'band_gap', method = 'dft-pbe'",
    "models that take answers of others": "INSERT INTO model_version (kind, plugin, property, architecture_version,"
    " options, seed, training_set_id, recipe_sha256, tensors_sha256, metrics, activity_id, input_model_version_id)"
    " VALUES ('oracle', 'informed_trees', 'band_gap', 1, '{}', 0, 1, 'o', 'a', '{}', 1, 1)",
}


@pytest.mark.parametrize("what", _NEW_IN_0015)
def test_going_back_never_forgets_what_0015_holds(database: Database, what: str) -> None:
    with database.transaction() as tx:
        removals.open_removal(tx, "a test")
        for statement in (*_MODEL, _NEW_IN_0015[what]):
            tx.execute(text(statement))
    with pytest.raises(RuntimeError, match=f"no place for {what}"), database.transaction() as tx:
        schema.downgrade(tx, "0014")


@pytest.mark.parametrize(
    ("row", "what"),
    [
        (
            "INSERT INTO campaign_target VALUES (1, 2, 'formation_energy', NULL, -1.5, 1)",
            "further targets",
        ),
        (
            "INSERT INTO iteration (campaign_id, number) VALUES (1, 1);"
            " INSERT INTO suggestion (campaign_id, iteration_id, rank, proposed, activity_id)"
            " VALUES (1, 1, 1, 'composition', 1); INSERT INTO suggestion_expectation VALUES (1, 1, 3, 0.5, 1)",
            "what samplers expected",
        ),
    ],
)
def test_going_back_never_forgets_further_properties(database: Database, row: str, what: str) -> None:
    with database.transaction() as tx:
        for statement in (*_MODEL, *row.split("; ")):
            tx.execute(text(statement))
    with pytest.raises(RuntimeError, match=f"no place for {what}"), database.transaction() as tx:
        schema.downgrade(tx, "0013")


@pytest.mark.parametrize(
    ("revision", "message"), [("0000", "agd db upgrade"), ("9999", "git -C .* pull"), (None, "agd db upgrade")]
)
def test_another_schema_is_refused_with_its_cure(database: Database, revision: str | None, message: str) -> None:
    with database.transaction() as tx:
        if revision is None:
            tx.execute(text("DROP TABLE alembic_version"))
        else:
            tx.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
        with pytest.raises(SchemaError, match=message):
            schema.require_current(tx)


def test_the_wheel_brings_its_migrations(tmp_path: Path, database: Database) -> None:
    """Installed from the wheel alone, away from the checkout, `agd db upgrade` makes the schema."""
    with database.transaction() as tx:
        schema.downgrade(tx, "base")
    built = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AGD_")}
    environment |= {
        "PYTHONPATH": str(site),
        "AGD_DATABASE_URL": database.url.replace("+psycopg", ""),
        "AGD_HOME": str(tmp_path / "home"),
    }
    program = (
        "import agd, agd_migrations, sys; from agd.cli import main; sys.argv = ['agd', 'db', 'upgrade'];"
        "print(agd.__file__, agd_migrations.__file__); main()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count(str(site)) == 2
    with database.transaction() as tx:
        schema.require_current(tx)
    views = {file.name for file in (site / "agd" / "db" / "views").iterdir()}
    assert views == {file.name for file in definitions.VIEWS.iterdir()}


def test_going_back_never_forgets_a_retraction(database: Database) -> None:
    with database.transaction() as tx:
        for statement in (
            "INSERT INTO activity (kind, agd_version, host, cpu, threads, pid) VALUES ('t', '0', 'h', 'c', 1, 1)",
            "INSERT INTO composition (reduced_formula, chemical_system, anonymous_formula, n_elements, n_atoms,"
            " activity_id) VALUES ('NaCl', 'Cl-Na', 'AB', 2, 2, 1)",
            "INSERT INTO dataset (name, source, source_sha256, recipe_sha256, property, options, n_read, n_rejected,"
            " activity_id) VALUES ('d', 'd', 's', 'r', 'band_gap', '{}', 1, 0, 1)",
            "INSERT INTO label (composition_id, property, value, dataset_id, activity_id)"
            " VALUES (1, 'band_gap', 5, 1, 1)",
            "INSERT INTO retraction VALUES (1, 'wrong', 1)",
        ):
            tx.execute(text(statement))
    with pytest.raises(RuntimeError, match="no place for retractions"), database.transaction() as tx:
        schema.downgrade(tx, "0001")
    with database.transaction() as tx:
        assert tx.scalar(text("SELECT count(*) FROM retraction")) == 1


def test_the_steps_of_an_older_record_stay_done(database: Database) -> None:
    """A step that 0002 holds as done is not done again, one that was at work when it was upgraded is."""
    columns = "kind, campaign_id, iteration_id, agd_version, host, cpu, threads, pid, outcome, ended_at"
    step = f"INSERT INTO activity ({columns})"
    with database.transaction() as tx:
        schema.downgrade(tx, "0002")
        for statement in (
            "INSERT INTO campaign (name, spec_sha256, spec, spec_text, seed, property, target_low, budget_calls,"
            " agd_version) VALUES ('c', 's', '{}', '', 0, 'band_gap', 6, 10, '0')",
            "INSERT INTO iteration (campaign_id, number) VALUES (1, 1)",
            f"{step} VALUES ('encode', 1, NULL, '0', 'h', 'c', 1, 1, 'lost', now())",
            f"{step} VALUES ('encode', 1, NULL, '0', 'h', 'c', 1, 1, 'done', now())",
            f"{step} VALUES ('suggest', 1, 1, '0', 'h', 'c', 1, 1, 'done', now())",
            f"{step} VALUES ('decode', 1, 1, '0', 'h', 'c', 1, 1, 'running', NULL)",
        ):
            tx.execute(text(statement))
        schema.upgrade(tx)
    for kind, iteration, is_taken in (("encode", None, False), ("suggest", 1, False), ("decode", 1, True)):
        with database.transaction() as tx:
            job_id = jobs.ensure(tx, jobs.of_step(1, "c", kind, iteration))
            taken = jobs.take(tx, job_id, campaign_id=1, iteration_id=iteration, lease_s=60.0, threads=1)
        assert (taken is not None) == is_taken
    with database.read() as tx:
        outcomes = tx.scalars(text("SELECT outcome FROM v_attempt WHERE step = 'decode' ORDER BY activity_id")).all()
        assert outcomes == ["lost", "running"]
        assert tx.scalar(text("SELECT engine FROM campaign")) == "local"


_MODEL = (
    "INSERT INTO activity (kind, agd_version, host, cpu, threads, pid) VALUES ('t', '0', 'h', 'c', 1, 1)",
    "INSERT INTO artifact (sha256, format, n_bytes, activity_id) VALUES ('a', 'npz', 1, 1)",
    "INSERT INTO training_set (sha256, n_members, activity_id) VALUES ('t', 1, 1)",
    "INSERT INTO composition (reduced_formula, chemical_system, anonymous_formula, n_elements, n_atoms,"
    " activity_id) VALUES ('NaCl', 'Cl-Na', 'AB', 2, 2, 1)",
    "INSERT INTO training_set_member (training_set_id, composition_id, is_held_out) VALUES (1, 1, false)",
    "INSERT INTO model_version (kind, plugin, property, architecture_version, options, seed, training_set_id,"
    " recipe_sha256, tensors_sha256, metrics, activity_id)"
    " VALUES ('autoencoder', 'set', NULL, 1, '{}', 0, 1, 'e', 'a', '{}', 1)",
    "INSERT INTO dataset (name, source, source_sha256, recipe_sha256, options, n_read, n_rejected, activity_id)"
    " VALUES ('d', 'd', 's', 'r', '{}', 1, 0, 1)",
    "INSERT INTO campaign (name, spec_sha256, spec, spec_text, seed, property, target_low, budget_calls, agd_version)"
    " VALUES ('c', 's', '{}', '', 0, 'band_gap', 6, 10, '0')",
)

_NEW_IN_0005 = {
    "generations": "UPDATE model_version SET kind = 'generator'; INSERT INTO generation VALUES (1, 1, 0, 0, 1)",
    "evaluations": "UPDATE model_version SET kind = 'oracle', property = 'band_gap';"
    " UPDATE dataset SET property = 'band_gap';"
    " INSERT INTO evaluation VALUES (1, 1, 'r2', 0.5, 1, 'band_gap', 1)",
    "samplers that draw from a pool": "INSERT INTO campaign_pool VALUES (1, 1, 1)",
    "validation rows": "UPDATE training_set_member SET is_validation = true",
    "generators": "UPDATE model_version SET kind = 'generator'",
}


@pytest.mark.parametrize("what", _NEW_IN_0005)
def test_going_back_never_forgets_what_0005_holds(database: Database, what: str) -> None:
    with database.transaction() as tx:
        schema.downgrade(tx, "0005")
        for statement in (*_MODEL, _NEW_IN_0005[what]):
            tx.execute(text(statement))
    with pytest.raises(RuntimeError, match=f"no place for {what}"), database.transaction() as tx:
        schema.downgrade(tx, "0004")
    with database.read() as tx:
        assert schema.current_revision(tx) == "0005"


def test_a_record_of_0004_is_upgraded_as_it_is(database: Database) -> None:
    lineage = "SELECT * FROM v_lineage ORDER BY 1, 2, 3, 4, 5"
    with database.transaction() as tx:
        schema.downgrade(tx, "0004")
        for statement in _MODEL:
            tx.execute(text(statement))
        before = tx.execute(text(lineage)).all()
        schema.upgrade(tx)
        assert tx.execute(text(lineage)).all() == before
        assert tx.execute(text("SELECT is_held_out, is_validation FROM training_set_member")).all() == [(False, False)]
        assert schema.differences(tx) == []
        removals.open_removal(tx, "a generator for the test")
        tx.execute(text("UPDATE model_version SET kind = 'generator'"))
        tx.execute(text("INSERT INTO generation VALUES (1, 1, 0, 0, 1)"))
        assert tx.scalar(text("SELECT count(*) FROM v_generation")) == 1
