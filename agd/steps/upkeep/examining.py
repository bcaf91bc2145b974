"""Whether an installation is sound: a list of checks, each of which looks, changes nothing and says what it found."""

import os
import platform
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Literal, TypeAlias

from agd import registry
from agd.config import Settings, load_settings
from agd.db import plausible_labels, schema
from agd.db.connection import AnyRow, Database, Transaction, locked_campaigns, open_database
from agd.db.reading import progress
from agd.db.record import activities, hashes
from agd.db.server.embedded import EmbeddedServer
from agd.db.upkeep import checks, definitions, inventory
from agd.errors import AgdError, DatabaseError, InputError
from agd.installing import DISTRIBUTION, FORMER, pip_uninstall, strangers_version, upgrading
from agd.nets.checkpoint import damage, tensors_path
from agd.writing import PART

Severity: TypeAlias = Literal["ok", "note", "warning", "error"]

_FEW_BYTES = 1_000_000_000
_TOO_FEW_BYTES = 100_000_000
_CLOCK_TOLERANCE_S = 2.0
_SHOWN_LABELS = 5
_SETTLED_S = 3600.0
"""Younger files may be those of a step at work."""
_CURE_OF_ROWS = "rows were changed by hand: restore a backup (`agd restore`)"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found; a note is worth knowing and needs nothing done."""

    severity: Severity
    subject: str
    what: str
    cure: str = ""

    @property
    def needs_care(self) -> bool:
        """Whether somebody has to do something."""
        return self.severity in {"warning", "error"}


@dataclass(frozen=True, slots=True)
class Site:
    """An installation under examination; `is_quick` spares the reading of every byte of model files and of every row.

    `differences` are those of its schema, where that is current, from what migrations make; `not_compared` says why
    definitions are not among them.
    """

    settings: Settings
    database: Database
    is_quick: bool
    differences: Sequence[str] = ()
    not_compared: str = ""

    @property
    def artifacts(self) -> Path:
        """The folder of model files."""
        return self.settings.home / "artifacts"


HostCheck: TypeAlias = Callable[[Settings], Iterable[Finding]]
Check: TypeAlias = Callable[[Site, Transaction], Iterable[Finding]]


def examine(*, is_quick: bool = False, more: Sequence[Check] = ()) -> list[Finding]:
    """All findings, of the host, of the server, and of the record where its schema is current; `more` look at that too.

    A database that was never made is not made for this.
    """
    try:
        settings = load_settings()
    except InputError as error:
        return [Finding("error", "settings", str(error), "correct that variable")]
    found: list[Finding] = []
    try:
        for look in HOST_CHECKS:
            found += look(settings)
        if _is_absent(settings):
            return found
        with open_database(settings, check_schema=False) as database:
            site = Site(settings, database, is_quick)
            with database.read() as tx, checks.damaged_schema():
                is_current = schema.current_revision(tx) == schema.SCHEMA_REVISION
                site = _compared(site, tx) if is_current else site
                for check in SERVER_CHECKS:
                    found += check(site, tx)
                if is_current:
                    for check in (*RECORD_CHECKS, *more):
                        found += check(site, tx)
    except AgdError as error:
        found.append(Finding("error", "database", str(error), "see `agd db status`"))
    return found


def _compared(site: Site, tx: Transaction) -> Site:
    """Beside what migrations make: the names and types of tables and columns, and what the rest says."""
    found = schema.differences(tx)
    try:
        made = definitions.freshly_made(site.database)
    except DatabaseError as error:
        return replace(site, differences=found, not_compared=str(error))
    more = definitions.differences(definitions.definitions(tx), made)
    return replace(site, differences=list(dict.fromkeys([*found, *more])))


def _home(settings: Settings) -> Iterator[Finding]:
    home = settings.home
    if not home.exists():
        yield Finding("note", "home", f"{home} is not there yet", "the first command that needs it makes it")
    elif not os.access(home, os.W_OK | os.X_OK):
        yield Finding("error", "home", f"{home} cannot be written", "set AGD_HOME to a folder you can write")
    else:
        yield Finding("ok", "home", str(home))


def _server_state(settings: Settings) -> Iterator[Finding]:
    if settings.database_url is not None:
        yield Finding("ok", "server", "AGD_DATABASE_URL names it")
        return
    found = EmbeddedServer(settings.home, linger_s=settings.server_linger_s).status()
    if found.state == "absent":
        yield Finding("note", "server", "no embedded database has been made yet", "`agd data import` or `agd demo`")
        return
    pinned = ", kept up until `agd db stop`" if found.is_pinned else ""
    yield Finding("ok", "server", f"embedded, {found.state}{pinned}, in {found.data_directory}")
    with suppress(OSError):
        for remains in found.data_directory.parent.glob("data.new*"):
            yield Finding("note", "server", f"{remains} is what an interrupted first start left", f"rm -r {remains}")


def _disk(settings: Settings) -> Iterator[Finding]:
    folders = {"home": settings.home}
    if settings.database_url is None:
        folders["database"] = EmbeddedServer(settings.home).status().data_directory
    for name, folder in folders.items():
        there = next(parent for parent in (folder, *folder.parents) if parent.exists())
        free = shutil.disk_usage(there).free
        severity: Severity = "error" if free < _TOO_FEW_BYTES else "warning" if free < _FEW_BYTES else "ok"
        cure = "" if severity == "ok" else "free some space, or move AGD_HOME (with its server stopped)"
        yield Finding(severity, "disk", f"{free / 1e9:,.1f} GB free for the {name} ({there})", cure)


def _namesake(_: Settings) -> Iterator[Finding]:
    """The other project whose package has our import name: each writes over files of the other."""
    if (version := strangers_version()) is not None:
        what = f"agd {version}, another project of this import name (Adaptive Grid Discretizations), is installed too"
        yield Finding(
            "warning",
            "installation",
            what,
            f"use two environments: {pip_uninstall(FORMER, DISTRIBUTION)}, then install agd-campaigns again",
        )


def _plugins(_: Settings) -> Iterator[Finding]:
    troubles = dict(registry.troubles())
    for what, cure in troubles.items():
        yield Finding("warning", "plug-in", what, cure)
    if not troubles:
        yield Finding("ok", "plug-ins", f"{len(registry.installed())} installed, each can be loaded")


def _server_version(_: Site, tx: Transaction) -> Iterator[Finding]:
    yield Finding("ok", "server", f"PostgreSQL {schema.server_version(tx)}")
    if (encoding := checks.encoding(tx)) != "UTF8":
        cure = "create a database with ENCODING 'UTF8' and move the record there with `agd backup` and `agd restore`"
        yield Finding("warning", "server", f"the database stores text as {encoding}", cure)


def _extensions(_: Site, tx: Transaction) -> Iterator[Finding]:
    there = checks.extensions(tx)
    yield Finding("ok", "extensions", "none needed" + (f"; installed: {', '.join(there)}" if there else ""))


def _clock(_: Site, tx: Transaction) -> Iterator[Finding]:
    before = datetime.now(UTC)
    server = schema.server_time(tx)
    after = datetime.now(UTC)
    ahead_s = (server - before - (after - before) / 2).total_seconds()
    if abs(ahead_s) > _CLOCK_TOLERANCE_S + (after - before).total_seconds():
        what = f"the server's clock is {abs(ahead_s):,.1f} s {'ahead of' if ahead_s > 0 else 'behind'} this host's"
        yield Finding("warning", "clock", what, "set both by the same time server (NTP)")
    else:
        yield Finding("ok", "clock", "server and host agree")


def _revision(site: Site, tx: Transaction) -> Iterator[Finding]:
    found = schema.current_revision(tx)
    if found == schema.SCHEMA_REVISION:
        for difference in site.differences:
            cure = "what was changed by hand, change back, or `agd backup` and `agd restore --force`"
            yield Finding("error", "schema", f"it is not what migrations make: {difference}", cure)
        if site.not_compared:
            what = f"views, functions, triggers and constraints were not compared: {site.not_compared}"
            yield Finding("note", "schema", what, "run `agd doctor` as the owner of the database")
        elif not site.differences:
            yield Finding("ok", "schema", f"revision {found}, as migrations make it")
    elif found is None and site.database.is_embedded:
        yield Finding("note", "schema", "the database is empty", "the next command makes the schema")
    elif found is not None and found > schema.SCHEMA_REVISION:
        what = f"revision {found} is newer than this agd, which knows up to {schema.SCHEMA_REVISION}"
        yield Finding("error", "schema", what, upgrading())
    else:
        what = f"revision {found or 'none'}, this agd needs {schema.SCHEMA_REVISION}"
        yield Finding("error", "schema", what, "agd db upgrade")


def _activities(_: Site, tx: Transaction) -> Iterator[Finding]:
    """Steps that nobody does any more; who works on a campaign holds its lock, on whichever host."""
    at_work = locked_campaigns(tx)
    for row in checks.running(tx):
        if row.campaign_id in at_work and not row.is_expired:
            continue
        is_here = row.host == platform.node()
        if is_here and not activities.is_alive(row.pid):
            why = f"process {row.pid} is gone"
        elif row.is_expired:
            why = f"no sign of life since its lease ended at {row.lease_expires_at:%Y-%m-%d %H:%M:%S} UTC"
        else:
            continue
        yield _lost(row, why)


def _lost(row: AnyRow, why: str) -> Finding:
    what = f"activity {row.id}, {row.kind!r}, is marked as running on {row.host}, and {why}"
    if row.campaign is None:
        return Finding("note", "activity", what, "the next import or training marks it as lost")
    cure = f"agd resume {row.campaign}" if row.engine == "local" else "agd reconcile"
    return Finding("warning", f"campaign {row.campaign}", what, cure)


def _contradictions(site: Site, tx: Transaction) -> Iterator[Finding]:
    broken = [(law.subject, f"{n:,} {law.what}") for law in checks.CONTRADICTIONS if (n := checks.n_against(tx, law))]
    if not site.is_quick:
        for table, parent, n in checks.dangling(tx):
            broken.append((table, f"{n:,} refer to rows of {parent} that are not there"))
    for subject, what in broken:
        yield Finding("error", subject, what, _CURE_OF_ROWS)
    if not broken:
        yield Finding("ok", "record", "nothing contradicts itself")


def _implausible(_: Site, tx: Transaction) -> Iterator[Finding]:
    rows = plausible_labels.implausible_labels(tx)
    for row in rows[:_SHOWN_LABELS]:
        what = f"{row.value:g} {row.unit} is no {row.property} of {row.reduced_formula} (from {row.source})"
        cure = f"nothing learns from it; agd label retract {row.label_id} --why 'no value'"
        yield Finding("warning", f"label {row.label_id}", what, cure)
    if len(rows) > _SHOWN_LABELS:
        what = f"{len(rows) - _SHOWN_LABELS:,} more cannot be values of their property"
        yield Finding("warning", "labels", what, "nothing learns from them; see view v_label")


def _hashes(site: Site, tx: Transaction) -> Iterator[Finding]:
    """Compute anew what was kept of searches and datasets; a function that was changed is not asked."""
    if site.is_quick:
        return
    if changed := [words for words in site.differences if words.startswith("function agd_")]:
        what = f"those of searches and datasets were not compared: {', '.join(changed)}"
        yield Finding("error", "hashes", what, "restore a backup (`agd restore`)")
        return
    searches, datasets = hashes.searches(tx), hashes.datasets(tx)
    found = [*_searches(tx, searches), *_datasets(tx, datasets)]
    yield from found
    if not found:
        n_searches, n_datasets = len({row.name for row in searches}), len(datasets)
        yield Finding("ok", "hashes", f"{n_searches} searches and {n_datasets} datasets are as they were")


def _searches(tx: Transaction, searches: Sequence[AnyRow]) -> Iterator[Finding]:
    """Of each search the first hash that its rows do not give any more."""
    for name, kept in groupby(searches, lambda row: row.name):
        sound = None
        for row in kept:
            if hashes.search_now(tx, name, row.n_steps) != row.sha256:
                since = "" if sound is None else f"; as it was {hashes.told_steps(sound.n_steps)}, it is unchanged"
                what = f"its search, {hashes.told_steps(row.n_steps)}, differs from {_moment(row)}{since}"
                yield Finding("error", f"campaign {name}", what, _CURE_OF_ROWS)
                break
            sound = row
    for name in hashes.ended_without(tx):
        yield Finding("error", f"campaign {name}", "it has ended, and no hash of its search is kept", _CURE_OF_ROWS)


def _datasets(tx: Transaction, datasets: Sequence[AnyRow]) -> Iterator[Finding]:
    for row in datasets:
        if row.sha256 is None:
            yield Finding("error", f"dataset {row.name}", "no hash of it is kept", _CURE_OF_ROWS)
        elif hashes.dataset_now(tx, row.id) != row.sha256:
            what = f"its rows, labels or rejects differ from {_moment(row)}"
            yield Finding("error", f"dataset {row.name}", what, _CURE_OF_ROWS)


def _moment(row: AnyRow) -> str:
    return f"what was kept on {row.made_at:%Y-%m-%d at %H:%M} UTC"


def _orphans(_: Site, tx: Transaction) -> Iterator[Finding]:
    for law in checks.ORPHANS:
        if n := checks.n_against(tx, law):
            yield Finding("note", law.subject, f"{n:,} {law.what}", "harmless: leave them")


def _model_files(site: Site, tx: Transaction) -> Iterator[Finding]:
    sizes = checks.model_file_sizes(tx)
    damaged = {sha256: wrong for sha256, n in sizes.items() if (wrong := _damage(site, sha256, n)) is not None}
    for sha256, wrong in damaged.items():
        path = tensors_path(site.artifacts, sha256)
        yield Finding("error", "model file", f"{path} is {wrong}", f"agd retrain {sha256[:12]}")
    if not damaged:
        how = "present, contents not read" if site.is_quick else "present and unaltered"
        yield Finding("ok", "model files", f"{len(sizes)} {how}")


def _damage(site: Site, sha256: str, n_tensor_bytes: int) -> str | None:
    if not site.is_quick:
        return damage(site.artifacts, sha256)
    try:
        n_bytes = tensors_path(site.artifacts, sha256).stat().st_size
    except FileNotFoundError:
        return "missing"
    except OSError:
        return "unreadable"
    return "altered" if n_bytes < n_tensor_bytes else None


def _unknown_files(site: Site, tx: Transaction) -> Iterator[Finding]:
    known = {tensors_path(site.artifacts, sha256) for sha256 in inventory.artifacts(tx)}
    unknown = sorted(path for path in site.artifacts.rglob("*") if path not in known and _is_settled(path))
    partial = [path for path in unknown if path.name.endswith(PART)]
    whole = [path for path in unknown if path not in partial]
    if partial:
        yield Finding("note", "model files", f"{_named(partial)}: a killed process left it half written", "remove it")
    if whole:
        what = f"{_named(whole)}: this record does not name it"
        yield Finding("note", "model files", what, "remove it if no other database uses this folder")


def _campaigns(_: Site, tx: Transaction) -> Iterator[Finding]:
    rows = progress.campaigns(tx)
    parked = checks.parked(tx)
    for row in rows:
        name, state = row["campaign"], row["state"]
        subject = f"campaign {name}"
        if name in parked:
            yield Finding(
                "warning", subject, f"was given up: {parked[name]}", f"see `agd status {name}`, then agd resume {name}"
            )
        elif state == "failed":
            yield Finding("warning", subject, f"failed: {row['last_error']}", f"agd resume {name}")
        elif state == "waiting for labels":
            yield Finding("note", subject, state, f"agd ask {name}")
        elif state == "paused":
            yield Finding("note", subject, "stopped before the end of its budget", f"agd resume {name}")
    yield Finding("ok", "campaigns", f"{len(rows)} in the record")


HOST_CHECKS: tuple[HostCheck, ...] = (_home, _server_state, _disk, _namesake, _plugins)
SERVER_CHECKS: tuple[Check, ...] = (_server_version, _extensions, _clock, _revision)
RECORD_CHECKS: tuple[Check, ...] = (
    _activities,
    _contradictions,
    _hashes,
    _implausible,
    _orphans,
    _model_files,
    _unknown_files,
    _campaigns,
)


def _is_absent(settings: Settings) -> bool:
    return settings.database_url is None and EmbeddedServer(settings.home).status().state == "absent"


def _is_settled(path: Path) -> bool:
    with suppress(OSError):
        return path.is_file() and time.time() - path.stat().st_mtime > _SETTLED_S
    return False


def _named(paths: Sequence[Path]) -> str:
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return f"{paths[0]}{more}"
