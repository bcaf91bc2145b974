"""Backups: the record, the queue and the model files in one file, and back."""

import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import agd
from agd.db import schema
from agd.db.connection import Transaction, locked_campaigns
from agd.db.removals import open_removal
from agd.db.upkeep import dumps, inventory
from agd.errors import BusyError, DatabaseError, InputError, ModelError, SchemaError
from agd.installing import upgrading
from agd.nets.checkpoint import damage, place_file, tensors_path
from agd.progress import Progress, silent
from agd.steps.upkeep.archiving import DUMP, FORMAT, Archive, ArchiveWriter, Manifest, model_member, read_file, verified
from agd.work.workspace import Workspace
from agd.writing import PART, check_output, writing

_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup holds, or would; `n_bytes` are those of its file, in a dry run those of database and models."""

    file: Path
    n_bytes: int
    content_hashes: dict[str, str]
    n_rows: int
    n_model_files: int
    absent: Sequence[str]
    is_dry_run: bool


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored, or would be; `n_written` counts the model files that were not in their place already."""

    file: Path
    created_at: str
    content_hashes: dict[str, str]
    n_rows: int
    n_model_files: int
    n_written: int
    absent: Sequence[str]
    revision_in_backup: str
    revision: str
    has_replaced: bool
    is_dry_run: bool


def back_up(
    workspace: Workspace,
    file: Path,
    *,
    is_forced: bool = False,
    leaves_out_damaged: bool = False,
    is_dry_run: bool = False,
    progress: Progress = silent,
) -> Backup:
    """Write everything into one file, as it stands at one moment; campaigns may run meanwhile.

    The file appears whole and verified, or not at all.

    Raises:
        InputError: the file is there already, or cannot be written.
        ModelError: a model file is missing or altered.
        DatabaseError: the dump failed.
    """
    check_output(file, force=is_forced, kept=[workspace.artifacts], takes_streams=False)
    with workspace.database.read() as tx:  # its snapshot is what is counted, hashed and dumped
        function = inventory.hash_function(tx)
        hashes, n_rows = inventory.content_hashes(tx, function), inventory.row_counts(tx)
        models, absent = _models(workspace, inventory.artifacts(tx), progress)
        if absent and not leaves_out_damaged:
            raise _damaged(absent)
        n_bytes = schema.database_bytes(tx) + sum(path.stat().st_size for path in models.values())
        planned = Backup(file, n_bytes, hashes, sum(n_rows.values()), len(models), list(absent), is_dry_run)
        if is_dry_run:
            return planned
        program = dumps.find_program("pg_dump", dumps.server_major_version(tx))
        with _new_file(file, progress, is_forced=is_forced) as part:
            writer = ArchiveWriter(part, time.time())
            with closing(dumps.dump(workspace.database.address, dumps.export_snapshot(tx), program)) as chunks:
                dump = writer.add(DUMP, _told(chunks, progress))
            model_files = []
            for sha256, path in models.items():
                model_files.append(writer.add(model_member(sha256), read_file(path)))
                if model_files[-1].sha256 != sha256:
                    raise _damaged({sha256: "altered"})
                progress(len(model_files), len(models), f"model file {len(model_files)} of {len(models)}")
            manifest = Manifest(
                format=FORMAT,
                created_at=datetime.now(UTC).isoformat(timespec="seconds"),
                agd_version=agd.__version__,
                schema_revision=str(schema.current_revision(tx)),
                server_version=schema.server_version(tx),
                dump_version=program.major_version,
                hash_function=function,
                content_hashes=hashes,
                n_rows=n_rows,
                dump=dump,
                model_files=tuple(model_files),
                absent=tuple(absent),
            )
            writer.finish(manifest)
    return replace(planned, n_bytes=file.stat().st_size)


def open_backup(file: Path, progress: Progress = silent) -> Archive:
    """A backup, every byte of it verified; raises InputError, or SchemaError where a newer agd wrote it."""
    archive = verified(file, _in_megabytes("verifying", progress))
    revision = archive.manifest.schema_revision
    if revision > schema.SCHEMA_REVISION:
        raise SchemaError(
            f"{file} holds schema revision {revision}, this agd knows up to {schema.SCHEMA_REVISION}: "
            f"bring agd up to date: {upgrading()}"
        )
    return archive


def restore(
    workspace: Workspace,
    archive: Archive,
    *,
    is_forced: bool = False,
    is_dry_run: bool = False,
    progress: Progress = silent,
) -> Restored:
    """Put a backup into the database and the model files in their place; all of it is checked before it counts.

    The workspace's schema need not be there or current. What a forced restore replaces goes in the same transaction in
    which the backup comes, so that a failure changes nothing.

    Raises:
        InputError: the record holds something already and the restore is not forced.
        BusyError: a campaign is being run, or other processes use the tables.
        DatabaseError: the dump does not fit, or what came is not what the manifest says.
    """
    manifest = archive.manifest
    folder = workspace.artifacts
    with workspace.database.transaction() as tx, _writable(folder):
        has_record = inventory.holds_record(tx)
        _require_replaceable(tx, archive, has_record=has_record, is_forced=is_forced)
        n_missing = sum(damage(folder, entry.sha256) is not None for entry in manifest.model_files)
        planned = Restored(
            file=archive.path,
            created_at=manifest.created_at,
            content_hashes=dict(manifest.content_hashes),
            n_rows=sum(manifest.n_rows.values()),
            n_model_files=len(manifest.model_files),
            n_written=n_missing,
            absent=[sha256 for sha256 in manifest.absent if damage(folder, sha256) is not None],
            revision_in_backup=manifest.schema_revision,
            revision=schema.SCHEMA_REVISION,
            has_replaced=has_record,
            is_dry_run=is_dry_run,
        )
        if is_dry_run:
            return planned
        folder.mkdir(parents=True, exist_ok=True)
        schema.clear(tx)
        _load(tx, archive, folder, progress)
        _require_equal(tx, manifest)
        schema.upgrade(tx)
        if has_record:
            open_removal(tx, f"{archive.path} took the place of another record")
        for n, entry in enumerate(manifest.model_files, start=1):
            place_file(folder, entry.sha256, archive.read(model_member(entry.sha256)))
            progress(n, len(manifest.model_files), f"model file {n} of {len(manifest.model_files)}")
        _require_models(folder, manifest)
    return planned


def _models(workspace: Workspace, hashes: Sequence[str], progress: Progress) -> tuple[dict[str, Path], dict[str, str]]:
    """Paths of the intact model files by hash, and what is wrong with the others."""
    intact, absent = {}, {}
    for n, sha256 in enumerate(hashes, start=1):
        wrong = damage(workspace.artifacts, sha256)
        if wrong is None:
            intact[sha256] = tensors_path(workspace.artifacts, sha256)
        else:
            absent[sha256] = wrong
        progress(n, len(hashes), f"checking model file {n} of {len(hashes)}")
    return intact, absent


def _damaged(absent: dict[str, str]) -> ModelError:
    named = ", ".join(f"{sha256[:12]} is {wrong}" for sha256, wrong in absent.items())
    return ModelError(
        f"of the model files, {named}: make each again with `agd retrain` and that beginning of its hash, "
        "or leave them out with --without-damaged"
    )


@contextmanager
def _new_file(file: Path, progress: Progress, *, is_forced: bool) -> Iterator[BinaryIO]:
    """A file that takes its name once it is filled, on disk and verified; removed on any error."""
    with writing(file, force=is_forced) as part:
        yield part
        part.flush()
        os.fsync(part.fileno())
        open_backup(Path(part.name), progress)


def _told(chunks: Iterable[bytes], progress: Progress) -> Iterator[bytes]:
    n_bytes = 0
    for chunk in chunks:
        yield chunk
        n_bytes += len(chunk)
        progress(0, 0, f"dumping the database, {n_bytes / _MB:,.0f} MB")


def _in_megabytes(what: str, progress: Progress) -> Progress:
    def tell(done: int, total: int, note: str = "") -> None:
        del note
        progress(done, total, f"{what} {total / _MB:,.0f} MB")

    return tell


def _require_replaceable(tx: Transaction, archive: Archive, *, has_record: bool, is_forced: bool) -> None:
    if has_record and not is_forced:
        raise InputError(
            f"the database holds a record already: --force replaces it with {archive.path} (`agd backup` keeps it "
            "first), or set AGD_HOME or AGD_DATABASE_URL to an empty one"
        )
    if locked_campaigns(tx):
        raise BusyError("a campaign is being run on this database: end it with `agd stop NAME`, then try again")


def _load(tx: Transaction, archive: Archive, folder: Path, progress: Progress) -> None:
    """Play the dump, from a copy beside the model files: pg_restore wants a file of its own."""
    manifest = archive.manifest
    total = sum(manifest.n_rows.values())
    done = 0

    def count(n_rows: int) -> None:
        nonlocal done
        done += n_rows
        progress(done, total, f"{done:,} of {total:,} rows")

    with tempfile.NamedTemporaryFile(dir=folder, prefix=".", suffix=PART) as copy:
        for chunk in archive.read(DUMP):
            copy.write(chunk)
        copy.flush()
        dumps.load(tx, Path(copy.name), manifest.dump_version, count)


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{folder}: cannot be written ({reason}); the record is as it was") from error


def _require_equal(tx: Transaction, manifest: Manifest) -> None:
    """Compare what came with what the manifest says, by the hash function of its time."""
    found = {
        "schema revision": (schema.current_revision(tx), manifest.schema_revision),
        "number of rows": (inventory.row_counts(tx), manifest.n_rows),
        "content hash": (inventory.content_hashes(tx, manifest.hash_function), manifest.content_hashes),
        "list of model files": (
            inventory.artifacts(tx),
            sorted([*manifest.absent, *(entry.sha256 for entry in manifest.model_files)]),
        ),
    }
    for what, (here, expected) in found.items():
        if here != expected:
            raise DatabaseError(
                f"what was restored differs from its manifest in the {what}; nothing was changed: use another copy"
            )


def _require_models(folder: Path, manifest: Manifest) -> None:
    for entry in manifest.model_files:
        wrong = damage(folder, entry.sha256)
        if wrong is not None:
            raise ModelError(f"{tensors_path(folder, entry.sha256)} is {wrong} after it was written: check the disk")
