"""A piece of audio is analysed once, whatever is written around it, wherever it lies, whoever analysed it."""

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from alembic import command
from sqlalchemy import Connection, func, select, text, update
from sqlalchemy.orm import Session

from core.config.models import Windows
from core.config.params import PredictParams
from core.errors import Empty
from core.jobs.kinds import SubmissionContext
from core.library.content import TAGS_VERSION, TagReading, identity_without_audio
from core.services.corrections import correct_track
from core.services.prediction import submit_prediction
from core.services.results import BEFORE_ALL, list_results
from core.states import Verdict
from core.store.contents import move_results
from core.store.correction_changes import get_history
from core.store.corrections import find_corrections
from core.store.registry import resolve_model
from core.store.session import create_database_engine, create_session_factory, transaction
from core.store.tables import Embedding, Job, JobItem, JobUnit, Prediction, PredictionLabel, Track
from tests.conftest import alembic_config, create_database
from tests.integration.workers.music import Music
from tests.integration.workers.test_relabelling import Head
from tests.support import sounds
from tests.support.builders import make_model
from tests.support.planned import read_job
from tests.support.tagging import ape, id3, id3v1, remux, text_frame
from tests.support.worker import run, work_off

FORMATS = ("mp3", "flac", "ogg", "opus", "wav")


def title(text: str) -> bytes:
    return id3(3, text_frame("TIT2", b"\0" + text.encode(), 3))


def music_of(suffix: str) -> bytes:
    return sounds.encoded_music(suffix)


@pytest.fixture
def library(music: Music, tagger: Any) -> Music:
    """One song in every format and one m4a, labelled."""
    for suffix in FORMATS:
        music.add(f"song.{suffix}", content=music_of(suffix))
    music.add("song.m4a", content=sounds.encode_av(sounds.noise(2), 16_000, "ipod", "aac"))
    assert set(music.outcomes(music.label()).values()) == {"done"}
    tagger.analysed.clear()
    return music


def test_retagged_renamed_moved_and_remuxed_files_are_not_analysed_again(library, tagger):
    root = library.root
    (root / "song.mp3").write_bytes(title("New") + music_of("mp3") + ape(Genre="Polka") + id3v1("New"))
    (root / "song.flac").write_bytes(id3(4) + music_of("flac"))
    (root / "sub").mkdir()
    (root / "song.ogg").rename(root / "sub" / "another name.ogg")
    (root / "song.opus").write_bytes(remux(music_of("opus"), "matroska", title="New"))
    (root / "song.wav").rename(root / "sub" / "song.wav")
    (root / "song.m4a").write_bytes(remux((root / "song.m4a").read_bytes(), "mp4"))
    library.add("copy.mka", content=b"")
    (root / "copy.mka").rename(root / "copy.mp3")
    (root / "copy.mp3").write_bytes(remux(music_of("mp3"), "matroska"))
    outcomes = library.outcomes(library.label())
    assert len(outcomes) == 7
    assert set(outcomes.values()) == {"skipped"}
    assert tagger.analysed == []
    assert library.track("song.mp3").tags == {"title": "New", "genre": ["Polka"]}
    assert library.track("song.opus").tags == {"title": "New"}
    assert library.track("copy.mp3").content_hash == library.track("song.mp3").content_hash


def test_a_known_file_is_reused_without_demuxing_it(library, tagger, monkeypatch):
    def never(*_: object) -> None:
        raise AssertionError("a helper was asked")

    monkeypatch.setattr("workers.examining.hash_audio", never)
    monkeypatch.setattr("workers.examining.read_tags", never)
    (library.root / "song.mp3").rename(library.root / "renamed.mp3")
    assert set(library.outcomes(library.label()).values()) == {"skipped"}
    assert library.track("renamed.mp3").tags == library.track("song.mp3").tags


def test_a_file_that_changed_since_it_was_listed_is_hashed_again(library, tagger):
    job_id = library.submit(force=True)
    (library.root / "song.mp3").write_bytes(title("New") + music_of("mp3"))
    work_off(library.sessions, job_id)
    whole = hashlib.sha256((library.root / "song.mp3").read_bytes()).digest()
    assert library.track("song.mp3").file_hash == whole
    assert library.track("song.mp3").tags == {"title": "New"}


def test_a_head_labels_retagged_files_from_their_embeddings(library, tagger, monkeypatch):
    with transaction(library.sessions) as session:
        encoder_id = resolve_model(session, "default").encoder_id
        make_model(session, alias=None, name="head", kind="transfer", sha256="h", encoder_id=encoder_id)
    head = Head()
    monkeypatch.setattr("workers.analysis.get_tagger", lambda model, threads: head)
    (library.root / "song.mp3").write_bytes(title("New") + music_of("mp3"))
    outcomes = library.outcomes(library.label(model="head"))
    assert set(outcomes.values()) == {"done"}
    assert head.analysed == []


def test_tags_of_an_older_version_are_read_again_without_an_analysis(library, tagger):
    (library.root / "song.mp3").write_bytes(title("Song") + music_of("mp3"))
    library.label()
    with transaction(library.sessions) as session:
        session.execute(update(Track).values(tags={}, tags_version=TAGS_VERSION - 1))
    assert set(library.outcomes(library.label()).values()) == {"skipped"}
    assert tagger.analysed == []
    track = library.track("song.mp3")
    assert (track.tags, track.tags_version) == ({"title": "Song"}, TAGS_VERSION)


def test_unreadable_tags_are_kept_with_their_reason_and_logged(library, tagger, caplog):
    broken = id3(3, text_frame("TIT2", b"\0Song", 3), text_frame("TPE1", b"\x09x", 3))
    (library.root / "song.mp3").write_bytes(broken + music_of("mp3"))
    library.label()
    track = library.track("song.mp3")
    assert track.tags == {"title": "Song"}
    assert "TPE1 has an unknown text encoding" in track.tags_error
    assert any("song.mp3" in each.message and "TPE1" in each.message for each in caplog.records)
    (library.root / "song.mp3").write_bytes(title("Song") + music_of("mp3"))
    library.label()
    assert library.track("song.mp3").tags_error is None


def test_tags_of_a_track_that_cannot_be_decoded_are_kept(library, tagger):
    """And none of the file that lay at its path before."""
    (library.root / "song.mp3").write_bytes(title("Song") + music_of("mp3"))
    library.label()
    assert library.track("song.mp3").tags == {"title": "Song"}
    (library.root / "song.mp3").write_bytes(b"bad")
    (library.root / "song.flac").write_bytes(
        b"bad" + bytes(2000) + ape(Title="Locked") + id3v1("Locked", "Me")
    )
    outcomes = library.outcomes(library.label())
    assert outcomes["song.mp3"] == outcomes["song.flac"] == "corrupt"
    assert (library.track("song.mp3").tags, library.track("song.mp3").tags_error) == ({}, None)
    assert library.track("song.flac").tags == {"title": "Locked", "artist": "Me"}
    assert library.outcomes(library.label())["song.flac"] == "corrupt"


@pytest.mark.parametrize("fails", ["hash_audio", "read_tags"])
def test_files_on_which_a_helper_failed_are_examined_again(music, tagger, monkeypatch, fails):
    """Nor does a copy of the file take it over."""
    music.add("song.mp3", content=title("Song") + music_of("mp3"))
    failed = {"hash_audio": None, "read_tags": TagReading(error="Not now.", is_provisional=True)}
    with monkeypatch.context() as patched:
        patched.setattr(f"workers.examining.{fails}", lambda *_: failed[fails])
        music.label()
    before = music.track("song.mp3")
    assert (before.tags_error == "Not now.") == (fails == "read_tags")
    music.add("copy.mp3", content=title("Song") + music_of("mp3"))
    music.label()
    tracks = [music.track(path) for path in ("song.mp3", "copy.mp3")]
    assert [(track.tags, track.tags_error) for track in tracks] == 2 * [({"title": "Song"}, None)]
    assert tracks[0].content_hash == tracks[1].content_hash
    assert (tracks[0].content_hash == before.content_hash) == (fails == "read_tags")
    assert set(music.outcomes(music.label()).values()) == {"skipped"}


def test_what_is_said_of_a_file_on_which_a_helper_failed_stays_when_it_is_examined_again(
    music, tagger, monkeypatch
):
    music.add("song.mp3", content=music_of("mp3"))
    with monkeypatch.context() as patched:
        patched.setattr("workers.examining.hash_audio", lambda *_: None)
        music.label()
    with transaction(music.sessions) as session:
        correct(session, music.track("song.mp3"))
    music.label()
    track = music.track("song.mp3")
    assert track.content_hash != identity_without_audio(track.file_hash)
    with music.sessions() as session:
        assert find_corrections(session, [track.content_hash]) == {track.content_hash: {"rock": Verdict.NO}}
        assert get_history(session, track.content_hash).entries == 1


def test_files_without_audio_are_not_one_piece_of_audio_to_those_who_correct_them(music, tagger, monkeypatch):
    """Though the hash of their content is the same, whenever they are read."""

    def nothing(sources: Any, *_: Any, **__: Any) -> Iterator[tuple[Any, Empty]]:
        for key, file in sources:
            file.close()
            yield key, Empty()

    monkeypatch.setattr(tagger, "analyse", nothing)
    monkeypatch.setattr("workers.examining.hash_audio", lambda *_: b"e" * 32)
    music.add("a.mp3", "b.mp3")
    music.label()
    with transaction(music.sessions) as session:
        correct(session, music.track("a.mp3"))
    assert set(music.outcomes(music.label(force=True)).values()) == {"empty"}
    a, b = (music.track(path).content_hash for path in ("a.mp3", "b.mp3"))
    with music.sessions() as session:
        assert find_corrections(session, [a, b, b"e" * 32]) == {a: {"rock": Verdict.NO}}


def correct(session: Session, track: Track) -> None:
    correct_track(session, track.id, {"rock": Verdict.NO}, author="me", note=None, allow_new=False)


BEFORE = """
INSERT INTO encoders (sha256) VALUES ('e');
INSERT INTO models (name, version, kind, labels, thresholds, embedding_size, artifact_url, sha256, encoder_id,
                    metrics)
SELECT 'old', 1, 'musicnn', '{rock,jazz,ambient}', '{0.1,0.1,0.1}', 4, 'file:///', 'e', id,
       '{}' FROM encoders;
INSERT INTO model_aliases (alias, model_id) SELECT 'default', id FROM models;
INSERT INTO libraries (id, name, path) VALUES ('00000000-0000-0000-0000-000000000001', 'music', :root);
INSERT INTO jobs (id, kind, owner, params, library_id, model_id, state, total)
SELECT '00000000-0000-0000-0000-000000000002', 'analysis', 'tests', '{"library": "music"}', libraries.id,
       models.id, 'succeeded', 6 FROM libraries, models;
INSERT INTO job_units (job_id, seq, kind, queue, state, payload, attempt, crash_count, done, failed, skipped)
SELECT id, 1, 'analyse', 'batch', 'done', '{}', 1, 0, 6, 0, 0 FROM jobs;
"""
TRACK = """
WITH track AS (
    INSERT INTO tracks (library_id, path, size, mtime_ns, content_hash, tags)
    SELECT id, :path, :size, :mtime_ns, :digest, '{}' FROM libraries RETURNING id
)
INSERT INTO job_items (unit_id, pos, job_id, track_id, state, content_hash)
SELECT job_units.id, :pos, job_id, track.id, 'done', :digest FROM job_units, track
"""
RESULTS = """
INSERT INTO predictions (content_hash, model_id, coverage, duration_s, scores)
SELECT :digest, id, :coverage, 60, ARRAY[:score, 0.01, 0.01]::real[] FROM models ON CONFLICT DO NOTHING;
INSERT INTO prediction_labels (content_hash, model_id, label, score)
SELECT :digest, id, 'rock', CAST(:score AS real) FROM models ON CONFLICT DO NOTHING;
INSERT INTO embeddings (content_hash, encoder_id, coverage, duration_s, vector)
SELECT :digest, id, :coverage, 60, '[1,2,3,4]' FROM encoders ON CONFLICT DO NOTHING;
"""
UPLOAD = """
INSERT INTO jobs (id, kind, owner, params, model_id, state, total, result)
SELECT '00000000-0000-0000-0000-000000000003', 'predict', 'tests', '{"filename": "a.mp3"}', id, 'succeeded',
       1, jsonb_build_object('content_hash', CAST(:digest AS text)) FROM models
"""


def execute(connection: Connection, statements: str, **values: Any) -> None:
    for statement in filter(str.strip, statements.split(";\n")):
        names = {name: value for name, value in values.items() if f":{name}" in statement}
        connection.execute(text(statement.rstrip().rstrip(";")), names)


@pytest.fixture
def upgraded(postgres_url: str, tmp_path: Path, tagger: Any) -> Iterator[Music]:
    """A library as the version before filled its database, which then has had every migration.

    `mp3` lies there twice byte for byte, and once more with tags, where only a few windows were analysed.
    """
    root = tmp_path / "old"
    root.mkdir()
    files = {f"{suffix}.{suffix}": (music_of(suffix), "full") for suffix in ("mp3", "flac", "wav")}
    files["copy.mp3"] = files["mp3.mp3"]
    files["a tagged.mp3"] = (title("Song") + music_of("mp3"), "windows:2")
    files["z tagged.flac"] = (id3(4) + music_of("flac"), "windows:2")
    url = create_database(postgres_url, f"upgrade-{os.urandom(4).hex()}")
    command.upgrade(alembic_config(url), "0006")
    engine = create_database_engine(url)
    with engine.begin() as connection:
        execute(connection, BEFORE, root=str(root))
        for pos, (path, (content, coverage)) in enumerate(sorted(files.items())):
            (root / path).write_bytes(content)
            status, digest = (root / path).stat(), hashlib.sha256(content).digest()
            execute(
                connection,
                TRACK,
                path=path,
                size=status.st_size,
                mtime_ns=status.st_mtime_ns,
                digest=digest,
                pos=pos,
            )
            score = 0.5 if coverage == "full" else 0.25
            execute(connection, RESULTS, digest=digest, coverage=coverage, score=score)
        execute(connection, UPLOAD, digest=hashlib.sha256(music_of("mp3")).hexdigest())
    command.upgrade(alembic_config(url), "head")
    yield Music(root, create_session_factory(engine))
    engine.dispose()


def assert_all_is_kept(music: Music) -> None:
    """Under the keys of the audio, of which there are three, and in full."""
    with music.sessions() as session:
        contents = set(session.scalars(select(Track.content_hash)))
        assert len(contents) == 3
        for table in (Prediction, Embedding):
            rows = session.execute(select(table.content_hash, table.coverage))
            assert {tuple(row) for row in rows} == {(content, "full") for content in contents}
        assert {row.content_hash for row in session.scalars(select(PredictionLabel))} == contents
        assert not session.scalar(select(func.count()).where(Track.content_hash == Track.file_hash))
        jobs = {job.kind: job for job in session.scalars(select(Job).order_by(Job.created_at.desc()))}
        results = list_results(session, jobs["analysis"], BEFORE_ALL, 100)
        assert len(results) == 6
        assert {round(row.scores[0], 3) for _, row in results} == {0.5}
        uploaded_as = (jobs["predict"].result or {})["content_hash"]
        uploaded = session.get_one(Prediction, (bytes.fromhex(uploaded_as), 1))
        assert uploaded.scores[0] == 0.5


def test_an_upgrade_keeps_every_result(upgraded, tagger):
    job_id = upgraded.label()
    outcomes = upgraded.outcomes(job_id)
    assert len(outcomes) == 6
    assert set(outcomes.values()) == {"skipped"}
    assert tagger.analysed == []
    assert upgraded.track("a tagged.mp3").tags == {"title": "Song"}
    assert_all_is_kept(upgraded)
    upgraded.label()
    assert_all_is_kept(upgraded)


def test_what_was_renamed_before_the_first_scan_after_the_upgrade_is_known(upgraded, tagger):
    (upgraded.root / "wav.wav").rename(upgraded.root / "renamed.wav")
    assert set(upgraded.outcomes(upgraded.label()).values()) == {"skipped"}
    assert tagger.analysed == []


def test_windows_that_were_asked_for_are_known_by_the_whole_track(upgraded, tagger):
    upgraded.label(coverage=Windows(windows=2))
    assert tagger.analysed == []
    assert_all_is_kept(upgraded)


def test_results_are_moved_once_by_any_number_of_workers(upgraded):
    """All at once, in any order, some of whom are killed before they commit."""
    new = {"mp3": b"m" * 32, "flac": b"f" * 32}
    with upgraded.sessions() as session:
        pairs = {
            track.content_hash: new[Path(track.path).suffix[1:]]
            for track in session.scalars(select(Track))
            if Path(track.path).suffix[1:] in new
        }
    assert len(pairs) == 4
    errors: list[BaseException] = []

    def move(backwards: bool, dies: bool) -> None:
        keys = sorted(pairs, reverse=backwards)
        try:
            for key in keys:
                with upgraded.sessions() as session:
                    move_results(session, {key: pairs[key]})
                    if not dies:
                        session.commit()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=move, args=(n % 2 == 0, n % 3 == 0)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [error for error in errors if "deadlock" not in str(error)] == []
    move(False, False)
    with upgraded.sessions() as session:
        for table in (Prediction, Embedding):
            rows = session.execute(select(table.content_hash, table.coverage))
            found = {content: coverage for content, coverage in rows}
            assert {found[key] for key in new.values()} == {"full"}
            assert len(found) == 3
        assert session.scalar(select(func.count()).where(JobItem.content_hash.in_(new.values()))) == 5


def test_an_upload_of_known_audio_is_not_analysed_again(library, process_settings, tagger):
    job_id = uuid4()
    (process_settings.uploads_dir / str(job_id)).write_bytes(title("Other") + music_of("mp3"))
    with transaction(library.sessions) as session:
        submit_prediction(session, job_id, PredictParams(filename="song.mp3"), SubmissionContext("tests"))
    with library.sessions() as session:
        unit_id = session.scalars(select(JobUnit.id).where(JobUnit.job_id == job_id)).one()
    run(library.sessions, unit_id)
    content = library.track("song.mp3").content_hash
    assert read_job(library.sessions, job_id).result == {"content_hash": content.hex()}
    assert tagger.analysed == []
