"""What people have said since the model that serves was trained: it could learn from it now."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.orm import Session

from core.errors import Invalid, ModelNotFound
from core.services.retraining import look_ahead
from core.store.corrections import has_anything_been_said
from core.store.registry import DEFAULT_ALIAS, resolve_model

MOST_COUNTED = 1000  # tracks


@dataclass(frozen=True)
class Learning:
    """There is something to learn from, or a running training."""

    model: str  # name of the models
    serving: str  # `name@version`
    can_be_retrained: bool  # else it was not trained here: another model can learn
    corrected: int  # tracks since its training; not counted if it cannot be retrained
    at_work: UUID | None  # the run of a training that has not ended

    @property
    def is_capped(self) -> bool:
        """Whether more tracks have been corrected than are counted."""
        return self.corrected >= MOST_COUNTED


def find_learning(session: Session) -> Learning | None:
    """Of the default model; None if there is none, or nothing to learn from."""
    try:
        model = resolve_model(session, DEFAULT_ALIAS)
    except ModelNotFound:
        return None
    try:
        row = look_ahead(session, model.name, at_most=MOST_COUNTED)
    except Invalid:
        said = has_anything_been_said(session)
        return Learning(model.name, model.reference, False, 0, None) if said else None
    at_work = row.job.id if row.job is not None and row.is_open else None
    corrected = row.corrected or 0
    if not corrected and at_work is None:
        return None
    return Learning(model.name, model.reference, row.obstacle is None, corrected, at_work)
