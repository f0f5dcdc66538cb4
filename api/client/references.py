"""Ids as people give them: whole, by their beginning, or `last`."""

import re
from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID

import typer

from api import schemas
from api.client.http import Client, ClientError, UsageError
from api.client.lists import Pages

LAST = "last"
PREFIX = re.compile(r"[0-9a-f][0-9a-f-]{3,35}", re.IGNORECASE)
HELP = "Its id, the beginning of the id, or `last`"
Reference = Annotated[
    str | None, typer.Argument(metavar="[ID]", help=f"{HELP}; without it, list the newest.")
]

Listing = Callable[[int, str | None, str | None], schemas.Page[Any]]  # limit, cursor, beginning of an id


def find_job(client: Client, name: str) -> UUID:
    return _find("job", name, client.list_jobs)


def find_run(client: Client, name: str) -> UUID:
    return _find("run", name, client.list_runs)


def find_study(client: Client, name: str) -> UUID:
    return _find("study", name, client.list_studies)


def find_key(client: Client, name: str) -> UUID:
    def listing(limit: int, _: str | None, prefix: str | None) -> schemas.Page[schemas.ApiKey]:
        keys = [key for key in client.list_keys() if str(key.id).startswith((prefix or "").lower())]
        newest_first = sorted(keys, key=lambda key: key.created_at, reverse=True)
        return schemas.Page(items=newest_first[:limit])

    return _find("key", name, listing)


def find_change(client: Client, name: str) -> UUID:
    """Of corrections; `last` is the newest that stands and is no undo: one can go back step by step."""
    if name != LAST:
        return _find("change", name, client.list_changes)
    for change in Pages(client.list_changes):
        if change.standing and change.origin != "undo":
            return change.id
    raise ClientError("There is no change that could be taken back.")


def _find(noun: str, name: str, listing: Listing) -> UUID:
    try:
        return UUID(name)
    except ValueError:
        pass
    if name == LAST:
        newest = listing(1, None, None).items
        if not newest:
            raise ClientError(f"There is no {noun} yet.")
        return UUID(str(newest[0].id))
    if not PREFIX.fullmatch(name):
        raise UsageError(
            f"{name!r} names no {noun}: give its id, four or more characters of it, or `{LAST}`."
        )
    return only_one(noun, name, [each.id for each in listing(2, None, name).items])


def only_one(noun: str, prefix: str, ids: list[UUID]) -> UUID:
    """The id of several that begin alike, if there is one. Raises ClientError."""
    if not ids:
        raise ClientError(f"There is no {noun} whose id begins with {prefix}.")
    if len(ids) > 1:
        raise UsageError(f"Several ids begin with {prefix}, such as {ids[0]} and {ids[1]}: give more of it.")
    return ids[0]
