"""The `changes` command: what has been written to corrections, to be looked at and taken back."""

from api.client.connection import connect
from api.client.lists import Limit, Pages, most_of, show_list
from api.client.options import Json


def changes(limit: Limit = None, as_json: Json = False) -> None:
    """List the changes of corrections, the newest first. `mfa correct --undo ID` takes one back."""
    with connect() as client:
        show_list(
            Pages(client.list_changes, most_of(limit)),
            ("id", "by", "from", "track", "library", "labels", "standing", "note", "made"),
            lambda change: (
                change.id,
                change.author,
                change.origin,
                change.path,
                change.library,
                change.entries,
                change.standing,
                change.note,
                change.created_at,
            ),
            as_json=as_json,
            when_empty=lambda: "Nothing has been corrected yet: `mfa correct TRACK +jazz -rock` does it.",
        )
