"""`mfa datasets`: what is in a folder of music, before one trains on it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from core.pretrained.smoke_data import write_clips
from tests.support.tagging import id3


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    write_clips(tmp_path / "clips", clips=6, duration_s=1.5)
    (tmp_path / "clips" / "low" / "broken.mp3").write_bytes(b"no audio")
    (tmp_path / "clips" / "LOW ").mkdir()
    (tmp_path / "clips" / "LOW " / "empty.mp3").touch()
    song = next((tmp_path / "clips" / "low").glob("*.flac")).read_bytes()
    (tmp_path / "clips" / "low" / "damaged.flac").write_bytes(id3(9) + song)
    return tmp_path / "clips"


def mfa(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "api.client.cli", "datasets", *arguments)
    environment = {"PYTHONPATH": str(Path(__file__).parents[3]), "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_dataset_is_described_and_drawn(clips, tmp_path):
    result = mfa(tmp_path, "describe", "--kind", "folder", "--root", "clips", "--plots", "plots")
    assert result.returncode == 0, result.stderr
    assert "27 tracks" in result.stdout
    assert "Unreadable files: 2\n" in result.stdout
    assert '"LOW " 1, "low" 8 -> "low"' in result.stdout
    assert "Files with unreadable tags: 1\n" in result.stdout
    assert "low/damaged.flac: ID3v2: version 2.9 is unknown." in result.stdout.replace(str(clips) + "/", "")
    assert "\nlabel\ttracks\tartists\t" in result.stdout
    assert "\npulsing\t" in result.stdout
    assert result.stderr == ""
    assert {path.suffix for path in (tmp_path / "plots").iterdir()} == {".png"}


def test_a_description_as_json_names_every_file(clips, tmp_path):
    result = mfa(tmp_path, "describe", "--root", "clips", "--plots", "plots", "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert (found["tracks"], len(found["unusable"])) == (27, 2)
    assert [Path(path).name for path in found["unreadable_tags"]] == ["damaged.flac"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("describe",), "Name a dataset"),
        (("describe", "--root", "nowhere"), "nowhere is not a folder."),
        (("describe", "--root", ".", "--plots", "/proc/x"), "The folder /proc cannot be written to"),
        (("download", "fma", "--root", "/proc/x"), "The folder /proc cannot be written to"),
        (("describe", "--kind", "poem", "--root", "."), "Input tag 'poem'"),
    ],
)
def test_a_dataset_that_cannot_be_described_gives_one_error_line(tmp_path, arguments, sentence):
    result = mfa(tmp_path, *arguments)
    assert result.returncode == (1 if "nowhere" in arguments else 2)
    assert sentence in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
