"""The one door for what the record's triggers refuse: a row says why, and opens it for one transaction."""

from sqlalchemy import Connection, text


def open_removal(tx: Connection, reason: str) -> int | None:
    """Let this transaction remove and change rows; the id of the row that says why.

    None where the schema is older than its triggers, and nothing is refused.
    """
    if tx.scalar(text("SELECT to_regprocedure('agd_open_removal(text)')")) is None:
        return None
    return int(tx.execute(text("SELECT agd_open_removal(:reason)"), {"reason": reason}).scalar_one())
