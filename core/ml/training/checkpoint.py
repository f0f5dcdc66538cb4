"""Checkpoints on disk: each is a folder that is complete and verified by checksums, or else ignored.

torch.save is not atomic and uses pickle; here tensors are in safetensors and everything else in JSON.
"""

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from core.atomic_write import sync_folder, write_durably

TENSORS_FILE, STATE_FILE, MANIFEST_FILE = "tensors.safetensors", "state.json", "manifest.json"
KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    tensors: dict[str, Tensor]
    state: dict[str, Any]


class Checkpoints:
    """The checkpoints of one fit, numbered by their step."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, step: int, checkpoint: Checkpoint) -> None:
        """Add a checkpoint, and only then remove all but the last two."""
        self._write(f"step-{step:09d}", checkpoint)
        for old in self._steps()[:-KEPT]:
            shutil.rmtree(self._folder / old)

    def load_latest(self) -> Checkpoint | None:
        """The newest checkpoint that is not damaged."""
        found = (self._read(name) for name in reversed(self._steps()))
        return next((checkpoint for checkpoint in found if checkpoint is not None), None)

    def _steps(self) -> list[str]:
        if not self._folder.is_dir():
            return []
        return sorted(path.name for path in self._folder.iterdir() if re.fullmatch(r"step-\d{9}", path.name))

    def _write(self, name: str, checkpoint: Checkpoint) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        for unfinished in self._folder.glob(".unfinished-*"):
            shutil.rmtree(unfinished)
        staging = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=self._folder))
        contents = {
            TENSORS_FILE: save_tensors({key: _plain(tensor) for key, tensor in checkpoint.tensors.items()}),
            STATE_FILE: json.dumps(checkpoint.state).encode(),
        }
        manifest = _checksums(contents)
        for file, content in (*contents.items(), (MANIFEST_FILE, json.dumps(manifest).encode())):
            write_durably(staging / file, content)
        sync_folder(staging)
        target = self._folder / name
        if target.exists():
            shutil.rmtree(target)
        staging.rename(target)
        sync_folder(self._folder)

    def _read(self, name: str) -> Checkpoint | None:
        folder = self._folder / name
        try:
            manifest = json.loads((folder / MANIFEST_FILE).read_bytes())
            contents = {file: (folder / file).read_bytes() for file in (TENSORS_FILE, STATE_FILE)}
        except (OSError, ValueError):
            return None
        if manifest != _checksums(contents):
            return None
        return Checkpoint(load_tensors(contents[TENSORS_FILE]), json.loads(contents[STATE_FILE]))


def _checksums(contents: Mapping[str, bytes]) -> dict[str, str]:
    return {file: hashlib.sha256(content).hexdigest() for file, content in contents.items()}


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous()
