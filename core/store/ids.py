"""Rows by the beginning of their id."""

from uuid import UUID

from sqlalchemy import ColumnElement
from sqlalchemy.orm import InstrumentedAttribute

from core.errors import Invalid

DIGITS = 32  # hexadecimal ones of an id


def id_starts_with(column: InstrumentedAttribute[UUID], prefix: str) -> ColumnElement[bool]:
    """Whether an id begins with `prefix`, digits and dashes: a range, which the index of the ids serves."""
    digits = prefix.replace("-", "")
    if len(digits) > DIGITS:
        raise Invalid(f"An id has {DIGITS} hexadecimal digits, and `id_prefix` more.")
    return column.between(UUID(digits.ljust(DIGITS, "0")), UUID(digits.ljust(DIGITS, "f")))
