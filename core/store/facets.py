"""How many of the tracks that are meant have each label, suffix, year and library.

Of many tracks the counts are estimates from a sample.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CTE,
    ColumnElement,
    Uuid,
    and_,
    any_,
    exists,
    func,
    literal,
    select,
    union_all,
    values,
)
from sqlalchemy import Text as TextType
from sqlalchemy import column as named_column
from sqlalchemy.orm import Session

from core.library.label_facets import facet_of
from core.spelling import name_key
from core.states import Verdict
from core.store.label_sets import list_label_sets
from core.store.tables import Correction, Library, Model, Prediction, PredictionLabel, Track
from core.store.track_counts import count_tracks
from core.store.track_filters import (
    DECIDED,
    EVERYTHING,
    TrackFilter,
    matching,
    suffix_of_path,
    year_of_tags,
)
from core.store.track_plans import MANY, Try, below, estimate_tracks, gather, one_by_one

# Of all tracks. Where fewer match, so large a part of all is gathered from an index that about `FEW` will do.
SAMPLE = Try(2000, 30)
SAMPLE_BY_WORDS = Try(1000, 200)
FEW = 500
LARGE_SAMPLE = 16_000  # of all, where no index finds those that match
MOST_VALUES = 200  # of a facet
MOST_MISSING = 1000  # that are looked at


@dataclass(frozen=True)
class LabelCount:
    label: str
    facet: str | None  # what kind of label it is, by a label set or else if it is a common one
    count: int


@dataclass(frozen=True)
class Facets:
    """Counts of tracks; of each value at most `MOST_VALUES`, the most frequent first."""

    exact: bool
    sampled: int | None  # tracks of the sample that match; None where all were counted
    tracks: int
    missing: int  # that match but for their file being gone
    missing_exact: bool  # whether these were counted; else `missing` is an estimate
    analysed: int  # by the model
    corrected: int
    unsure: int  # of which people could not tell some label
    labels: Sequence[LabelCount]
    suffixes: Mapping[str, int]
    years: Mapping[str, int]
    libraries: Mapping[str, int]


def count_facets(session: Session, model: Model, wanted: TrackFilter) -> Facets:
    """Raises LibraryNotFound, and Invalid for a genre that nothing has."""
    where = matching(session, model, wanted)
    known = estimate_tracks(session)
    if known <= MANY:
        return _facets(session, model, wanted, _count(session, model, _meant(*where)), None)
    found, share = _sample(session, model, wanted, where, known)
    with one_by_one(session, "hashjoin", "seqscan"):  # of small tables
        counts = _count(session, model, _meant(Track.id == any_(literal(found, ARRAY(Uuid)))))
    if share == 1:
        return _facets(session, model, wanted, counts, None)
    scaled = Counter({key: round(count / share) for key, count in counts.items()})
    return _facets(session, model, wanted, scaled, len(found))


def _sample(
    session: Session, model: Model, wanted: TrackFilter, where: Sequence[ColumnElement[bool]], known: float
) -> tuple[Sequence[UUID], float]:
    """The tracks that match in a fair sample of this share of all; 1 for all of them."""

    def look_at(tracks: int) -> tuple[Sequence[UUID], float]:
        share = min(1.0, tracks / known)
        query = select(Track.id).join(Library, Library.id == Track.library_id).where(below(share), *where)
        with one_by_one(session):
            return session.scalars(query).all(), share

    first = SAMPLE_BY_WORDS if wanted.words else SAMPLE
    found, share = look_at(first.tracks)
    if len(found) >= first.enough or share == 1:
        return found, share
    wider = min(1.0, share * FEW / max(len(found), 1))
    gathered = gather(session, model, wanted, wanted.labels, where, Track.id, share=wider)
    if gathered is None:
        return look_at(LARGE_SAMPLE)
    return session.scalars(select(gathered.c.id)).all(), wider


Counts = Counter[tuple[str, str]]  # by kind and value


def _meant(*where: ColumnElement[bool]) -> CTE:
    """What is counted of the tracks that match."""
    columns = (
        Track.content_hash,
        Library.name.label("library"),
        func.coalesce(suffix_of_path(Track.path), "").label("suffix"),
        func.coalesce(year_of_tags(Track.tags), "").label("year"),
    )
    tracks = select(*columns).join(Library, Library.id == Track.library_id).where(*where)
    return tracks.cte("meant").prefix_with("MATERIALIZED")


def _count(session: Session, model: Model, meant: CTE) -> Counts:
    """Counts of what is meant, in one statement, which looks for the tracks once."""
    said = and_(Correction.content_hash == meant.c.content_hash, Correction.verdict.is_not(None))
    unsure = and_(Correction.content_hash == meant.c.content_hash, Correction.verdict == Verdict.UNSURE)
    analysed = and_(Prediction.content_hash == meant.c.content_hash, Prediction.model_id == model.id)
    nothing = literal("", TextType)
    parts = [select(literal("all", TextType), nothing, func.count()).select_from(meant)]
    for name, holds in (("corrected", said), ("unsure", unsure), ("analysed", analysed)):
        having = select(func.count()).select_from(meant).where(exists().where(holds).correlate(meant))
        parts.append(select(literal(name, TextType), nothing, having.scalar_subquery()))
    for name in ("library", "suffix", "year"):
        column = meant.c[name]
        parts.append(select(literal(name, TextType), column, func.count()).group_by(column))
    parts += _labels(model, meant.c.content_hash)
    counts: Counts = Counter()
    for kind, value, count in session.execute(union_all(*parts)):
        counts[str(kind), str(value)] += count
    return counts


def _labels(model: Model, content_hash: ColumnElement[bytes]) -> list[Any]:
    """Labels that the model gave and nobody decided on, and those that people gave."""
    keys = values(named_column("label", TextType), named_column("label_key", TextType), name="keys").data(
        [(label, name_key(label)) for label in model.labels]
    )
    decided = Correction.verdict.in_(DECIDED) & (Correction.label_key == keys.c.label_key)
    if model.single_label:
        own = [name_key(label) for label in model.labels]
        decided |= (Correction.verdict == Verdict.YES) & Correction.label_key.in_(own)
    contradicted = exists().where(Correction.content_hash == content_hash, decided)
    given = (
        select(literal("label", TextType), PredictionLabel.label, func.count())
        .join_from(PredictionLabel, keys, keys.c.label == PredictionLabel.label)
        .where(
            PredictionLabel.content_hash == content_hash,
            PredictionLabel.model_id == model.id,
            ~contradicted,
        )
        .group_by(PredictionLabel.label)
    )
    confirmed = (
        select(literal("confirmed", TextType), Correction.label, func.count())
        .where(Correction.content_hash == content_hash, Correction.verdict == Verdict.YES)
        .group_by(Correction.label)
    )
    return [given, confirmed]


def _facets(
    session: Session, model: Model, wanted: TrackFilter, counts: Counts, sampled: int | None
) -> Facets:
    def values_of(kind: str) -> dict[str, int]:
        found = Counter({value: count for (of, value), count in counts.items() if of == kind and value})
        return dict(found.most_common(MOST_VALUES))

    missing, missing_exact = counts["all", ""], True
    if not wanted.missing or sampled is not None:
        missing, missing_exact = _count_missing(session, model, wanted)
    return Facets(
        exact=sampled is None,
        sampled=sampled,
        tracks=counts["all", ""],
        missing=missing,
        missing_exact=missing_exact,
        analysed=counts["analysed", ""],
        corrected=counts["corrected", ""],
        unsure=counts["unsure", ""],
        labels=_label_counts(session, model, counts),
        suffixes=values_of("suffix"),
        years=values_of("year"),
        libraries=values_of("library"),
    )


def _count_missing(session: Session, model: Model, wanted: TrackFilter) -> tuple[int, bool]:
    """How many match but for their file being gone, and whether this is exact.

    If many of many tracks are missing, it is an estimate from a fair sample of `MOST_MISSING`.
    """
    counted = count_tracks(session)
    missing = sum(each.missing for each in counted.values())
    if wanted in (EVERYTHING, TrackFilter(missing=True)):
        return missing, True
    is_exact = missing <= MOST_MISSING or estimate_tracks(session) <= MANY
    share = 1.0 if is_exact else MOST_MISSING / missing
    where = matching(session, model, replace(wanted, missing=True))
    query = select(func.count()).select_from(Track).join(Library, Library.id == Track.library_id)
    with one_by_one(session):
        found = session.scalar(query.where(*where, below(share))) or 0
    return round(found / share), is_exact


def _label_counts(session: Session, model: Model, counts: Counts) -> list[LabelCount]:
    """Spelt as the model does, if it has the label."""
    own = {name_key(label): label for label in model.labels}
    totals: Counter[str] = Counter()
    for (kind, label), count in counts.items():
        if kind in ("label", "confirmed"):
            totals[own.get(name_key(label), label)] += count
    facets = {
        name_key(each["label"]): each.get("facet")
        for label_set in reversed(list_label_sets(session))
        for each in label_set.labels
    }
    return [
        LabelCount(label, facets.get(name_key(label)) or facet_of(label), count)
        for label, count in totals.most_common(MOST_VALUES)
    ]
