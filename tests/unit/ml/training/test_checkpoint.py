import json
from pathlib import Path

import pytest
import torch

from core.ml.training import checkpoint
from core.ml.training.checkpoint import STATE_FILE, TENSORS_FILE, Checkpoint, Checkpoints


def make(step: int) -> Checkpoint:
    return Checkpoint({"weight": torch.full((2,), float(step))}, {"step": step, "loss": 0.1})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def latest_step(folder: Path) -> int | None:
    found = Checkpoints(folder).load_latest()
    return None if found is None else int(found.state["step"])


def test_what_was_saved_comes_back(tmp_path):
    Checkpoints(tmp_path / "run").save(7, make(7))
    found = Checkpoints(tmp_path / "run").load_latest()
    assert found is not None
    assert found.state == {"step": 7, "loss": 0.1}
    assert torch.equal(found.tensors["weight"], torch.tensor([7.0, 7.0]))


def test_nothing_comes_from_nothing(tmp_path):
    assert Checkpoints(tmp_path / "run").load_latest() is None


def test_the_last_two_are_kept(tmp_path):
    for step in (1, 2, 10, 300):
        Checkpoints(tmp_path).save(step, make(step))
    assert names(tmp_path) == ["step-000000010", "step-000000300"]
    assert latest_step(tmp_path) == 300


@pytest.mark.parametrize("file", [TENSORS_FILE, STATE_FILE])
def test_a_damaged_one_does_not_count(tmp_path, file):
    for step in (1, 2):
        Checkpoints(tmp_path).save(step, make(step))
    damaged = tmp_path / "step-000000002" / file
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    assert latest_step(tmp_path) == 1


@pytest.mark.parametrize("file", [TENSORS_FILE, STATE_FILE, "manifest.json"])
def test_an_incomplete_one_does_not_count(tmp_path, file):
    for step in (1, 2):
        Checkpoints(tmp_path).save(step, make(step))
    (tmp_path / "step-000000002" / file).unlink()
    assert latest_step(tmp_path) == 1


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    Checkpoints(tmp_path).save(1, make(1))

    def refuse(path: Path, content: bytes) -> None:
        path.write_bytes(content[:3])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_durably", refuse)
        with pytest.raises(OSError, match="No space"):
            Checkpoints(tmp_path).save(2, make(2))
    assert latest_step(tmp_path) == 1
    Checkpoints(tmp_path).save(3, make(3))
    assert names(tmp_path) == ["step-000000001", "step-000000003"]


def test_the_same_step_may_be_saved_again(tmp_path):
    Checkpoints(tmp_path).save(1, make(1))
    Checkpoints(tmp_path).save(1, Checkpoint({}, {"step": 99}))
    assert latest_step(tmp_path) == 99


def test_nothing_but_safetensors_and_json_is_written(tmp_path):
    Checkpoints(tmp_path).save(1, make(1))
    folder = tmp_path / "step-000000001"
    assert names(folder) == ["manifest.json", "state.json", "tensors.safetensors"]
    assert set(json.loads((folder / "manifest.json").read_text())) == {"state.json", "tensors.safetensors"}
