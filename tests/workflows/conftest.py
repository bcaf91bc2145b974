"""Fixtures of the queue in PostgreSQL."""

import itertools
import os
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import NullPool, create_engine, make_url, text

_numbers = itertools.count()


@pytest.fixture
def new_database(server_url: str, template: str) -> Iterator[Callable[[], str]]:
    """Makes databases that have the schema and nothing else."""
    engine = create_engine(server_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    made: list[str] = []

    def make() -> str:
        name = f"agd_queue_{os.getpid()}_{next(_numbers)}"
        made.append(name)
        with engine.connect() as connection:
            connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
        return make_url(server_url).set(database=name).render_as_string(hide_password=False)

    yield make
    with engine.connect() as connection:
        for name in made:
            connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
