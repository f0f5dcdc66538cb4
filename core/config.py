"""Typed configuration of features, models and jobs; torch-free, so the gateway can validate with it."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Config(BaseModel):
    """Base of every configuration: unknown keys are refused and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Windows(Config):
    """Look at `windows` evenly spaced windows of a track only."""

    windows: Annotated[int, Field(ge=1, le=1000)]


Coverage = Literal["full"] | Windows


class FeatureConfig(Config):
    """Log-compressed mel spectrogram: `log10(1 + compression * mel)`. The defaults are musicnn's input."""

    sample_rate: Annotated[int, Field(ge=1000, le=192_000, description="samples per second")] = 16_000
    n_fft: Annotated[int, Field(ge=16, description="samples per Hann window")] = 512
    hop_length: Annotated[int, Field(ge=1, description="samples between two frames")] = 256
    n_mels: Annotated[int, Field(ge=1)] = 96
    f_min: Annotated[float, Field(ge=0, description="lowest mel band's lower edge in Hz")] = 0.0
    f_max: Annotated[float, Field(gt=0, description="highest mel band's upper edge in Hz")] = 8_000.0
    power: Annotated[float, Field(gt=0, description="1: magnitude, 2: power spectrogram")] = 2.0
    mel_scale: Literal["slaney", "htk"] = "slaney"
    mel_norm: Literal["slaney"] | None = "slaney"
    compression: Annotated[float, Field(gt=0, description="factor inside the logarithm")] = 10_000.0

    @model_validator(mode="after")
    def _check_ranges(self) -> Self:
        if self.n_fft % 2:
            raise ValueError("n_fft must be even")
        if self.hop_length > self.n_fft:
            raise ValueError("hop_length must not be longer than n_fft")
        if not self.f_min < self.f_max <= self.sample_rate / 2:
            raise ValueError("f_min < f_max <= sample_rate / 2 must hold")
        return self


class MusicnnConfig(Config):
    """musicnn (Pons and Serra, 2019): timbral and temporal filters, then three convolutions over time."""

    kind: Literal["musicnn"] = "musicnn"
    patch_frames: Annotated[int, Field(ge=1, description="frames seen at once")] = 187
    timbral_filters: Annotated[int, Field(ge=1, description="per timbral shape")] = 204
    temporal_filters: Annotated[int, Field(ge=1, description="per temporal length")] = 51
    mid_channels: Annotated[int, Field(ge=1)] = 64
    embedding_size: Annotated[int, Field(ge=1)] = 200


ModelConfig = Annotated[MusicnnConfig, Field(discriminator="kind")]
