"""The authors' files: where they are found, what a broken one says, and what can be told from them alone."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from agd.errors import InputError, NotFoundError
from agd.reproduction import paper
from agd.reproduction.agreement import Agreement, Candidate, authors_lists
from agd.reproduction.authors import SETS, TEST_ROWS, AuthorsFiles
from agd.reproduction.direct import direct
from agd.reproduction.distribution import fig4
from agd.reproduction.kappa import Log, fig5
from agd.reproduction.outcome import Compared, Figure, Line, Listed, Outcome
from agd.reproduction.pages import as_csv, as_page, write
from agd.reproduction.recovery import from_authors_lists
from agd.reproduction.searches import hidden_rows
from agd.reproduction.study import Protocol, Split, Study, Wish
from agd.reproduction.table1 import labels_of_al, leak
from agd.reproduction.targets import ALIASES, chosen, estimate

MakeStudy = Callable[..., Study]


def values(outcome: Outcome, quantity: str) -> list[float]:
    lines = [line for part in outcome.parts if isinstance(part, Compared) for line in part.lines]
    return [line.ours.value for line in lines if line.quantity == quantity and line.ours is not None]


def test_recovery_is_the_papers_to_the_formula(authors: AuthorsFiles) -> None:
    outcome = from_authors_lists(authors)
    assert values(outcome, "of the 102") == [102, 53, 80, 3, 59]
    assert values(outcome, "candidates") == [102, 123, 171, 33, 81]
    for found, printed in zip(values(outcome, "recovery, %"), paper.RECOVERY_RATES.values(), strict=True):
        assert round(found, 2) == printed
    assert "53, 80, 3, 59" in outcome.lead


def test_every_candidate_obeys_the_filters_that_the_paper_does_not_name(authors: AuthorsFiles) -> None:
    from agd.chem.formula import parse_formulas
    from agd.reproduction.agreement import MAX_ATOMS, MAX_ELEMENTS

    for candidates in authors_lists(authors).values():
        counts, problems = parse_formulas([candidate.formula for candidate in candidates])
        assert not problems
        assert counts.sum(axis=1).max() <= MAX_ATOMS
        assert np.count_nonzero(counts, axis=1).max() <= MAX_ELEMENTS
        assert min(candidate.band_gap_ev for candidate in candidates) >= paper.HIGH_EV


def test_precision_and_average_precision() -> None:
    reference = [Candidate("A", 7.0), Candidate("B", 7.0), Candidate("C", 7.0), Candidate("D", 7.0)]
    found = Agreement.of([Candidate("X", 9.0), Candidate("A", 8.0), Candidate("B", 7.0)], reference)
    assert (found.recovery, found.precision) == (0.5, pytest.approx(2 / 3))
    assert found.f1 == pytest.approx(4 / 7)
    assert found.average_precision == pytest.approx((1 / 2 + 2 / 3) / 4)
    nothing = Agreement.of([], reference)
    assert (nothing.recovery, nothing.precision, nothing.f1, nothing.average_precision) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("row", "sizes", "variance"),
    [
        ("Exp1", (25_601, 8_534, 8_534), 1.606),
        ("Exp2 BS", (600, 200, 200), 1.512),
        ("Exp2 AL", (1_044, 348, 349), 1.393),
        ("Exp3 BS", (180, 60, 60), 1.466),
        ("Exp3 AL", (691, 231, 231), 1.201),
    ],
)
def test_the_split_is_the_authors(
    authors: AuthorsFiles, row: str, sizes: tuple[int, int, int], variance: float
) -> None:
    """With it the printed RMSE gives the printed R2 of every row (1 - RMSE^2 / variance)."""
    rows = authors.rows(SETS[row])
    split = Split.of(len(rows))
    assert (len(split.train), len(split.validation), len(split.test)) == sizes
    gaps = np.array([rows[i].band_gap_ev for i in split.test.tolist()])
    assert gaps.std() == pytest.approx(variance, abs=0.001)
    printed = paper.TABLE_1[row]
    r2 = 1 - printed[paper.RMSE].value ** 2 / gaps.var()
    assert r2 == pytest.approx(printed[paper.HOLD_OUT_R2].value, abs=0.003)


def test_the_leak_of_the_external_test(make_study: MakeStudy) -> None:
    assert [(row[0], row[1]) for row in leak(make_study(Protocol())).rows] == [
        ("trained on", 301),
        ("validated on", 97),
        ("tested on", 102),
    ]


def test_what_the_authors_search_added(make_study: MakeStudy) -> None:
    rows = labels_of_al(make_study(Protocol())).rows
    assert rows == [("Exp2 AL", 741, 1.2, 137, 1, "144 of 349"), ("Exp3 AL", 853, 1.33, 209, 0, "183 of 231")]


def test_the_kappa_logs(make_study: MakeStudy) -> None:
    outcome = fig5(make_study(Protocol()), Wish(is_authors_data=True))
    assert values(outcome, "records > 6 eV") == [158, 159, 122, 23, 240]
    assert values(outcome, "distinct > 6 eV") == [2, 2, 3, 3, 7]
    assert values(outcome, "distinct") == [544, 543, 560, 785, 466]


def test_a_log_counts_records_and_compositions() -> None:
    log = Log.of([("A", 7.0), ("A", 7.0), ("B", 1.0), ("C", 6.5), ("B", 1.0)])
    assert log.records.tolist() == [0, 1, 2, 2, 3, 3]
    assert log.distinct.tolist() == [0, 1, 1, 1, 2, 2]
    assert log.n_distinct == 3
    assert Log.of([]).distinct.tolist() == [0]


def test_the_direct_finds_against_known_compounds(make_study: MakeStudy) -> None:
    outcome = direct(make_study(Protocol()), Wish(is_authors_data=True))
    known = next(part for part in outcome.parts if isinstance(part, Listed))
    assert len(known.rows) == 27
    assert known.rows[0][0] == "PH3"
    assert "0.76 eV" in outcome.lead


def test_the_distribution(make_study: MakeStudy) -> None:
    outcome = fig4(make_study(Protocol()), Wish())
    assert "42,669 compounds, median 1.70 eV" in outcome.lead
    assert "533 above 6 eV" in outcome.lead


def test_the_hidden_compounds_stand_in_no_starting_set(make_study: MakeStudy, authors: AuthorsFiles) -> None:
    hidden = hidden_rows(make_study(Protocol()))
    seen = {row.formula for name in ("Exp2 BS", "Exp3 BS") for row in authors.rows(SETS[name])}
    seen |= {row.formula for row in authors.rows(TEST_ROWS)}
    assert not seen & {formula for formula, _ in hidden}
    assert min(gap for _, gap in hidden) > paper.HIGH_EV
    assert len(hidden) == 253


def test_missing_and_broken_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"git clone https://github\.com/usccolumbia"):
        AuthorsFiles.find(None)
    with pytest.raises(InputError, match=r"holds no Exp1_42k\.csv"):
        AuthorsFiles.find(tmp_path)
    deep = tmp_path / "somewhere" / "data"
    deep.mkdir(parents=True)
    (deep / "Exp1_42k.csv").write_text("id,composition,Eg\n1,NaCl,wide\n")
    files = AuthorsFiles.find(tmp_path)
    with pytest.raises(InputError, match=r"Exp1_42k\.csv:2: not a row"):
        files.rows("Exp1_42k.csv")
    with pytest.raises(InputError, match=r"holds no bd_test_only\.csv"):
        files.rows("bd_test_only.csv")


def test_targets_are_known_by_name() -> None:
    assert list(chosen("kappa", Wish())) == ["fig5"]
    assert {"table1", "recovery", "exp4"} <= chosen("all", Wish()).keys()
    assert all(list(chosen(alias, Wish())) == [name] for alias, name in ALIASES.items())
    with pytest.raises(NotFoundError, match="did you mean 'table1'"):
        chosen("tabel1", Wish())


@pytest.mark.parametrize(
    ("name", "wish", "message"),
    [
        ("fig5", Wish(is_authors_lists=True), "--authors-lists: .* it is for recovery, direct"),
        ("exp4", Wish(is_authors_data=True), "--authors-data: the authors ship nothing for exp4"),
        ("screen24", Wish(is_authors_data=True), "--authors-data"),
    ],
)
def test_what_the_authors_do_not_ship_cannot_be_asked_for(name: str, wish: Wish, message: str) -> None:
    with pytest.raises(InputError, match=message):
        chosen(name, wish)
    assert name not in chosen("all", wish)


def test_only_what_is_asked_for_is_estimated() -> None:
    protocol = Protocol.quick(None, 0)
    whole, data = (estimate({"exp3"}, protocol, Wish(is_authors_data=only)) for only in (False, True))
    assert whole > 2 * data > 0


def test_an_outcome_is_written_whole(tmp_path: Path) -> None:
    lines = [
        Line("Exp1", "R2", Figure(0.74, 0.01, 3), Figure(0.735, 0.021, 10), rests_on=("model version 1 (ab)",)),
        Line("Exp1", "MAE", None, Figure(0.5), note="not trained <here>"),
    ]
    outcome = Outcome("t", "Title & more", "Lead.", [Compared("A table", lines), Listed("L", ("a",), [(1,)])])
    paths = write(tmp_path / "new", outcome, force=False)
    assert [path.suffix for path in paths] == [".html", ".csv", ".json"]
    page = paths[0].read_text().replace("\N{NO-BREAK SPACE}", " ")
    assert "0.740 ± 0.010" in page
    assert "0.735 ± 0.021" in page
    assert "not trained &lt;here&gt;" in page
    rows = list(csv.DictReader(as_csv(outcome).splitlines()))
    assert float(rows[0]["difference"]) == pytest.approx(0.005)
    assert rows[1]["ours"] == ""
    assert json.loads(paths[2].read_text())["tables"][0]["lines"][0]["rests_on"] == ["model version 1 (ab)"]
    assert as_page(outcome) == paths[0].read_text()
    with pytest.raises(InputError, match="is there already"):
        write(tmp_path / "new", outcome, force=False)
