"""What queries of tracks mean to the store."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from core.areas import parse_area
from core.config.track_query import TrackQuery
from core.errors import Invalid
from core.label_scores import read_label
from core.store.track_filters import TrackFilter

MOST_WORDS = 20


def filter_of(query: TrackQuery) -> TrackFilter:
    """Raises Invalid for a text without words, and for ranges of scores and areas that are none."""
    genres = [query.genre] if isinstance(query.genre, str) else query.genre or []
    return TrackFilter(
        **by_labels(genres, query.not_genre),
        **of_file(query.text, query.suffix, query.year),
        min_score=query.min_score,
        max_score=query.max_score,
        library=query.library,
        path=query.path,
        q=query.q,
        corrected=query.corrected,
        unsure=query.unsure,
        missing=query.missing,
        unreadable_tags=query.unreadable_tags,
        area=parse_area(query.area),
    )


def by_labels(genres: Sequence[str], not_genres: Sequence[str]) -> dict[str, Any]:
    """Fields of a TrackFilter. Raises Invalid for ranges of scores that are none."""
    found = tuple(map(read_label, genres))
    return {
        "genre": found[0] if found else None,
        "genres_too": found[1:],
        "not_genres": tuple(map(read_label, not_genres)),
    }


def of_file(words: str | None, suffix: str | None, year: int | None) -> dict[str, Any]:
    """Fields of a TrackFilter in the form that indexes have. Raises Invalid for a text without words."""
    return {
        "words": () if words is None else split_words(words),
        "suffix": None if suffix is None else f".{suffix.removeprefix('.').lower()}",
        "year": None if year is None else f"{year:04}",
    }


def split_words(text: str) -> tuple[str, ...]:
    """The words of a text without accents, as the index of words has them. Raises Invalid."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    words = tuple(dict.fromkeys(re.findall(r"[^\W_]+", plain.lower())))
    if not words:
        raise Invalid("`text` names no word to search for.")
    if len(words) > MOST_WORDS:
        raise Invalid(f"`text` names {len(words)} words; at most {MOST_WORDS} can be searched for.")
    return words
