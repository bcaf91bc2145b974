"""Choices a user has to make; apart, because the command line offers them before loading more."""

from typing import Literal, TypeAlias

NegativePolicy: TypeAlias = Literal["reject", "keep", "clip"]
"""What to do with a value below the property's physical bound."""

DuplicatePolicy: TypeAlias = Literal["first", "lowest", "mean", "error"]
"""Which value stands when rows of one composition differ."""

KeepPolicy: TypeAlias = Literal["distinct", "valid"]
"""What of a generation is stored: every distinct composition, or those that are valid."""
