import json
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from core.config.models import Calibration, FeatureConfig, MusicnnConfig
from core.ml.models import artifact
from core.ml.models.artifact import ArtifactError, ModelCard
from core.ml.models.zoo import build


def make_card(**overrides: object) -> ModelCard:
    small = MusicnnConfig(timbral_filters=2, temporal_filters=2, mid_channels=3, embedding_size=5)
    given = {
        "name": "tiny",
        "version": 1,
        "embedding": "tiny-1/penultimate",
        "model": small,
        "features": FeatureConfig(n_mels=24),
        "labels": ("calm", "loud"),
        "thresholds": (0.4, 0.6),
        "calibration": Calibration(slopes=(1.0, 2.0), offsets=(0.0, 0.5)),
        "metrics": {"macro_f1": 0.5},
        "provenance": {"dataset": "none"},
        "licence": "free",
    }
    return ModelCard.model_validate(given | overrides)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    card = make_card()
    artifact.save(card, build(card.model, card.features, len(card.labels)), tmp_path / "tiny-1")
    return tmp_path / "tiny-1"


def test_a_loaded_model_gives_equal_logits(tmp_path):
    card = make_card()
    model = build(card.model, card.features, len(card.labels)).eval().requires_grad_(False)
    artifact.save(card, model, tmp_path / "tiny-1")
    loaded = artifact.load(tmp_path / "tiny-1")
    x = torch.rand(2, 1, 24, 187)
    assert torch.equal(loaded.model(x)[0], model(x)[0])
    assert loaded.card.model_dump(exclude={"weights_sha256"}) == card.model_dump()


def test_a_folder_holds_weights_and_card_and_nothing_else(saved):
    assert sorted(path.name for path in saved.parent.rglob("*")) == [
        "model.json",
        "model.safetensors",
        "tiny-1",
    ]


def test_saving_again_replaces_the_folder(saved):
    card = make_card(licence="changed")
    artifact.save(card, build(card.model, card.features, 2), saved)
    assert artifact.load(saved).card.licence == "changed"
    assert len(list(saved.parent.rglob("*"))) == 3


def test_a_failed_save_leaves_nothing_behind(saved, monkeypatch):
    def refuse(path: Path, content: bytes) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(artifact, "write_durably", refuse)
    card = make_card(licence="changed")
    with pytest.raises(OSError, match="disk full"):
        artifact.save(card, build(card.model, card.features, 2), saved)
    assert artifact.load(saved).card.licence == "free"
    assert len(list(saved.parent.rglob("*"))) == 3


def test_tampered_weights_are_refused(saved):
    weights = bytearray((saved / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (saved / "model.safetensors").write_bytes(weights)
    with pytest.raises(ArtifactError, match="checksum"):
        artifact.load(saved)


@pytest.mark.parametrize(
    "change",
    [
        {"colour": "red"},
        {"format_version": 2},
        {"labels": ["calm"]},
        {"weights_sha256": "0"},
        {"model": {"kind": "x"}},
    ],
)
def test_a_card_that_is_not_understood_is_refused(saved, change):
    content = json.loads((saved / "model.json").read_text())
    (saved / "model.json").write_text(json.dumps(content | change))
    with pytest.raises(ArtifactError, match="not a valid model card"):
        artifact.load(saved)


def test_weights_of_another_model_are_refused(saved):
    content = json.loads((saved / "model.json").read_text())
    content["model"]["embedding_size"] += 1
    (saved / "model.json").write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match="do not belong to this card"):
        artifact.load(saved)


@pytest.mark.parametrize("missing", ["model.json", "model.safetensors"])
def test_an_incomplete_folder_is_refused(saved, missing):
    (saved / missing).unlink()
    with pytest.raises(ArtifactError, match=f"{missing} is missing"):
        artifact.load(saved)


@pytest.mark.parametrize(
    "wrong",
    [
        {"labels": ("calm", "calm")},
        {"thresholds": (0.5,)},
        {"thresholds": (0.5, 1.5)},
        {"calibration": Calibration(slopes=(1.0,), offsets=(0.0,))},
        {"name": "../escape"},
    ],
)
def test_a_card_must_fit_its_labels(wrong):
    with pytest.raises(ValidationError):
        make_card(**wrong)
