"""Label sets: vocabularies of one's own, and which labels may be corrected."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.config.label_groups import facets_by_key
from core.errors import LabelSetExists, LabelSetNotFound, UnknownLabel
from core.spelling import name_key
from core.store.tables import LabelSet, Model

NAMED_LABELS = 10  # unknown labels that an error names
HINTS = 100  # unknown labels of one request for which the nearest known one is looked up
SIMILAR = 0.6  # ratio of difflib, 0 to 1


@dataclass(frozen=True)
class SetLabel:
    label: str
    facet: str | None = None  # what kind of label it is: a genre, a mood


def create_label_set(
    session: Session, name: str, labels: Sequence[SetLabel], *, exclusive: bool
) -> tuple[LabelSet, bool]:
    """Create a label set; returns it and whether it is new. Idempotent. Raises LabelSetExists."""
    values = {"name": name, "labels": _as_json(labels), "exclusive": exclusive}
    created = session.scalars(
        insert(LabelSet)
        .values(values)
        .on_conflict_do_nothing(index_elements=[LabelSet.name])
        .returning(LabelSet)
    ).one_or_none()
    if created is not None:
        return created, True
    known = get_label_set(session, name)
    if (known.labels, known.exclusive) != (values["labels"], exclusive):
        raise LabelSetExists(f"The label set {name!r} exists with other labels.")
    return known, False


def get_label_set(session: Session, name: str, *, lock: bool = False) -> LabelSet:
    query = select(LabelSet).where(LabelSet.name == name)
    found = session.scalars(query.with_for_update() if lock else query).one_or_none()
    if found is None:
        raise LabelSetNotFound(f"There is no label set {name!r}; GET /api/v1/label-sets lists them.")
    return found


def list_label_sets(session: Session) -> Sequence[LabelSet]:
    return session.scalars(select(LabelSet).order_by(LabelSet.name)).all()


def change_label_set(
    session: Session,
    name: str,
    new_name: str | None = None,
    labels: Sequence[SetLabel] | None = None,
    exclusive: bool | None = None,
) -> LabelSet:
    """Change what is not None. Corrections stay, also those of labels that the set has lost."""
    found = get_label_set(session, name, lock=True)
    if new_name is not None and new_name != name:
        if session.scalar(select(LabelSet.id).where(LabelSet.name == new_name)) is not None:
            raise LabelSetExists(f"There is another label set {new_name!r}.")
        found.name = new_name
    if labels is not None:
        found.labels = _as_json(labels)
    if exclusive is not None:
        found.exclusive = exclusive
    found.updated_at = func.now()
    session.flush()
    session.refresh(found)
    return found


def delete_label_set(session: Session, name: str) -> None:
    session.delete(get_label_set(session, name, lock=True))
    session.flush()


def read_facets(session: Session) -> dict[str, str]:
    """The key of the facet of each label that has one, by the label's; the first label set counts."""
    return facets_by_key(
        (each["label"], each["facet"]) for found in list_label_sets(session) for each in found.labels
    )


def _as_json(labels: Iterable[SetLabel]) -> list[dict[str, Any]]:
    return [{"label": each.label, "facet": each.facet} for each in labels]


class Vocabulary:
    """The labels that may be corrected. Spellings of one name are one label."""

    def __init__(self, spellings: Mapping[str, str]) -> None:
        self._spellings = spellings  # by key
        self._refusals: dict[str, str] = {}  # sentences by key

    @property
    def labels(self) -> list[str]:
        """All of them, in alphabetical order."""
        return sorted(self._spellings.values(), key=name_key)

    def spell(self, label: str) -> str | None:
        """The known spelling; None for an unknown label."""
        return self._spellings.get(name_key(label))

    def refusal(self, label: str) -> str:
        """A sentence that says that a label is unknown.

        It names the nearest known label, for the first HINTS labels: to find it takes milliseconds.
        """
        key = name_key(label)
        if key not in self._refusals:
            near = self._nearest(key) if len(self._refusals) < HINTS else None
            hint = f"did you mean {near!r}?" if near else "GET /api/v1/label-sets lists those of your own."
            self._refusals[key] = f"No label set and no model has the label {label!r}: {hint}"
        return self._refusals[key]

    def refuse_unknown(self, labels: Iterable[str]) -> None:
        """Raise UnknownLabel if there are any."""
        unknown = [label for label in labels if self.spell(label) is None]
        if unknown:
            sentences = [self.refusal(label) for label in unknown[:NAMED_LABELS]]
            more = len(unknown) - len(sentences)
            raise UnknownLabel(" ".join([*sentences, f"{more} more are unknown."] if more else sentences))

    def _nearest(self, key: str) -> str | None:
        near = difflib.get_close_matches(key, self._spellings, n=1, cutoff=SIMILAR)
        return self._spellings[near[0]] if near else None


def read_vocabulary(session: Session) -> Vocabulary:
    """The labels of all label sets and models.

    The spelling of the first label set counts, then that of the newest model.
    """
    sets = [[each["label"] for each in found.labels] for found in list_label_sets(session)]
    models = session.scalars(select(Model.labels).order_by(Model.id.desc()))
    spellings: dict[str, str] = {}
    for labels in (*sets, *models):
        for label in labels:
            spellings.setdefault(name_key(label), label)
    return Vocabulary(spellings)
