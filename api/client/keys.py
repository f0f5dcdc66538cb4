"""The `keys` commands."""

from typing import Annotated

import typer

from api import schemas
from api.client import display
from api.client.connection import connect
from api.client.first_key import reset_key
from api.client.options import Json
from api.client.references import HELP, find_key
from core.scopes import Scope
from core.settings import get_settings

app = typer.Typer(
    no_args_is_help=True,
    help="Create, list, revoke and reset API keys. The first one: `mfa keys reset` on the server.",
)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="To recognise the key by.")],
    scope: Annotated[Scope, typer.Option(help="Each includes the ones before it.")] = Scope.WRITE,
    days: Annotated[int | None, typer.Option(help="Days until it expires.", min=1)] = None,
    as_json: Json = False,
) -> None:
    """Create a key and print it, this once."""
    with connect() as client:
        key = client.create_key(schemas.ApiKeyRequest(name=name, scope=scope, expires_in_days=days))
    display.errors.print("Nobody can look this key up again; set it as MFA_API_KEY.")
    if as_json:
        display.show_json(key)
    else:
        display.say(key.key)


@app.command("list")
def list_keys(as_json: Json = False) -> None:
    """List all keys."""
    with connect() as client:
        found = client.list_keys()
    if as_json:
        display.show_json(found)
        return
    if not found:
        display.note("There are no keys yet: `mfa keys create NAME` makes one.")
        return
    display.show_table(
        "",
        ("id", "name", "starts with", "scope", "created", "state"),
        (
            (
                key.id,
                key.name,
                display.Name(f"mfa_{key.prefix}"),
                display.Name(key.scopes[-1]),
                key.created_at,
                state_of(key),
            )
            for key in found
        ),
    )


def state_of(key: schemas.ApiKey) -> str:
    if key.revoked_at:
        return f"revoked {display.date_of(key.revoked_at)}"
    return f"until {display.date_of(key.expires_at)}" if key.expires_at else "valid"


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help=f"{HELP}.")],
    as_json: Json = False,
) -> None:
    """Refuse a key from now on."""
    with connect() as client:
        key = client.revoke_key(find_key(client, key_id))
    display.show_answer(key, f"The key {key.name} is revoked.", as_json=as_json)


@app.command()
def reset() -> None:
    """On the server, without a key: print a new one with the scope admin, and revoke all others of it."""
    key = reset_key(get_settings())
    display.errors.print("All other keys with the scope admin are revoked. Set this one as MFA_API_KEY.")
    display.say(key)
