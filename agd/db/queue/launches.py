"""A launch in the queue's documents, as FireWorks writes it: one statement to claim a firework, one to end its launch.

Both do what is usual and refuse the rest, for FireWorks' own general way to do: a firework that was launched before, is
compared with others or watched, a workflow where something failed, an action that changes other fireworks. Rows are
locked in one order (firework, workflow, counter), and who holds the counter waits for no other row, unless it could not
draw its numbers aside: in a deadlock with such a transaction the server undoes one side.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import errors

from agd.db.queue.conditions import Bound, Condition, SortKey, is_impossible, is_pinned
from agd.db.queue.pool import Session
from agd.db.queue.statements import LOCKED, SKIPPING, Collection, Found, Stored


@dataclass(frozen=True, slots=True)
class Shelf:
    """The collections of a launchpad; `launch_indexes` are the unique ones of launches, all of them on `launch_id`."""

    fireworks: Collection
    workflows: Collection
    launches: Collection
    counters: Collection
    launch_indexes: tuple[str, ...]

    def values(self) -> dict[str, Any]:
        """Ids and versions as the statements name them."""
        known = {
            "fireworks": self.fireworks,
            "workflows": self.workflows,
            "launches": self.launches,
            "counters": self.counters,
        }
        return {
            **{name: collection.id for name, collection in known.items()},
            "ids": [collection.id for collection in known.values()],
            "versions": [collection.version for collection in known.values()],
        }


@dataclass(frozen=True, slots=True)
class Place:
    """Where the documents of a launch are: positions in their collections."""

    fw_id: int
    launch_id: int
    firework: int
    workflow: int
    launch: Found


@dataclass(frozen=True, slots=True)
class Claimed:
    """A firework as it was when it was claimed."""

    firework: Found
    place: Place


# What a workflow's document must be for its state to follow from it alone: {node} is the firework's id as text.
_PLAIN_FLOW = """NOT w.body ? 'locked'
    AND jsonb_typeof(w.body -> 'links') = 'object' AND jsonb_typeof(w.body -> 'parent_links') = 'object'
    AND jsonb_typeof(w.body -> 'fw_states') = 'object' AND w.body -> 'fw_states' ? {node}
    AND NOT jsonb_path_exists(w.body, '$.fw_states.* ? (@ == "FIZZLED")')"""

# A unique index that was declared meanwhile is not known to the caller.
_CURRENT = """(SELECT count(*) = cardinality(%(ids)s::bigint[]) FROM queue.collection c
            JOIN unnest(%(ids)s::bigint[], %(versions)s::bigint[]) AS k (id, version)
              ON k.id = c.id AND k.version = c.version)"""


def _is_waiting(parents: str, states: str) -> str:
    """Whether one of the parents, a JSON list of ids, is not completed."""
    return f"""EXISTS (SELECT FROM jsonb_path_query({parents}, '$[*]') AS p (id)
            WHERE {states} ->> (p.id #>> ARRAY[]::text[]) IS DISTINCT FROM 'COMPLETED')"""


def _write(collection: str, source: str, position: str, newer: str) -> str:
    """Set fields of a document; they are in `newer` until the next whole write brings them into the BSON."""
    return f"""UPDATE queue.document d
    SET body = d.body || n.newer, newer = coalesce(d.newer, jsonb_build_object()) || n.newer, revision = d.revision + 1
    FROM {source}, LATERAL (SELECT {newer}) AS n (newer)
    WHERE d.collection_id = %({collection})s AND d.position = {position}"""


# The state as Workflow.state of FireWorks has it where nothing is FIZZLED.
_MARK = _write(
    "workflows",
    "plain f",
    "f.position",
    """jsonb_build_object('fw_states', f.states, 'updated_on', jsonb_build_object('$date', %(now_ms)s::bigint), 'state',
        (SELECT CASE
            WHEN bool_and(e.value = 'COMPLETED') FILTER (WHERE f.links -> e.key = '[]') THEN 'COMPLETED'
            WHEN bool_and(e.value = 'ARCHIVED') THEN 'ARCHIVED'
            WHEN bool_or(e.value = 'DEFUSED') THEN 'DEFUSED'
            WHEN bool_or(e.value = 'PAUSED') THEN 'PAUSED'
            WHEN bool_or(e.value IN ('COMPLETED', 'RUNNING')) THEN 'RUNNING'
            WHEN bool_or(e.value = 'RESERVED') THEN 'RESERVED' ELSE 'READY' END
         FROM jsonb_each_text(f.states) e))""",
)

_STATE = "jsonb_build_object('state', '{}', 'updated_on', %(now)s::text)"

_TAKE = _write(
    "fireworks",
    "picked p, counted k",
    "p.position",
    """jsonb_build_object('state', %(state)s::text, 'updated_on', %(now)s::text,
        'launches', jsonb_build_array(k.launch_id))""",
)


def _claiming(where: str, by: str, lock: str, unsure: str) -> str:
    """The statement that claims the first of the fireworks in their order; none of which `unsure` is true."""
    return f"""
WITH picked AS (
    SELECT d.position, d.id_key, d.revision, d.base_bson, d.newer,
           d.body -> 'fw_id' AS fw_id, d.body ->> 'fw_id' AS node,
           {_CURRENT}
           AND jsonb_typeof(d.body -> 'fw_id') = 'number' AND jsonb_typeof(d.body -> 'spec') = 'object'
           AND NOT d.body -> 'spec' ?| ARRAY['_dupefinder', '_trackers'] AND d.body -> 'state' = '"READY"'
           AND d.body -> 'launches' = '[]' AND d.body -> 'archived_launches' = '[]' AND NOT ({unsure}) AS is_plain
    FROM queue.document d WHERE {where} ORDER BY {by} LIMIT 1{lock}
), plain AS (
    SELECT w.position, w.body -> 'links' AS links,
           (w.body -> 'fw_states') || jsonb_build_object(p.node, %(state)s::text) AS states
    FROM picked p, queue.document w
    WHERE p.is_plain AND w.collection_id + 0 = %(workflows)s AND w.body -> 'nodes' @> p.fw_id
      AND {_PLAIN_FLOW.format(node="p.node")}
      AND NOT {_is_waiting("w.body -> 'parent_links' -> p.node", "(w.body -> 'fw_states')")}
    FOR NO KEY UPDATE OF w
), counted AS (
    UPDATE queue.document c
    SET body = c.body || jsonb_build_object('next_launch_id', (c.body ->> 'next_launch_id')::bigint + 1),
        newer = coalesce(c.newer, jsonb_build_object())
                || jsonb_build_object('next_launch_id', (c.body ->> 'next_launch_id')::bigint + 1),
        revision = c.revision + 1
    FROM plain WHERE c.collection_id = %(counters)s AND c.body ->> 'next_launch_id' ~ '^[0-9]+$'
      AND c.position = (SELECT min(position) FROM queue.document WHERE collection_id = %(counters)s)
    RETURNING (c.body ->> 'next_launch_id')::bigint - 1 AS launch_id
), taken AS (
    {_TAKE}
), marked AS (
    {_MARK} AND EXISTS (SELECT FROM counted)
), begun AS (
    INSERT INTO queue.document (collection_id, id_key, body, base_bson, newer)
    SELECT %(launches)s, %(id_key)s, %(body)s::jsonb || n.newer, %(bson)s, n.newer
    FROM picked p, counted k, LATERAL (SELECT jsonb_build_object('fw_id', p.fw_id, 'launch_id', k.launch_id))
      AS n (newer)
    RETURNING position
), keyed AS (
    INSERT INTO queue.unique_key (collection_id, id_key, index_name, key)
    SELECT %(launches)s, %(id_key)s, i.name, '[' || k.launch_id || ']'
    FROM counted k, unnest(%(indexes)s::text[]) AS i (name)
)
SELECT p.position, p.id_key, p.revision, p.base_bson, p.newer, p.fw_id, k.launch_id, f.position, b.position,
       CASE WHEN p.position IS NULL THEN EXISTS (SELECT FROM queue.document d WHERE {where}) END
FROM (VALUES (1)) AS one LEFT JOIN picked p ON true LEFT JOIN counted k ON true LEFT JOIN plain f ON true
LEFT JOIN begun b ON true"""


def claim(
    session: Session,
    shelf: Shelf,
    condition: Condition,
    order: tuple[SortKey, ...],
    launch: Stored,
    moment: Mapping[str, Any],
) -> Claimed | bool:
    """Give the first firework that nobody else is claiming the state of `moment` and a `launch` that it numbers.

    Else whether there is one at all: False where none meets the condition.
    """
    if is_impossible(condition):
        return False
    values = {**shelf.values(), **moment, "collection": shelf.fireworks.id, "indexes": list(shelf.launch_indexes)}
    bound = Bound(values | {"id_key": launch.id_key, "body": launch.body, "bson": launch.bson})
    where, pin = bound.where(condition)
    odd, by = bound.order(order, pin)
    lock = LOCKED if is_pinned(condition) else SKIPPING
    statement = _claiming(where, by, lock, f"{odd} OR {bound.has_lists(condition)}")
    row = _row(session, statement, bound.values)
    if row is None:
        return True
    *found, fw_id, launch_id, workflow, launch_position, is_held = row
    if launch_id is None:
        return bool(found[0] is not None or is_held)
    position, id_key, revision, bson, newer = found
    new = Found(launch_position, launch.id_key, 0, launch.bson, {"fw_id": fw_id, "launch_id": launch_id})
    return Claimed(Found(position, id_key, revision, bson, newer), Place(fw_id, launch_id, position, workflow, new))


_END = f"""
WITH flow AS (
    SELECT w.position, w.body -> 'links' AS links, w.body -> 'parent_links' AS parents,
           w.body -> 'links' -> %(node)s::text AS children,
           (w.body -> 'fw_states') || jsonb_build_object(%(node)s::text, 'COMPLETED') AS states
    FROM queue.document w
    WHERE w.collection_id = %(workflows)s AND w.position = %(workflow)s AND {_CURRENT}
      AND {_PLAIN_FLOW.format(node="%(node)s::text")}
      AND (w.body -> 'links' -> %(node)s::text = '[]' OR NOT %(changes_children)s)
    FOR NO KEY UPDATE OF w
), own AS (
    SELECT d.position FROM flow, queue.document d
    WHERE d.collection_id = %(fireworks)s AND d.position = %(firework)s AND d.body -> 'state' = '"RUNNING"'
      AND d.body -> 'launches' = jsonb_build_array(%(launch_id)s::bigint)
      AND NOT EXISTS (SELECT FROM queue.document o WHERE o.collection_id + 0 = %(fireworks)s
                      AND o.body -> 'launches' @> to_jsonb(%(launch_id)s::bigint) AND o.position <> d.position)
    FOR NO KEY UPDATE OF d
), ended AS (
    SELECT l.position FROM own, queue.document l
    WHERE l.collection_id = %(launches)s AND l.position = %(launch)s AND l.revision = %(revision)s
    FOR NO KEY UPDATE OF l
), child AS (
    SELECT d.position, d.body ->> 'fw_id' AS node,
           d.body -> 'state' = '"WAITING"' AND d.body -> 'launches' = '[]' AS is_plain,
           NOT {_is_waiting("f.parents -> (d.body ->> 'fw_id')", "f.states")} AS is_ready
    FROM ended, flow f, jsonb_path_query(f.children, '$[*]') AS k (id), queue.document d
    WHERE d.collection_id = %(fireworks)s AND d.body -> 'fw_id' = k.id
    FOR NO KEY UPDATE OF d
), plain AS (
    SELECT f.position, f.links, f.states || coalesce(
               (SELECT jsonb_object_agg(node, 'READY') FROM child WHERE is_ready), jsonb_build_object()) AS states
    FROM ended, flow f
    WHERE (SELECT count(*) FROM child WHERE is_plain) = jsonb_array_length(f.children)
), done AS (
    {_write("fireworks", "plain", "%(firework)s", _STATE.format("COMPLETED"))}
), freed AS (
    {_write("fireworks", "plain, child c", "c.position", _STATE.format("READY"))} AND c.is_ready
), marked AS (
    {_MARK}
), told AS (
    UPDATE queue.document l SET body = %(body)s::jsonb, base_bson = %(bson)s, newer = NULL, revision = l.revision + 1
    FROM plain WHERE l.collection_id = %(launches)s AND l.position = %(launch)s
)
SELECT count(*) FROM plain"""


def complete(
    session: Session, shelf: Shelf, place: Place, launch: Stored, moment: Mapping[str, Any], *, changes_children: bool
) -> bool:
    """Write a completed launch, and what its firework, the children that waited for it, and its workflow become.

    False, and nothing is written, where the launch is not as `place` has it or more is to be done.
    """
    values = {
        **shelf.values(),
        **moment,
        "node": str(place.fw_id),
        "launch_id": place.launch_id,
        "firework": place.firework,
        "workflow": place.workflow,
        "launch": place.launch.position,
        "revision": place.launch.revision,
        "changes_children": changes_children,
        "body": launch.body,
        "bson": launch.bson,
    }
    row = _row(session, _END, values)
    return row is not None and row[0] == 1


def _row(session: Session, statement: str, values: Mapping[str, Any]) -> Sequence[Any] | None:
    """The one row of a statement, None where a deadlock undid it, or a launch that has the number already."""
    try:
        return session.execute(statement, values, binary=True).fetchone()
    except (errors.DeadlockDetected, errors.UniqueViolation):
        return None
