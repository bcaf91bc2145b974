"""`agd backup`, `agd restore`, `agd doctor`: keeping what there is, and seeing that it is sound."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agd.cli import show
from agd.cli.campaign import Quiet
from agd.cli.show import Force, Json, console
from agd.waiting import waiting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agd.steps.upkeep.backups import Backup, Restored

EXIT_UNSOUND = 1


def backup(
    file: Annotated[Path, typer.Argument(help="The file to write.")],
    force: Force = False,
    without_damaged: Annotated[
        bool, typer.Option("--without-damaged", help="Leave out model files that are missing or altered.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and say what would be written.")] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Write record, queue and model files into one verified file; campaigns may run meanwhile."""
    from agd.cli.live import training_bar
    from agd.steps.upkeep.backups import back_up

    show.require_outputs(file, force=force, takes_streams=False)
    with show.workspace() as workspace, training_bar("backup", is_shown=not quiet, has_units=False) as progress:
        kept = back_up(
            workspace,
            file,
            is_forced=force,
            leaves_out_damaged=without_damaged,
            is_dry_run=dry_run,
            progress=progress,
        )
    if json:
        show.print_json(asdict(kept))
        return
    _print_backup(kept)


def restore(
    file: Annotated[Path, typer.Argument(help="What `agd backup` wrote. It runs as SQL: trust where it comes from.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the record that is there.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Verify the file and say what would be done.")] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Verify a backup and put it into an empty database, the model files in their place; all of it, or nothing.

    An older schema is upgraded. What is there is replaced only with --force.
    """
    from agd.cli.live import training_bar
    from agd.config import load_settings
    from agd.db.connection import open_database
    from agd.steps.upkeep import backups
    from agd.work.workspace import Workspace

    settings = load_settings()
    with training_bar("restore", is_shown=not quiet, has_units=False) as progress:
        archive = backups.open_backup(file, progress)
        home = settings.require_home()
        with open_database(settings, check_schema=False) as database:
            workspace = Workspace(database, home / "artifacts")
            restored = backups.restore(workspace, archive, is_forced=force, is_dry_run=dry_run, progress=progress)
    if json:
        show.print_json(asdict(restored))
        return
    _print_restored(restored)


def doctor(
    quick: Annotated[
        bool, typer.Option("--quick", help="Check presence and size of model files, not each byte; no hashes.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show only what needs care.")] = False,
    json: Json = False,
) -> None:
    """Check settings, database, record, model files and disk; each finding comes with its cure.

    Leaves with 0 where all is sound, with 1 where something needs care. Nothing is changed.
    """
    from agd import engines, registry
    from agd.steps.upkeep.examining import examine

    installed = engines.usable(registry.names(engines.GROUP))
    with waiting("agd doctor: still looking; --quick spares the reading of every model file"):
        findings = examine(is_quick=quick, more=[engine.findings for _, engine in installed])
    needs_care = any(finding.needs_care for finding in findings)
    shown = [finding for finding in findings if finding.needs_care or not quiet]
    if json:
        show.print_json([asdict(finding) for finding in shown])
    elif shown:
        columns = ["", "subject", "what", "cure"]
        console.print(show.table(columns, ([f.severity, f.subject, f.what, f.cure or None] for f in shown)))
    if needs_care:
        raise typer.Exit(EXIT_UNSOUND)


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.command()(backup)
    app.command()(restore)
    app.command()(doctor)


def _print_backup(kept: "Backup") -> None:
    verb = "would hold" if kept.is_dry_run else "holds"
    size = f"from {kept.n_bytes / 1e6:,.1f} MB" if kept.is_dry_run else f"{kept.n_bytes / 1e6:,.1f} MB, verified"
    show.say(
        f"{kept.file} {verb} {kept.n_rows:,} rows, {_campaigns(len(kept.content_hashes))} and "
        f"{kept.n_model_files} model files ({size})"
    )
    _print_absent(kept.absent)


def _print_restored(restored: "Restored") -> None:
    verb = "would restore" if restored.is_dry_run else "restored"
    show.say(
        f"{verb} {restored.n_rows:,} rows and {_campaigns(len(restored.content_hashes))} of {restored.created_at}; "
        f"model files: {restored.n_written} written, {restored.n_model_files - restored.n_written} in place already"
    )
    if restored.revision_in_backup != restored.revision:
        show.say(f"  schema: {restored.revision_in_backup} -> {restored.revision}")
    if restored.has_replaced:
        show.say(f"  {'replaces' if restored.is_dry_run else 'replaced'} the record that was there")
    _print_absent(restored.absent)


def _campaigns(n: int) -> str:
    return f"{n} campaign{'' if n == 1 else 's'}"


def _print_absent(absent: "Sequence[str]") -> None:
    for sha256 in absent:
        show.say_aside(f"  model file {sha256[:12]} is not in it: make it again with `agd retrain {sha256[:12]}`")
