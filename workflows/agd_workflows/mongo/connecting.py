"""Which client a launchpad's host gets, and whether the mongomock is there that ours stands on."""

import importlib.metadata
from functools import cache
from typing import Any

from agd.errors import InputError

MONGOMOCK_VERSION = "4.3.0"
SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")


def is_postgresql(host: object) -> bool:
    """Whether a launchpad's host is a queue in PostgreSQL."""
    return isinstance(host, str) and host.partition("://")[0] in SCHEMES and "://" in host


def connect(host: Any = None, port: int | None = None, **options: Any) -> Any:
    """A client for `host`: ours for postgresql://, pymongo's for everything else."""
    if is_postgresql(host):
        from agd_workflows.mongo.client import QueueClient

        return QueueClient(host, **options)
    from pymongo import MongoClient

    return MongoClient(host, port, **options)


@cache
def prepare() -> None:
    """Let GridFS accept collections of ours.

    Raises:
        InputError: the installed mongomock is not the one whose private hooks the queue stands on.
    """
    installed = importlib.metadata.version("mongomock")
    if installed != MONGOMOCK_VERSION:
        raise InputError(
            f"mongomock {installed} is installed, but the queue in PostgreSQL needs {MONGOMOCK_VERSION} exactly: "
            f"run `pip install mongomock=={MONGOMOCK_VERSION}`"
        )
    from mongomock.gridfs import enable_gridfs_integration

    enable_gridfs_integration()
