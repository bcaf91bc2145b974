"""Tables at the widths of terminals."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agd.cli import show, status_view
from agd.views import CampaignAbout, CampaignProgress, IterationProgress, Status


def filled(view: Any, **values: object) -> Any:
    return view(**{field.name: values.get(field.name) for field in fields(view)})


STATUS = Status(
    [
        filled(
            CampaignProgress,
            campaign="wide-gap-2026-11",
            property="band_gap",
            unit="eV",
            target_low=6.0,
            state="ended: budget spent",
            n_charged=12_345,
            budget_calls=100_000,
            n_finds=9_876,
            n_known_finds=1_234,
            best=13.62,
            n_suggested=23_456,
            n_undecodable=1_111,
            n_duplicate=2_000,
            n_known=222,
            n_rejected=7_778,
            n_iterations=1_173,
            last_active=datetime(2026, 11, 30, 16, 6, 7, tzinfo=UTC),
        )
    ],
    [
        filled(
            IterationProgress,
            iteration=1_173,
            n_suggested=20,
            n_undecodable=1,
            n_duplicate=2,
            n_known=3,
            n_rejected=4,
            n_new=10,
            n_finds=9,
            highest=9.532,
            is_recorded=True,
        )
    ],
    [],
    {},
    [],
)


@pytest.mark.parametrize("width", [80, 100, 140])
def test_a_card_says_all_of_one_campaign(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(show.console, "width", width)
    with show.console.capture() as captured:
        show.console.print(status_view.shown(STATUS, is_alone=True))
    shown = captured.get()
    assert max(map(len, shown.splitlines())) <= width
    words = " ".join(shown.split())
    for part in (
        "12,345 of 100,000, 12%",
        "9,876, 1,234 of them known; best 13.62",
        "1,111 undecodable",
        "1,173 9.532",
    ):
        assert part in words or all(one in words for one in part.split()), (part, shown)


@pytest.mark.parametrize("width", [80, 100, 160])
def test_lists_of_campaigns_fit(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(show.console, "width", width)
    about = {None: filled(CampaignAbout, tags=["fluorides", "2026"])}
    for view in (status_view.shown(STATUS), status_view.listed(STATUS.campaigns, about)):  # type: ignore[arg-type]
        with show.console.capture() as captured:
            show.console.print(view)
        lines = captured.get().splitlines()
        assert max(map(len, lines)) <= width
        (line,) = [line for line in lines if "wide-gap-2026-11" in line]
        assert "budget spent" in line
        assert "9,876" in line.split()


def test_times_are_told_in_one_unit() -> None:
    now = datetime.now(UTC)
    told = [show.ago(now - timedelta(seconds=n)) for n in (5, 300, 7300, 200_000)]
    assert told == ["5 s ago", "5 min ago", "2 h ago", "2 d ago"]
    assert show.ago(now - timedelta(days=90)) == f"{now - timedelta(days=90):%Y-%m-%d}"


def test_a_table_that_is_too_wide_is_a_list_of_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = ["id", "campaign", "composition", "property", "uncertainty", "predicted", "iteration", "suggested"]
    rows = [[1, "wide-gap", "RbSr2Cl5", "band_gap", 0.25, 5.198, 12, 1_234_567], [2, "a", "b", "c", 0, 1, 2, 3]]

    def shown(width: int) -> list[str]:
        monkeypatch.setattr(show.console, "width", width)
        with show.console.capture() as captured:
            show.console.print(show.table(columns, rows))
        return [line.strip() for line in captured.get().splitlines() if line.strip()]

    assert [line.split()[0] for line in shown(100) if line[0].isalnum()] == ["id", "1", "2"]
    narrow = shown(60)
    assert [line.split()[0] for line in narrow if line[0].isalnum()] == columns * 2
    assert narrow[2].split() == ["composition", "RbSr2Cl5"]
    assert narrow[7].split() == ["suggested", "1,234,567"]
