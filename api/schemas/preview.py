"""Previews of promotions, and what they find out."""

from typing import Generic, Literal, TypeVar
from uuid import UUID

from pydantic import Field

from api.schemas.base import Request, Response, example
from core.config.params import JobKind, PreviewParams

T = TypeVar("T")


class PreviewRequest(Request):
    model_config = example(
        {"kind": "preview", "params": {"model": "my-genres@2", "against": "default", "library": "home"}}
    )

    kind: Literal[JobKind.PREVIEW]
    params: PreviewParams


class PreviewOptions(Request):
    """What the model of the path is compared with."""

    model_config = example({"against": "default", "library": "home"})

    against: str = Field(default="default", max_length=200, description="alias, `name` or `name@version`")
    library: str | None = Field(
        default=None, min_length=1, max_length=200, description="name of a library; by default all"
    )


class OfBoth(Response, Generic[T]):
    """The same of both models."""

    model: T
    against: T


class LabelChange(Response):
    """What becomes of a label; on all other tracks neither model gives it."""

    label: str
    of: list[Literal["model", "against"]] = Field(description="which models have it")
    gained: int = Field(description="tracks that would get it")
    lost: int = Field(description="tracks that would lose it")
    kept: int
    agreement: float | None = Field(
        description="share of tracks that have it with both or with neither; null unless both models have it"
    )


class ScoreChange(Response):
    track_id: UUID
    library: str
    path: str
    label: str = Field(description="of the common labels that nobody decided, that whose score changes most")
    scores: OfBoth[float]
    given: OfBoth[bool] = Field(description="whether the track has the label")


class DecisionScores(Response):
    """Null where there is nothing to divide by."""

    precision: float | None
    recall: float | None
    f1: float | None


class CorrectedLabel(Response):
    """How the models decide on a label where people did; null for a model that does not have it."""

    label: str
    yes: int = Field(description="audio that has it")
    no: int = Field(description="audio that does not")
    model: DecisionScores | None
    against: DecisionScores | None


class RandomScores(Response):
    """Of evaluated audio that `GET /review?strategy=random` had picked: no model had a part in the choice."""

    tracks: int
    macro_labels: int
    macro: OfBoth[DecisionScores]


class CorrectionScores(Response):
    """The models' own decisions against what people said, each piece of audio counted once.

    Labels that nobody decided are not counted; where both models give one label per track, a yes to one of
    their labels is a no to the others. Audio that a model was trained on is evaluated by
    out-of-fold scores, where the training has stored them.
    """

    tracks: int = Field(description="evaluated audio: with a decision on a label of the models")
    not_evaluated: int = Field(
        description="audio with such a decision that is not evaluated: one of the models was trained on it, "
        "and no scores without that are stored"
    )
    out_of_fold: OfBoth[int] = Field(
        description="evaluated audio that the model was trained on, by out-of-fold scores of labels that the "
        "models of the folds had learnt; its thresholds were chosen on them, which flatters it a little"
    )
    macro_labels: int = Field(description="common labels that people gave, of which `macro` is the mean")
    macro: OfBoth[DecisionScores] = Field(
        description="of the same labels for both: the precision of a label that a model never gives is 0"
    )
    at_random: RandomScores | None = Field(
        default=None,
        description="of audio that a review had picked at random; the older model looks worse than it is on "
        "other audio, which was picked because it was unsure or wrong. Null: made by an earlier version",
    )
    labels: list[CorrectedLabel]
    trained_on_corrections: OfBoth[bool | None] = Field(
        description="whether the model was trained on corrections; null if that cannot be told"
    )


class PreviewOutcome(Response):
    """What would change if `model` served in place of `against`; nothing has been changed.

    Computed from what is stored: embeddings for heads, predictions for other models. Corrections outrank both
    models in what is served, so a label on which somebody decided never changes.
    """

    model_config = example(
        {
            "model": "my-genres@2",
            "against": "my-genres@1",
            "library": "home",
            "tracks": 1210,
            "compared": 1200,
            "unchanged": 1111,
            "corrected": 42,
            "of_windows": 0,
            "left_out": {"not_analysed": 10},
            "agreement": 0.925833,
            "labels": [
                {
                    "label": "jazz",
                    "of": ["model", "against"],
                    "gained": 52,
                    "lost": 37,
                    "kept": 310,
                    "agreement": 0.925833,
                }
            ],
            "changes": [
                {
                    "track_id": "5d1f0c0e-8a53-4f0e-9c1d-7f3f0a6f4e21",
                    "library": "home",
                    "path": "jazz/blue.mp3",
                    "label": "jazz",
                    "scores": {"model": 0.91, "against": 0.12},
                    "given": {"model": True, "against": False},
                }
            ],
            "corrections": {
                "tracks": 40,
                "not_evaluated": 2,
                "out_of_fold": {"model": 38, "against": 0},
                "macro_labels": 1,
                "macro": {
                    "model": {"precision": 0.9, "recall": 0.9, "f1": 0.9},
                    "against": {"precision": 0.8, "recall": 0.6, "f1": 0.685714},
                },
                "at_random": {
                    "tracks": 15,
                    "macro_labels": 1,
                    "macro": {
                        "model": {"precision": 0.9, "recall": 0.9, "f1": 0.9},
                        "against": {"precision": 0.9, "recall": 0.9, "f1": 0.9},
                    },
                },
                "labels": [
                    {
                        "label": "jazz",
                        "yes": 20,
                        "no": 20,
                        "model": {"precision": 0.9, "recall": 0.9, "f1": 0.9},
                        "against": {"precision": 0.8, "recall": 0.6, "f1": 0.685714},
                    }
                ],
                "trained_on_corrections": {"model": True, "against": False},
            },
            "warnings": [
                "Tracks left out, as their audio has not been read yet: 10.",
                "Corrected tracks not evaluated, as one of the models was trained on them and no scores "
                "without that are stored: 2.",
            ],
        }
    )

    model: str = Field(description="`name@version`")
    against: str = Field(description="`name@version`")
    library: str | None = Field(description="null: all libraries")
    tracks: int = Field(description="tracks that are there")
    compared: int
    unchanged: int = Field(description="compared tracks that keep exactly their labels")
    corrected: int = Field(description="compared tracks with a label of the models that somebody decided on")
    of_windows: int = Field(description="compared tracks of which only some windows were analysed")
    left_out: dict[str, int] = Field(
        description="tracks that are not compared, by reason: `not_analysed`, and `unknown_to_model`, "
        "`unknown_to_against` or `unknown_to_both` where nothing is stored that the model could use"
    )
    agreement: float | None = Field(
        description="share of compared tracks that get the same of the common labels; null without any"
    )
    labels: list[LabelChange] = Field(description="those that change on most tracks first")
    changes: list[ScoreChange] = Field(description="the 20 tracks whose scores change most")
    corrections: CorrectionScores
    warnings: list[str]
