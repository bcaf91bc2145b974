"""Steps where the record is not in reach: prepared beside it, computed elsewhere, ingested with the same checks."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

import agd
from agd import errors
from agd.db.connection import Transaction
from agd.db.record import activities, campaigns
from agd.errors import BusyError, InputError, ModelError, NotFoundError, is_transient
from agd.nets.threads import limited_threads
from agd.progress import Progress, silent
from agd.spec import CampaignSpec
from agd.steps.campaign.campaigns import Campaign, CampaignStep, Step, amended, as_campaign, campaign_row, take
from agd.steps.campaign.kinds import STEPS
from agd.steps.campaign.stepping import finish, work_of
from agd.work import spool
from agd.work.leases import heartbeat, kept_error
from agd.work.shelf import Shelf
from agd.work.work import Work
from agd.work.workspace import Workspace
from agd.writing import check_folder

JOB, SPOOL, MODELS = "job.npz", "spool.npz", "artifacts"
"""In a step's folder: what is to be computed, what came of it, and the model files for both ways."""

Ingestion: TypeAlias = Literal["recorded", "recorded before", "failed"]


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of a spool file."""

    campaign: str
    step: Step
    what: Ingestion
    error: str | None = None

    def __str__(self) -> str:
        return f"{self.campaign}: {self.step} {self.what}{'' if self.error is None else f' ({self.error})'}"


def is_sent(campaign: Campaign, step: Step) -> bool:
    """Whether a step takes long enough to be sent away."""
    return STEPS[step.kind].takes_long(CampaignStep(campaign, step))


def prepare(workspace: Workspace, campaign: Campaign, step: Step, folder: Path, lease_s: float) -> bool:
    """Write what a step needs into a folder and lease it for `lease_s`; False where it is done already.

    The long lease begins once the folder is whole, so a process that dies before it leaves a short one.

    Raises:
        BusyError: somebody else is at work on the step.
        InputError: the folder holds another step.
    """
    if (folder / JOB).exists():
        raise InputError(f"{folder} holds a step already: ingest it, or choose an empty folder")
    work, task = work_of(campaign, step), CampaignStep(campaign, step)
    activity_id = take(workspace, campaign, step, seed=work.seed(task), lease_s=workspace.pace.lease_s)
    if activity_id is None:
        return False
    with kept_error(workspace, activity_id), heartbeat(workspace, activity_id):
        with workspace.database.read() as tx:
            inputs = work.read(tx, task)
            row = campaigns.find(tx, campaign.name)
        assert row is not None  # noqa: S101  campaigns are never removed
        about = {
            "campaign": campaign.name,
            "spec_sha256": row.spec_sha256,
            "spec": amended(row),
            "kind": step.kind,
            "iteration": step.iteration,
            "activity_id": activity_id,
            "launch": workspace.launch,
            "agd_version": agd.__version__,
        }
        parcel = spool.pack(about, inputs)
        for sha256 in parcel.model_files():
            _bring_model(sha256, workspace.artifacts, folder / MODELS, is_linked=True)
        folder.mkdir(parents=True, exist_ok=True)
        spool.write(folder / JOB, parcel)
    with workspace.database.transaction() as tx:
        if not activities.renew(tx, activity_id, lease_s):
            raise BusyError(f"{step} of campaign {campaign.name!r} was taken over while it was prepared in {folder}")
    return True


def compute(folder: Path, progress: Progress = silent) -> Path:
    """Compute a prepared step and write what came of it, or the error, beside it; the folder is all it needs.

    Raises:
        InputError: the folder holds no step, or one of another agd.
        AgdError: what the step raised; the spool file keeps it.
    """
    job = spool.read(folder / JOB)
    if job.about["agd_version"] != agd.__version__:
        raise InputError(f"{folder}: prepared by agd {job.about['agd_version']}, this is {agd.__version__}")
    spec = CampaignSpec.model_validate_json(json.dumps(job.about["spec"]))
    campaign, step = Campaign(0, job.about["campaign"], spec), Step(job.about["kind"], job.about["iteration"])
    work, task = work_of(campaign, step), CampaignStep(campaign, step)
    if _is_computed(folder, work, job):
        return folder / SPOOL
    check_folder(folder)
    about = {**job.about, "inputs_sha256": job.sha256, "worker": activities.worker()}
    try:
        with limited_threads(spec.threads):
            outputs = work.compute(Shelf(folder / MODELS), task, job.unpack(work.inputs), progress)
    except BaseException as error:
        words = {"error": f"{type(error).__name__}: {error}", "is_transient": is_transient(error)}
        spool.write(folder / SPOOL, spool.Parcel({**about, **words, **_now()}, {}, {}))
        raise
    spool.write(folder / SPOOL, spool.pack({**about, **_now()}, outputs))
    return folder / SPOOL


def ingest(workspace: Workspace, folder: Path) -> Ingested:
    """Record what a prepared step came to; ingested again, it changes nothing.

    Where its lease ran out meanwhile, it is recorded all the same while the step is not done, nobody is at it, and the
    record would hand it the same inputs again.

    Raises:
        InputError: the spool or its model is missing or damaged, or of another campaign, or the record has moved on.
        BusyError: somebody else is at work on the step.
    """
    parcel, job = spool.read(folder / SPOOL), spool.read(folder / JOB)
    about = parcel.about
    row = campaign_row(workspace, about["campaign"])
    if row.spec_sha256 != about["spec_sha256"] or about["inputs_sha256"] != job.sha256:
        raise InputError(f"{folder}: not of campaign {row.name!r} of this record, or not of the step beside it")
    campaign, step = as_campaign(row), Step(about["kind"], about["iteration"])
    work = work_of(campaign, step)
    standing = _standing(workspace, campaign, step, about["activity_id"])
    if standing == "done":
        return Ingested(campaign.name, step, "recorded before")
    if about.get("error") is not None:
        with workspace.database.transaction() as tx, suppress(BusyError):
            activities.fail(tx, about["activity_id"], about["error"], is_transient=about["is_transient"])
        return Ingested(campaign.name, step, "failed", about["error"])
    inputs, outputs = job.unpack(work.inputs), parcel.unpack(work.outputs)
    if (sha256 := getattr(outputs, "tensors_sha256", None)) is not None:
        try:
            _bring_model(sha256, folder / MODELS, workspace.artifacts)
        except ModelError as error:
            raise InputError(f"{folder}: {step} has to be computed again: {error}") from error
    activity_id = about["activity_id"] if standing == "running" else _take_again(workspace, campaign, step, job)
    if activity_id is None:
        return Ingested(campaign.name, step, "recorded before")
    with kept_error(workspace, activity_id), workspace.database.transaction() as tx:
        activities.hold(tx, activity_id)
        work.write(tx, CampaignStep(campaign, step), activity_id, inputs, outputs)
        activities.computed_by(tx, activity_id, about["worker"])
        finish(tx, campaign, activity_id)
    return Ingested(campaign.name, step, "recorded")


def give_up(workspace: Workspace, folder: Path) -> None:
    """End the lease that a folder's step was prepared under, if it still stands and the folder is of this record."""
    with suppress(InputError, NotFoundError):
        told = about(folder)
        row = campaign_row(workspace, told["campaign"])
        step, activity_id = Step(told["kind"], told["iteration"]), told["activity_id"]
        if (
            row.spec_sha256 == told["spec_sha256"]
            and _standing(workspace, as_campaign(row), step, activity_id) == "running"
        ):
            with workspace.database.transaction() as tx:
                activities.give_up(tx, activity_id)


def about(folder: Path) -> Mapping[str, Any]:
    """The words of a prepared step: campaign, kind, iteration, activity_id, launch and so on."""
    return spool.read(folder / JOB).about


def _standing(workspace: Workspace, campaign: Campaign, step: Step, activity_id: int) -> str:
    """How the attempt stands that the step was prepared by, "done" where any attempt succeeded."""
    with workspace.database.read() as tx:
        found = activities.find(tx, activity_id)
        if found is None or found.campaign_id != campaign.id or found.kind != step.kind:
            raise NotFoundError(f"the record of campaign {campaign.name!r} knows nothing of attempt {activity_id}")
        there = activities.standing_attempt(tx, step.kind, campaign.id, found.iteration_id)
    return "done" if there is not None and there.outcome == "done" else str(found.outcome)


def _take_again(workspace: Workspace, campaign: Campaign, step: Step, job: spool.Parcel) -> int | None:
    """Lease the step anew, for what was computed under a lease that is over."""
    work = work_of(campaign, step)
    with workspace.database.read() as tx:
        is_same = spool.pack({}, _read_again(tx, campaign, step)).sha256 == job.sha256
    if not is_same:
        raise InputError(
            f"{step} of campaign {campaign.name!r}: its lease ran out, and the record has changed since it was "
            "prepared: it has to be computed again"
        )
    seed = work.seed(CampaignStep(campaign, step))
    return take(workspace, campaign, step, seed=seed, lease_s=workspace.pace.lease_s)


def _read_again(tx: Transaction, campaign: Campaign, step: Step) -> object:
    try:
        return work_of(campaign, step).read(tx, CampaignStep(campaign, step))
    except (errors.AgdError, LookupError) as error:
        raise InputError(f"{step} of campaign {campaign.name!r} cannot be taken up again: {error}") from error


def _is_computed(folder: Path, work: Work[CampaignStep, Any, Any], job: spool.Parcel) -> bool:
    """Whether a whole spool of the step, with the model it names, is there."""
    from agd.nets.checkpoint import damage

    if not (folder / SPOOL).exists():
        return False
    try:
        parcel = spool.read(folder / SPOOL)
    except InputError:
        return False
    if parcel.about.get("error") is not None or parcel.about.get("inputs_sha256") != job.sha256:
        return False
    sha256 = getattr(parcel.unpack(work.outputs), "tensors_sha256", None)
    return sha256 is None or damage(folder / MODELS, sha256) is None


def _bring_model(sha256: str, source: Path, target: Path, *, is_linked: bool = False) -> None:
    """Put a verified model file into another folder, as a link where that is wanted and can be."""
    from agd.nets.checkpoint import load_tensors, place_file, tensors_path

    load_tensors(source, sha256)
    here, there = tensors_path(source, sha256), tensors_path(target, sha256)
    there.parent.mkdir(parents=True, exist_ok=True)
    if is_linked:
        with suppress(OSError):
            os.link(here, there)
    place_file(target, sha256, (path.read_bytes() for path in [here]))


def _now() -> dict[str, str]:
    return {"computed_at": datetime.now(UTC).isoformat()}
