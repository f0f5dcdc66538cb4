"""Which tracks a request means: the same parameters wherever tracks are listed, exported or counted."""

from typing import Annotated

from fastapi import Depends, Query
from pydantic import Field

from api.deps import IdPrefix
from core.states import TrackOrder
from core.store.track_pages import TrackFilter

MOST_GENRES = 20
NO_LABELS: list[str] = []
LabelName = Annotated[str, Field(max_length=200)]

Order = Annotated[
    TrackOrder | None,
    Query(
        description="`score` of the first `genre`, `path` within the library, or `date` of the last "
        "change of the file, the newest first; by default `score` with a `genre`, else any order"
    ),
]


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
        float, Query(ge=0, le=1, description="only with `genre`, of labels that the model gave")
    ] = 0.0,
    max_score: Annotated[float, Query(ge=0, le=1, description="like `min_score`")] = 1.0,
    library: Annotated[str | None, Query(max_length=200, description="name of a library")] = None,
    path: Annotated[str | None, Query(max_length=4096, description="relative to the library")] = None,
    q: Annotated[str | None, Query(max_length=200, description="part of the path, ignoring case")] = None,
    unreadable_tags: Annotated[bool, Query(description="only files whose tags cannot all be read")] = False,
    missing: Annotated[
        bool, Query(description="the files that are gone, instead of those that are there")
    ] = False,
    corrected: Annotated[bool, Query(description="only tracks of which people have said something")] = False,
    id_prefix: IdPrefix = None,
) -> TrackFilter:
    return TrackFilter(
        genre=genre[0] if genre else None,
        genres_too=tuple(genre[1:]),
        not_genres=tuple(not_genre),
        min_score=min_score,
        max_score=max_score,
        library=library,
        path=path,
        q=q,
        unreadable_tags=unreadable_tags,
        missing=missing,
        corrected=corrected,
        id_prefix=id_prefix,
    )


WantedTracks = Annotated[TrackFilter, Depends(get_wanted_tracks)]
