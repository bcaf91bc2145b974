"""What stands in `agd/db/views` is what migrations make, and a file that says something else is named with the cure."""

import shutil
from pathlib import Path

import pytest
from sqlalchemy import text

from agd.db.connection import Database
from agd.db.upkeep import definitions


def test_the_texts_are_what_migrations_make(database: Database) -> None:
    with database.transaction() as tx:
        assert definitions.unlike_files(tx) == []


def test_each_begins_with_what_it_answers() -> None:
    for file in definitions.VIEWS.glob("*.sql"):
        words = file.read_text(encoding="utf-8")
        assert words.startswith("-- "), file
        assert words.endswith(";\n"), file


@pytest.fixture
def views(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy that may be changed."""
    copied = tmp_path / "views"
    shutil.copytree(definitions.VIEWS, copied)
    monkeypatch.setattr(definitions, "VIEWS", copied)
    return copied


def test_a_file_that_differs_is_named(database: Database, views: Path) -> None:
    def change(name: str, old: str, new: str) -> None:
        file = views / f"{name}.sql"
        words = file.read_text(encoding="utf-8")
        assert old in words
        file.write_text(words.replace(old, new), encoding="utf-8")

    change("v_suggestion_judged", "'external'", "'outside'")
    change("v_iteration", "AS highest", "AS best")
    change("agd_is_plausible", "100", "101")
    change("v_job", "v_job", "v_jobs")
    change("v_label", "-- One", "-- There is one")
    (views / "v_lineage.sql").unlink()
    (views / "v_new.sql").write_text("CREATE OR REPLACE VIEW v_new AS SELECT '100%' AS said, 'a :name' AS other;\n")
    with database.transaction() as tx:
        before = definitions.definitions(tx)
        found = definitions.unlike_files(tx)
        assert definitions.differences(definitions.definitions(tx), before) == []
        assert tx.scalar(text("SELECT to_regclass('v_new')")) is None
    assert [line.partition(".sql ")[::2] for line in found] == [
        (f"agd/db/views/{name}", f"{what}: write in it what migrations make, or a migration that makes what it says")
        for name, what in (
            ("agd_is_plausible", "says something else than the migrations"),
            (
                "v_iteration",
                'cannot take the place of what is there (cannot change name of view column "highest" to "best")',
            ),
            ("v_job", "does not CREATE OR REPLACE what it is named after"),
            ("v_lineage", "is missing"),
            ("v_new", "says something else than the migrations"),
            ("v_suggestion_judged", "says something else than the migrations"),
        )
    ]
