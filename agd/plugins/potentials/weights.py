"""Weights that come with a package: which file they are in, told without importing it."""

import hashlib
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from agd.errors import NotFoundError
from agd.installing import pip_install_extra


def file_of(package: str, inside: str, extra: str) -> Path:
    """A file within an installed package.

    Raises:
        NotFoundError: the package is not installed, or has no such file.
    """
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise NotFoundError(f"the potential {extra!r} needs a package that is not here: {pip_install_extra(extra)}")
    path = Path(next(iter(spec.submodule_search_locations)), inside)
    if not path.is_file():
        raise NotFoundError(
            f"{package} {version(package)} has no {inside}: {pip_install_extra(extra)} --force-reinstall"
        )
    return path


@cache
def sha256_of(path: Path) -> str:
    """The hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
