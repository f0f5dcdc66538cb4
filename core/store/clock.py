"""Durations in SQL: no other clock than the database's decides about leases and ages."""

from typing import Any

from sqlalchemy import ColumnElement, Interval, func, literal


def seconds(value: float) -> ColumnElement[Any]:
    """An interval of `value` seconds."""
    return func.make_interval(0, 0, 0, 0, 0, 0, literal(value), type_=Interval())
