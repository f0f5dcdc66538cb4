"""How many of the tracks that are meant have each label, suffix, year and library.

Of many tracks the counts are estimates from a sample.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import CTE, ColumnElement, and_, exists, func, literal, select, union_all, values
from sqlalchemy import Text as TextType
from sqlalchemy import column as named_column
from sqlalchemy.orm import Session

from core.library.label_facets import facet_of
from core.spelling import name_key
from core.states import Verdict
from core.store.label_sets import list_label_sets
from core.store.tables import Correction, Library, Model, Prediction, PredictionLabel, Track
from core.store.track_filters import DECIDED, TrackFilter, matching, suffix_of_path, year_of_tags
from core.store.track_plans import MANY, below, estimate_tracks, gather, one_by_one

SAMPLE = 2000  # tracks, of all or, where of these fewer than `ENOUGH` match, of those that match
ENOUGH = 30
LARGE_SAMPLE = 16_000  # of all, where fewer match and nothing that they must have is rare by itself
MOST_VALUES = 200  # of a facet
MOST_MISSING = 10_000  # that are counted


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
    missing: int  # that match but for their file being gone, up to `MOST_MISSING`
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
    share, found = _try(session, model, where, SAMPLE / known)
    if found["all", ""] < ENOUGH:
        few = gather(session, model, wanted, wanted.labels, where, Track.id)
        if few is None:
            share, found = _try(session, model, where, LARGE_SAMPLE / known)
        else:
            some = select(few.c.id).order_by(few.c.id).limit(SAMPLE)
            found = _count(session, model, _meant(Track.id.in_(some)), few)
            if found["all", ""] == found["found", ""]:
                return _facets(session, model, wanted, found, None)
            share = found["all", ""] / found["found", ""]
    scaled = Counter({key: round(count / share) for key, count in found.items()})
    return _facets(session, model, wanted, scaled, found["all", ""])


def _try(
    session: Session, model: Model, where: Sequence[ColumnElement[bool]], share: float
) -> tuple[float, "Counts"]:
    """The counts in a sample of this share of all tracks."""
    share = min(share, 1.0)
    with one_by_one(session):
        return share, _count(session, model, _meant(below(share), *where))


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


def _count(session: Session, model: Model, meant: CTE, found: CTE | None = None) -> Counts:
    """Counts of what is meant, and how many were `found` in all; one statement looks for the tracks once."""
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
    if found is not None:
        parts.append(select(literal("found", TextType), nothing, func.count()).select_from(found))
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

    return Facets(
        exact=sampled is None,
        sampled=sampled,
        tracks=counts["all", ""],
        missing=_count_missing(session, model, wanted),
        analysed=counts["analysed", ""],
        corrected=counts["corrected", ""],
        unsure=counts["unsure", ""],
        labels=_label_counts(session, model, counts),
        suffixes=values_of("suffix"),
        years=values_of("year"),
        libraries=values_of("library"),
    )


def _count_missing(session: Session, model: Model, wanted: TrackFilter) -> int:
    where = matching(session, model, replace(wanted, missing=True))
    some = select(Track.id).join(Library, Library.id == Track.library_id).where(*where).limit(MOST_MISSING)
    return session.scalar(select(func.count()).select_from(some.subquery())) or 0


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
