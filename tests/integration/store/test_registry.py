"""Versions of models, and the aliases that point to them."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from core.errors import Conflict, InvalidConfig, ModelNotFound, NothingToRollBackTo
from core.store.registry import (
    EMBEDDING_INDEX_PREFIX,
    list_aliases,
    list_models,
    promote_model,
    register_artifact,
    resolve_model,
    roll_back,
)
from workers.register import register


@pytest.fixture
def artifact(tmp_path: Path):
    def make(name: str = "stub", version: int = 1, sha256: str = "a", folder: str = "") -> Path:
        card: dict[str, Any] = {
            "name": name,
            "version": version,
            "model": {"kind": "musicnn", "embedding_size": 4},
            "labels": ["rock", "jazz"],
            "thresholds": [0.25, 0.5],
            "weights_sha256": sha256,
            "metrics": {"roc_auc": 0.9},
        }
        path = tmp_path / (folder or f"{name}-{version}-{sha256}")
        path.mkdir(exist_ok=True)
        (path / "model.json").write_text(json.dumps(card), encoding="utf-8")
        return path

    return make


def indexes(session: Session) -> list[str]:
    names = text("SELECT indexname FROM pg_indexes WHERE starts_with(indexname, :prefix) ORDER BY 1")
    return list(session.scalars(names, {"prefix": EMBEDDING_INDEX_PREFIX}))


def test_a_registered_model_is_known_by_what_its_card_says(session, artifact):
    folder = artifact()
    model = register_artifact(session, folder)
    assert (model.name, model.version, model.labels, model.thresholds) == (
        "stub",
        1,
        ["rock", "jazz"],
        [0.25, 0.5],
    )
    assert (model.embedding_size, model.metrics) == (4, {"roc_auc": 0.9})
    assert model.artifact_url == folder.resolve().as_uri()
    assert indexes(session) == [f"{EMBEDDING_INDEX_PREFIX}{model.encoder_id}"]


def test_the_first_model_is_the_default_until_another_is_promoted(session, artifact):
    first = register_artifact(session, artifact("first"))
    second = register_artifact(session, artifact("second"))
    assert resolve_model(session, "default").id == first.id
    promote_model(session, "second", None)
    assert resolve_model(session, "default").id == second.id
    assert list_aliases(session) == {"default": second.id, "previous": first.id}


def test_registering_the_same_weights_again_only_notes_where_they_are_now(session, artifact):
    first = register_artifact(session, artifact(folder="old"))
    moved = artifact(folder="new")
    again = register_artifact(session, moved)
    session.refresh(again)
    assert (again.id, again.artifact_url) == (first.id, moved.resolve().as_uri())
    assert len(list_models(session)) == 1
    assert len(indexes(session)) == 1


@pytest.mark.parametrize("name", ["compare", "default", "previous"])
def test_what_a_route_or_an_alias_is_called_is_no_name_of_a_model(session, artifact, name):
    with pytest.raises(InvalidConfig, match=name):
        register_artifact(session, artifact(name))
    assert register(session, artifact(name)) is None  # the others are registered at a start
    assert list_models(session) == []


def test_a_version_cannot_get_other_weights(session, artifact):
    register_artifact(session, artifact(sha256="a"))
    with pytest.raises(Conflict, match="stub@1"), session.begin_nested():
        register_artifact(session, artifact(sha256="b"))
    (model,) = list_models(session)
    session.refresh(model)
    assert model.sha256 == "a"
    assert model.artifact_url.endswith("stub-1-a")


def test_a_name_means_its_newest_version_and_may_name_one(session, artifact):
    versions = [register_artifact(session, artifact(version=version)).id for version in (1, 2, 10)]
    assert resolve_model(session, "stub").id == versions[2]
    assert [resolve_model(session, f"stub@{version}").id for version in (1, 2, 10)] == versions
    assert [model.version for model in list_models(session, "stub")] == [10, 2, 1]
    promote_model(session, "stub", 1, alias="stable")
    assert resolve_model(session, "stable").id == versions[0]


@pytest.mark.parametrize("reference", ["other", "stub@3", "stub@x", "stub@-1", "stub@" + "9" * 30, "@1", ""])
def test_what_no_model_is_called_is_not_found(session, artifact, reference):
    register_artifact(session, artifact())
    with pytest.raises(ModelNotFound):
        resolve_model(session, reference)


def test_only_what_exists_can_be_promoted_or_listed(session, artifact):
    register_artifact(session, artifact())
    for name, version in [("other", None), ("stub", 2)]:
        with pytest.raises(ModelNotFound):
            promote_model(session, name, version)
    with pytest.raises(ModelNotFound):
        list_models(session, "other")


def test_promoting_keeps_the_former_default_and_rolling_back_swaps_them(session, artifact):
    first, second, third = (register_artifact(session, artifact(name)) for name in ("a", "b", "c"))
    with pytest.raises(NothingToRollBackTo):
        roll_back(session)
    promote_model(session, "b", None)
    promote_model(session, "b", None)  # again: what was before stays known
    assert list_aliases(session) == {"default": second.id, "previous": first.id}
    assert roll_back(session).id == first.id
    assert list_aliases(session) == {"default": first.id, "previous": second.id}
    promote_model(session, "c", None, alias="stable")
    assert list_aliases(session) == {"default": first.id, "previous": second.id, "stable": third.id}


def test_a_head_on_a_stored_model_is_known_to_share_its_embeddings(session, artifact):
    backbone = register_artifact(session, artifact(sha256="b"))
    folder = artifact("head", sha256="h")
    card = json.loads((folder / "model.json").read_text())
    network = {"kind": "musicnn", "embedding_size": 4}
    card |= {"model": {"kind": "transfer", "network": network}, "provenance": {"bases_sha256": "b"}}
    (folder / "model.json").write_text(json.dumps(card))
    head = register_artifact(session, folder)
    assert (head.sha256, head.encoder_id) == ("h", backbone.encoder_id)
    assert head.embedding_size == backbone.embedding_size
