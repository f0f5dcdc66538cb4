"""Downloads the default model: `python -m core.pretrained.musicnn DIRECTORY` creates `musicnn-msd-1` there.

The weights are MSD_musicnn of the `musicnn` package on PyPI, trained on the Million Song Dataset.
"""

import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from core.config.models import FeatureConfig, MusicnnConfig
from core.ml.models import artifact
from core.ml.models.artifact import ArtifactError, ModelCard
from core.ml.models.musicnn import Musicnn
from core.pretrained.tensorflow_checkpoint import read_tensors

FOLDER = "musicnn-msd-1"
PACKAGE = "musicnn==0.1.0"
ARCHIVE = "musicnn-0.1.0.tar.gz"
ARCHIVE_SHA256 = "674ccc1fb638e6894f99197cfc2794b90d96444292ea28cedee96de0f74c4abd"
INDEX_MEMBER = "musicnn-0.1.0/musicnn/MSD_musicnn/.index"
DATA_MEMBER = "musicnn-0.1.0/musicnn/MSD_musicnn/.data-00000-of-00001"
LICENCE_MEMBER = "musicnn-0.1.0/LICENSE.md"
# fmt: off
# In the order of the output layer.
LABELS = (
    "rock", "pop", "alternative", "indie", "electronic", "female vocalists", "dance", "00s",
    "alternative rock", "jazz", "beautiful", "metal", "chillout", "male vocalists", "classic rock", "soul",
    "indie rock", "Mellow", "electronica", "80s", "folk", "90s", "chill", "instrumental", "punk", "oldies",
    "blues", "hard rock", "ambient", "acoustic", "experimental", "female vocalist", "guitar", "Hip-Hop",
    "70s", "party", "country", "easy listening", "sexy", "catchy", "funk", "electro", "heavy metal",
    "Progressive rock", "60s", "rnb", "indie pop", "sad", "House", "happy",
)
# fmt: on
# Listeners use most tags rarely, so that even correct ones seldom score near 0.5.
THRESHOLD = 0.1
# The TensorFlow layers, which are numbered by creation, of each parameter group of our model.
CONVOLUTIONS = {
    "timbral.0": ("conv2d", "batch_normalization_1"),
    "timbral.1": ("conv2d_1", "batch_normalization_2"),
    "temporal.0": ("conv2d_2", "batch_normalization_3"),
    "temporal.1": ("conv2d_3", "batch_normalization_4"),
    "temporal.2": ("conv2d_4", "batch_normalization_5"),
    "mid.0": ("conv2d_5", "batch_normalization_6"),
    "mid.1": ("conv2d_6", "batch_normalization_7"),
    "mid.2": ("conv2d_7", "batch_normalization_8"),
}
NORMS = {
    "input_norm": "batch_normalization",
    "pool_norm": "batch_normalization_9",
    "dense_norm": "batch_normalization_10",
}
LINEARS = {"dense": "dense", "output": "dense_1"}


def install(directory: Path) -> Path:
    """The folder of the default model below `directory`, created if it is missing or damaged."""
    folder = directory / FOLDER
    if not _is_valid(folder):
        with tempfile.TemporaryDirectory() as scratch:
            members = read_members(download(Path(scratch)), (INDEX_MEMBER, DATA_MEMBER, LICENCE_MEMBER))
        save_converted(members[INDEX_MEMBER], members[DATA_MEMBER], members[LICENCE_MEMBER].decode(), folder)
    return folder


def _is_valid(folder: Path) -> bool:
    try:
        return artifact.load(folder).card.name == "musicnn-msd"
    except ArtifactError:
        return False


def download(directory: Path) -> Path:
    """Download the source package with pip, which uses this machine's index, proxy and certificates.

    pip verifies the checksum before it opens the archive.
    """
    requirements = directory / "requirements.txt"
    requirements.write_text(f"{PACKAGE} --hash=sha256:{ARCHIVE_SHA256}\n")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "musicnn"]
    command = [*pip, "--require-hashes", "--dest", str(directory), "--requirement", str(requirements)]
    outcome = subprocess.run(command, capture_output=True, text=True)
    if outcome.returncode:
        raise SystemExit(f"pip could not download {PACKAGE}:\n{outcome.stderr.strip()}")
    return directory / ARCHIVE


def read_members(archive: Path, names: tuple[str, ...]) -> dict[str, bytes]:
    """The contents of members of the archive, whose checksum is verified; nothing is unpacked to disk."""
    if hashlib.sha256(archive.read_bytes()).hexdigest() != ARCHIVE_SHA256:
        raise SystemExit(f"{archive.name} is not the published archive: its checksum differs")
    contents = {}
    with tarfile.open(archive) as tar:
        for name in names:
            member = tar.extractfile(name)
            if member is None:
                raise SystemExit(f"{archive.name} holds no file {name}")
            contents[name] = member.read()
    return contents


def save_converted(index: bytes, data: bytes, licence: str, folder: Path) -> None:
    """Write the TensorFlow checkpoint as a model folder."""
    config, features = MusicnnConfig(), FeatureConfig()
    model = Musicnn(config, features, len(LABELS))
    model.load_state_dict(convert(read_tensors(index, data, wanted=lambda name: "/Adam" not in name)))
    card = ModelCard(
        name="musicnn-msd",
        version=1,
        embedding="musicnn-msd-1/penultimate",
        model=config,
        features=features,
        labels=LABELS,
        thresholds=(THRESHOLD,) * len(LABELS),
        metrics={"macro_roc_auc": 0.88019, "macro_pr_auc": 0.28906},
        provenance={
            "weights": f"MSD_musicnn of {PACKAGE} (PyPI), converted without change",
            "archive_sha256": ARCHIVE_SHA256,
            "training": "Million Song Dataset, 50 most frequent Last.fm tags, by Jordi Pons",
            "metrics": "reported by the authors for their test split",
        },
        licence=licence,
    )
    artifact.save(card, model, folder)


def convert(tensors: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """TensorFlow variables -> state of `Musicnn`."""
    state: dict[str, Tensor] = {}
    for ours, (conv, norm) in CONVOLUTIONS.items():
        state[f"{ours}.conv.weight"] = _kernel(
            tensors[f"{conv}/kernel"], over_time_only=ours.startswith("mid")
        )
        state[f"{ours}.conv.bias"] = torch.from_numpy(tensors[f"{conv}/bias"])
        state |= _norm(f"{ours}.norm", tensors, norm)
    for ours, norm in NORMS.items():
        state |= _norm(ours, tensors, norm)
    for ours, dense in LINEARS.items():
        state[f"{ours}.weight"] = torch.from_numpy(tensors[f"{dense}/kernel"].T.copy())
        state[f"{ours}.bias"] = torch.from_numpy(tensors[f"{dense}/bias"])
    return state


def _kernel(kernel: np.ndarray, over_time_only: bool) -> Tensor:
    """Kernel (time, bands, 1, out) -> (out, 1, bands, time), or (out, bands, time) for `Conv1d`."""
    weight = torch.from_numpy(kernel.transpose(3, 2, 1, 0).copy())
    return weight.squeeze(1) if over_time_only else weight


def _norm(ours: str, tensors: dict[str, np.ndarray], theirs: str) -> dict[str, Tensor]:
    names = {
        "weight": "gamma",
        "bias": "beta",
        "running_mean": "moving_mean",
        "running_var": "moving_variance",
    }
    state = {
        f"{ours}.{name}": torch.from_numpy(tensors[f"{theirs}/{name_tf}"]) for name, name_tf in names.items()
    }
    return state | {f"{ours}.num_batches_tracked": torch.tensor(0)}


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m core.pretrained.musicnn DIRECTORY")
    folder = install(Path(sys.argv[1]))
    sys.stdout.write(f"{folder}: the default model is ready (50 labels)\n")


if __name__ == "__main__":
    main()
