"""The launchpad of FireWorks: on the queue in PostgreSQL, or on the MongoDB that its URL names."""

import warnings
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from agd.errors import DatabaseError, InputError
from agd_workflows.mongo.connecting import connect, is_postgresql, prepare

if TYPE_CHECKING:
    from fireworks import LaunchPad

_ANSWER_MS = 5000


def install() -> None:
    """Let FireWorks reach a postgresql:// host through the queue, and any other through pymongo; once per process.

    Raises:
        InputError: the installed mongomock is not the one whose private hooks the queue stands on.
    """
    import fireworks.core.launchpad
    import fireworks.core.rocket
    import fireworks.fw_config
    import fireworks.utilities.filepad

    prepare()
    for module in (fireworks.fw_config, fireworks.core.launchpad, fireworks.utilities.filepad):
        module.MongoClient = connect
    fireworks.core.rocket.zopen = _zopen  # its offline mode says no mode, which today's monty refuses


def open_launchpad(url: str, name: str = "agd", *, heeds_shell: bool = True, **options: Any) -> "LaunchPad":
    """A launchpad that logs nothing; `options` are those of fireworks.LaunchPad.

    `heeds_shell` says whether variables such as PGPASSWORD count, as for a server of the user's own.

    Raises:
        InputError: the URL is neither postgresql:// nor mongodb://.
        DatabaseError: no server answers.
        SchemaError: the database has no queue yet.
    """
    from pymongo.errors import ConfigurationError, InvalidURI, PyMongoError

    install()
    from fireworks import LaunchPad

    from agd_workflows.atomic_launchpad import WholeLaunchPad

    is_ours = is_postgresql(url)
    kind = WholeLaunchPad if is_ours else LaunchPad
    for_client = {"heeds_shell": heeds_shell} if is_ours else {"serverSelectionTimeoutMS": _ANSWER_MS}
    ours = {"host": url, "name": name, "uri_mode": True, "strm_lvl": "CRITICAL", "mongoclient_kwargs": for_client}
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", category=UserWarning, module="pymongo")  # an option it does not know
            launchpad = kind(**{**ours, **options})
        if is_ours:
            launchpad.connection.list_database_names()
        else:
            launchpad.connection.admin.command("ping")
    except (ConfigurationError, InvalidURI, ValueError, UserWarning) as error:
        raise InputError(
            f"a launchpad has a postgresql:// or mongodb:// URL: {_without_password(url, error)}"
        ) from None
    except PyMongoError as error:
        words = _without_password(url, error).partition(",")[0]
        raise DatabaseError(f"MongoDB does not answer ({words}): start it, or correct AGD_LAUNCHPAD_URL") from error
    return launchpad


def _without_password(url: str, error: Exception) -> str:
    userinfo = url.partition("://")[2].rpartition("@")[0]
    password = userinfo.partition(":")[2]
    words = str(error)
    for spelled in (userinfo, password, unquote(password)):
        words = words.replace(spelled, "***") if spelled else words
    return words


def _zopen(path: Any, mode: str = "rt", **options: Any) -> Any:
    from monty.io import zopen

    return zopen(path, mode, **options)
