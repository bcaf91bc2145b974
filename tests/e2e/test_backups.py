"""A backup taken at any moment, everything lost, the backup restored: the campaign goes on as if nothing had been."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import NullPool, create_engine, make_url, text

from agd.db import schema
from agd.db.connection import Database
from agd.db.record import hashes
from agd.db.server.embedded import EmbeddedServer
from agd.db.upkeep import definitions
from agd.errors import BusyError, DatabaseError, InputError, ModelError, SchemaError
from agd.loop import LocalEngine
from agd.nets.threads import limited_threads
from agd.spec import ResolvedSpec
from agd.steps.campaign.opening import open_campaign, reopen_campaign
from agd.steps.campaign.stepping import next_step, perform
from agd.steps.upkeep import backups as keeping_steps
from agd.steps.upkeep.backups import back_up, open_backup, restore
from agd.work.workspace import Workspace

MakeSpec = Callable[..., ResolvedSpec]
RANDOM = '[oracle]\nn_trees = 5\n[sampler]\nkind = "random"\n'


@pytest.fixture
def elsewhere(server_url: str, tmp_path: Path) -> Iterator[Workspace]:
    """A database without a table, and an empty folder of model files: what is left when all is lost."""
    name = f"agd_elsewhere_{os.getpid()}"
    url = make_url(server_url)
    engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE template0'))
    with Database(url.set(database=name).render_as_string(hide_password=False)) as database:
        yield Workspace(database, tmp_path / "elsewhere")
    with engine.connect() as connection:
        connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))


def content_hash(workspace: Workspace, name: str = "small") -> str | None:
    with workspace.database.read() as tx:
        found = hashes.of_campaign(tx, name)
        return found and found.sha256


def hash_with_later(workspace: Workspace, name: str = "small") -> str | None:
    with workspace.database.read() as tx:
        found = hashes.of_campaign(tx, name, with_later=True)
    return None if found is None else found.sha256


def changed_definitions(workspace: Workspace) -> list[str]:
    with workspace.database.read() as tx:
        here = definitions.definitions(tx)
    return definitions.differences(here, definitions.freshly_made(workspace.database))


def start(workspace: Workspace, resolved: ResolvedSpec, *, until: tuple[str, int]) -> None:
    """Run a campaign up to a step, which is not done."""
    campaign = open_campaign(workspace, resolved)
    while (step := next_step(workspace, campaign)) is not None and (step.kind, step.iteration) != until:
        with limited_threads(1):
            perform(workspace, campaign, step)
    assert step is not None


def finish(workspace: Workspace, name: str = "small") -> str | None:
    assert LocalEngine().run(workspace, reopen_campaign(workspace, name)).is_ended
    return content_hash(workspace, name)


def n_rows(workspace: Workspace, table: str) -> object:
    with workspace.database.read() as tx:
        return tx.scalar(text(f"SELECT count(*) FROM {table}"))


@pytest.fixture
def halfway(starter: Workspace, make_spec: MakeSpec) -> Workspace:
    """A campaign that stands between a suggestion and its decoding."""
    start(starter, make_spec(more=RANDOM), until=("decode", 2))
    return starter


def test_a_campaign_goes_on_from_a_backup(
    starter: Workspace, make_spec: MakeSpec, elsewhere: Workspace, tmp_path: Path
) -> None:
    start(starter, make_spec(), until=("decode", 2))
    with starter.database.transaction() as tx:
        tx.execute(text("INSERT INTO queue.collection (database, name) VALUES ('agd', 'fireworks')"))
    file = tmp_path / "kept.tar"
    kept = back_up(starter, file)
    assert kept.content_hashes == {"small": hash_with_later(starter)}
    assert kept.n_model_files == 2
    assert kept.n_bytes == file.stat().st_size
    undisturbed = finish(starter)
    restored = restore(elsewhere, open_backup(file))
    assert (restored.n_written, restored.has_replaced) == (2, False)
    assert n_rows(elsewhere, "queue.collection WHERE name = 'fireworks'") == 1
    assert hash_with_later(elsewhere) == kept.content_hashes["small"]
    assert content_hash(elsewhere) != undisturbed
    assert finish(elsewhere) == undisturbed
    assert restored.n_rows == kept.n_rows


def test_a_backup_is_one_moment_of_a_campaign_at_work(
    halfway: Workspace, elsewhere: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that come while the dump is being made are not in it, and the campaign is not held up."""
    before, all_before = content_hash(halfway), hash_with_later(halfway)
    dump = keeping_steps.dumps.dump

    def finish_first(*arguments: object) -> object:
        finish(halfway)
        return dump(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(keeping_steps.dumps, "dump", finish_first)
    kept = back_up(halfway, tmp_path / "kept.tar")
    assert content_hash(halfway) != before
    assert kept.content_hashes == {"small": all_before}
    restore(elsewhere, open_backup(tmp_path / "kept.tar"))
    assert content_hash(elsewhere) == before
    assert finish(elsewhere) == content_hash(halfway)


def test_the_file_can_be_read_by_tar_and_is_not_overwritten(halfway: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "kept.tar"
    assert back_up(halfway, file, is_dry_run=True).n_bytes > 0
    assert not file.exists()
    back_up(halfway, file)
    with tarfile.open(file) as tar:
        names = tar.getnames()
        manifest = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
    assert (names[0], names[-2:]) == ("record.dump", ["manifest.json", "seal.sha256"])
    assert sum(name.startswith("artifacts/") for name in names) == 2
    assert manifest["schema_revision"] == schema.SCHEMA_REVISION
    assert manifest["n_rows"]["public.suggestion"] == n_rows(halfway, "suggestion")
    assert "queue.document" in manifest["n_rows"]
    first = file.stat().st_ino
    with pytest.raises(InputError, match=r"there already.*--force"):
        back_up(halfway, file)
    assert file.stat().st_ino == first
    back_up(halfway, file, is_forced=True)
    assert file.stat().st_ino != first
    with pytest.raises(InputError, match="is a folder"):
        back_up(halfway, tmp_path)
    with pytest.raises(InputError, match="cannot be written"):
        back_up(halfway, tmp_path / "none" / "kept.tar")
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def test_a_damaged_model_file_is_named_with_its_cure(halfway: Workspace, elsewhere: Workspace, tmp_path: Path) -> None:
    first, second = sorted(path for path in halfway.artifacts.rglob("*.npz"))
    first.unlink()
    second.write_bytes(b"altered")
    with pytest.raises(ModelError, match=f"{first.stem[:12]} is missing, {second.stem[:12]} is altered.*agd retrain"):
        back_up(halfway, tmp_path / "kept.tar")
    assert not (tmp_path / "kept.tar").exists()
    kept = back_up(halfway, tmp_path / "kept.tar", leaves_out_damaged=True)
    assert kept.absent == [first.stem, second.stem]
    restored = restore(elsewhere, open_backup(tmp_path / "kept.tar"))
    assert (restored.n_written, restored.absent) == (0, kept.absent)
    assert content_hash(elsewhere) == content_hash(halfway)


def test_model_files_that_stand_are_kept_and_damaged_ones_replaced(halfway: Workspace, tmp_path: Path) -> None:
    back_up(halfway, tmp_path / "kept.tar")
    first, second = sorted(path for path in halfway.artifacts.rglob("*.npz"))
    content = second.read_bytes()
    os.utime(first, (1, 1))
    second.write_bytes(b"altered")
    restored = restore(halfway, open_backup(tmp_path / "kept.tar"), is_forced=True)
    assert (restored.n_written, restored.has_replaced) == (1, True)
    assert first.stat().st_mtime == 1
    assert second.read_bytes() == content


@pytest.mark.slow
def test_what_is_there_is_replaced_only_by_force(halfway: Workspace, elsewhere: Workspace, tmp_path: Path) -> None:
    before = content_hash(halfway)
    back_up(halfway, tmp_path / "kept.tar")
    archive = open_backup(tmp_path / "kept.tar")
    restore(elsewhere, archive)
    after = finish(elsewhere)
    with pytest.raises(InputError, match="holds a record already: --force"):
        restore(elsewhere, archive)
    with elsewhere.database.campaign_lock(1, "small"), pytest.raises(BusyError, match="agd stop"):
        restore(elsewhere, archive, is_forced=True)
    planned = restore(elsewhere, archive, is_forced=True, is_dry_run=True)
    assert planned.has_replaced
    assert content_hash(elsewhere) == after
    restore(elsewhere, archive, is_forced=True)
    assert content_hash(elsewhere) == before


@pytest.mark.slow
def test_a_schema_without_rows_counts_as_empty(halfway: Workspace, elsewhere: Workspace, tmp_path: Path) -> None:
    with elsewhere.database.transaction() as tx:
        schema.upgrade(tx)
    back_up(halfway, tmp_path / "kept.tar")
    assert not restore(elsewhere, open_backup(tmp_path / "kept.tar")).has_replaced
    assert content_hash(elsewhere) == content_hash(halfway)


@pytest.mark.slow
def test_a_failed_restore_changes_nothing(
    halfway: Workspace, elsewhere: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(halfway, tmp_path / "kept.tar")
    archive = open_backup(tmp_path / "kept.tar")
    restore(elsewhere, archive)
    after = finish(elsewhere)
    computed = keeping_steps.inventory.content_hashes
    monkeypatch.setattr(
        keeping_steps.inventory, "content_hashes", lambda *arguments: dict.fromkeys(computed(*arguments), "0")
    )
    with pytest.raises(DatabaseError, match="differs from its manifest in the content hash; nothing was changed"):
        restore(elsewhere, archive, is_forced=True)
    assert content_hash(elsewhere) == after
    with elsewhere.database.transaction() as tx:
        schema.clear(tx)
        tx.execute(text("CREATE TABLE campaign (id int)"))
    with pytest.raises(DatabaseError, match=r'does not take the backup.*"campaign" already exists'):
        restore(elsewhere, archive)
    assert n_rows(elsewhere, "campaign") == 0


def test_an_older_schema_is_upgraded_and_a_newer_one_refused(
    workspace: Workspace, elsewhere: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "kept.tar"
    with workspace.database.transaction() as tx:
        schema.downgrade(tx, "0001")
    back_up(workspace, file)
    restored = restore(elsewhere, open_backup(file))
    assert (restored.revision_in_backup, restored.revision) == ("0001", schema.SCHEMA_REVISION)
    with elsewhere.database.read() as tx:
        schema.require_current(tx)
    with workspace.database.transaction() as tx:
        schema.upgrade(tx)
    back_up(workspace, file, is_forced=True)
    monkeypatch.setattr(schema, "SCHEMA_REVISION", "0001")
    with pytest.raises(SchemaError, match=r"this agd knows up to 0001.*git -C .* pull"):
        open_backup(file)


def test_the_target_may_have_extensions_and_the_source_too(
    workspace: Workspace, elsewhere: Workspace, tmp_path: Path
) -> None:
    """An extension of the source is not asked for: its server may offer it alone."""
    with workspace.database.transaction() as tx:
        if tx.scalar(text("SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'")) == 0:
            pytest.skip("the server offers no extension to try it with")
        tx.execute(text("CREATE EXTENSION vector"))
        tx.execute(text("COMMENT ON SCHEMA public IS 'of the owner'"))
    back_up(workspace, tmp_path / "kept.tar")
    restore(elsewhere, open_backup(tmp_path / "kept.tar"))
    assert n_rows(elsewhere, "pg_extension WHERE extname = 'vector'") == 0


@pytest.fixture
def older_server() -> Iterator[str]:
    """A server of an older major version, where this machine has one."""
    from agd.db.server.place import MAJOR_VERSION, find_server_user

    programs = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    older = [path for path in programs if 14 <= int(path.parent.name) < MAJOR_VERSION]
    if not older:
        pytest.skip(f"no PostgreSQL from 14 to {MAJOR_VERSION - 1} in /usr/lib/postgresql")
    user = find_server_user()
    folder = Path(f"/tmp/agd-older-{os.getpid()}")  # noqa: S108  short, for its socket, and open to the server's user
    user.own_folder(folder)
    data, control = folder / "data", older[0] / "pg_ctl"
    try:
        options = ["-U", "agd", "--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C"]
        made = user.run([older[0] / "initdb", "-D", data, *options], capture_output=True)
        assert made.returncode == 0, made.stderr
        settings, log = f"-k {folder} -c listen_addresses= -F", folder / "log"
        started = user.run([control, "-D", data, "-o", settings, "-l", log, "-w", "start"], stdout=subprocess.DEVNULL)
        assert started.returncode == 0
        yield f"postgresql+psycopg://agd@/postgres?host={folder}"
        user.run([control, "-D", data, "-m", "immediate", "-w", "stop"], stdout=subprocess.DEVNULL)
    finally:
        shutil.rmtree(folder)


@pytest.mark.slow
def test_a_backup_moves_to_an_older_server_and_back(
    halfway: Workspace, elsewhere: Workspace, older_server: str, tmp_path: Path
) -> None:
    back_up(halfway, tmp_path / "first.tar")
    with Database(older_server) as database:
        older = Workspace(database, tmp_path / "older")
        restore(older, open_backup(tmp_path / "first.tar"))
        assert content_hash(older) == content_hash(halfway)
        assert changed_definitions(older) == []
        back_up(older, tmp_path / "second.tar")
    restore(elsewhere, open_backup(tmp_path / "second.tar"))
    assert changed_definitions(elsewhere) == []
    assert finish(elsewhere) == finish(halfway)


Cli = Callable[..., SimpleNamespace]

SPEC_TEXT = """\
name = "c"
target = "band_gap > 6 eV"
[data]
dataset = "starter"
[initial]
n = 30
at_most = 5.0
[filter]
is_neutral_in_common_states = false

[budget]
oracle_calls = 60
suggestions_per_iteration = 6
[autoencoder]
epochs = 3
n_latent = 12
hidden = 48
min_rows = 2000
[oracle]
n_trees = 10
[sampler]
kind = "ucb"
n_warmup = 200
"""


def caller(environment: dict[str, str], folder: Path) -> Cli:
    def call(*words: str, **changes: str) -> SimpleNamespace:
        ran = subprocess.run(
            [sys.executable, "-m", "agd", *words],
            env=environment | changes,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert "Traceback" not in ran.stderr, ran.stderr
        return SimpleNamespace(code=ran.returncode, out=ran.stdout, err=ran.stderr)

    return call


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home with a server of its own, lost in the middle of the test."""
    home = tmp_path / "home"
    yield home
    lose(home)


def lose(home: Path) -> None:
    server = EmbeddedServer(home, linger_s=0)
    server.stop(force=True)
    cluster = server.status().data_directory.parent  # as root it may lie outside the home
    shutil.rmtree(cluster, ignore_errors=True)
    shutil.rmtree(home, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.timeout(600)  # many programs, on a machine that may be busy
def test_everything_is_lost_and_comes_back(home: Path, tmp_path: Path) -> None:
    """At the command line: run, kill in the middle, back up, lose server and files, restore, resume."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("AGD_")}
    cli = caller({**clean, "AGD_HOME": str(home), "AGD_SERVER_LINGER_S": "60", "COLUMNS": "160"}, tmp_path)
    columns = ["--formula-column", "formula", "--value-column", "band_gap_ev", "--property", "band_gap", "--unit", "eV"]
    starter = Path(__file__).parents[2] / "agd" / "data" / "starter.csv"
    assert cli("doctor").code == 0
    assert not home.exists()
    assert cli("data", "import", str(starter), "--name", "starter", *columns).code == 0
    (tmp_path / "c.toml").write_text(SPEC_TEXT)
    running = subprocess.Popen(
        [sys.executable, "-m", "agd", "run", "c.toml", "--quiet"],
        env={**clean, "AGD_HOME": str(home), "AGD_SERVER_LINGER_S": "60"},
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def standing() -> dict[str, Any]:
        rows = json.loads(cli("status", "--json").out)["campaigns"]
        return rows[0] if rows else {"n_charged": 0}

    end = time.monotonic() + 120
    while standing()["n_charged"] == 0:
        assert time.monotonic() < end
        assert running.poll() is None
    running.kill()
    running.wait()
    assert standing()["n_charged"] < 60
    while "agd resume c" not in [finding["cure"] for finding in json.loads(cli("doctor", "--json").out)]:
        assert time.monotonic() < end  # the server has not yet seen that its client is gone
    assert cli("backup", "kept.tar").code == 0
    planned = json.loads(cli("restore", "kept.tar", "--dry-run", "--force", "--json").out)
    assert (planned["is_dry_run"], planned["has_replaced"], planned["n_written"]) == (True, True, 0)
    assert cli("resume", "c", "--quiet").code == 0
    undisturbed = cli("hash", "c").out
    lose(home)
    assert cli("list").out.startswith("no campaigns yet")
    restored = cli("restore", "kept.tar")
    assert restored.code == 0, restored
    assert "and 1 campaign of" in restored.out
    assert cli("resume", "c", "--quiet").code == 0
    assert cli("hash", "c").out == undisturbed
    refused = cli("restore", "kept.tar")
    assert (refused.code, "--force" in refused.err) == (2, True)
    sound = cli("doctor", "--json")
    assert sound.code == 0, sound.out
    assert all(finding["severity"] in {"ok", "note"} for finding in json.loads(sound.out))
