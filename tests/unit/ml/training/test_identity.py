import os
from pathlib import Path

import pytest

from core.config.models import FeatureConfig
from core.errors import Corrupt
from core.ml.datasets.credits import Credits
from core.ml.training import feature_cache, identity
from core.ml.training.feature_cache import Cached, CacheResult, cache_log_mels
from core.ml.training.identity import identify, recall
from tests.support.sounds import tone, write


@pytest.fixture(autouse=True)
def settled(monkeypatch):
    monkeypatch.setattr(identity, "SETTLED_NS", 0)


def remember(path: Path, cache_dir: Path) -> identity.Identity:
    with path.open("rb") as file:
        return identify(file, cache_dir)


def test_what_was_read_is_remembered_under_any_name(tmp_path):
    path = write(tmp_path / "a.wav", tone(440, 1))
    assert recall(path.stat(), tmp_path / "cache") is None
    found = remember(path, tmp_path / "cache")
    assert found.credits == Credits()
    assert recall(path.stat(), tmp_path / "cache") == found


def test_an_edited_file_is_not_known_even_with_its_old_size_and_time(tmp_path):
    path = write(tmp_path / "a.wav", tone(440, 1))
    before = path.stat()
    remember(path, tmp_path / "cache")
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (
        before.st_size,
        before.st_mtime_ns,
        before.st_ino,
    )
    assert recall(after, tmp_path / "cache") is None


def test_a_file_that_has_just_been_written_is_not_remembered(tmp_path, monkeypatch):
    monkeypatch.setattr(identity, "SETTLED_NS", 3600 * 10**9)
    path = write(tmp_path / "a.wav", tone(440, 1))
    remember(path, tmp_path / "cache")
    assert recall(path.stat(), tmp_path / "cache") is None


def test_a_substitute_for_audio_that_could_not_be_hashed_is_not_remembered(tmp_path, monkeypatch):
    path = write(tmp_path / "a.wav", tone(440, 1))
    with monkeypatch.context() as patch:
        patch.setattr(identity, "hash_audio", lambda _: None)
        substitute = remember(path, tmp_path / "cache")
    assert recall(path.stat(), tmp_path / "cache") is None
    found = remember(path, tmp_path / "cache")
    assert found.content != substitute.content
    assert recall(path.stat(), tmp_path / "cache") == found


@pytest.mark.parametrize(
    "damage",
    [b"", b"[]", b"{}", b'{"content": "../x", "credits": {}}', b'{"content": 1, "credits": {}}', b"\xff"],
)
def test_damaged_notes_do_not_count(tmp_path, damage):
    path = write(tmp_path / "a.wav", tone(440, 1))
    found = remember(path, tmp_path / "cache")
    (note,) = (tmp_path / "cache").rglob("*.json")
    note.write_bytes(damage)
    assert recall(path.stat(), tmp_path / "cache") is None
    assert remember(path, tmp_path / "cache") == found
    assert recall(path.stat(), tmp_path / "cache") == found


def test_a_second_run_opens_no_unchanged_file(tmp_path, monkeypatch):
    paths = [write(tmp_path / f"{number}.wav", tone(200 + number, 1)) for number in range(4)]

    def run() -> list[CacheResult]:
        return cache_log_mels(paths, FeatureConfig(n_mels=24), tmp_path / "cache")

    first = run()
    assert all(isinstance(one, Cached) for one in first)
    monkeypatch.setattr(feature_cache, "open_audio", lambda *args: pytest.fail("opened again"))
    assert run() == first
    paths[0].write_bytes(b"other")

    def refuse(*args: object) -> None:
        raise Corrupt

    monkeypatch.setattr(feature_cache, "open_audio", refuse)
    assert [isinstance(one, Corrupt) for one in run()] == [True, False, False, False]
