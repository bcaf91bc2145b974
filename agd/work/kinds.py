"""Kinds of jobs: what one table says of each, for whoever performs, queues, sends away or shows them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic

from agd.policies import Category
from agd.work.work import Task, Work


def _never(_task: object) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Kind(Generic[Task]):
    """A kind of job.

    `takes_long` says of a task whether it may take so long that it is worth sending to where no record is in reach.
    """

    name: str
    category: Category
    work: Work[Task, Any, Any]
    takes_long: Callable[[Task], bool] = _never
