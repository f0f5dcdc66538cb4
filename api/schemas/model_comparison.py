"""Models side by side."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from api.schemas.base import Response, example
from api.schemas.training import Interval


class ComparedModel(Response):
    """What is known of a model; null where no training that is known here has made it."""

    model: str = Field(description="`name@version`")
    kind: str
    aliases: list[str]
    created_at: datetime
    labels: int
    single_label: bool = Field(description="a track gets exactly one label")
    embedding_size: int
    size: int | None = Field(description="bytes of its weights; null if the server cannot see their file")
    run_id: UUID | None = Field(description="the training that made its weights")
    dataset: dict[str, Any] | None = Field(description="as in the configuration of the run")
    dataset_sha256: str | None = Field(description="SHA-256 of the tracks, their labels and contents")
    tracks: dict[str, int] | None = Field(description="`all` of the dataset and, of one split, each part")
    evaluated_on: str | None = Field(description="`out_of_fold` when cross-validated, else `test`")
    folds: int | None
    trained_on_corrections: bool | None
    warnings: list[str] = Field(description="of its training")


class ComparedLabel(Response):
    """Lists in the order of the models; null for a model without the label, and where nothing is known."""

    label: str
    thresholds: list[float | None] = Field(description="not used by models that give one label per track")
    support: list[int | None] = Field(description="tracks that have the label")
    pr_auc: list[float | None]
    f1: list[float | None]


class ModelComparison(Response):
    """Models side by side; every list is in the order of `models`."""

    model_config = example(
        {
            "models": [
                {
                    "model": f"my-genres@{version}",
                    "kind": "transfer",
                    "aliases": aliases,
                    "created_at": "2026-03-01T12:00:00Z",
                    "labels": 1,
                    "single_label": False,
                    "embedding_size": 200,
                    "size": 3_276_800,
                    "run_id": "0b9a6c1e-6f0f-4b7e-9a53-0d5d1f9f2a11",
                    "dataset": {"kind": "corrections", "library": "home"},
                    "dataset_sha256": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
                    "tracks": {"all": tracks},
                    "evaluated_on": "out_of_fold",
                    "folds": 5,
                    "trained_on_corrections": True,
                    "warnings": [],
                }
                for version, aliases, tracks in ((2, [], 161), (1, ["default"], 121))
            ],
            "metrics": {
                "f1_macro": [
                    {"value": 0.93, "low": 0.88, "high": 0.96},
                    {"value": 0.9, "low": 0.84, "high": 0.94},
                ]
            },
            "labels": [
                {
                    "label": "jazz",
                    "thresholds": [0.41, 0.47],
                    "support": [60, 40],
                    "pr_auc": [0.97, 0.95],
                    "f1": [0.93, 0.9],
                }
            ],
            "common": ["jazz"],
            "only": {"my-genres@2": [], "my-genres@1": []},
            "comparable": False,
            "reasons": ["They were trained and measured on different tracks or labels."],
        }
    )

    models: list[ComparedModel]
    metrics: dict[str, list[Interval | None]] = Field(
        description="by name; null bounds: no interval is known"
    )
    labels: list[ComparedLabel]
    common: list[str] = Field(description="labels that all of the models have")
    only: dict[str, list[str]] = Field(description="labels that no other of the models has, by model")
    comparable: bool = Field(description="whether all were measured on the same tracks in the same way")
    reasons: list[str] = Field(description="why the measures cannot be compared")
