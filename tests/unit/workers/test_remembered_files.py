"""Identities of files are cached when their audio and tags could be read, and only then."""

import pytest

from core.jobs.items import WorkItem
from core.library.content import NOT_READ, TAGS_VERSION
from core.ml.training import identity
from core.store.tracks import AnalysedFile
from workers import preparation


@pytest.mark.parametrize(("version", "is_remembered"), [(TAGS_VERSION, True), (NOT_READ, False)])
def test_a_file_whose_audio_could_not_be_hashed_is_not_remembered(
    tmp_path, monkeypatch, version, is_remembered
):
    monkeypatch.setattr(identity, "SETTLED_NS", 0)
    path = tmp_path / "a.mp3"
    path.write_bytes(b"music")
    found = AnalysedFile(None, "a.mp3", 5, 0, b"c" * 32, b"f" * 32, {}, tags_version=version)
    with path.open("rb") as file:
        preparation._remember([((WorkItem(0, None, "a.mp3"), found), file)], tmp_path / "cache")
    known = identity.recall(path.stat(), tmp_path / "cache")
    assert (known is not None) == is_remembered
