"""The version of feature extraction. Cached features of different versions are never mixed."""

from functools import cache
from hashlib import sha256
from importlib.metadata import version

# Raised with every change of the features that `core.ml.audio` computes, which test_version.py detects.
CODE_VERSION = 2
LIBRARIES = ("av", "soundfile", "soxr", "torchaudio")  # they decode, resample and transform


@cache
def feature_version() -> str:
    """The code version and a digest of the libraries' versions, for example `1-0f3c5a7b`."""
    installed = ",".join(f"{name}={version(name)}" for name in LIBRARIES)
    return f"{CODE_VERSION}-{sha256(installed.encode()).hexdigest()[:8]}"
