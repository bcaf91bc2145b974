import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agd import spec
from agd.cli.templates import template
from agd.errors import SpecError
from agd.filters import FilterOptions

GOOD = """\
name = "wide-gap"
target = "band_gap > 6 eV"

[data]
dataset = "mp"

[initial]
n = 20

[sampler]
kind = "ucb"
kappa = 3
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "spec.toml"
    path.write_text(text)
    return path


def test_defaults_and_options_are_resolved(tmp_path: Path) -> None:
    resolved = spec.read(write(tmp_path, GOOD))
    assert resolved.content["sampler"]["kappa"] == 3.0
    assert resolved.content["budget"]["suggestions_per_iteration"] == 20
    assert resolved.content["autoencoder"]["n_latent"] == 128
    assert resolved.spec.corpus() == "mp"


def test_templates_are_specifications(tmp_path: Path) -> None:
    path = tmp_path / "wide-gap.toml"
    resolved = spec.read(write(tmp_path, template(path)))
    assert str(resolved.spec.target) == "band_gap > 6 eV"
    assert (resolved.spec.mode, resolved.spec.sampler.kind, resolved.spec.autoencoder) == ("default", "analogue", None)
    published = spec.read(write(tmp_path, template(path, is_paper=True))).spec
    assert (published.mode, published.sampler.kind) == ("paper", "ucb")
    assert published.autoencoder is not None
    assert published.autoencoder.kind == "paper-dense"


def test_what_a_new_specification_means_where_it_says_nothing(tmp_path: Path) -> None:
    said = GOOD[: GOOD.index("[sampler]")]
    filled = spec.read(write(tmp_path, said)).spec
    assert (filled.sampler.kind, filled.autoencoder) == ("analogue", None)
    rule = filled.filter
    assert (rule.is_neutral_in_common_states, rule.is_known_or_analogue, rule.has_metal) == (True, True, True)
    assert rule.max_radius_ratio == pytest.approx(1.42)
    free = spec.read(write(tmp_path, said + "\n[filter]\nis_known_or_analogue = false\n")).spec.filter
    assert (free.is_known_or_analogue, free.max_radius_ratio) == (False, None)
    assert filled.oracle.uses_known_labels
    latent = spec.read(write(tmp_path, GOOD)).spec
    assert latent.autoencoder is not None
    assert latent.filter.is_neutral_in_common_states
    assert not latent.filter.is_known_or_analogue
    published = spec.read(write(tmp_path, 'mode = "paper"\n' + said)).spec
    assert (published.sampler.kind, published.filter, published.oracle.uses_known_labels) == (
        "ucb",
        FilterOptions(),
        False,
    )
    stored = {key: value for key, value in spec.with_options(latent).items() if key != "filter"}
    assert not spec.CampaignSpec.model_validate(stored).filter.is_neutral_in_common_states


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ('elements_denied = ["Xx"]', "'Xx' is no element from H to Lr"),
        ('must_contain = ["cl"]', "'cl' is no element from H to Lr: did you mean 'Cl'?"),
        ('must_contain = ["F"]\nelements_denied = ["F"]', "must_contain asks for F, which the filter refuses"),
        ('elements_allowed = ["F"]\nelements_denied = ["F"]', "every element that is allowed is denied as well"),
    ],
)
def test_elements_are_read_with_care(tmp_path: Path, rule: str, message: str) -> None:
    with pytest.raises(SpecError, match=re.escape(message)):
        spec.read(write(tmp_path, f"{GOOD}\n[filter]\n{rule}\n"))


def test_the_hash_follows_the_content_not_the_layout(tmp_path: Path) -> None:
    first = spec.read(write(tmp_path, GOOD))
    assert spec.read(write(tmp_path, GOOD.replace("kappa = 3", "# a remark\nkappa = 3.0"))).sha256 == first.sha256
    other = spec.read(write(tmp_path, GOOD.replace("kappa = 3", "kappa = 4")))
    assert other.sha256 != first.sha256
    assert spec.differences(first.content, other.content) == ["sampler.kappa: 3.0 -> 4.0"]


def test_the_hash_follows_the_files_it_names(tmp_path: Path) -> None:
    text = GOOD.replace("n = 20", 'file = "rows.csv"')
    (tmp_path / "rows.csv").write_text("composition\nNaCl\n")
    first = spec.read(write(tmp_path, text)).sha256
    (tmp_path / "rows.csv").write_text("composition\nKCl\n")
    assert spec.read(write(tmp_path, text)).sha256 != first


@pytest.mark.parametrize(
    ("old", "new", "line", "expected"),
    [
        ("n = 20", 'n = "fifty"', 8, "initial.n: input should be a valid integer, not 'fifty'"),
        ("n = 20", "n = 20\n\n[budget]\noracle_calls = -1", 11, "budget.oracle_calls: input should be greater than 0"),
        ("kappa = 3", "kapa = 3", 12, "sampler.kapa: unknown key: did you mean 'kappa'?"),
        ("kappa = 3", "kappa = -1", 12, "sampler.kappa: input should be greater than or equal to 0"),
        ('kind = "ucb"', 'kind = "ubc"', 11, "sampler.kind: no sampler 'ubc': did you mean 'ucb'?"),
        ("[initial]\nn = 20", "[initial]", 7, "initial: give either file"),
        ('dataset = "mp"', "", 4, "data.dataset: this key is needed"),
        ('"wide-gap"', '"wide gap"', 1, "name: string should match pattern"),
        ("band_gap > 6 eV", "gap is wide", 2, "target: 'gap is wide' is no target"),
        ('"band_gap > 6 eV"', "{low = 4, high = 2}", 2, "is no target"),
        ("n = 20", "n = 20\nseed = 99999999999999999999", 9, "initial.seed: "),
        ('"ucb"\nkappa = 3', '"pool"', 10, "sampler.pool: this key is needed, the dataset that sampler 'pool' draws"),
        ('"ucb"\nkappa = 3', '"pool"\npool = ""', 12, "sampler.pool: string should have at least 1 character"),
        ("kappa = 3", 'pool = "mp"', 12, "sampler.pool: sampler 'ucb' draws from no dataset: leave the key out"),
        ("kappa = 3", 'pol = "mp"', 12, "sampler.pol: unknown key: did you mean 'pool'?"),
        ("[data]", "[dta]", 4, "dta: unknown key: did you mean 'data'?"),
        ("n = 20", 'file = "nowhere.csv"', 8, "cannot be read (No such file or directory)"),
    ],
)
def test_errors_name_file_line_and_key(tmp_path: Path, old: str, new: str, line: int, expected: str) -> None:
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(SpecError) as caught:
        spec.read(path)
    assert expected in str(caught.value)
    assert f"{path}:{line}: " in str(caught.value)


def test_a_missing_and_a_broken_file(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no such file; `agd init"):
        spec.read(tmp_path / "none.toml")
    with pytest.raises(SpecError, match=r"not valid TOML.*line 1"):
        spec.read(write(tmp_path, "name = \n"))


def test_the_published_mode_has_another_autoencoder_where_none_is_named(tmp_path: Path) -> None:
    text = 'mode = "paper"\n' + GOOD + '[oracle]\nexclude = ["x.csv"]\n'
    (tmp_path / "x.csv").write_text("composition\nNaCl\n")
    assert spec.read(write(tmp_path, text)).content["autoencoder"]["kind"] == "paper-dense"
    assert spec.read(write(tmp_path, text + '[autoencoder]\nkind = "set"\n')).content["autoencoder"]["kind"] == "set"
    assert spec.read(write(tmp_path, GOOD)).content["autoencoder"]["kind"] == "set"


MAPPING = {"name": "x", "target": "band_gap > 6 eV", "data": {"dataset": "mp"}, "initial": {"n": 20}}


def test_a_mapping_is_a_specification_too(tmp_path: Path) -> None:
    values = {**MAPPING, "initial": {"n": np.int64(20)}, "sampler": {"kind": "ucb", "kappa": np.float64(3)}}
    resolved = spec.from_mapping(values, tmp_path)
    assert spec.parse(resolved.text, tmp_path / "x.toml").sha256 == resolved.sha256
    assert resolved.content["sampler"]["kappa"] == 3.0


@pytest.mark.parametrize(
    "dataset",
    ["\N{GRINNING FACE}", "two\nlines", "a \"quoted\" 'one'", "\x7f\x1b", "2026-01-01", "", " ", "\\u0041", "\u2028"],
)
def test_any_text_of_a_mapping_is_taken_as_it_is(tmp_path: Path, dataset: str) -> None:
    resolved = spec.from_mapping({**MAPPING, "autoencoder": {"corpus": dataset}}, tmp_path)
    assert resolved.spec.autoencoder.corpus == dataset
    written = spec.parse(resolved.text, tmp_path / "x.toml")
    assert (written.spec, written.sha256) == (resolved.spec, resolved.sha256)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"initial": {"m": 20}}, "specification: initial.m: unknown key: there is file, "),
        ({"initial": {"n": "20"}}, "specification: initial.n: input should be a valid integer, not '20'"),
        ({"data": {"dataset": "mp", "two\nlines": 1}}, r"specification: data.'two\\nlines': unknown key"),
        ({"data": {"dataset": "mp", "\N{GRINNING FACE}": 1}}, "specification: data.'\N{GRINNING FACE}': unknown key"),
        ({"data": {"dataset": "mp", 1: 1}}, "specification: data.1: a key is text, not 1"),
        ({"seed": None}, "specification: seed: a specification holds text, numbers.*, not None"),
        ({"seed": datetime(2026, 1, 31, tzinfo=UTC)}, "specification: seed: .*integer, not '2026-01-31 "),
        ({"seed": 10**5000}, "specification: seed: a number of too many digits"),
        ({"data": {"dataset": np.zeros((9, 9))}}, "specification: data.dataset: a specification holds .*, not array"),
        ({"data": {"dataset": "m\x00p"}}, "specification: data.dataset: holds the null character"),
        ({"data": {"dataset": "m\ud83dp"}}, "specification: data.dataset: holds half a character"),
        ({"data": "mp"}, "specification: data: "),
        ({"oracle": {"exclude": ["none.csv"]}}, "oracle.exclude: .*; paths are relative to the working directory"),
        ({"name": "a" * 5000}, "specification: name: string should match pattern"),
    ],
)
def test_errors_of_a_mapping_name_the_key(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        spec.from_mapping({**MAPPING, **changes}, tmp_path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_mapping_within_itself_is_refused(tmp_path: Path) -> None:
    values: dict[str, Any] = {**MAPPING}
    values["data"] = values
    with pytest.raises(SpecError, match="nested too deeply"):
        spec.from_mapping(values, tmp_path)
    assert values["data"] is values


@pytest.mark.parametrize("line", ["kappa = inf", "kappa = nan"])
def test_numbers_are_finite(tmp_path: Path, line: str) -> None:
    with pytest.raises(SpecError, match=r"sampler.kappa: .*finite number"):
        spec.read(write(tmp_path, GOOD.replace("kappa = 3", line)))
    with pytest.raises(SpecError, match="too large a number"):
        spec.read(write(tmp_path, GOOD.replace("6 eV", "1e999 eV")))


def test_a_null_character_is_refused_and_its_name_is_not(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="holds the null character"):
        spec.read(write(tmp_path, GOOD.replace('"mp"', r'"m\u0000p"')))
    assert spec.read(write(tmp_path, GOOD.replace('"mp"', r"'m\u0000p'"))).spec.data.dataset == r"m\u0000p"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("kappa = 3", f"kappa = {'7' * 5000}", r"spec.toml:12: (sampler.kappa: )?a number of too many digits"),
        ("kappa = 3", f"kappa = 0x{'f' * 5000}", r"spec.toml:12: (sampler.kappa: )?a number of too many digits"),
        ("kappa = 3", f"kappa = {'[' * 5000}{']' * 5000}", "nested too deeply"),
        ("kappa = 3", f"kappa = {'[' * 50}{']' * 50}", "nested too deeply"),
        ("kappa = 3", f"{'.'.join(['a'] * 5000)} = 1", "nested too deeply"),
        ("kappa = 3", "#" * 2**20, "is larger than 1,048,576 bytes"),
        ("kappa = 3", f"{'k' * 5000} = 1", r"spec.toml:\d+: sampler.k+\.\.\.: unknown key"),
        ("kappa = 3", "kappa = 3 # caf\udce9", r"spec.toml:\d+: byte 0xe9 is not UTF-8: save the file as UTF-8"),
    ],
)
def test_what_no_parser_bears_is_an_error_of_the_file(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "spec.toml"
    path.write_bytes(GOOD.replace(old, new).encode("utf-8", "surrogateescape"))
    with pytest.raises(SpecError, match=message) as caught:
        spec.read(path)
    assert len(str(caught.value)) < 1000


def test_a_specification_as_windows_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "spec.toml"
    path.write_bytes(GOOD.replace("\n", "\r\n").encode("utf-8-sig"))
    assert spec.read(path).text == GOOD
