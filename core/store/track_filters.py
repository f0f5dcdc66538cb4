"""Which tracks are meant by a query, as conditions on rows of tracks."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    REAL,
    ColumnElement,
    Select,
    SQLColumnExpression,
    cast,
    false,
    func,
    literal_column,
    or_,
    select,
    text,
    true,
)
from sqlalchemy.orm import InstrumentedAttribute, Session

from core.areas import Area
from core.errors import Invalid
from core.label_scores import LabelScores
from core.spelling import name_key
from core.states import Verdict
from core.store.areas import lies_in
from core.store.ids import id_starts_with
from core.store.libraries import get_library_by_name
from core.store.tables import Correction, LabelSet, Library, Model, Prediction, PredictionLabel, Track

DECIDED = (Verdict.YES, Verdict.NO)


@dataclass(frozen=True)
class TrackFilter:
    """Which tracks are meant: all that is given must hold."""

    genre: str | LabelScores | None = None  # a label
    # Of each genre without scores of its own, unless a person gave it; None: what its threshold is.
    min_score: float | None = None
    library: str | None = None
    path: str | None = None
    q: str | None = None  # part of the path, ignoring case
    unreadable_tags: bool = False
    max_score: float = 1.0  # like min_score
    genres_too: tuple[str | LabelScores, ...] = ()  # further labels that they have
    not_genres: tuple[str | LabelScores, ...] = ()  # that they have not, or not with these scores
    id_prefix: str | None = None
    words: tuple[str, ...] = ()  # beginnings of words of the path and the tags, all of which they have
    suffix: str | None = None  # in lower case, with its dot
    year: str | None = None  # four digits
    corrected: bool | None = None  # whether somebody said something of their labels
    unsure: bool = False  # of which people could not tell some label
    missing: bool = False  # those whose file is gone, instead of those that are there
    area: Area | None = None  # of a map, in which their audio lies

    @property
    def labels(self) -> list[LabelScores]:
        """Those that the tracks have, each with the scores that are meant."""
        named = () if self.genre is None else (self.genre, *self.genres_too)
        return [
            LabelScores(each, self.min_score, self.max_score) if isinstance(each, str) else each
            for each in named
        ]

    @property
    def not_labels(self) -> list[LabelScores]:
        return [LabelScores(each) if isinstance(each, str) else each for each in self.not_genres]

    @property
    def has_scores(self) -> bool:
        """Whether labels are meant by a lowest score, so that tracks need not have them."""
        return any(each.least is not None for each in self.labels)


EVERYTHING = TrackFilter()


def matching(session: Session, model: Model, wanted: TrackFilter) -> list[ColumnElement[bool]]:
    """What holds of the tracks that `list_tracks` lists on all its pages; raises the same errors."""
    first = wanted.labels[:1]
    return [*besides_genre(session, model, wanted), *(_has_label(session, model, each) for each in first)]


def besides_genre(session: Session, model: Model, wanted: TrackFilter) -> list[ColumnElement[bool]]:
    """What holds of the tracks that are meant, besides their first genre."""
    where = (
        [Track.library_id == get_library_by_name(session, wanted.library).id]
        if wanted.library is not None
        else []
    )
    if wanted.path is not None:
        where.append(_at_path(session, wanted.path, [*where, _is_there(wanted)]))
    if wanted.q is not None:
        where.append(Track.path.icontains(wanted.q, autoescape=True))
    if wanted.unreadable_tags:
        where.append(Track.tags_error.is_not(None))
    if wanted.id_prefix is not None:
        where.append(id_starts_with(Track.id, wanted.id_prefix))
    where += [_has_label(session, model, each) for each in wanted.labels[1:]]
    where += [~_has_label(session, model, each) for each in wanted.not_labels]
    where += _of_file(wanted) + _by_verdicts(wanted)
    if wanted.area is not None:
        where.append(lies_in(session, wanted.area))
    return [*where, _is_there(wanted)]


def _is_there(wanted: TrackFilter) -> ColumnElement[bool]:
    return Track.missing_at.is_not(None) if wanted.missing else Track.missing_at.is_(None)


def _of_file(wanted: TrackFilter) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = []
    if wanted.words:
        beginnings = " & ".join(f"'{word}':*" for word in wanted.words)
        query = func.to_tsquery(literal_column("'simple'"), beginnings)
        where.append(func.track_words(Track.path, Track.tags).bool_op("@@")(query))
    if wanted.suffix is not None:
        where.append(suffix_of_path(Track.path) == wanted.suffix)
    if wanted.year is not None:
        where.append(year_of_tags(Track.tags) == wanted.year)
    return where


def _by_verdicts(wanted: TrackFilter) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = []
    if wanted.corrected is not None:
        said = Track.content_hash.in_(_corrected(Correction.verdict.is_not(None)))
        where.append(said if wanted.corrected else func.coalesce(~said, true()))
    if wanted.unsure:
        where.append(Track.content_hash.in_(_corrected(Correction.verdict == Verdict.UNSURE)))
    return where


def _corrected(said: ColumnElement[bool]) -> Select[bytes]:
    return select(Correction.content_hash).where(said)


def suffix_of_path(path: ColumnElement[str] | InstrumentedAttribute[str]) -> ColumnElement[str]:
    """In lower case, with its dot; NULL if it has none. As in the index `ix_tracks_suffix`."""
    return func.substring(func.lower(path), literal_column(r"'\.[a-z0-9_~+-]{1,10}$'"))


def year_of_tags(tags: InstrumentedAttribute[dict[str, Any] | None]) -> ColumnElement[str]:
    """The four digits that the date begins with, else NULL. As in the index `ix_tracks_year`."""
    return func.substring(tags.op("->>")(literal_column("'date'")), literal_column("'^[0-9]{4}'"))


def _at_path(session: Session, path: str, where: Sequence[ColumnElement[bool]]) -> ColumnElement[bool]:
    """Tracks at a path: exact matches if there are any, else those that differ only in Unicode form.

    The normal forms of the whole path are looked up in the index; a path whose parts have different forms
    needs a scan of all tracks.
    """
    exact = Track.path == path
    if path.isascii():
        return exact
    composed, decomposed = (unicodedata.normalize(form, path) for form in ("NFC", "NFD"))
    for spelled in (exact, Track.path.in_((composed, decomposed))):
        found = select(Track.id).join(Library).where(*where, spelled).limit(1)
        if session.scalar(found) is not None:
            return spelled
    return func.normalize(Track.path, text("NFC")) == composed


def find_label(session: Session, model: Model, name: str) -> str | None:
    """The model's spelling of a label, ignoring case, white space and Unicode form.

    None for a label that only a label set or some track, by correction, has. Raises Invalid for any other.
    """
    for label in model.labels:
        if name_key(label) == name_key(name):
            return label
    confirmed = Correction.verdict == Verdict.YES
    corrected = select(Correction.label).where(Correction.label_key == name_key(name), confirmed).limit(1)
    listed = session.scalars(select(LabelSet.labels))
    in_a_set = any(name_key(each["label"]) == name_key(name) for labels in listed for each in labels)
    if in_a_set or session.scalar(corrected) is not None:
        return None
    raise Invalid(f"The model {model.reference} has no label {name!r}.")


def _has_label(session: Session, model: Model, wanted: LabelScores) -> ColumnElement[bool]:
    """Whether a track has the label for a person or, if nobody said more, such a score by the model."""
    label = find_label(session, model, wanted.label)
    confirmed = _exists(Correction.content_hash, *is_confirmed(wanted.label))
    if label is None:
        return confirmed
    if reaches_below(model, label, wanted):
        of_model = Prediction.model_id == model.id
        scores = score_between(stored_score(model, label), wanted)
        predicted = _exists(Prediction.content_hash, of_model, *scores)
    else:
        predicted = _exists(PredictionLabel.content_hash, *has_label_row(model, label, wanted))
    return or_(confirmed, predicted & is_undecided(model, label))


def is_confirmed(genre: str) -> tuple[ColumnElement[bool], ...]:
    """Of corrections: that people gave the label."""
    return Correction.label_key == name_key(genre), Correction.verdict == Verdict.YES


def has_label_row(model: Model, label: str, wanted: LabelScores) -> tuple[ColumnElement[bool], ...]:
    """Of rows of labels: that the model gave this one, with such a score."""
    given = PredictionLabel
    return given.model_id == model.id, given.label == label, *score_between(given.score, wanted)


def _exists(content_hash: InstrumentedAttribute[bytes], *where: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether there is such a row of a track's audio, looked up track by track.

    A scalar: the planner would read all rows for EXISTS, or join them, however few tracks are looked at.
    """
    found = select(true()).where(content_hash == Track.content_hash, *where).limit(1).correlate(Track)
    return func.coalesce(found.scalar_subquery(), false())


def is_undecided(model: Model, label: str) -> ColumnElement[bool]:
    """Whether the model's label of a track stands, as in `core.store.predictions.true_labels`."""
    contradicts = (Correction.label_key == name_key(label)) & Correction.verdict.in_(DECIDED)
    if model.single_label:
        keys = [name_key(each) for each in model.labels]
        contradicts |= Correction.label_key.in_(keys) & (Correction.verdict == Verdict.YES)
    return ~_exists(Correction.content_hash, contradicts)


def score_between(score: SQLColumnExpression[Any], wanted: LabelScores) -> list[ColumnElement[bool]]:
    least = score >= cast(wanted.least or 0.0, REAL)
    return [least] if wanted.most >= 1 else [least, score <= cast(wanted.most, REAL)]


def reaches_below(model: Model, label: str, wanted: LabelScores) -> bool:
    """Whether scores are asked for with which the model does not give the label: rows of labels lack them.

    Exclusive labels have no thresholds: a track has only the one with the highest score.
    """
    if wanted.least is None or model.single_label:
        return False
    return wanted.least < threshold_of(model, label)


def threshold_of(model: Model, label: str) -> float:
    return model.thresholds[model.labels.index(label)]


def stored_score(model: Model, label: str) -> ColumnElement[float]:
    return Prediction.scores[model.labels.index(label) + 1]
