"""Choices a user has to make; apart, because the command line offers them before loading more."""

from typing import Literal, TypeAlias, get_args

NegativePolicy: TypeAlias = Literal["reject", "keep", "clip"]
"""What to do with a value below the property's physical bound."""

DuplicatePolicy: TypeAlias = Literal["first", "lowest", "mean", "error"]
"""Which value stands when rows of one composition differ."""

KeepPolicy: TypeAlias = Literal["distinct", "valid"]
"""What of a generation is stored: every distinct composition, or those that are valid."""

Category: TypeAlias = Literal["train", "search", "label", "screen", "generate", "structure", "dft"]
"""What a worker may be limited to: every kind of job is of one of these."""

CATEGORIES: tuple[Category, ...] = get_args(Category)
