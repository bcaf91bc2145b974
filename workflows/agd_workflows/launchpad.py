"""The launchpad of FireWorks in PostgreSQL: what `MongoClient` gives for a postgresql:// URL."""

import importlib.metadata
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from agd.errors import DatabaseError, InputError

if TYPE_CHECKING:
    from fireworks import LaunchPad

MONGOMOCK_VERSION = "4.3.0"
_ANSWER_MS = 5000
SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")


def install() -> None:
    """Let FireWorks reach a postgresql:// host through the queue, and any other through pymongo; once per process.

    Raises:
        InputError: the installed mongomock is not the one whose private hooks the queue stands on.
    """
    import fireworks.core.launchpad
    import fireworks.core.rocket
    import fireworks.fw_config
    import fireworks.utilities.filepad

    _prepare()
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

    from agd_workflows.whole import WholeLaunchPad

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


def is_postgresql(host: object) -> bool:
    """Whether a launchpad's host is a queue in PostgreSQL."""
    return isinstance(host, str) and host.partition("://")[0] in SCHEMES and "://" in host


def connect(host: Any = None, port: int | None = None, **options: Any) -> Any:
    """A client for `host`: ours for postgresql://, pymongo's for everything else."""
    if is_postgresql(host):
        from agd_workflows.client import QueueClient

        return QueueClient(host, **options)
    from pymongo import MongoClient

    return MongoClient(host, port, **options)


def _zopen(path: Any, mode: str = "rt", **options: Any) -> Any:
    from monty.io import zopen

    return zopen(path, mode, **options)


@cache
def _prepare() -> None:
    installed = importlib.metadata.version("mongomock")
    if installed != MONGOMOCK_VERSION:
        raise InputError(
            f"mongomock {installed} is installed, but the queue in PostgreSQL needs {MONGOMOCK_VERSION} exactly: "
            f"run `pip install mongomock=={MONGOMOCK_VERSION}`"
        )
    from mongomock.gridfs import enable_gridfs_integration

    enable_gridfs_integration()
