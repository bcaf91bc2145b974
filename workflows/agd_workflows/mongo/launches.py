"""The short way through a launch: one statement claims a firework, one ends its launch.

What is not as usual is refused here, and goes FireWorks' own way. A launch under way is remembered by who claimed it,
so that nothing is read to say that it lives or has ended; where somebody else has written meanwhile, it is forgotten.
"""

import copy
import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId
from bson.errors import BSONError
from fireworks import Firework, FWAction, FWorker, LaunchPad
from fireworks.core import launchpad as fireworks_launchpad
from fireworks.core.firework import Launch
from fireworks.utilities.fw_serializers import recursive_dict
from pymongo.errors import PyMongoError

from agd.db.queue import launches as queue_launches
from agd.db.queue import statements
from agd.db.queue.launches import Claimed, Place, Shelf
from agd_workflows.mongo.documents import load, store
from agd_workflows.mongo.filters import translate, translate_sort

_FRESH_S = 0.5
"""Who was heard of so lately need not say again that it lives: what is that short takes no statement more."""

_REMEMBERED = 64
"""How many launches that are over: no more than threads that launch."""

_BEGUN = {"_task_n": 0, "_all_stored_data": {}, "_all_update_spec": {}, "_all_mod_spec": []}
"""The checkpoint with which FireWorks' rocket begins; written with the claim."""


@dataclass(slots=True)
class _UnderWay:
    launch: Launch
    identity: ObjectId
    place: Place
    told_s: float


class Launches:
    """The launches that this launchpad claimed; its threads may call."""

    def __init__(self, launchpad: LaunchPad) -> None:
        self._launchpad = launchpad
        self._pool = launchpad.connection.pool
        self._under_way: dict[int, _UnderWay] = {}
        self._over: deque[int] = deque(maxlen=_REMEMBERED)
        self._guard = threading.RLock()

    def claim(
        self, fworker: FWorker, launch_dir: str, fw_id: int | None, host: str | None, ip: str | None, state: str
    ) -> tuple[Firework, int] | tuple[None, None] | None:
        """As checkout_fw, None where that is to be called."""
        wanted, order = translate(_query(fworker, fw_id)), translate_sort([] if fw_id else _sort())
        shelf = self._shelf()
        if self._pool.is_whole or shelf is None or order is None or not wanted.is_whole:
            return None
        launch = Launch(state, launch_dir, fworker, host, ip)
        if state == "RUNNING":
            launch.touch_history(checkpoint=recursive_dict(_BEGUN))
        identity = ObjectId()
        stored = store({"_id": identity, **launch.to_db_dict()})
        moment = {"state": state, **_moment()}
        told_s = time.monotonic()
        claimed = self._pool.run(
            lambda session: queue_launches.claim(session, shelf, wanted.condition, order, stored, moment),
            is_repeatable=True,
        )
        if not isinstance(claimed, Claimed):
            return None if claimed else (None, None)
        launch.fw_id, launch.launch_id = claimed.place.fw_id, claimed.place.launch_id
        try:
            document = load(claimed.firework)
            firework = Firework.from_dict({**document, "state": state, "updated_on": moment["now"], "launches": []})
        except Exception:  # noqa: BLE001  whatever its tasks raise: FireWorks finds it again and says so in its way
            self._give_back(claimed.place)
            return None
        firework.launches.append(launch)
        self.note(launch.launch_id, is_over=False)
        self._launchpad.backup_launch_data[launch.launch_id] = launch.to_db_dict()
        self._launchpad.backup_fw_data[fw_id] = firework.to_db_dict()
        if state == "RUNNING":
            own = copy.copy(launch)
            own.state_history = copy.deepcopy(launch.state_history)  # the caller's stays as it was when it was claimed
            self._under_way[launch.launch_id] = _UnderWay(own, identity, claimed.place, told_s)
        return firework, launch.launch_id

    def _give_back(self, place: Place) -> None:
        def work() -> None:
            self._launchpad.launches.delete_one({"launch_id": place.launch_id})
            self._launchpad.fireworks.update_one({"fw_id": place.fw_id}, {"$set": {"state": "READY", "launches": []}})
            self._launchpad.workflows.update_one(
                {"nodes": place.fw_id}, {"$set": {f"fw_states.{place.fw_id}": "READY"}}
            )

        self._pool.whole(work)

    def tell(self, launch_id: int, checkpoint: Any) -> bool:
        """As ping_launch at this moment, False where that is to be called."""
        with self._guard:
            if launch_id in self._over:  # FireWorks' heartbeat beats once more when it is told to stop
                return True
            known = self._under_way.get(launch_id)
            if known is None or self._pool.is_whole:
                return False
            history, checkpoint = known.launch.state_history[-1], recursive_dict(checkpoint)
            is_news = bool(checkpoint) and checkpoint != history.get("checkpoint")
            if not is_news and time.monotonic() - known.told_s < _FRESH_S:
                return True
            known.launch.touch_history(checkpoint=checkpoint)
            stored = store({"_id": known.identity, **known.launch.to_db_dict()})
            collection = self._launchpad.launches._store.known()  # noqa: SLF001  our own collection's
            change, told_s = [(known.place.launch, stored)], time.monotonic()
            if not self._pool.run(lambda session: statements.update(session, collection, change)):
                del self._under_way[launch_id]
                return False
            known.place = replace(known.place, launch=known.place.launch.after(stored))
            known.told_s = told_s
            return True

    def end(self, launch_id: int, action: FWAction | None, state: str) -> dict[str, Any] | None:
        """As complete_launch, None where that is to be called."""
        with self._guard:
            known, shelf = self._under_way.pop(launch_id, None), self._shelf()
            if known is None or shelf is None or self._pool.is_whole or state != "COMPLETED" or not _is_plain(action):
                return None
            assert action is not None  # noqa: S101  that is not plain
            known.launch.state, known.launch.action = state, action
            try:
                stored = store({"_id": known.identity, **known.launch.to_db_dict()})
            except (BSONError, PyMongoError, OverflowError, ValueError):
                return None
            changes_children, moment = bool(action.update_spec or action.mod_spec), _moment()
            is_done = self._pool.run(
                lambda session: queue_launches.complete(
                    session, shelf, known.place, stored, moment, changes_children=changes_children
                ),
                is_repeatable=True,
            )
            if not is_done:
                return None
            self.note(launch_id, is_over=True)
            self._launchpad.backup_launch_data.pop(launch_id, None)
            told: dict[str, Any] = known.launch.to_dict()
            return told

    def note(self, launch_id: int, *, is_over: bool) -> None:
        """Know that a launch began or ended; after a reset of the queue its number may be one that was known before."""
        with self._guard:
            if launch_id in self._over:
                self._over.remove(launch_id)
            if is_over:
                self._over.append(launch_id)

    def _shelf(self) -> Shelf | None:
        """The collections, None where they have unique indexes that FireWorks does not declare."""
        names = ("fireworks", "workflows", "launches", "fw_id_assigner")
        fireworks, workflows, launches, counters = (
            getattr(self._launchpad, name)._store  # noqa: SLF001  our own collection's
            for name in names
        )
        on_launch_id = launches.unique_on("launch_id")
        if fireworks.unique_on("fw_id") is None or on_launch_id is None or workflows.unique_on("") != ():
            return None
        return Shelf(fireworks.known(), workflows.known(), launches.known(), counters.known(), on_launch_id)


def _query(fworker: FWorker, fw_id: int | None) -> dict[str, Any]:
    """What `LaunchPad._get_a_fw_to_run` looks for."""
    return {"fw_id": fw_id, "state": {"$in": ["READY", "RESERVED"]}} if fw_id else {**fworker.query, "state": "READY"}


def _sort() -> list[tuple[str, int]]:
    """The order in which `LaunchPad._get_a_fw_to_run` takes them."""
    then = {"FIFO": [("created_on", 1)], "FILO": [("created_on", -1)]}
    return [("spec._priority", -1), *then.get(fireworks_launchpad.SORT_FWS.upper(), [])]


def _is_plain(action: FWAction | None) -> bool:
    """Whether an action leaves the workflow as it is, but for what it may say to its children."""
    return action is not None and not (
        action.additions or action.detours or action.append_wfs or action.defuse_children or action.defuse_workflow
    )


def _moment() -> dict[str, Any]:
    now = datetime.now(UTC)
    return {"now": now.isoformat(), "now_ms": int(now.timestamp() * 1000)}
