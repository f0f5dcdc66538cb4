"""The model registry: versions of models, and aliases that refer to them."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from pydantic import TypeAdapter
from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.config.models import ModelConfig, is_single_label
from core.errors import Conflict, InvalidConfig, ModelBeingDeleted, ModelNotFound, NothingToRollBackTo
from core.spelling import suggest
from core.store.cursor import Page, cut_page, decode_cursor
from core.store.embeddings import HEAD
from core.store.tables import Encoder, Model, ModelAlias

DEFAULT_ALIAS, PREVIOUS_ALIAS = "default", "previous"
RESERVED_NAMES = (DEFAULT_ALIAS, PREVIOUS_ALIAS, "compare")  # aliases, and what stands for a name in a route
EMBEDDING_INDEX_PREFIX = "ix_embeddings_vector_encoder_"
REGISTRY_LOCK = 7_264_002  # advisory lock for moving aliases and deleting models
_MODEL_CONFIG: TypeAdapter[ModelConfig] = TypeAdapter(ModelConfig)


def register_artifact(session: Session, folder: Path) -> Model:
    """Register the artifact in `folder`; the first model becomes the default.

    Raises InvalidConfig for a reserved name, ModelBeingDeleted while a deleted model of this name and version
    is being removed, and Conflict if it is registered with other weights.
    """
    card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    check_model_name(card["name"])
    values = _columns(card) | {
        "encoder_id": _add_encoder(session, _encoder_sha256(card)),
        "artifact_url": folder.resolve().as_uri(),
    }
    statement = insert(Model).values(values)
    model = session.scalars(
        statement.on_conflict_do_update(
            index_elements=[Model.name, Model.version],
            set_={name: values[name] for name in ("artifact_url", "encoder_id")},
        ).returning(Model)
    ).one()
    if model.deleted_at is not None:
        raise ModelBeingDeleted(f"{model.reference} has been deleted and its files are removed soon.")
    if model.sha256 != values["sha256"]:
        raise Conflict(f"{model.reference} is registered with other weights: use a new version.")
    session.execute(text(_embedding_index_ddl(model)))
    session.execute(
        insert(ModelAlias).values(alias=DEFAULT_ALIAS, model_id=model.id).on_conflict_do_nothing()
    )
    return model


def check_model_name(name: str) -> None:
    """Raises InvalidConfig for a name that no model can have."""
    if name in RESERVED_NAMES:
        raise InvalidConfig(f"No model can be called {name!r}: {', '.join(RESERVED_NAMES)} are reserved.")


def _columns(card: dict[str, Any]) -> dict[str, Any]:
    config = _MODEL_CONFIG.validate_python(card["model"])
    return {
        "name": card["name"],
        "version": card["version"],
        "kind": config.kind,
        "labels": card["labels"],
        "thresholds": card["thresholds"],
        "single_label": is_single_label(config),
        "embedding_size": config.embedding_size,
        "sha256": card["weights_sha256"],
        "metrics": card["metrics"],
    }


def _encoder_sha256(card: dict[str, Any]) -> str:
    """SHA-256 of the weights that compute the embeddings: for a transfer model those of its backbone."""
    is_head = card["model"]["kind"] == HEAD
    return str(card["provenance"]["bases_sha256"] if is_head else card["weights_sha256"])


def _add_encoder(session: Session, sha256: str) -> int:
    """Insert or lock the encoder's row, so that it is not removed before the model refers to it."""
    statement = insert(Encoder).values(sha256=sha256)
    known = statement.on_conflict_do_update(
        index_elements=[Encoder.sha256], set_={"sha256": statement.excluded.sha256}
    )
    return session.scalars(known.returning(Encoder.id)).one()


def _embedding_index_ddl(model: Model) -> str:
    """DDL of one HNSW index per encoder, as embeddings of different encoders are not comparable."""
    return (
        f"CREATE INDEX IF NOT EXISTS {EMBEDDING_INDEX_PREFIX}{model.encoder_id:d} ON embeddings "
        f"USING hnsw ((vector::vector({model.embedding_size:d})) vector_cosine_ops) "
        f"WHERE encoder_id = {model.encoder_id:d}"
    )


def artifact_folder(model: Model) -> Path:
    """The local folder of a model's artifact."""
    return Path(url2pathname(urlsplit(model.artifact_url).path))


def find_in_folder(session: Session, name: str) -> Model | None:
    """The model whose artifact folder has this name; None if no model is registered there."""
    models = session.scalars(select(Model).order_by(Model.id))
    return next((model for model in models if artifact_folder(model).name == name), None)


def resolve_model(session: Session, reference: str) -> Model:
    """The model of an alias, `name` (its newest version) or `name@version`. Raises ModelNotFound."""
    aliased = select(Model).join(ModelAlias).where(ModelAlias.alias == reference)
    model = session.scalars(aliased).one_or_none() or _by_version(session, reference)
    if model is None:
        raise no_such_model(session, reference)
    return model


def no_such_model(session: Session, reference: str) -> ModelNotFound:
    """The error, with the versions that there are of the name, or with the name that is nearest."""
    name, _, version = reference.partition("@")
    found = session.scalars(select(Model.version).where(Model.name == name).order_by(Model.version)).all()
    if version and found:
        return ModelNotFound(
            f"There is no model {reference!r}; versions of it: {', '.join(map(str, found))}."
        )
    names = [*session.scalars(select(Model.name).distinct()), *list_aliases(session)]
    hint = suggest(name, names, "GET /api/v1/models lists them.")
    return ModelNotFound(f"There is no model {reference!r}{hint}")


def _by_version(session: Session, reference: str) -> Model | None:
    name, _, version = reference.partition("@")
    query = select(Model).where(Model.name == name).order_by(Model.version.desc()).limit(1)
    if version:
        if not re.fullmatch(r"\d{1,9}", version):
            return None
        query = query.where(Model.version == int(version))
    return session.scalars(query).one_or_none()


def lock_registry(session: Session) -> None:
    """Lock the registry against moving aliases and deleting models until the transaction ends."""
    session.execute(select(func.pg_advisory_xact_lock(REGISTRY_LOCK)))


def list_models(session: Session, name: str | None = None) -> list[Model]:
    """All versions by name, of one name the newest first, or those of one name. Raises ModelNotFound."""
    return list(page_models(session, name, None, None).items)


def page_models(session: Session, name: str | None, cursor: str | None, limit: int | None) -> Page[Model]:
    """Up to `limit` of `list_models`, in its order; None: all. Raises ModelNotFound and InvalidCursor."""
    query = select(Model).order_by(Model.name, Model.version.desc())
    if name is not None:
        query = query.where(Model.name == name)
    if cursor is not None:
        last_name, last_version = decode_cursor(cursor, str, int)
        older = (Model.name == last_name) & (Model.version < last_version)
        query = query.where((Model.name > last_name) | older)
    models = session.scalars(query if limit is None else query.limit(limit + 1)).all()
    if name is not None and cursor is None and not models:
        raise no_such_model(session, name)
    return cut_page(models, limit or len(models), lambda model: (model.name, model.version))


def list_aliases(session: Session) -> dict[str, int]:
    return {row.alias: row.model_id for row in session.scalars(select(ModelAlias))}


def promote_model(session: Session, name: str, version: int | None, alias: str = DEFAULT_ALIAS) -> Model:
    """Set an alias to a version, by default the newest; the former default becomes `previous`."""
    lock_registry(session)
    reference = name if version is None else f"{name}@{version}"
    model = _by_version(session, reference)
    if model is None:
        raise no_such_model(session, reference)
    if alias == DEFAULT_ALIAS:
        former = _lock_alias(session, DEFAULT_ALIAS)
        if former is not None and former != model.id:
            _point(session, PREVIOUS_ALIAS, former)
    _point(session, alias, model.id)
    return model


def roll_back(session: Session) -> Model:
    """Restore the previous default model; a second call reverts this. Raises NothingToRollBackTo."""
    lock_registry(session)
    current, former = _lock_alias(session, DEFAULT_ALIAS), _lock_alias(session, PREVIOUS_ALIAS)
    if former is None or current is None:
        raise NothingToRollBackTo
    _point(session, DEFAULT_ALIAS, former)
    _point(session, PREVIOUS_ALIAS, current)
    return session.get_one(Model, former)


def _lock_alias(session: Session, alias: str) -> int | None:
    """The model id of an alias, whose row is locked until the transaction ends."""
    return session.scalar(select(ModelAlias.model_id).where(ModelAlias.alias == alias).with_for_update())


def _point(session: Session, alias: str, model_id: int) -> None:
    statement = insert(ModelAlias).values(alias=alias, model_id=model_id)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[ModelAlias.alias], set_={"model_id": model_id, "updated_at": func.now()}
        )
    )
