"""Retries: permanent parks, transient has six more, lost ten."""

from types import SimpleNamespace
from typing import Any

import pytest

from agd.work.retrying import MAX_LOST, MAX_TRANSIENT, judge


def lost() -> Any:
    return SimpleNamespace(outcome="lost", error_class=None, error=None)


def failed(error_class: str = "transient") -> Any:
    return SimpleNamespace(outcome="failed", error_class=error_class, error="OSError: disk full")


def test_what_failed_for_good_is_parked_at_once() -> None:
    assert judge("label 1", [failed("permanent")], first_pause_s=1.0).parked == "label 1: OSError: disk full"


@pytest.mark.parametrize(("n", "pause_s"), [(1, 60.0), (2, 120.0), (MAX_TRANSIENT, 60.0 * 32)])
def test_pauses_double(n: int, pause_s: float) -> None:
    verdict = judge("label 1", [failed()] * n, first_pause_s=60.0)
    assert (verdict.parked, verdict.pause_s, verdict.error) == (None, pause_s, "OSError: disk full")


def test_what_fails_too_often_is_parked() -> None:
    parked = judge("label 1", [failed()] * (MAX_TRANSIENT + 1), first_pause_s=60.0).parked
    assert parked == "label 1 failed 7 times, at last: OSError: disk full"


def test_what_is_lost_is_tried_again_at_once_ten_times() -> None:
    verdict = judge("suggest 2", [lost()] * MAX_LOST, first_pause_s=60.0)
    assert (verdict.parked, verdict.pause_s, verdict.error) == (None, 0.0, "lost")
    assert judge("suggest 2", [lost()] * (MAX_LOST + 1), first_pause_s=60.0).parked == "suggest 2 was lost 11 times"


def test_a_loss_does_not_count_as_a_failure() -> None:
    verdict = judge("label 1", [lost(), failed(), lost()], first_pause_s=60.0)
    assert (verdict.parked, verdict.pause_s) == (None, 60.0)


@pytest.mark.parametrize(("n_launches", "is_parked"), [(1, False), (MAX_LOST, False), (MAX_LOST + 1, True)])
def test_launches_that_came_to_no_attempt_count_as_losses(n_launches: int, is_parked: bool) -> None:  # noqa: FBT001  a parameter
    verdict = judge("encode", [], first_pause_s=1.0, n_launches=n_launches)
    assert (verdict.parked is not None) is is_parked
    assert verdict.error == "its worker failed before it began"
