"""What computes features from files. Stored features of another version are never mixed with new ones."""

from functools import cache
from hashlib import sha256
from importlib.metadata import version

# Of the code of `core.ml.audio`, raised with every change of what it gives: test_version.py notices one.
CODE_VERSION = 2
LIBRARIES = ("av", "soundfile", "soxr", "torchaudio")  # they decode, resample and transform


@cache
def feature_version() -> str:
    """Names the version of the code and, by a digest, those of the libraries: `1-0f3c5a7b`."""
    installed = ",".join(f"{name}={version(name)}" for name in LIBRARIES)
    return f"{CODE_VERSION}-{sha256(installed.encode()).hexdigest()[:8]}"
