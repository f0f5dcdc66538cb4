import errno
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.config.models import FeatureConfig
from core.errors import FeatureStoreFull, ItemError, Unreadable
from core.ml.audio.features import LogMel
from core.ml.audio.version import feature_version
from core.ml.training import cache_versions, feature_cache, identity
from core.ml.training.cache_paths import cache_path
from core.ml.training.context import TrainingStopped
from core.ml.training.feature_cache import Cached, cache_log_mels, write_array
from core.ml.training.store_limit import CHECK_BYTES, Space, make_room
from tests.support.sounds import BAD_CONTENTS, BAD_FILES, bad_file, noise, tone, write

FEATURES = FeatureConfig(n_mels=24)


def test_frames_are_those_of_the_whole_track(tmp_path):
    samples = noise(25)
    write(tmp_path / "long.wav", samples)
    (cached,) = cache_log_mels([tmp_path / "long.wav"], FEATURES, tmp_path / "cache")
    assert isinstance(cached, Cached)
    frames = np.load(cached.file)
    expected = LogMel(FEATURES)(torch.from_numpy(samples)[None])[0, 0].T.numpy()
    assert frames.dtype == np.float16
    assert frames.shape == expected.shape
    assert np.abs(frames - expected).max() < 2e-3


def test_audio_is_decoded_once_and_space_is_made_only_then(tmp_path, monkeypatch):
    paths = [write(tmp_path / f"{number}.flac", tone(200 + number, 2)) for number in range(5)]
    made: list[int] = []
    first = cache_log_mels(paths, FEATURES, tmp_path / "cache", make_space=made.append)
    assert sorted(made) == sorted(np.load(each.file).nbytes for each in first if isinstance(each, Cached))
    assert len(made) == 5

    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(feature_cache, "stream", refuse)
    assert cache_log_mels(paths, FEATURES, tmp_path / "cache", make_space=refuse) == first


def test_a_renamed_file_is_known_and_a_changed_one_is_not(tmp_path):
    path = write(tmp_path / "a.wav", tone(440, 2))
    (first,) = cache_log_mels([path], FEATURES, tmp_path / "cache")
    (renamed,) = cache_log_mels([path.rename(tmp_path / "b.wav")], FEATURES, tmp_path / "cache")
    (changed,) = cache_log_mels([write(tmp_path / "b.wav", tone(441, 2))], FEATURES, tmp_path / "cache")
    assert first == renamed
    assert isinstance(first, Cached)
    assert isinstance(changed, Cached)
    assert changed.file != first.file


def test_other_features_lie_elsewhere(tmp_path):
    path = write(tmp_path / "a.wav", tone(440, 2))
    found = [cache_log_mels([path], FeatureConfig(n_mels=n), tmp_path / "cache")[0] for n in (24, 48)]
    shapes = [np.load(one.file).shape[1] for one in found if isinstance(one, Cached)]
    assert shapes == [24, 48]


@pytest.mark.parametrize("kind", BAD_CONTENTS)
def test_a_bad_file_costs_only_itself(tmp_path, kind):
    good = write(tmp_path / "good.wav", tone(440, 2))
    bad = tmp_path / "bad.mp3"
    bad_file(kind, bad)
    outcomes = cache_log_mels([bad, good], FEATURES, tmp_path / "cache")
    assert isinstance(outcomes[0], ItemError)
    assert outcomes[0].code == BAD_FILES[kind]
    assert isinstance(outcomes[1], Cached)


def test_missing_files_and_folders_are_distinguished(tmp_path):
    (tmp_path / "folder.wav").mkdir()
    outcomes = cache_log_mels([tmp_path / "none.wav", tmp_path / "folder.wav"], FEATURES, tmp_path / "cache")
    assert [isinstance(one, ItemError) and one.code for one in outcomes] == ["disappeared", "not_a_file"]


def odd_files(folder: Path) -> dict[Path, str]:
    """What is no audio file to open, and its code."""
    folder.mkdir()
    (folder / "loop.mp3").symlink_to("loop.mp3")
    (folder / "link.mp3").symlink_to(write(folder.with_suffix(".wav"), tone(440, 2)))
    os.mkfifo(folder / "pipe.mp3")
    (folder / "file").touch()
    return {
        folder / "loop.mp3": "outside_library",
        folder / "link.mp3": "outside_library",
        folder / "pipe.mp3": "not_a_file",
        folder / "file/a.mp3": "disappeared",
        folder / f"{'a' * 300}.mp3": "disappeared",
        folder / os.fsdecode(b"\xff.mp3"): "unreadable",
        folder.parent / "elsewhere.mp3": "outside_library",
    }


def test_an_odd_file_costs_only_itself(tmp_path):
    odd = odd_files(tmp_path / "music")
    good = write(tmp_path / "music/good.wav", tone(440, 2))
    *outcomes, last = cache_log_mels([*odd, good], FEATURES, tmp_path / "cache", root=tmp_path / "music")
    assert [isinstance(one, ItemError) and one.code for one in outcomes] == list(odd.values())
    assert isinstance(last, Cached)


def test_a_disk_that_cannot_read_a_file_costs_only_that_and_a_machine_at_its_limits_ends_all(
    tmp_path, monkeypatch
):
    path = write(tmp_path / "a.wav", tone(440, 2))
    for number in (errno.EIO, errno.EMFILE):

        def fail(file: object, number: int = number) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(identity, "hash_audio", fail)
        if number == errno.EIO:
            (outcome,) = cache_log_mels([path], FEATURES, tmp_path / "cache")
            assert isinstance(outcome, Unreadable)
        else:
            with pytest.raises(OSError, match="Too many open files"):
                cache_log_mels([path], FEATURES, tmp_path / "cache")


def test_progress_is_reported_and_a_stop_is_obeyed(tmp_path):
    paths = [write(tmp_path / f"{number}.wav", tone(200 + number, 1)) for number in range(3)]
    progress: list[tuple[int, int]] = []
    cache_log_mels(paths, FEATURES, tmp_path / "cache", on_track=lambda *at: progress.append(at))
    assert progress[-1] == (3, 3)
    assert progress == sorted(progress)
    with pytest.raises(TrainingStopped):
        cache_log_mels(paths, FEATURES, tmp_path / "cache", should_stop=lambda: True)


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def refuse(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", refuse)
    with pytest.raises(OSError, match="No space"):
        write_array(cache_path(tmp_path, "ab" * 32), np.zeros(3))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


WRITE_FOREVER = """
import sys; from pathlib import Path; import numpy as np
from core.ml.training.feature_cache import write_array
from core.ml.training.cache_paths import cache_path
array = np.arange(1_000_000)
for number in range(10_000):
    write_array(cache_path(Path(sys.argv[1]), f"{number:064x}"), array)
"""


def test_a_killed_writer_leaves_only_whole_arrays(tmp_path):
    writer = subprocess.Popen([sys.executable, "-c", WRITE_FOREVER, str(tmp_path)])
    deadline = time.monotonic() + 60
    while len(list(tmp_path.rglob("*.npy"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    writer.kill()
    writer.wait()
    arrays = list(tmp_path.rglob("*.npy"))
    assert len(arrays) >= 3
    assert all(len(np.load(path)) == 1_000_000 for path in arrays)


def test_a_damaged_track_is_used_and_what_is_missing_is_remembered(tmp_path):
    path = write(tmp_path / "a.wav", noise(10))
    path.write_bytes(path.read_bytes()[:-8000])
    found = [cache_log_mels([path], FEATURES, tmp_path / "cache")[0] for _ in range(2)]
    assert found[0] == found[1]
    assert isinstance(found[0], Cached)
    assert len(np.load(found[0].file)) > 600
    (warning,) = found[0].warnings
    assert "0.25 s of 10.00 s (2.5 %)" in warning


def test_features_of_other_code_are_not_used_and_are_swept_in_the_end(tmp_path, monkeypatch):
    path, cache = write(tmp_path / "a.wav", tone(440, 2)), tmp_path / "cache"
    (first,) = cache_log_mels([path], FEATURES, cache)
    monkeypatch.setattr(cache_versions, "feature_version", lambda: "2-another")
    (second,) = cache_log_mels([path], FEATURES, cache)
    assert isinstance(first, Cached)
    assert isinstance(second, Cached)
    assert first.file != second.file
    unversioned = cache / "embeddings" / "0123456789abcdef" / "ab"
    unversioned.mkdir(parents=True)
    cache_versions.sweep_outdated(cache)
    assert first.file.exists()
    assert unversioned.exists()
    old = time.time() - 25 * 3600
    for folder in (first.file.parents[2], unversioned.parent, second.file.parents[2]):
        os.utime(folder, (old, old))
    cache_versions.sweep_outdated(cache)
    assert not first.file.parents[2].exists()
    assert not unversioned.parent.exists()
    assert second.file.exists()
    cache_versions.sweep_outdated(tmp_path / "none yet")


@pytest.mark.parametrize("function", ["stat", "iterdir"])
def test_two_trainings_may_sweep_the_cache_at_a_time(tmp_path, monkeypatch, function):
    """The other one removes a folder of an earlier version between two looks at it."""
    outdated = tmp_path / "log-mel" / "1-earlier"
    outdated.mkdir(parents=True)
    old = time.time() - 25 * 3600
    os.utime(outdated, (old, old))
    look = getattr(Path, function)

    def look_too_late(path: Path, *arguments: Any, **named: Any) -> Any:
        if path == outdated and path in list(iterate(path.parent)):
            outdated.rmdir()
        return look(path, *arguments, **named)

    iterate = Path.iterdir
    monkeypatch.setattr(Path, function, look_too_late)
    cache_versions.sweep_outdated(tmp_path)
    assert [folder.name for folder in iterate(tmp_path / "log-mel")] == [feature_version()]


def test_a_file_that_is_written_while_it_is_read_is_not_cached(tmp_path, monkeypatch):
    path = write(tmp_path / "a.wav", tone(440, 2))
    frames = feature_cache._frames

    def change(*arguments: Any) -> tuple[np.ndarray, tuple[str, ...]]:
        found = frames(*arguments)
        with path.open("ab") as file:
            file.write(b"more")
        return found

    monkeypatch.setattr(feature_cache, "_frames", change)
    (outcome,) = cache_log_mels([path], FEATURES, tmp_path / "cache")
    assert isinstance(outcome, Unreadable)
    assert not list((tmp_path / "cache").rglob("*.npy"))


def frames_used(cache: Path, **days: float) -> dict[str, Path]:
    """Frames of 1,000 bytes each, last used the given numbers of days ago."""
    files = {}
    for name, ago in days.items():
        files[name] = cache / "log-mel" / "1" / "features" / "ab" / f"{name}.npy"
        files[name].parent.mkdir(parents=True, exist_ok=True)
        files[name].write_bytes(bytes(1000))
        files[name].with_suffix(".warnings.json").write_text("[]")
        os.utime(files[name], (time.time() - 86400 * ago,) * 2)
    return files


def test_the_frames_used_longest_ago_give_way_and_those_of_today_never(tmp_path):
    files = frames_used(tmp_path, old=9, older=12, new=0.5)
    make_room(tmp_path, 3000)
    assert all(file.exists() for file in files.values())
    make_room(tmp_path, 2000)
    assert [name for name, file in files.items() if file.exists()] == ["old", "new"]
    assert not files["older"].with_suffix(".warnings.json").exists()
    with pytest.raises(FeatureStoreFull, match="allows 5e-07"):
        make_room(tmp_path, 500)
    assert files["new"].exists()
    make_room(tmp_path / "none yet", 0)


def test_space_is_made_first_and_again_for_every_gigabyte(tmp_path):
    files = frames_used(tmp_path, old=3, new=2)
    space = Space(tmp_path, 1000)
    space.make(CHECK_BYTES - 1)
    assert [name for name, file in files.items() if file.exists()] == ["new"]
    frames_used(tmp_path, older=4)
    space.make(1)
    assert len(list(tmp_path.rglob("*.npy"))) == 2
    space.make(1)
    assert [name for name, file in files.items() if file.exists()] == ["new"]
    assert len(list(tmp_path.rglob("*.npy"))) == 1


def test_frames_that_are_used_count_as_used_now(tmp_path):
    path, cache = write(tmp_path / "a.wav", tone(440, 2)), tmp_path / "cache"
    (cached,) = cache_log_mels([path], FEATURES, cache)
    assert isinstance(cached, Cached)
    os.utime(cached.file, (0, 0))
    cache_log_mels([tmp_path / "gone.wav"], FEATURES, cache, contents={tmp_path / "gone.wav": cached.content})
    make_room(cache, 1e6)
    assert time.time() - cached.file.stat().st_mtime < 60
