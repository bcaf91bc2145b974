"""Who holds a lock that a connection waits for."""

from datetime import datetime

BLOCKER = """\
SELECT pid, application_name, coalesce(host(client_addr), ''), coalesce(xact_start, query_start) AT TIME ZONE 'UTC'
FROM pg_stat_activity WHERE pid = ANY (pg_blocking_pids({pid})) ORDER BY pid LIMIT 1
"""
"""Asks for the one that the backend `pid` waits for; it knows none where that waits for nobody."""


def blocked_by(pid: int, program: str | None, host: str, since: datetime | None) -> str:
    """Words on a row of it."""
    who = f"backend {pid} ({program or 'some program'}{f' on {host}' if host else ''})"
    when = "" if since is None else f", at work since {since:%H:%M:%S} UTC"
    return f"the database waits for a lock that {who} holds{when}: let that end, or SELECT pg_terminate_backend({pid})"
