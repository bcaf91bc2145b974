"""Answers of models of structures, as labels of the structures: asked for once, and then read."""

from collections.abc import Sequence

from agd.db.connection import AnyRow
from agd.db.record import activities, models, structure_models, structures
from agd.errors import InputError, NotFoundError
from agd.nets.threads import limited_threads
from agd.plausible import plausible_range
from agd.work.leases import recorded
from agd.work.workspace import Workspace

PROPERTY = "formation_energy"


def model_of_structures(workspace: Workspace, model: str | None = None) -> AnyRow | None:
    """The model version by its id or the beginning of its file's hash, or the newest; None where there is none.

    Raises:
        NotFoundError: none has that id or hash, or more than one.
        InputError: it is no model of structures, or of another property than the formation energy.
    """
    with workspace.database.read() as tx:
        if model is None:
            return structure_models.newest(tx, PROPERTY)
        every = models.models(tx)
        ids = [row.id for row in every if str(row.id) == model]
        ids = ids or [row.id for row in every if row.tensors_sha256.startswith(model)]
        if len(ids) != 1:
            raise NotFoundError(
                f"--model {model}: {len(ids)} models have that id, or a hash that begins so: see `agd models`"
            )
        found = models.find_model(tx, model_version_id=ids[0])
    assert found is not None  # noqa: S101  it is among them
    if found.kind != "structure_oracle" or found.property != PROPERTY:
        raise InputError(
            f"--model {model}: is of kind {found.kind}: take a model of structures that answers {PROPERTY} (`agd train "
            "structures`)"
        )
    return found


def answered(
    workspace: Workspace, model: AnyRow, structure_ids: Sequence[int]
) -> tuple[dict[int, float], dict[int, str]]:
    """What a model answers for structures, by their ids, and why it has no answer for some.

    It is asked for what is not there, which is kept.
    """
    wanted = list(dict.fromkeys(structure_ids))
    with workspace.database.read() as tx:
        known = structure_models.answers(tx, model, wanted)
        asked = structures.some(tx, [one for one in wanted if one not in known])
    if not asked:
        return known, {}
    refused: dict[int, str] = {}
    with recorded(workspace, "label structures") as activity_id:
        oracle = workspace.structure_oracle(model.id)
        rows, possible = [], plausible_range(model.property)
        with limited_threads(1):
            for one in asked.values():
                try:
                    said = oracle.label([one.structure])
                except InputError as error:
                    refused[one.id] = str(error)
                    continue
                value = float(said.values[0])
                if value not in possible:
                    refused[one.id] = f"{value:g} is no {model.property.replace('_', ' ')}"
                    continue
                rows.append(
                    {
                        "composition_id": one.composition_id,
                        "structure_id": one.id,
                        "property": model.property,
                        "value": value,
                        "uncertainty": float(said.uncertainties[0]),
                        "model_version_id": model.id,
                        "activity_id": activity_id,
                    }
                )
        with workspace.database.transaction() as tx:
            if rows:
                structure_models.store_answers(tx, rows)
            activities.finish(tx, activity_id)
    with workspace.database.read() as tx:
        return structure_models.answers(tx, model, wanted), refused
