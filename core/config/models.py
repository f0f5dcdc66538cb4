"""Typed configuration of features and models, without torch, so that the gateway can validate it."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from core.config.base import Config


class Windows(Config):
    """Analyse only `windows` evenly spaced windows of a track."""

    windows: Annotated[int, Field(ge=1, le=1000)]


Coverage = Literal["full"] | Windows


def coverage_name(coverage: Coverage) -> str:
    """`full`, or `windows:8`."""
    return coverage if isinstance(coverage, str) else f"windows:{coverage.windows}"


class FeatureConfig(Config):
    """Log-compressed mel spectrogram: `log10(1 + compression * mel)`. The defaults are musicnn's input."""

    sample_rate: Annotated[int, Field(ge=1000, le=192_000, description="samples per second")] = 16_000
    n_fft: Annotated[int, Field(ge=16, le=65_536, description="samples per Hann window")] = 512
    hop_length: Annotated[int, Field(ge=1, le=65_536, description="samples between two frames")] = 256
    n_mels: Annotated[int, Field(ge=1, le=1024)] = 96
    f_min: Annotated[float, Field(ge=0, le=96_000, description="lowest mel band's lower edge in Hz")] = 0.0
    f_max: Annotated[float, Field(gt=0, le=96_000, description="highest mel band's upper edge in Hz")] = (
        8_000.0
    )
    power: Annotated[float, Field(gt=0, le=10, description="1: magnitude, 2: power spectrogram")] = 2.0
    mel_scale: Literal["slaney", "htk"] = "slaney"
    mel_norm: Literal["slaney"] | None = "slaney"
    compression: Annotated[float, Field(gt=0, le=1e9, description="factor inside the logarithm")] = 10_000.0

    @model_validator(mode="after")
    def _check_ranges(self) -> Self:
        if self.n_fft % 2:
            raise ValueError("n_fft must be even")
        if self.hop_length > self.n_fft:
            raise ValueError("hop_length must not be longer than n_fft")
        if not self.f_min < self.f_max <= self.sample_rate / 2:
            raise ValueError("f_min < f_max <= sample_rate / 2 must hold")
        return self


MAX_EMBEDDING_SIZE = 2000  # limit of pgvector's indexes

Dropout = Annotated[float, Field(ge=0, lt=1)]
EmbeddingSize = Annotated[int, Field(ge=1, le=MAX_EMBEDDING_SIZE)]
ArtifactName = Annotated[
    str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", description="folder of a stored model")
]


class MusicnnConfig(Config):
    """musicnn (Pons and Serra, 2019): timbral and temporal filters, then three convolutions over time."""

    kind: Literal["musicnn"] = "musicnn"
    patch_frames: Annotated[int, Field(ge=1, le=65_536, description="frames per patch")] = 187
    timbral_filters: Annotated[int, Field(ge=1, le=4096, description="per timbral shape")] = 204
    temporal_filters: Annotated[int, Field(ge=1, le=4096, description="per temporal length")] = 51
    mid_channels: Annotated[int, Field(ge=1, le=4096)] = 64
    embedding_size: EmbeddingSize = 200


SingleLabel = Annotated[
    bool | Literal["auto"],
    Field(
        description="labels exclude each other: a track gets exactly one, and its scores sum to 1; "
        "auto: if every track of the dataset has exactly one"
    ),
]


class AudioCNNConfig(Config):
    """The small baseline with four convolutions."""

    kind: Literal["audio_cnn"] = "audio_cnn"
    single_label: SingleLabel = "auto"
    patch_frames: Annotated[int, Field(ge=16, le=65_536, description="frames per patch")] = 312
    base_channels: Annotated[
        int, Field(ge=1, le=1024, description="of the first convolution; doubled by each further one")
    ] = 32
    embedding_size: EmbeddingSize = 128
    dropout: Dropout = 0.3


class MultiLabelAudioCNNConfig(Config):
    """A residual network with squeeze-and-excitation and one small head per label."""

    kind: Literal["multilabel_audio_cnn"] = "multilabel_audio_cnn"
    single_label: SingleLabel = "auto"
    patch_frames: Annotated[int, Field(ge=16, le=65_536, description="frames per patch")] = 500
    base_channels: Annotated[
        int, Field(ge=1, le=1024, description="of the first stage; doubled by each further one")
    ] = 64
    use_attention: Annotated[bool, Field(description="squeeze-and-excitation in every block")] = True
    embedding_size: EmbeddingSize = 256
    head: Annotated[
        Literal["per_label", "linear"],
        Field(description="a separate bottleneck per label, or one linear layer"),
    ] = "per_label"
    dropout: Dropout = 0.3


class CRNNConfig(Config):
    """Four convolutions, then a bidirectional LSTM over time."""

    kind: Literal["crnn"] = "crnn"
    single_label: SingleLabel = "auto"
    patch_frames: Annotated[int, Field(ge=16, le=65_536, description="frames per patch")] = 312
    base_channels: Annotated[
        int, Field(ge=1, le=1024, description="of the first convolution; doubled by each further one")
    ] = 32
    hidden_size: Annotated[int, Field(ge=1, le=8192, description="of the LSTM, per direction")] = 128
    embedding_size: EmbeddingSize = 256
    dropout: Dropout = 0.3


NetworkConfig = Annotated[
    MusicnnConfig | AudioCNNConfig | MultiLabelAudioCNNConfig | CRNNConfig, Field(discriminator="kind")
]


class TransferConfig(Config):
    """A small head on a track's mean embedding by a stored model, the backbone."""

    kind: Literal["transfer"] = "transfer"
    backbone: ArtifactName = "musicnn-msd-1"
    network: Annotated[NetworkConfig | None, Field(description="the backbone's; taken from its artifact")] = (
        None
    )
    network_labels: Annotated[
        int, Field(ge=1, le=100_000, description="the backbone's; taken from its artifact")
    ] = 1
    single_label: SingleLabel = "auto"
    head: Annotated[
        Literal["logistic", "linear", "mlp"],
        Field(description="logistic regression, solved exactly; the others are trained by gradient descent"),
    ] = "logistic"
    inverse_regularization: Annotated[
        float | None,
        Field(
            gt=0,
            le=1e6,
            description="C of the logistic head: its penalty is ||w||^2 / 2C; by default, chosen by "
            "cross-validation within the training tracks",
        ),
    ] = None
    hidden_size: Annotated[int, Field(ge=1, le=8192, description="of the mlp head")] = 64
    dropout: Annotated[Dropout, Field(description="of the linear and mlp heads")] = 0.2

    @property
    def resolved(self) -> NetworkConfig:
        if self.network is None:
            raise ValueError(f"the backbone {self.backbone!r} has not been resolved")
        return self.network

    @property
    def patch_frames(self) -> int:
        return self.resolved.patch_frames

    @property
    def embedding_size(self) -> int:
        return self.resolved.embedding_size


class RandomForestConfig(Config):
    """The classical baseline: decision trees on statistics of each mel band over time."""

    kind: Literal["random_forest"] = "random_forest"
    single_label: SingleLabel = "auto"
    patch_frames: Annotated[int, Field(ge=2, le=65_536, description="frames pooled at once")] = 312
    bands: Annotated[
        int,
        Field(
            ge=1, le=MAX_EMBEDDING_SIZE // 3, description="number of groups into which mel bands are averaged"
        ),
    ] = 48
    trees: Annotated[int, Field(ge=1, le=10_000)] = 200
    max_leaves: Annotated[int, Field(ge=2, le=65_536, description="per tree")] = 64
    min_leaf_patches: Annotated[
        int, Field(ge=1, le=1_000_000, description="minimum number of patches in a leaf")
    ] = 2
    patches_per_track: Annotated[
        int, Field(ge=1, le=10_000, description="evenly spaced training patches")
    ] = 8

    @property
    def embedding_size(self) -> int:
        return 3 * self.bands


MemberConfig = Annotated[NetworkConfig | TransferConfig | RandomForestConfig, Field(discriminator="kind")]


class EnsembleConfig(Config):
    """The mean prediction of several stored models with equal features, patch length and labels."""

    kind: Literal["ensemble"] = "ensemble"
    members: Annotated[tuple[ArtifactName, ...], Field(min_length=1)]
    networks: Annotated[tuple[MemberConfig, ...], Field(description="taken from the members")] = ()

    @property
    def patch_frames(self) -> int:
        return self.networks[0].patch_frames

    @property
    def embedding_size(self) -> int:
        return sum(network.embedding_size for network in self.networks)


ModelConfig = Annotated[
    MusicnnConfig
    | AudioCNNConfig
    | MultiLabelAudioCNNConfig
    | CRNNConfig
    | TransferConfig
    | RandomForestConfig
    | EnsembleConfig,
    Field(discriminator="kind"),
]


def is_single_label(model: ModelConfig) -> bool:
    """Whether a track gets exactly one label, that with the highest score.

    `auto` is for models that are still to be trained, and in those of earlier versions, which give several.
    """
    if isinstance(model, EnsembleConfig):
        return all(map(is_single_label, model.networks))
    return not isinstance(model, MusicnnConfig) and model.single_label is True


class Calibration(Config):
    """A slope and an offset per label, see `core.ml.evaluation.calibration.calibrate`."""

    slopes: tuple[float, ...]
    offsets: tuple[float, ...]
    form: Annotated[
        Literal["sigmoid", "softmax"], Field(description="`softmax` where labels exclude each other")
    ] = "sigmoid"
