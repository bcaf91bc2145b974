"""The authors' files, and a study of them in a record of its own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agd.progress import Progress, silent
from agd.reproduction.authors import AuthorsFiles
from agd.reproduction.study import Protocol, Study
from agd.work.workspace import Workspace

MakeStudy = Callable[..., Study]


@pytest.fixture(scope="session")
def authors(real_data: Path) -> AuthorsFiles:
    return AuthorsFiles.find(real_data / "paper")


@pytest.fixture
def make_study(workspace: Workspace, authors: AuthorsFiles, tmp_path: Path) -> MakeStudy:
    """A study that spends little."""

    @contextmanager
    def watch(_title: str) -> Iterator[Progress]:
        yield silent

    def make(protocol: Protocol) -> Study:
        return Study(workspace, authors, protocol, tmp_path / "inputs", 1, watch)

    return make
