"""Where work is done: the record, and the model files beside it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agd.config import Pace, load_settings
from agd.db.connection import Database, open_database
from agd.work.shelf import Shelf, model_ref

if TYPE_CHECKING:
    from agd.protocols import Generator, Oracle, StructureOracle


@dataclass(frozen=True, slots=True)
class Workspace:
    """An open record, the model files beside it, and how work is watched.

    `launch` is FireWorks' fw_id and launch_id, where it is FireWorks that does the work. `attempt` is the kind of a job
    and the activity that has leased it, where this is done for that.
    """

    database: Database
    artifacts: Path
    pace: Pace = field(default_factory=Pace)
    launch: tuple[int, int] | None = None
    attempt: tuple[str, int] | None = None
    _loaded: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def shelf(self) -> Shelf:
        """The model files."""
        return Shelf(self.artifacts, self._loaded)

    def generator(self, model_version_id: int) -> "Generator":
        """The autoencoder of that version, rebuilt from its verified tensors."""
        found: Generator = self._model(model_version_id)
        return found

    def oracle(self, model_version_id: int) -> "Oracle":
        """The oracle of that version, rebuilt from its verified tensors."""
        found: Oracle = self._model(model_version_id)
        return found

    def structure_oracle(self, model_version_id: int) -> "StructureOracle":
        """The oracle of structures of that version, rebuilt from its verified tensors."""
        found: StructureOracle = self._model(model_version_id)
        return found

    def _model(self, model_version_id: int) -> Any:
        with self.database.read() as tx:
            ref = model_ref(tx, model_version_id)
        return self.shelf.load(ref)


@contextmanager
def open_workspace(home: str | Path | None = None, database_url: str | None = None) -> Iterator[Workspace]:
    """The workspace of the settings; what is given stands in for AGD_HOME and AGD_DATABASE_URL."""
    given = {"home": home, "database_url": database_url}
    settings = load_settings({key: value for key, value in given.items() if value is not None})
    folder = settings.require_home()
    with open_database(settings) as database:
        yield Workspace(database, folder / "artifacts", settings.pace)
