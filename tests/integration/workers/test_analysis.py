"""Labelling the tracks of a unit: an outcome for every one, exactly once, whatever interrupts it."""

import errno
import os
from typing import Any

import pytest
from sqlalchemy import func, select

from core.config.models import Windows
from core.jobs.claims import expire_lease
from core.states import JobState, UnitState
from core.store.session import transaction
from core.store.tables import Embedding, JobItem, JobUnit, Prediction, PredictionLabel, Waveform
from tests.integration.workers.music import Music
from tests.support import sounds
from tests.support.planned import claim, expire, make_due, read_job, read_unit, reap
from tests.support.worker import analysis_of, open_units, run, work_off
from workers import recorder
from workers.analysis import analyse_tracks
from workers.lease import Lease, Stop

PATHS = [f"{number:02}.mp3" for number in range(20)]


@pytest.fixture(autouse=True)
def _writes_by_number_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is."""
    monkeypatch.setattr(recorder, "WRITE_EVERY_S", 3600.0)
    monkeypatch.setattr(recorder, "WRITE_PAUSE_S", 0.0)


class Killed(BaseException):
    """The worker process is gone: no handler runs."""


def planned(music: Music, *paths: str, **params: Any) -> int:
    """The one unit of a job over files that are made for it."""
    music.add(*paths)
    job_id = music.submit(**params)
    run(music.sessions, open_units(music.sessions, job_id)[0].id)
    (unit,) = open_units(music.sessions, job_id)
    return unit.id


def outcomes(music: Music, unit_id: int) -> dict[str, str]:
    return music.outcomes(read_unit(music.sessions, unit_id).job_id)


def assert_counters_equal_rows(music: Music) -> None:
    query = select(JobItem.unit_id, JobItem.state, func.count()).group_by(JobItem.unit_id, JobItem.state)
    with music.sessions() as session:
        rows = {(unit_id, state): number for unit_id, state, number in session.execute(query)}
        for unit in session.scalars(select(JobUnit)):
            counted = [rows.get((unit.id, state), 0) for state in ("done", "failed", "skipped")]
            assert [unit.done, unit.failed, unit.skipped] == counted


def test_every_track_gets_an_outcome_and_good_ones_a_result(music, tagger):
    music.add("bad.mp3", content=b"bad")
    unit_id = planned(music, "a.mp3", "b.mp3")
    (music.root / "b.mp3").unlink()
    run(music.sessions, unit_id)
    assert outcomes(music, unit_id) == {"a.mp3": "done", "b.mp3": "disappeared", "bad.mp3": "corrupt"}
    assert_counters_equal_rows(music)
    unit = read_unit(music.sessions, unit_id)
    assert (unit.state, unit.done, unit.failed) == (UnitState.DONE, 1, 2)
    assert read_job(music.sessions, unit.job_id).state == JobState.SUCCEEDED

    track = music.track("a.mp3")
    (prediction,) = music.predictions()
    expected = analysis_of(b"a.mp3")
    assert prediction.content_hash == track.content_hash
    assert prediction.scores == pytest.approx(expected.scores.tolist())
    assert (prediction.coverage, prediction.duration_s) == ("full", 60.0)
    assert track.tags == {}


def test_waveforms_are_stored_once_per_audio_and_not_replaced(music, tagger):
    music.add("a.mp3", "b.mp3", "bad.mp3", content=None)
    music.add("copy.mp3", content=b"a.mp3")
    music.label()
    music.label(force=True)
    with music.sessions() as session:
        stored = {row.content_hash: row.peaks for row in session.scalars(select(Waveform))}
    expected = {path: analysis_of(path.encode()).waveform for path in ("a.mp3", "b.mp3")}
    assert stored == {music.track(path).content_hash: each and each.peaks for path, each in expected.items()}


def test_the_same_audio_under_two_names_is_one_result(music, tagger):
    music.add("a.mp3", "sub/b.mp3", "c.mp3", content=b"the same")
    job_id = music.label()
    assert set(music.outcomes(job_id).values()) <= {"done", "skipped"}
    assert len(music.predictions()) == 1
    assert len({music.track(path).content_hash for path in ("a.mp3", "sub/b.mp3", "c.mp3")}) == 1
    assert_counters_equal_rows(music)


def test_audio_that_was_analysed_elsewhere_is_skipped(music, tagger):
    music.add("a.mp3", content=b"a song")
    music.label()
    music.add("renamed.mp3", content=b"a song")
    job_id = music.label()
    assert music.outcomes(job_id) == {"a.mp3": "skipped", "renamed.mp3": "skipped"}
    assert len(tagger.analysed) == 1
    assert music.track("renamed.mp3").content_hash == music.track("a.mp3").content_hash


def test_the_coverage_asked_for_is_what_the_tagger_is_asked_for(music, tagger):
    run(music.sessions, planned(music, "a.mp3", coverage=Windows(windows=4)))
    assert tagger.analysed == [Windows(windows=4)]
    assert [prediction.coverage for prediction in music.predictions()] == ["windows:4"]


def test_results_are_written_while_the_unit_still_runs(music, tagger):
    unit_id = planned(music, *PATHS)
    written = []
    tagger.before = lambda _: written.append(len(music.predictions()))
    run(music.sessions, unit_id)
    assert max(written) >= len(PATHS) - recorder.WRITE_EVERY_ITEMS
    assert len(music.predictions()) == len(PATHS)


def test_a_crash_in_the_middle_costs_no_result_and_doubles_none(music, tagger):
    unit_id = planned(music, *PATHS)

    def die(analysed: int) -> None:
        if analysed == 13:
            raise Killed

    tagger.before = die
    with pytest.raises(Killed):
        run(music.sessions, unit_id)
    kept = len(music.predictions())
    assert kept == 8
    assert_counters_equal_rows(music)
    expire(music.sessions, unit_id)
    assert reap(music.sessions) == 1

    tagger.before = lambda _: None
    run(music.sessions, unit_id)
    assert set(outcomes(music, unit_id).values()) == {"done"}
    assert len(music.predictions()) == len(PATHS)
    assert len(tagger.analysed) == 13 + len(PATHS) - kept
    assert_counters_equal_rows(music)


def test_a_track_that_kills_workers_again_and_again_is_left_alone(music, tagger):
    """The first time nobody knows at which track it was; then twice."""
    unit_id = planned(music, *PATHS[:3])

    def die_of_the_killer(_: int) -> None:
        with music.sessions() as session:
            at = session.scalars(select(JobUnit.current_pos).where(JobUnit.id == unit_id)).one()
        if at in (None, 1) and list(outcomes(music, unit_id).values())[1] == "pending":
            raise Killed

    tagger.before = die_of_the_killer
    for _ in range(3):
        make_due(music.sessions, unit_id)
        with pytest.raises(Killed):
            run(music.sessions, unit_id)
        with transaction(music.sessions) as session:
            expire_lease(session, f"task of {unit_id}", crashed=True)
        reap(music.sessions)
    work_off(music.sessions, read_unit(music.sessions, unit_id).job_id)
    assert list(outcomes(music, unit_id).values()) == ["done", "crashed", "done"]
    assert_counters_equal_rows(music)


def test_who_loses_the_lease_in_the_middle_writes_nothing_more(music, tagger, caplog):
    unit_id = planned(music, *PATHS)

    def lose(analysed: int) -> None:
        if analysed == 10:
            expire(music.sessions, unit_id)
            reap(music.sessions)
            claim(music.sessions, unit_id)

    tagger.before = lose
    run(music.sessions, unit_id)
    assert len(music.predictions()) == 8
    assert list(outcomes(music, unit_id).values()).count("pending") == 12
    unit = read_unit(music.sessions, unit_id)
    assert (unit.state, unit.done) == (UnitState.RUNNING, 8)
    assert "lease is lost" in caplog.text


def stop_after(tagger: Any, lease: Lease, analysed: int, reason: Stop) -> None:
    def stop(number: int) -> None:
        if number == analysed:
            lease.stop = reason

    tagger.before = stop


@pytest.mark.parametrize(
    ("reason", "state"),
    [
        (Stop.CANCELLED, UnitState.CANCELLED),
        (Stop.DRAINING, UnitState.READY),
        (Stop.TIME_IS_UP, UnitState.READY),
    ],
)
def test_a_request_to_stop_opens_no_further_track_and_keeps_what_is_done(music, tagger, reason, state):
    unit_id = planned(music, *PATHS)

    def body(lease: Lease) -> None:
        stop_after(tagger, lease, 3, reason)
        analyse_tracks(lease)

    run(music.sessions, unit_id, body)
    assert len(tagger.analysed) == 4
    unit = read_unit(music.sessions, unit_id)
    assert (unit.state, unit.done, unit.attempt) == (state, 4, 1 if state == UnitState.CANCELLED else 0)
    assert len(music.predictions()) == 4
    if state == UnitState.READY:
        tagger.before = lambda _: None
        run(music.sessions, unit_id)
        assert len(tagger.analysed) == len(PATHS)
        assert set(outcomes(music, unit_id).values()) == {"done"}


def test_a_track_changed_while_it_waited_is_stored_as_it_was_analysed(music, tagger):
    unit_id = planned(music, "a.mp3")
    music.add("a.mp3", content=b"another song")
    os.utime(music.root / "a.mp3", ns=(0, 7))
    run(music.sessions, unit_id)
    track = music.track("a.mp3")
    assert (track.size, track.mtime_ns) == (12, 7)
    assert music.outcomes(music.label()) == {"a.mp3": "skipped"}


def test_a_replaced_result_replaces_its_labels(music, tagger):
    music.add("a.mp3")
    music.label()
    with music.sessions() as session:
        before = list(session.scalars(select(PredictionLabel.label).order_by(PredictionLabel.score.desc())))
    music.label(force=True)
    with music.sessions() as session:
        after = list(session.scalars(select(PredictionLabel.label).order_by(PredictionLabel.score.desc())))
        assert session.scalars(select(func.count()).select_from(Prediction)).one() == 1
    assert before == after


def test_bad_files_of_every_kind_cost_an_item_each(music, process_settings, registered_model):
    expected = {}
    for kind, code in sounds.BAD_FILES.items():
        if kind == "forbidden" and not sounds.PERMISSIONS_HOLD:
            continue
        path = f"{kind}.wav"
        sounds.bad_file(kind, music.root / path)
        expected[path] = code
    for number in range(3):
        path = f"good{number}.wav"
        sounds.write(music.root / path, sounds.chord([220.0 + number, 330.0], 4))
        expected[path] = "done"
    job_id = music.submit()
    run(music.sessions, open_units(music.sessions, job_id)[0].id)
    (music.root / "vanishing.wav").unlink()
    work_off(music.sessions, job_id)
    assert music.outcomes(job_id) == expected
    assert read_job(music.sessions, job_id).state == JobState.SUCCEEDED
    assert_counters_equal_rows(music)
    assert len(music.predictions()) == 3
    for prediction in music.predictions():
        assert len(prediction.scores) == len(registered_model.labels)
        assert prediction.duration_s == pytest.approx(4.0, abs=0.1)
    with music.sessions() as session:
        sizes = [len(vector) for vector in session.scalars(select(Embedding.vector))]
    assert sizes == [registered_model.embedding_size] * 3


def test_windows_of_the_real_model_are_replaced_by_a_full_analysis(music, process_settings, registered_model):
    sounds.write(music.root / "a.wav", sounds.chord([220, 330], 10) * sounds.tone(1, 10, level=1.0))
    music.label(coverage=Windows(windows=1))
    (first,) = music.predictions()
    music.label()
    (second,) = music.predictions()
    assert (first.coverage, second.coverage) == ("windows:1", "full")
    assert first.scores != second.scores


@pytest.mark.parametrize(
    "fault", [OSError(errno.EFBIG, "File too large"), ChildProcessError("The helper does not start.")]
)
def test_no_file_is_blamed_for_a_fault_of_the_machine(music, tagger, monkeypatch, fault):
    unit_id = planned(music, *PATHS[:3])

    def fail(_: object) -> None:
        raise fault

    with monkeypatch.context() as patch:
        patch.setattr("workers.examining.read_tags", fail)
        run(music.sessions, unit_id)
    assert set(outcomes(music, unit_id).values()) == {"pending"}
    work_off(music.sessions, read_unit(music.sessions, unit_id).job_id)
    assert set(outcomes(music, unit_id).values()) == {"done"}
