"""Which tracks are meant, as query parameters."""

import re
import unicodedata
from typing import Annotated, Any

from fastapi import Depends, Query
from pydantic import Field

from api.deps import IdPrefix
from api.schemas.corrections import SUFFIX
from core.areas import AREA, parse_area
from core.errors import Invalid
from core.states import TrackOrder
from core.store.track_filters import TrackFilter

MOST_GENRES = 20
MOST_WORDS = 20
NO_LABELS: list[str] = []
LabelName = Annotated[str, Field(max_length=200)]
Order = Annotated[
    TrackOrder | None,
    Query(
        description="`score` of the first `genre`, `path` within the library, or `date` of the last "
        "change of the file, the newest first; by default `score` with a `genre`, else any order"
    ),
]
LibraryName = Annotated[str | None, Query(max_length=200, description="name of a library")]


async def get_wanted_tracks(
    genre: Annotated[
        list[LabelName],
        Query(
            max_length=MOST_GENRES,
            description="a label of the model, a label set or a correction; of several, tracks have all",
        ),
    ] = NO_LABELS,
    not_genre: Annotated[
        list[LabelName], Query(max_length=MOST_GENRES, description="labels that the tracks do not have")
    ] = NO_LABELS,
    min_score: Annotated[
        float | None,
        Query(
            ge=0,
            le=1,
            description="only with `genre`: its score by the model, unless a person gave it. The scores of "
            "all labels are stored, down to 0, so with a score below the label's threshold tracks are found, "
            "too, that the model does not give the label; by default only those that have it. Labels that "
            "exclude each other have no thresholds: a track is found by that of its highest score",
        ),
    ] = None,
    max_score: Annotated[
        float, Query(ge=0, le=1, description="only with `genre`: like `min_score`, the highest score")
    ] = 1.0,
    library: LibraryName = None,
    path: Annotated[str | None, Query(max_length=4096, description="relative to the library")] = None,
    q: Annotated[str | None, Query(max_length=200, description="part of the path, ignoring case")] = None,
    words: Annotated[
        str | None,
        Query(
            alias="text",
            max_length=200,
            description="beginnings of words that all occur in path, title, artists, album, composer, genre "
            "or date, ignoring case and accents",
        ),
    ] = None,
    suffix: Annotated[
        str | None,
        Query(pattern=SUFFIX, description="of the file, such as `.flac`"),
    ] = None,
    year: Annotated[int | None, Query(ge=0, le=9999, description="that the tag `date` begins with")] = None,
    corrected: Annotated[
        bool | None, Query(description="only tracks of whose labels people said something, or nothing")
    ] = None,
    unsure: Annotated[
        bool, Query(description="only tracks of which somebody could not tell whether they have a label")
    ] = False,
    missing: Annotated[
        bool, Query(description="tracks whose file is gone, instead of those that are there")
    ] = False,
    unreadable_tags: Annotated[bool, Query(description="only files whose tags cannot all be read")] = False,
    id_prefix: IdPrefix = None,
    area: Annotated[
        str | None,
        Query(
            pattern=AREA,
            description="of a map, as `MAP:x,y,x,y,...` with up to 100 corners: tracks that lie in it",
        ),
    ] = None,
) -> TrackFilter:
    """Raises Invalid for a text without words, and an area of other than pairs of numbers."""
    return TrackFilter(
        genre=genre[0] if genre else None,
        genres_too=tuple(genre[1:]),
        not_genres=tuple(not_genre),
        min_score=min_score,
        max_score=max_score,
        library=library,
        path=path,
        q=q,
        **of_file(words, suffix, year),
        corrected=corrected,
        unsure=unsure,
        missing=missing,
        unreadable_tags=unreadable_tags,
        id_prefix=id_prefix,
        area=parse_area(area),
    )


def of_file(words: str | None, suffix: str | None, year: int | None) -> dict[str, Any]:
    """Fields of a TrackFilter in the form that indexes have. Raises Invalid for a text without words."""
    return {
        "words": () if words is None else split_words(words),
        "suffix": None if suffix is None else f".{suffix.removeprefix('.').lower()}",
        "year": None if year is None else f"{year:04}",
    }


WantedTracks = Annotated[TrackFilter, Depends(get_wanted_tracks)]


def split_words(text: str) -> tuple[str, ...]:
    """The words of a text without accents, as the index of words has them. Raises Invalid."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    words = tuple(dict.fromkeys(re.findall(r"[^\W_]+", plain.lower())))
    if not words:
        raise Invalid("`text` names no word to search for.")
    if len(words) > MOST_WORDS:
        raise Invalid(f"`text` names {len(words)} words; at most {MOST_WORDS} can be searched for.")
    return words
