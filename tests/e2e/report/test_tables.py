"""Comparisons and tables to take away equal the record, and come back as they were."""

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from PIL import Image
from typer import Typer
from typer.testing import CliRunner, Result

from agd.cli import report as verbs
from agd.db.reading import exports
from agd.errors import InputError, NotFoundError
from agd.loop import LocalEngine
from agd.report.comparison import compare
from agd.report.exporting import export
from agd.report.frames import suggestions_frame
from agd.report.page import comparison_page, write_figure
from agd.spec import ResolvedSpec
from agd.steps.campaign.campaigns import campaign_row
from agd.steps.campaign.opening import open_campaign
from agd.work.workspace import Workspace

RANDOM = '[oracle]\nn_trees = 10\n[sampler]\nkind = "random"\n'

Row = Callable[[Workspace, str], tuple[Any, ...]]
ReadPage = Callable[[str], Any]


@pytest.fixture
def agd(searched: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The verbs, as typed."""
    monkeypatch.setenv("AGD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AGD_DATABASE_URL", searched.database.url)
    monkeypatch.chdir(tmp_path)
    app = Typer()
    verbs.register(app)
    return lambda *words: CliRunner().invoke(app, words)


def test_a_comparison_equals_the_record(searched: Workspace, tmp_path: Path, read_page: ReadPage, row: Row) -> None:
    compared = compare(searched, ["small"])
    assert [one.name for one in compared] == ["small", "small-random"]
    assert [one.is_control for one in compared] == [False, True]
    for one in compared:
        figures = one.figures
        expected = row(
            searched,
            "SELECT n_charged, n_new, n_suggested, n_known, n_rejected, n_finds, n_undecodable, n_duplicate, highest"
            f" FROM v_campaign_progress WHERE campaign = '{one.name}'",
        )
        n_charged, n_new, n_suggested, n_known, n_rejected, n_finds, n_undecodable, n_duplicate, best = expected
        keys = ("n_calls", "n_distinct", "n_suggested", "n_known", "n_rejected", "n_finds", "best")
        assert [figures[key] for key in keys] == [n_charged, n_new, n_suggested, n_known, n_rejected, n_finds, best]
        assert figures["undecodable_share"] == n_undecodable / n_suggested  # type: ignore[operator]
        assert figures["duplicate_share"] == n_duplicate / n_suggested  # type: ignore[operator]
        assert figures["finds_per_100_calls"] == 100 * n_finds / n_charged  # type: ignore[operator]
        (sure, systems, n_valid, first) = row(
            searched,
            "SELECT count(*) FILTER (WHERE is_find AND value - uncertainty > 3),"
            " count(DISTINCT chemical_system) FILTER (WHERE is_find),"
            " count(*) FILTER (WHERE is_charge_neutral AND is_electronegativity_balanced),"
            " (SELECT count(*) FROM v_suggestion b WHERE b.campaign = min(v.campaign) AND b.is_charged AND"
            "   (b.iteration, b.rank) <= (SELECT iteration, rank FROM v_suggestion f WHERE f.is_find AND f.outcome"
            "   = 'new' AND f.campaign = min(v.campaign) ORDER BY iteration, rank LIMIT 1))"
            " FROM v_suggestion v JOIN composition c ON c.id = v.composition_id"
            " LEFT JOIN verdict q ON q.composition_id = c.id AND q.rule = 'smact-default-states'"
            f" WHERE v.campaign = '{one.name}' AND v.outcome = 'new'",
        )
        assert (figures["n_finds_by_bound"], figures["n_chemical_systems"]) == (sure, systems)
        assert figures["valid_share"] == n_valid / n_new  # type: ignore[operator]
        assert figures["calls_to_first_find"] == (first or None)
        calls, finds = one.trace.finds()
        assert (calls[-1], finds[-1]) == (n_charged, n_finds)
    page = read_page(comparison_page(compared))
    assert page.tags.count("svg") == 1
    assert "small-random" in page.text
    write_figure(tmp_path / "f.png", compared, force=False)
    with Image.open(tmp_path / "f.png") as image:
        image.verify()
        assert image.format == "PNG"
        assert image.width > 1000
    write_figure(tmp_path / "f.pdf", compared, force=False)
    write_figure(tmp_path / "f.svg", compared, force=False)
    assert (tmp_path / "f.pdf").read_bytes().startswith(b"%PDF")
    assert "<svg" in (tmp_path / "f.svg").read_text()
    with pytest.raises(InputError, match="is there already"):
        write_figure(tmp_path / "f.png", compared, force=False)
    with pytest.raises(InputError, match=r"\.png, \.svg, \.pdf"):
        write_figure(tmp_path / "f.bmp", compared, force=False)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith((".", "f"))) == [
        "f.pdf",
        "f.png",
        "f.svg",
    ]


def test_unlike_campaigns_are_compared_only_anyway(
    searched: Workspace, make_spec: Callable[..., ResolvedSpec], read_page: ReadPage, row: Row
) -> None:
    campaign = open_campaign(searched, make_spec("low", target="band_gap < 1 eV", budget=8, more=RANDOM))
    assert LocalEngine().run(searched, campaign).is_ended
    with pytest.raises(InputError, match=r"small looks for band_gap > 3 eV, low for band_gap < 1 eV: .* --anyway"):
        compare(searched, ["small", "low"])
    compared = compare(searched, ["low", "small", "low"], anyway=True)
    assert [one.name for one in compared] == ["low", "small"]
    assert compared[0].figures["best"] == row(searched, "SELECT min(value) FROM v_suggestion WHERE campaign = 'low'")[0]
    read_page(comparison_page(compared))
    with pytest.raises(NotFoundError, match="did you mean 'small'"):
        compare(searched, ["smal"])


def test_exports_come_back_as_they_were(searched: Workspace, tmp_path: Path, row: Row) -> None:
    frame = suggestions_frame(searched, "small", latents=True)
    assert len(frame) == row(searched, "SELECT count(*) FROM v_suggestion WHERE campaign = 'small'")[0]
    assert [str(frame[key].dtype) for key in ("rank", "value", "is_find", "label_id", "suggested_at")] == [
        "Int64",
        "float64",
        "boolean",
        "Int64",
        "datetime64[us, UTC]",
    ]
    assert all(len(vector) == 12 for vector in frame.latent)
    for suffix in ("csv", "json", "parquet"):
        path = tmp_path / f"s.{suffix}"
        assert export(searched, "small", path, suffix, latents=True) == len(frame)  # type: ignore[arg-type]
        assert_frame_equal(_read_back(path, frame), frame)
    plain = pd.read_parquet(tmp_path / "s.parquet")
    assert (str(plain.label_id.dtype), str(plain.suggested_at.dtype)) == ("Int64", "datetime64[us, UTC]")
    failures = tmp_path / "failures.csv"
    n_failures = export(searched, "small-random", failures, "csv", what="failures", latents=True)
    assert len(failures.read_text().splitlines()) == n_failures + 1
    (n_expected,) = row(
        searched,
        "SELECT count(*) FROM v_suggestion WHERE campaign = 'small-random'"
        " AND outcome IN ('undecodable', 'rejected', 'unanswered')",
    )
    assert n_failures == n_expected
    with pytest.raises(InputError, match="no latent vectors"):
        export(searched, "small", tmp_path / "l.csv", "csv", what="labels", latents=True)
    with pytest.raises(InputError, match="cannot be written"):
        export(searched, "small", tmp_path / "none" / "l.csv", "csv")


def _read_back(path: Path, frame: pd.DataFrame) -> pd.DataFrame:
    """A file as a frame of the same types, by other means than those that wrote it."""
    if path.suffix == ".parquet":
        read = pd.read_parquet(path)
        for stored, vector in zip(read.latent, frame.latent, strict=True):
            assert stored.tolist() == np.asarray(vector, dtype=np.float32).tolist()
        return read.assign(latent=frame.latent)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file)) if path.suffix == ".csv" else json.load(file)
    return pd.DataFrame(
        {
            key: pd.Series([_parsed(str(dtype), row[key]) for row in rows], dtype=dtype)
            for key, dtype in frame.dtypes.items()
        }
    )


def _parsed(dtype: str, value: Any) -> object:
    parsers: dict[str, Callable[[Any], object]] = {
        "Int64": int,
        "float64": float,
        "boolean": lambda told: told in {True, "true"},
        "datetime64[us, UTC]": pd.Timestamp,
        "object": lambda vector: json.loads(vector) if isinstance(vector, str) else vector,
        "string": str,
    }
    return None if value is None or value == "" else parsers[dtype](value)


def test_rows_leave_in_chunks(searched: Workspace) -> None:
    with (
        searched.database.read() as tx,
        exports.rows(tx, "labels", campaign_row(searched, "small").id, {}, latents=False, chunk=10) as stream,
    ):
        assert [len(part) for part in stream.chunks] == [10, 10, 10, 10, 10, 5]
    assert stream.columns["value"] == "float"
    assert stream.columns["measured_on"] == "date"


def test_the_verbs(
    searched: Workspace, agd: Callable[..., Result], tmp_path: Path, read_page: ReadPage, row: Row
) -> None:
    assert searched is not None
    shown = agd("compare", "small", "-o", "c.html", "--figure", "c.png")
    assert shown.exit_code == 0, shown.output
    assert "finds, distinct" in shown.stdout
    assert "wrote c.html" in shown.stderr
    told = json.loads(agd("compare", "small", "small-random", "--json").stdout)
    assert [one["campaign"] for one in told] == ["small", "small-random"]
    assert told[0]["n_finds"] > 0
    assert agd("report", "small").exit_code == 0
    read_page((tmp_path / "small.html").read_text())
    again = agd("report", "small")
    assert isinstance(again.exception, InputError)
    assert "--force" in str(again.exception)
    assert agd("report", "small", "--force").exit_code == 0
    lines = agd("export", "small").stdout.splitlines()
    assert lines[0].startswith("campaign,iteration,rank")
    n_suggested = row(searched, "SELECT count(*) FROM v_suggestion WHERE campaign = 'small'")[0]
    assert len(lines) == int(str(n_suggested)) + 1
    assert len(json.loads(agd("export", "small", "--format", "json", "-o", "-").stdout)) == n_suggested
    assert f"wrote {n_suggested} rows" in agd("export", "small", "-o", "s.parquet").stderr
    for words, message in (
        (("--format", "parquet"), "-o FILE.parquet"),
        (("-o", "s.xls"), "tells no format"),
        (("-o", "s.parquet"), "is there already"),
    ):
        assert message in str(agd("export", "small", *words).exception)
    assert agd("export", "small", "--what", "everything").exit_code == 2
    assert isinstance(agd("export", "nobody").exception, NotFoundError)


def test_parquet_without_its_package(searched: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"pip install 'pyarrow>=17'"):
        export(searched, "small", tmp_path / "s.parquet", "parquet")
    assert not list(tmp_path.glob("*.parquet"))
