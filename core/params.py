"""What each kind of job takes; validated by the gateway before anything is queued."""

from enum import StrEnum

from pydantic import Field

from core.config import Config, Coverage


class JobKind(StrEnum):
    ANALYSIS = "analysis"
    PREDICT = "predict"


class AnalysisParams(Config):
    """Label every track of a library, or of one of its folders."""

    library: str = Field(description="name of a library", min_length=1, max_length=200)
    path: str = Field(default="", description="folder inside the library; empty: all of it", max_length=4096)
    model: str = Field(default="default", description="model alias, `name` or `name@version`", max_length=200)
    coverage: Coverage = Field(default="full", description="`full`, or `{windows: n}` evenly spaced windows")
    force: bool = Field(default=False, description="analyse again what has a result already")


class PredictParams(Config):
    """Label one uploaded file."""

    filename: str = Field(max_length=1000)
    model: str = Field(default="default", max_length=200)
