"""`agd web`: the record in a browser."""

from pathlib import Path
from typing import Annotated

import typer

from agd.cli import show


def web(
    host: Annotated[
        str, typer.Option(help="Where to serve; other machines reach another host than this one's own.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 is one that is free.")] = 8750,
    password_file: Annotated[
        Path | None, typer.Option("--password-file", help="A file whose first line visitors have to know.")
    ] = None,
) -> None:
    """Show campaigns, compositions, models, screens, jobs and data sets in a browser, as they change; Ctrl-C ends it.

    Nothing can be changed there, and nothing is fetched from elsewhere.
    """
    from agd.errors import InputError
    from agd.installing import pip_install_extra

    try:
        from agd.web import serving
    except ImportError as error:
        raise InputError(f"the dashboard needs {error.name}: {pip_install_extra('web')}") from error
    permitted = serving.access_for(host, password_file)
    with serving.bound(host, port) as at, show.reading_workspace() as workspace:
        show.say(f"{serving.address_of(at, host)}   (Ctrl-C ends it)")
        serving.serve(workspace, permitted, at)
