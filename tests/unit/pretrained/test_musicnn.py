import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from core.ml.models import artifact
from core.pretrained import musicnn as pretrained
from core.store.near_audio import MEASURED


def test_the_installed_model_says_what_it_is(default_model):
    card = artifact.load(default_model).card
    assert (card.name, card.version, card.embedding) == ("musicnn-msd", 1, "musicnn-msd-1/penultimate")
    assert len(card.labels) == 50
    assert card.labels[:2] == ("rock", "pop")
    assert card.labels[-1] == "happy"
    assert "Permission to use, copy, modify" in card.licence
    assert card.provenance["archive_sha256"] == pretrained.ARCHIVE_SHA256


def test_the_limits_of_near_duplicates_are_those_of_its_weights(default_model):
    card = artifact.StoredCard.model_validate_json((default_model / artifact.CARD_FILE).read_bytes())
    assert card.weights_sha256 in MEASURED


def test_a_valid_model_is_not_downloaded_again(default_model, monkeypatch):
    monkeypatch.setattr(pretrained, "download", lambda directory: pytest.fail("downloaded"))
    assert pretrained.install(default_model.parent) == default_model


def test_another_archive_is_refused_before_it_is_opened(tmp_path):
    archive = tmp_path / pretrained.ARCHIVE
    with tarfile.open(archive, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo(pretrained.INDEX_MEMBER), io.BytesIO())
    with pytest.raises(SystemExit, match="checksum differs"):
        pretrained.read_members(archive, (pretrained.INDEX_MEMBER,))


def test_a_failing_download_says_why(tmp_path, monkeypatch):
    def fail(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        assert "--require-hashes" in command
        requirements = Path(command[-1]).read_text()
        assert requirements == f"musicnn==0.1.0 --hash=sha256:{pretrained.ARCHIVE_SHA256}\n"
        return subprocess.CompletedProcess(command, 1, "", "no route to host")

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(SystemExit, match="no route to host"):
        pretrained.install(tmp_path)
    assert list(tmp_path.iterdir()) == []
