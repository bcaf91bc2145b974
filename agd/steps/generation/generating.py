"""Generating: a generator's samples become a dataset of the record, each composition with its first sample's number."""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from typing import Any, Self

from agd import registry
from agd.chem import validity
from agd.chem.distinct import Seen
from agd.chem.identity import identify
from agd.chem.spelling import spell
from agd.db.connection import AnyRow, Transaction
from agd.db.record import activities, datasets, generations, hashes, jobs, known_datasets, models, stages
from agd.db.record.generations import GeneratedRow
from agd.errors import BusyError, InputError, NotFoundError
from agd.filters import Filter
from agd.nets.threads import limited_threads
from agd.progress import Progress, silent
from agd.steps.data.compositions import counts_of
from agd.steps.data.known import filter_among
from agd.steps.data.names import check_name
from agd.steps.generation.tallying import Gathering, Keeping
from agd.views import ExpectedGeneration, FoundGeneration, Generation, NewGeneration, as_json, of_row
from agd.work.leases import performed
from agd.work.shelf import model_ref
from agd.work.workspace import Workspace

CHUNK = 32_768
"""Samples that are in memory at a time."""

MAX_SAMPLE = 2**31 - 2
"""Largest sample number: a dataset's lines and their number are kept in 32 bits."""

_WARM_UP = 256
_PROBE = 8_192
_STORING_S = 120e-6  # per composition, on one core


@dataclass(frozen=True, slots=True)
class GenerationPlan:
    """A generation that is asked for: samples `start` to `start + n - 1` of a generator's stream `seed`, and its name.

    Sample numbers begin at 0. `threads` are part of the recipe: they decide the order of sums, and with it, once in
    millions, a sample.

    Raises:
        InputError: the name is none for a dataset, or a sample number is beyond what a row can hold.
    """

    name: str
    generator_id: int
    n: int
    seed: int = 0
    start: int = 0
    keeping: Keeping = field(default_factory=Keeping)
    threads: int = 1

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.start < 0 or self.n < 1 or self.start + self.n - 1 > MAX_SAMPLE:
            last = self.start + self.n - 1
            raise InputError(f"samples {self.start:,} to {last:,}: they are numbered 0 to {MAX_SAMPLE:,}")

    def as_request(self) -> dict[str, Any]:
        """The plan in plain values of JSON."""
        return {**asdict(self), "keeping": self.keeping.as_request()}

    @classmethod
    def of_request(cls, request: Mapping[str, Any]) -> Self:
        """The plan that such values stand for."""
        return cls(**{**request, "keeping": Keeping.of_request(request["keeping"])})


def choose_generator(workspace: Workspace, word: str | None) -> AnyRow:
    """The generator of that id, or whose hash begins so; with None the only one of the record.

    Raises:
        NotFoundError: there is none.
        InputError: there are several; the message lists them.
    """
    with workspace.database.read() as tx:
        every = [row for row in models.models(tx) if row.kind == "generator"]
    by_id = [row for row in every if word is None or str(row.id) == word]
    found = by_id or [row for row in every if row.tensors_sha256.startswith(word or "")]
    if len(found) == 1:
        return found[0]
    if not every:
        raise NotFoundError("no generator in the record yet: train one with `agd train generator --dataset NAME`")
    listed = ", ".join(f"{row.plugin} {row.tensors_sha256[:12]} (id {row.id})" for row in found or every)
    if found:
        raise InputError(f"--generator {word or ''}".rstrip() + f": which one? There is {listed}")
    raise NotFoundError(f"--generator {word}: no generator has that id or a hash that begins so: there is {listed}")


def generate(workspace: Workspace, plan: GenerationPlan, *, progress: Progress = silent) -> FoundGeneration:
    """Store the samples of a plan as a dataset, or find it there.

    Rows, verdicts and stages are stored in one transaction at the end: what is killed leaves nothing.

    Raises:
        InputError: the name is taken by other content.
        NotFoundError: no generator has that id.
    """
    there, model, members = _look_up(workspace, plan)
    if there is not None:
        return there
    began = time.monotonic()
    gathering = Gathering(plan.keeping, _learned(members), _further(workspace, plan, model))
    new = jobs.NewJob("generate", f"generate {plan.name}", jobs.key_of("generate", _recipe_sha256(model, plan)))
    with performed(workspace, new, seed=plan.seed, threads=plan.threads) as activity_id:
        if activity_id is None:
            return _found(workspace, plan)
        _draw(workspace, plan, gathering, plan.n, progress)
        metrics = {**gathering.metrics(), **_recovery(gathering, members)}
        dataset = {
            "name": plan.name,
            "source": f"{model.plugin}, seed {plan.seed}, samples {plan.start:,} to {plan.start + plan.n - 1:,}",
            "source_sha256": model.tensors_sha256,
            "recipe_sha256": _recipe_sha256(model, plan),
            "property": None,
            "options": {**plan.keeping.as_json(), "metrics": metrics},
            "n_read": plan.n,
            "n_rejected": plan.n - gathering.n_samples_kept,
            "activity_id": activity_id,
        }
        generated = {
            "model_version_id": model.id,
            "seed": plan.seed,
            "first_sample": plan.start,
            "n_samples": plan.n,
        }
        with workspace.database.transaction() as tx:
            generations.bring(tx, _rows(gathering, progress))
            dataset_id = generations.store(tx, dataset, generated)
            if dataset_id is None:
                raise BusyError(f"another process has just stored dataset {plan.name!r}: run the command again")
            stages.store(tx, activity_id, gathering.stages())
            stages.store_refused(tx, activity_id, gathering.refused.rows())
            rule = (validity.RULE, validity.RULE_VERSION, validity.OPTIONS)
            n_new = generations.store_rows(tx, dataset_id, rule, activity_id)
            datasets.store_tally(tx, dataset_id, activity_id, gathering.n_kept)
            hashes.keep_dataset(tx, dataset_id)
            activities.finish(tx, activity_id)
    with workspace.database.transaction() as tx:
        datasets.analyse(tx, gathering.n_kept)
    seconds = round(time.monotonic() - began, 2)
    stored = as_json(describe(workspace, plan.name))
    return NewGeneration(**stored, was_there=False, dry_run=False, seconds=seconds, n_new_compositions=n_new)


def estimate(workspace: Workspace, plan: GenerationPlan) -> FoundGeneration | ExpectedGeneration:
    """What a plan would come to, judged by its first samples; nothing is stored. Raises as `generate` does."""
    there, model, members = _look_up(workspace, plan)
    if there is not None:
        return replace(there, dry_run=True)
    began = time.monotonic()
    known, further = _learned(members), _further(workspace, plan, model)
    n_probed = min(plan.n, _PROBE)
    _draw(workspace, plan, Gathering(plan.keeping, known, further), min(plan.n, _WARM_UP), silent)
    ready = time.monotonic()
    gathering = Gathering(plan.keeping, known, further)
    _draw(workspace, plan, gathering, n_probed, silent)
    per_sample_s = (time.monotonic() - ready + _STORING_S * gathering.n_kept) / n_probed
    return ExpectedGeneration(
        generation=plan.name,
        generator=model.plugin,
        generator_sha256=model.tensors_sha256,
        model_version_id=model.id,
        seed=plan.seed,
        first_sample=plan.start,
        n_samples=plan.n,
        options={**plan.keeping.as_json(), "metrics": gathering.metrics()},
        stages=dict(gathering.stages()),
        n_compositions=gathering.n_kept,
        n_probed=gathering.n_sampled,
        estimate_s=round(ready - began + per_sample_s * plan.n, 1),
        was_there=False,
        dry_run=True,
        seconds=None,
    )


def _look_up(workspace: Workspace, plan: GenerationPlan) -> tuple[FoundGeneration | None, AnyRow, Sequence[AnyRow]]:
    """The generation where it is there, its generator, and the members of that one's training set where it is not."""
    with workspace.database.read() as tx:
        model = models.find_model(tx, model_version_id=plan.generator_id)
        if model is None or model.kind != "generator":
            raise NotFoundError(f"no generator has id {plan.generator_id}: see `agd models`")
        if not _is_there(tx, plan.name, _recipe_sha256(model, plan)):
            return None, model, models.members_of(tx, model.training_set_id)
    return _found(workspace, plan), model, []


def _found(workspace: Workspace, plan: GenerationPlan) -> FoundGeneration:
    """The generation that is there."""
    there = as_json(describe(workspace, plan.name))
    return FoundGeneration(**there, was_there=True, dry_run=False, seconds=None)


def _further(workspace: Workspace, plan: GenerationPlan, model: AnyRow) -> Filter:
    """The filter that was asked for; known is what the generator was trained on. Raises as filter_among."""
    with workspace.database.read() as tx:
        recipes = known_datasets.of_training_set(tx, model.training_set_id)
        return filter_among(tx, plan.keeping.filter, recipes, f"generator {model.id}")


def _learned(members: Sequence[AnyRow]) -> Seen:
    """What a generator has learned from."""
    known = Seen()
    known.add(counts_of([member.reduced_formula for member in members if not member.is_held_out]))
    return known


def describe(workspace: Workspace, name: str) -> Generation:
    """A generation as the record has it; raises NotFoundError naming the near miss."""
    with workspace.database.read() as tx:
        found = generations.overview(tx, name)
        if not found:
            known = [row.generation for row in generations.overview(tx)]
            raise NotFoundError(f"no generation {name!r}{registry.suggestion(name, known)} (see `agd generations`)")
        return shown(tx, found[0])


def shown(tx: Transaction, row: AnyRow) -> Generation:
    """A row of the generations as it is shown."""
    return of_row(Generation, row, stages=generations.stages(tx, row.dataset_id))


def _recipe_sha256(model: AnyRow, plan: GenerationPlan) -> str:
    drawn = [plan.seed, plan.start, plan.n, plan.threads]
    parts = ["generation", model.recipe_sha256, model.tensors_sha256, *drawn, plan.keeping.as_json()]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _is_there(tx: Transaction, name: str, recipe_sha256: str) -> bool:
    """Whether the generation is there under that name; any other clash is an error."""
    named = datasets.find(tx, name=name)
    same = datasets.find(tx, recipe_sha256=recipe_sha256)
    if named is not None and (same is None or same.id != named.id):
        raise InputError(f"dataset {name!r} holds other content ({named.source}): give this generation another name")
    if same is not None and named is None:
        raise InputError(f"this generation is in the record already, as {same.name!r}: use that name")
    return same is not None


def _draw(workspace: Workspace, plan: GenerationPlan, gathering: Gathering, n: int, progress: Progress) -> None:
    """The first `n` samples of a plan, chunk by chunk; each depends on its number and the seed alone, not on chunks."""
    with workspace.database.read() as tx:
        ref = model_ref(tx, plan.generator_id)
    with limited_threads(plan.threads):
        generator = workspace.shelf.load(ref)
        for first, stop in pairwise([*range(plan.start, plan.start + n, CHUNK), plan.start + n]):
            gathering.take(first, generator.sample(first, stop - first, seed=plan.seed))
            progress(stop - plan.start, n, f"{len(gathering.tally):,} distinct")


def _recovery(gathering: Gathering, members: Sequence[AnyRow]) -> dict[str, float]:
    """Which share of the generator's data set it found again: of what was not held out, of what was, of its valid part.

    What the rule of validity refuses counts among the first two, whether or not the generator learned from it.
    """
    found = {}
    for name, is_held_out in (("recovery_trained", False), ("recovery_held_out", True)):
        counts = counts_of([member.reduced_formula for member in members if member.is_held_out == is_held_out])
        if len(counts):
            found[name] = gathering.tally.n_met(counts) / len(counts)
        if is_held_out and len(valid := counts[validity.assess(counts).is_valid]):
            found["recovery_held_out_valid"] = gathering.tally.n_met(valid) / len(valid)
    return found


def _rows(gathering: Gathering, progress: Progress) -> Iterator[GeneratedRow]:
    """The kept compositions, named block by block."""
    n_done, n_kept = 0, gathering.n_kept
    for batch in gathering.batches:
        counts = batch.counts
        named = identify(counts)
        columns = (
            named.reduced_formula,
            named.chemical_system,
            named.anonymous_formula,
            named.n_elements.tolist(),
            named.n_atoms.tolist(),
            batch.samples.tolist(),
            spell(counts),
            gathering.tally.n_samples[batch.places].tolist(),
        )
        verdicts = zip(batch.is_neutral.tolist(), batch.is_balanced.tolist(), strict=True)
        spoken = zip(batch.is_applicable.tolist(), verdicts, strict=True)
        for row, (speaks, verdict) in zip(zip(*columns, strict=True), spoken, strict=True):
            yield GeneratedRow(*row, *(verdict if speaks else (None, None)))
        n_done += len(counts)
        progress(n_done, n_kept, "compositions stored")
