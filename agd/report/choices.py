"""What can be exported, and how; apart, because the command line offers it before loading more."""

from typing import Literal, TypeAlias

What: TypeAlias = Literal["suggestions", "labels", "failures", "hits"]
"""Rows of a campaign; failures are suggestions without a label and attempts at a step that did not succeed."""

Format: TypeAlias = Literal["csv", "json", "parquet"]
"""How they are written."""
