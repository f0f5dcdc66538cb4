"""Which tracks are meant, by the parameters of `GET /tracks`, and as text in an address."""

from collections.abc import Iterable
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode

from pydantic import Field, ValidationError

from core.areas import AREA
from core.config.base import Config
from core.errors import Invalid
from core.states import TrackOrder

SUFFIX = r"^\.?[A-Za-z0-9_~+-]{1,10}$"
MOST_PARAMETERS = 100
QUERY_CHARACTERS = 8000
_REPEATED = ("genre", "not_genre")

Genres = Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=20)]


class TrackQuery(Config):
    """Which tracks are meant, as for `GET /tracks`; all that is given must hold."""

    genre: Annotated[str, Field(max_length=200)] | Genres | None = Field(
        default=None,
        description="one label, or several, all of which the tracks have; `sad:0.4..` for a range of scores",
    )
    not_genre: Genres = Field(default=[])
    min_score: float | None = Field(default=None, ge=0, le=1)
    max_score: float = Field(default=1.0, ge=0, le=1)
    library: str | None = Field(default=None, max_length=200)
    path: str | None = Field(default=None, max_length=4096)
    q: str | None = Field(default=None, max_length=200)
    text: str | None = Field(default=None, max_length=200)
    suffix: str | None = Field(default=None, pattern=SUFFIX)
    year: int | None = Field(default=None, ge=0, le=9999)
    unreadable_tags: bool = False
    missing: bool = False
    corrected: bool | None = None
    unsure: bool = False
    area: str | None = Field(default=None, pattern=AREA)
    model: str = Field(default="default", max_length=200)


class TrackListing(TrackQuery):
    """Which tracks are listed, and in which order."""

    sort: TrackOrder | None = None


def read_query(text: str) -> TrackListing:
    """The parameters in a text, of which blank ones are left out, as forms send them.

    Raises Invalid with what is wrong in a sentence.
    """
    try:
        pairs = parse_qsl(text.removeprefix("?"), max_num_fields=MOST_PARAMETERS, errors="strict")
        return TrackListing.model_validate(_by_name(pairs))
    except ValidationError as wrong:
        mistake = wrong.errors(include_input=False, include_url=False)[0]
        raise Invalid(f"The query has a wrong `{mistake['loc'][0]}`: {mistake['msg']}.") from None
    except ValueError as wrong:
        raise Invalid(f"The query cannot be read: {wrong}.") from None


def _by_name(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name not in TrackListing.model_fields:
            raise Invalid(f"A query of tracks has no parameter {name!r}; `GET /tracks` has all there are.")
        if "\0" in value:
            raise Invalid(f"`{name}` of the query cannot contain a NUL character.")
        if name in _REPEATED:
            values.setdefault(name, []).append(value)
        elif name in values:
            raise Invalid(f"The query names `{name}` more than once.")
        else:
            values[name] = value
    return values


def write_query(listing: TrackListing) -> str:
    """The text of a query, without what is as it is by default."""
    values = listing.model_dump(mode="json", exclude_defaults=True)
    return urlencode(
        {name: str(value).lower() if isinstance(value, bool) else value for name, value in values.items()},
        doseq=True,
    )
