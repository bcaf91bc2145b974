"""What the queue says that the record does not, for `agd doctor`."""

from collections.abc import Iterator

from agd.db.connection import Transaction
from agd.db.record import campaigns
from agd.errors import AgdError
from agd.steps import requests
from agd.steps.upkeep.examining import Finding, Site
from agd.work.workspace import Workspace
from agd_workflows.launching import open_queue
from agd_workflows.reconciling import Reconciler
from agd_workflows.task_runs import ENGINE


def queue_against_record(site: Site, tx: Transaction) -> Iterator[Finding]:
    """Everything that a pass of `agd reconcile` would mend; nothing is opened where there is nothing for the queue."""
    rows = campaigns.open_on(tx, ENGINE)
    if not rows and not requests.left(tx):
        return
    workspace = Workspace(site.database, site.artifacts, site.settings.pace)
    try:
        mended = Reconciler(workspace, open_queue(workspace, site.settings), is_dry=True).look()
    except AgdError as error:
        yield Finding("error", "queue", str(error), "start it, or correct AGD_LAUNCHPAD_URL")
        return
    for one in mended or []:
        yield Finding("warning", "queue", str(one), "`agd reconcile`, which every `agd worker` does, too")
    if mended is not None and not mended:
        yield Finding("ok", "queue", f"agrees with the record on {len(rows)} campaigns under way")
