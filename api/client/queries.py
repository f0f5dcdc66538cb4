"""The `queries` commands: searches of tracks that are saved under a name."""

import shlex
from typing import Annotated
from urllib.parse import parse_qs, urlencode

import typer
from pydantic import TypeAdapter, ValidationError

from api import schemas
from api.client import display
from api.client.connection import connect
from api.client.http import Client, UsageError
from api.client.options import Json, Yes
from api.schemas.queries import QueryName
from core.output.command_group import plain

app = typer.Typer(help="List the saved queries of tracks; remove one.")
REPEATED = ("genre", "not_genre")


@app.callback(invoke_without_command=True)
def queries(context: typer.Context, as_json: Json = False) -> None:
    """List the saved queries of tracks; remove one."""
    if as_json and context.invoked_subcommand:
        raise UsageError(f"Write --json after `{context.invoked_subcommand}`.")
    if context.invoked_subcommand is None:
        with connect() as client:
            show_queries(client.list_queries(), as_json=as_json)


def show_queries(found: list[schemas.SavedQuery], *, as_json: bool) -> None:
    if as_json:
        display.show_json(found)
    elif found:
        display.show_table(
            "",
            ("name", "query", "saved"),
            ((display.Name(each.name), each.query, each.updated_at) for each in found),
        )
    else:
        display.note("No query is saved yet: `mfa tracks sad:0.4.. --save-as NAME` saves one.")


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="Name of the query.")], yes: Yes = False, as_json: Json = False
) -> None:
    """Forget a saved query; the tracks that it finds stay."""
    check_name(name)
    with connect() as client:
        if not yes:
            typer.confirm(f"Forget the query {name}?", abort=True, err=True)
        client.delete_query(name)
    display.show_answer(None, f"The query {name} is removed.", as_json=as_json)


def check_name(name: str) -> str:
    """Raises UsageError for what can be the name of no query."""
    try:
        return str(TypeAdapter(QueryName).validate_python(name))
    except ValidationError as error:
        raise UsageError(f"{name!r} names no query: {plain(error.errors()[0]['msg'])}.") from None


def save(client: Client, name: str, query: dict[str, object]) -> None:
    """`query` as in `GET /tracks`; None where it does not say."""
    given = {key: value for key, value in query.items() if value is not None}
    client.save_query(name, urlencode(given, doseq=True))
    display.note(f"The query is saved: `mfa tracks --query {shlex.quote(name)}` runs it again.")


def read(client: Client, name: str) -> dict[str, str | list[str]]:
    """The parameters of `GET /tracks` in a saved query; those that may be repeated as lists."""
    saved = parse_qs(client.get_query(check_name(name)).query)
    return {key: values if key in REPEATED else values[0] for key, values in saved.items()}
