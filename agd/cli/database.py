"""`agd db`: the database, whoever serves it."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from agd.cli import show
from agd.cli.show import Json
from agd.errors import InputError
from agd.waiting import waiting

if TYPE_CHECKING:
    from agd.config import Settings

app = typer.Typer(no_args_is_help=True)


@app.command()
def start() -> None:
    """Start the embedded server and keep it up until `agd db stop`."""
    settings = _embedded("start")
    from agd.db.server.embedded import EmbeddedServer

    EmbeddedServer(settings.require_home(), linger_s=settings.server_linger_s).start()
    show.say(f"the embedded server of {settings.home} is up and stays up; end it with `agd db stop`")


@app.command()
def stop(
    force: Annotated[bool, typer.Option("--force", help="Stop it although other processes are using it.")] = False,
) -> None:
    """Stop the embedded server."""
    settings = _embedded("stop")
    from agd.db.server.embedded import EmbeddedServer

    EmbeddedServer(settings.home, linger_s=settings.server_linger_s).stop(force=force)
    show.say("the embedded server is stopped")


@app.command()
def status(json: Json = False) -> None:
    """Say which database is used, whether it answers, and the schema's revision."""
    from agd.config import load_settings

    settings = load_settings()
    if settings.database_url is None:
        from agd.db.server.embedded import EmbeddedServer

        found = EmbeddedServer(settings.home, linger_s=settings.server_linger_s).status()
        values: dict[str, object] = {
            "server": "embedded",
            "state": found.state,
            "version": found.version,
            "pid": found.pid,
            "data_directory": str(found.data_directory),
            "socket_directory": str(found.socket_directory),
            "in_use": found.has_clients,
            "stays_up": found.is_pinned,
            "url": found.url,
        }
        if found.state == "running":
            values |= _reached(settings)
    else:
        values = {"server": "AGD_DATABASE_URL", **_reached(settings)}
    if json:
        show.print_json(values)
        return
    for key, value in values.items():
        show.say(f"{key:>18}  {show.text(value)}")


@app.command()
def upgrade() -> None:
    """Bring the schema to the revision this version of agd works with."""
    from agd.config import load_settings
    from agd.db import schema
    from agd.db.connection import open_database

    with open_database(load_settings(), check_schema=False) as database:
        with database.transaction() as tx:
            before = schema.current_revision(tx)
            schema.upgrade(tx)
        show.say(f"schema: {before or 'empty'} -> {schema.SCHEMA_REVISION}")


@app.command()
def current() -> None:
    """Print the schema's revision and the one that is needed."""
    from agd.config import load_settings
    from agd.db import schema
    from agd.db.connection import open_database

    with open_database(load_settings(), check_schema=False) as database, database.read() as tx:
        show.say(f"{schema.current_revision(tx) or 'empty'} (this agd needs {schema.SCHEMA_REVISION})")


@app.command()
def url() -> None:
    """Print the database's URL without its password; an embedded server is started and lingers for a while."""
    from agd.config import load_settings
    from agd.db.connection import open_database

    with open_database(load_settings(), check_schema=False) as database:
        typer.echo(database.address.url)
        if left_out := ", ".join(database.address.secrets):
            show.say_aside(f"left out: {left_out}")


@app.command(name="grant-reader")
def grant_reader(
    role: Annotated[str, typer.Argument(metavar="ROLE", help="Name of the role, made where it is missing.")],
) -> None:
    """Let a role of the server read the record and the queue, and nothing else; again changes nothing."""
    from agd.config import load_settings
    from agd.db.connection import open_database
    from agd.db.upkeep.reader_roles import grant_reader

    with open_database(load_settings()) as database:
        with database.transaction() as tx:
            is_new = grant_reader(tx, role)
        show.say(
            f"role {role} {'was made and ' if is_new else ''}can read the record and the queue, and change nothing"
        )
        if database.is_embedded:
            show.say("the embedded server lets in your account alone: `SET ROLE` in `agd db psql` reads as that role")
        elif is_new:
            show.say("it has no password yet: `\\password` in `agd db psql --write` sets one")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def psql(
    context: typer.Context,
    write: Annotated[bool, typer.Option("--write", help="Let the session change what the record lets change.")] = False,
) -> None:
    """Open psql on the record, read-only; arguments go to psql, e.g. `-c 'SELECT * FROM v_campaign_progress'`.

    Read-only is a default against slips, which a session can switch off: for people who shall only read, see
    `agd db grant-reader`.
    """
    import subprocess

    from agd.config import load_settings
    from agd.db.connection import open_database
    from agd.db.server.embedded import binary
    from agd.db.upkeep.client_programs import orders

    more = {} if write else {"default_transaction_read_only": "on"}
    with open_database(load_settings(), check_schema=False) as database, orders(database.address, more=more) as told:
        command = [str(binary("psql")), told.conninfo, *context.args]
        if not write and not context.args and sys.stdin.isatty():
            show.say_aside("read-only: `agd db psql --write` may change things")
        with waiting(lambda: None, is_last_word=True):
            raise typer.Exit(subprocess.run(command, env=told.environment, check=False).returncode)  # noqa: S603  our psql, the user's arguments


def _embedded(verb: str) -> "Settings":
    from agd.config import load_settings

    settings = load_settings()
    if settings.database_url is not None:
        raise InputError(
            f"AGD_DATABASE_URL names a server of its own, which agd does not {verb}: unset it for the embedded one"
        )
    return settings


def _reached(settings: "Settings") -> dict[str, object]:
    from agd.db import schema
    from agd.db.connection import open_database

    with open_database(settings, check_schema=False) as database, database.read() as tx:
        return {
            "answers": True,
            "server_version": schema.server_version(tx),
            "schema": schema.current_revision(tx) or "empty",
            "schema_needed": schema.SCHEMA_REVISION,
            "database_bytes": schema.database_bytes(tx),
        }
