"""Generators of formulas and what they make: a dataset like any other, each row with the sample it came from."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Self

import numpy as np
import pytest
from click.testing import Result
from numpy.typing import NDArray
from pymatgen.core import Composition
from sqlalchemy import text
from typer.testing import CliRunner

from agd import registry, spec
from agd.chem import validity
from agd.chem.elements import SYMBOLS
from agd.chem.enumeration import charge_balanced
from agd.chem.formula import parse_formula, parse_formulas
from agd.chem.identity import identify
from agd.chem.spelling import spell
from agd.cli.app import app
from agd.db.record import datasets, generations, stages
from agd.db.upkeep import checks
from agd.errors import InputError, NotFoundError, SpecError
from agd.loop import LocalEngine
from agd.progress import Progress, silent
from agd.protocols import Options
from agd.spec import ResolvedSpec
from agd.steps.campaign.opening import open_campaign
from agd.steps.data.cleaning import ImportRules
from agd.steps.data.importing import import_dataset, import_enumeration
from agd.steps.generation import generating
from agd.steps.generation.generating import GenerationPlan, describe, estimate, generate
from agd.steps.generation.tallying import Keeping
from agd.steps.models.training import Recipe, train_by_hand
from agd.steps.models.training_sets import find_dataset, formulas_for
from agd.steps.reading.explaining import why
from agd.steps.screening.screening import ScreenerChoice, ScreeningPlan, screen
from agd.types import Counts, FittedModel, Tensors, TrainingTable
from agd.work.shelf import model_ref
from agd.work.workspace import Workspace
from agd_workflows.launching import Share, launch_all, open_queue
from agd_workflows.task_runs import lend

# What the generator of these tests says, over and over; "" is a sample without a formula.
SAYINGS = ["Na2Cl2", "", "NaCl", "MgO", "H2O", "SrYF5", "NaCl2", "K3Cl3", "Xe5", "O", "Li1Na1K1Rb1Cs1F5", "Ca9O9", ""]
CORPUS = ["NaCl", "MgO", "CaO", "KBr", "LiF", "Al2O3", "SiO2", "TiO2", "CsI", "BaO", "Mn9O16"]


class Parrot:
    """Sample k of seed s is the saying at 5 k + s."""

    class Said(Options):
        """What it can be told."""

        cycle: int = 13

    options_type: ClassVar[type[Options]] = Said
    architecture_version: ClassVar[int] = 1
    sayings: ClassVar[list[str]] = SAYINGS

    @classmethod
    def is_representable(cls, counts: Counts) -> NDArray[np.bool_]:
        return np.asarray(counts.max(axis=1) <= 8)

    @classmethod
    def fit(cls, table: TrainingTable, options: Options, *, seed: int, progress: Progress = silent) -> FittedModel:
        assert isinstance(options, cls.Said)
        progress(1, 1)
        return FittedModel({"n": np.array([len(table.counts), seed])}, {"loss": 0.5})

    @classmethod
    def load(cls, tensors: Tensors, options: Options) -> Self:
        assert isinstance(options, cls.Said)
        assert "n" in tensors
        return cls()

    def sample(self, start: int, n: int, *, seed: int) -> Counts:
        return parse_formulas([self.saying(k, seed) for k in range(start, start + n)])[0]

    @classmethod
    def saying(cls, k: int, seed: int) -> str:
        return cls.sayings[(5 * k + seed) % len(cls.sayings)]


@pytest.fixture(autouse=True)
def parrot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the generator of these tests."""
    load = registry.load

    def find(group: str, name: str) -> Any:
        return Parrot if (group, name) == ("agd.formula_generators", "parrot") else load(group, name)

    monkeypatch.setattr(registry, "load", find)


@pytest.fixture
def trained(workspace: Workspace, tmp_path: Path) -> Workspace:
    """A record with the generator, whose model version is 1."""
    (tmp_path / "corpus.csv").write_text("\n".join(["formula", *CORPUS]) + "\n")
    import_dataset(workspace, tmp_path / "corpus.csv", "corpus", ImportRules("formula"))
    train(workspace)
    return workspace


def train(workspace: Workspace, seed: int = 0) -> None:
    with workspace.database.read() as tx:
        row = find_dataset(tx, "corpus")
        parts = formulas_for(tx, "generator", row, Parrot.is_representable, share=0.2, seed=seed)
    train_by_hand(workspace, Recipe("generator", "parrot", None, Parrot.Said(), seed), parts)


@pytest.fixture
def cli(trained: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The verbs in this process, on the record of the test."""
    monkeypatch.setenv("AGD_DATABASE_URL", trained.database.url)
    monkeypatch.setenv("AGD_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, list(words))


def rows(workspace: Workspace, query: str, **values: object) -> list[Any]:
    with workspace.database.read() as tx:
        return list(tx.execute(text(query), values).all())


def plainly(start: int, n: int, seed: int) -> dict[str, tuple[int, str, int]]:
    """First sample, what it said and how often it came, of each composition, one sample after the other."""
    said = {k: Parrot.saying(k, seed) for k in range(start, start + n)}
    names = {k: identify(parse_formula(word)).reduced_formula[0] for k, word in said.items() if word}
    often = Counter(names.values())
    firsts = {name: k for k, name in reversed(names.items())}
    return {name: (k, said[k], often[name]) for name, k in firsts.items()}


def is_valid(formula: str) -> bool:
    verdicts = validity.assess(identify(parse_formula(formula)).counts)
    return bool((verdicts.is_charge_neutral & verdicts.is_electronegativity_balanced)[0])


@pytest.mark.parametrize(("start", "n", "seed", "chunk"), [(0, 40, 0, 7), (3, 5, 1, 32_768), (11, 64, 2, 64)])
def test_a_generation_is_what_the_samples_say(
    trained: Workspace, monkeypatch: pytest.MonkeyPatch, start: int, n: int, seed: int, chunk: int
) -> None:
    monkeypatch.setattr(generating, "CHUNK", chunk)
    told = generate(trained, GenerationPlan("g", 1, n, seed, start))
    expected = plainly(start, n, seed)
    found = rows(trained, "SELECT * FROM v_generated")
    assert {row.reduced_formula: (row.sample, row.n_samples) for row in found} == {
        name: (k, often) for name, (k, _, often) in expected.items()
    }
    for row in found:  # unreduced, in an order of its own
        _, word, _ = expected[row.reduced_formula]
        assert (parse_formula(row.generated_formula) == parse_formula(word)).all()
        assert (row.is_charge_neutral and row.is_electronegativity_balanced) == is_valid(row.reduced_formula)
    n_decoded = sum(often for _, _, often in expected.values())
    valid = {name for name in expected if is_valid(name)}
    members = rows(
        trained,
        "SELECT reduced_formula, is_held_out FROM training_set_member t JOIN composition c ON c.id = t.composition_id",
    )
    assert {member.reduced_formula for member in members} == set(CORPUS) - {"Mn9O16"}
    known = {member.reduced_formula for member in members if not member.is_held_out}
    assert told.stages == {
        "sampled": n,
        "decoded": n_decoded,
        "distinct": len(expected),
        "valid": len(valid),
        "novel": len(valid - known),
    }
    metrics = told.options["metrics"]
    assert metrics["validity"] == len(valid) / len(expected)
    assert metrics["validity_of_samples"] == sum(expected[name][2] for name in valid) / n
    assert metrics["uniqueness"] == len(expected) / n
    assert metrics["novelty"] == len(set(expected) - known) / len(expected)
    words = [word for k in range(start, start + n) if (word := Parrot.saying(k, seed))]
    as_generated = validity.assess(np.concatenate([parse_formula(word) for word in words])).is_valid
    assert metrics["validity_as_generated"] == as_generated.sum() / n
    for part, is_held_out in (("trained", False), ("held_out", True)):
        names = {member.reduced_formula for member in members if member.is_held_out == is_held_out}
        assert metrics[f"recovery_{part}"] == len(names & set(expected)) / len(names)
    held_out = {m.reduced_formula for m in members if m.is_held_out and is_valid(m.reduced_formula)}
    assert metrics["recovery_held_out_valid"] == len(held_out & set(expected)) / len(held_out)
    (stored,) = rows(trained, "SELECT n_read, n_rejected, source FROM dataset WHERE name = 'g'")
    assert stored == (n, n - n_decoded, f"parrot, seed {seed}, samples {start} to {start + n - 1}")


def test_only_valid_ones_within_trims_are_kept(trained: Workspace) -> None:
    keeping = Keeping("valid", max_elements=5, max_atoms=20, max_count=2)
    told = generate(trained, GenerationPlan("g", 1, 26, keeping=keeping))
    kept = {row.reduced_formula for row in rows(trained, "SELECT * FROM v_generated")}
    assert kept == {"NaCl", "MgO", "H2O", "KCl", "Xe", "O2", "CaO"}  # NaCl2 is not valid, the others are too large
    assert told.stages == {"sampled": 26, "decoded": 22, "distinct": 10, "within trims": 8, "valid": 7, "novel": 5}
    assert told.options["metrics"]["validity"] == sum(map(is_valid, plainly(0, 26, 0))) / 10  # trims aside
    with trained.database.read() as tx:
        assert [checks.n_against(tx, law) for law in checks.CONTRADICTIONS] == [0] * len(checks.CONTRADICTIONS)


def test_a_filter_says_what_is_stored(trained: Workspace, cli: Callable[..., Result]) -> None:
    words = ["generate", "g", "-n", "26", "--filter", "must_contain=O"]
    every = plainly(0, 26, 0)
    expected = {formula for formula in every if "O" in Composition(formula)}
    likely = json.loads(cli(*words, "--dry-run", "--json").output)
    told = cli(*words)
    assert f"every distinct composition, must_contain=O; {len(expected)} of them" in told.output, told.output
    assert {row.reduced_formula for row in rows(trained, "SELECT * FROM v_generated")} == expected
    (found,) = json.loads(cli("generations", "--json").output)
    assert likely["stages"] == found["stages"]
    assert list(found["stages"].items())[2:4] == [("distinct", len(every)), ("without: holds no O", len(expected))]
    assert found["options"]["filter"] == {"must_contain": ["O"]}
    refused = rows(trained, "SELECT generation, reason, reduced_formula, n_refused FROM v_rejection")
    n = len(every) - len(expected)
    assert sorted(refused) == sorted(("g", "holds no O", formula, n) for formula in every.keys() - expected)
    stored = {row.reduced_formula for row in rows(trained, "SELECT reduced_formula FROM composition")}
    unknown = min({row.reduced_formula for row in refused} - stored)
    message = f"{unknown} is not in the record: refused in generation g: holds no O"
    assert str(cli("why", unknown).exception) == message
    assert "in the record already" in cli(*words).output
    with pytest.raises(InputError, match="holds other content"):
        generate(trained, GenerationPlan("g", 1, 26))
    known = cli("generate", "h", "-n", "26", "--filter", "is_known_or_analogue=true", "--json")
    assert {"NaCl", "CaO"} <= {row.reduced_formula for row in rows(trained, "SELECT * FROM v_generated")}, known.output
    with trained.database.read() as tx:
        assert [law.what for law in checks.CONTRADICTIONS if checks.n_against(tx, law)] == []


def test_a_generation_is_made_once(trained: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    first = generate(trained, GenerationPlan("g", 1, 30))
    monkeypatch.setattr(Parrot, "sample", None)
    again = generate(trained, GenerationPlan("g", 1, 30))
    assert (first.was_there, again.was_there) == (False, True)
    assert (again.stages, again.options, again.dataset_id) == (first.stages, first.options, first.dataset_id)
    with pytest.raises(InputError, match="as 'g': use that name"):
        generate(trained, GenerationPlan("h", 1, 30))
    for other in ({"n": 31}, {"seed": 1}, {"start": 1}, {"keeping": Keeping("valid")}):
        with pytest.raises(InputError, match="holds other content"):
            generate(trained, GenerationPlan("g", 1, **{"n": 30, **other}))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="holds other content"):
        generate(trained, GenerationPlan("corpus", 1, 30))
    assert len(rows(trained, "SELECT FROM activity WHERE kind = 'generate'")) == 1


@pytest.mark.parametrize(
    ("generator", "asked", "message"),
    [
        (1, {"n": 2, "start": 2**31 - 3}, None),
        (1, {"n": 3, "start": 2**31 - 3}, "numbered 0 to 2,147,483,646"),
        (1, {"n": 0}, "numbered"),
        (1, {"n": 1, "start": -1}, "numbered"),
        (1, {"n": 1, "name": "a b"}, "name 'a b'"),
        (2, {"n": 1}, "no generator has id 2"),
    ],
)
def test_what_cannot_be_generated(
    trained: Workspace, generator: int, asked: dict[str, Any], message: str | None
) -> None:
    if message is None:
        generate(trained, GenerationPlan(**{"name": "g", "generator_id": generator, **asked}))
        (row,) = rows(trained, "SELECT sample FROM v_generated")  # the other one is without formula
        assert Parrot.saying(row.sample, 0) == "NaCl2"
        return
    with pytest.raises((InputError, NotFoundError), match=message):
        generate(trained, GenerationPlan(**{"name": "g", "generator_id": generator, **asked}))


@pytest.mark.parametrize(("room", "broken"), [(generations, "store_rows"), (stages, "store")])
def test_what_is_cut_off_leaves_nothing(
    trained: Workspace, monkeypatch: pytest.MonkeyPatch, room: ModuleType, broken: str
) -> None:
    held = [
        "SELECT count(*) FROM composition",
        "SELECT count(*) FROM dataset",
        "SELECT count(*) FROM stage",
        "SELECT count(*) FROM verdict",
    ]
    before = [rows(trained, query) for query in held]
    whole = getattr(room, broken)

    def cut_off(*arguments: Any) -> None:
        whole(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(room, broken, cut_off)
    with pytest.raises(KeyboardInterrupt):
        generate(trained, GenerationPlan("g", 1, 30))
    assert [rows(trained, query) for query in held] == before
    monkeypatch.setattr(room, broken, whole)
    assert not generate(trained, GenerationPlan("g", 1, 30)).was_there
    outcomes = rows(trained, "SELECT outcome FROM activity WHERE kind = 'generate' ORDER BY id")
    assert [row.outcome for row in outcomes] == ["failed", "done"]


def test_another_process_was_quicker(trained: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both found the name free; the second to store under it stores nothing of its own."""
    draw = generating._draw

    def draw_late(*arguments: Any) -> None:
        draw(*arguments)
        monkeypatch.setattr(generating, "_draw", draw)
        generate(trained, GenerationPlan("g", 1, 20))

    monkeypatch.setattr(generating, "_draw", draw_late)
    with pytest.raises(generating.BusyError, match="just stored dataset 'g'"):
        generate(trained, GenerationPlan("g", 1, 30))
    assert len(rows(trained, "SELECT FROM generation")) == 1


def test_a_dry_run_stores_nothing(trained: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generating, "_PROBE", 13)
    told = estimate(trained, GenerationPlan("g", 1, 1_000_000))
    assert told.stages["sampled"] == told.n_probed == 13
    assert told.stages["decoded"] == 11
    assert told.estimate_s > 0
    assert not rows(trained, "SELECT FROM activity WHERE kind = 'generate'")
    with pytest.raises(NotFoundError, match="no generation 'g'"):
        describe(trained, "g")


def test_the_verbs(cli: Callable[..., Result], trained: Workspace) -> None:
    words = ["train", "generator", "--dataset", "corpus", "--kind", "parrot", "--held-out", "0.2"]
    told = cli(*words, "--dry-run")
    assert "is in the record already, as model version 1" in told.output
    assert "10 rows of corpus, 2 of them held out" in told.output  # Mn9O16 is beyond its vocabulary
    made = json.loads(cli(*words, "--seed", "1", "--json").output)
    assert (made["kind"], made["plugin"], made["property"]) == ("generator", "parrot", None)
    assert "generator parrot v1" in cli("models").output

    refused = cli("generate", "g", "-n", "30")
    assert refused.exit_code != 0
    assert "which one? There is parrot" in str(refused.exception)
    assert "no generator has that id" in str(cli("generate", "g", "--generator", "xyz").exception)
    sha256 = rows(trained, "SELECT tensors_sha256 FROM model_version WHERE id = 1")[0].tensors_sha256
    likely = cli("generate", "g", "--generator", sha256[:10], "-n", "30", "--dry-run")
    assert "would draw 30 samples in about" in likely.output
    told = cli("generate", "g", "--generator", sha256[:10], "-n", "30", "--max-elements", "5")
    assert "stored 9 compositions, 6 of them new to the record" in told.output, told.output
    assert "within trims" in told.output
    assert "in the record already" in cli("generate", "g", "--generator", "1", "-n", "30", "--max-elements", "5").output

    found = json.loads(cli("generations", "--json").output)
    assert [(row["generation"], row["stages"]["sampled"]) for row in found] == [("g", 30)]
    assert json.loads(cli("generations", "g", "--json").output)["stages"]["distinct"] == 10
    assert "parrot" in cli("generations").output
    assert "every distinct composition, elements to 5; 9 of them" in cli("generations", "g").output
    assert "did you mean 'g'" in str(cli("generations", "G").exception)
    listed = {row["name"]: row for row in json.loads(cli("data", "list", "--json").output)}
    assert listed["g"]["n_compositions"] == 9
    assert "novelty" in cli("data", "show", "g").output

    shown = " ".join(cli("why", "SrYF5").output.split())
    assert f"sample 1 of generation g: generator parrot {sha256[:12]}, seed 0, as SrYF5, the first of 3 of it" in shown
    assert "generator parrot, model version 1" in shown
    assert "first stored by generate on" in shown
    assert "in no dataset" not in shown
    both = cli("why", "NaCl").output
    assert "dataset corpus" in both
    assert "of generation g" in both
    assert "dataset g" not in both


def test_some_rows_of_a_file_are_imported(cli: Callable[..., Result], trained: Workspace, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("formula,icsd\nNaCl,1\nKCl,0\nMgO,1\nCl1Na1,1\n")
    words = ["data", "import", "t.csv", "--formula-column", "formula", "--where", "icsd=1"]
    told = json.loads(cli(*words, "--name", "some", "--json").output)
    assert [told[key] for key in ("n_read", "n_left_out", "n_imported", "n_merged")] == [3, 1, 2, 1]
    assert "1 rows left out by --where" in cli(*words, "--name", "some", "--dry-run").output
    assert json.loads(cli(*words, "--name", "some", "--json").output)["was_there"]
    assert json.loads(cli(*words[:-2], "--name", "all", "--json").output)["n_imported"] == 3  # another recipe
    lines = "SELECT line FROM dataset_row JOIN dataset d ON d.id = dataset_id WHERE name = 'some' ORDER BY line"
    assert [row.line for row in rows(trained, lines)] == [2, 4]
    assert "icsd 1" in cli("data", "show", "some").output
    assert "write COLUMN=VALUE" in str(cli(*words[:-1], "icsd", "--name", "x").exception)


def test_without_a_generator(workspace: Workspace) -> None:
    with pytest.raises(NotFoundError, match="agd train generator"):
        generating.choose_generator(workspace, None)


def test_each_row_of_matgan_is_the_sample_it_names(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a table to a generation by the verbs, with the installed generator, and back to a sample by its number."""
    monkeypatch.setenv("AGD_DATABASE_URL", workspace.database.url)
    monkeypatch.setenv("AGD_HOME", str(tmp_path))
    monkeypatch.setattr(generating, "CHUNK", 700)
    import_enumeration(workspace, "made-up", 800, seed=1, max_count=8)
    small = ("state=16", "hidden=16", "warm_up_epochs=1", "iterations=2", "critic_head_start=1", "critic_hidden=16")
    words = ["train", "generator", "--dataset", "made-up", *(word for pair in small for word in ("-o", pair)), "--json"]
    trained = CliRunner().invoke(app, words)
    assert trained.exit_code == 0, trained.output
    assert json.loads(trained.output)["n_held_out"] == 80
    words = ["generate", "g", "-n", "2000", "--start", "500", "--seed", "3", "--json"]
    told = json.loads(CliRunner().invoke(app, words).output)
    assert told["stages"]["sampled"] == 2000
    found = rows(workspace, "SELECT * FROM v_generated")
    assert len(found) == told["n_compositions"] == told["stages"]["distinct"] > 100
    with workspace.database.read() as tx:
        generator = workspace.shelf.load(model_ref(tx, told["model_version_id"]))
    for row in found[:50]:
        assert 500 <= row.sample < 2500
        counts = generator.sample(row.sample, 1, seed=3)
        assert spell(counts) == [row.generated_formula]
        assert identify(counts).reduced_formula == [row.reduced_formula]


def test_a_generation_is_a_pool_and_a_corpus(
    starter: Workspace,
    make_spec: Callable[..., ResolvedSpec],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trained: Workspace,  # the same record as `starter`
) -> None:
    """A campaign trains its autoencoder on a generation and screens it; `why` says which sample a hit is."""
    made = charge_balanced(700, seed=5)
    words = ["".join(f"{SYMBOLS[z]}{row[z]}" for z in np.flatnonzero(row)) for row in made]
    monkeypatch.setattr(Parrot, "sayings", ["", *words])
    generate(trained, GenerationPlan("made", 1, 701))
    with starter.database.read() as tx:
        ids = [row.composition_id for row in datasets.rows_of(tx, find_dataset(tx, "made").id)]
    assert len(ids) > 600
    more = '[oracle]\nn_trees = 5\n[sampler]\nkind = "random"\n'
    resolved = make_spec("c", target="band_gap > 1 eV", budget=9, more=more)
    (tmp_path / "c.toml").write_text(
        resolved.text.replace("min_rows = 2000", 'min_rows = 500\ncorpus = "made"')  # what `make_spec` wrote
    )
    campaign = open_campaign(starter, spec.read(tmp_path / "c.toml"))
    assert LocalEngine().run(starter, campaign).is_ended
    choice = ScreenerChoice(options=("n_trees=5",))
    told = screen(starter, ScreeningPlan("c", "made", ("al",), choice, "band_gap > 0 eV", is_novel=False))
    hit = told.screenings[0].top[0]
    found = why(starter, hit.reduced_formula)
    (picked,) = found.screenings
    assert (picked.pool_generator, picked.pool_seed, picked.pool_line) == ("parrot", 0, hit.line)
    (generated,) = found.generations
    assert (generated.generation, generated.sample) == ("made", hit.line)
    assert (parse_formula(Parrot.saying(hit.line, 0)) == parse_formula(hit.formula)).all()
    assert "generator" in {model.kind for model in found.model_versions}
    monkeypatch.setenv("AGD_DATABASE_URL", starter.database.url)
    monkeypatch.setenv("AGD_HOME", str(tmp_path))
    shown = " ".join(CliRunner().invoke(app, ["why", hit.reduced_formula]).output.split())
    assert shown.count(f"sample {hit.line:,} of generation made: generator parrot") == 2


def test_a_search_among_what_was_generated(
    starter: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trained: Workspace,  # the same record as `starter`
) -> None:
    """`generator-pool` labels rows of a generation alone, and takes no other dataset for its pool."""
    made = charge_balanced(150, seed=5)
    words = ["".join(f"{SYMBOLS[z]}{row[z]}" for z in np.flatnonzero(row)) for row in made]
    monkeypatch.setattr(Parrot, "sayings", ["", *words])
    generate(trained, GenerationPlan("made", 1, 151))
    text_of = (
        'name = "{}"\ntarget = "band_gap > 1 eV"\n[data]\ndataset = "starter"\n[initial]\nn = 30\n[budget]\n'
        "oracle_calls = 8\nsuggestions_per_iteration = 4\n[oracle]\nn_trees = 5\n[sampler]\n"
        'kind = "generator-pool"\nacquisition = "thompson"\npool = "{}"\n'
    )
    with pytest.raises(SpecError, match=r"c.toml:15: sampler.pool: dataset 'starter' is no generation.*agd generate"):
        open_campaign(starter, spec.parse(text_of.format("c", "starter"), tmp_path / "c.toml"))
    campaign = open_campaign(starter, spec.parse(text_of.format("c", "made"), tmp_path / "c.toml"))
    assert LocalEngine().run(starter, campaign).is_ended
    asked = rows(starter, "SELECT composition_id, acquisition <> posterior_mean AS is_drawn FROM suggestion")
    generated = {row.composition_id for row in rows(starter, "SELECT composition_id FROM v_generated")}
    assert len(asked) == 8
    assert {row.composition_id for row in asked} <= generated
    assert any(row.is_drawn for row in asked)


def test_a_generation_goes_through_the_queue(trained: Workspace, cli: Callable[..., Result]) -> None:
    words = ("generate", "g", "-n", "30", "--keep", "valid", "--max-count", "2", "--detach", "--json")
    told = json.loads(cli(*words).stdout)
    assert told["generation"] == "g"
    assert not rows(trained, "SELECT * FROM generation")
    lend(trained)
    assert launch_all(open_queue(trained), Share(until_idle_s=0.0), lambda: False) == 1
    assert rows(trained, "SELECT fw_id FROM activity WHERE kind = 'generate'") == [(told["fw_ids"][0],)]
    assert describe(trained, "g").options["max_count"] == 2
    assert "in the record already" in cli("generate", "g", "-n", "30", "--keep", "valid", "--max-count", "2").output
    assert "in the record already" in cli(*words[:-1]).output
