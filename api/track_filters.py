"""Which tracks are meant, as query parameters."""

from typing import Annotated

from fastapi import Depends, Query
from pydantic import Field

from api.deps import IdPrefix
from core.areas import AREA, parse_area
from core.config.track_query import SUFFIX
from core.services.track_queries import by_labels, of_file
from core.states import TrackOrder
from core.store.track_filters import TrackFilter

MOST_GENRES = 20
NO_LABELS: list[str] = []
LabelName = Annotated[str, Field(max_length=200)]
Order = Annotated[
    TrackOrder | None,
    Query(
        description="`score` of the first `genre`, `path` within the library, `date` of the last change of "
        "the file, the newest first, or `duration`, the longest first and at the end the tracks that the "
        "model has not analysed; by default `score` with a `genre`, else any order"
    ),
]
LibraryName = Annotated[str | None, Query(max_length=200, description="name of a library")]


async def get_wanted_tracks(
    genre: Annotated[
        list[LabelName],
        Query(
            max_length=MOST_GENRES,
            description="a label of the model, a label set or a correction; of several, tracks have all. "
            "`sad:0.4..`, `sad:..0.2` or `sad:0.4..0.8` mean tracks with such a score, as `min_score` and "
            "`max_score` do for all labels that stand alone",
        ),
    ] = NO_LABELS,
    not_genre: Annotated[
        list[LabelName],
        Query(
            max_length=MOST_GENRES,
            description="labels that the tracks do not have; as `sad:0.4..` they do not have such a score",
        ),
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
    """Raises Invalid for a text without words, and for ranges of scores and areas that are none."""
    return TrackFilter(
        **by_labels(genre, not_genre),
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


WantedTracks = Annotated[TrackFilter, Depends(get_wanted_tracks)]
