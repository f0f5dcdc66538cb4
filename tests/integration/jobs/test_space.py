"""Too little disk space is noticed, said in a sentence, and over when there is room."""

from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from core.jobs import space
from core.jobs.space import SpaceCheck, find_data_shortage, find_database_shortage
from core.settings import Settings
from core.store.session import SessionFactory, create_session_factory
from tests.support.small_disk import fill, small_disk

FULL = text("DO $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$")


def settings_of(data_dir: Path, min_free_mb: int) -> Settings:
    return Settings(database_url="", broker_url="", data_dir=data_dir, min_free_mb=min_free_mb)


def test_a_folder_with_room_is_written_without_a_trace(tmp_path):
    assert find_data_shortage(settings_of(tmp_path / "new", 0)) is None
    assert list((tmp_path / "new").iterdir()) == []


def test_too_little_room_is_told_with_both_figures(tmp_path):
    found = find_data_shortage(settings_of(tmp_path, 10**12))
    assert found is not None
    assert found.startswith("Only ")
    assert "1000000000000 MB are needed (MFA_MIN_FREE_MB)" in found
    assert str(tmp_path) not in found


def test_a_folder_that_cannot_be_written_is_a_shortage(tmp_path):
    (tmp_path / "file").touch()
    found = find_data_shortage(settings_of(tmp_path / "file" / "data", 0))
    assert found == "The data folder cannot be written (Not a directory): jobs go on when it can."


def test_a_disk_that_is_filled_and_freed(tmp_path):
    with small_disk(tmp_path / "disk", megabytes=4) as disk:
        low, none = settings_of(disk, 2), settings_of(disk, 0)
        assert find_data_shortage(low) is None
        everything = fill(disk)
        assert "Only 0 MB are free" in (find_data_shortage(low) or "")
        assert "No space left on device" in (find_data_shortage(none) or "")
        everything.unlink()
        assert find_data_shortage(low) is None


def test_a_database_without_space_or_without_writes_is_a_shortage(clean_database, database_url, monkeypatch):
    assert find_database_shortage(clean_database) is None
    read_only = create_engine(
        database_url.replace("postgresql://", "postgresql+psycopg://"),
        connect_args={"options": "-c default_transaction_read_only=on"},
    )
    assert find_database_shortage(create_session_factory(read_only)) == (
        "The database takes no writes: jobs go on when it does."
    )
    read_only.dispose()
    monkeypatch.setattr(space, "FILL_A_FILE", FULL)
    assert find_database_shortage(clean_database) == (
        "The database has no disk space left: jobs go on when it has."
    )


@pytest.mark.parametrize("probe", [space.FILL_A_FILE, space.FILL_A_LITTLE])
def test_the_database_is_probed_with_a_temporary_file(clean_database, probe):
    """And so notices a full disk of the server, although nothing stays."""
    plan = f"EXPLAIN (ANALYZE, BUFFERS) {probe.text}"
    with clean_database() as session:
        session.execute(text("SET LOCAL work_mem = '64kB'"))
        lines = "\n".join(session.scalars(text(plan)))
    assert "Storage: Disk" in lines
    assert "temp" in lines


def test_what_was_measured_lately_is_not_measured_again(clean_database, tmp_path, monkeypatch):
    check = SpaceCheck(settings_of(tmp_path, 10**12), clean_database)
    assert check.find_shortage()
    monkeypatch.setattr(space, "find_data_shortage", lambda _: None)
    assert check.find_shortage()
    monkeypatch.setattr(space, "MEASURE_EVERY_S", 0.0)
    assert check.find_shortage() is None


def test_the_large_file_is_written_now_and_then_and_until_a_shortage_has_ended(
    clean_database, tmp_path, monkeypatch
):
    monkeypatch.setattr(space, "MEASURE_EVERY_S", 0.0)
    check = SpaceCheck(settings_of(tmp_path, 0), clean_database)
    assert check.find_shortage() is None
    large = space.FILL_A_FILE
    monkeypatch.setattr(space, "FILL_A_FILE", FULL)
    assert check.find_shortage() is None  # only a little was written
    little = space.FILL_A_LITTLE
    monkeypatch.setattr(space, "FILL_A_LITTLE", FULL)
    assert check.find_shortage() is not None
    monkeypatch.setattr(space, "FILL_A_LITTLE", little)
    assert check.find_shortage() is not None  # there is room for a little, not for all
    monkeypatch.setattr(space, "FILL_A_FILE", large)
    assert check.find_shortage() is None
    monkeypatch.setattr(space, "FILL_A_FILE", FULL)
    monkeypatch.setattr(space, "FILL_EVERY_S", 0.0)
    assert check.find_shortage() is not None


def test_a_database_that_does_not_answer_lacks_no_space():
    engine = create_engine("postgresql+psycopg://127.0.0.1:1/none")
    sessions: SessionFactory = create_session_factory(engine)
    assert find_database_shortage(sessions) is None
