"""The README's commands, run as a reader would against the whole stack: real audio, shorter trainings."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import pytest
import yaml

from core.settings import PROJECT
from tests.e2e.conftest import RunningStack
from tests.support import sounds
from tests.support.documents import all_commands

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

MUSIC = "/home/me/Music"
KINDS = ("acoustic", "electronic")
NAME = "reader"  # in place of `samples`, a model that other tests train on the same stack
TRACKS = 9
COMMANDS = all_commands((PROJECT / "README.md").read_text())
REST = [command for command in COMMANDS if command.startswith("curl")]
MFA = [command for command in COMMANDS if command.startswith("mfa")]
TRAINING = MFA[MFA.index("mfa libraries") + 1 :]
JOB_ID = re.compile(r'"id":\s*"([0-9a-f-]{36})"')


@dataclass
class Reader:
    """A shell in the reader's folder, who copies ids from answers into variables."""

    running: RunningStack
    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def run(self, command: str) -> str:
        """The output of a command, which must succeed; curl fails on an error of HTTP."""
        settings = self.running.settings
        environment = os.environ | self.variables
        environment |= {
            "HOME": str(self.folder),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        environment |= {"MFA_DATA_DIR": str(settings.data_dir), "MFA_PORT": str(settings.port)}
        command = re.sub(r"(promote|preview|--thresholds) samples", rf"\1 {NAME}", command)
        command = command.replace(MUSIC, str(self.folder / "Music"))
        script = f'curl() {{ command curl --fail-with-body -sS "$@"; }}\n{command}'
        done = subprocess.run(
            ["bash", "-eu", "-c", script],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def reader(running: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """A folder with music, one file beside it, and the configurations of the README in small."""
    folder = tmp_path_factory.mktemp("reader")
    for album, kind, number in product(("first", "second"), KINDS, (1, 2)):
        file = folder / "Music" / album / f"{kind} {number}.ogg"
        file.parent.mkdir(parents=True, exist_ok=True)
        sounds.write(file, _sound(kind, 300 + 7 * number + 31 * len(album)))
    (folder / "Music" / "jazz").mkdir()
    shutil.copy(file, folder / "Music" / "jazz" / "song.mp3")
    shutil.copy(file, folder / "song.mp3")
    _write_configurations(folder)
    yield Reader(running, folder, {"api": f"{running.stack.url}/api/v1"})
    running.http.post("/models/musicnn-msd/promote", json={}).raise_for_status()


def _sound(kind: str, pitch_hz: float) -> sounds.Samples:
    """Two kinds that a model can tell apart."""
    return (
        sounds.chord([pitch_hz, 1.5 * pitch_hz], 4)
        if kind == "acoustic"
        else sounds.noise(4, seed=int(pitch_hz))
    )


def _write_configurations(folder: Path) -> None:
    """Those that the README names, over the reader's music, with few folds and trials."""
    experiment = yaml.safe_load((PROJECT / "configs/experiments/samples.yaml").read_text())
    experiment["experiment_name"] = NAME
    experiment["dataset"] |= {"root": str(folder / "Music"), "vocabulary": list(KINDS)}
    experiment["split"] = {"folds": 2}
    experiment["model"]["single_label"] = False  # so that there are thresholds, as with the samples
    study = yaml.safe_load((PROJECT / "configs/tuning/samples.yaml").read_text())
    study["space"]["training.epochs"] |= {"low": 2, "high": 4, "step": 2}
    study |= {"experiment": experiment, "n_trials": 2}
    for name, content in (("experiments", experiment), ("tuning", study)):
        file = folder / "configs" / name / "samples.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(yaml.safe_dump(content))


def test_music_is_labelled_and_searched_with_the_command(reader: Reader) -> None:
    shown = [reader.run(command) for command in MFA[: MFA.index("mfa libraries") + 1]]
    assert "jazz/song.mp3" in shown[0]
    assert f"{TRACKS} tracks labelled" in shown[0]
    assert "jazz/song.mp3" in shown[2]  # the same audio as another file
    assert "succeeded" in shown[3]


def test_music_is_labelled_and_searched_over_rest(reader: Reader) -> None:
    answers = []
    for command in REST:
        answers.append(reader.run(command))
        if "/jobs" in command and (job := JOB_ID.search(answers[-1])) and "JOB" not in reader.variables:
            reader.variables["JOB"] = job[1]
            assert reader.running.wait_for_end(job[1])["state"] == "succeeded"
            track = reader.running.http.get("/tracks?library=music").json()["items"][0]["id"]
            reader.variables["TRACK"] = track
    assert "202 Accepted" in answers[1]
    assert answers[3].startswith("track_id,path,")
    assert '"labels"' in answers[-1]


@pytest.mark.timeout(600)
def test_models_are_trained_and_tuned(reader: Reader) -> None:
    shown: dict[str, str] = {}
    for command in TRAINING:
        shown[command] = reader.run(command)
        if command.startswith("mfa tune --config"):
            reader.variables["STUDY"] = reader.running.http.get("/studies").json()["items"][0]["id"]
    assert f"{NAME}@1" in shown["mfa train --config configs/experiments/samples.yaml"]
    assert f"{TRACKS} tracks labelled" in shown["mfa label ~/Music"]
    assert "Nothing was changed." in shown["mfa models preview samples"]
    assert len(shown) == len(TRAINING) == 12
