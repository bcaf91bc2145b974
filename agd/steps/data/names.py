"""Names that users give."""

from agd.errors import InputError
from agd.spec import NAME


def check_name(name: str) -> None:
    """Raise InputError where a dataset, or a method, cannot be called that."""
    if not NAME.fullmatch(name):
        raise InputError(f"name {name!r}: use letters, digits, '.', '_' and '-', 63 at most, a letter or digit first")
