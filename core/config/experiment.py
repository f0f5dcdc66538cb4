"""Typed configuration of a training run, read from `configs/experiments/*.yaml`; without torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from core.config.base import Config
from core.config.dataset import DatasetConfig, LabelConfig, SplitConfig
from core.config.errors import explain
from core.config.models import EnsembleConfig, FeatureConfig, ModelConfig, RandomForestConfig, TransferConfig
from core.config.yaml_files import read_mapping
from core.errors import InvalidConfig

Fraction = Annotated[float, Field(ge=0, le=1)]
FEWEST_BANDS = 16


CalibrationMethod = Literal["platt", "temperature"]


class BCELoss(Config):
    """Cross-entropy: of each label by itself, or, where labels exclude each other, of their softmax."""

    kind: Literal["bce"] = "bce"


class FocalLoss(Config):
    """Cross-entropy that down-weights easy examples (Lin et al., 2017)."""

    kind: Literal["focal"] = "focal"
    gamma: Annotated[float, Field(ge=0, le=20)] = 2.0


class AsymmetricLoss(Config):
    """Focal loss with separate exponents for positives and negatives (Ridnik et al., 2021)."""

    kind: Literal["asymmetric"] = "asymmetric"
    gamma_positive: Annotated[float, Field(ge=0, le=20)] = 0.0
    gamma_negative: Annotated[float, Field(ge=0, le=20)] = 4.0
    margin: Annotated[
        float, Field(ge=0, lt=1, description="negatives with a lower probability are ignored")
    ] = 0.05


LossConfig = Annotated[BCELoss | FocalLoss | AsymmetricLoss, Field(discriminator="kind")]


class AugmentationConfig(Config):
    """Augmentation of log-mel patches during training, in the order of the fields; 0 disables each."""

    gain_db: Annotated[float, Field(ge=0, le=60, description="maximum random gain in either direction")] = 0.0
    time_shift: Annotated[Fraction, Field(description="maximum rotation, as a share of the patch")] = 0.0
    time_masks: Annotated[int, Field(ge=0, le=100)] = 0
    time_mask_frames: Annotated[int, Field(ge=1, le=65_536, description="frames of the longest mask")] = 20
    frequency_masks: Annotated[int, Field(ge=0, le=100)] = 0
    frequency_mask_bands: Annotated[int, Field(ge=1, le=1024, description="mel bands of the widest mask")] = 8
    mixup_alpha: Annotated[float, Field(ge=0, le=100, description="parameter of the beta distribution")] = 0.0


class TrainingConfig(Config):
    """How a model is trained."""

    epochs: Annotated[int, Field(ge=1, le=100_000)] = 30
    batch_size: Annotated[int, Field(ge=1, le=65_536, description="patches, over all processes together")] = (
        32
    )
    lr: Annotated[float, Field(gt=0, le=100, description="highest learning rate")] = 1e-3
    optimizer: Annotated[
        Literal["adamw", "nadam", "sgd"], Field(description="sgd: with Nesterov's momentum of 0.9")
    ] = "adamw"
    schedule: Literal["one_cycle", "cosine", "constant"] = "one_cycle"
    warm_up: Annotated[Fraction, Field(description="share of all steps before `lr` is reached")] = 0.2
    weight_decay: Annotated[float, Field(ge=0, le=100, description="except for biases and normalisation")] = (
        1e-2
    )
    clip_norm: Annotated[float, Field(gt=0, le=1e6, description="maximum gradient norm")] = 5.0
    ema_decay: Annotated[
        float, Field(ge=0, lt=1, description="of the averaged weights; 0 disables averaging")
    ] = 0.999
    patience: (
        Annotated[
            int,
            Field(
                ge=1,
                le=100_000,
                description="epochs without improvement of the validation loss; in a cross-validation, of a "
                "fifth of the fold's training tracks",
            ),
        ]
        | None
    ) = 10
    loss: LossConfig = BCELoss()
    max_class_weight: Annotated[
        float,
        Field(ge=1, le=1e6, description="maximum weight of a rare label's positives; 1 for equal weights"),
    ] = 1.0
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5, description="taken from positives only")] = 0.0
    mixed_precision: Annotated[bool, Field(description="bfloat16 if the GPU supports it")] = True
    patches_per_track: (
        Annotated[
            int,
            Field(
                ge=1,
                le=10_000,
                description="random crops of a track per epoch; by default, an epoch has at least 500 crops",
            ),
        ]
        | None
    ) = None
    validation_patches: Annotated[
        int, Field(ge=1, le=10_000, description="evenly spaced patches per track")
    ] = 8
    checkpoint_every_s: Annotated[
        float, Field(ge=0, le=1e6, description="minimum interval between checkpoints")
    ] = 60.0


class EvaluationConfig(Config):
    """How the trained model is evaluated."""

    bootstrap: Annotated[
        int, Field(ge=0, le=100_000, description="resamples for confidence intervals; 0 disables them")
    ] = 1000
    calibration: Annotated[
        CalibrationMethod | Literal["auto"] | None,
        Field(
            description="of the scores; for exclusive labels, both methods fit one temperature; auto: platt, "
            "but none for logistic heads, whose scores are probabilities already"
        ),
    ] = "auto"

    def calibration_of(self, model: ModelConfig) -> CalibrationMethod | None:
        """The method for this model."""
        if self.calibration != "auto":
            return self.calibration
        return None if isinstance(model, TransferConfig) and model.head == "logistic" else "platt"


class ExperimentConfig(Config):
    """Everything besides the audio that determines the result of a run."""

    experiment_name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=100)]
    dataset: DatasetConfig
    labels: LabelConfig = LabelConfig()
    split: SplitConfig = SplitConfig()
    features: FeatureConfig = FeatureConfig()
    model: ModelConfig
    augmentation: AugmentationConfig = AugmentationConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0

    @property
    def seeded_split(self) -> SplitConfig:
        """The split, which the experiment's seed moves unless it has a seed of its own."""
        seed = self.seed if self.split.seed is None else self.split.seed
        return self.split.model_copy(update={"seed": seed})

    @property
    def has_epochs(self) -> bool:
        """Whether the model is trained by gradient descent, for many epochs."""
        if isinstance(self.model, TransferConfig):
            return self.model.head != "logistic"
        return not isinstance(self.model, RandomForestConfig | EnsembleConfig)

    @property
    def stops_early(self) -> bool:
        """Whether a fit ends when its validation loss no longer improves."""
        return self.has_epochs and self.training.patience is not None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.model.kind == "musicnn":
            raise ValueError("musicnn is only trained as the backbone of `transfer`")
        if isinstance(self.model, TransferConfig | RandomForestConfig) and self.augmentation.mixup_alpha:
            raise ValueError(f"mixup does not apply to {self.model.kind}")
        if self.model.kind in ("audio_cnn", "crnn") and self.features.n_mels < FEWEST_BANDS:
            raise ValueError(
                f"{self.model.kind} halves the bands four times: features.n_mels >= {FEWEST_BANDS} must hold"
            )
        if self.model.kind == "multilabel_audio_cnn" and self.training.batch_size < 2:
            raise ValueError(
                "multilabel_audio_cnn normalises over a batch: training.batch_size >= 2 must hold"
            )
        return self


# Short names of frequently changed keys, as used by the command line.
OVERRIDES = {
    "experiment_name": ("experiment_name",),
    "num_genres": ("labels", "num_genres"),
    "epochs": ("training", "epochs"),
    "lr": ("training", "lr"),
    "batch_size": ("training", "batch_size"),
    "seed": ("seed",),
}


GRADIENT = (
    "lr",
    "schedule",
    "warm_up",
    "weight_decay",
    "clip_norm",
    "ema_decay",
    "loss",
    "epochs",
    "patience",
    "batch_size",
)
UNUSED_KEYS = {
    "model.head: logistic": ("training", "model.dropout", "model.hidden_size"),
    "model.kind: transfer": ("augmentation", "training.patches_per_track", "training.validation_patches"),
    "model.kind: random_forest": ("augmentation", *(f"training.{name}" for name in GRADIENT)),
    "model.kind: ensemble": ("augmentation", "training"),
    "split.folds": ("split.validation", "split.test"),
}


def unused_keys(config: ExperimentConfig) -> list[str]:
    """A sentence for each key that is set, but not used by the kind of model or split."""
    found = []
    reasons = [f"model.kind: {config.model.kind}"]
    if isinstance(config.model, TransferConfig):
        reasons.append(f"model.head: {config.model.head}")
    if (config.split.folds or 1) > 1:
        reasons.append("split.folds")
    for reason in reasons:
        for key in UNUSED_KEYS.get(reason, ()):
            section, _, name = key.partition(".")
            given = getattr(config, section)
            usual = type(given)()
            if (getattr(given, name) != getattr(usual, name)) if name else given != usual:
                found.append(f"{key} has no effect with {reason}.")
    return found


def load_experiment(path: Path, overrides: Mapping[str, Any] | None = None) -> ExperimentConfig:
    """Load an experiment from YAML, with `overrides` by the names in `OVERRIDES`; None values are ignored."""
    return parse_experiment(read_mapping(path), overrides)


def parse_experiment(
    content: Mapping[str, Any], overrides: Mapping[str, Any] | None = None
) -> ExperimentConfig:
    """Parse an experiment. Raises InvalidConfig."""
    given = dict(content)
    for name, value in (overrides or {}).items():
        if name not in OVERRIDES:
            raise InvalidConfig(f"{name!r} cannot be overridden; {', '.join(OVERRIDES)} can.")
        if value is not None:
            given = _replaced(given, OVERRIDES[name], value)
    try:
        return ExperimentConfig.model_validate(given)
    except ValidationError as error:
        raise InvalidConfig(explain(error, ExperimentConfig)) from error


def _replaced(content: Mapping[str, Any], keys: tuple[str, ...], value: Any) -> dict[str, Any]:
    first, *rest = keys
    if not rest:
        return {**content, first: value}
    inner = content.get(first)
    return {**content, first: _replaced(inner if isinstance(inner, Mapping) else {}, tuple(rest), value)}
