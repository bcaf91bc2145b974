"""The metadata of the record, and columns that many tables have."""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Identity, MetaData

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


def row_id() -> Column[int]:
    """The number of a row, given by the database."""
    return Column("id", BigInteger, Identity(always=True), primary_key=True)


def ref(column: str, target: str, *, nullable: bool = False, primary_key: bool = False) -> Column[int]:
    """A reference to a row of another table."""
    return Column(column, BigInteger, ForeignKey(target), nullable=nullable, primary_key=primary_key)


def made_by() -> Column[int]:
    """The activity that made the row."""
    return Column("activity_id", BigInteger, ForeignKey("activity.id"), nullable=False)


def finite(column: str) -> CheckConstraint:
    """A value that is neither infinite nor NaN."""
    return CheckConstraint(f"{column} > '-Infinity' AND {column} < 'Infinity'", name=f"{column}_is_finite")
