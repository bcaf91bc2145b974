"""mongomock's client and database, over the queue in PostgreSQL."""

from typing import Any

from mongomock.database import Database
from mongomock.mongo_client import MongoClient

from agd.db.queue.pool import QueuePool
from agd_workflows.mongo.collection import QueueCollection
from agd_workflows.mongo.stores import QueueServer


class QueueClient(MongoClient):  # type: ignore[misc]  # mongomock has no types
    """A client whose collections live in PostgreSQL."""

    def __init__(
        self,
        url: str,
        *,
        username: str | None = None,
        password: str | None = None,
        tz_aware: bool = False,
        heeds_shell: bool = True,
        **_mongo_options: object,
    ) -> None:
        """Touch no server yet; options that mean something to MongoDB alone are not used."""
        pool = QueuePool(url, user=username, password=password, heeds_shell=heeds_shell)
        super().__init__("localhost", tz_aware=tz_aware, _store=QueueServer(pool))
        self.host = pool.where

    def __repr__(self) -> str:
        return f"QueueClient({self.host!r})"

    @property
    def pool(self) -> QueuePool:
        """The connections."""
        found: QueuePool = self._store.pool
        return found

    def close(self) -> None:
        """Close the connections; a later use opens new ones."""
        self._store.pool.close()

    def get_database(self, name: str | None = None, codec_options: Any = None, **options: Any) -> Any:
        """The database of that name, there or not."""
        if name is None:
            return super().get_database(name, codec_options=codec_options, **options)
        options.pop("write_concern", None)  # every write is acknowledged when it is on disk
        if name not in self._database_accesses:
            self._database_accesses[name] = QueueDatabase(
                self, name, self._store[name], codec_options=codec_options or self._codec_options, **options
            )
        return self._database_accesses[name]


class QueueDatabase(Database):  # type: ignore[misc]  # same
    """A database: a name that collections share."""

    def get_collection(
        self,
        name: str,
        codec_options: Any = None,
        read_preference: Any = None,
        write_concern: Any = None,
        read_concern: Any = None,
    ) -> QueueCollection:
        """The collection of that name, there or not."""
        if name not in self._collection_accesses:
            self._ensure_valid_collection_name(name)
            self._collection_accesses[name] = QueueCollection(
                self,
                name,
                self._store,
                read_preference=self.read_preference,
                codec_options=self._codec_options,
            )
        collection: QueueCollection = self._collection_accesses[name].with_options(
            codec_options=codec_options or self._codec_options,
            read_preference=read_preference or self.read_preference,
            read_concern=read_concern,
            write_concern=write_concern,
        )
        return collection

    def with_options(
        self,
        codec_options: Any = None,
        read_preference: Any = None,
        write_concern: Any = None,
        read_concern: Any = None,
    ) -> Any:
        """This database under other options."""
        other = super().with_options(codec_options, read_preference, write_concern, read_concern)
        if other is self:
            return self
        return QueueDatabase(
            self._client,
            self.name,
            self._store,
            read_preference=other.read_preference,
            codec_options=other.codec_options,
            read_concern=other.read_concern,
        )
